/*
 * Random batches through an AEAD provider, against libcrypto; to be built with sanitizers, or run under valgrind.
 *
 * Usage: check SEED ROUNDS LEVEL. Every packet lies in a heap block that ends where it ends, at a random alignment, is
 * sealed and opened in place or not, and some have one bit flipped anywhere: such a packet alone is refused, and zeros
 * are where its plaintext would have been. Prints how many packets were sealed, opened and refused.
 *
 * Under valgrind keys, plaintexts and what comes of them count as undefined, so that a branch or an address that
 * depends on a secret is reported: the kernels take the same time whatever they work on. Only the verdict about a tag
 * is public, and the ciphertext that is on the wire.
 *
 * Ends with 2 where libcrypto is not to be had, with 3 where the processor does not run the level.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aead.h"
#include "aead_levels.h"
#include "check_aead.h"

enum { MOST_PACKETS = 64, ABSENT_ORACLE = 2, ABSENT_LEVEL = 3 };

struct packet {
    uint8_t *plain;    /* length bytes */
    uint8_t *sealed;   /* length + 16, by the oracle */
    uint8_t *block;    /* what malloc gave for the bytes under test, which end where it ends */
    uint8_t *work;     /* and those */
    size_t length;
    uint64_t counter;
    int damaged;
};

static uint64_t state;
static unsigned long sealed_count, opened_count, refused_count;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 8) % below;
}

static void require(int condition, const char *what, size_t length)
{
    if (!condition) {
        fprintf(stderr, "broken: %s, a packet of %zu bytes\n", what, length);
        abort();
    }
}

static void scramble(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)draw(256);
}

static void *take(size_t size)
{
    void *p = malloc(size);
    require(p != NULL, "malloc", size);
    return p;
}

/* Alike, short, any, or data and acknowledgements. */
static size_t draw_length(int kind, size_t alike)
{
    if (draw(200) == 0)
        return 65535 - (draw(2) ? draw(56535) : 0);
    switch (kind) {
    case 0: return alike;
    case 1: return draw(200);
    case 2: return draw(9001);
    default: return draw(2) ? 1420 : draw(100);
    }
}

/* A copy of `size` bytes of `from`, or room for them, whose end is the end of a heap block. */
static void place(struct packet *p, const uint8_t *from, size_t size)
{
    size_t shift = (size_t)draw(64);
    free(p->block);
    p->block = take(shift + size + !(shift + size));
    p->work = p->block + shift;
    if (from)
        memcpy(p->work, from, size);
}

static struct aead_item item_of(const uint8_t *source, uint8_t *target, size_t length, uint64_t counter, uint32_t head)
{
    return (struct aead_item){.source = source, .target = target, .length = length, .counter = counter, .head = head};
}

static void check_seal(const struct aead_provider *level, void *context, const uint8_t *key, struct packet *packets,
                       size_t count, uint32_t head)
{
    struct aead_item items[MOST_PACKETS];

    for (size_t i = 0; i < count; i++) {
        struct packet *p = &packets[i];
        int in_place = (int)draw(2);
        place(p, NULL, p->length + AEAD_TAG_SIZE);
        if (in_place)
            memcpy(p->work, p->plain, p->length);
        items[i] = item_of(in_place ? p->work : p->plain, p->work, p->length, p->counter, head);
    }
    level->seal(context, key, items, count);
    for (size_t i = 0; i < count; i++) {
        struct packet *p = &packets[i];
        make_public(p->work, p->length + AEAD_TAG_SIZE);
        require(items[i].ok == 1, "seal says no", p->length);
        require(!memcmp(p->work, p->sealed, p->length + AEAD_TAG_SIZE), "sealed otherwise", p->length);
        sealed_count++;
    }
}

static void judge_opened(const struct packet *p, const struct aead_item *item)
{
    require(item->ok == !p->damaged, p->damaged ? "a damaged one opens" : "a good one does not open", p->length);
    for (size_t i = 0; p->damaged && i < p->length; i++)
        require(item->target[i] == 0, "something is left of a refused one", p->length);
    if (!p->damaged)
        require(!memcmp(item->target, p->plain, p->length), "opened otherwise", p->length);
    opened_count++;
    refused_count += (unsigned long)p->damaged;
}

static void check_open(const struct aead_provider *level, void *context, const uint8_t *key, struct packet *packets,
                       size_t count, uint32_t head)
{
    struct aead_item items[MOST_PACKETS];
    uint8_t *apart[MOST_PACKETS];
    int damage = (int)draw(2);

    for (size_t i = 0; i < count; i++) {
        struct packet *p = &packets[i];
        place(p, p->sealed, p->length + AEAD_TAG_SIZE);
        p->damaged = damage && draw(3) == 0;
        if (p->damaged)
            p->work[draw(p->length + AEAD_TAG_SIZE)] ^= (uint8_t)(1 << draw(8));
        apart[i] = take(p->length + !p->length);
        items[i] = item_of(p->work, draw(2) ? p->work : apart[i], p->length + AEAD_TAG_SIZE, p->counter, head);
    }
    level->open(context, key, items, count);
    for (size_t i = 0; i < count; i++) {
        make_public(items[i].target, packets[i].length);
        make_public(packets[i].plain, packets[i].length);
        judge_opened(&packets[i], &items[i]);
        free(apart[i]);
    }
}

/* Plaintexts, and what the oracle makes of them. */
static void draw_packets(const struct aead_provider *oracle, void *context, const uint8_t *key, struct packet *packets,
                         size_t count, uint32_t head)
{
    int kind = (int)draw(4);
    size_t alike = (size_t)draw(1500);

    for (size_t i = 0; i < count; i++) {
        struct packet *p = &packets[i];
        p->length = draw_length(kind, alike);
        p->counter = draw(8) ? draw(1u << 20) : draw(UINT64_MAX);
        p->plain = take(p->length + !p->length);
        p->sealed = take(p->length + AEAD_TAG_SIZE);
        p->block = NULL;
        scramble(p->plain, p->length);
        struct aead_item item = item_of(p->plain, p->sealed, p->length, p->counter, head);
        oracle->seal(context, key, &item, 1);
        require(item.ok == 1, "the oracle says no", p->length);
        make_secret(p->plain, p->length);
    }
}

static void run_round(const struct aead_provider *oracle, void *oracle_context, const struct aead_provider *level,
                      void *context)
{
    struct packet packets[MOST_PACKETS];
    uint8_t key[AEAD_KEY_SIZE];
    size_t count = 1 + (size_t)draw(MOST_PACKETS);
    uint32_t head = draw(2) ? 0 : (uint32_t)draw(UINT32_MAX);

    scramble(key, sizeof(key));
    draw_packets(oracle, oracle_context, key, packets, count, head);
    make_secret(key, sizeof(key));
    check_seal(level, context, key, packets, count, head);
    check_open(level, context, key, packets, count, head);
    for (size_t i = 0; i < count; i++) {
        free(packets[i].plain);
        free(packets[i].sealed);
        free(packets[i].block);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 1;
    const struct aead_provider *oracle = aead_libcrypto(), *level = find_level(argv[3]);
    if (!oracle || !level)
        return oracle ? ABSENT_LEVEL : ABSENT_ORACLE;
    void *oracle_context = oracle->create(), *context = level->create();
    state = strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15 + 1;
    for (long rounds = strtol(argv[2], NULL, 10); rounds > 0; rounds--)
        run_round(oracle, oracle_context, level, context);
    level->destroy(context);
    oracle->destroy(oracle_context);
    printf("%lu %lu %lu\n", sealed_count, opened_count, refused_count);
    return 0;
}
