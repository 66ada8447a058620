/* Installing handlers underneath libc, and what a context says.
 *
 * libc's sigaction refuses the two signals it keeps for itself (32, 33), so these calls are raw, with a restorer of our
 * own that has the very bytes by which gdb knows a signal frame. */
#ifndef RELIVE_SIGNALS_H
#define RELIVE_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/* struct sigaction as the kernel has it */
struct kernel_action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

/* Where our handlers return to: this word on a stack is the beginning of one of their signal frames. */
void relive_restorer(void) __attribute__((visibility("hidden")));

/* Installs `handler`, during which `mask` is blocked; *old gets what was there (unless it was ours already). */
bool signal_install(int number, void (*handler)(int, siginfo_t *, void *), uint64_t mask, struct kernel_action *old);
bool signal_query(int number, struct kernel_action *now);
bool signal_restore(int number, const struct kernel_action *old);
/* Hands a signal that is not ours to the handler that was there before, with the mask it asked for. */
void signal_chain(int number, const struct kernel_action *old, siginfo_t *info, ucontext_t *context);
/* glibc's own two: a thread that blocks them makes setuid and pthread_cancel of others wait for ever. So only handlers
 * (ours, and glibc's short ones) do, which tells their threads from those of a program that blocks "everything". */
#define LIBC_SIGNALS (3ull << 31)

/* Blocks everything but those, returns the mask before. */
uint64_t signal_block_all(void);
void signal_set_mask(uint64_t mask);

static inline uint64_t *context_register(void *context, int index)
{
    return (uint64_t *)&((ucontext_t *)context)->uc_mcontext.gregs[index];
}

#endif
