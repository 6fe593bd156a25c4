/*
 * Poly1305 of 8 packets side by side, for aead_avx512.c alone.
 *
 * Each 64-bit lane of a register is another packet. A step takes 4 blocks of all 8 packets, by r^4, r^3, r^2 and r,
 * with one carry. Packets of unlike lengths are aligned at their ends: what a shorter one lacks in front are blocks of
 * zero without the 2^128 bit, which leave its sum at zero. Nothing is ever added up across lanes.
 */
#ifndef KUBESPAN_AEAD_AVX512_SIDE_H
#define KUBESPAN_AEAD_AVX512_SIDE_H

#include "aead.h"
#include "aead_avx512_number.h"

enum { SIDE = 8, STEP = 64 };

struct side_scratch {
    struct power powers[4];                                    /* r, r^2, r^3, r^4 */
    uint8_t pieces[SIDE][STEP] __attribute__((aligned(64)));   /* blocks copied out of packets, filled up with zeros */
};

/* The data of eight packets. Lanes without a packet of their own repeat the first. */
struct side {
    const uint8_t *data[SIDE];
    size_t length[SIDE];
    const uint8_t *keys[SIDE]; /* r and s, 32 bytes */
};

/* 16 bytes of each of eight packets, as their lower and upper 64 bits. */
INLINE void load_blocks(const uint8_t *const p[SIDE], size_t offset, limb *low, limb *high)
{
#define BLOCK_OF(i) _mm_loadu_si128((const __m128i *)(p[i] + offset))
    __m512i even = _mm512_zextsi128_si512(BLOCK_OF(0)), odd = _mm512_zextsi128_si512(BLOCK_OF(1));
    even = _mm512_mask_broadcast_i64x2(even, 0x0c, BLOCK_OF(2));
    odd = _mm512_mask_broadcast_i64x2(odd, 0x0c, BLOCK_OF(3));
    even = _mm512_mask_broadcast_i64x2(even, 0x30, BLOCK_OF(4));
    odd = _mm512_mask_broadcast_i64x2(odd, 0x30, BLOCK_OF(5));
    even = _mm512_mask_broadcast_i64x2(even, 0xc0, BLOCK_OF(6));
    odd = _mm512_mask_broadcast_i64x2(odd, 0xc0, BLOCK_OF(7));
    *low = (limb)_mm512_unpacklo_epi64(even, odd);
    *high = (limb)_mm512_unpackhi_epi64(even, odd);
#undef BLOCK_OF
}

INLINE struct number block_at(const uint8_t *const p[SIDE], size_t offset, limb bit128)
{
    limb low, high;
    load_blocks(p, offset, &low, &high);
    return number_of(low, high, bit128);
}

/* h = (h + first block) * r^4 + second * r^3 + third * r^2 + fourth * r. What depends on h comes last. */
INLINE struct number step(struct number h, const uint8_t *const p[SIDE], size_t at, const struct power powers[4],
                          const limb bits[4])
{
    struct sums d = {0};
    accumulate(&d, block_at(p, at + 16, bits[1]), &powers[2]);
    accumulate(&d, block_at(p, at + 32, bits[2]), &powers[1]);
    accumulate(&d, block_at(p, at + 48, bits[3]), &powers[0]);
    accumulate(&d, plus(h, block_at(p, at, bits[0])), &powers[3]);
    return carry(&d);
}

/* Blocks of 16 before the last, which may be shorter: those are always whole. */
INLINE size_t body_blocks(size_t length) { return length ? (length - 1) / 16 : 0; }

/*
 * A step in which some packets have not begun: `lacks` is how many of the four blocks each is short of, or more.
 * Gives where to read the step's 64 bytes, and which blocks count.
 */
static void begin_lanes(struct side_scratch *s, const uint8_t *p[SIDE], const int64_t lacks[SIDE], limb bits[4])
{
    static const uint8_t nothing[STEP];
    __m512i lacking = _mm512_loadu_si512(lacks);

    for (int i = 0; i < SIDE; i++) {
        if (lacks[i] >= 4) {
            p[i] = nothing;
        } else if (lacks[i] > 0) {
            __mmask8 words = (__mmask8)(0xff << 2 * lacks[i]);
            _mm512_store_si512(s->pieces[i], _mm512_maskz_expandloadu_epi64(words, p[i]));
            p[i] = s->pieces[i];
        }
    }
    for (int block = 0; block < 4; block++)
        bits[block] = (limb)_mm512_maskz_set1_epi64(_mm512_cmple_epi64_mask(lacking, _mm512_set1_epi64(block)), BIT128);
}

/* The sum over all blocks but each packet's last. */
static struct number sum_bodies(struct side_scratch *s, const struct side *side)
{
    const limb whole[4] = {all(BIT128), all(BIT128), all(BIT128), all(BIT128)};
    struct number h = {all(0), all(0), all(0)};
    const uint8_t *p[SIDE];
    size_t most = 0, least = SIZE_MAX, done = 0;
    limb bits[4];

    for (int i = 0; i < SIDE; i++) {
        size_t blocks = body_blocks(side->length[i]);
        most = blocks > most ? blocks : most;
        least = blocks < least ? blocks : least;
    }
    size_t steps = (most + 3) / 4, uneven = steps - least / 4;
    for (; done < uneven; done++) {
        int64_t lacks[SIDE];
        for (int i = 0; i < SIDE; i++) {
            lacks[i] = (int64_t)(4 * (steps - done)) - (int64_t)body_blocks(side->length[i]);
            p[i] = side->data[i] - (lacks[i] < 0 ? 16 * lacks[i] : 0);
        }
        begin_lanes(s, p, lacks, bits);
        h = step(h, p, 0, s->powers, bits);
    }
    for (int i = 0; i < SIDE; i++)
        p[i] = side->data[i] + 16 * (body_blocks(side->length[i]) - 4 * (steps - done));
    for (size_t at = 0; done < steps; done++, at += STEP)
        h = step(h, p, at, s->powers, whole);
    return h;
}

/* And over the last block, filled up with zeros, and the block of lengths: RFC 8439 section 2.8. */
static struct number sum_ends(struct side_scratch *s, const struct side *side, struct number h)
{
    const uint8_t *p[SIDE];
    struct sums d = {0};
    limb length = (limb)_mm512_loadu_si512(side->length);

    for (int i = 0; i < SIDE; i++) {
        size_t before = 16 * body_blocks(side->length[i]), rest = side->length[i] - before;
        __mmask16 bytes = (__mmask16)(0xffff >> (16 - rest));
        __m128i last = rest ? _mm_maskz_loadu_epi8(bytes, side->data[i] + before) : _mm_setzero_si128();
        _mm_store_si128((__m128i *)s->pieces[i], last);
        p[i] = s->pieces[i];
    }
    __mmask8 filled = _mm512_test_epi64_mask((__m512i)length, (__m512i)length);
    limb bit128 = (limb)_mm512_maskz_set1_epi64(filled, BIT128);
    accumulate(&d, number_of(all(0), length, all(BIT128)), &s->powers[0]);
    accumulate(&d, plus(h, block_at(p, 0, bit128)), &s->powers[1]);
    return carry(&d);
}

/* r, clamped, and as many of its powers as the packets need. */
static void raise_side(struct side_scratch *s, const struct side *side, int body)
{
    limb low, high;
    load_blocks(side->keys, 0, &low, &high);
    set_power(&s->powers[0], clamped(low, high));
    raise_power(&s->powers[1], &s->powers[0], &s->powers[0]);
    if (!body)
        return;
    raise_power(&s->powers[2], &s->powers[1], &s->powers[0]);
    raise_power(&s->powers[3], &s->powers[1], &s->powers[1]);
}

INLINE void store_tags(uint8_t *tags, limb low, limb high)
{
    __m512i even = _mm512_unpacklo_epi64((__m512i)low, (__m512i)high);
    __m512i odd = _mm512_unpackhi_epi64((__m512i)low, (__m512i)high);
    __m512i front = _mm512_permutex2var_epi64(even, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), odd);
    __m512i back = _mm512_permutex2var_epi64(even, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), odd);
    _mm512_storeu_si512(tags, front);
    _mm512_storeu_si512(tags + 64, back);
}

/* The tags of eight packets, one after another. */
static void tag_side(struct side_scratch *s, const struct side *side, uint8_t *tags)
{
    limb low, high, s_low, s_high;
    size_t longest = 0;

    for (int i = 0; i < SIDE; i++)
        longest = side->length[i] > longest ? side->length[i] : longest;
    raise_side(s, side, longest > 16);
    load_blocks(side->keys, 16, &s_low, &s_high);
    add_s(sum_ends(s, side, sum_bodies(s, side)), s_low, s_high, &low, &high);
    store_tags(tags, low, high);
}

#endif
