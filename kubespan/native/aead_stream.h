/*
 * The blocks of a batch as one stream: packet after packet, cut into the runs that fill the lanes of one pass.
 *
 * For the kernels, which make the keystream of several blocks at once and lay lanes across packets. Knows no cipher
 * and touches no packet. What it does depends on lengths, and on tags already found wrong: nothing secret.
 */
#ifndef KUBESPAN_AEAD_STREAM_H
#define KUBESPAN_AEAD_STREAM_H

#include <string.h>

#include "aead.h"

/* Here a secret becomes public: a test that follows secrets through memory needs to know. */
#ifndef AEAD_VERDICT
#define AEAD_VERDICT(ok) (void)(ok)
#endif

#define AEAD_BLOCK 64u /* bytes of keystream of one lane */

/* A run of blocks of one packet within a pass: `lanes` of them from `lane` on, and the bytes they cover. */
struct aead_run {
    const struct aead_item *item;
    const uint8_t *source;
    uint8_t *target;
    size_t length;
    uint32_t lane;
    uint32_t lanes;
    uint32_t block; /* the block counter of the first lane; 0 makes the packet's one-time key, so data begins at 1 */
};

/* Where a batch has got to. */
struct aead_stream {
    const struct aead_item *items;
    size_t count;
    size_t next;   /* the packet under way */
    size_t offset; /* how much of it has been handed out */
    size_t tag;    /* bytes of an item's length that are no data: AEAD_TAG_SIZE when opening */
};

/* Nothing is refused yet but what is shorter than its tag. */
static inline void aead_begin(struct aead_item *items, size_t count, size_t tag)
{
    for (size_t i = 0; i < count; i++)
        items[i].ok = items[i].length >= tag;
}

/* The bytes of an item that the keystream covers; none of one that is already known to be refused. */
static inline size_t aead_data_length(const struct aead_item *item, size_t tag)
{
    return item->ok ? item->length - tag : 0;
}

static inline void aead_attach(const struct aead_item *item, const uint8_t tag[AEAD_TAG_SIZE])
{
    memcpy(item->target + item->length, tag, AEAD_TAG_SIZE);
}

/* Keeps `ok` only if the 16 bytes behind the data are this tag; else the target is zeros. No byte is told apart. */
static inline void aead_judge(struct aead_item *item, const uint8_t tag[AEAD_TAG_SIZE])
{
    uint64_t want[2], have[2];

    if (!item->ok)
        return;
    memcpy(want, tag, AEAD_TAG_SIZE);
    memcpy(have, item->source + item->length - AEAD_TAG_SIZE, AEAD_TAG_SIZE);
    uint64_t difference = (want[0] ^ have[0]) | (want[1] ^ have[1]);
    item->ok = (int)(1 ^ ((difference | -difference) >> 63));
    AEAD_VERDICT(item->ok);
    if (!item->ok)
        memset(item->target, 0, item->length - AEAD_TAG_SIZE);
}

/* The next run, at most the lanes from `lane` up to `end`. 0 when the batch or the lanes are used up. */
static inline int aead_next_run(struct aead_stream *s, uint32_t lane, uint32_t end, struct aead_run *run)
{
    while (s->next < s->count && lane < end) {
        const struct aead_item *item = &s->items[s->next];
        size_t length = aead_data_length(item, s->tag);
        size_t left = length > s->offset ? length - s->offset : 0, room = (size_t)(end - lane) * AEAD_BLOCK;
        size_t taken = left < room ? left : room, offset = s->offset;

        if (left <= room) {
            s->next++;
            s->offset = 0;
        } else {
            s->offset += taken;
        }
        if (taken == 0)
            continue;
        run->item = item;
        run->source = item->source + offset;
        run->target = item->target + offset;
        run->length = taken;
        run->lane = lane;
        run->lanes = (uint32_t)((taken + AEAD_BLOCK - 1) / AEAD_BLOCK);
        run->block = 1 + (uint32_t)(offset / AEAD_BLOCK);
        return 1;
    }
    return 0;
}

#endif
