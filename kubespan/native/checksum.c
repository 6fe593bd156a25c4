#include "checksum.h"

#include <string.h>

/* What remains after whole blocks: fewer than one block's bytes, out NULL for no copy. */
static inline __attribute__((always_inline)) uint64_t sum_rest(uint8_t *out, const uint8_t *data,
                                                               size_t len)
{
    uint64_t sum = 0;
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        if (out) {
            memcpy(out, &word, 8);
            out += 8;
        }
        sum += (word & 0xffffffff) + (word >> 32);
        data += 8;
        len -= 8;
    }
    if (len & 4) {
        uint32_t word;
        memcpy(&word, data, 4);
        if (out) {
            memcpy(out, &word, 4);
            out += 4;
        }
        sum += word;
        data += 4;
    }
    if (len & 2) {
        uint16_t word;
        memcpy(&word, data, 2);
        if (out) {
            memcpy(out, &word, 2);
            out += 2;
        }
        sum += word;
        data += 2;
    }
    if (len & 1) {
        uint16_t word = 0;
        memcpy(&word, data, 1);
        if (out)
            memcpy(out, data, 1);
        sum += word;
    }
    return sum;
}

/*
 * One kernel for every register width: 32-bit words widened into 64-bit lanes need no carry, and
 * two accumulators of each half hide the latency of the additions. The vector type decides which
 * instructions come out; 16 bytes is what every x86-64 and ARMv8 has.
 */
#define DEFINE_KERNEL(name, lanes_t, attributes)                                              \
    attributes static inline uint64_t name(uint8_t *out, const uint8_t *data, size_t len)     \
    {                                                                                         \
        enum { WIDTH = sizeof(lanes_t) };                                                     \
        lanes_t low0 = {0}, low1 = {0}, high0 = {0}, high1 = {0};                             \
        while (len >= 2 * WIDTH) {                                                            \
            lanes_t x, y;                                                                     \
            memcpy(&x, data, WIDTH);                                                          \
            memcpy(&y, data + WIDTH, WIDTH);                                                  \
            if (out) {                                                                        \
                memcpy(out, &x, WIDTH);                                                       \
                memcpy(out + WIDTH, &y, WIDTH);                                               \
                out += 2 * WIDTH;                                                             \
            }                                                                                 \
            low0 += x & 0xffffffff;                                                           \
            low1 += y & 0xffffffff;                                                           \
            high0 += x >> 32;                                                                 \
            high1 += y >> 32;                                                                 \
            data += 2 * WIDTH;                                                                \
            len -= 2 * WIDTH;                                                                 \
        }                                                                                     \
        low0 += low1 + high0 + high1;                                                         \
        uint64_t sum = 0;                                                                     \
        for (unsigned i = 0; i < WIDTH / 8; i++)                                              \
            sum += low0[i];                                                                   \
        return sum + sum_rest(out, data, len);                                                \
    }

#define INLINE __attribute__((always_inline))

typedef uint64_t lanes128 __attribute__((vector_size(16)));

DEFINE_KERNEL(kernel128, lanes128, INLINE)

uint64_t checksum_sum_portable(const uint8_t *data, size_t len)
{
    return kernel128(NULL, data, len);
}

uint64_t checksum_copy_portable(uint8_t *out, const uint8_t *data, size_t len)
{
    return kernel128(out, data, len);
}

#if defined(__x86_64__)

/* Below this many bytes the wider registers save nothing. */
enum { WIDE_FROM = 128 };

typedef uint64_t lanes256 __attribute__((vector_size(32)));

#define AVX2 __attribute__((target("avx2")))

DEFINE_KERNEL(kernel256, lanes256, AVX2 INLINE)

AVX2 __attribute__((noinline)) static uint64_t sum_avx2(const uint8_t *data, size_t len)
{
    return kernel256(NULL, data, len);
}

AVX2 __attribute__((noinline)) static uint64_t copy_avx2(uint8_t *out, const uint8_t *data,
                                                         size_t len)
{
    return kernel256(out, data, len);
}

uint64_t checksum_sum(const uint8_t *data, size_t len)
{
    if (len >= WIDE_FROM && __builtin_cpu_supports("avx2"))
        return sum_avx2(data, len);
    return kernel128(NULL, data, len);
}

uint64_t checksum_copy(uint8_t *out, const uint8_t *data, size_t len)
{
    if (len >= WIDE_FROM && __builtin_cpu_supports("avx2"))
        return copy_avx2(out, data, len);
    return kernel128(out, data, len);
}

#else

uint64_t checksum_sum(const uint8_t *data, size_t len)
{
    return kernel128(NULL, data, len);
}

uint64_t checksum_copy(uint8_t *out, const uint8_t *data, size_t len)
{
    return kernel128(out, data, len);
}

#endif
