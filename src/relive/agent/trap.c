#define _GNU_SOURCE
#include "trap.h"

#include "signals.h"
#include "stop.h"
#include "sys.h"

static struct {
    const struct trap *_Atomic traps;
    _Atomic size_t count;
    struct kernel_action before;
    _Atomic uint32_t open;
    _Atomic uint32_t waiting;
} table;

static const struct trap *find(uint64_t address)
{
    const struct trap *traps = atomic_load(&table.traps);
    size_t low = 0, high = traps ? atomic_load(&table.count) : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (traps[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return traps && low < atomic_load(&table.count) && traps[low].address == address ? &traps[low] : NULL;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    uint64_t *rip = context_register(context, REG_RIP);
    const struct trap *trap = info->si_code > 0 ? find(*rip - 1) : NULL;
    if (!trap) {
        signal_chain(number, &table.before, info, context);
        return;
    }
    *rip = trap->go ? trap->go : trap->address; /* first: the place behind the int3 must not be found on this stack */
    uint64_t arrived = now_ns();
    if (!trap->go) {
        atomic_fetch_add(&table.waiting, 1);
        while (!atomic_load(&table.open))
            futex_wait(&table.open, 0, 0);
        stop_note_held(now_ns() - arrived);
        if (atomic_fetch_sub(&table.waiting, 1) == 1)
            futex_wake_all(&table.waiting);
    }
}

bool trap_install(const struct trap *traps, size_t count)
{
    atomic_store(&table.open, 0);
    atomic_store(&table.count, count);
    atomic_store(&table.traps, traps);
    /* The probe's signal stays open: a thread that was asked just before it came here answers from here. */
    return signal_install(SIGTRAP, on_trap, ~(1ull << (STOP_SIGNAL - 1)), &table.before);
}

void trap_release(void)
{
    atomic_store(&table.open, 1);
    futex_wake_all(&table.open);
    uint32_t seen;
    while ((seen = atomic_load(&table.waiting)))
        futex_wait(&table.waiting, seen, NS_PER_MS);
}

void trap_remove(void)
{
    atomic_store(&table.waiting, 0);
    struct kernel_action now;
    /* A program that installed its own in the meantime keeps that. */
    if (signal_query(SIGTRAP, &now) && now.handler == on_trap)
        signal_restore(SIGTRAP, &table.before);
    atomic_store(&table.count, 0);
    atomic_store(&table.traps, NULL);
}
