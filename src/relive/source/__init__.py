"""The text of a unit as the compiler sees it: its components, what is needed to compile one of them alone.

`library.Scanner(library).parse(data, main) -> unit.UnitText` reads preprocessed text; `edit.find_edits` says which
function bodies differ between two versions of a file. The scanning itself is C (`SOURCES`), compiled on first use by
`relive.host.native`: a unit has megabytes after preprocessing. Knows nothing of compilers and objects."""

from pathlib import Path

_HERE = Path(__file__).parent

SOURCES: tuple[Path, ...] = tuple(_HERE / f"{name}.c" for name in ["tokens", "declarations", "scan"])
"""The C files of the scanner, for ``compile_native("source", SOURCES, flags=FLAGS, cache=...)``."""

FLAGS: tuple[str, ...] = ("-std=gnu11", "-O2", "-fvisibility=hidden")

__all__ = ["FLAGS", "SOURCES"]
