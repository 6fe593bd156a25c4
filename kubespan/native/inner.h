/*
 * What the tunnel must know of an inner packet: where it goes, where it claims to come from, how long it is, and
 * its congestion mark. Bytes only; never the transport header, never a checksum but IPv4's own.
 *
 * Sources: RFC 791, RFC 8200, RFC 6040 (congestion marks through tunnels).
 */
#ifndef KUBESPAN_INNER_H
#define KUBESPAN_INNER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INNER_BAD (-1)

/* An address left-aligned in 128 bits, as the route trie wants it. */
struct inner_address {
    uint64_t high, low;
    int version;
};

static inline uint32_t inner_be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}

static inline uint64_t inner_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

/* Fills the address found at v4 or v6 and answers the length that the header claims, or INNER_BAD when the header
 * does not fit `length` bytes or claims more than there are. */
static inline int inner_parse(const uint8_t *p, size_t length, size_t v4, size_t v6, struct inner_address *a)
{
    if (length >= 20 && p[0] >> 4 == 4) {
        uint32_t total = (uint32_t)p[2] << 8 | p[3];
        a->high = (uint64_t)inner_be32(p + v4) << 32;
        a->low = 0;
        a->version = 4;
        return total >= 20 && total <= length ? (int)total : INNER_BAD;
    }
    if (length >= 40 && p[0] >> 4 == 6) {
        uint32_t total = 40 + ((uint32_t)p[4] << 8 | p[5]); /* more than 16 bits */
        a->high = inner_be64(p + v6);
        a->low = inner_be64(p + v6 + 8);
        a->version = 6;
        return total <= length ? (int)total : INNER_BAD;
    }
    return INNER_BAD;
}

static inline int inner_source(const uint8_t *p, size_t length, struct inner_address *a)
{
    return inner_parse(p, length, 12, 8, a);
}

/* The length field of a frame that is still to be split may say less than it carries: 0 there is no error. */
static inline int inner_destination(const uint8_t *p, size_t length, struct inner_address *a)
{
    a->version = 0;
    inner_parse(p, length, 16, 24, a);
    return a->version ? 0 : INNER_BAD;
}

static inline uint8_t inner_ecn(const uint8_t *p)
{
    return (p[0] >> 4 == 4 ? p[1] : p[1] >> 4) & 3;
}

/* The outer header said "congestion experienced": so does the inner one now, if its transport can hear it (ECT).
 * RFC 6040 section 4.2; the IPv4 checksum follows by RFC 1624. */
static inline void inner_mark_congestion(uint8_t *p)
{
    uint8_t ecn = inner_ecn(p);

    if (ecn != 1 && ecn != 2)
        return;
    if (p[0] >> 4 == 6) {
        p[1] |= 0x30;
        return;
    }
    uint32_t sum = (uint32_t)(uint16_t) ~((uint16_t)p[10] << 8 | p[11]) + (uint16_t)(3 - ecn);
    sum = (sum & 0xffff) + (sum >> 16);
    p[1] |= 3;
    p[10] = (uint8_t)(~sum >> 8);
    p[11] = (uint8_t)~sum;
}

#endif
