/*
 * The AEAD kernel for AVX2 with BMI2: eight lanes. See aead_lanes.h for how it works.
 */
#include "aead.h"

#ifdef __x86_64__
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi2")
#endif
#include <immintrin.h>

#define WIDTH 8
typedef uint32_t word __attribute__((vector_size(4 * WIDTH)));

/* By 16 and 8, which are whole bytes, in one instruction; else in three. */
static inline word rotate_left(word v, int n)
{
    const __m256i by16 = _mm256_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7, 4, 5,
                                          10, 11, 8, 9, 14, 15, 12, 13);
    const __m256i by8 = _mm256_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14, 3, 0, 1, 2, 7, 4, 5, 6,
                                         11, 8, 9, 10, 15, 12, 13, 14);
    if (n == 16)
        return (word)_mm256_shuffle_epi8((__m256i)v, by16);
    if (n == 8)
        return (word)_mm256_shuffle_epi8((__m256i)v, by8);
    return (v << n) | (v >> (32 - n));
}

/* Eight words of eight blocks become eight blocks' 32 bytes. */
static inline void store_half(const word x[8], uint8_t *out)
{
    __m256i quarters[2][4]; /* words 4g to 4g + 3 of lanes j and 4 + j */

    for (int g = 0; g < 2; g++) {
        __m256i w0 = (__m256i)x[4 * g], w1 = (__m256i)x[4 * g + 1];
        __m256i w2 = (__m256i)x[4 * g + 2], w3 = (__m256i)x[4 * g + 3];
        __m256i low01 = _mm256_unpacklo_epi32(w0, w1), high01 = _mm256_unpackhi_epi32(w0, w1);
        __m256i low23 = _mm256_unpacklo_epi32(w2, w3), high23 = _mm256_unpackhi_epi32(w2, w3);
        quarters[g][0] = _mm256_unpacklo_epi64(low01, low23);
        quarters[g][1] = _mm256_unpackhi_epi64(low01, low23);
        quarters[g][2] = _mm256_unpacklo_epi64(high01, high23);
        quarters[g][3] = _mm256_unpackhi_epi64(high01, high23);
    }
    for (int j = 0; j < 4; j++) {
        __m256i a = quarters[0][j], b = quarters[1][j];
        _mm256_store_si256((__m256i *)(out + 64 * j), _mm256_permute2x128_si256(a, b, 0x20));
        _mm256_store_si256((__m256i *)(out + 64 * (4 + j)), _mm256_permute2x128_si256(a, b, 0x31));
    }
}

static inline void store_blocks(const word x[16], uint8_t *out)
{
    store_half(x, out);
    store_half(x + 8, out + 32);
}

#include "aead_lanes.h"

static const struct aead_provider provider = {"avx2", lanes_create, free, lanes_seal, lanes_open};

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* Compiled for any processor, as the one that asks may be. */
const struct aead_provider *aead_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") ? &provider : NULL;
}

#else

const struct aead_provider *aead_avx2(void) { return NULL; }

#endif
