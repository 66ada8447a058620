"""Every refusal code: what the change looks like, why it cannot be made live, what to do instead.

Data only. `relive explain CODE` prints an entry; docs/limitations.md is made of them
(`python -m relive.session.codes > docs/limitations.md`), and a test holds all three together: a code that some room
uses and that is not here, or a page that is out of date, fails.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


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
        "Compile the unit with -fno-merge-constants, -fno-section-anchors and without -fmerge-all-constants, or restart "
        "the program.",
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
        "label-in-other-function",
        "New code jumps into the middle of a function",
        "",
        "Hand-written assembly or a computed goto refers to a place inside a function that is being replaced; which "
        "place of the new function answers to it cannot be known.",
        "Restart the program.",
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
        "Every kind that gcc and clang emit for the small and medium code models is known. Others come from hand-written "
        "assembly or from -mcmodel=large.",
        "Compile that unit for the small code model (the default), or restart the program.",
    ),
    Code(
        "variable-resized",
        "A variable that lives grew or shrank",
        "-static int scores[8];\n+static int scores[16];",
        "The variable has its place in the running program, others lie right behind it, and pointers to it are in use. "
        "It cannot be made bigger where it is, and a second one elsewhere would split the state in two.",
        "Give the bigger variable a new name and copy what is worth keeping, or restart the program.",
    ),
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

## Refusals

Each with the edit, the reason, the way round.
"""


if __name__ == "__main__":
    print(document(), end="")
