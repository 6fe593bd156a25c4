/*
 * Poly1305 of one packet, eight blocks at a time, for aead_avx512.c alone: where there are too few packets for a side.
 *
 * A row is 8 neighbouring blocks, one in each 64-bit lane, in the order in which two loads and two unpackings leave
 * them. Each lane sums every eighth block by powers of r^8, four rows a step. Only the last row is multiplied by r^8 to
 * r, a power a lane, and then the lanes are added up. Rows are filled up in front with blocks of zero without the
 * 2^128 bit, so the packet's block of lengths is always the last of the last row.
 */
#ifndef KUBESPAN_AEAD_AVX512_ALONG_H
#define KUBESPAN_AEAD_AVX512_ALONG_H

#include <string.h>

#include "aead.h"
#include "aead_avx512_number.h"
#include "atomics.h"

enum { ROW = 8, ROW_SIZE = 16 * ROW, ROWS = 4 };

struct along_scratch {
    struct power powers[ROWS]; /* r^8, r^16, r^24, r^32, the same in every lane */
    struct power last;         /* r^8 to r, by lane */
    uint8_t rows[ROWS][ROW_SIZE] __attribute__((aligned(64))); /* blocks copied, behind what fills them up */
};

/* Which block of a row is in each lane. */
INLINE __m512i row_order(void) { return _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0); }

/* The 2^128 of each block of a row, of which those before `begin` do not count. */
INLINE limb row_bits(int64_t begin)
{
    return (limb)_mm512_maskz_set1_epi64(_mm512_cmpge_epi64_mask(row_order(), _mm512_set1_epi64(begin)), BIT128);
}

INLINE struct number row_at(const uint8_t *p, limb bit128)
{
    __m512i front = _mm512_loadu_si512(p), back = _mm512_loadu_si512(p + ROW_SIZE / 2);
    return number_of((limb)_mm512_unpacklo_epi64(front, back), (limb)_mm512_unpackhi_epi64(front, back), bit128);
}

/* Four rows, of which the first `blank` blocks do not count. */
INLINE struct number step_along(struct number h, const uint8_t *p, const struct power powers[ROWS], int64_t blank)
{
    struct sums d = {0};
    accumulate(&d, row_at(p + ROW_SIZE, row_bits(blank - ROW)), &powers[2]);
    accumulate(&d, row_at(p + 2 * ROW_SIZE, row_bits(blank - 2 * ROW)), &powers[1]);
    accumulate(&d, row_at(p + 3 * ROW_SIZE, row_bits(blank - 3 * ROW)), &powers[0]);
    accumulate(&d, plus(h, row_at(p, row_bits(blank))), &powers[3]);
    return carry(&d);
}

INLINE struct number choose(struct number a, struct number b, __mmask8 lanes_of_b)
{
    a.l0 = (limb)_mm512_mask_mov_epi64((__m512i)a.l0, lanes_of_b, (__m512i)b.l0);
    a.l1 = (limb)_mm512_mask_mov_epi64((__m512i)a.l1, lanes_of_b, (__m512i)b.l1);
    a.l2 = (limb)_mm512_mask_mov_epi64((__m512i)a.l2, lanes_of_b, (__m512i)b.l2);
    return a;
}

/* r^8, r^4, r^7, r^3, r^6, r^2, r^5, r: as row_order has the blocks, and r^8 everywhere; the others for a long packet. */
static void raise_along(struct along_scratch *s, struct number r1, int body)
{
    struct power r, r2, r3, r4, lower;

    set_power(&r, r1);
    raise_power(&r2, &r, &r);
    raise_power(&r3, &r2, &r);
    raise_power(&r4, &r2, &r2);
    set_power(&lower, choose(choose(r4.r, r3.r, 0x0c), choose(r2.r, r.r, 0xc0), 0xf0));
    raise_power(&s->last, &lower, &r4);
    set_power(&s->last, choose(lower.r, s->last.r, 0x55));
    if (!body)
        return;
    raise_power(&s->powers[0], &r4, &r4);
    raise_power(&s->powers[1], &s->powers[0], &s->powers[0]);
    raise_power(&s->powers[2], &s->powers[1], &s->powers[0]);
    raise_power(&s->powers[3], &s->powers[1], &s->powers[1]);
}

/* The sum over so many blocks, all whole. */
static struct number sum_rows(struct along_scratch *s, const uint8_t *data, size_t blocks)
{
    struct number h = {all(0), all(0), all(0)};
    size_t blank = -blocks % (ROW * ROWS), copied = (ROW * ROWS - blank) * 16, length = 16 * blocks;

    if (blank) {
        memset(s->rows, 0, sizeof(s->rows));
        memcpy((uint8_t *)s->rows + 16 * blank, data, copied);
        h = step_along(h, (uint8_t *)s->rows, s->powers, (int64_t)blank);
        data += copied;
        length -= copied;
    }
    for (; length; length -= sizeof(s->rows), data += sizeof(s->rows))
        h = step_along(h, data, s->powers, 0);
    return h;
}

/* And over the last row: what is left of the data, and the block of lengths. */
static struct number sum_last_row(struct along_scratch *s, struct number h, const uint8_t *data, size_t left, size_t length)
{
    size_t blank = ROW - 1 - (left + 15) / 16;
    uint64_t lengths[2] = {0, length};
    struct sums d = {0};

    memset(s->rows[0], 0, ROW_SIZE);
    memcpy(s->rows[0] + 16 * blank, data, left);
    memcpy(s->rows[0] + ROW_SIZE - sizeof(lengths), lengths, sizeof(lengths));
    accumulate(&d, plus(h, row_at(s->rows[0], row_bits((int64_t)blank))), &s->last);
    return carry(&d);
}

INLINE struct number add_lanes(struct number h)
{
    h.l0 = all((uint64_t)_mm512_reduce_add_epi64((__m512i)h.l0));
    h.l1 = all((uint64_t)_mm512_reduce_add_epi64((__m512i)h.l1));
    h.l2 = all((uint64_t)_mm512_reduce_add_epi64((__m512i)h.l2));
    return h;
}

/* The tag of one packet. `key` is r and s, 32 bytes. */
static void tag_along(struct along_scratch *s, const uint8_t *data, size_t length, const uint8_t *key, uint8_t *tag)
{
    size_t blocks = (length + 15) / 16, body = blocks > ROW - 1 ? blocks - (ROW - 1) : 0;
    uint64_t words[4];
    limb low, high;

    memcpy(words, key, sizeof(words));
    raise_along(s, clamped(all(words[0]), all(words[1])), body > 0);
    struct number h = sum_rows(s, data, body);
    h = add_lanes(sum_last_row(s, h, data + 16 * body, length - 16 * body, length));
    add_s(h, all(words[2]), all(words[3]), &low, &high);
    words[0] = low[0];
    words[1] = high[0];
    memcpy(tag, words, AEAD_TAG_SIZE);
    wipe(words, sizeof(words));
}

#endif
