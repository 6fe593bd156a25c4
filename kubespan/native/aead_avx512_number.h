/*
 * Numbers modulo 2^130 - 5, eight at a time, by AVX-512 IFMA: what Poly1305 is made of, for aead_avx512.c alone.
 *
 * A number is three limbs of 44, 44 and 42 bits, so that vpmadd52 multiplies limbs and sums of products fit. What the
 * eight numbers of a register are, blocks of eight packets or eight blocks of one, is the business of those who use it.
 */
#ifndef KUBESPAN_AEAD_AVX512_NUMBER_H
#define KUBESPAN_AEAD_AVX512_NUMBER_H

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

#define LIMB44 0xfffffffffffull
#define LIMB42 0x3ffffffffffull
#define BIT128 (1ull << 40) /* in the upper limb */

/* A limb of eight numbers, and eight numbers. */
typedef uint64_t limb __attribute__((vector_size(64)));
struct number {
    limb l0, l1, l2;
};

/* A power of r, with 20 times its upper limbs: what overflows 2^130 comes back times 5, and 2^132 is 4 * 2^130. */
struct power {
    struct number r;
    limb s1, s2;
};

/* Sums of products, apart by limb and by lower and upper half. */
struct sums {
    limb low0, high0, low1, high1, low2, high2;
};

INLINE limb all(uint64_t value) { return (limb)_mm512_set1_epi64((long long)value); }

INLINE void multiply_add(limb *low, limb *high, limb a, limb b)
{
    *low = (limb)_mm512_madd52lo_epu64((__m512i)*low, (__m512i)a, (__m512i)b);
    *high = (limb)_mm512_madd52hi_epu64((__m512i)*high, (__m512i)a, (__m512i)b);
}

/* sums += n * power. Limbs of n are below 2^52. */
INLINE void accumulate(struct sums *d, struct number n, const struct power *p)
{
    multiply_add(&d->low0, &d->high0, n.l0, p->r.l0);
    multiply_add(&d->low1, &d->high1, n.l0, p->r.l1);
    multiply_add(&d->low2, &d->high2, n.l0, p->r.l2);
    multiply_add(&d->low0, &d->high0, n.l1, p->s2);
    multiply_add(&d->low1, &d->high1, n.l1, p->r.l0);
    multiply_add(&d->low2, &d->high2, n.l1, p->r.l1);
    multiply_add(&d->low0, &d->high0, n.l2, p->s1);
    multiply_add(&d->low1, &d->high1, n.l2, p->s2);
    multiply_add(&d->low2, &d->high2, n.l2, p->r.l0);
}

/* The sums as a number again; its middle limb may exceed 44 bits by a little. An upper half weighs 2^52. */
INLINE struct number carry(const struct sums *d)
{
    struct number h;
    limb over = d->low0 >> 44;
    h.l0 = d->low0 & all(LIMB44);
    h.l1 = d->low1 + (d->high0 << 8) + over;
    h.l2 = d->low2 + (d->high1 << 8) + (h.l1 >> 44);
    h.l1 &= all(LIMB44);
    over = (h.l2 >> 42) + (d->high2 << 10);
    h.l2 &= all(LIMB42);
    h.l0 += over + (over << 2);
    h.l1 += h.l0 >> 44;
    h.l0 &= all(LIMB44);
    return h;
}

INLINE void set_power(struct power *p, struct number n)
{
    p->r = n;
    p->s1 = n.l1 * 20;
    p->s2 = n.l2 * 20;
}

static void raise_power(struct power *p, const struct power *from, const struct power *r)
{
    struct sums d = {0};
    accumulate(&d, from->r, r);
    set_power(p, carry(&d));
}

INLINE struct number number_of(limb low, limb high, limb bit128)
{
    struct number n;
    n.l0 = low & all(LIMB44);
    n.l1 = (limb)_mm512_shrdi_epi64((__m512i)low, (__m512i)high, 44) & all(LIMB44);
    n.l2 = (high >> 24) | bit128;
    return n;
}

INLINE struct number plus(struct number a, struct number b)
{
    return (struct number){a.l0 + b.l0, a.l1 + b.l1, a.l2 + b.l2};
}

/* r as RFC 8439 section 2.5 wants it. */
INLINE struct number clamped(limb low, limb high)
{
    return number_of(low & all(0x0ffffffc0fffffff), high & all(0x0ffffffc0ffffffc), all(0));
}

/* h modulo 2^130 - 5, in full, as 128 bits: what lies above has no effect on the tag. */
INLINE void reduce(struct number h, limb *low, limb *high)
{
    for (int i = 0; i < 2; i++) {
        h.l2 += h.l1 >> 44;
        h.l1 &= all(LIMB44);
        h.l0 += 5 * (h.l2 >> 42);
        h.l2 &= all(LIMB42);
        h.l1 += h.l0 >> 44;
        h.l0 &= all(LIMB44);
    }
    limb g0 = h.l0 + 5, g1 = h.l1 + (g0 >> 44), g2 = h.l2 + (g1 >> 44);
    __mmask8 beyond = _mm512_test_epi64_mask((__m512i)g2, (__m512i)all(1ull << 42));
    h.l0 = (limb)_mm512_mask_mov_epi64((__m512i)h.l0, beyond, (__m512i)(g0 & all(LIMB44)));
    h.l1 = (limb)_mm512_mask_mov_epi64((__m512i)h.l1, beyond, (__m512i)(g1 & all(LIMB44)));
    h.l2 = (limb)_mm512_mask_mov_epi64((__m512i)h.l2, beyond, (__m512i)g2);
    *low = h.l0 | (h.l1 << 44);
    *high = (h.l1 >> 20) | (h.l2 << 24);
}

/* The tags: h in full, plus s, modulo 2^128. */
INLINE void add_s(struct number h, limb s_low, limb s_high, limb *low, limb *high)
{
    reduce(h, low, high);
    *low += s_low;
    __mmask8 over = _mm512_cmplt_epu64_mask((__m512i)*low, (__m512i)s_low);
    *high += s_high;
    *high = (limb)_mm512_mask_add_epi64((__m512i)*high, over, (__m512i)*high, _mm512_set1_epi64(1));
}

#endif
