/*
 * The AEAD kernel for vectors of WIDTH words: ChaCha20 in lanes, Poly1305 in scalar code hidden between the rounds.
 *
 * Included by one file for each instruction set, after it has defined
 *     WIDTH                           32-bit words of a vector
 *     word                            the vector type: one word of the state of WIDTH blocks
 *     rotate_left(word, int)          of each word, by 16, 12, 8 or 7
 *     store_blocks(const word *, out) 16 vectors become WIDTH blocks, one after another
 * and uses lanes_create, lanes_seal and lanes_open.
 *
 * A pass makes a block for each lane of two states. Each lane has a counter and nonce of its own, so lanes are filled
 * densely across packets. The states lie in memory and take turns in the registers, half a double round at a time:
 * one alone would wait for its own results most of the time. The integer units are still idle, and Poly1305 is one
 * chain of integer multiplications, so its blocks are put between the turns and cost little. Sealing, they are the
 * ciphertext of the pass before; opening, that of the pass under way, which is hashed before it is overwritten.
 *
 * So open decrypts a packet before its tag is known, and wipes what it wrote when the tag is wrong, before it returns.
 * Constant time: addresses, branches and masks depend on lengths and on the verdict about a tag, on nothing else.
 */
#include <stdlib.h>

#include "aead_poly64.h"
#include "aead_stream.h"
#include "atomics.h"

#define ALIGNED __attribute__((aligned(64)))
#define UNROLL _Pragma("GCC unroll 16")

enum { STATES = 2, LANES = STATES * WIDTH, GROUP = LANES, TURNS = 10 * 2 * STATES };

/* Words 12 to 15 of a state, of every lane. */
enum { COUNTER, HEAD, LOW, HIGH, ROWS };
struct lanes {
    word rows[ROWS];
};

/* What one pass is for. */
struct runs {
    struct aead_run run[LANES];
    uint32_t count;
};

/* Where the sum has got to: the rest of a run, and the runs after it. */
struct hash {
    struct sum sum;
    const uint8_t *data;
    size_t blocks; /* whole ones left of the run */
    const struct aead_run *run, *end;
};

/* Everything secret that outlives a function; wiped at the end of each call. */
struct scratch {
    uint32_t fixed[12] ALIGNED; /* words 0 to 11 of the state, the same in every lane */
    struct lanes lanes[STATES] ALIGNED;
    word states[STATES][16] ALIGNED;
    uint8_t first[LANES * AEAD_BLOCK] ALIGNED; /* keystream of a group's first pass: its keys, then data */
    uint8_t later[LANES * AEAD_BLOCK] ALIGNED; /* and of each pass after it */
    uint8_t tags[GROUP][AEAD_TAG_SIZE];
    struct hash hash;
    struct runs runs[2]; /* from here on no secrets: the pass under way and the one before, in turns */
    const struct aead_item *items;
    size_t tag; /* the direction: bytes of an item's length that are no data */
};

/* ---------------------------------------------------------------------------------- Poly1305 */

INLINE const uint8_t *key_of(const struct scratch *s, const struct aead_item *item)
{
    return s->first + (size_t)(item - s->items) * AEAD_BLOCK;
}

INLINE uint8_t *tag_of(struct scratch *s, const struct aead_item *item) { return s->tags[item - s->items]; }

/* The run's first block is next, which may be in the middle of its packet. */
INLINE void enter_run(struct scratch *s, struct hash *m)
{
    if (m->run == m->end)
        return;
    m->data = s->tag ? m->run->source : m->run->target;
    m->blocks = m->run->length / 16;
    if (m->run->block == 1)
        sum_begin(&m->sum, key_of(s, m->run->item));
}

/* What is left of a run without a whole block; if the packet ends here, its tag. Then on to the next. */
INLINE void leave_run(struct scratch *s, struct hash *m)
{
    const struct aead_run *run = m->run;
    size_t length = aead_data_length(run->item, s->tag), rest = run->length % 16;

    if (rest)
        sum_rest(&m->sum, m->data, rest);
    if (run->source + run->length == run->item->source + length)
        sum_end(&m->sum, key_of(s, run->item), length, tag_of(s, run->item));
    m->run++;
    enter_run(s, m);
}

/* One block of whatever is to be hashed, or the end of a run. */
INLINE void hash_some(struct scratch *s, struct hash *m)
{
    if (m->run == m->end)
        return;
    if (m->blocks == 0) {
        leave_run(s, m);
        return;
    }
    sum_block(&m->sum, load_word(m->data), load_word(m->data + 8));
    m->data += 16;
    m->blocks--;
}

/* Runs are next to be hashed. Answers in how many steps. */
INLINE uint32_t begin_hash(struct scratch *s, struct hash *m, const struct runs *runs)
{
    size_t steps = runs->count;

    for (uint32_t i = 0; i < runs->count; i++)
        steps += runs->run[i].length / 16;
    m->run = runs->run;
    m->end = runs->run + runs->count;
    enter_run(s, m);
    return (uint32_t)steps;
}

static void hash_alone(struct scratch *s, const struct runs *runs)
{
    struct hash m = s->hash;
    for (uint32_t steps = begin_hash(s, &m, runs); steps; steps--)
        hash_some(s, &m);
    s->hash = m;
}

/* ---------------------------------------------------------------------------------- ChaCha20 */

/* p += q; s ^= p; s <<<= n: rows of four columns, or of four diagonals, in which row k is turned by k. */
INLINE void quarter_step(word x[16], int p, int q, int s, int n, int diagonal)
{
#define AT(row, i) (4 * (row) + (((i) + diagonal * (row)) & 3))
    UNROLL for (int i = 0; i < 4; i++)
    {
        x[AT(p, i)] += x[AT(q, i)];
        x[AT(s, i)] = rotate_left(x[AT(s, i)] ^ x[AT(p, i)], n);
    }
#undef AT
}

INLINE void take_turn(word state[16], int diagonal)
{
    word x[16];

    UNROLL for (int i = 0; i < 16; i++) x[i] = state[i];
    quarter_step(x, 0, 1, 3, 16, diagonal);
    quarter_step(x, 2, 3, 1, 12, diagonal);
    quarter_step(x, 0, 1, 3, 8, diagonal);
    quarter_step(x, 2, 3, 1, 7, diagonal);
    UNROLL for (int i = 0; i < 16; i++) state[i] = x[i];
}

/* Word i of the state at the beginning. */
INLINE word initial(const struct scratch *s, int k, int i)
{
    return i < 12 ? (word){0} + s->fixed[i] : s->lanes[k].rows[i - 12];
}

/* The blocks of the lanes laid out, and meanwhile the hash of `runs`. */
static void make_keystream(struct scratch *s, uint8_t *blocks, const struct runs *runs)
{
    struct hash m = s->hash;
    uint32_t steps = begin_hash(s, &m, runs), due = 0;

    for (int k = 0; k < STATES; k++)
        UNROLL for (int i = 0; i < 16; i++) s->states[k][i] = initial(s, k, i);
    for (int turn = 0; turn < TURNS; turn += 2 * STATES)
        UNROLL for (int part = 0; part < 2 * STATES; part++)
        {
            take_turn(s->states[part % STATES], part / STATES);
            for (due += steps; due >= TURNS; due -= TURNS)
                hash_some(s, &m);
        }
    for (int k = 0; k < STATES; k++) {
        UNROLL for (int i = 0; i < 16; i++) s->states[k][i] += initial(s, k, i);
        store_blocks(s->states[k], blocks + (size_t)k * WIDTH * AEAD_BLOCK);
    }
    s->hash = m;
}

/* The lanes from `lane` on take another value, up to the last: the next run overwrites what is not this one's. */
INLINE void fill(word *words, word lanes, word value) { *words = (*words & ~lanes) | (value & lanes); }

INLINE word ordinals(void)
{
    word lanes = {0};
    for (uint32_t i = 0; i < WIDTH; i++)
        lanes[i] = i;
    return lanes;
}

INLINE void fill_run(struct lanes *l, uint32_t first, const struct aead_run *run)
{
    word ordinal = ordinals() + first, lanes = (word)(ordinal >= run->lane);
    fill(&l->rows[COUNTER], lanes, ordinal + (run->block - run->lane));
    fill(&l->rows[HEAD], lanes, (word){0} + run->item->head);
    fill(&l->rows[LOW], lanes, (word){0} + (uint32_t)run->item->counter);
    fill(&l->rows[HIGH], lanes, (word){0} + (uint32_t)(run->item->counter >> 32));
}

/* Lays out the lanes from `lane` on. */
static void fill_runs(struct scratch *s, struct aead_stream *stream, uint32_t lane, struct runs *runs)
{
    runs->count = 0;
    while (aead_next_run(stream, lane, LANES, &runs->run[runs->count])) {
        for (uint32_t k = 0; k < STATES; k++)
            fill_run(&s->lanes[k], k * WIDTH, &runs->run[runs->count]);
        lane += runs->run[runs->count++].lanes;
    }
}

/* The first lanes of a group are block 0 of each packet. */
static void fill_keys(struct lanes l[STATES], const struct aead_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct lanes *half = &l[i / WIDTH];
        half->rows[COUNTER][i % WIDTH] = 0;
        half->rows[HEAD][i % WIDTH] = items[i].head;
        half->rows[LOW][i % WIDTH] = (uint32_t)items[i].counter;
        half->rows[HIGH][i % WIDTH] = (uint32_t)(items[i].counter >> 32);
    }
}

INLINE void xor_run(const struct aead_run *run, const uint8_t *keystream)
{
    const uint8_t *source = run->source, *k = keystream + (size_t)run->lane * AEAD_BLOCK;
    uint8_t *target = run->target;
    size_t i = 0;

    for (; i + sizeof(word) <= run->length; i += sizeof(word)) {
        word text, pad;
        memcpy(&text, source + i, sizeof(word));
        memcpy(&pad, k + i, sizeof(word));
        text ^= pad;
        memcpy(target + i, &text, sizeof(word));
    }
    for (; i + 8 <= run->length; i += 8)
        store_word(target + i, load_word(source + i) ^ load_word(k + i));
    for (; i < run->length; i++)
        target[i] = source[i] ^ k[i];
}

static void xor_runs(const struct runs *runs, const uint8_t *keystream)
{
    for (uint32_t i = 0; i < runs->count; i++)
        xor_run(&runs->run[i], keystream);
}

/* ---------------------------------------------------------------------------------- the batch */

/* Packets without data have no runs. */
static void hash_empty(struct scratch *s, const struct aead_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sum m;
        if (!items[i].ok || aead_data_length(&items[i], s->tag))
            continue;
        sum_begin(&m, key_of(s, &items[i]));
        sum_end(&m, key_of(s, &items[i]), 0, s->tags[i]);
    }
}

/* All data of a group through the cipher, and its tags. `s->tag` is the direction. */
static void run_group(struct scratch *s, const struct aead_item *items, size_t count)
{
    static const struct runs nothing;
    struct aead_stream stream = {items, count, 0, 0, s->tag};
    struct runs *runs = &s->runs[0], *before = &s->runs[1];

    s->items = items;
    fill_keys(s->lanes, items, count);
    fill_runs(s, &stream, (uint32_t)count, runs);
    make_keystream(s, s->first, &nothing);
    hash_empty(s, items, count);
    if (s->tag)
        hash_alone(s, runs);
    xor_runs(runs, s->first);
    for (;;) {
        struct runs *spare = before;
        before = runs;
        runs = spare;
        fill_runs(s, &stream, 0, runs);
        if (!runs->count)
            break;
        make_keystream(s, s->later, s->tag ? runs : before);
        xor_runs(runs, s->later);
    }
    if (!s->tag)
        hash_alone(s, before);
}

static void seal_group(struct scratch *s, struct aead_item *items, size_t count)
{
    aead_begin(items, count, 0);
    run_group(s, items, count);
    for (size_t i = 0; i < count; i++)
        aead_attach(&items[i], s->tags[i]);
}

static void open_group(struct scratch *s, struct aead_item *items, size_t count)
{
    aead_begin(items, count, AEAD_TAG_SIZE);
    run_group(s, items, count);
    for (size_t i = 0; i < count; i++)
        aead_judge(&items[i], s->tags[i]);
}

static void prepare(struct scratch *s, const uint8_t *key, size_t tag)
{
    static const uint32_t sigma[] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}; /* "expand 32-byte k" */
    memcpy(s->fixed, sigma, sizeof(sigma));
    for (int i = 0; i < 4; i++) {
        uint64_t pair = load_word(key + 8 * i);
        s->fixed[4 + 2 * i] = (uint32_t)pair;
        s->fixed[5 + 2 * i] = (uint32_t)(pair >> 32);
    }
    s->tag = tag;
}

static void *lanes_create(void)
{
    struct scratch *s = aligned_alloc(64, sizeof(*s));
    if (s)
        memset(s, 0, sizeof(*s));
    return s;
}

static void lanes_seal(void *context, const uint8_t *key, struct aead_item *items, size_t count)
{
    prepare(context, key, 0);
    for (size_t start = 0; start < count; start += GROUP)
        seal_group(context, items + start, count - start < GROUP ? count - start : GROUP);
    wipe(context, offsetof(struct scratch, runs));
}

static void lanes_open(void *context, const uint8_t *key, struct aead_item *items, size_t count)
{
    prepare(context, key, AEAD_TAG_SIZE);
    for (size_t start = 0; start < count; start += GROUP)
        open_group(context, items + start, count - start < GROUP ? count - start : GROUP);
    wipe(context, offsetof(struct scratch, runs));
}
