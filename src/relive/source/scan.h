/* The scanner of preprocessed C and C++: bytes in, rows out.  tokens.c makes tokens, directives and line markers;
 * declarations.c makes components of them.  Rows cross over to Python as they are (library.py has their twins). */
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

/* ---- rows ---- */
typedef struct {
    uint32_t start, end;                   /* of the directive's line; the line break is not part of it */
    uint32_t name, name_end, line, system; /* marker: the file as written, between the quotes */
} Marker;

enum DirectiveKind { D_DEFINE = 1, D_UNDEF, D_PRAGMA, D_OTHER };

typedef struct {
    uint32_t start, end, name, name_end, kind;
} Directive;

enum ComponentKind {
    C_FUNCTION,
    C_CLASS,
    C_ENUM,
    C_ALIAS,
    C_VARIABLE,
    C_DECLARATION,
    C_NAMESPACE,
    C_LINKAGE,
    C_ASM,
    C_OTHER
};

enum Flag {
    F_TEMPLATE = 1 << 0,
    F_INLINE = 1 << 1,
    F_STATIC = 1 << 2,
    F_CONSTEXPR = 1 << 3,
    F_EXTERN = 1 << 4,
    F_ALWAYS_INLINE = 1 << 5,
    F_AUTO_RETURN = 1 << 6,
    F_MEMBER = 1 << 7,
    F_QUALIFIED = 1 << 8,
    F_KNR = 1 << 9,
    F_UNCERTAIN = 1 << 10,
    F_KEEP = 1 << 11,
    F_SYSTEM = 1 << 12,
    F_FRIEND = 1 << 13,
    F_DEFAULTS = 1 << 14,    /* parameters with default arguments */
    F_ATTRIBUTED = 1 << 15,  /* any attribute on the declaration */
    F_SPECIALISED = 1 << 16, /* template<>: a declaration of it stands for itself */
    F_INSTANTIATION = 1 << 17,
    F_DEFAULTED = 1 << 18, /* = default, outside of the class */
};

typedef struct {
    uint32_t start, end;
    uint32_t name, name_end, qualified, qualified_end;
    uint32_t body, body_end, strip;
    uint32_t flags, line, last_line;
    int32_t parent;
    uint32_t marker; /* the last one before the component */
    uint8_t kind, depth;
    uint16_t pad;
} Component;

/* ---- tokens ---- */
enum TokenKind { /* below 128: the character itself */
                 T_END = 128,
                 T_ID,
                 T_NUMBER,
                 T_STRING,
                 T_CHAR,
                 T_SCOPE, /* :: */
                 T_ARROW,
                 T_OPERATOR, /* the other operators of several characters */
                 K_ALIGNAS,
                 K_ASM,
                 K_ATTRIBUTE,
                 K_AUTO,
                 K_CATCH,
                 K_CLASS,
                 K_CONCEPT,
                 K_CONST,
                 K_CONSTEXPR,
                 K_DECLTYPE,
                 K_DEFAULT,
                 K_DELETE,
                 K_ENUM,
                 K_EXPLICIT,
                 K_EXTENSION,
                 K_EXTERN,
                 K_FRIEND,
                 K_INLINE,
                 K_NAMESPACE,
                 K_NOEXCEPT,
                 K_OPERATOR_NAME,
                 K_ACCESS,
                 K_REQUIRES,
                 K_STATIC,
                 K_STATIC_ASSERT,
                 K_TEMPLATE,
                 K_TRY,
                 K_TYPE, /* int, double, void ...: no name, but a type */
                 K_TYPEDEF,
                 K_USING
};

typedef struct {
    uint32_t start, end;
    uint32_t line;   /* physical, in the preprocessed text */
    uint32_t marker; /* index + 1 of the last marker before it */
    uint32_t match;  /* of a bracket: the other one; the number of tokens when there is none */
    uint32_t kind;
} Token;

#define TABLE(type)                                                                                                    \
    struct {                                                                                                           \
        type *v;                                                                                                       \
        uint32_t n, room;                                                                                              \
    }

typedef struct {
    const uint8_t *data;
    uint32_t size;
    bool cplusplus;
    jmp_buf jump; /* out of memory */
    TABLE(Token) tokens;
    TABLE(uint32_t) lines; /* physical line of each marker */
    TABLE(Marker) markers;
    TABLE(Directive) directives;
    TABLE(Component) components;
} Scan;

void *grow(Scan *s, void *table, uint32_t *room, size_t size);

/* A new, unset row at the end of a table. */
#define PUSH(s, t)                                                                                                     \
    ((t).n == (t).room ? (void)((t).v = grow((s), (t).v, &(t).room, sizeof *(t).v)) : (void)0, &(t).v[(t).n++])

void make_tokens(Scan *s);
void make_components(Scan *s);
