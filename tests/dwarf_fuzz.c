/* Feeds mutated objects to the DWARF reader and uses everything it answers: fuzz COUNT FILE...
 * Built with -fsanitize=address,undefined together with the reader by test_dwarf_garbage.py. */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Dwarf Dwarf;
typedef struct { const void *rows; uint64_t count, size; } Rows;
typedef struct { const char *p; uint64_t n; } Str;
Dwarf *relive_dwarf_create(void);
int relive_dwarf_open(Dwarf *, const uint8_t *, uint64_t);
int relive_dwarf_index(Dwarf *);
int relive_dwarf_table(Dwarf *, int, Rows *);
int relive_dwarf_text(Dwarf *, uint32_t, int, Str *);
int relive_dwarf_lines(Dwarf *, uint32_t, uint64_t, uint64_t);
void relive_dwarf_close(Dwarf *);

static uint64_t state, sum;

static uint64_t roll(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static const unsigned TEXTS[] = {3, 6, 3, 0, 3, 1}; /* how many a row of each table begins with */

static int read_all(const uint8_t *data, uint64_t size)
{
    Dwarf *d = relive_dwarf_create();
    int fine = !relive_dwarf_open(d, data, size) && !relive_dwarf_index(d);
    for (int table = 0; fine && table < 6; table++) {
        Rows rows = {0};
        fine = !relive_dwarf_table(d, table, &rows);
        for (uint64_t i = 0; fine && i < rows.count; i++) {
            const Str *texts = (const Str *)((const uint8_t *)rows.rows + i * rows.size);
            for (unsigned k = 0; k < TEXTS[table]; k++)
                for (uint64_t at = 0; at < texts[k].n; at++)
                    sum += (uint8_t)texts[k].p[at];
        }
    }
    for (uint32_t i = 0; fine && i < 16; i++) {
        Str text;
        if (!relive_dwarf_text(d, i, (int)(i & 1), &text))
            sum += text.n;
    }
    relive_dwarf_lines(d, 1, 0, UINT64_MAX);
    relive_dwarf_close(d);
    return fine;
}

static void mutate(uint8_t *data, uint64_t size, unsigned where, uint64_t headers, const Elf64_Shdr *sections, unsigned count)
{
    uint64_t at;
    if (where == 0) {
        at = roll() % sizeof(Elf64_Ehdr);
    } else if (where == 1) {
        at = headers + roll() % (count * sizeof(Elf64_Shdr));
    } else {
        const Elf64_Shdr *s = &sections[roll() % count];
        at = s->sh_offset + (s->sh_size ? roll() % s->sh_size : 0);
    }
    if (at >= size)
        return;
    switch (roll() % 4) {
    case 0: data[at] = (uint8_t)roll(); break;
    case 1: data[at] ^= (uint8_t)(1u << roll() % 8); break;
    case 2: data[at] = 0; break;
    default: data[at] = 0xff;
    }
}

int main(int argc, char **argv)
{
    unsigned long tried = 0, fine = 0;
    for (int file = 2; file < argc; file++) {
        FILE *in = fopen(argv[file], "rb");
        fseek(in, 0, SEEK_END);
        uint64_t size = (uint64_t)ftell(in);
        rewind(in);
        uint8_t *original = malloc(size);
        if (fread(original, 1, size, in) != size)
            return 2;
        fclose(in);
        const Elf64_Ehdr *e = (const Elf64_Ehdr *)(const void *)original;
        const Elf64_Shdr *all = (const Elf64_Shdr *)(const void *)(original + e->e_shoff);
        const char *names = (const char *)original + all[e->e_shstrndx].sh_offset;
        Elf64_Shdr debug[64];
        unsigned count = 0;
        for (unsigned i = 0; i < e->e_shnum && count < 64; i++)
            if (strstr(names + all[i].sh_name, ".debug_") || all[i].sh_type == SHT_SYMTAB)
                debug[count++] = all[i];
        if (!read_all(original, size))
            return 3;
        for (int i = 0; i < atoi(argv[1]); i++) {
            state = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1);
            uint64_t length = roll() % 10 ? size : roll() % size;
            uint8_t *copy = malloc(size);
            memcpy(copy, original, size);
            unsigned where = (unsigned)(roll() % 12);
            for (uint64_t n = 1 + roll() % 6; n; n--)
                mutate(copy, size, where, e->e_shoff, debug, count);
            uint8_t *exact = malloc(length ? length : 1); /* so that one byte too far is seen */
            memcpy(exact, copy, length);
            fine += (unsigned long)read_all(exact, length);
            tried++;
            free(exact);
            free(copy);
        }
        free(original);
    }
    printf("%lu of %lu were readable (%d)\n", fine, tried, (int)(sum & 1));
    return 0;
}
