/* The program's threads as seen from /proc/self/task, without touching them.
 *
 * /proc/self/task/TID/syscall tells for a thread that sleeps in the kernel where it will come back (pc) and its stack
 * pointer; for one that runs, or waits for a CPU, it says "running". Reading it needs no rights within one process. */
#ifndef RELIVE_THREADS_H
#define RELIVE_THREADS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { THREAD_LIMIT = 32768 };

enum place { PLACE_RUNNING, PLACE_BLOCKED, PLACE_GONE };

struct thread {
    int tid;
    int syscall_fd, stat_fd; /* kept open, as opening costs five times what reading does; -1 when not */
    bool unseen;             /* its file could not be read: it may sleep or run */
    uint32_t past_switch;    /* number of the live switch whose int3s are surely behind it */
    bool kernel;             /* a worker of io_uring: listed, but never in the program's code, and deaf to signals */
    bool listed;             /* seen by the newest listing */
    bool clear;              /* nothing more to wait for (meaning: the user's) */
    bool asked;              /* a signal was sent in this round and not yet answered */
    bool sleeps;             /* pc, sp and number are those of a system call */
    int number;              /* of the system call; -1: a page fault or the like */
    uint64_t pc, sp;         /* where it will go on */
    uint64_t alternate;      /* end of the alternate signal stack when sp is on it, else 0 */
    uint64_t tp;             /* thread pointer; 0: unknown */
    bool in_trap; /* it answered from within our SIGTRAP handler (or another that blocks what only libc may) */
    bool inside;  /* its own look at its stack found what was looked for */
    _Atomic uint32_t answered; /* the round it answered last */
};

struct threads {
    struct thread *rows; /* THREAD_LIMIT rows of address space, touched as needed */
    uint32_t count;
};

extern struct threads threads;

bool threads_prepare(void);
/* The table of an operation that begins: who is there now, nothing known of anybody. The calling thread is left out.
 * False without /proc or with too many threads. */
bool threads_begin(void);
/* During the operation: new ones are added at the end, ended ones marked clear. Returns how many are new, -1: failed.
 */
int threads_list(void);
/* The operation is over; descriptors of many threads are not kept. */
void threads_end(void);

/* Where the thread is right now; pc, sp, number are set when PLACE_BLOCKED. */
enum place thread_place(struct thread *thread);
/* SIGTRAP is blocked, perhaps only for a moment (see thread_blocked_signals); marks a thread that is gone as clear. */
bool thread_blocks_traps(struct thread *thread);
/* Of /proc/self/task/TID/status: false when the thread is gone or a zombie. */
bool thread_blocked_signals(const struct thread *thread, uint64_t *mask);
/* One number of a thread's status file: "TracerPid:" and the like; false when not there. */
bool status_number(int tid, const char *name, int base, uint64_t *value);
/* The process has no thread left but the agent's two and the zombie of main. */
bool threads_all_gone(void);

#endif
