/*
 * Datagrams in batches: recvmmsg with UDP_GRO, sendmmsg with UDP_SEGMENT, and the control messages on both sides
 * (local address, ECN). One structure per direction, filled once and reused for ever: no allocation per call.
 *
 * Never looks into a datagram, never knows a peer. Sources: udp(7), ip(7), ipv6(7), recvmmsg(2), sendmmsg(2);
 * RFC 3542 for packet information.
 */
#ifndef KUBESPAN_UDP_H
#define KUBESPAN_UDP_H

#define _GNU_SOURCE
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define UDP_RECEIVE_SLOTS 128
#define UDP_RECEIVE_SIZE 65536
/* Of bulk a call takes no more than stays in a core's cache until it is opened; meanwhile answers wait to be sent. */
#define UDP_RECEIVE_BYTES (512 * 1024)
#define UDP_SEND_SLOTS 64
#define UDP_MAX_SEGMENTS 64      /* what every kernel with UDP_SEGMENT takes; newer ones take 128 */
#define UDP_MAX_SUPER_IPV4 65493 /* above it the super-packet no longer fits a 64 KiB frame with its headers */
#define UDP_MAX_SUPER_IPV6 65473

/* Where a peer is, and from which of our addresses it last heard us. 48 bytes, compared as memory: padding is zero. */
struct udp_endpoint {
    uint16_t family; /* AF_INET, AF_INET6, or 0: unknown */
    uint16_t port;   /* host order */
    uint32_t scope_id;
    uint8_t address[16]; /* IPv4 in the first 4 bytes, the rest zero */
    uint8_t source[16];  /* likewise; meaningful when has_source */
    uint32_t source_ifindex;
    uint32_t has_source;
};

/* One receive: a datagram, or several of `segment_size` bytes (the last may be shorter) glued by UDP_GRO. */
struct udp_datagram {
    uint8_t *data;
    size_t length;
    size_t segment_size; /* = length for a single datagram */
    uint8_t ecn;
    struct udp_endpoint from; /* source = the local address it was sent to */
};

/* A socket that is received from. */
struct udp_queue {
    int fd;
    int most; /* messages that the next call takes; 0 before the first */
};

struct udp_receiver;
struct udp_receiver *udp_receiver_new(void);
void udp_receiver_free(struct udp_receiver *r);
#define UDP_KEEP_NOTHING UINT64_MAX
#define UDP_NO_ROOM INT32_MIN
/* Reads without blocking as many messages as there is room for, UDP_RECEIVE_SLOTS with those that are kept, and some
 * UDP_RECEIVE_BYTES if they are as large as those that this queue had before. Answers how many, 0 when none wait, UDP_NO_ROOM
 * when there is no room for so many, or -errno. Messages are numbered as they come; those from number `keep` on stay where they are,
 * what is older may be overwritten, and where nothing is kept numbers begin anew. Truncated messages have length 0. */
int udp_receive(struct udp_receiver *r, struct udp_queue *q, uint64_t keep);
/* Of those that the last call read, and its number. */
struct udp_datagram *udp_received(struct udp_receiver *r, int i);
uint64_t udp_number(const struct udp_receiver *r, const struct udp_datagram *d);

/* One send: `length` bytes as datagrams of segment_size bytes (the last may be shorter), gathered from `count` parts,
 * each of which begins with a datagram and ends with one. */
struct udp_message {
    struct iovec *parts;
    size_t count;
    size_t length;
    size_t segment_size;
    uint8_t traffic_class;
    struct udp_endpoint to;
    int error;          /* set by udp_send: 0, or the errno that refused it */
    int source_refused; /* set by udp_send: our address `to.source` may not be used any more */
};

struct udp_sender;
struct udp_sender *udp_sender_new(void);
void udp_sender_free(struct udp_sender *s);
/* Sends at most UDP_SEND_SLOTS messages in order; -1 for a family without a socket. Answers how many system calls
 * it took. What the kernel refuses is tried again more plainly before it counts as an error: without
 * segmentation (EIO, EINVAL, EMSGSIZE), then without the source address (it may be gone, or its interface). A full
 * send buffer is waited for, but only a little in one call. */
int udp_send(struct udp_sender *s, int ipv4_fd, int ipv6_fd, struct udp_message *messages, int count);
/* The same, but a full send buffer is not waited for at all: for what nobody misses. */
int udp_offer(struct udp_sender *s, int ipv4_fd, int ipv6_fd, struct udp_message *messages, int count);
/* No segmentation offload from here on: the network card cannot checksum (EIO), or the operator said so. */
void udp_sender_plain(struct udp_sender *s);

#endif
