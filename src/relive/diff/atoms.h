/* Cutting an object into atoms, in C: the columns of `atoms.Atoms`, which Python would need fifty milliseconds for when
 * a unit has ten thousand functions.  `columns.py` is the same in Python and decides what is right: wherever an object
 * is not as compilers write it, the answer here is ODD, and Python does the work.
 *
 *   interner.c    equal names and contents get equal numbers, over all objects of a session
 *   sections.c    kinds of sections, relocations in order, how far from its field each instruction ends
 *   cut.c         where the pieces begin and end
 *   columns.c     what each reference means: place, target, names, contents; what Python calls
 *   equal.c       whether atoms of two objects are equal
 *
 * The bytes of the object are the caller's and outlive the `Object`; every offset in them is checked before it is used.
 * Format source: gABI chapter 4; psABI section 4.2. */
#ifndef RELIVE_DIFF_ATOMS_H
#define RELIVE_DIFF_ATOMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#pragma GCC visibility push(hidden)

enum { TEXT = 1, CONST, DATA, TLS, LSDA, INIT }; /* cut.Kind */
enum { OK, ODD, NO_MEMORY, TRUNCATED, NO_SYMBOL, OUTSIDE, UNSURE };
enum { LOCAL_NAME = 1, OF_LAMBDA = 2 }; /* flags of a name */
enum { NAME, CONTENT, RESERVED };       /* what a number of the interner stands for */

#define PENDING      (-1)
#define SELF         0
#define OFFSET_LIMIT ((int64_t)1 << 40) /* cut.OFFSET_BITS */

typedef struct {
    const uint8_t *p;
    uint64_t n;
} Str;

typedef struct {
    uint32_t name, type;
    uint64_t flags, addr, offset, size;
    uint32_t link, info;
    uint64_t align, entsize;
} __attribute__((packed)) Shdr;

typedef struct {
    uint32_t name;
    uint8_t info, other;
    uint16_t shndx;
    uint64_t value, size;
} __attribute__((packed)) Sym;

typedef struct {
    uint64_t offset;
    uint32_t type, symbol;
    int64_t addend;
} __attribute__((packed)) Rela;

/* A relocation with the section that it applies to (elf.object.RELOCATION_DTYPE). */
typedef struct {
    uint32_t section, symbol, type;
    uint64_t offset;
    int64_t addend;
} __attribute__((packed)) Reloc;

/* atoms.ROW_DTYPE */
typedef struct {
    uint32_t offset, type;
    int64_t target, delta;
} Row;

/* A name of an atom: its number, the atom, the symbol, flags. */
typedef struct {
    int64_t id, atom, symbol, flags;
} Alias;

/* Columns of the atoms, by section and start. */
typedef struct {
    int64_t *section, *start, *end, *symbol;
    size_t count, room;
} Pieces;

/* What the caller hands in. */
typedef struct {
    const uint8_t *data;
    uint64_t size;
    const Shdr *sections;
    uint64_t section_count;
    const Sym *symbols;
    uint64_t symbol_count;
    const uint32_t *where; /* section of each symbol */
    Str names, section_names;
    const uint8_t *relative;                     /* 256 flags: relocation types that are relative to their place */
    const uint8_t *decode;                       /* 5 tables of 256 flags: see sections.c */
    const int64_t *bias;                         /* of all relocations, where the caller found out; or NULL */
    int (*printable)(const uint8_t *, uint64_t); /* whether UTF-8 text is printable; -1: it cannot be asked */
    uint64_t rename_count;
    const uint64_t *renamed; /* indices of local symbols, ascending */
    const Str *new_names;
    uint64_t respelled_count;
    const uint64_t *respelled; /* indices of symbols whose names are others than in the file */
    const Str *spellings;
} Input;

typedef struct Interner Interner;

typedef struct {
    Input in;
    Interner *intern;
    uint8_t *kinds;        /* of sections */
    uint8_t *symbol_local; /* of symbols: local, and in a section */
    Str *symbol_names;     /* as in the file; p is NULL until asked for */
    Reloc *all;            /* relocations of allocated sections, by section and offset */
    int64_t *all_bias;
    size_t all_count, kept_count, eh_count;
    size_t *all_first; /* section -> first index in `all`; one more at the end */
    Pieces pieces;
    int64_t *first_piece; /* section -> first atom; one more at the end */
    /* Columns of the relocations in the program's memory (kind != 0), and of the others. */
    Reloc *kept, *eh;
    size_t *kept_first;
    int64_t *bias, *place, *target, *eh_target;
    uint8_t *table_entry, *row_local;
    Row *rows;
    /* Columns of the atoms. */
    uint8_t *kind, *is_global;
    int64_t *first, *last, *label, *content_id;
    Alias *aliases;
    size_t alias_count;
    uint64_t pending; /* rows whose target only Python can name */
} Object;

/* interner.c */
uint32_t intern(Interner *s, uint32_t tag, Str first, Str second, Str third); /* 0: no memory */
Str interned(const Interner *s, uint32_t id);
EXPORT uint32_t relive_diff_content(Interner *s, uint32_t text, const uint8_t *p, uint64_t n, const uint8_t *rows,
                                    uint64_t rows_size);

/* sections.c */
int read_sections(Object *o);
Str symbol_name(Object *o, uint64_t index);
bool has_prefix(Str s, const char *prefix);

/* cut.c */
int cut_object(Object *o);
bool is_label(Str name);
bool is_clone(Str name);
bool is_named(const Object *o, uint64_t symbol);
int64_t locate(const Object *o, uint64_t section, int64_t offset);

#endif
