/*
 * ChaCha20 in 32 lanes of AVX-512, for aead_avx512.c alone.
 *
 * A pass makes 32 blocks of keystream, as two states of 16 registers, one register a word and one lane of it a block.
 * Each lane has a counter and nonce of its own.
 *
 * The rounds are assembly, because they need all 32 registers: gcc 12 spills some, differently with every change.
 * On Zen 5 a double round of both states takes 61 cycles, in C 65 to 90. Nobody has run this code on Zen 4 yet.
 */
#ifndef KUBESPAN_AEAD_AVX512_CHACHA_H
#define KUBESPAN_AEAD_AVX512_CHACHA_H

#include <immintrin.h>

#include "aead_stream.h"

enum { LANES = 32, HALF = 16 };

#define INLINE static inline __attribute__((always_inline))
#define ALIGNED __attribute__((aligned(64)))

/* Words 12 to 15 of the state, of every lane. */
struct lanes {
    uint32_t counter[LANES], head[LANES], low[LANES], high[LANES];
};

struct chacha {
    uint32_t fixed[12] ALIGNED; /* words 0 to 11 of the state, the same in every lane */
    struct lanes lanes ALIGNED;
    uint32_t words[2 * HALF][HALF] ALIGNED; /* of a pass, before they are blocks */
};

/* ---------------------------------------------------------------------------------- the rounds */

/* One instruction for each of the four columns of a state: registers p of one row, q of another. */
#define FOUR_(op, p0, p1, p2, p3, q0, q1, q2, q3)                                                                     \
    op " %%zmm" #q0 ", %%zmm" #p0 ", %%zmm" #p0 "\n" op " %%zmm" #q1 ", %%zmm" #p1 ", %%zmm" #p1 "\n" op " %%zmm" #q2   \
       ", %%zmm" #p2 ", %%zmm" #p2 "\n" op " %%zmm" #q3 ", %%zmm" #p3 ", %%zmm" #p3 "\n"
#define TURN_(n, p0, p1, p2, p3)                                                                                       \
    "vprold $" #n ", %%zmm" #p0 ", %%zmm" #p0 "\nvprold $" #n ", %%zmm" #p1 ", %%zmm" #p1 "\nvprold $" #n ", %%zmm" #p2 \
    ", %%zmm" #p2 "\nvprold $" #n ", %%zmm" #p3 ", %%zmm" #p3 "\n"
#define FOUR(...) FOUR_(__VA_ARGS__)
#define TURN(...) TURN_(__VA_ARGS__)
#define ADD(...) FOUR("vpaddd", __VA_ARGS__)
#define XOR(...) FOUR("vpxord", __VA_ARGS__)

/* Rows a to d of the first state X and the second Y; rows b to d also as diagonals. */
#define XA 0, 1, 2, 3
#define XB 4, 5, 6, 7
#define XC 8, 9, 10, 11
#define XD 12, 13, 14, 15
#define XB_ 5, 6, 7, 4
#define XC_ 10, 11, 8, 9
#define XD_ 15, 12, 13, 14
#define YA 16, 17, 18, 19
#define YB 20, 21, 22, 23
#define YC 24, 25, 26, 27
#define YD 28, 29, 30, 31
#define YB_ 21, 22, 23, 20
#define YC_ 26, 27, 24, 25
#define YD_ 31, 28, 29, 30

/* p += q; s ^= p; s <<<= n of both states, Y half a step behind X: `m` and `t` are what Y has yet to turn. */
#define STEPS(m, t, n, p, q, s, P, Q, S) ADD(p, q) TURN(m, t) XOR(s, p) ADD(P, Q) TURN(n, s) XOR(S, P)

#define DOUBLE_ROUND                                                                                                   \
    STEPS(7, YB_, 16, XA, XB, XD, YA, YB, YD)                                                                          \
    STEPS(16, YD, 12, XC, XD, XB, YC, YD, YB)                                                                          \
    STEPS(12, YB, 8, XA, XB, XD, YA, YB, YD)                                                                           \
    STEPS(8, YD, 7, XC, XD, XB, YC, YD, YB)                                                                            \
    STEPS(7, YB, 16, XA, XB_, XD_, YA, YB_, YD_)                                                                       \
    STEPS(16, YD_, 12, XC_, XD_, XB_, YC_, YD_, YB_)                                                                   \
    STEPS(12, YB_, 8, XA, XB_, XD_, YA, YB_, YD_)                                                                      \
    STEPS(8, YD_, 7, XC_, XD_, XB_, YC_, YD_, YB_)

#define LOAD_FIXED_(k, y) "vpbroadcastd 4*" #k "(%[fixed]), %%zmm" #k "\nvmovdqa64 %%zmm" #k ", %%zmm" #y "\n"
#define LOAD_LANES_(k, x, y)                                                                                           \
    "vmovdqa64 128*" #k "(%[lanes]), %%zmm" #x "\nvmovdqa64 128*" #k "+64(%[lanes]), %%zmm" #y "\n"
#define STORE_FIXED_(k, y)                                                                                             \
    "vpaddd 4*" #k "(%[fixed])%{1to16%}, %%zmm" #k ", %%zmm" #k "\nvmovdqa64 %%zmm" #k ", 64*" #k "(%[words])\n"       \
    "vpaddd 4*" #k "(%[fixed])%{1to16%}, %%zmm" #y ", %%zmm" #y "\nvmovdqa64 %%zmm" #y ", 64*" #y "(%[words])\n"
#define STORE_LANES_(k, x, y)                                                                                          \
    "vpaddd 128*" #k "(%[lanes]), %%zmm" #x ", %%zmm" #x "\nvmovdqa64 %%zmm" #x ", 64*" #x "(%[words])\n"              \
    "vpaddd 128*" #k "+64(%[lanes]), %%zmm" #y ", %%zmm" #y "\nvmovdqa64 %%zmm" #y ", 64*" #y "(%[words])\n"
#define EVERY_WORD(op_fixed, op_lanes)                                                                                 \
    op_fixed(0, 16) op_fixed(1, 17) op_fixed(2, 18) op_fixed(3, 19) op_fixed(4, 20) op_fixed(5, 21)                    \
    op_fixed(6, 22) op_fixed(7, 23) op_fixed(8, 24) op_fixed(9, 25) op_fixed(10, 26) op_fixed(11, 27)                  \
    op_lanes(0, 12, 28) op_lanes(1, 13, 29) op_lanes(2, 14, 30) op_lanes(3, 15, 31)

/* The 16 words of 32 blocks, word by word: `words` of the first 16 lanes, then of the others. */
static void run_rounds(const struct chacha *s, uint32_t words[2 * HALF][HALF])
{
    long rounds = 10;

    /* Y's last turn of all comes after the loop, so the loop begins with one undone. */
    __asm__ volatile(EVERY_WORD(LOAD_FIXED_, LOAD_LANES_)
                     "vprord $7, %%zmm20, %%zmm20\nvprord $7, %%zmm21, %%zmm21\n"
                     "vprord $7, %%zmm22, %%zmm22\nvprord $7, %%zmm23, %%zmm23\n"
                     ".p2align 5\n1:\n" DOUBLE_ROUND "dec %[rounds]\njnz 1b\n" TURN(7, YB)
                     EVERY_WORD(STORE_FIXED_, STORE_LANES_)
                     : [rounds] "+r"(rounds)
                     : [fixed] "r"(s->fixed), [lanes] "r"(&s->lanes), [words] "r"(words)
                     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19",
                       "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29",
                       "xmm30", "xmm31");
}

/* 16 words of 16 blocks, word by word, become 16 blocks one after another. */
INLINE void transpose(const uint32_t words[HALF][HALF], uint8_t *blocks)
{
    __m512i quads[4][4]; /* words 4g to 4g + 3 of lanes j, 4 + j, 8 + j and 12 + j */

    for (int g = 0; g < 4; g++) {
        __m512i w0 = _mm512_load_si512(words[4 * g]), w1 = _mm512_load_si512(words[4 * g + 1]);
        __m512i w2 = _mm512_load_si512(words[4 * g + 2]), w3 = _mm512_load_si512(words[4 * g + 3]);
        __m512i low01 = _mm512_unpacklo_epi32(w0, w1), high01 = _mm512_unpackhi_epi32(w0, w1);
        __m512i low23 = _mm512_unpacklo_epi32(w2, w3), high23 = _mm512_unpackhi_epi32(w2, w3);
        quads[g][0] = _mm512_unpacklo_epi64(low01, low23);
        quads[g][1] = _mm512_unpackhi_epi64(low01, low23);
        quads[g][2] = _mm512_unpacklo_epi64(high01, high23);
        quads[g][3] = _mm512_unpackhi_epi64(high01, high23);
    }
    for (int j = 0; j < 4; j++) {
        __m512i a = _mm512_shuffle_i32x4(quads[0][j], quads[1][j], 0x44);
        __m512i b = _mm512_shuffle_i32x4(quads[2][j], quads[3][j], 0x44);
        __m512i c = _mm512_shuffle_i32x4(quads[0][j], quads[1][j], 0xee);
        __m512i d = _mm512_shuffle_i32x4(quads[2][j], quads[3][j], 0xee);
        _mm512_store_si512(blocks + AEAD_BLOCK * j, _mm512_shuffle_i32x4(a, b, 0x88));
        _mm512_store_si512(blocks + AEAD_BLOCK * (4 + j), _mm512_shuffle_i32x4(a, b, 0xdd));
        _mm512_store_si512(blocks + AEAD_BLOCK * (8 + j), _mm512_shuffle_i32x4(c, d, 0x88));
        _mm512_store_si512(blocks + AEAD_BLOCK * (12 + j), _mm512_shuffle_i32x4(c, d, 0xdd));
    }
}

static void make_keystream(struct chacha *s, uint8_t *blocks)
{
    run_rounds(s, s->words);
    transpose(s->words, blocks);
    transpose(s->words + HALF, blocks + HALF * AEAD_BLOCK);
}

/* ---------------------------------------------------------------------------------- the lanes */

/* Whole vectors are read and written: a masked store would make the pass wait for it. */
INLINE void fill(uint32_t words[LANES], __mmask32 lanes, __m512i low, __m512i high)
{
    _mm512_store_si512(words, _mm512_mask_mov_epi32(_mm512_load_si512(words), (__mmask16)lanes, low));
    words += HALF;
    _mm512_store_si512(words, _mm512_mask_mov_epi32(_mm512_load_si512(words), (__mmask16)(lanes >> HALF), high));
}

INLINE void fill_all(uint32_t words[LANES], __mmask32 lanes, uint32_t value)
{
    fill(words, lanes, _mm512_set1_epi32((int)value), _mm512_set1_epi32((int)value));
}

/* The lanes from the run's first on, to the last of all: the next run overwrites what is not this one's. */
INLINE void fill_run(struct lanes *l, const struct aead_run *run)
{
    const __m512i ordinals = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i blocks = _mm512_add_epi32(ordinals, _mm512_set1_epi32((int)(run->block - run->lane)));
    __mmask32 lanes = ~0u << run->lane;

    fill(l->counter, lanes, blocks, _mm512_add_epi32(blocks, _mm512_set1_epi32(HALF)));
    fill_all(l->head, lanes, run->item->head);
    fill_all(l->low, lanes, (uint32_t)run->item->counter);
    fill_all(l->high, lanes, (uint32_t)(run->item->counter >> 32));
}

/* The first lanes of a group are block 0 of each packet. */
static void fill_keys(struct lanes *l, const struct aead_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        l->counter[i] = 0;
        l->head[i] = items[i].head;
        l->low[i] = (uint32_t)items[i].counter;
        l->high[i] = (uint32_t)(items[i].counter >> 32);
    }
}

#endif
