/* Shared declarations of the DWARF reader: see reader.py for what it answers, and for whom.
 *
 * Theory of operation.  A `Dwarf` is one object file or image, opened over bytes that the caller keeps alive.
 *   elf.c        sections, symbols; copies a debug section only when relocations must be applied to it
 *   abbrev.c     numbers, abbreviations
 *   die.c        attribute values, references, children
 *   index.c      unit headers; one linear walk that notes scopes, types, variables and functions by their offset
 *                (nothing is decoded that is not asked for)
 *   names.c      texts; names of scopes, functions and types
 *   spelling.c   canonical spellings of types
 *   layout.c     layout and vtable texts, their hashes
 *   tables.c     rows of types, variables, units
 *   functions.c  rows of functions
 *   lines.c      file names and line rows
 *   exports.c    what Python calls
 *
 * Errors: anything that is not as DWARF says ends in `fail`, which jumps back to the exported function that was
 * called.  All memory hangs on the `Dwarf`, so nothing leaks on that way.  Every read is checked against the end
 * of its unit or section; every recursion has a depth limit; every loop over references has a step limit.
 *
 * Format source: DWARF 5 (dwarfstd.org, February 2017), section numbers in comments; DWARF 4 where it differs. */
#ifndef RELIVE_DWARF_READER_H
#define RELIVE_DWARF_READER_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Whatever flags it is built with: our short names must not meet those of the process that loads us. */
#define EXPORT __attribute__((visibility("default")))
#pragma GCC visibility push(hidden)
#define COLD __attribute__((cold, noinline))

/* A piece of text that lives as long as the Dwarf (in a section or in the arena); not always NUL-terminated. */
typedef struct {
    const char *p;
    uint64_t n;
} Str;

/* ---- attribute slots: the attributes that we look at, numbered densely so that a DIE is a mask and an array ---- */
enum Slot {
    A_NONE,
    A_SIBLING,
    A_NAME,
    A_LINKAGE,
    A_TYPE,
    A_SPEC,
    A_ORIGIN,
    A_SIGNATURE,
    A_DECLARATION,
    A_SIZE,
    A_BIT_SIZE,
    A_BIT_OFFSET,
    A_DATA_BIT_OFFSET,
    A_MEMBER_LOCATION,
    A_ENCODING,
    A_UPPER,
    A_COUNT,
    A_CONST,
    A_LOCATION,
    A_LOW,
    A_HIGH,
    A_RANGES,
    A_EXTERNAL,
    A_ARTIFICIAL,
    A_VIRTUALITY,
    A_VTABLE_SLOT,
    A_FILE,
    A_LINE,
    A_COLUMN,
    A_NORETURN,
    A_ALIGNMENT,
    A_CONTAINING,
    A_VECTOR,
    A_LANGUAGE,
    A_COMP_DIR,
    A_PRODUCER,
    A_STMT_LIST,
    A_STR_OFFSETS,
    A_ADDR_BASE,
    A_RNGLISTS_BASE,
    A_DWO_NAME,
    A_LAST
};

typedef struct {
    uint16_t form;
    uint8_t slot;
    int64_t implicit;
} Spec;

/* What the linear walk does with a DIE of this abbreviation. */
enum Kind { K_SKIP, K_TYPE, K_NAMESPACE, K_FUNCTION, K_BLOCK, K_INLINED, K_VARIABLE, K_TYPEDEF };

/* One step of jumping over a DIE's attributes; runs of fixed size are one step. */
enum SkipOp { S_FIXED, S_ULEB, S_STRING, S_BLOCK1, S_BLOCK2, S_BLOCK4, S_BLOCK, S_INDIRECT };
typedef struct {
    uint32_t op, n;
} Skip;

typedef struct {
    uint64_t slots; /* bit per attribute slot that the abbreviation has */
    uint32_t spec, specs, skip, skips;
    uint32_t sibling; /* 1 + byte offset of a DW_FORM_ref4 sibling after attributes of fixed size only; 0: none */
    uint16_t tag;
    uint8_t kind, children;
} Abbrev;

typedef struct {
    Abbrev *v; /* by code; tag 0: no such code */
    uint64_t count;
    Spec *specs;
    Skip *skips;
} AbbrevTable;

/* A relocation that names an address (not a place in another debug section), by offset in its section. */
typedef struct {
    uint64_t off;
    int64_t addend;
    uint32_t symbol, pad;
} Reloc;

typedef struct {
    const uint8_t *data;
    uint64_t size, base; /* base: global offset of its first byte, for .debug_info and .debug_types */
    Reloc *relocs;
    uint64_t reloc_count;
    uint32_t index, packed; /* section header index; 1 + index into packed[] when compressed */
    bool prepared, types;   /* types: .debug_types, headers as in DWARF 4 */
} Section;

typedef struct {
    uint32_t first, count;
} Span;

/* An address: in a relocatable object the symbol and addend of its relocation (and what they come to: section index
 * and offset in it); in a linked file only `value`, the address. */
typedef struct {
    int64_t addend;
    uint64_t value;
    uint32_t symbol, section;
} Loc;

typedef struct {
    Section *section;
    const AbbrevTable *abbrevs;
    uint64_t start, die, end;     /* global offsets: header, first DIE, one past the last byte */
    uint64_t signature, type_die; /* of a type unit; type_die 0: a compile unit */
    uint64_t str_offsets, addr_base, rnglists_base, stmt_list;
    Loc base_address; /* DW_AT_low_pc, the base of its range lists */
    Str name, comp_dir, producer;
    uint32_t language;
    Span files; /* rows of the file table */
    uint16_t version;
    uint8_t offset_size, unit_type;
    bool files_read, has_stmt_list;
} Unit;

typedef struct {
    uint64_t u;       /* constant, flag, global offset of a reference, index, length of a block */
    const uint8_t *p; /* where the value's own bytes begin (block content; an address to look up its relocation) */
    uint32_t form;
} Val;

typedef struct {
    Unit *unit;
    const Abbrev *abbrev;
    const uint8_t *next; /* behind the attributes */
    uint64_t off, has;
    Val v[A_LAST];
} Die;

#define HAS(die, slot) (((die)->has >> (slot)) & 1)

/* ---- what the walk notes ---- */
typedef struct {
    uint64_t off, end;
    uint32_t parent, unit, type; /* parent: index of the enclosing scope or NONE; type: its row in types or NONE */
    uint32_t ordinal;            /* of a lexical block among its siblings */
    uint32_t blocks;             /* how many of them it holds so far */
    uint8_t kind, named, flags;
    Str key, spell, show;
} Scope;

#define NONE UINT32_MAX

enum TypeFlag {
    T_LOCAL = 1,
    T_ANONYMOUS_NAMESPACE = 2,
    T_LAMBDA = 4,
    T_NAMES_LAMBDA = 8,
    T_DECLARATION = 16,
    T_UNNAMED = 32,
    T_TYPEDEF = 64
};

typedef struct {
    uint64_t off, alias; /* alias: a typedef that names it, or 0 */
    Str key, spell, show;
    uint64_t layout, vtable, contained;
    uint32_t unit, scope, lambda; /* lambda: 1 + ordinal in its function */
    uint16_t tag;
    uint8_t flags, state, named;
} Type;

typedef struct {
    uint64_t off;
    uint32_t scope, unit;
} Note;

typedef struct {
    uint64_t off, target;
} Alias;

/* Open addressing, keys are never 0. */
typedef struct {
    uint64_t *keys;
    uint32_t *values;
    uint64_t mask, count;
} Map;

typedef struct {
    Str text;
    uint32_t split; /* where a declarator goes: "int (" | ")(char)" */
    bool parens;    /* a pointer to it needs parentheses */
    bool pointer;   /* qualifiers go behind: int* const */
} Spelling;

typedef struct {
    char *p;
    uint64_t n, cap;
} Buf;

typedef struct {
    uint64_t slot; /* UINT64_MAX: not known */
    Str name;
} Virtual;

typedef struct {
    uint64_t line, column;
    Str linkage; /* of its operator() */
    uint32_t scope, type;
} Closure;

/* ---- rows, read by reader.py with the same field order ---- */
typedef struct {
    Str name, show, spell;
    uint64_t name_hash, layout, vtable, contained, size;
    uint32_t type, unit, tag, flags, file, line; /* type: index for relive_dwarf_text */
} TypeRow;

typedef struct {
    Str plain, show, linkage, owner, path, type;
    uint64_t type_hash, size;
    Loc loc;
    uint32_t unit, flags, file, line, ordinal, pad;
} VariableRow;
enum VariableFlag {
    V_EXTERNAL = 1,
    V_CONST = 2,
    V_TLS = 4,
    V_PIECES = 8,
    V_ANONYMOUS_NAMESPACE = 16,
    V_MEMBER = 32,
    V_ARTIFICIAL = 64,
    V_INCOMPLETE = 128,
    V_COMPUTED = 256
};

typedef struct {
    Str show, linkage, signature;
    uint64_t size;
    Loc loc;
    uint32_t unit, flags, file, line, first_part, parts;
} FunctionRow;
enum FunctionFlag { F_EXTERNAL = 1, F_NORETURN = 2, F_ARTIFICIAL = 4, F_LAMBDA = 8 };

typedef struct {
    Loc loc;
    uint64_t size;
} PartRow;

typedef struct {
    Str name, comp_dir, producer;
    uint32_t language, version, type_unit, pad;
} UnitRow;

typedef struct {
    uint64_t offset;
    uint32_t file, line, column, flags;
} LineRow;
enum LineFlag { L_STMT = 1, L_END = 2 };

#define VEC(T)                                                                                                         \
    struct {                                                                                                           \
        T *v;                                                                                                          \
        uint64_t n, cap;                                                                                               \
    }

typedef struct {
    const uint8_t *data;
    uint64_t packed, size; /* compressed bytes at data, size when unpacked */
    const uint8_t *unpacked;
    uint32_t kind, pad; /* 1 zlib, 2 zstd (ELFCOMPRESS_*) */
} Packed;

enum DebugSection { D_ABBREV, D_STR, D_LINE, D_LINE_STR, D_STR_OFFSETS, D_ADDR, D_RANGES, D_RNGLISTS, D_COUNT };

typedef struct Dwarf Dwarf;
struct Dwarf {
    jmp_buf jump;
    char error[256];
    char hint[128];
    uint32_t error_kind; /* 0 format, 1 no debug information */

    /* elf.c */
    const uint8_t *data;
    uint64_t size;
    const uint8_t *headers; /* section header table */
    uint64_t header_count;
    const uint8_t *symtab;
    const uint8_t *symtab_shndx;
    uint64_t symbol_count, symtab_shndx_count;
    uint32_t *rela_of; /* section index → index of its SHT_RELA section, 0: none */
    bool relocatable;
    Section debug[D_COUNT];
    VEC(Section) infos; /* .debug_info and .debug_types, a COMDAT group may bring its own */
    VEC(Packed) packed;

    /* die.c */
    VEC(Unit) units;
    VEC(AbbrevTable *) tables;
    Map table_of, signature_of;
    VEC(Scope) scopes;
    VEC(Type) types;
    VEC(Note) variables;
    VEC(Note) functions;
    VEC(Alias) typedefs;
    VEC(uint64_t) stack;
    Unit *last;
    uint64_t dies;
    bool named; /* every type has its name: declarations can be followed to definitions */

    /* types.c */
    Map type_of, type_named, spelling_of, contained_of;
    VEC(Spelling) spellings;
    VEC(uint64_t) contained;
    VEC(Closure) closures;
    VEC(Virtual) virtuals; /* of the classes being laid out, a stack */
    VEC(Buf *) bufs;
    uint64_t buf_depth, arena_total;
    VEC(void *) owned; /* everything that dwarf_close frees */
    char *chunk;
    uint64_t chunk_left;

    /* tables.c */
    VEC(TypeRow) type_rows;
    VEC(VariableRow) variable_rows;
    VEC(FunctionRow) function_rows;
    VEC(PartRow) part_rows;
    VEC(UnitRow) unit_rows;
    VEC(LineRow) line_rows;
    VEC(Str) files;
    VEC(Str) directories; /* of the line table being read */
    VEC(Span) spans;      /* files of one line table; spans_of: by its offset */
    Map spans_of;
    Map *seen; /* two maps that live while variables are made */
    bool types_done, variables_done, functions_done;
};

/* elf.c */
COLD _Noreturn void fail(Dwarf *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *own(Dwarf *r, uint64_t size); /* zeroed memory that lives as long as the Dwarf */
void *grow(Dwarf *r, void *old, uint64_t *cap, uint64_t need, uint64_t item);
char *arena(Dwarf *r, uint64_t size);
uint32_t map_get(const Map *m, uint64_t key); /* NONE when absent */
void map_put(Dwarf *r, Map *m, uint64_t key, uint32_t value);
uint64_t hash_bytes(const char *p, uint64_t n, uint64_t seed);
void elf_open(Dwarf *r, const uint8_t *data, uint64_t size);
const Section *prepare(Dwarf *r, Section *s); /* unpacked and relocated */
const Reloc *reloc_at(const Section *s, uint64_t off);
Loc locate(Dwarf *r, const Section *s, uint64_t off, uint64_t value);
const char *string_at(Dwarf *r, enum DebugSection which, uint64_t off);

/* abbrev.c */
const uint8_t *advance(Dwarf *r, const uint8_t *p, const uint8_t *end, uint64_t n); /* p + n, checked */
Skip skip_of_form(Dwarf *r, uint64_t form, unsigned offset_size, unsigned version);
const uint8_t *skip_step(Dwarf *r, const Unit *u, Skip s, const uint8_t *p, const uint8_t *end);
const AbbrevTable *abbrevs_at(Dwarf *r, uint64_t off, unsigned offset_size, unsigned version);
const Abbrev *abbrev_of(Dwarf *r, const AbbrevTable *t, uint64_t code);
const uint8_t *skip_attributes(Dwarf *r, const Unit *u, const Abbrev *a, const uint8_t *p, const uint8_t *end);
uint64_t read_long_uleb(Dwarf *r, const uint8_t **p, const uint8_t *end);
int64_t read_sleb(Dwarf *r, const uint8_t **p, const uint8_t *end);
COLD _Noreturn void truncated(Dwarf *r);

static inline uint64_t read_fixed(Dwarf *r, const uint8_t **p, const uint8_t *end, unsigned size)
{
    uint64_t value = 0;
    if ((uint64_t)(end - *p) < size) truncated(r);
    memcpy(&value, *p, size);
    *p += size;
    return value;
}

static inline uint64_t read_uleb(Dwarf *r, const uint8_t **p, const uint8_t *end)
{
    return *p < end && **p < 0x80 ? *(*p)++ : read_long_uleb(r, p, end);
}

/* die.c */
const uint8_t *unit_end(const Unit *u);
const uint8_t *sibling(Dwarf *r, const Unit *u, const Abbrev *a, const uint8_t *attributes); /* NULL: unknown */
void die_fill(Dwarf *r, Unit *u, const Abbrev *a, const uint8_t *p, Die *d);
void read_value(Dwarf *r, Unit *u, uint32_t form, int64_t implicit, const uint8_t **p, const uint8_t *end, Val *out);
void die_at(Dwarf *r, uint64_t off, Die *out);
Str value_text(Dwarf *r, const Unit *u, const Val *v); /* of a string form, else empty */
Str die_text(Dwarf *r, const Die *d, enum Slot slot);  /* empty when absent */
Loc address_of(Dwarf *r, const Die *d, const Val *v);
Loc address_indexed(Dwarf *r, const Unit *u, uint64_t index);

typedef struct {
    Unit *unit;
    const uint8_t *p, *end, *attributes;
    const Abbrev *pending;
    uint64_t off;
} Kids;
Kids kids_of(const Die *d);
const Abbrev *kids_next(Dwarf *r, Kids *k);
void kids_read(Dwarf *r, Kids *k, Die *out);

/* index.c */
void build_index(Dwarf *r);
uint32_t scope_of(Dwarf *r, uint64_t off); /* innermost scope around it, NONE: the unit itself */
bool static_location(const Die *d);        /* DW_AT_location of something that is not on a stack */

/* names.c */
Str str_of(const char *text);
bool same(Str a, const char *text);
Str join(Dwarf *r, Str a, const char *middle, Str b);
Buf *buf_push(Dwarf *r);
void buf_pop(Dwarf *r);
void buf_add(Dwarf *r, Buf *b, const char *p, uint64_t n);
void buf_text(Dwarf *r, Buf *b, const char *text);
void buf_str(Dwarf *r, Buf *b, Str s);
void buf_format(Dwarf *r, Buf *b, const char *format, ...) __attribute__((format(printf, 3, 4)));
Str buf_keep(Dwarf *r, const Buf *b);
void name_types(Dwarf *r);
const Scope *name_scope(Dwarf *r, uint32_t scope, unsigned depth);
/* A DIE and what it leaves to DW_AT_abstract_origin and DW_AT_specification: the first that says it counts */
typedef struct {
    Str name, linkage;
    uint64_t type, anchor; /* anchor: the DIE at the end, whose place in the tree is the place of the entity */
    bool has_type, external, noreturn, artificial, by_origin;
    uint32_t file, line, scope; /* scope: around the anchor */
} Chain;

Chain follow(Dwarf *r, const Die *first, bool place); /* place: file and line too */
Str function_name(Dwarf *r, const Chain *c, unsigned depth);
uint64_t definition_of(Dwarf *r, const Die *d); /* the definition behind a declaration, d->off if it is one, or 0 */
void name_type(Dwarf *r, uint32_t type, unsigned depth);

/* spelling.c */
Spelling spell(Dwarf *r, uint64_t off, unsigned depth); /* of the type DIE at off */
void spell_parameters(Dwarf *r, const Die *d, Buf *b, unsigned depth);
void add_type(Dwarf *r, const Die *d, Buf *b, unsigned depth); /* the spelling of its DW_AT_type, or void */
bool is_block(const Val *v);

/* layout.c */
uint64_t contained_hash(Dwarf *r, uint64_t off, unsigned depth);
void layout_type(Dwarf *r, uint32_t type, Buf *layout, Buf *vtable, unsigned depth);
void layout_body(Dwarf *r, const Die *d, Buf *text, const char *end, uint64_t at, uint64_t *contained, unsigned depth);

#define DEPTH 100

/* tables.c */
void make_types(Dwarf *r);
void make_variables(Dwarf *r, Map *seen, Map *ordinals);
void make_units(Dwarf *r);

/* functions.c */
void make_functions(Dwarf *r);

/* lines.c */
void read_lines(Dwarf *r, uint32_t section, uint64_t low, uint64_t high);
uint32_t file_number(Dwarf *r, Unit *u, uint64_t file); /* row of the file table, NONE when unknown */

#define PUSH(r, vec)                                                                                                   \
    ((vec).n == (vec).cap ? ((vec).v = grow((r), (vec).v, &(vec).cap, (vec).n + 1, sizeof *(vec).v)) : (vec).v,        \
     &(vec).v[(vec).n++])

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd6e8feb86659fd93u);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

#pragma GCC visibility pop

#endif
