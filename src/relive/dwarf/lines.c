/* Line programs (6.2): the file names of a unit, and the rows of one section or address range.
 *
 * Rows are not kept: a caller asks for the few sections it wants to know, and running all programs of an object takes
 * about a millisecond per 200 kB.  In a relocatable object DW_LNE_set_address has a relocation, which names the
 * section; gas makes one sequence per text section. */
#include "reader.h"

#include "codes.h"

typedef struct {
    Unit forms; /* stands in for a unit where a form depends on one */
    const uint8_t *program, *end;
    const uint8_t *opcode_lengths;
    uint64_t instruction, operations, opcode_base, line_range;
    int64_t line_base;
    bool statement;
} Header;

static Str in_directory(Dwarf *r, Str directory, Str name)
{
    if (!directory.n || (name.n && name.p[0] == '/')) return name;
    return name.n ? join(r, directory, "/", name) : directory;
}

/* ---- directory and file tables ---- */
static Str c_string(Dwarf *r, const uint8_t **p, const uint8_t *end)
{
    const uint8_t *from = *p, *zero = memchr(from, 0, (size_t)(end - from));
    if (!zero) fail(r, "truncated line table");
    *p = zero + 1;
    return (Str){(const char *)from, (uint64_t)(zero - from)};
}

/* DWARF 2 to 4: entry 0 is the compilation directory and the unit itself, which are not in the table. */
static void read_old_files(Dwarf *r, const Unit *u, const uint8_t *p, const uint8_t *end)
{
    Str name;
    *PUSH(r, r->directories) = u->comp_dir;
    while ((name = c_string(r, &p, end)).n) *PUSH(r, r->directories) = in_directory(r, u->comp_dir, name);
    *PUSH(r, r->files) = in_directory(r, u->comp_dir, u->name);
    while ((name = c_string(r, &p, end)).n) {
        uint64_t directory = read_uleb(r, &p, end);
        read_uleb(r, &p, end);
        read_uleb(r, &p, end);
        *PUSH(r, r->files) =
            in_directory(r, directory < r->directories.n ? r->directories.v[directory] : u->comp_dir, name);
    }
}

/* One table of DWARF 5 (6.2.4.1): directories, then files. */
static void read_new_table(Dwarf *r, Header *h, const Unit *u, const uint8_t **p, bool files)
{
    struct {
        uint32_t content, form;
    } formats[16];
    uint64_t count = read_fixed(r, p, h->end, 1), entries;
    if (count > 16) fail(r, "a line table with %u columns", (unsigned)count);
    for (uint64_t i = 0; i < count; i++) {
        formats[i].content = (uint32_t)read_uleb(r, p, h->end);
        formats[i].form = (uint32_t)read_uleb(r, p, h->end);
        if (formats[i].form == FORM_IMPLICIT_CONST || formats[i].form == FORM_INDIRECT)
            fail(r, "a line table with an unknown form");
    }
    entries = read_uleb(r, p, h->end);
    if (entries > (uint64_t)(h->end - *p)) fail(r, "truncated line table");
    for (uint64_t i = 0; i < entries; i++) {
        Str name = {"", 0};
        uint64_t directory = 0;
        for (uint64_t k = 0; k < count; k++) {
            Val v;
            read_value(r, &h->forms, formats[k].form, 0, p, h->end, &v);
            if (formats[k].content == 1) name = value_text(r, &h->forms, &v);
            else if (formats[k].content == 2) directory = v.u;
        }
        if (files)
            *PUSH(r, r->files) =
                in_directory(r, directory < r->directories.n ? r->directories.v[directory] : u->comp_dir, name);
        else *PUSH(r, r->directories) = in_directory(r, u->comp_dir, name);
    }
}

/* The header of the unit's line table; its files go to the file table once. */
static bool read_header(Dwarf *r, Unit *u, Header *h)
{
    if (!u->has_stmt_list) return false;
    Section *s = &r->debug[D_LINE];
    prepare(r, s);
    if (u->stmt_list >= s->size) return false; /* a unit without line table in a partially linked file */
    const uint8_t *p = s->data + u->stmt_list, *end = s->data + s->size;
    memset(h, 0, sizeof *h);
    h->forms.section = s;
    h->forms.offset_size = 4;
    h->forms.str_offsets = u->str_offsets;
    uint64_t length = read_fixed(r, &p, end, 4);
    if (length == 0xffffffff) {
        h->forms.offset_size = 8;
        length = read_fixed(r, &p, end, 8);
    }
    if (length > (uint64_t)(end - p)) fail(r, "truncated line table");
    h->end = p + length;
    h->forms.version = (uint16_t)read_fixed(r, &p, h->end, 2);
    if (h->forms.version < 2 || h->forms.version > 5) fail(r, "line table version %u is not known", h->forms.version);
    if (h->forms.version >= 5) read_fixed(r, &p, h->end, 2); /* sizes of an address (8) and of a segment selector */
    length = read_fixed(r, &p, h->end, h->forms.offset_size);
    if (length > (uint64_t)(h->end - p)) fail(r, "truncated line table");
    h->program = p + length;
    h->instruction = read_fixed(r, &p, h->end, 1);
    h->operations = h->forms.version >= 4 ? read_fixed(r, &p, h->end, 1) : 1; /* VLIW only: 1 on x86-64 */
    h->statement = read_fixed(r, &p, h->end, 1) != 0;
    h->line_base = (int8_t)read_fixed(r, &p, h->end, 1);
    h->line_range = read_fixed(r, &p, h->end, 1);
    h->opcode_base = read_fixed(r, &p, h->end, 1);
    if (h->line_range == 0 || h->opcode_base == 0) fail(r, "a line table with an impossible header");
    h->opcode_lengths = p;
    if ((uint64_t)(h->end - p) < h->opcode_base - 1) fail(r, "truncated line table");
    p += h->opcode_base - 1;
    uint32_t known = map_get(&r->spans_of, u->stmt_list + 1);
    if (known != NONE) {
        u->files = r->spans.v[known];
    } else {
        u->files.first = (uint32_t)r->files.n;
        r->directories.n = 0;
        const Unit *owner = u; /* a type unit uses the table of a compile unit, but does not know its directory */
        for (uint64_t i = 0; i < r->units.n && owner->type_die; i++)
            if (r->units.v[i].has_stmt_list && r->units.v[i].stmt_list == u->stmt_list && !r->units.v[i].type_die)
                owner = &r->units.v[i];
        if (h->forms.version >= 5) {
            read_new_table(r, h, owner, &p, false);
            read_new_table(r, h, owner, &p, true);
        } else {
            read_old_files(r, owner, p, h->end);
        }
        u->files.count = (uint32_t)(r->files.n - u->files.first);
        *PUSH(r, r->spans) = u->files;
        map_put(r, &r->spans_of, u->stmt_list + 1, (uint32_t)(r->spans.n - 1));
    }
    return true;
}

uint32_t file_number(Dwarf *r, Unit *u, uint64_t file)
{
    Header h;
    if (!u->files_read) {
        u->files_read = true;
        read_header(r, u, &h);
    }
    return file < u->files.count ? u->files.first + (uint32_t)file : NONE;
}

/* ---- rows (6.2.5) ---- */
typedef struct {
    Dwarf *r;
    const Unit *unit;
    uint64_t address, file, line, column; /* line: modulo 2^64, as garbage may count */
    uint32_t section, wanted;
    uint64_t low, high;
    bool statement, used;
} Machine;

static void reset(Machine *m, const Header *h)
{
    m->address = 0;
    m->file = 1;
    m->line = 1;
    m->column = 0;
    m->section = 0;
    m->statement = h->statement;
    m->used = false;
}

static void emit(Machine *m, uint32_t end)
{
    Dwarf *r = m->r;
    if (r->relocatable ? m->section != m->wanted : !(end ? m->used : m->address >= m->low && m->address < m->high))
        return;
    m->used = true;
    LineRow *row = PUSH(r, r->line_rows);
    *row = (LineRow){.offset = m->address, .line = (uint32_t)m->line, .column = (uint32_t)m->column};
    row->file = m->file < m->unit->files.count ? m->unit->files.first + (uint32_t)m->file : NONE;
    row->flags = (m->statement ? L_STMT : 0) | (end ? L_END : 0);
}

static const uint8_t *extended(Machine *m, const Header *h, const uint8_t *p)
{
    Dwarf *r = m->r;
    uint64_t length = read_uleb(r, &p, h->end);
    const uint8_t *from = p;
    if (length == 0 || length > (uint64_t)(h->end - p)) fail(r, "truncated line table");
    switch (*p++) {
    case 1: /* DW_LNE_end_sequence */
        emit(m, 1);
        reset(m, h);
        break;
    case 2: { /* DW_LNE_set_address */
        uint64_t value = read_fixed(r, &p, h->end, 8);
        const Section *s = h->forms.section;
        Loc loc = locate(r, s, (uint64_t)(p - 8 - s->data), value);
        m->address = loc.value;
        m->section = loc.section;
        break;
    }
    default: break; /* define_file, set_discriminator, vendors' */
    }
    return from + length;
}

static void run(Machine *m, const Header *h)
{
    Dwarf *r = m->r;
    const uint8_t *p = h->program, *end = h->end;
    reset(m, h);
    while (p < end) {
        uint64_t opcode = *p++;
        if (opcode >= h->opcode_base) {
            opcode -= h->opcode_base;
            m->address += opcode / h->line_range * h->instruction;
            m->line += (uint64_t)h->line_base + opcode % h->line_range;
            emit(m, 0);
            continue;
        }
        switch (opcode) {
        case 0: p = extended(m, h, p); break;
        case 1: emit(m, 0); break;
        case 2: m->address += read_uleb(r, &p, end) * h->instruction; break;
        case 3: m->line += (uint64_t)read_sleb(r, &p, end); break;
        case 4: m->file = read_uleb(r, &p, end); break;
        case 5: m->column = read_uleb(r, &p, end); break;
        case 6: m->statement = !m->statement; break;
        case 8: m->address += (255 - h->opcode_base) / h->line_range * h->instruction; break;
        case 9: m->address += read_fixed(r, &p, end, 2); break;
        default: /* basic block, prologue end, epilogue begin, isa, unknown: by the table of operand counts */
            for (unsigned i = h->opcode_lengths[opcode - 1]; i; i--) read_uleb(r, &p, end);
        }
    }
}

/* All rows of a text section (relocatable) or of [low, high) (linked) into r->line_rows, in order. */
void read_lines(Dwarf *r, uint32_t section, uint64_t low, uint64_t high)
{
    r->line_rows.n = 0;
    for (uint64_t i = 0; i < r->units.n; i++) {
        Unit *u = &r->units.v[i];
        Header h;
        if (u->type_die || !u->version || (i && u->stmt_list == u[-1].stmt_list && u[-1].has_stmt_list) ||
            !read_header(r, u, &h))
            continue;
        u->files_read = true;
        Machine m = {.r = r, .unit = u, .wanted = section, .low = low, .high = high};
        run(&m, &h);
    }
}
