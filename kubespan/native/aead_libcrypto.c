/*
 * The AEAD provider on OpenSSL's libcrypto, found at run time: no header and no link-time dependency, because
 * the machine that runs this may not be the one that built it. Source of the call order: EVP_EncryptInit(3).
 */
#include <dlfcn.h>
#include <string.h>

#include "aead.h"
#include "atomics.h"

#define EVP_CTRL_AEAD_GET_TAG 0x10
#define EVP_CTRL_AEAD_SET_TAG 0x11

static struct {
    void *(*ctx_new)(void);
    void (*ctx_free)(void *);
    const void *(*chacha20_poly1305)(void);
    int (*ctrl)(void *, int, int, void *);
    int (*encrypt_init)(void *, const void *, void *, const uint8_t *, const uint8_t *);
    int (*encrypt_update)(void *, uint8_t *, int *, const uint8_t *, int);
    int (*encrypt_final)(void *, uint8_t *, int *);
    int (*decrypt_init)(void *, const void *, void *, const uint8_t *, const uint8_t *);
    int (*decrypt_update)(void *, uint8_t *, int *, const uint8_t *, int);
    int (*decrypt_final)(void *, uint8_t *, int *);
} evp;

/* A cipher context keeps its direction, so a thread has one for each. */
struct context {
    void *seal;
    void *open;
};

static void destroy(void *context)
{
    struct context *c = context;
    if (!c)
        return;
    if (c->seal)
        evp.ctx_free(c->seal);
    if (c->open)
        evp.ctx_free(c->open);
    __builtin_free(c);
}

static void *create(void)
{
    struct context *c = __builtin_calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->seal = evp.ctx_new();
    c->open = evp.ctx_new();
    const void *cipher = evp.chacha20_poly1305();
    if (c->seal && c->open && cipher && evp.encrypt_init(c->seal, cipher, NULL, NULL, NULL) == 1 &&
        evp.decrypt_init(c->open, cipher, NULL, NULL, NULL) == 1)
        return c;
    destroy(c);
    return NULL;
}

static int seal_one(void *ctx, struct aead_item *item)
{
    uint8_t nonce[12];
    int n = 0, rest = 0;

    aead_nonce(nonce, item);
    return evp.encrypt_init(ctx, NULL, NULL, NULL, nonce) == 1 &&
           evp.encrypt_update(ctx, item->target, &n, item->source, (int)item->length) == 1 &&
           evp.encrypt_final(ctx, item->target + n, &rest) == 1 &&
           evp.ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, item->target + item->length) == 1;
}

static int open_one(void *ctx, struct aead_item *item)
{
    uint8_t nonce[12], tag[AEAD_TAG_SIZE];
    size_t plain = item->length - AEAD_TAG_SIZE;
    int n = 0, rest = 0;

    aead_nonce(nonce, item);
    memcpy(tag, item->source + plain, AEAD_TAG_SIZE);
    return evp.decrypt_init(ctx, NULL, NULL, NULL, nonce) == 1 &&
           evp.ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE, tag) == 1 &&
           evp.decrypt_update(ctx, item->target, &n, item->source, (int)plain) == 1 &&
           evp.decrypt_final(ctx, item->target + n, &rest) == 1;
}

/* The key is set once a batch, the nonce for each packet. No key stays in the context: the all-zero one follows it. */
static const uint8_t zero_key[AEAD_KEY_SIZE];

static void seal(void *context, const uint8_t *key, struct aead_item *items, size_t count)
{
    struct context *c = context;
    int keyed = evp.encrypt_init(c->seal, NULL, NULL, key, NULL) == 1;
    for (size_t i = 0; i < count; i++) {
        items[i].ok = keyed && seal_one(c->seal, &items[i]);
        if (!items[i].ok) /* in place, the plaintext still lies there */
            wipe(items[i].target, items[i].length + AEAD_TAG_SIZE);
    }
    evp.encrypt_init(c->seal, NULL, NULL, zero_key, NULL);
}

static void open_(void *context, const uint8_t *key, struct aead_item *items, size_t count)
{
    struct context *c = context;
    int keyed = evp.decrypt_init(c->open, NULL, NULL, key, NULL) == 1;
    for (size_t i = 0; i < count; i++) {
        items[i].ok = keyed && items[i].length >= AEAD_TAG_SIZE && open_one(c->open, &items[i]);
        if (!items[i].ok && items[i].length > AEAD_TAG_SIZE)
            wipe(items[i].target, items[i].length - AEAD_TAG_SIZE);
    }
    evp.decrypt_init(c->open, NULL, NULL, zero_key, NULL);
}

static int resolve(void *library)
{
    const struct {
        void *slot;
        const char *name;
    } symbols[] = {
        {&evp.ctx_new, "EVP_CIPHER_CTX_new"},
        {&evp.ctx_free, "EVP_CIPHER_CTX_free"},
        {&evp.chacha20_poly1305, "EVP_chacha20_poly1305"},
        {&evp.ctrl, "EVP_CIPHER_CTX_ctrl"},
        {&evp.encrypt_init, "EVP_EncryptInit_ex"},
        {&evp.encrypt_update, "EVP_EncryptUpdate"},
        {&evp.encrypt_final, "EVP_EncryptFinal_ex"},
        {&evp.decrypt_init, "EVP_DecryptInit_ex"},
        {&evp.decrypt_update, "EVP_DecryptUpdate"},
        {&evp.decrypt_final, "EVP_DecryptFinal_ex"},
    };
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        void *address = dlsym(library, symbols[i].name);
        if (!address)
            return 0;
        memcpy(symbols[i].slot, &address, sizeof(address));
    }
    return 1;
}

static const struct aead_provider provider = {"libcrypto", create, destroy, seal, open_};

const struct aead_provider *aead_libcrypto(void)
{
    static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!library || !resolve(library))
            continue;
        void *probe = create();
        if (!probe)
            continue;
        destroy(probe);
        return &provider;
    }
    return NULL;
}
