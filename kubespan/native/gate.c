/* The gate before the handshakes. See gate.h. */
#include "gate.h"

#include <string.h>

#include "atomics.h"
#include "blake2s.h"

/* An initiation and a response end alike. */
#define MAC1_FROM_END (2 * BLAKE2S_MAC_SIZE)
#define MAC2_FROM_END BLAKE2S_MAC_SIZE
#define COOKIE_REPLY 3

typedef int (*xaead_function)(uint8_t *c, unsigned long long *clen, const uint8_t *m, unsigned long long mlen,
                              const uint8_t *ad, unsigned long long adlen, const uint8_t *nsec,
                              const uint8_t *npub, const uint8_t *k);

static xaead_function xaead;

void gate_use_xaead(void *encrypt) { xaead = (xaead_function)encrypt; }
int gate_has_xaead(void) { return xaead != NULL; }

size_t gate_source(uint8_t source[GATE_MAX_SOURCE], const struct udp_endpoint *from)
{
    size_t size = from->family == AF_INET ? 4 : 16;

    memcpy(source, from->address, size);
    source[size] = (uint8_t)(from->port >> 8);
    source[size + 1] = (uint8_t)from->port;
    return size + 2;
}

/* Every byte is looked at, so that the time tells nothing of where they differ. */
static int is_equal(const uint8_t *a, const uint8_t *b)
{
    uint8_t difference = 0;

    for (int i = 0; i < BLAKE2S_MAC_SIZE; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

int gate_mac1_holds(const struct handshake_gate *g, const uint8_t *message, size_t length)
{
    uint8_t mac[BLAKE2S_MAC_SIZE];

    blake2s_mac(mac, g->mac1_key, GATE_KEY_SIZE, message, length - MAC1_FROM_END);
    return is_equal(mac, message + length - MAC1_FROM_END);
}

int gate_mac2_holds(const struct handshake_gate *g, const uint8_t *message, size_t length, const uint8_t *source,
                    size_t source_length)
{
    uint8_t cookie[BLAKE2S_MAC_SIZE], mac[BLAKE2S_MAC_SIZE];

    blake2s_mac(cookie, g->secret, GATE_KEY_SIZE, source, source_length);
    blake2s_mac(mac, cookie, sizeof(cookie), message, length - MAC2_FROM_END);
    wipe(cookie, sizeof(cookie));
    return is_equal(mac, message + length - MAC2_FROM_END);
}

void gate_reply(const struct handshake_gate *g, const uint8_t *message, size_t length, const uint8_t *source,
                size_t source_length, const uint8_t nonce[GATE_NONCE_SIZE], uint8_t reply[GATE_REPLY_SIZE])
{
    uint8_t cookie[BLAKE2S_MAC_SIZE];

    blake2s_mac(cookie, g->secret, GATE_KEY_SIZE, source, source_length);
    memset(reply, 0, 4);
    reply[0] = COOKIE_REPLY;
    memcpy(reply + 4, message + 4, 4); /* its sender index is our receiver index */
    memcpy(reply + 8, nonce, GATE_NONCE_SIZE);
    xaead(reply + 32, NULL, cookie, sizeof(cookie), message + length - MAC1_FROM_END, BLAKE2S_MAC_SIZE, NULL, nonce,
          g->cookie_key);
    wipe(cookie, sizeof(cookie));
}
