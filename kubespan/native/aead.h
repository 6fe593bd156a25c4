/*
 * ChaCha20-Poly1305 (RFC 8439) over a batch of packets of one key, in place or not.
 *
 * The one door to authenticated encryption for the lanes. Which code does the work is a provider, chosen once at
 * start: a kernel of our own for what the processor can do, or a library. Batches may have any size and packets any
 * length and alignment; kernels are fastest from 8 packets on, and where these are of about the same length.
 *
 * Never knows WireGuard, and there is no additional data. A context belongs to one thread; it holds no key between two
 * calls.
 */
#ifndef KUBESPAN_AEAD_H
#define KUBESPAN_AEAD_H

#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY_SIZE 32
#define AEAD_TAG_SIZE 16

/* One packet. seal: `length` plaintext bytes become length + 16 at `target`. open: `length` counts the tag too,
 * and length - 16 plaintext bytes appear at `target`, or zeros when the tag is wrong. source may equal target; else the two do not overlap. */
struct aead_item {
    const uint8_t *source;
    uint8_t *target;
    size_t length;
    uint64_t counter;
    uint32_t head; /* the nonce's first four bytes, which stand before the counter; WireGuard's are zero */
    int ok; /* set by both calls: 1, or 0 when the tag is wrong or the provider failed */
};

struct aead_provider {
    const char *name;
    void *(*create)(void); /* a context for one thread, NULL when out of memory */
    void (*destroy)(void *context);
    void (*seal)(void *context, const uint8_t *key, struct aead_item *items, size_t count);
    void (*open)(void *context, const uint8_t *key, struct aead_item *items, size_t count);
};

/* Kernels of our own; each answers NULL where the processor or the system cannot run it. */
const struct aead_provider *aead_avx512(void);
const struct aead_provider *aead_avx2(void);
const struct aead_provider *aead_portable(void);
/* Each answers NULL where its library cannot be had. */
const struct aead_provider *aead_libcrypto(void);
/* The two function pointers are libsodium's crypto_aead_chacha20poly1305_ietf_{encrypt,decrypt}. */
const struct aead_provider *aead_libsodium(void *encrypt, void *decrypt);

/* The head, then the counter, both little-endian (RFC 8439 section 2.3; WireGuard paper 5.4.6). */
static inline void aead_nonce(uint8_t nonce[12], const struct aead_item *item)
{
    for (int i = 0; i < 4; i++)
        nonce[i] = (uint8_t)(item->head >> (8 * i));
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(item->counter >> (8 * i));
}

#endif
