/*
 * The Internet checksum: sums of 16-bit words, alone or while copying.
 *
 * A sum here is a plain 64-bit number congruent, modulo 65535, to the ones' complement sum of the
 * words as they lie in memory. Sums of parts may be added as numbers as long as each part begins at
 * an even offset of the whole, and a word that was summed may be subtracted again, since nothing is
 * reduced before folding brings the number down to 16 bits. The words are never swapped
 * to host order: the ones' complement sum does not care (RFC 1071 section 2(B)), so a folded sum is
 * stored with memcpy and no byte order at all.
 *
 * It never validates and never knows which protocol it sums. Source: RFC 1071, RFC 1624.
 */
#ifndef KUBESPAN_CHECKSUM_H
#define KUBESPAN_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The sum of len bytes; an odd last byte counts as if followed by a zero. len below 2^32. */
uint64_t checksum_sum(const uint8_t *data, size_t len);

/* The same, and out holds a copy of the bytes. out: len bytes, not overlapping data. */
uint64_t checksum_copy(uint8_t *out, const uint8_t *data, size_t len);

/* What the two above fall back to on a processor without AVX2; the same results. */
uint64_t checksum_sum_portable(const uint8_t *data, size_t len);
uint64_t checksum_copy_portable(uint8_t *out, const uint8_t *data, size_t len);

/* The sum as 16 bits, in memory order, not complemented. 0 only if every word summed was 0. */
static inline uint16_t checksum_fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)sum;
}

#endif
