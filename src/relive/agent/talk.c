#define _GNU_SOURCE
#include "talk.h"

#include "buffer.h"
#include "memory.h"
#include "requests.h"
#include "stop.h"
#include "switch.h"
#include "sys.h"
#include "threads.h"
#include "worker.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#endif
#define CLONE_FILES_FLAG 0x400
#define TICK (500 * NS_PER_MS)

static struct {
    char path[SOCKET_PATH_LIMIT];
    uint8_t token[RELIVE_TOKEN_SIZE];
    _Atomic uint32_t lock;    /* of path and token */
    _Atomic uint32_t summons; /* counts calls of talk_summon */
    _Atomic int host;         /* pid of the host being talked to, 0: none */
    _Atomic uint32_t tried;   /* the first connection was tried */
} talk;

static struct reply reply;
static uint8_t *request_bytes;
static size_t request_room;

static void lock(void)
{
    while (atomic_exchange(&talk.lock, 1))
        pause_ns(NS_PER_MS / 10);
}

static void unlock(void)
{
    atomic_store(&talk.lock, 0);
}

bool talk_summon(const char *socket_path, const uint8_t token[RELIVE_TOKEN_SIZE], int *busy)
{
    *busy = atomic_load(&talk.host);
    if (*busy)
        return false;
    lock();
    snprintf(talk.path, sizeof talk.path, "%s", socket_path);
    memcpy(talk.token, token, RELIVE_TOKEN_SIZE);
    unlock();
    atomic_fetch_add(&talk.summons, 1);
    futex_wake_all(&talk.summons);
    return true;
}

static void first_try_is_over(void)
{
    if (!atomic_exchange(&talk.tried, 1))
        futex_wake_all(&talk.tried);
}

void talk_wait_first_try(void)
{
    const uint64_t deadline = now_ns() + 1000 * NS_PER_MS;
    while (!atomic_load(&talk.tried) && now_ns() < deadline)
        futex_wait(&talk.tried, 0, NS_PER_MS);
}

void talk_fork_child(void)
{
    atomic_store(&talk.tried, 0);
    atomic_store(&talk.lock, 0);
    atomic_store(&talk.host, 0);
    atomic_store(&talk.summons, 0);
    reply = (struct reply){0};
    request_bytes = NULL;
    request_room = 0;
}

/* A descriptor table of its own: what the agent opens is not there for the program, and what the program has open is
 * not kept open by the agent. 0, 1 and 2 go to /dev/null, as the loader may have something to say (LD_DEBUG). */
static bool own_descriptors(void)
{
    if (SYS(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) != 0) {
        if (SYS(SYS_unshare, CLONE_FILES_FLAG) != 0)
            return false;
        int directory = (int)SYS(SYS_openat, AT_FDCWD, "/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
            return false;
        SYS(SYS_close, directory);
        for (int fd = 0; fd < 65536; fd++) /* kernels before 5.9: the numbers in use are low */
            SYS(SYS_close, fd);
    }
    for (int fd = 0; fd < 3; fd++)
        if (SYS(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0) < 0 && SYS(SYS_eventfd2, 0, 0) < 0)
            return false;
    return true;
}

static int connect_host(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[SOCKET_PATH_LIMIT];
    int directory = -1;
    lock();
    memcpy(path, talk.path, sizeof path);
    unlock();
    char *base = strrchr(path, '/');
    if (strlen(path) < sizeof address.sun_path) {
        strcpy(address.sun_path, path);
    } else if (base && strlen(base) < 64) { /* too long for the structure: by way of its directory */
        *base = 0;
        directory = (int)SYS(SYS_openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
        snprintf(address.sun_path, sizeof address.sun_path, "/proc/thread-self/fd/%d/%s", directory, base + 1);
    } else {
        return -1;
    }
    int fd = (int)SYS(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && SYS(SYS_connect, fd, &address, sizeof address) != 0) {
        SYS(SYS_close, fd);
        fd = -1;
    }
    if (directory >= 0)
        SYS(SYS_close, directory);
    return fd;
}

static bool send_all(int fd, const void *bytes, size_t size)
{
    for (const uint8_t *at = bytes; size;) {
        long put = SYS(SYS_sendto, fd, at, size, MSG_NOSIGNAL, NULL, 0);
        if (put <= 0)
            return false;
        at += put;
        size -= (size_t)put;
    }
    return true;
}

/* What has to be looked after now and then while nothing is asked. */
static void tick(void)
{
    switch_settle(20 * NS_PER_MS);
    /* Main ended by pthread_exit and everyone else has gone: without us, the last thread would have ended the process.
     */
    if (threads_all_gone())
        worker_run(JOB_EXIT, NULL, 0);
}

static bool receive_all(int fd, void *bytes, size_t size)
{
    for (uint8_t *at = bytes; size;) {
        struct pollfd wait = {fd, POLLIN, 0};
        /* What is left of a switch is done when the host has nothing more to ask for the moment. */
        struct timespec timeout = {0, (long)(switch_unsettled() ? NS_PER_MS : TICK)};
        long ready = SYS(SYS_ppoll, &wait, 1, &timeout, NULL, 0);
        if (ready <= 0) {
            tick();
            continue;
        }
        long got = SYS(SYS_recvfrom, fd, at, size, 0, NULL, NULL);
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static bool send_reply(int fd, uint16_t kind, uint32_t sequence)
{
    if (reply.failed)
        return false;
    struct frame_header header = {(uint32_t)(reply.size - sizeof header), kind, reply.status, sequence};
    memcpy(reply.bytes, &header, sizeof header);
    return send_all(fd, reply.bytes, reply.size);
}

static bool receive_request(int fd, struct frame_header *header)
{
    return receive_all(fd, header, sizeof *header) && header->size <= RELIVE_FRAME_LIMIT &&
           grow_pages(&request_bytes, &request_room, 0, header->size) && receive_all(fd, request_bytes, header->size);
}

static bool shake_hands(int fd)
{
    struct frame_header header;
    reply_begin(&reply);
    put_u32(&reply, RELIVE_MAGIC);
    put_u16(&reply, RELIVE_VERSION);
    put_u16(&reply, 62); /* EM_X86_64 */
    put_u32(&reply, (uint32_t)SYS(SYS_getpid, 0));
    lock();
    put_bytes(&reply, talk.token, RELIVE_TOKEN_SIZE);
    unlock();
    if (!send_reply(fd, KIND_HELLO, 0) || !receive_request(fd, &header))
        return false;
    struct reader reader = {request_bytes, header.size, false};
    uint16_t version = take_u16(&reader);
    return header.kind == KIND_WELCOME && version == RELIVE_VERSION && !reader.failed && !reader.left;
}

static void serve(int fd)
{
    struct ucred host = {0};
    socklen_t size = sizeof host;
    SYS(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &host, &size);
    atomic_store(&talk.host, host.pid ? host.pid : -1);
    struct frame_header header;
    if (shake_hands(fd))
        while (receive_request(fd, &header)) {
            struct reader reader = {request_bytes, header.size, false};
            reply_begin(&reply);
            bool good = header.kind == KIND_BYE || request_answer(header.kind, &reader, &reply);
            if (!good || !send_reply(fd, header.kind, header.sequence) || header.kind == KIND_BYE)
                break;
        }
    atomic_store(&talk.host, 0);
}

void *talk_main(void *unused)
{
    (void)unused;
    if (!own_descriptors() || !memory_open() || !stop_prepare()) {
        first_try_is_over();
        return NULL;
    }
    for (uint32_t failures = 0;;) {
        uint32_t seen = atomic_load(&talk.summons);
        int fd = connect_host();
        first_try_is_over();
        if (fd >= 0) {
            serve(fd);
            SYS(SYS_close, fd);
        }
        failures = fd >= 0 ? 0 : failures + 1;
        /* Quietly again in a while, or at once when a new host summons us. */
        uint64_t nap = (failures == 0 ? 50 : failures < 60 ? 1000 : 10000) * NS_PER_MS;
        for (uint64_t until = now_ns() + nap; now_ns() < until;) {
            futex_wait(&talk.summons, seen, nap < TICK ? nap : TICK);
            tick();
            if (atomic_load(&talk.summons) != seen)
                break;
        }
    }
}
