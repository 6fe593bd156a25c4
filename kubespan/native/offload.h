/*
 * Large packets between the TUN and the lanes: split what the kernel hands down, coalesce what
 * goes up.
 *
 * The cost of a packet is mostly the cost of its system call and of one walk through the kernel's
 * stack. A TUN opened with IFF_VNET_HDR carries up to 64 KiB in one read or write, as the same
 * 10-byte header a virtual machine's network card uses ("virtio-net header"): one set of IP and
 * TCP (or UDP) headers, the payload of many packets, and how to cut it.
 *
 *   down:  read() -> vnet header + large packet -> offload_parse -> offload_segment x N -> seal
 *   up:    open x N -> offload_add x N -> offload_next_sparse, offload_next -> one writev() for each group
 *
 * Both directions are exact inverses: what offload_add joins, cutting by these rules gives back
 * byte for byte. The one exception is the identification of IPv4 packets that may not be
 * fragmented, which has no meaning (RFC 6864 section 4.1); see offload_add.
 *
 * A joined packet goes up with VNET_NEEDS_CSUM, and the kernel then takes its transport checksum
 * as good without looking. So nothing is joined unless its own checksum has been verified here: a
 * packet that arrived damaged leaves damaged, and its receiver sees it.
 *
 * Nothing here allocates, makes a system call, keeps mutable globals, reads a clock, or knows what
 * a tunnel is. Every structure belongs to its caller and to one thread at a time. No length, offset
 * or flag found in a frame or packet is believed before it has been compared with the real length:
 * arbitrary bytes lead to an error or to a packet travelling alone, never outside the buffers.
 *
 * Source: virtio specification 1.2 section 5.1.6; Linux include/uapi/linux/virtio_net.h and
 * Documentation/networking/segmentation-offloads.rst; RFC 791, 1071, 1624, 6864, 8200, 9293, 768.
 */
#ifndef KUBESPAN_OFFLOAD_H
#define KUBESPAN_OFFLOAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "sparse.h"

/*
 * The virtio-net header, as IFF_VNET_HDR puts it before every packet: 10 bytes, host byte order
 * (the TUN's default), no padding.
 */
struct vnet_header {
    uint8_t flags;        /* VNET_NEEDS_CSUM, VNET_DATA_VALID */
    uint8_t gso_type;     /* VNET_GSO_*, perhaps with VNET_GSO_ECN */
    uint16_t hdr_len;     /* bytes of all headers; a hint, written but never believed */
    uint16_t gso_size;    /* payload bytes of each packet but the last */
    uint16_t csum_start;  /* where the checksummed part begins, from the start of the packet */
    uint16_t csum_offset; /* where the checksum lies, from csum_start */
};

_Static_assert(sizeof(struct vnet_header) == 10, "the kernel's layout has no padding");

enum {
    VNET_HEADER_SIZE = 10,

    VNET_NEEDS_CSUM = 1, /* the checksum field holds only the pseudo-header's sum */
    VNET_DATA_VALID = 2,

    VNET_GSO_NONE = 0,
    VNET_GSO_TCPV4 = 1,
    VNET_GSO_UDP = 3, /* IP fragmentation of UDP; never asked for, refused */
    VNET_GSO_TCPV6 = 4,
    VNET_GSO_UDP_L4 = 5, /* UDP segmentation, IPv4 or IPv6 */
    VNET_GSO_ECN = 0x80  /* TCP only: the first segment may carry CWR */
};

/* What can be wrong. All negative, so that 0 and counts stay apart. */
enum offload_error {
    OFFLOAD_TRUNCATED = -1,     /* shorter than its headers, or than its IP length says */
    OFFLOAD_BAD_IP = -2,        /* neither IPv4 nor IPv6, impossible lengths, a fragment with GSO,
                                   longer than IP allows */
    OFFLOAD_BAD_TRANSPORT = -3, /* GSO, but no such TCP or UDP header lies there */
    OFFLOAD_BAD_HEADER = -4,    /* the vnet header contradicts the packet or points outside it */
    OFFLOAD_UNSUPPORTED = -5,   /* a GSO type never asked for */
    OFFLOAD_TOO_MANY = -6,      /* more segments, or more bytes of repeated headers, than the caller
                                   takes (a tiny MSS) */
    OFFLOAD_FULL = -7           /* offload_add: write the batch out first; packet not taken */
};

/* Header bytes a caller makes room for in each segment; only IPv6 extension headers need more. */
enum { OFFLOAD_HEADER_BYTES = 128 };

/* Filled by offload_parse, read-only afterwards; points into the frame it was made from. */
struct offload_frame {
    uint8_t *packet;           /* the IP packet: behind the vnet header, inside the frame */
    uint32_t packet_length;    /* bytes; a plain packet's trailing bytes beyond its IP length are
                                  already cut off */
    uint32_t segments;         /* packets this becomes, >= 1 */
    uint32_t segment_length;   /* bytes of each packet but the last, headers included */
    uint32_t last_length;      /* bytes of the last packet; equals packet_length if segments == 1 */
    uint32_t header_length;    /* IP + transport header bytes, repeated in each (0: not GSO) */
    uint32_t transport_offset; /* where the TCP or UDP header begins (0: not GSO) */
    uint32_t gso_size;         /* payload bytes of each packet but the last (0: not GSO) */
    uint8_t ip_version;        /* 4 or 6 */
    uint8_t gso_type;          /* VNET_GSO_*, without the ECN bit */
    uint8_t transport;         /* IP protocol number: 6 or 17 if GSO, else 0 */

    /* Of use to offload_segment only: sums of the constant part of each header. */
    uint32_t ip_sum;
    uint64_t transport_sum;
};

/*
 * The frame is understood, and its checksum complete where the kernel left that to us.
 *
 * frame: len bytes as read from the TUN, vnet header first; written to in place when a checksum is
 * completed. max_segments: the most packets the caller can take at once; all of them together are
 * never longer than the frame and max_segments * OFFLOAD_HEADER_BYTES. Header lengths come from the
 * packet, never from hdr_len. Of a GSO frame the real length counts, not the IP header's: every
 * segment gets a new one. IPv6 extension headers (hop-by-hop, routing, destination) are walked.
 *
 * With segments == 1 (always so for VNET_GSO_NONE) packet[0 .. packet_length) is the finished
 * packet and may be used where it lies, without offload_segment.
 *
 * Returns 0 or an enum offload_error; after an error f means nothing and the frame is to be dropped
 * and counted.
 */
int offload_parse(struct offload_frame *f, uint8_t *frame, size_t len, uint32_t max_segments);

/*
 * The i-th packet stands in out, complete with correct lengths, IPv4 identification + i and header
 * checksum, TCP sequence number and flags (FIN and PSH on the last only, CWR on the first only),
 * UDP length and transport checksum.
 *
 * i < f->segments. out: room for f->segment_length bytes (the last one: f->last_length), not
 * overlapping the frame. Returns the bytes written. Cannot fail.
 */
size_t offload_segment(const struct offload_frame *f, uint32_t i, uint8_t *out);

enum {
    OFFLOAD_TCP = 1, /* the TUN accepted TUN_F_TSO4 and TUN_F_TSO6 */
    OFFLOAD_UDP = 2, /* the TUN accepted TUN_F_USO4 and TUN_F_USO6 (Linux >= 6.2) */

    OFFLOAD_MAX_GROUPS = 256,     /* writes in one batch */
    OFFLOAD_MAX_SLICES = 4096,    /* joined packets in one batch, not counting each group's first */
    OFFLOAD_GROUP_PACKETS = 512,  /* packets in one write: well below UIO_MAXIOV (1024) */
    OFFLOAD_GROUP_DATAGRAMS = 64, /* the same for UDP: what Linux itself joins at most */
    OFFLOAD_BUCKETS = 512
};

/* One write in the making: packets of one flow, or one packet alone. Private to offload_*. */
struct offload_group {
    uint8_t *packet;          /* the first packet, whole */
    uint32_t first_length;    /* its bytes, as added */
    uint32_t length;          /* bytes of the joined packet */
    uint32_t hash;            /* of addresses, ports and protocol */
    uint32_t next_sequence;   /* TCP: what the next packet must start with */
    uint16_t next;            /* the next group in the same bucket */
    uint16_t packets;         /* how many are joined */
    uint16_t first_slice;     /* the second packet's payload, if there is one */
    uint16_t last_slice;
    uint16_t gso_size;        /* payload bytes of the first packet */
    uint16_t identification;  /* IPv4: of the first packet */
    uint8_t ip_version;       /* 4, 6; 0: not a flow of TCP or UDP */
    uint8_t transport;        /* IP protocol number */
    uint8_t transport_offset;
    uint8_t header_length;    /* IP + transport header bytes, the same in all */
    uint8_t closed;           /* nothing may join any more */
    uint8_t verified;         /* the first packet's checksums were found correct */
    uint8_t fixed_id;         /* IPv4: the identification stays equal instead of counting up */
    uint8_t push;             /* the last packet carries PSH */
    uint8_t written;          /* before its turn */
    int16_t flow;             /* its number in the line */
    uint8_t saved[8];         /* what offload_next overwrote in the first packet */
    struct vnet_header header;
};

/*
 * Packets on their way to the TUN. About 100 KiB; the caller allocates it once for each lane, in
 * any memory, in any state: offload_begin makes it valid. All members are private.
 */
struct offload_batch {
    uint32_t features;
    uint32_t groups;
    uint32_t slices;
    uint32_t looked_at;         /* groups that were let pass or stand in line */
    uint32_t cursor;
    struct offload_group *last; /* that was given */
    struct sparse_line *line;   /* in which its groups stand */
    uint16_t bucket[OFFLOAD_BUCKETS];
    struct offload_group group[OFFLOAD_MAX_GROUPS];
    struct iovec vector[OFFLOAD_GROUP_PACKETS + 1];
    struct iovec single[2];
    uint16_t slice_next[OFFLOAD_MAX_SLICES];
    struct iovec slice[OFFLOAD_MAX_SLICES];
};

/* One write to the TUN, valid until the next call with the same batch. */
struct offload_write {
    struct iovec *iov;  /* iov[0]: the vnet header; iov[1]: first packet; then payload slices.
                           A TUN without IFF_VNET_HDR: begin with features 0, write from iov[1] */
    uint32_t iov_count; /* >= 2 */
    uint32_t packets;   /* inner packets in this write, >= 1 */
    size_t bytes;       /* sum over iov: what writev returns on success */
};

/* The batch is empty and may be filled. features: OFFLOAD_TCP | OFFLOAD_UDP; 0 joins nothing. */
void offload_begin(struct offload_batch *b, uint32_t features);

/*
 * The packet is in the batch, joined to the latest group of its flow where the two may travel as
 * one, else in a group of its own behind all present groups. Within a flow (addresses, ports,
 * protocol) order never changes: a packet that cannot join ends its flow's group.
 *
 * packet: one authenticated IP packet, cut to the length in its own header; it must stay where it
 * is, writable, until the batch is written. Returns 0, or OFFLOAD_FULL (write the batch out, begin
 * anew, add again). A packet this code does not understand is taken and travels alone, untouched.
 *
 * TCP joins: same addresses, ports, acknowledgement, window, urgent pointer, options, TOS or
 * traffic class and flow label, TTL or hop limit, DF; the next sequence number; flags exactly ACK,
 * with PSH only on the last; no IP options, extension headers or fragments; payload of equal size,
 * a smaller one being the last; at most 65535 bytes together.
 * UDP joins: the same IP rules; the length field agrees with IP's; payload of equal size, a smaller
 * one being the last; the checksum present.
 * Both: IPv4 header and transport checksums correct, in the form offload_segment would write.
 *
 * IPv4 identification: counting up by one, as cutting writes it, or, if DF is set, all equal. Linux
 * GRO accepts the same two. Many systems send 0 with DF always; such packets would otherwise never
 * join, and as they cannot be fragmented nobody may look at the field.
 */
int offload_add(struct offload_batch *b, uint8_t *packet, size_t len);

/*
 * Before offload_next: a write that may go before everything in the line stands in w. Returns 1, or 0 when there is no
 * other. Each group is looked at once: it goes first, or stands in the line until offload_next gives it. now: ns since
 * boot. Once called, nothing may be added before the next offload_begin.
 */
int offload_next_sparse(struct offload_batch *b, struct sparse_line *line, uint64_t now,
                        struct offload_write *w);

/*
 * The next write that did not go first stands in w, in the order of each group's first packet. Returns 1, or 0 after the
 * last one. Patches the first packet's headers in place where packets were joined. Once called,
 * nothing may be added before the next offload_begin.
 */
int offload_next(struct offload_batch *b, struct offload_write *w);

/* Whether offload_next has nothing more to give. */
int offload_is_spent(struct offload_batch *b);

/*
 * The i-th packet of the write that was given last stands in w, whole and as it was added: the
 * way out for a TUN that refuses a joined packet (EINVAL on some kernels; then begin further
 * batches without the feature). i < packets of that write; the joined write is void from the first
 * call on. offload_next goes on with the next group afterwards.
 */
void offload_single(struct offload_batch *b, uint32_t i, struct offload_write *w);

#endif
