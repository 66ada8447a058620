#define _GNU_SOURCE
#include "worker.h"

#include "signals.h"
#include "sys.h"
#include "threads.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static struct {
    _Atomic int tid;
    _Atomic uint32_t posted, finished;
    enum job job;
    const void *what;
    uint32_t count;
    bool result;
} worker;

int worker_tid(void)
{
    return atomic_load(&worker.tid);
}

void worker_fork_child(void)
{
    memset(&worker, 0, sizeof worker);
}

/* With the mask of the main thread: threads made by a constructor inherit it, and a program that keeps signals for one
 * thread of its own has blocked them in main. */
static void run_functions(const void *addresses, uint32_t count)
{
    uint64_t mask = 0, all = signal_block_all();
    struct thread main_thread = {.tid = (int)SYS(SYS_getpid, 0)};
    if (!thread_blocked_signals(&main_thread, &mask))
        mask = all;
    signal_set_mask(mask);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t address;
        memcpy(&address, (const char *)addresses + 8 * i, sizeof address);
        ((void (*)(void))address)();
    }
    signal_set_mask(all);
}

void *worker_main(void *unused)
{
    (void)unused;
    atomic_store(&worker.tid, (int)SYS(SYS_gettid, 0));
    for (uint32_t done = 0;;) {
        uint32_t posted;
        while ((posted = atomic_load(&worker.posted)) == done)
            futex_wait(&worker.posted, posted, 0);
        worker.result = true;
        switch (worker.job) {
        case JOB_CALL:
            run_functions(worker.what, worker.count);
            break;
        case JOB_OPEN:
            worker.result = dlopen(worker.what, RTLD_NOW | RTLD_GLOBAL) != NULL;
            break;
        case JOB_EXIT:
            exit(0);
        case JOB_NONE:
            break;
        }
        done = posted;
        atomic_store(&worker.finished, done);
        futex_wake_all(&worker.finished);
    }
    return NULL;
}

bool worker_run(enum job job, const void *what, uint32_t count)
{
    worker.job = job;
    worker.what = what;
    worker.count = count;
    uint32_t posted = atomic_fetch_add(&worker.posted, 1) + 1, finished;
    futex_wake_all(&worker.posted);
    while ((finished = atomic_load(&worker.finished)) != posted)
        futex_wait(&worker.finished, finished, 0);
    return worker.result;
}
