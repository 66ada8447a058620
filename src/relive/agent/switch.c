#include "switch.h"

#include "changes.h"
#include "live.h"
#include "stack.h"
#include "stop.h"
#include "sys.h"
#include "threads.h"

/* ---- stop ---- */

static bool everyone_is_elsewhere(bool (*wanted)(uint64_t), struct switch_result *result)
{
    for (uint32_t i = 0; wanted && i < threads.count; i++) {
        const struct thread *thread = &threads.rows[i];
        if (thread->clear || !thread_has(thread, wanted, STACK_HELD))
            continue;
        result->tid = thread->tid;
        result->address = thread->pc;
        return false;
    }
    return true;
}

enum switch_status switch_held(bool (*wanted)(uint64_t word), bool (*act)(void *), void *argument, uint64_t deadline,
                               struct switch_result *result)
{
    enum switch_status before = SWITCH_TIMEOUT;
    for (uint64_t nap = NS_PER_MS / 4;; nap = nap < 16 * NS_PER_MS ? nap * 2 : nap) {
        enum switch_status status = SWITCH_TIMEOUT;
        struct switch_result then = *result;
        stacks_load();
        threads_begin();
        uint32_t known = threads.count;
        for (uint32_t i = 0; i < known; i++)
            thread_place(&threads.rows[i]); /* opens what will be read while everybody is held */
        stop_begin(true, NULL);
        if (stop_all(deadline + PATIENCE, &result->tid)) {
            if (threads.count > known)
                stacks_load();
            status = everyone_is_elsewhere(wanted, result) ? SWITCH_DONE : SWITCH_BUSY;
            if (status == SWITCH_DONE) {
                result->tid = 0;
                result->address = 0;
                act(argument);
            }
            synchronise_cores();
        }
        stop_end();
        threads_end();
        if (status == SWITCH_TIMEOUT && before == SWITCH_BUSY) {
            *result = then; /* what is in the way says more than who was slow in the end */
            return before;
        }
        if (status != SWITCH_BUSY || now_ns() >= deadline)
            return status;
        before = status;
        pause_ns(nap); /* it will have gone on in a moment, or is there to stay */
    }
}

struct whole {
    const struct switch_plan *plan;
    struct switch_result *result;
};

static bool change_everything(void *argument)
{
    const struct switch_plan *plan = ((struct whole *)argument)->plan;
    struct switch_result *result = ((struct whole *)argument)->result;
    /* Once more: before the threads were held, somebody (a debugger) may have been quicker. */
    if (!changes_as_expected(plan, result))
        return false;
    if (!changes_write(plan->stores, plan->store_count, 0, UINT32_MAX, false, result) ||
        !changes_write(plan->code, plan->code_count, 0, UINT32_MAX, false, result)) {
        struct switch_result ignored;
        changes_write(plan->code, plan->code_count, 0, UINT32_MAX, true, &ignored);
        changes_write(plan->stores, plan->store_count, 0, UINT32_MAX, true, &ignored);
        return false;
    }
    result->rewritten = scan_rewrite(plan->rewrites, plan->rewrite_count);
    return true;
}

static void run_stopped(const struct switch_plan *plan, struct switch_result *result, uint64_t deadline)
{
    struct whole whole = {plan, result};
    bool look = plan->code_count || plan->forbidden_count;
    result->mode = MODE_STOP;
    enum switch_status status =
        switch_held(look ? inside_forbidden : NULL, change_everything, &whole, deadline, result);
    if (result->status == SWITCH_DONE)
        result->status = status;
}

void switch_run(const struct switch_plan *plan, struct switch_result *result)
{
    uint64_t deadline = now_ns() + plan->timeout_ms * NS_PER_MS;
    *result = (struct switch_result){0};
    if (!changes_as_expected(plan, result))
        return;
    for (switch_settle(PATIENCE); switch_unsettled(); switch_settle(PATIENCE)) {
        if (now_ns() >= deadline + PATIENCE) {
            result->status = SWITCH_TIMEOUT;
            return;
        }
        pause_ns(NS_PER_MS / 10);
    }
    stop_prepare(); /* again: the program may have taken the signal by a raw system call */
    stop_clear_longest();
    changes_begin(plan);
    bool must_stop = plan->stop || plan->store_count || plan->rewrite_count || plan->forbidden_count;
    if (!must_stop && live_is_possible(plan->code_count, deadline))
        live_run(plan, result, deadline);
    else
        run_stopped(plan, result, deadline);
    result->pause = stop_longest();
}
