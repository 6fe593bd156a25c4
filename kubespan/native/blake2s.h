/*
 * Keyed BLAKE2s of 16 bytes, as mac1, mac2 and cookies need it: one call, one buffer, no state. RFC 7693.
 *
 * Its Python twin is `kubespan.noise.primitives.mac`.
 */
#ifndef KUBESPAN_BLAKE2S_H
#define KUBESPAN_BLAKE2S_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE2S_MAC_SIZE 16
#define BLAKE2S_MAX_KEY 32

/* The mac of `length` bytes under a key of 1 to BLAKE2S_MAX_KEY bytes. */
void blake2s_mac(uint8_t mac[BLAKE2S_MAC_SIZE], const uint8_t *key, size_t key_length, const uint8_t *data,
                 size_t length);

#endif
