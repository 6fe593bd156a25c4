/*
 * The AEAD provider on libsodium's one-shot calls. PyNaCl always brings the library and hands out the addresses,
 * so this provider always exists. It needs no context: libsodium keeps no state between two calls.
 */
#include "aead.h"
#include "atomics.h"

typedef int (*encrypt_function)(uint8_t *c, unsigned long long *clen, const uint8_t *m, unsigned long long mlen,
                                const uint8_t *ad, unsigned long long adlen, const uint8_t *nsec,
                                const uint8_t *npub, const uint8_t *k);
typedef int (*decrypt_function)(uint8_t *m, unsigned long long *mlen, uint8_t *nsec, const uint8_t *c,
                                unsigned long long clen, const uint8_t *ad, unsigned long long adlen,
                                const uint8_t *npub, const uint8_t *k);

static encrypt_function encrypt;
static decrypt_function decrypt;
static char stateless;

static void *create(void) { return &stateless; }
static void destroy(void *context) { (void)context; }

static void seal(void *context, const uint8_t *key, struct aead_item *items, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        uint8_t nonce[12];
        aead_nonce(nonce, &items[i]);
        items[i].ok = encrypt(items[i].target, NULL, items[i].source, items[i].length, NULL, 0, NULL, nonce, key) == 0;
        if (!items[i].ok) /* in place, the plaintext still lies there */
            wipe(items[i].target, items[i].length + AEAD_TAG_SIZE);
    }
}

static void open_(void *context, const uint8_t *key, struct aead_item *items, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        uint8_t nonce[12];
        aead_nonce(nonce, &items[i]);
        items[i].ok = items[i].length >= AEAD_TAG_SIZE && decrypt(items[i].target, NULL, NULL, items[i].source,
                                                                  items[i].length, NULL, 0, nonce, key) == 0;
        if (!items[i].ok && items[i].length > AEAD_TAG_SIZE)
            wipe(items[i].target, items[i].length - AEAD_TAG_SIZE);
    }
}

static const struct aead_provider provider = {"libsodium", create, destroy, seal, open_};

const struct aead_provider *aead_libsodium(void *encrypt_address, void *decrypt_address)
{
    if (!encrypt_address || !decrypt_address)
        return NULL;
    encrypt = (encrypt_function)encrypt_address;
    decrypt = (decrypt_function)decrypt_address;
    return &provider;
}
