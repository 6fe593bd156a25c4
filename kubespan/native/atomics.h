/*
 * The few things about shared memory that Cython cannot say: ordered loads and stores, wiping, the clock.
 *
 * Never holds a data structure, never allocates. Every function is inline and takes no lock, except the
 * spin lock, which is held for a few instructions only.
 */
#ifndef KUBESPAN_ATOMICS_H
#define KUBESPAN_ATOMICS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

static inline uint64_t load_relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline uint64_t load_acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void store_relaxed(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline void store_release(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint64_t fetch_add(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
/* Stores `desired` if the value is still `*expected`, and puts there what it is if it is not. */
static inline int compare_exchange(uint64_t *p, uint64_t *expected, uint64_t desired)
{
    return __atomic_compare_exchange_n(p, expected, desired, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
static inline void *load_pointer(void *p) { return __atomic_load_n((void **)p, __ATOMIC_ACQUIRE); }
static inline void store_pointer(void *p, void *v) { __atomic_store_n((void **)p, v, __ATOMIC_RELEASE); }

/* Orders everything before it against everything after it, on every processor. */
static inline void full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void spin_lock(uint32_t *lock)
{
    while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(lock, __ATOMIC_RELAXED))
            cpu_relax();
}

static inline void spin_unlock(uint32_t *lock) { __atomic_store_n(lock, 0, __ATOMIC_RELEASE); }

/*
 * A sequence lock: readers never wait for each other and never write; a writer makes the number odd, so that a
 * reader that met it reads again. Several writers exclude each other by the same number.
 */
static inline uint32_t sequence_read_begin(const uint32_t *sequence)
{
    uint32_t begun;
    while ((begun = __atomic_load_n(sequence, __ATOMIC_ACQUIRE)) & 1)
        cpu_relax();
    return begun;
}

static inline int sequence_read_retry(const uint32_t *sequence, uint32_t begun)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(sequence, __ATOMIC_RELAXED) != begun;
}

static inline void sequence_write_begin(uint32_t *sequence)
{
    uint32_t even;
    do {
        even = sequence_read_begin(sequence);
    } while (!__atomic_compare_exchange_n(sequence, &even, even + 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void sequence_write_end(uint32_t *sequence)
{
    __atomic_fetch_add(sequence, 1, __ATOMIC_RELEASE);
}

/* Overwrites secrets; the barrier keeps the compiler from dropping the store. */
static inline void wipe(void *p, size_t n)
{
    memset(p, 0, n);
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Nanoseconds since boot, suspend counted: a laptop that slept must not believe in its old keys. */
static inline uint64_t boot_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
