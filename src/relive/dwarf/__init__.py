"""Debug information of objects and images: types with their layouts, variables, functions, line rows.

`reader` is the door (`Reader(library).read(data) -> DebugInfo`), `model` the records, `compare` says what changed
between two objects. The reading itself is C (`SOURCES`), compiled on first use by `relive.host.native`: a heavy C++
unit has a hundred thousand entries, which Python would need a second for. Knows nothing of reload."""

from pathlib import Path

_HERE = Path(__file__).parent

SOURCES: tuple[Path, ...] = tuple(
    _HERE / f"{name}.c"
    for name in [
        "elf",
        "abbrev",
        "die",
        "index",
        "names",
        "spelling",
        "layout",
        "tables",
        "functions",
        "lines",
        "exports",
    ]
)
"""The C files of the reader, for ``compile_native("dwarf", SOURCES, flags=FLAGS, cache=...)``."""

FLAGS: tuple[str, ...] = ("-std=gnu11", "-O2")

__all__ = ["FLAGS", "SOURCES"]
