/*
 * The same batches several times with other keys and contents: can anybody tell, who sees what is not secret?
 *
 * Usage: twice steps|remains LEVEL.
 *
 * steps: the processor traps after each instruction, and their addresses are hashed. A branch on a secret takes other
 * ones. Which data they touch is not seen: that takes a disassembler, or valgrind, which check_aead.c is for. Prints
 * how many instructions were watched.
 *
 * remains: what the heap holds behind a call, all contexts and all that was freed, should be the same byte for byte;
 * then no key is left there, no one-time key, no keystream, in whatever form. Packets and keys are not on the heap.
 * Prints how many bytes differed at most.
 *
 * Ends with 3 where the machine does not run the level, with 4 where nothing can be watched.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "aead.h"
#include "aead_levels.h"

enum { MOST_PACKETS = 12, STRIDE = 2112, TIMES = 4, MOST_HEAP = 1 << 22 };
enum { ABSENT_LEVEL = 3, UNWATCHED = 4 };

/* One packet, eight alike, and lengths at every edge; each list ends with -1. */
static const int batches[][MOST_PACKETS + 1] = {
    {1420, -1},
    {64, 64, 64, 64, 64, 64, 64, 64, -1},
    {0, 1, 15, 16, 17, 63, 65, 700, 2049, -1},
};

enum { BATCHES = sizeof(batches) / sizeof(batches[0]) };

static uint8_t key[AEAD_KEY_SIZE], packets[MOST_PACKETS * STRIDE], heap_before[MOST_HEAP];
static struct aead_item items[MOST_PACKETS];
static uint64_t state = 1, hash;
static unsigned long steps;
static volatile int watching;

/* Lengths and places are public, and what is drawn for them is the same at each time. */
static size_t draw_batch(const int *lengths)
{
    size_t count = 0;

    for (size_t i = 0; i < sizeof(key) + sizeof(packets); i++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        *(i < sizeof(key) ? &key[i] : &packets[i - sizeof(key)]) = (uint8_t)(state >> 56);
    }
    for (; lengths[count] >= 0; count++) {
        uint8_t *p = packets + count * STRIDE + count;
        items[count] = (struct aead_item){.source = p, .target = p, .length = (size_t)lengths[count], .counter = count};
    }
    return count;
}

/* ---------------------------------------------------------------------------------- steps */

#ifdef __x86_64__
enum { TRAP_FLAG = 0x100 };

static void on_step(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)signal, (void)info;
    if (!watching) {
        registers[REG_EFL] &= ~TRAP_FLAG;
        return;
    }
    registers[REG_EFL] |= TRAP_FLAG;
    hash = (hash ^ (uint64_t)registers[REG_RIP]) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
    steps++;
}

static int prepare_watch(void)
{
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    return sigaction(SIGTRAP, &action, NULL) == 0;
}

static void begin_watch(void)
{
    hash = 0;
    watching = 1;
    __asm__ volatile("int3" : : : "memory");
}
#else
static int prepare_watch(void) { return 0; }
static void begin_watch(void) {}
#endif

typedef void run(void *context, const uint8_t *key, struct aead_item *items, size_t count);

/* Never inline: what is watched begins and ends at the same place each time. */
__attribute__((noinline)) static uint64_t watch(run *verb, void *context, size_t count)
{
    begin_watch();
    verb(context, key, items, count);
    watching = 0;
    return hash;
}

/* The first time does not count: it looks up what comes from libraries. */
static void check_steps(const struct aead_provider *level, void *context, const int *lengths)
{
    uint64_t sealed[TIMES], opened[TIMES];

    for (int i = 0; i < TIMES; i++) {
        size_t count = draw_batch(lengths);
        sealed[i] = watch(level->seal, context, count);
        for (size_t j = 0; j < count; j++)
            items[j].length += AEAD_TAG_SIZE;
        opened[i] = watch(level->open, context, count);
        if (i > 1 && (sealed[i] != sealed[1] || opened[i] != opened[1])) {
            fprintf(stderr, "broken: other steps, %s\n", sealed[i] != sealed[1] ? "sealing" : "opening");
            exit(1);
        }
    }
}

static void check_all_steps(const struct aead_provider *level)
{
    if (!prepare_watch())
        exit(UNWATCHED);
    void *context = level->create();
    for (size_t i = 0; i < BATCHES; i++)
        check_steps(level, context, batches[i]);
    level->destroy(context);
    if (steps <= BATCHES * TIMES * 2) /* each watch begins with a trap of its own */
        exit(UNWATCHED);
    printf("%lu\n", steps);
}

/* ---------------------------------------------------------------------------------- remains */

static uint8_t *heap_begin;

/* How many bytes of the heap are others than at the time before. */
static size_t compare_heap(void)
{
    size_t size = (size_t)((uint8_t *)sbrk(0) - heap_begin), differing = 0;

    if (size == 0 || size > MOST_HEAP)
        exit(UNWATCHED);
    for (size_t i = 0; i < size; i++)
        differing += heap_begin[i] != heap_before[i];
    memcpy(heap_before, heap_begin, size);
    return differing;
}

/* Sealed, or opened too, one packet of them with a wrong tag. */
static void run_batch(const struct aead_provider *level, void *context, const int *lengths, int opening)
{
    size_t count = draw_batch(lengths);

    level->seal(context, key, items, count);
    if (!opening)
        return;
    for (size_t i = 0; i < count; i++)
        items[i].length += AEAD_TAG_SIZE;
    items[count / 2].target[items[count / 2].length - 1] ^= 1;
    level->open(context, key, items, count);
}

static size_t most_remains(const struct aead_provider *level, const int *lengths, int opening)
{
    void *context = level->create();
    size_t most = 0;

    for (int i = 0; i < TIMES; i++) {
        run_batch(level, context, lengths, opening);
        size_t differing = compare_heap();
        if (i > 1 && differing > most)
            most = differing;
    }
    level->destroy(context);
    return most;
}

static void compare_all_remains(const struct aead_provider *level)
{
    size_t most = 0;

    for (size_t i = 0; i < 2 * BATCHES; i++) {
        size_t differing = most_remains(level, batches[i / 2], i % 2);
        most = differing > most ? differing : most;
    }
    printf("%zu\n", most);
}

int main(int argc, char **argv)
{
    heap_begin = sbrk(0);
    const struct aead_provider *level = argc == 3 ? find_level(argv[2]) : NULL;
    if (!level)
        return ABSENT_LEVEL;
    if (!strcmp(argv[1], "steps"))
        check_all_steps(level);
    else
        compare_all_remains(level);
    return 0;
}
