/*
 * The AEAD kernel for AVX-512 with IFMA: ChaCha20 in 32 lanes, Poly1305 of 8 packets side by side, or of one along.
 *
 * Lanes are filled densely across the packets of a batch, whatever their lengths. Block 0 of a packet, which holds its
 * one-time Poly1305 key, is a lane like any other: the first pass over a group of up to 32 packets makes all their
 * keys, and has room for data behind them.
 *
 * open verifies all packets of a group before it decrypts any of them; one with a wrong tag is never decrypted.
 * Constant time: addresses, branches and masks depend on lengths and on the verdict about a tag, on nothing else.
 */
#include "aead.h"

#ifdef __x86_64__
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi2,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi2,bmi2")
#endif
#include <stdlib.h>

#include "aead_avx512_along.h"
#include "aead_avx512_chacha.h"
#include "aead_avx512_side.h"
#include "aead_stream.h"
#include "atomics.h"

enum { GROUP = LANES };

/*
 * What a tag costs beside its bytes, in bytes: a packet along, and a side, which goes at an eighth of the speed.
 * On Zen 5, in ns: along 111 + 0.022 a byte, a side 60 + 0.20 a byte of the longest, however many packets it has.
 * So one packet of 1,420 bytes, sealed or opened, takes 427 along and 591 in a side; two 752 and 769; three 1,105 and 966.
 */
enum { ALONG_COST = 4300, SIDE_COST = 300 };

/* Everything secret that outlives a function; wiped at the end of each call. */
struct scratch {
    struct chacha chacha;
    struct side_scratch side;
    struct along_scratch along;
    uint8_t first[LANES * AEAD_BLOCK] ALIGNED; /* keystream of a group's first pass: its keys, then data */
    uint8_t later[LANES * AEAD_BLOCK] ALIGNED; /* and of each pass after it */
    uint8_t tags[GROUP][AEAD_TAG_SIZE] ALIGNED;
    struct aead_run runs[LANES]; /* from here on no secrets: what the pass under way is for */
};

/* Lays out the lanes from `lane` on; answers how many runs they are. */
static uint32_t fill_runs(struct scratch *s, struct aead_stream *stream, uint32_t lane)
{
    uint32_t runs = 0;

    while (aead_next_run(stream, lane, LANES, &s->runs[runs])) {
        fill_run(&s->chacha.lanes, &s->runs[runs]);
        lane += s->runs[runs++].lanes;
    }
    return runs;
}

INLINE void xor_run(const struct aead_run *run, const uint8_t *keystream)
{
    const uint8_t *source = run->source, *k = keystream + (size_t)run->lane * AEAD_BLOCK;
    uint8_t *target = run->target;
    size_t left = run->length;

    for (; left >= AEAD_BLOCK; left -= AEAD_BLOCK, source += AEAD_BLOCK, target += AEAD_BLOCK, k += AEAD_BLOCK)
        _mm512_storeu_si512(target, _mm512_xor_si512(_mm512_loadu_si512(source), _mm512_load_si512(k)));
    if (left) {
        __mmask64 bytes = ~0ull >> (AEAD_BLOCK - left);
        __m512i text = _mm512_xor_si512(_mm512_maskz_loadu_epi8(bytes, source), _mm512_load_si512(k));
        _mm512_mask_storeu_epi8(target, bytes, text);
    }
}

/* A packet refused since its lanes were laid out keeps its ciphertext. */
static void xor_runs(const struct aead_run *runs, uint32_t count, const uint8_t *keystream)
{
    for (uint32_t i = 0; i < count; i++)
        if (runs[i].item->ok)
            xor_run(&runs[i], keystream);
}

/* The packets of a side, of which `count` are different ones. */
static void fill_side(const struct scratch *s, struct side *side, const struct aead_item *items, size_t start,
                      size_t count, size_t tag)
{
    for (size_t i = 0; i < SIDE; i++) {
        size_t packet = i < count ? start + i : start;
        side->data[i] = tag ? items[packet].source : items[packet].target;
        side->length[i] = aead_data_length(&items[packet], tag);
        side->keys[i] = s->first + packet * AEAD_BLOCK;
    }
}

/* Whether `count` packets are better taken one by one. */
static int prefer_along(const struct side *side, size_t count)
{
    size_t longest = 0, sum = 0;

    for (size_t i = 0; i < count; i++) {
        longest = side->length[i] > longest ? side->length[i] : longest;
        sum += side->length[i];
    }
    return sum + count * ALONG_COST < SIDE * (longest + SIDE_COST);
}

/* The tags of a group, whose keys are made. Sealing, the ciphertext is at the targets; opening, at the sources. */
static void authenticate(struct scratch *s, const struct aead_item *items, size_t count, size_t tag)
{
    for (size_t start = 0; start < count; start += SIDE) {
        struct side side;
        size_t taken = count - start < SIDE ? count - start : SIDE;

        fill_side(s, &side, items, start, taken, tag);
        if (!prefer_along(&side, taken)) {
            tag_side(&s->side, &side, s->tags[start]);
            continue;
        }
        for (size_t i = 0; i < taken; i++)
            tag_along(&s->along, side.data[i], side.length[i], side.keys[i], s->tags[start + i]);
    }
}

/* The first pass of a group: all keys, and keystream for the runs it answers the number of. */
static uint32_t begin_group(struct scratch *s, struct aead_stream *stream)
{
    fill_keys(&s->chacha.lanes, stream->items, stream->count);
    uint32_t runs = fill_runs(s, stream, (uint32_t)stream->count);
    make_keystream(&s->chacha, s->first);
    return runs;
}

static void finish_group(struct scratch *s, struct aead_stream *stream, uint32_t runs)
{
    xor_runs(s->runs, runs, s->first);
    while ((runs = fill_runs(s, stream, 0))) {
        make_keystream(&s->chacha, s->later);
        xor_runs(s->runs, runs, s->later);
    }
}

static void seal_group(struct scratch *s, struct aead_item *items, size_t count)
{
    struct aead_stream stream = {items, count, 0, 0, 0};

    aead_begin(items, count, 0);
    uint32_t runs = begin_group(s, &stream);
    finish_group(s, &stream, runs);
    authenticate(s, items, count, 0);
    for (size_t i = 0; i < count; i++)
        aead_attach(&items[i], s->tags[i]);
}

static void open_group(struct scratch *s, struct aead_item *items, size_t count)
{
    struct aead_stream stream = {items, count, 0, 0, AEAD_TAG_SIZE};

    aead_begin(items, count, AEAD_TAG_SIZE);
    uint32_t runs = begin_group(s, &stream);
    authenticate(s, items, count, AEAD_TAG_SIZE);
    for (size_t i = 0; i < count; i++)
        aead_judge(&items[i], s->tags[i]);
    finish_group(s, &stream, runs);
}

static void *create(void)
{
    struct scratch *s = aligned_alloc(64, sizeof(*s));
    if (s)
        memset(s, 0, sizeof(*s));
    return s;
}

static void prepare(struct chacha *s, const uint8_t *key)
{
    static const char sigma[] = "expand 32-byte k";
    memcpy(s->fixed, sigma, 16);
    memcpy(s->fixed + 4, key, AEAD_KEY_SIZE);
}

static void seal(void *context, const uint8_t *key, struct aead_item *items, size_t count)
{
    prepare(&((struct scratch *)context)->chacha, key);
    for (size_t start = 0; start < count; start += GROUP)
        seal_group(context, items + start, count - start < GROUP ? count - start : GROUP);
    wipe(context, offsetof(struct scratch, runs));
}

static void open_(void *context, const uint8_t *key, struct aead_item *items, size_t count)
{
    prepare(&((struct scratch *)context)->chacha, key);
    for (size_t start = 0; start < count; start += GROUP)
        open_group(context, items + start, count - start < GROUP ? count - start : GROUP);
    wipe(context, offsetof(struct scratch, runs));
}

static const struct aead_provider provider = {"avx512", create, free, seal, open_};

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* Compiled for any processor, as the one that asks may be. */
const struct aead_provider *aead_avx512(void)
{
    int able = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512vbmi2") &&
               __builtin_cpu_supports("bmi2");
    return able ? &provider : NULL;
}

#else

const struct aead_provider *aead_avx512(void) { return NULL; }

#endif
