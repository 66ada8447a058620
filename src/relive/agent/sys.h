/* System calls without errno, and the futex words that everything in the agent waits on.
 *
 * Handlers run in the program's threads at any instruction, so they must not touch errno or anything else of libc's
 * that lives per thread; raw calls return -errno and leave no trace. */
#ifndef RELIVE_SYS_H
#define RELIVE_SYS_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

static inline long sys6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* SYS(number, up to six arguments of any integer or pointer type) */
#define SYS(...) SYS_FILL(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SYS_FILL(n, a, b, c, d, e, f, ...) sys6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#define NS_PER_MS 1000000ull

/* Nanoseconds of the monotonic clock; the vDSO makes it a few dozen ns and safe in handlers. */
static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* Sleeps while *word == seen, at most timeout_ns (0: for ever); may return early, so callers loop. */
static inline void futex_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns)
{
    struct timespec t = {(time_t)(timeout_ns / 1000000000ull), (long)(timeout_ns % 1000000000ull)};
    SYS(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout_ns ? &t : NULL, 0, 0);
}

static inline void futex_wake_all(_Atomic uint32_t *word)
{
    SYS(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, 0, 0, 0);
}

static inline void pause_ns(uint64_t ns)
{
    _Atomic uint32_t nobody = 0;
    futex_wait(&nobody, 0, ns);
}

static inline void raise_to(_Atomic uint64_t *maximum, uint64_t value)
{
    uint64_t seen = atomic_load(maximum);
    while (seen < value && !atomic_compare_exchange_weak(maximum, &seen, value))
        ;
}

#endif
