#define _GNU_SOURCE
#include "threads.h"

#include "memory.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PF_IO_WORKER 0x10u /* linux/sched.h */

enum { KEPT_LIMIT = 200 }; /* threads whose files stay open between operations */

struct threads threads;

struct entry { /* linux_dirent64 */
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

bool threads_prepare(void)
{
    if (!threads.rows)
        threads.rows = own_pages(THREAD_LIMIT * sizeof *threads.rows);
    return threads.rows != NULL;
}

/* Reads a thread's file through the descriptor that is kept; < 0: -errno. */
static long read_kept(const struct thread *thread, int *fd, const char *name, char *text, size_t size)
{
    bool kept = *fd >= 0;
    for (;;) {
        if (*fd < 0) {
            char path[64];
            snprintf(path, sizeof path, "task/%d/%s", thread->tid, name);
            *fd = (int)SYS(SYS_openat, proc_directory(), path, O_RDONLY | O_CLOEXEC);
            if (*fd < 0) {
                long error = *fd;
                *fd = -1;
                return error;
            }
        }
        long got = SYS(SYS_pread64, *fd, text, size - 1, 0);
        if (got > 0) {
            text[got] = 0;
            return got;
        }
        SYS(SYS_close, *fd);
        *fd = -1;
        if (!kept)
            return -ESRCH;
        kept = false; /* of an earlier thread with the same number? */
    }
}

/* Field `number` (from 3 on) of "tid (name) state ppid pgrp session tty tpgid flags ..." or NULL. */
static const char *stat_field(struct thread *thread, int number, char *text, size_t size)
{
    if (read_kept(thread, &thread->stat_fd, "stat", text, size) <= 0)
        return NULL;
    const char *at = strrchr(text, ')');
    for (int field = 2; field < number && at; field++)
        at = strchr(at + 1, ' ');
    return at ? at + 1 : NULL;
}

static bool is_kernel_worker(struct thread *thread)
{
    char text[1024];
    const char *flags = stat_field(thread, 9, text, sizeof text);
    return flags && strtoull(flags, NULL, 10) & PF_IO_WORKER && strstr(text, "(iou-");
}

static void close_files(struct thread *thread)
{
    if (thread->syscall_fd >= 0)
        SYS(SYS_close, thread->syscall_fd);
    if (thread->stat_fd >= 0)
        SYS(SYS_close, thread->stat_fd);
    thread->syscall_fd = thread->stat_fd = -1;
}

bool threads_begin(void)
{
    bool good = threads_list() >= 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < threads.count; i++) {
        struct thread *thread = &threads.rows[i];
        if (!thread->listed) {
            close_files(thread);
            continue;
        }
        struct thread fresh = {
            .tid = thread->tid,
            .syscall_fd = thread->syscall_fd,
            .stat_fd = thread->stat_fd,
            .kernel = thread->kernel,
            .past_switch = thread->past_switch,
            .clear = thread->kernel,
            .listed = true,
        };
        threads.rows[kept++] = fresh;
    }
    threads.count = kept;
    return good;
}

void threads_end(void)
{
    for (uint32_t i = 0; i < threads.count; i++)
        if (!threads.rows[i].listed || threads.count > KEPT_LIMIT)
            close_files(&threads.rows[i]);
}

static struct thread *find(int tid, uint32_t hint)
{
    /* The kernel lists in order of creation, so the next row nearly always is the one. */
    for (uint32_t i = 0; i < threads.count; i++) {
        struct thread *thread = &threads.rows[(hint + i) % threads.count];
        if (thread->tid == tid)
            return thread;
    }
    return NULL;
}

int threads_list(void)
{
    char buffer[8192] __attribute__((aligned(8)));
    int self = (int)SYS(SYS_gettid, 0), fresh = 0;
    int fd = (int)SYS(SYS_openat, proc_directory(), "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (uint32_t i = 0; i < threads.count; i++)
        threads.rows[i].listed = false;
    uint32_t hint = 0, known = threads.count;
    long got;
    while ((got = SYS(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < got;) {
            const struct entry *entry = (const void *)(buffer + at);
            at += entry->length;
            int tid = atoi(entry->name);
            if (tid <= 0 || tid == self)
                continue;
            struct thread *thread = known ? find(tid, hint) : NULL;
            hint++;
            if (!thread) {
                if (threads.count == THREAD_LIMIT) {
                    got = -1;
                    break;
                }
                thread = &threads.rows[threads.count++];
                memset(thread, 0, sizeof *thread);
                thread->tid = tid;
                thread->syscall_fd = thread->stat_fd = -1;
                thread->kernel = thread->clear = is_kernel_worker(thread);
                fresh++;
            }
            thread->listed = true;
        }
    SYS(SYS_close, fd);
    for (uint32_t i = 0; i < threads.count; i++)
        if (!threads.rows[i].listed)
            threads.rows[i].clear = true;
    return got < 0 ? -1 : fresh;
}

static long read_thread_file(int tid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "task/%d/%s", tid, name);
    int fd = (int)SYS(SYS_openat, proc_directory(), path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fd;
    long got = SYS(SYS_read, fd, text, size - 1);
    SYS(SYS_close, fd);
    if (got >= 0)
        text[got] = 0;
    return got;
}

bool thread_blocks_traps(struct thread *thread)
{
    char text[1024];
    const char *blocked = stat_field(thread, 32, text, sizeof text); /* signals 1 to 31 */
    if (blocked && !strstr(text, ") Z ") && !strstr(text, ") X "))
        return strtoull(blocked, NULL, 10) & 1ull << (SIGTRAP - 1);
    uint64_t mask;
    thread->clear = thread->clear || !thread_blocked_signals(thread, &mask);
    return !thread->clear && mask & 1ull << (SIGTRAP - 1);
}

enum place thread_place(struct thread *thread)
{
    char text[256];
    long got = read_kept(thread, &thread->syscall_fd, "syscall", text, sizeof text);
    if (got <= 0)
        /* Unreadable (the program changed its user, or no descriptors left): only a signal can tell. */
        return got == -ENOENT || got == -ESRCH ? PLACE_GONE : (thread->unseen = true, PLACE_RUNNING);
    if (text[0] == 'r')
        return PLACE_RUNNING;
    /* "nr a0 a1 a2 a3 a4 a5 sp pc" in a system call, "-1 sp pc" otherwise (a zombie: "0 0x0 ..." with pc 0). */
    char *at = text, *last = NULL, *before = NULL;
    thread->number = (int)strtol(text, &at, 10);
    while ((at = strchr(at, ' '))) {
        before = last;
        last = ++at;
    }
    if (!before)
        return PLACE_RUNNING;
    thread->sp = strtoull(before, NULL, 16);
    thread->pc = strtoull(last, NULL, 16);
    return thread->pc ? PLACE_BLOCKED : PLACE_GONE;
}

bool status_number(int tid, const char *name, int base, uint64_t *value)
{
    char text[4096];
    if (read_thread_file(tid, "status", text, sizeof text) <= 0)
        return false;
    const char *at = strstr(text, name);
    if (!at)
        return false;
    *value = strtoull(at + strlen(name), NULL, base);
    return true;
}

bool thread_blocked_signals(const struct thread *thread, uint64_t *mask)
{
    char text[4096];
    if (read_thread_file(thread->tid, "status", text, sizeof text) <= 0)
        return false;
    const char *state = strstr(text, "\nState:\t"), *blocked = strstr(text, "\nSigBlk:");
    if (!state || !blocked || state[8] == 'Z' || state[8] == 'X')
        return false;
    *mask = strtoull(blocked + 8, NULL, 16);
    return true;
}

bool threads_all_gone(void)
{
    struct stat task;
    char text[512];
    if (fstatat(proc_directory(), "task", &task, 0) != 0 || task.st_nlink > 2 + 3)
        return false;
    if (read_thread_file((int)SYS(SYS_getpid, 0), "stat", text, sizeof text) <= 0)
        return false;
    const char *state = strrchr(text, ')');
    return state && state[1] && state[2] == 'Z';
}
