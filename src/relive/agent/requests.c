#define _GNU_SOURCE
#include "requests.h"

#include "arena.h"
#include "memory.h"
#include "modules.h"
#include "pool.h"
#include "protocol.h"
#include "switch.h"
#include "whereabouts.h"
#include "worker.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The rest of the request as a C string: not empty, without NUL. */
static const char *take_name(struct reader *request, char *name, size_t size)
{
    size_t length = request->left;
    const uint8_t *bytes = take_bytes(request, length);
    if (!bytes || !length || length >= size || memchr(bytes, 0, length)) {
        request->failed = true;
        return NULL;
    }
    memcpy(name, bytes, length);
    name[length] = 0;
    return name;
}

static bool complete(const struct reader *request)
{
    return !request->failed && !request->left;
}

static bool answer_modules(struct reader *request, struct reply *reply)
{
    if (!complete(request))
        return false;
    modules_list(reply);
    return true;
}

static bool answer_read(struct reader *request, struct reply *reply)
{
    uint32_t count = take_count(request, 12);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t address = take_u64(request);
        uint32_t size = take_u32(request);
        if (request->failed)
            return false;
        uint8_t *space = put_space(reply, size);
        if (!space)
            return false; /* asks for more than a frame holds */
        if (!memory_read(address, space, size)) {
            reply_fail(reply, "%" PRIu32 " bytes at 0x%" PRIx64 " are not mapped", size, address);
            return true;
        }
    }
    return complete(request);
}

static bool answer_reserve(struct reader *request, struct reply *reply)
{
    uint64_t low = take_u64(request), high = take_u64(request), size = take_u64(request);
    if (!complete(request))
        return false;
    uint64_t address = arena_reserve(low, high, size);
    if (address)
        put_u64(reply, address);
    else
        reply_fail(reply, "no %" PRIu64 " bytes of free address space within 2 GB of 0x%" PRIx64, size, low);
    return true;
}

static bool answer_release(struct reader *request, struct reply *reply)
{
    uint64_t address = take_u64(request), size = take_u64(request);
    if (!complete(request))
        return false;
    if (!arena_release(address, size))
        reply_fail(reply, "0x%" PRIx64 " is not a reserved range", address);
    return true;
}

static bool answer_load(struct reader *request, struct reply *reply)
{
    char path[PATH_MAX];
    uint64_t address = take_u64(request), size = take_u64(request);
    if (!take_name(request, path, sizeof path))
        return false;
    const char *problem = modules_load(path, address, size);
    if (problem)
        reply_fail(reply, "%s", problem);
    return true;
}

static bool answer_lookup(struct reader *request, struct reply *reply)
{
    char name[65536];
    uint32_t count = take_count(request, 2);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t length = take_u16(request);
        const uint8_t *bytes = take_bytes(request, length);
        if (!bytes)
            return false;
        memcpy(name, bytes, length);
        name[length] = 0;
        put_u64(reply, length && strlen(name) == length ? modules_lookup(name) : 0);
    }
    return complete(request);
}

static bool answer_open(struct reader *request, struct reply *reply)
{
    char name[PATH_MAX];
    if (!take_name(request, name, sizeof name))
        return false;
    put_u8(reply, worker_run(JOB_OPEN, name, 1));
    return true;
}

static bool answer_call(struct reader *request, struct reply *reply)
{
    (void)reply;
    uint32_t count = take_count(request, 8);
    const uint8_t *addresses = take_bytes(request, 8ull * count);
    if (!complete(request))
        return false;
    if (count)
        worker_run(JOB_CALL, addresses, count);
    return true;
}

/* Arrays of the plan being decoded; own pages, kept for the next one. */
static struct {
    struct change *code, *stores;
    struct rewrite *rewrites;
    struct range *forbidden;
    size_t code_room, store_room, rewrite_room, forbidden_room;
} room;

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const struct change *)a)->address, y = ((const struct change *)b)->address;
    return (x > y) - (x < y);
}

static int by_from(const void *a, const void *b)
{
    uint64_t x = ((const struct rewrite *)a)->from, y = ((const struct rewrite *)b)->from;
    return (x > y) - (x < y);
}

/* Insertion: the host sends rows sorted, so nothing moves; and qsort would use the program's heap (glibc 2.36). */
static void sort(void *rows, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    char *base = rows, spare[64];
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && compare(base + (j - 1) * size, base + j * size) > 0; j--) {
            memcpy(spare, base + j * size, size);
            memcpy(base + j * size, base + (j - 1) * size, size);
            memcpy(base + (j - 1) * size, spare, size);
        }
}

static bool take_changes(struct reader *request, struct change *changes, size_t count, uint32_t limit)
{
    for (size_t i = 0; i < count; i++) {
        changes[i].address = take_u64(request);
        changes[i].size = take_u32(request);
        changes[i].expected = take_bytes(request, changes[i].size);
        changes[i].replacement = take_bytes(request, changes[i].size);
        if (request->failed || !changes[i].size || changes[i].size > limit)
            return false;
    }
    return true;
}

static bool take_plan(struct reader *request, struct switch_plan *plan)
{
    plan->stop = take_u32(request) & SWITCH_FLAG_STOP;
    plan->timeout_ms = take_u32(request);
    plan->code_count = take_count(request, 14);
    plan->store_count = take_count(request, 14);
    plan->rewrite_count = take_count(request, 16);
    plan->forbidden_count = take_count(request, 16);
    if (request->failed ||
        !grow_pages((uint8_t **)&room.code, &room.code_room, 0, plan->code_count * sizeof *room.code) ||
        !grow_pages((uint8_t **)&room.stores, &room.store_room, 0, plan->store_count * sizeof *room.stores) ||
        !grow_pages((uint8_t **)&room.rewrites, &room.rewrite_room, 0, plan->rewrite_count * sizeof *room.rewrites) ||
        !grow_pages((uint8_t **)&room.forbidden, &room.forbidden_room, 0,
                    plan->forbidden_count * sizeof *room.forbidden))
        return false;
    plan->code = room.code;
    plan->stores = room.stores;
    plan->rewrites = room.rewrites;
    plan->forbidden = room.forbidden;
    if (!take_changes(request, plan->code, plan->code_count, RELIVE_CODE_LIMIT) ||
        !take_changes(request, plan->stores, plan->store_count, UINT32_MAX))
        return false;
    for (size_t i = 0; i < plan->rewrite_count; i++)
        plan->rewrites[i] = (struct rewrite){take_u64(request), take_u64(request)};
    for (size_t i = 0; i < plan->forbidden_count; i++)
        plan->forbidden[i] = (struct range){take_u64(request), take_u64(request)};
    sort(plan->code, plan->code_count, sizeof *plan->code, by_address);
    sort(plan->rewrites, plan->rewrite_count, sizeof *plan->rewrites, by_from);
    for (size_t i = 1; i < plan->code_count; i++)
        if (plan->code[i - 1].address + plan->code[i - 1].size > plan->code[i].address)
            return false; /* overlapping */
    return complete(request);
}

static void put_result(struct reply *reply, const struct switch_result *result)
{
    put_u32(reply, result->status);
    put_u32(reply, result->mode);
    put_u64(reply, result->pause);
    put_u64(reply, result->address);
    put_u64(reply, result->rewritten);
    put_u32(reply, (uint32_t)result->tid);
}

static bool answer_switch(struct reader *request, struct reply *reply)
{
    struct switch_plan plan;
    struct switch_result result;
    if (!take_plan(request, &plan))
        return false;
    switch_run(&plan, &result);
    if (result.write_failed)
        reply_fail(reply, "the bytes at 0x%" PRIx64 " cannot be written", result.address);
    else
        put_result(reply, &result);
    return true;
}

static bool answer_active(struct reader *request, struct reply *reply)
{
    uint32_t count = take_count(request, 16);
    if (!grow_pages((uint8_t **)&room.forbidden, &room.forbidden_room, 0, count * sizeof *room.forbidden))
        return false;
    for (uint32_t i = 0; i < count; i++)
        room.forbidden[i] = (struct range){take_u64(request), take_u64(request)};
    if (!complete(request))
        return false;
    if (!whereabouts_list(room.forbidden, count, reply))
        reply_fail(reply, "the threads of the program cannot be listed (/proc)");
    return true;
}

static bool answer_pool(struct reader *request, struct reply *reply)
{
    struct pool_place place = pool_place();
    put_u64(reply, (uint64_t)place.tp_offset);
    put_u64(reply, place.size);
    put_u64(reply, place.module);
    put_u64(reply, place.module_offset);
    return complete(request);
}

static bool answer_install(struct reader *request, struct reply *reply)
{
    uint64_t offset = take_u64(request), size = request->left;
    const uint8_t *image = take_bytes(request, size);
    struct switch_result result;
    if (!complete(request))
        return false;
    if (offset > pool_place().size || size > pool_place().size - offset) {
        reply_fail(reply, "the pool for new thread-local variables is full");
        return true;
    }
    enum switch_status status = size ? pool_install(offset, image, size, &result) : SWITCH_DONE;
    if (status != SWITCH_DONE)
        reply_fail(reply, "thread %d could not be given the new thread-local variable", result.tid);
    return true;
}

bool request_answer(uint16_t kind, struct reader *request, struct reply *reply)
{
    switch (kind) {
    case KIND_MODULES:
        return answer_modules(request, reply);
    case KIND_READ:
        return answer_read(request, reply);
    case KIND_RESERVE:
        return answer_reserve(request, reply);
    case KIND_RELEASE:
        return answer_release(request, reply);
    case KIND_LOAD:
        return answer_load(request, reply);
    case KIND_LOOKUP:
        return answer_lookup(request, reply);
    case KIND_OPEN:
        return answer_open(request, reply);
    case KIND_CALL:
        return answer_call(request, reply);
    case KIND_SWITCH:
        return answer_switch(request, reply);
    case KIND_ACTIVE:
        return answer_active(request, reply);
    case KIND_POOL:
        return answer_pool(request, reply);
    case KIND_INSTALL:
        return answer_install(request, reply);
    default:
        return false;
    }
}
