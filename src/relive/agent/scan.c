#define _GNU_SOURCE
#include "scan.h"

#include "maps.h"
#include "memory.h"
#include "sys.h"

#include <string.h>
#include <sys/mman.h>

enum { PAGES_AT_ONCE = 8192 };
#define PAGE_PRESENT (1ull << 63)
#define PAGE_SWAPPED (1ull << 62)

static struct {
    const struct rewrite *rules;
    size_t count;
    uint64_t low, span; /* all values looked for lie in [low, low + span] */
    uint64_t done;
} job;

static void replace(uint64_t *word)
{
    size_t low = 0, high = job.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (job.rules[middle].from < *word)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < job.count && job.rules[low].from == *word) {
        *word = job.rules[low].to;
        job.done++;
    }
}

/* Vtables lie close together, so one comparison of a range throws out nearly every word; four at a time. */
static void scan_words(uint64_t *word, uint64_t *end)
{
    const uint64_t low = job.low, span = job.span;
    for (; word + 4 <= end; word += 4) {
        bool any =
            (word[0] - low <= span) | (word[1] - low <= span) | (word[2] - low <= span) | (word[3] - low <= span);
        if (__builtin_expect(any, 0))
            for (int i = 0; i < 4; i++)
                if (word[i] - low <= span)
                    replace(&word[i]);
    }
    for (; word < end; word++)
        if (*word - low <= span)
            replace(word);
}

/* Only pages that exist: reading others would make them, or fail behind the end of a file. */
static void scan_present(uint64_t low, uint64_t high)
{
    static uint64_t entries[PAGES_AT_ONCE];
    while (low < high) {
        uint64_t pages = (high - low) / PAGE;
        if (pages > PAGES_AT_ONCE)
            pages = PAGES_AT_ONCE;
        if (SYS(SYS_pread64, pagemap_file(), entries, pages * 8, low / PAGE * 8) != (long)(pages * 8))
            return;
        for (uint64_t i = 0, run; i < pages; i = run) {
            bool present = entries[i] & (PAGE_PRESENT | PAGE_SWAPPED);
            for (run = i + 1; run < pages && present == !!(entries[run] & (PAGE_PRESENT | PAGE_SWAPPED)); run++)
                ;
            if (present)
                scan_words((uint64_t *)(low + i * PAGE), (uint64_t *)(low + run * PAGE));
        }
        low += pages * PAGE;
    }
}

/* Cuts the agent's own ranges (whole or parts of pages) out of [low, high). */
static void scan_range(uint64_t low, uint64_t high)
{
    while (low < high) {
        uint64_t own_end = own_range_end(low);
        if (own_end) {
            low = own_end;
            continue;
        }
        uint64_t next = own_range_after(low), end = next < high ? next : high;
        uint64_t whole_low = page_up(low), whole_high = page_down(end);
        if (whole_low >= whole_high) {
            scan_words((uint64_t *)((low + 7) & ~7ull), (uint64_t *)(end & ~7ull));
        } else {
            scan_words((uint64_t *)((low + 7) & ~7ull), (uint64_t *)whole_low);
            scan_present(whole_low, whole_high);
            scan_words((uint64_t *)whole_high, (uint64_t *)(end & ~7ull));
        }
        low = end;
    }
}

uint64_t scan_rewrite(const struct rewrite *rules, size_t count)
{
    static struct maps maps;
    if (!count || !maps_load(&maps))
        return 0;
    job.rules = rules;
    job.count = count;
    job.low = rules[0].from;
    job.span = rules[count - 1].from - rules[0].from;
    job.done = 0;
    for (size_t i = 0; i < maps.count; i++) {
        const struct mapping *row = &maps.rows[i];
        const int writable = PROT_READ | PROT_WRITE;
        if ((row->protection & writable) == writable && row->is_private && row->kind != MAP_DEVICE_MEMORY &&
            row->kind != MAP_KERNEL)
            scan_range(row->low, row->high);
    }
    return job.done;
}
