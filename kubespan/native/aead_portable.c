/*
 * The AEAD kernel in portable C: four lanes of GNU vectors, which compilers turn into SSE2, NEON or plain code.
 *
 * For any machine with 64-bit words, of either byte order. See aead_lanes.h for how it works.
 */
#include "aead.h"

#ifdef __SIZEOF_INT128__

#define WIDTH 4
typedef uint32_t word __attribute__((vector_size(4 * WIDTH)));

#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (word){__VA_ARGS__})
#endif

static inline word rotate_left(word v, int n) { return (v << n) | (v >> (32 - n)); }

static inline word little_endian(word v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = (v << 24) | ((v & 0xff00) << 8) | ((v >> 8) & 0xff00) | (v >> 24);
#endif
    return v;
}

/* Four words of four blocks become four blocks' 16 bytes. */
static inline void store_quarter(const word x[4], uint8_t *out)
{
    word low01 = SHUFFLE(x[0], x[1], 0, 4, 1, 5), high01 = SHUFFLE(x[0], x[1], 2, 6, 3, 7);
    word low23 = SHUFFLE(x[2], x[3], 0, 4, 1, 5), high23 = SHUFFLE(x[2], x[3], 2, 6, 3, 7);
    const word quarters[WIDTH] = {SHUFFLE(low01, low23, 0, 1, 4, 5), SHUFFLE(low01, low23, 2, 3, 6, 7),
                                  SHUFFLE(high01, high23, 0, 1, 4, 5), SHUFFLE(high01, high23, 2, 3, 6, 7)};
    for (int lane = 0; lane < WIDTH; lane++) {
        word quarter = little_endian(quarters[lane]);
        __builtin_memcpy(out + 64 * lane, &quarter, sizeof(quarter));
    }
}

static inline void store_blocks(const word x[16], uint8_t *out)
{
    for (int i = 0; i < 4; i++)
        store_quarter(x + 4 * i, out + 16 * i);
}

#include "aead_lanes.h"

static const struct aead_provider provider = {"portable", lanes_create, free, lanes_seal, lanes_open};

const struct aead_provider *aead_portable(void) { return &provider; }

#else

const struct aead_provider *aead_portable(void) { return NULL; }

#endif
