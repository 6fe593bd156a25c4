/*
 * Where the fields of IP, TCP and UDP headers lie, and how to read and write them.
 *
 * Shared by the two halves of offload.h and by nothing else. Every function trusts its caller to
 * have compared the offset with the packet's real length. Packets may lie at any address, so every
 * access is a memcpy, which compilers turn into one instruction.
 *
 * Source: RFC 791, 8200, 9293, 768.
 */
#ifndef KUBESPAN_OFFLOAD_WIRE_H
#define KUBESPAN_OFFLOAD_WIRE_H

#include <stdint.h>
#include <string.h>

#include "checksum.h"

enum {
    IPV4_LENGTH = 2,
    IPV4_IDENTIFICATION = 4,
    IPV4_FRAGMENT = 6,
    IPV4_TTL = 8,
    IPV4_PROTOCOL = 9,
    IPV4_CHECKSUM = 10,
    IPV4_ADDRESSES = 12, /* source and destination, 8 bytes */
    IPV4_HEADER = 20,

    IPV4_DONT_FRAGMENT = 0x4000,
    IPV4_FRAGMENTED = 0x3fff, /* more fragments, or an offset */

    IPV6_LENGTH = 4, /* of what follows the 40 bytes */
    IPV6_NEXT_HEADER = 6,
    IPV6_HOP_LIMIT = 7,
    IPV6_ADDRESSES = 8, /* source and destination, 32 bytes */
    IPV6_HEADER = 40,

    IPV6_HOP_BY_HOP = 0,
    IPV6_ROUTING = 43,
    IPV6_FRAGMENT = 44,
    IPV6_DESTINATION = 60,
    IPV6_MOBILITY = 135,

    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,

    TCP_SEQUENCE = 4,
    TCP_ACKNOWLEDGEMENT = 8,
    TCP_OFFSET = 12, /* upper half: header length in 4-byte words */
    TCP_FLAGS = 13,
    TCP_WINDOW = 14,
    TCP_CHECKSUM = 16,
    TCP_URGENT = 18,
    TCP_HEADER = 20,

    TCP_FIN = 0x01,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_CWR = 0x80,

    UDP_LENGTH = 4,
    UDP_CHECKSUM = 6,
    UDP_HEADER = 8,

    IPV4_MAX = 65535,
    IPV6_MAX = IPV6_HEADER + 65535
};

/* A 16-bit word as it lies in memory: for sums and for fields that are only compared. */
static inline uint16_t word_at(const uint8_t *p)
{
    uint16_t word;
    memcpy(&word, p, 2);
    return word;
}

static inline void set_word(uint8_t *p, uint16_t word)
{
    memcpy(p, &word, 2);
}

static inline uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static inline void set16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void set32(uint8_t *p, uint32_t value)
{
    set16(p, value >> 16);
    set16(p + 2, value);
}

/* What a 16-bit number adds to a sum once it is written in network order. */
static inline uint16_t sum_of16(uint32_t value)
{
    uint8_t bytes[2];
    set16(bytes, value);
    return word_at(bytes);
}

/* checksum_sum for headers: len is a multiple of 4, and where it is constant no loop remains. */
static inline uint64_t sum_of_header(const uint8_t *header, uint32_t len)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < len; i += 4) {
        uint32_t word;
        memcpy(&word, header + i, 4);
        sum += word;
    }
    return sum;
}

/* Addresses and protocol of the pseudo-header; the length is added by whoever knows it. */
static inline uint64_t sum_of_addresses(const uint8_t *packet, unsigned version, unsigned protocol)
{
    uint64_t sum = sum_of16(protocol);
    if (version == 4)
        return sum + sum_of_header(packet + IPV4_ADDRESSES, 8);
    return sum + sum_of_header(packet + IPV6_ADDRESSES, 32);
}

static inline unsigned checksum_field(unsigned protocol)
{
    return protocol == PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
}

#endif
