/* How the agent comes to life: preloaded (the constructor finds RELIVE_SOCKET in the environment), or brought into a
 * running program (relive_agent_start is called in one of its threads).
 *
 * The program must not notice: the environment is cleaned before main, so children and the program itself see what the
 * user gave; the threads block all signals; after fork the child has no agent, and nothing to clean up. */
#define _GNU_SOURCE
#include "arena.h"
#include "memory.h"
#include "modules.h"
#include "protocol.h"
#include "signals.h"
#include "stop.h"
#include "switch.h"
#include "sys.h"
#include "talk.h"
#include "threads.h"
#include "worker.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define EXPORTED __attribute__((visibility("default")))

extern char **environ;

/* Read by a host that finds an agent in a program: may it talk to this one? */
EXPORTED extern const uint32_t relive_agent_version;
const uint32_t relive_agent_version = RELIVE_VERSION;

EXPORTED int relive_agent_start(const char *socket_and_token);

static bool started;

static bool token_from_hex(const char *hex, uint8_t token[RELIVE_TOKEN_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 2 * RELIVE_TOKEN_SIZE; i++) {
        const char *digit = hex[i] ? strchr(digits, hex[i]) : NULL;
        if (!digit)
            return false;
        token[i / 2] = (uint8_t)(token[i / 2] << 4 | (digit - digits));
    }
    return !hex[2 * RELIVE_TOKEN_SIZE];
}

/* Takes our own file, and what the host put before it (a sanitizer that wants to be the first), out of the list of
 * preloaded ones, in its place; false when nothing is left. */
static bool leave_preload_list(char *list)
{
    Dl_info own;
    if (!dladdr((void *)relive_agent_start, &own) || !own.dli_fname)
        return true;
    size_t length = strlen(own.dli_fname);
    for (char *at = list; *at;) {
        size_t word = strcspn(at, ": ");
        char *next = at + word + strspn(at + word, ": ");
        if (word == length && memcmp(at, own.dli_fname, length) == 0) {
            memmove(list, next, strlen(next) + 1);
            break;
        }
        at = next;
    }
    size_t end = strlen(list);
    while (end && (list[end - 1] == ':' || list[end - 1] == ' '))
        list[--end] = 0;
    return end != 0;
}

static void clean_environment(void)
{
    char **to = environ;
    for (char **from = environ; *from; from++) {
        bool keep = strncmp(*from, "RELIVE_", 7) != 0;
        if (strncmp(*from, "LD_PRELOAD=", 11) == 0)
            keep = leave_preload_list(*from + 11);
        if (strcmp(*from, "LD_USE_LOAD_BIAS=1") == 0) /* set by the host for loaders before glibc 2.36 */
            keep = false;
        if (keep)
            *to++ = *from;
    }
    *to = NULL;
}

static bool start_thread(void *(*entry)(void *), size_t stack_size)
{
    pthread_t thread;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool good = false;
    if (!stack_size) {
        good = pthread_create(&thread, &attributes, entry, NULL) == 0;
    } else {
        /* A stack of our own, to be left alone when pointers are rewritten; static TLS takes its room from it. */
        for (size_t size = stack_size; size <= stack_size << 8 && !good; size <<= 4) {
            void *stack = own_pages(size);
            if (!stack)
                break;
            pthread_attr_setstack(&attributes, stack, size);
            good = pthread_create(&thread, &attributes, entry, NULL) == 0;
            if (!good)
                own_pages_free(stack, size);
        }
    }
    pthread_attr_destroy(&attributes);
    if (good)
        pthread_setname_np(thread, "relive");
    return good;
}

static void fork_child(void)
{
    started = false;
    switch_fork_child();
    stop_fork_child();
    talk_fork_child();
    worker_fork_child();
    memory_forget();
    threads.count = 0; /* their files are in the parent's table, not in ours */
}

static bool start(const char *socket_path, const uint8_t token[RELIVE_TOKEN_SIZE])
{
    static bool prepared;
    int busy;
    uint64_t low, high;
    switch_prepare(); /* before there is a second thread: then registering costs nothing */
    if (!prepared) {
        modules_executable(&low, &high);
        modules_register_own_data();
        arena_prepare(low, high);
        pthread_atfork(switch_fork_before, switch_fork_parent, fork_child);
        prepared = true;
    }
    talk_summon(socket_path, token, &busy);
    uint64_t mask = signal_block_all(); /* inherited by the new threads */
    started = start_thread(worker_main, 0) && start_thread(talk_main, 1 << 20);
    signal_set_mask(mask);
    if (started)
        talk_wait_first_try();
    return started;
}

__attribute__((constructor)) static void preloaded(void)
{
    const char *path = getenv("RELIVE_SOCKET"), *hex = getenv("RELIVE_TOKEN");
    if (!path)
        return;
    char socket_path[SOCKET_PATH_LIMIT];
    uint8_t token[RELIVE_TOKEN_SIZE];
    bool good = hex && strlen(path) < sizeof socket_path && token_from_hex(hex, token);
    if (good)
        strcpy(socket_path, path);
    clean_environment();
    if (good)
        start(socket_path, token);
}

/* "path\ntoken in hex". 0: fine, the agent connects; -1: the argument is wrong; -2: no thread could be made; > 0:
 * another host, with this pid, is at work. */
EXPORTED int relive_agent_start(const char *socket_and_token)
{
    char socket_path[SOCKET_PATH_LIMIT];
    uint8_t token[RELIVE_TOKEN_SIZE];
    int busy = 0;
    const char *end = strchr(socket_and_token, '\n');
    if (!end || (size_t)(end - socket_and_token) >= sizeof socket_path || !token_from_hex(end + 1, token))
        return -1;
    memcpy(socket_path, socket_and_token, (size_t)(end - socket_and_token));
    socket_path[end - socket_and_token] = 0;
    if (!started)
        return start(socket_path, token) ? 0 : -2;
    return talk_summon(socket_path, token, &busy) ? 0 : busy > 0 ? busy : 1;
}
