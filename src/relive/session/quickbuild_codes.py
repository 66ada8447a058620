"""Why a quick build hands over to the project's own build: (code, title, snippet, reason, way round), for `codes`."""

from __future__ import annotations

_BUILD = "Nothing: `relive build` runs the project's own build, unless `--no-fallback` is given."

QUICK_BUILD = (
    (
        "constructor-list",
        "Quick build: what runs before main or at the end is another list than before",
        "+static Registrar registrar;   // the unit's first constructor",
        "The file's list of start-up functions has a fixed place and length.",
        _BUILD,
    ),
    (
        "defined-elsewhere",
        "Quick build: another unit has the changed function, too",
        "-inline int f() { return 1; }\n+inline int f() { return 2; }   // the linker kept the copy of another unit",
        "Which copy the linker kept, and who refers to it, is known for the compiled units only.",
        _BUILD,
    ),
    (
        "defined-twice",
        "Quick build: the program has a definition of that name already",
        "+int total;   // another unit has one",
        "A linker would fail, or choose; its word is wanted.",
        _BUILD,
    ),
    (
        "exported-name",
        "Quick build: other modules may use what is gone or moved",
        "-int api(void) { ... }   // of a shared library",
        "Which libraries and programs refer to it cannot be seen from the file.",
        _BUILD,
    ),
    (
        "file-changed",
        "Quick build: the program or one of its sources changed while it was built",
        "",
        "What was compiled is no longer what is saved, and nothing was written.",
        "Build again.",
    ),
    (
        "file-layout",
        "Quick build: the file has no room or form for an injection",
        "",
        "Its program headers cannot be moved, a section is missing, or it is compressed or packed.",
        _BUILD,
    ),
    (
        "many-units",
        "Quick build: very many units changed",
        "",
        "Comparing that many objects takes longer than linking them.",
        _BUILD,
    ),
    (
        "name-moved",
        "Quick build: a global name is now another thing",
        "-int total;\n+double total;",
        "Units that were not compiled may refer to it.",
        _BUILD,
    ),
    (
        "never-built",
        "Quick build: there is no linked file yet",
        "",
        "A quick build changes a file that a linker made.",
        "Build the project once.",
    ),
    (
        "new-export",
        "Quick build: a shared library would export a new name",
        "+int api2(void) { ... }",
        "The hash table of exported names has a fixed size.",
        _BUILD,
    ),
    (
        "newly-defined",
        "Quick build: a unit defines what the program had from elsewhere",
        "+void *malloc(size_t n) { ... }",
        "References of other units would have to be bound anew.",
        _BUILD,
    ),
    (
        "other-steps",
        "Quick build: the build has steps beside compiling and linking that are due",
        "",
        "Generated sources and the like are made by the project's own build.",
        _BUILD,
    ),
    (
        "section-array",
        "Quick build: a section that the program walks over changed its content",
        '+__attribute__((section("commands"))) Command extra = {...};',
        "The linker gives such a section its bounds.",
        _BUILD,
    ),
    (
        "still-used",
        "Quick build: a unit that was not compiled refers to what is gone",
        "-int helper(void) { ... }",
        "A linker would report an undefined name, or find it elsewhere.",
        _BUILD,
    ),
    (
        "text-relocation",
        "Quick build: new code holds absolute addresses in a file that can be loaded anywhere",
        "",
        "The dynamic linker would have to write into code.",
        _BUILD,
    ),
    (
        "thread-local-in-file",
        "Quick build: thread-locals of the file would change",
        "+thread_local int depth = 3;",
        "The file's block of thread-locals has a fixed size and start.",
        _BUILD,
    ),
    (
        "wrapped-name",
        "Quick build: a name that the linker wraps or redirects",
        "",
        "--wrap, --defsym and symbol versions are known to the linker only.",
        _BUILD,
    ),
)
