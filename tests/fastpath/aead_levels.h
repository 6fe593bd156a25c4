/*
 * The providers of aead.h by name, for the programs that test them.
 */
#ifndef KUBESPAN_AEAD_LEVELS_H
#define KUBESPAN_AEAD_LEVELS_H

#include <dlfcn.h>
#include <string.h>

#include "aead.h"

/* The system's libsodium: PyNaCl's is inside a module that only Python can load. */
static inline const struct aead_provider *find_libsodium(void)
{
    void *library = dlopen("libsodium.so.23", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return NULL;
    return aead_libsodium(dlsym(library, "crypto_aead_chacha20poly1305_ietf_encrypt"),
                          dlsym(library, "crypto_aead_chacha20poly1305_ietf_decrypt"));
}

/* NULL where the machine lacks it. */
static inline const struct aead_provider *find_level(const char *name)
{
    const struct aead_provider *levels[] = {aead_avx512(), aead_avx2(), aead_portable(), aead_libcrypto(),
                                            find_libsodium()};
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (levels[i] && !strcmp(levels[i]->name, name))
            return levels[i];
    return NULL;
}

#endif
