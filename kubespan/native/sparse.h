/*
 * Who need not stand in line: the lone packet of a flow of which nothing waits.
 *
 * A transfer that takes what it can get lets packets wait for milliseconds, in front of the lane that
 * seals them and of the one that opens them. A ping, a keystroke or the question for a name would
 * hardly make that line longer, so it goes first; RFC 8290 calls such flows sparse. Nothing ever
 * passes a packet of its own flow.
 *
 *   in:   sparse_see, then either sparse_may_pass, or sparse_wait for what has to stand in line
 *   out:  sparse_leave
 *
 * To find a packet that may go first, all that waits must be taken out of the kernel, and out of the
 * cache. That costs 6 to 12 % of throughput, so it is done only while somebody gains by it: for a quarter
 * of a second after a lone packet came, beside bulk, of a flow that sends none. Who has less to say than
 * four packets a second waits in turn. (The acknowledgements of a stream that comes the other way are
 * such packets too.)
 *
 * Pure: no allocation, no system call, no clock. Zeros are an empty line. One thread at a time.
 */
#ifndef KUBESPAN_SPARSE_H
#define KUBESPAN_SPARSE_H

#include <stddef.h>
#include <stdint.h>

enum {
    SPARSE_FLOWS = 1024,     /* flows are told apart by a hash; what shares a number waits together */
    SPARSE_STRANGER = -1,    /* of no flow that can be told: passes nothing, and nothing passes it */
    SPARSE_MANY = 8,         /* single packets of a flow at once: bulk without an offload, which asks for nothing */
    SPARSE_MEMORY = 250000000 /* nanoseconds */
};

struct sparse_state {
    uint64_t bulk_at; /* when it last had several packets in one, or SPARSE_MANY at once; ns since boot, 0: never */
    uint64_t seen_at;
    uint32_t seen;    /* single packets, then */
    uint32_t waiting;
};

struct sparse_line {
    struct sparse_state flows[SPARSE_FLOWS];
    uint64_t bulk_at;      /* when any flow last had several packets in one; ns since boot, 0: never */
    uint64_t sought_until;
    uint32_t strangers;    /* that wait */
};

/* The number of the flow of an IP packet: of TCP and UDP by addresses and ports, of ICMP and, in IPv4, of other
 * protocols by addresses. Fragments and all else behind an IPv6 header, which may be an extension, are strangers. */
int sparse_flow(const uint8_t *packet, size_t length);

/* A frame of so many packets has come. Frames that were found at once have the same `now`. */
void sparse_see(struct sparse_line *line, int flow, uint32_t packets, uint64_t now);

/* Whether a frame of so many packets may go before everything that waits. */
int sparse_may_pass(const struct sparse_line *line, int flow, uint32_t packets);

void sparse_wait(struct sparse_line *line, int flow);
void sparse_leave(struct sparse_line *line, int flow);

/* Whether somebody gains by it that all is taken in which waits; behind a stranger nobody does. */
int sparse_is_sought(const struct sparse_line *line, uint64_t now);

#endif
