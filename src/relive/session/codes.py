"""Every refusal code: what the change looks like, why it cannot be made live, what to do instead.

Data only. `relive explain CODE` prints an entry; docs/limitations.md is made of them
(`python -m relive.session.codes > docs/limitations.md`), and a test holds all three together: a code that some room
uses and that is not here, or a page that is out of date, fails.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from relive.session.quickbuild_codes import QUICK_BUILD


@dataclass(frozen=True, slots=True)
class Code:
    """One reason for a refusal."""

    name: str
    title: str
    snippet: str
    """The smallest edit that is refused with this code; empty where it is not about an edit."""
    reason: str
    way: str
    """The way round."""


_ALL = (
    Code(
        "anonymous-variable",
        "New code uses a variable that has no name in the object file",
        "",
        "Whether such a variable lives already cannot be told without a name, and a second copy of it would split the "
        "state in two. Compilers make them rarely (merged globals, some vectorised tables).",
        "Compile the unit without -fmerge-all-constants and -fsection-anchors, or restart the program.",
    ),
    Code(
        "function-folded",
        "The linker gave this function the same code as another one",
        "-int width() { return 4; }\n+int width() { return 5; }   // --icf=all made it one with height()",
        "With identical code folding two functions share one entry. Replacing it for one of them would replace it for "
        "the other as well.",
        "Link debug builds without --icf.",
    ),
    Code(
        "ifunc-changed",
        "An IFUNC resolver was changed",
        "-static fn resolve(void) { return plain; }\n+static fn resolve(void) { return fast; }",
        "A resolver runs once, when the dynamic linker binds the function, and has run already.",
        "Restart the program.",
    ),
    Code(
        "initialisers-mixed",
        "A new variable with a constructor beside others that live",
        "+static std::vector<int> more = load();   // -O2: one block of start-up code for all variables",
        "Constructors of a unit's variables are one piece of code. It must run for the new variable and not for those "
        "that live, and the optimiser has interleaved them.",
        "Compile the unit with -O0, or put the new variable into a file of its own.",
    ),
    Code(
        "label-in-other-function",
        "New code jumps into the middle of a function",
        "",
        "Hand-written assembly or a computed goto refers to a place inside a function that is being replaced; which "
        "place of the new function answers to it cannot be known.",
        "Restart the program.",
    ),
    Code(
        "ambiguous-unit",
        "Two places in the program fit the unit equally well",
        "",
        "The program holds several units of the same file name with the same code (one source in two static "
        "libraries, two copies of `util.c`). Which statics belong to which cannot be told.",
        "Rename one of the files, or build with -g.",
    ),
    Code(
        "bad-object",
        "An object file cannot be read",
        "",
        "It is truncated or not an x86-64 ELF object: the build was interrupted, or the disk was full.",
        "Build the project and restart the program.",
    ),
    Code(
        "code-altered",
        "The process does not hold the bytes that relive expects",
        "",
        "Something else writes into the program's code or tables: a debugger, a hooking library, a profiler.",
        "Remove it and save again.",
    ),
    Code(
        "data-out-of-reach",
        "A library's variable is more than 2 GB away",
        "+extern char **environ;   // in a unit compiled with -fno-pic",
        "The new code reaches for the variable with a 32-bit distance. relive compiled the unit once more with access "
        "through the GOT, and the compiler still made such a reference.",
        "Compile the unit with -fPIC, or restart the program.",
    ),
    Code(
        "entry-not-patchable",
        "A function that takes no jump at its entry is reached by a short jump",
        "-int tiny(void) { return 1; }   // 3 bytes at -Os; its neighbour ends in `jmp tiny`\n"
        "+int tiny(void) { return 2; }",
        "A redirect takes the first five bytes of a function. Where they cannot be replaced (too short, a loop that "
        "leads back into them, a breakpoint), everything that refers to the function is rewritten instead; a two-byte "
        "jump to it has no room for the new distance.",
        "Compile with -falign-functions=16 or without -Os, or restart the program.",
    ),
    Code(
        "lto-object",
        "The unit is compiled for link-time optimisation",
        "",
        "Its object holds the compiler's intermediate language; what runs was made by the linker out of all units "
        "together and has no counterpart in one of them.",
        "Build without -flto.",
    ),
    Code(
        "no-baseline",
        "There is no object file of the unit",
        "",
        "relive compares new code with the object that the program was linked from. It is gone, and what the source "
        "was then is not known.",
        "Build the project and restart the program.",
    ),
    Code(
        "no-safe-moment",
        "A thread stays inside of what must change",
        "",
        "Several things must change in one step, and a thread sat in the bytes in question for the whole time allowed.",
        "Save again when the program does something else.",
    ),
    Code(
        "not-what-runs",
        "The object is not the one that the program was linked from",
        "",
        "Functions of the object differ from those in the executable: it was compiled again after the program was "
        "linked or started, or with other flags.",
        "Build the project and restart the program.",
    ),
    Code(
        "tls-pool-full",
        "Too many new thread-locals",
        "+static thread_local char scratch[100000];",
        "Every thread has its thread-locals at a fixed place, made when it starts. The agent keeps some room there for "
        "new ones, and it is used up.",
        "Restart the program.",
    ),
    Code(
        "removed-but-used",
        "A function or variable left its file, and another file still uses it",
        "-int helper(void) { return 1; }   // main.c calls it",
        "The program would run on, with a definition that is in no source any more; a fresh build would not link.",
        "Edit the other file too, or put the definition back.",
    ),
    Code(
        "section-array-grows",
        "A new entry for a table that the linker gathers from a section",
        '+__attribute__((section("commands"))) static struct command extra = { "extra", run_extra };',
        "The program walks from __start_SECTION to __stop_SECTION, and what lies behind that is something else.",
        "Restart the program.",
    ),
    Code(
        "signature-changed-elsewhere",
        "Parameters or result of a function changed, and a caller has its own declaration of it",
        "-int level(int x) { return x; }\n+int level(int x, int y) { return x + y; }   // main.c: int level(int);",
        "The caller is not compiled again, because it does not include what changed; it would go on calling the new "
        "function in the old way.",
        "Declare the function in a header that both include.",
    ),
    Code(
        "ambiguous-static",
        "Two statics of the same name and type in one function, and their number changed",
        "-{ static int n; } { static int n; }\n+{ static int n; } { static int n; } { static int n; }",
        "Function-local statics are matched by function, name, type and order. When one of several equal ones comes or "
        "goes, which of them keeps which value cannot be told.",
        "Give the new one a name of its own.",
    ),
    Code(
        "debug-info",
        "The debug information of an object cannot be read",
        "",
        "Types are compared before anything is applied, and what the object says of them is broken or of a kind that "
        "relive does not know.",
        "Build the unit anew with -g (DWARF 4 or 5), or without -g: then types are not compared.",
    ),
    Code(
        "layout-changed",
        "A type whose objects live changed its layout",
        " struct Player {\n     int health;\n+    int armour;\n     Weapon *weapon;\n };",
        "Objects of the old layout are in use; code compiled for the new one would read and write beside their fields.",
        "Undo this part of the edit, keep the new field elsewhere for now (a map by address, a new global), or restart "
        "the program.",
    ),
    Code(
        "no-debug-info",
        "Statics in functions came or went, and the objects have no debug information",
        "+    static int count;   // in a unit compiled without -g, beside other statics",
        "The compiler numbers the statics of functions (`count.0`, `count.1`), and the numbers move. Without debug "
        "information which one belongs to which function is a guess.",
        "Compile with -g.",
    ),
    Code(
        "variable-retyped",
        "A variable that lives changed its type",
        "-float speed;\n+int speed;",
        "Its memory holds a value of the old type, which the new code would take for one of the new type.",
        "Give the variable a new name, or restart the program.",
    ),
    Code(
        "vtable-reordered",
        "Virtual functions of a class changed their places",
        " struct Shape {\n+    virtual void outline();\n     virtual void draw();\n };",
        "Code that is not recompiled calls virtual functions by their place in the table.",
        "Declare new virtual functions after the others, or restart the program.",
    ),
    Code(
        "tls-dynamic",
        "New code wants a thread-local of a dlopened library at a fixed offset",
        "-thread_local int depth;            // in a plugin built with -ftls-model=initial-exec\n"
        "+thread_local int depth, height;",
        "The thread-locals of a library that is loaded while the program runs are allocated for each thread on first "
        "use; they have no fixed distance from the thread pointer, which this access model needs.",
        "Compile that library without -ftls-model=initial-exec and -mtls-dialect=gnu2, or restart the program.",
    ),
    Code(
        "undefined-symbol",
        "Nothing defines a name that the new code uses",
        "+extern int missing(void);\n+int f(void) { return missing(); }",
        "The program, its libraries and the changed units have no definition of it. A fresh build would fail to link, "
        "or would link another library.",
        "Define it and save; after adding a library to the program's link, build and restart.",
    ),
    Code(
        "unsupported-relocation",
        "The object file holds a kind of reference that relive cannot link",
        "",
        "Every kind that gcc and clang emit for the small code model is known. Others come from hand-written assembly, "
        "from -mcmodel=medium or -mcmodel=large.",
        "Compile that unit for the small code model (the default), or restart the program.",
    ),
    Code(
        "variable-reduced",
        "The optimiser keeps only a bit of a variable",
        '-static const char *mode = "a";  // only ever set to "b"\n+static const char *mode = "a";  // set to "c" now',
        "clang -O2 replaces a static that only ever gets one other value by a flag, and puts the value into the code. "
        "A function that uses it changed, and the flag of the running program may stand for another value now. In the "
        "same way it splits a static struct into the members that are in use, and numbers them.",
        "Compile the file with -O0 or -O1 while you edit it, or restart the program.",
    ),
    Code(
        "variable-resized",
        "A variable that lives grew or shrank",
        "-static int scores[8];\n+static int scores[16];",
        "The variable has its place in the running program, others lie right behind it, and pointers to it are in use. "
        "It cannot be made bigger where it is, and a second one elsewhere would split the state in two.",
        "Give the bigger variable a new name and copy what is worth keeping, or restart the program.",
    ),
    *(Code(*entry) for entry in QUICK_BUILD),
)

CODES = {code.name: code for code in _ALL}


def describe(code: Code) -> str:
    """An entry for the terminal."""
    parts = [f"{code.title} [{code.name}]", ""]
    if code.snippet:
        parts += [textwrap.indent(code.snippet, "    "), ""]
    parts += [textwrap.fill(code.reason, 100), "", textwrap.fill("Way round: " + code.way, 100)]
    return "\n".join(parts)


def document() -> str:
    """The whole of docs/limitations.md."""
    parts = [_INTRODUCTION]
    for code in sorted(_ALL, key=lambda code: code.name):
        snippet = f"```diff\n{code.snippet}\n```\n\n" if code.snippet else ""
        parts.append(f"### {code.name}\n\n{code.title}.\n\n{snippet}{code.reason}\n\n**Way round:** {code.way}\n")
    return "\n".join(parts)


_INTRODUCTION = """# Limitations

<!-- Made by `python -m relive.session.codes > docs/limitations.md`; edit src/relive/session/codes.py. -->

relive either makes a change live or refuses it and leaves the program as it was; `relive explain CODE` shows the
entries below in the terminal.

## Not live by nature

These are applied, and have no effect that can be seen. relive says so in a note.

- **A changed initialiser of a variable that lives.** `static int lives = 3;` → `= 5;`: the variable has a value by
  now, and the program's state is what reloading keeps. New variables start with their initialiser.
- **Code that has already run and is not called again**: `main` before its loop, constructors of objects that exist.
- **A function that is running while it is changed** goes on with its old code until it returns; the next call runs
  the new one. A function that never returns (the loop in `main`, a thread's main loop) therefore keeps its old body:
  put the inside of the loop into a function of its own, and edits of that are live at once.
- **`relive undo` brings back code, not data**: what the newer code did to the program's state stays done.

## What relive needs

- Linux on x86-64, a dynamically linked program (a static one cannot load new code), not stripped of its symbols.
- `compile_commands.json` (CMake: `-DCMAKE_EXPORT_COMPILE_COMMANDS=ON`, Meson: always, make: `bear -- make`).
- The program was built from these sources by these commands, without `-flto`. `-g` is recommended, not needed.

## Where the whole unit is compiled

An edit of function bodies compiles those functions alone, which takes a few hundredths of a second; everything else
compiles the unit, as a build would. `relive explain` says which way was taken and why, `relive status --json` counts.
The whole unit is compiled for: anything edited outside of function bodies (declarations, macros, new functions);
several functions in one save; templates, `constexpr`, `auto` results, always_inline; optimised units; a function that
shares a line with another, or whose braces come from a macro (`TEST(x) {`); new statics of a C function; bodies that
mention `__COUNTER__`, `__DATE__` and the like; clang: members defined inside their class.

Each unit is then compiled whole in idle time. What must be the same is the meaning: bytes and references, or where the
compiler does otherwise because it saw no callee's body, the same references in the same order. If not, relive says
`fast way differs` and applies the whole unit. Functions below an edit that moved their lines and that mention them
(`assert`) follow at that moment, too. `--no-fast-path` compiles whole units always.

## Refusals

Each with the edit, the reason, the way round.
"""


if __name__ == "__main__":
    print(document(), end="")
