/* Whether atoms of two objects are equal: `compare.py` says what that means, and asks Python wherever this here does
 * not know. */
#include <string.h>

#include "atoms.h"

enum { R_PC32 = 2, R_PLT32 = 4 };
enum { NO, YES, PERHAPS };

/* One object's columns, as far as comparing needs them. */
typedef struct {
    const uint8_t *data;
    uint64_t size, count;
    const int64_t *low, *high, *section, *start, *end, *first, *last, *label, *content_id;
    const int64_t *by_number; /* number of a name -> atom */
    uint64_t number_count;
    const uint8_t *row_local;
    const Row *rows;
} Side;

EXPORT void relive_diff_equal(const Side *old, const Side *new, const int64_t *before, const int64_t *after,
                              uint64_t count, uint8_t *equal);
EXPORT void relive_diff_resolved(const Side *old, const Side *new, const int64_t *before, const int64_t *after,
                                 uint64_t count, uint8_t *verdict);

static bool readable(const Side *s, int64_t atom)
{
    return s->low[atom] <= s->high[atom] && (uint64_t)s->high[atom] <= s->size && s->first[atom] <= s->last[atom];
}

/* Whether size, bytes and references are equal, pair by pair. */
void relive_diff_equal(const Side *old, const Side *new, const int64_t *before, const int64_t *after, uint64_t count,
                       uint8_t *equal)
{
    for (uint64_t i = 0; i < count; i++) {
        int64_t a = before[i], b = after[i];
        int64_t bytes = old->high[a] - old->low[a], rows = old->last[a] - old->first[a];
        equal[i] = readable(old, a) && readable(new, b) && bytes == new->high[b] - new->low[b] &&
                   rows == new->last[b] - new->first[b] && old->end[a] - old->start[a] == new->end[b] - new->start[b] &&
                   !memcmp(old->data + old->low[a], new->data + new->low[b], (size_t)bytes) &&
                   !memcmp(old->rows + old->first[a], new->rows + new->first[b], (size_t)rows * sizeof(Row));
    }
}

/* The last atom that begins exactly there; -1: none does. */
static int64_t begins_at(const Side *s, int64_t section, int64_t offset)
{
    uint64_t low = 0, high = s->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (s->section[middle] < section || (s->section[middle] == section && s->start[middle] <= offset))
            low = middle + 1;
        else high = middle;
    }
    return low && s->section[low - 1] == section && s->start[low - 1] == offset ? (int64_t)low - 1 : -1;
}

/* compare._same_target */
static int same_target(const Side *old, int64_t before, int64_t found, const Side *new, int64_t row)
{
    int64_t target = new->rows[row].target;
    if (target == SELF) return found == before;
    if (!new->row_local[row])
        return target > 0 && (uint64_t)target < old->number_count && old->by_number[target] == found;
    if (old->label[found] != PENDING) return old->label[found] == target;
    return old->content_id[found] < 0 ? PERHAPS : old->content_id[found] == target;
}

/* compare._equal_when_resolved, for atoms with as many bytes */
static int resolved(const Side *old, int64_t before, const Side *new, int64_t after)
{
    int64_t size = old->high[before] - old->low[before], at = 0, known = old->first[before];
    const uint8_t *first = old->data + old->low[before], *second = new->data + new->low[after];
    for (int64_t i = new->first[after]; i < new->last[after]; i++) {
        const Row *row = &new->rows[i], *mine = known < old->last[before] ? &old->rows[known] : NULL;
        int64_t offset = row->offset;
        if (i > new->first[after] && row[-1].offset == row->offset) return PERHAPS;
        if (mine && known > old->first[before] && mine[-1].offset == mine->offset) return PERHAPS;
        if (mine && mine->offset < row->offset) return NO;
        if (mine && mine->offset == row->offset) {
            if (memcmp(mine, row, sizeof *row)) return NO;
            known++;
            continue;
        }
        if ((row->type != R_PC32 && row->type != R_PLT32) || offset + 4 > size) return NO;
        int32_t displacement;
        memcpy(&displacement, first + offset, sizeof displacement);
        int64_t aim = old->start[before] + offset + displacement - row->delta;
        int64_t found = begins_at(old, old->section[before], aim);
        int same = found < 0 ? NO : same_target(old, before, found, new, i);
        if (same != YES) return same;
        if (offset > at && memcmp(first + at, second + at, (size_t)(offset - at))) return NO;
        if (offset + 4 > at) at = offset + 4;
    }
    if (known < old->last[before]) return NO;
    return size <= at || !memcmp(first + at, second + at, (size_t)(size - at)) ? YES : NO;
}

/* Whether code that differs means the same, where the assembler resolved references on one side. */
void relive_diff_resolved(const Side *old, const Side *new, const int64_t *before, const int64_t *after, uint64_t count,
                          uint8_t *verdict)
{
    for (uint64_t i = 0; i < count; i++) {
        int64_t a = before[i], b = after[i];
        verdict[i] = PERHAPS;
        if (!readable(old, a) || !readable(new, b)) continue;
        if (old->high[a] - old->low[a] != new->high[b] - new->low[b]) continue;
        bool more = old->last[a] - old->first[a] > new->last[b] - new->first[b];
        verdict[i] = (uint8_t)(more ? resolved(new, b, old, a) : resolved(old, a, new, b));
    }
}
