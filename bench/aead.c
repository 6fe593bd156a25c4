/*
 * Times AEAD providers side by side, in one process, in turns: seal and open by packet size and batch.
 *
 * Usage: aead ROUNDS SIZE,... BATCH,... PROVIDER... A provider the machine lacks is left out. Each line of output is
 *     provider seal|open size batch nanoseconds...
 * with the time of a packet in each round. A round of one provider follows at once on the same round of the one before,
 * so that whatever slows the machine slows them alike. Packets lie side by side as a lane lays them, sealed in place;
 * opened to another place, so that they can be opened again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aead.h"

enum { MOST_PACKETS = 64, MOST_SIZE = 9216, STRIDE = MOST_SIZE + 64, MOST_ROUNDS = 1000, MOST_PROVIDERS = 8 };
#define ROUND_NS 50000.0

struct contender {
    const struct aead_provider *provider;
    void *context;
    double times[MOST_ROUNDS];
};

struct batch {
    struct aead_item items[MOST_PACKETS];
    size_t count;
    int opening;
};

static const uint8_t key[AEAD_KEY_SIZE] = {1};
static _Alignas(4096) uint8_t packets[MOST_PACKETS * STRIDE], opened[MOST_PACKETS * STRIDE + 1024];

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double run(const struct contender *c, struct batch *b, long repeats)
{
    uint64_t start = now();
    for (long i = 0; i < repeats; i++) {
        if (b->opening)
            c->provider->open(c->context, key, b->items, b->count);
        else
            c->provider->seal(c->context, key, b->items, b->count);
    }
    return (double)(now() - start) / (double)repeats / (double)b->count;
}

/* Each packet begins 16 bytes, a transport header, behind the last one's tag. */
static void lay(struct batch *b, const struct contender *c, size_t size, size_t count, int opening)
{
    size_t stride = 16 + size + AEAD_TAG_SIZE;

    b->count = count;
    b->opening = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t *p = packets + 16 + i * stride;
        b->items[i] = (struct aead_item){.source = p, .target = p, .length = size, .counter = i};
    }
    if (!opening)
        return;
    c->provider->seal(c->context, key, b->items, count);
    b->opening = 1;
    for (size_t i = 0; i < count; i++) {
        b->items[i].target = opened + 1024 - 48 + i * stride;
        b->items[i].length = size + AEAD_TAG_SIZE;
    }
}

static void measure(struct contender *contenders, int count, int rounds, size_t size, size_t batch, int opening)
{
    struct batch b;
    long repeats[MOST_PROVIDERS];

    lay(&b, &contenders[0], size, batch, opening);
    for (int i = 0; i < count; i++)
        repeats[i] = 1 + (long)(ROUND_NS / (run(&contenders[i], &b, 20) * (double)batch));
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < count; i++)
            contenders[i].times[round] = run(&contenders[i], &b, repeats[i]);
    for (int i = 0; i < count; i++) {
        printf("%s %s %zu %zu", contenders[i].provider->name, opening ? "open" : "seal", size, batch);
        for (int round = 0; round < rounds; round++)
            printf(" %.1f", contenders[i].times[round]);
        printf("\n");
    }
    fflush(stdout);
}

static const struct aead_provider *find(const char *name)
{
    const struct aead_provider *all[] = {aead_avx512(), aead_avx2(), aead_portable(), aead_libcrypto()};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] && !strcmp(all[i]->name, name))
            return all[i];
    return NULL;
}

/* The numbers of a list with commas. */
static size_t parse(const char *text, size_t *numbers, size_t most, size_t greatest)
{
    size_t count = 0;
    for (char *end; *text && count < most; text = *end ? end + 1 : end) {
        numbers[count] = strtoul(text, &end, 10);
        if (end == text || numbers[count] > greatest)
            exit(1);
        count++;
    }
    return count;
}

int main(int argc, char **argv)
{
    static struct contender contenders[MOST_PROVIDERS];
    size_t sizes[16], batches[16];
    int count = 0;

    if (argc < 5)
        return 1;
    int rounds = atoi(argv[1]);
    size_t size_count = parse(argv[2], sizes, 16, MOST_SIZE), batch_count = parse(argv[3], batches, 16, MOST_PACKETS);
    for (int i = 4; i < argc && count < MOST_PROVIDERS; i++) {
        contenders[count].provider = find(argv[i]);
        if (contenders[count].provider && (contenders[count].context = contenders[count].provider->create()))
            count++;
    }
    if (rounds < 1 || rounds > MOST_ROUNDS)
        return 1;
    for (int opening = 0; count && opening < 2; opening++)
        for (size_t s = 0; s < size_count; s++)
            for (size_t b = 0; b < batch_count; b++)
                measure(contenders, count, rounds, sizes[s], batches[b], opening);
    return 0;
}
