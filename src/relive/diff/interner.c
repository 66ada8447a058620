/* Equal things get equal numbers: an open hash table over copies of the bytes.  A hash only finds the place; equality
 * is of bytes.  Numbers count from 1; 0 is SELF. */
#include <stdlib.h>
#include <string.h>

#include "atoms.h"

typedef struct {
    const uint8_t *p;
    uint64_t n;
    uint32_t tag, hash;
} Entry;

typedef struct Chunk {
    struct Chunk *next;
    uint64_t used, size;
    uint8_t bytes[];
} Chunk;

struct Interner {
    Entry *entries; /* by number; entry 0 is unused */
    uint32_t count, room;
    uint32_t *slots; /* numbers, 0: free */
    uint64_t mask;
    Chunk *chunk;
};

EXPORT Interner *relive_diff_interner(void);
EXPORT void relive_diff_interner_free(Interner *s);
EXPORT uint32_t relive_diff_name(Interner *s, const uint8_t *p, uint64_t n);
EXPORT uint32_t relive_diff_reserve(Interner *s);
EXPORT const void *relive_diff_entries(const Interner *s, uint64_t *count);

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xD6E8FEB86659FD93u);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_part(uint64_t h, Str s)
{
    const uint8_t *p = s.p;
    uint64_t left = s.n, word;
    for (; left >= 8; p += 8, left -= 8) {
        memcpy(&word, p, 8);
        h = mix(h, word);
    }
    word = 0;
    if (left) memcpy(&word, p, left);
    return mix(h ^ s.n, word);
}

static bool same(const Entry *e, uint32_t tag, uint32_t hash, const Str *parts)
{
    if (e->hash != hash || e->tag != tag || e->n != parts[0].n + parts[1].n + parts[2].n) return false;
    const uint8_t *p = e->p;
    for (int i = 0; i < 3; i++) {
        if (parts[i].n && memcmp(p, parts[i].p, parts[i].n)) return false;
        p += parts[i].n;
    }
    return true;
}

static uint8_t *room_for(Interner *s, uint64_t n)
{
    if (!s->chunk || s->chunk->size - s->chunk->used < n) {
        uint64_t size = n > 1 << 20 ? n : 1 << 20;
        Chunk *fresh = malloc(sizeof *fresh + size);
        if (!fresh) return NULL;
        *fresh = (Chunk){.next = s->chunk, .size = size};
        s->chunk = fresh;
    }
    uint8_t *at = s->chunk->bytes + s->chunk->used;
    s->chunk->used += n;
    return at;
}

static bool grow(Interner *s)
{
    uint32_t room = s->room ? s->room * 2 : 1 << 12;
    Entry *entries = realloc(s->entries, room * sizeof *entries);
    if (!entries) return false;
    s->entries = entries;
    s->room = room;
    uint64_t size = (uint64_t)room * 2;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots) return false;
    free(s->slots);
    s->slots = slots;
    s->mask = size - 1;
    for (uint32_t i = 1; i < s->count; i++) {
        if (s->entries[i].tag == RESERVED) continue;
        uint64_t at = s->entries[i].hash & s->mask;
        while (slots[at]) at = (at + 1) & s->mask;
        slots[at] = i;
    }
    return true;
}

uint32_t intern(Interner *s, uint32_t tag, Str first, Str second, Str third)
{
    if (s->count >= s->room && !grow(s)) return 0;
    Str parts[3] = {first, second, third};
    uint64_t wide = hash_part(tag, first);
    if (tag == CONTENT) wide = hash_part(hash_part(wide, second), third);
    uint32_t hash = (uint32_t)(wide ^ wide >> 32);
    uint64_t at = hash & s->mask;
    for (; s->slots[at]; at = (at + 1) & s->mask)
        if (same(&s->entries[s->slots[at]], tag, hash, parts)) return s->slots[at];
    uint64_t n = first.n + second.n + third.n;
    uint8_t *copy = room_for(s, n);
    if (!copy) return 0;
    s->entries[s->count] = (Entry){copy, n, tag, hash};
    for (int i = 0; i < 3; i++) {
        if (parts[i].n) memcpy(copy, parts[i].p, parts[i].n);
        copy += parts[i].n;
    }
    s->slots[at] = s->count;
    return s->count++;
}

Str interned(const Interner *s, uint32_t id) { return (Str){s->entries[id].p, s->entries[id].n}; }

Interner *relive_diff_interner(void)
{
    Interner *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->count = 1;
    if (grow(s)) return s;
    relive_diff_interner_free(s);
    return NULL;
}

void relive_diff_interner_free(Interner *s)
{
    for (Chunk *c = s->chunk, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(s->entries);
    free(s->slots);
    free(s);
}

uint32_t relive_diff_name(Interner *s, const uint8_t *p, uint64_t n)
{
    return intern(s, NAME, (Str){p, n}, (Str){0}, (Str){0});
}

/* The number of an atom without a name: whether it is code, its bytes without the zeros at the end, its rows. */
uint32_t relive_diff_content(Interner *s, uint32_t text, const uint8_t *p, uint64_t n, const uint8_t *rows,
                             uint64_t rows_size)
{
    while (n && !p[n - 1]) n--;
    uint64_t head[2] = {text, n};
    return intern(s, CONTENT, (Str){(const uint8_t *)head, sizeof head}, (Str){p, n}, (Str){rows, rows_size});
}

/* A number for something that only Python knows. */
uint32_t relive_diff_reserve(Interner *s)
{
    if (s->count >= s->room && !grow(s)) return 0;
    s->entries[s->count] = (Entry){(const uint8_t *)"", 0, RESERVED, 0};
    return s->count++;
}

const void *relive_diff_entries(const Interner *s, uint64_t *count)
{
    *count = s->count;
    return s->entries;
}
