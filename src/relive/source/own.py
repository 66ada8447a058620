"""Declarations that say that their function is defined in this very unit.

How a compiler takes the address of a function depends on whether it is defined in the unit: `lea f(%rip)`, or a load
from the global offset table, with a register more. Where the definition was stripped, a hidden visibility makes it do
what it does with the definition (in a program; in a library what others can see may be interposed)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from relive.source.model import Flag, Kind

if TYPE_CHECKING:
    from relive.source.unit import UnitText

HIDDEN = b'__attribute__((visibility("hidden"))) '
"""A compiler takes the address of what is defined in the unit directly (in a program, not a library). Where the
definition went, this makes it do the same."""
_NO_ATTRIBUTE = (
    b"[[",
    b"__extension__",
    b'extern "C',
    b'extern"C',
    b"template",
    b"using",
    b"static_assert",
    b"typedef",
)
_STATIC = re.compile(rb"(static)\b")


def declarations(unit: UnitText, start: int, end: int) -> list[tuple[int, int, bytes, bool]]:
    """Cuts that make declarations of functions that the unit defines say so. The function that begins at `end` is left
    alone: its definition follows."""
    rows = unit.components
    flags, kind, parent = rows["flags"], rows["kind"], rows["parent"]
    other = Flag.TEMPLATE | Flag.INLINE | Flag.FRIEND | Flag.UNCERTAIN | Flag.SYSTEM | Flag.KEEP
    defined = (flags & other == 0) & (kind == Kind.FUNCTION) & (flags & Flag.MEMBER == 0)
    names = {_last_two(unit.qualified(i)) for i in np.nonzero(defined)[0].tolist()}
    inside = (rows["start"] >= start) & (rows["end"] <= end)
    inside &= flags & (Flag.TEMPLATE | Flag.INLINE | Flag.FRIEND | Flag.SYSTEM) == 0
    declared = inside & ((kind == Kind.DECLARATION) | (defined & (flags & Flag.QUALIFIED == 0)))
    # A visibility of its own must not be contradicted by another declaration.
    written = {unit.name(i) for i in np.nonzero(inside)[0].tolist() if b"visibility" in unit.text(i)}
    last = int(np.searchsorted(rows["start"], end))
    leave = unit.name(last) if last < len(rows) else b""
    found = []
    for i in np.nonzero(declared)[0].tolist():
        name = unit.name(i)
        holder = int(parent[i])
        in_class = holder >= 0 and kind[holder] == Kind.CLASS
        if (
            not name
            or name == leave
            or name in written
            or (unit.name(holder) + b"::" + name if in_class else name) not in names
        ):
            continue
        text, at = unit.text(i), int(rows["start"][i])
        if text.startswith(_NO_ATTRIBUTE) or b"(" not in text:
            continue
        if not int(flags[i]) & Flag.STATIC or in_class:
            found.append((at, at, HIDDEN, False))
        elif static := _STATIC.match(text):
            found.append((at + static.start(1), at + static.end(1), b"extern " + HIDDEN, False))
    return found


def _last_two(qualified: bytes) -> bytes:
    return b"::".join(qualified.replace(b" ", b"").split(b"::")[-2:])
