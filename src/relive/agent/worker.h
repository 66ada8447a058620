/* The agent's second thread: it runs what belongs to the program (constructors, libraries being opened).
 *
 * The first thread has a descriptor table of its own, so that nothing the agent opens can ever be met, closed or
 * inherited by the program. A constructor that opens a file wants the program's table; so it runs here. */
#ifndef RELIVE_WORKER_H
#define RELIVE_WORKER_H

#include <stdbool.h>
#include <stdint.h>

enum job { JOB_NONE, JOB_CALL, JOB_OPEN, JOB_EXIT };

/* The thread's main function. */
void *worker_main(void *unused);
int worker_tid(void);
/* Hands over a job and waits until it is done: JOB_CALL runs `count` functions at `what`, JOB_OPEN opens the library
 * whose name is at `what`, JOB_EXIT ends the program as its last thread would. */
bool worker_run(enum job job, const void *what, uint32_t count);
void worker_fork_child(void);

#endif
