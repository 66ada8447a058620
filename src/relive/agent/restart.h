/* Putting back a system call that our signal threw a thread out of, so that the program sees no EINTR.
 *
 * With SA_RESTART the kernel repeats read, futex and the like by itself; sleeps, polls and selects it ends with EINTR
 * after any handler. They are repeated here, in one of two ways:
 *  - Once more with the same arguments, where that means the same: no time limit, an absolute one, one that the kernel
 *    counted down in the caller's memory, or a call that had only just begun.
 *  - By restart_syscall from inside our handler, which goes on with the time that is left: the kernel remembers the end
 *    of the sleep until sigreturn, so it must happen before. A second stop in the middle of that jumps back into the
 *    first handler's frame instead of returning, for the same reason, and because frames would pile up otherwise. */
#ifndef RELIVE_RESTART_H
#define RELIVE_RESTART_H

#include "threads.h"

#include <stdbool.h>
#include <ucontext.h>

/* Last act of a handler. `was`: what the agent saw of this thread before it sent the signal (sleeps, pc, number), or
 * NULL; `held`: the thread may have lost noticeable time. May not return (second case, nested). */
void restart_interrupted(ucontext_t *context, const struct thread *was, bool held);

#endif
