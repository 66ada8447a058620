#define _GNU_SOURCE
#include "arena.h"

#include "buffer.h"
#include "maps.h"
#include "memory.h"
#include "sys.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define MB (1ull << 20)
#define REACH ((2048 * MB) - (1 * MB)) /* a displacement is counted from the end of its instruction: keep a margin */
#define LOW_END 0x7fff0000ull          /* what a non-PIE's 32-bit references reach, and below ASan's shadow */
#define HEAP_ROOM (256 * MB)           /* left free above the heap, and below the stack */

enum state { PIECE_FREE, PIECE_HELD, PIECE_LOADED };

struct piece {
    uint64_t low, high;
    enum state state;
};

/* Sorted by address; neighbours may touch. */
static struct {
    struct piece *rows;
    size_t count, capacity;
} pieces;

static bool insert_piece(size_t index, struct piece piece)
{
    size_t used = pieces.count * sizeof piece;
    if (!grow_pages((uint8_t **)&pieces.rows, &pieces.capacity, used, used + sizeof piece))
        return false;
    memmove(&pieces.rows[index + 1], &pieces.rows[index], (pieces.count - index) * sizeof piece);
    pieces.rows[index] = piece;
    pieces.count++;
    return true;
}

static size_t index_above(uint64_t address)
{
    size_t index = 0;
    while (index < pieces.count && pieces.rows[index].low <= address)
        index++;
    return index;
}

static bool hold_pages(uint64_t low, uint64_t size)
{
    void *got =
        mmap((void *)low, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED)
        return false;
    if ((uint64_t)got == low)
        return true;
    munmap(got, size); /* kernels before 4.17 take the address as a hint */
    return false;
}

static bool take(uint64_t low, uint64_t size, enum state state)
{
    if (!hold_pages(low, size))
        return false;
    if (insert_piece(index_above(low), (struct piece){low, low + size, state}))
        return true;
    munmap((void *)low, size);
    return false;
}

/* The largest of size, size/2, ... that is free and ends at `high`. */
static void take_below(uint64_t high, uint64_t size)
{
    for (; size >= MB; size /= 2)
        if (high > size && take(high - size, size, PIECE_FREE))
            return;
}

void arena_prepare(uint64_t low, uint64_t high)
{
    if (pieces.count)
        return;
    struct rlimit limit;
    bool scarce = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    uint64_t size = scarce ? 16 * MB : 512 * MB;
    /* Below a PIE there is nothing; above it, and above a non-PIE, grows the heap: leave that alone. */
    if (high < LOW_END)
        take_below(LOW_END, size / 2); /* others want room down there too (MAP_32BIT) */
    else
        take_below(page_down(low), size);
    /* The kernel places mappings next to the libraries, downwards: one piece serves all that are there now. */
    void *got = mmap(NULL, size / 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got != MAP_FAILED &&
        !insert_piece(index_above((uint64_t)got), (struct piece){(uint64_t)got, (uint64_t)got + size / 2, PIECE_FREE}))
        munmap(got, size / 2);
}

/* What a piece for [low, high) may use of the addresses: *from <= piece, piece end <= *to. */
static void reachable(uint64_t low, uint64_t high, uint64_t *from, uint64_t *to)
{
    *from = high > REACH + 16 * PAGE ? page_up(high - REACH) : 16 * PAGE;
    *to = page_down(low + REACH);
    if (high <= LOW_END && *to > LOW_END)
        *to = LOW_END;
}

static uint64_t carve(size_t index, uint64_t at, uint64_t size)
{
    struct piece whole = pieces.rows[index];
    if (whole.high > at + size && !insert_piece(index + 1, (struct piece){at + size, whole.high, PIECE_FREE}))
        return 0;
    if (whole.low < at) {
        if (!insert_piece(index, (struct piece){whole.low, at, PIECE_FREE}))
            return 0;
        index++;
    }
    pieces.rows[index] = (struct piece){at, at + size, PIECE_HELD};
    return at;
}

static uint64_t from_pieces(uint64_t from, uint64_t to, uint64_t size)
{
    for (size_t i = 0; i < pieces.count; i++) {
        struct piece *piece = &pieces.rows[i];
        uint64_t low = piece->low > from ? piece->low : from;
        uint64_t high = piece->high < to ? piece->high : to;
        if (piece->state == PIECE_FREE && low < high && high - low >= size)
            return carve(i, low, size);
    }
    return 0;
}

/* Looks through the gaps between mappings, nearest to the module first. */
static uint64_t from_gaps(uint64_t near, uint64_t from, uint64_t to, uint64_t size)
{
    struct maps maps = {0};
    uint64_t found = 0, tried = 0;
    for (int attempt = 0; attempt < 8 && !found && maps_load(&maps); attempt++) {
        uint64_t best = 0, best_distance = UINT64_MAX, gap = 16 * PAGE;
        for (size_t i = 0; i <= maps.count; i++) {
            bool last = i == maps.count;
            uint64_t low = gap, high = last ? 0x7ffffffff000ull : maps.rows[i].low;
            if (i && maps.rows[i - 1].kind == MAP_HEAP)
                low += HEAP_ROOM;
            if (!last && maps.rows[i].kind == MAP_STACK && high > HEAP_ROOM)
                high -= HEAP_ROOM;
            gap = last ? gap : maps.rows[i].high;
            low = low > from ? low : from;
            high = high < to ? high : to;
            if (low >= high || high - low < size)
                continue;
            uint64_t at = near >= high ? high - size : low;
            uint64_t distance = at > near ? at - near : near - at;
            if (distance < best_distance && at != tried) {
                best = at;
                best_distance = distance;
            }
        }
        if (!best)
            break;
        tried = best; /* somebody may have been quicker: then look again */
        if (take(best, size, PIECE_HELD))
            found = best;
    }
    maps_free(&maps);
    return found;
}

uint64_t arena_reserve(uint64_t low, uint64_t high, uint64_t size)
{
    uint64_t from, to;
    if (!size || size > REACH || high <= low || high - low > REACH)
        return 0;
    size = page_up(size);
    reachable(low, high, &from, &to);
    uint64_t found = from_pieces(from, to, size);
    return found ? found : from_gaps(low, from, to, size);
}

static struct piece *held_piece(uint64_t address, uint64_t size)
{
    size_t index = index_above(address);
    struct piece *piece = index ? &pieces.rows[index - 1] : NULL;
    bool exact = piece && piece->low == address && piece->high - piece->low == page_up(size);
    return exact && piece->state == PIECE_HELD ? piece : NULL;
}

bool arena_release(uint64_t address, uint64_t size)
{
    struct piece *piece = held_piece(address, size);
    if (!piece)
        return false;
    piece->state = PIECE_FREE;
    size_t index = (size_t)(piece - pieces.rows);
    for (size_t i = index + 1; i-- > index - (index > 0);) { /* join with the next one, then with the one before */
        struct piece *this = &pieces.rows[i];
        if (i + 1 >= pieces.count || this->state != PIECE_FREE || this[1].state != PIECE_FREE ||
            this->high != this[1].low)
            continue;
        this->high = this[1].high;
        pieces.count--;
        memmove(&this[1], &this[2], (pieces.count - i - 1) * sizeof *this);
    }
    return true;
}

bool arena_open(uint64_t address, uint64_t size)
{
    return held_piece(address, size) && munmap((void *)address, page_up(size)) == 0;
}

void arena_close(uint64_t address, uint64_t size, uint64_t used)
{
    struct piece *piece = held_piece(address, size);
    if (!piece)
        return;
    used = page_up(used);
    uint64_t rest = piece->high - piece->low - used;
    bool held = !rest || hold_pages(piece->low + used, rest);
    size_t index = (size_t)(piece - pieces.rows);
    if (used) {
        piece->state = PIECE_LOADED;
        if (rest) {
            uint64_t end = piece->high;
            piece->high = piece->low + used;
            if (held && insert_piece(index + 1, (struct piece){end - rest, end, PIECE_HELD}))
                arena_release(end - rest, rest);
        }
    } else if (!held) { /* the program mapped something there in between: it is no longer ours */
        pieces.count--;
        memmove(piece, piece + 1, (pieces.count - index) * sizeof *piece);
    }
}
