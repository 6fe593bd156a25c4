/*
 * Hostile frames and packets through offload.h, to be built with sanitizers.
 *
 * Usage: fuzz SEED ROUNDS. Each round builds plausible frames and packets, damages some of them, and
 * hands each over in a heap block of exactly its size, so that one byte too far ends the program. It
 * checks only what holds for any bytes; the twin in naive_offload.py says what comes out. Prints how
 * many frames were cut into several packets and how many packets were joined, so that whoever runs
 * it can see that it got past the first checks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "offload.h"

enum { MOST_PACKETS = 24, MOST_SEGMENTS = 64 };

static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void put(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void store(uint8_t *p, uint16_t word)
{
    memcpy(p, &word, 2);
}

/* A correct packet of payload bytes in a block of exactly its size; ordinal counts within a flow. */
static uint8_t *build(int v6, int udp, uint32_t payload, uint32_t ordinal, size_t *len)
{
    size_t at = v6 ? 40 : 20, header = at + (udp ? 8 : 20);
    *len = header + payload;
    uint8_t *p = calloc(1, *len), *transport = p + at;
    uint64_t sum;
    if (v6) {
        p[0] = 0x60;
        put(p + 4, (uint32_t)(*len - 40));
        p[6] = udp ? 17 : 6;
        sum = checksum_sum(p + 8, 32);
    } else {
        p[0] = 0x45;
        put(p + 2, (uint32_t)*len);
        put(p + 4, ordinal);
        p[9] = udp ? 17 : 6;
        store(p + 10, (uint16_t)~checksum_fold(checksum_sum(p, 20)));
        sum = checksum_sum(p + 12, 8);
    }
    put(transport, 1 + draw(2));
    if (udp) {
        put(transport + 4, 8 + payload);
    } else {
        put(transport + 6, ordinal * payload);
        transport[12] = 0x50;
        transport[13] = draw(8) ? 0x10 : 0x18;
    }
    memset(p + header, (int)draw(256), payload);
    uint8_t pseudo[4] = {0, udp ? 17 : 6};
    put(pseudo + 2, (uint32_t)(*len - at));
    sum += checksum_sum(pseudo, 4) + checksum_sum(transport, *len - at);
    store(transport + (udp ? 6 : 16), (uint16_t)~checksum_fold(sum));
    return p;
}

static uint8_t *damage(uint8_t *p, size_t *len)
{
    for (uint32_t n = draw(4); n > 0 && *len; n--)
        p[draw((uint32_t)(*len < 100 ? *len : 100))] = (uint8_t)draw(256);
    if (draw(4) == 0) {
        size_t shorter = draw((uint32_t)*len + 1);
        uint8_t *cut = malloc(shorter ? shorter : 1);
        memcpy(cut, p, shorter);
        free(p);
        *len = shorter;
        return cut;
    }
    return p;
}

/* Returns how many packets the frame became. */
static uint32_t split(uint8_t *frame, size_t len)
{
    struct offload_frame f;
    if (offload_parse(&f, frame, len, MOST_SEGMENTS) != 0)
        return 0;
    require(f.segments >= 1 && f.segments <= MOST_SEGMENTS, "number of segments");
    require(f.packet == frame + VNET_HEADER_SIZE, "place of the packet");
    require(f.packet_length + VNET_HEADER_SIZE <= len, "length of the packet");
    size_t total = 0;
    for (uint32_t i = 0; i < f.segments; i++) {
        size_t room = i + 1 < f.segments ? f.segment_length : f.last_length;
        uint8_t *out = malloc(room);
        require(offload_segment(&f, i, out) == room, "length of a segment");
        total += room;
        free(out);
    }
    require(total <= len + MOST_SEGMENTS * OFFLOAD_HEADER_BYTES, "bytes of all segments");
    return f.segments;
}

static uint32_t fuzz_split(void)
{
    static const uint8_t types[] = {0, 1, 4, 5, 3, 0x81, 0x84};
    int v6 = (int)draw(2), udp = (int)draw(2);
    size_t len;
    uint8_t *packet = build(v6, udp, draw(draw(20) ? 3000 : 65000), draw(65536), &len);
    struct vnet_header h = {
        .flags = (uint8_t)draw(2),
        .gso_type = draw(4) ? (uint8_t)(udp ? 5 : v6 ? 4 : 1) : types[draw(sizeof types)],
        .hdr_len = (uint16_t)draw(65536),
        .gso_size = (uint16_t)draw(draw(4) ? 2000 : 65536),
        .csum_start = (uint16_t)(draw(8) ? (v6 ? 40 : 20) : draw(65536)),
        .csum_offset = (uint16_t)(draw(8) ? (udp ? 6 : 16) : draw(65536)),
    };
    uint8_t *frame = malloc(VNET_HEADER_SIZE + len);
    memcpy(frame, &h, VNET_HEADER_SIZE);
    memcpy(frame + VNET_HEADER_SIZE, packet, len);
    free(packet);
    len += VNET_HEADER_SIZE;
    if (draw(2))
        frame = damage(frame, &len);
    uint32_t segments = split(frame, len);
    free(frame);
    return segments > 1;
}

/* The bytes of one write are read, as writev would. */
static size_t gather(const struct offload_write *w, uint8_t *out)
{
    size_t total = 0;
    for (uint32_t i = 0; i < w->iov_count; i++) {
        if (w->iov[i].iov_len)
            memcpy(out + total, w->iov[i].iov_base, w->iov[i].iov_len);
        total += w->iov[i].iov_len;
    }
    require(total == w->bytes, "bytes of a write");
    return total;
}

static uint32_t fuzz_coalesce(struct offload_batch *b)
{
    static uint8_t out[1 << 17];
    uint8_t *packets[MOST_PACKETS];
    uint32_t count = 1 + draw(MOST_PACKETS), written = 0, joined = 0;
    int v6 = (int)draw(2), udp = (int)draw(2);
    size_t bytes = 0;
    offload_begin(b, draw(8) ? OFFLOAD_TCP | OFFLOAD_UDP : draw(4));
    for (uint32_t i = 0; i < count; i++) {
        size_t len;
        packets[i] = build(draw(16) ? v6 : !v6, draw(16) ? udp : !udp, 100, i, &len);
        if (draw(8) == 0)
            packets[i] = damage(packets[i], &len);
        require(offload_add(b, packets[i], len) == 0, "room in the batch");
        bytes += len;
    }
    struct offload_write w;
    while (offload_next(b, &w)) {
        uint32_t n = w.packets;
        written += n;
        size_t total = gather(&w, out);
        if (n > 1) {
            joined += n;
            require(split(out, total) == n, "a joined packet is cut into as many");
        }
        for (uint32_t i = 0; i < n; i++) {
            offload_single(b, i, &w);
            bytes -= gather(&w, out) - VNET_HEADER_SIZE;
        }
    }
    require(written == count && bytes == 0, "every packet is written once");
    for (uint32_t i = 0; i < count; i++)
        free(packets[i]);
    return joined;
}

int main(int argc, char **argv)
{
    require(argc == 3, "usage: fuzz SEED ROUNDS");
    state = strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    struct offload_batch *b = malloc(sizeof *b);
    unsigned long cut = 0, joined = 0;
    for (unsigned long rounds = strtoul(argv[2], NULL, 10); rounds > 0; rounds--) {
        cut += fuzz_split();
        joined += fuzz_coalesce(b);
    }
    free(b);
    printf("%lu %lu\n", cut, joined);
    return 0;
}
