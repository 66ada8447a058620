#define _GNU_SOURCE
#include "pool.h"

#include "memory.h"
#include "modules.h"
#include "stop.h"
#include "sys.h"
#include "threads.h"

#include <pthread.h>
#include <string.h>

#ifndef RELIVE_TLS_POOL
#define RELIVE_TLS_POOL 4096 /* what glibc finds room for when the agent is there from the start; attached: 512 */
#endif

/* In .tdata, not .tbss: then there is an image in memory that can be changed for threads to come. Linked without RELRO,
 * so that it can simply be written. */
static __thread uint8_t pool[RELIVE_TLS_POOL]
    __attribute__((tls_model("initial-exec"), aligned(64), section(".tdata"), used)) = {0};

struct job {
    uint64_t offset, size;
    const uint8_t *bytes;
};

static uint64_t creator_low, creator_high; /* code of pthread_create */

static uint8_t *thread_pointer(void)
{
    uint8_t *tp;
    __asm__("mov %%fs:0,%0" : "=r"(tp));
    return tp;
}

struct pool_place pool_place(void)
{
    struct tls_image image = modules_own_tls();
    struct pool_place place = {
        .tp_offset = pool - thread_pointer(),
        .size = sizeof pool,
        .module = image.module,
        .module_offset = (uint64_t)(pool - image.block),
    };
    return place;
}

static bool creates_a_thread(uint64_t word)
{
    return word >= creator_low && word < creator_high;
}

static bool copy_everywhere(void *argument)
{
    const struct job *job = argument;
    int64_t offset = pool - thread_pointer();
    memcpy(pool + job->offset, job->bytes, job->size);
    for (uint32_t i = 0; i < threads.count; i++)
        if (!threads.rows[i].clear && threads.rows[i].tp)
            memcpy((uint8_t *)threads.rows[i].tp + offset + job->offset, job->bytes, job->size);
    return true;
}

enum switch_status pool_install(uint64_t offset, const void *bytes, uint64_t size, struct switch_result *result)
{
    struct tls_image image = modules_own_tls();
    struct job job = {offset, size, bytes};
    *result = (struct switch_result){0};
    /* First the image of later threads, then everyone who is there. A thread that is just being made has its TLS
     * already and is in no list yet: therefore nobody may be inside pthread_create. If somebody seems to be there to
     * stay, it is an old word on a stack. */
    if (!memory_write((uint64_t)image.initial + (uint64_t)(pool - image.block) + offset, bytes, size))
        return SWITCH_MISMATCH;
    symbol_range((void *)pthread_create, &creator_low, &creator_high);
    stop_prepare();
    enum switch_status status =
        switch_held(creates_a_thread, copy_everywhere, &job, now_ns() + 200 * NS_PER_MS, result);
    if (status == SWITCH_BUSY)
        status = switch_held(NULL, copy_everywhere, &job, now_ns() + 5000 * NS_PER_MS, result);
    return status;
}
