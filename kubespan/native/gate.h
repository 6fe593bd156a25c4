/*
 * The gate before the handshakes: the two macs, and the answer to who lacks the second one under load.
 *
 * A gate never changes once lanes can see it; whether there is load, and what is counted, is for the lane. It is a
 * cache of `kubespan.noise.cookie.CookieChecker`, its Python twin. Paper §5.3, §5.4.4, §5.4.7.
 */
#ifndef KUBESPAN_GATE_H
#define KUBESPAN_GATE_H

#include <stddef.h>
#include <stdint.h>

#include "udp.h"

#define GATE_KEY_SIZE 32
#define GATE_NONCE_SIZE 24
#define GATE_REPLY_SIZE 64
#define GATE_MAX_SOURCE 18

struct handshake_gate {
    uint8_t mac1_key[GATE_KEY_SIZE];
    uint8_t cookie_key[GATE_KEY_SIZE];
    uint8_t secret[GATE_KEY_SIZE];
    uint64_t secret_until; /* nanoseconds since boot; 0: there is no secret */
};

/* Seal cookies by the function of libsodium at this address, crypto_aead_xchacha20poly1305_ietf_encrypt. Comes before
 * the first gate; whether it did. */
void gate_use_xaead(void *encrypt);
int gate_has_xaead(void);

/* What a cookie is bound to: 4 or 16 address bytes, 2 port bytes, big-endian. Answers how many. */
size_t gate_source(uint8_t source[GATE_MAX_SOURCE], const struct udp_endpoint *from);

/* Whether the sender of a whole initiation or response knows whom it calls. */
int gate_mac1_holds(const struct handshake_gate *g, const uint8_t *message, size_t length);

/* Whether it holds a cookie of ours that was made for this source; only while the secret is young. */
int gate_mac2_holds(const struct handshake_gate *g, const uint8_t *message, size_t length, const uint8_t *source,
                    size_t source_length);

/* The cookie reply to a message whose mac1 holds, under a random nonce that was never used. */
void gate_reply(const struct handshake_gate *g, const uint8_t *message, size_t length, const uint8_t *source,
                size_t source_length, const uint8_t nonce[GATE_NONCE_SIZE], uint8_t reply[GATE_REPLY_SIZE]);

#endif
