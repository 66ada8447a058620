/* Looking at, and holding, the program's threads by signal 33 queued with a mark.
 *
 * 33 is the signal by which glibc changes the user of all threads; it never lets a program block it, so threads that
 * block "everything" still answer. Ours is queued (SI_QUEUE) with a number that says which round it belongs to; glibc's
 * own comes by tgkill and is handed on. A *probe* only reports where the thread was and lets it go on; a *stop* holds
 * it until the gate opens. A thread that was thrown out of a system call by our signal repeats the call. */
#ifndef RELIVE_STOP_H
#define RELIVE_STOP_H

#include "threads.h"

#include <stdbool.h>
#include <stdint.h>

enum { STOP_SIGNAL = 33 };

/* Installs the handler (or again, when the program replaced it). Call after the first pthread_create. */
bool stop_prepare(void);

/* Starts a round: of probes, or of stops that hold until stop_end. `wanted` (safe in handlers, or NULL) is asked for
 * the thread's pc and its stack's words; the answer is thread->inside. Every stop_begin needs its stop_end. */
void stop_begin(bool hold, bool (*wanted)(uint64_t word));
/* Signals this thread once in this round; false when it is gone. */
bool stop_probe(struct thread *thread);
/* Waits until every asked thread answered or is gone, at most until the deadline (ns, now_ns); false on time-out. */
bool stop_wait(uint64_t deadline);
/* Whether this thread has answered in this round. */
bool stop_answered(const struct thread *thread);
/* Stops every thread (also those that appear meanwhile); false on time-out, *tid names one that did not answer. */
bool stop_all(uint64_t deadline, int *tid);
/* Opens the gate and waits until everyone has left the handler's part that uses the table. */
void stop_end(void);

/* Longest time any thread was held or looked at since stop_clear_longest, ns; traps add theirs by stop_note_held. */
uint64_t stop_longest(void);
void stop_clear_longest(void);
void stop_note_held(uint64_t ns);

/* In a child after fork: nobody is in a handler. */
void stop_fork_child(void);

#endif
