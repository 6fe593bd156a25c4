/*
 * Poly1305 in plain 64-bit arithmetic, block by block: for aead_lanes.h alone.
 *
 * One chain of multiplications and carries; its length is what bounds the speed, 14 cycles a block on Zen 5.
 */
#ifndef KUBESPAN_AEAD_POLY64_H
#define KUBESPAN_AEAD_POLY64_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef unsigned __int128 wide;

/* A sum under way, below 2^131, in three words; r; and 5/4 of its upper word: what that times 2^64 is, times h1. */
struct sum {
    uint64_t h0, h1, h2, r0, r1, s1;
};

INLINE uint64_t load_word(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

INLINE void store_word(uint8_t *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, sizeof(v));
}

/* low, high and top plus a, b and c, as one number. Compilers make detours here, on the way that bounds the speed. */
INLINE void add_three(uint64_t *low, uint64_t *high, uint64_t *top, uint64_t a, uint64_t b, uint64_t c)
{
#ifdef __x86_64__
    __asm__("add %3, %0\n\tadc %4, %1\n\tadc %5, %2"
            : "+&r"(*low), "+&r"(*high), "+r"(*top)
            : "r"(a), "re"(b), "re"(c)
            : "cc");
#else
    wide sum = (wide)*low + a, next = (wide)*high + b + (uint64_t)(sum >> 64);
    *low = (uint64_t)sum;
    *high = (uint64_t)next;
    *top += c + (uint64_t)(next >> 64);
#endif
}

/* The same of two words: what is above is lost. */
INLINE void add_two(uint64_t *low, uint64_t *high, uint64_t a, uint64_t b)
{
#ifdef __x86_64__
    __asm__("add %2, %0\n\tadc %3, %1" : "+&r"(*low), "+r"(*high) : "r"(a), "re"(b) : "cc");
#else
    wide sum = (wide)*low + a;
    *low = (uint64_t)sum;
    *high += b + (uint64_t)(sum >> 64);
#endif
}

/* h = (h + block + 2^128) * r, partly reduced. r is clamped, so no sum here exceeds its 128 bits. */
INLINE void sum_block(struct sum *m, uint64_t low, uint64_t high)
{
    uint64_t h0 = m->h0, h1 = m->h1, h2 = m->h2;

    add_three(&h0, &h1, &h2, low, high, 1);
    wide p00 = (wide)h0 * m->r0, p11 = (wide)h1 * m->s1, p01 = (wide)h0 * m->r1, p10 = (wide)h1 * m->r0;
    uint64_t d0 = (uint64_t)p00, over = (uint64_t)(p00 >> 64), d1 = (uint64_t)p01, d2 = (uint64_t)(p01 >> 64);
    add_two(&d0, &over, (uint64_t)p11, (uint64_t)(p11 >> 64));
    add_two(&d1, &d2, (uint64_t)p10, (uint64_t)(p10 >> 64));
    add_two(&d1, &d2, h2 * m->s1, h2 * m->r0);
    add_two(&d1, &d2, over, 0);
    uint64_t five = (d2 >> 2) + (d2 & ~3ull); /* what lies above 2^130, times 5 */
    d2 &= 3;
    add_three(&d0, &d1, &d2, five, 0, 0);
    m->h0 = d0;
    m->h1 = d1;
    m->h2 = d2;
}

/* `key` is 32 bytes: r, then s. */
INLINE void sum_begin(struct sum *m, const uint8_t *key)
{
    m->h0 = m->h1 = m->h2 = 0;
    m->r0 = load_word(key) & 0x0ffffffc0fffffff;
    m->r1 = load_word(key + 8) & 0x0ffffffc0ffffffc;
    m->s1 = m->r1 + (m->r1 >> 2);
}

/* The block of lengths, RFC 8439 section 2.8; then h modulo 2^130 - 5, plus s, modulo 2^128. */
INLINE void sum_end(struct sum *m, const uint8_t *key, size_t length, uint8_t *tag)
{
    sum_block(m, 0, length);
    wide a = (wide)m->h0 + 5, b = (wide)m->h1 + (uint64_t)(a >> 64);
    uint64_t beyond = -((m->h2 + (uint64_t)(b >> 64)) >> 2);
    uint64_t low = (m->h0 & ~beyond) | ((uint64_t)a & beyond), high = (m->h1 & ~beyond) | ((uint64_t)b & beyond);
    a = (wide)low + load_word(key + 16);
    store_word(tag, (uint64_t)a);
    store_word(tag + 8, high + load_word(key + 24) + (uint64_t)(a >> 64));
}

/* Less than 16 bytes, filled up with zeros. */
INLINE void sum_rest(struct sum *m, const uint8_t *data, size_t length)
{
    uint64_t words[2] = {0, 0};
    for (size_t i = 0; i < length; i++)
        words[i / 8] |= (uint64_t)data[i] << (8 * (i % 8));
    sum_block(m, words[0], words[1]);
}

#endif
