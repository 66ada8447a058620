"""Who is who among local symbols: names that a compiler numbers are no identity.

gcc calls the statics of C functions `count.0`, `count.1`, in the order of the unit; a new one in front shifts
them. C++ has discriminators (`_ZZ1fvE1n_0`), numbered within the function. Binding by such a name binds new code to
another variable, silently. (Lambdas: see `closures`.) So:

* a static is identified by function and plain name, as the debug information says; several of one name in a function
  by their order if their number is the same, else by type if that is unique, else not at all;
* what is new gets a name that nothing old has.

Result: a renaming of the new object's local symbols into the names of the old one (see `Atoms`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from relive.elf import constants as c
from relive.elf.object import ElfObject

_NUMBERED = re.compile(rb"^(?:.+\.\d+|_ZZ.+E[^E]+_\d+_?|_ZZ.+)$")


@dataclass(frozen=True, slots=True)
class Static:
    """A function-local static as debug information describes it."""

    symbol: bytes
    """Its name in the symbol table of its object."""
    owner: str
    block_path: tuple[int, ...]
    plain: str
    ordinal: int
    type: str


def local_variables(obj: ElfObject) -> dict[tuple[int, int], bytes]:
    """(section, offset) → name of local variables."""
    kind, binding = obj.symbols["info"] & 15, obj.symbols["info"] >> 4
    rows = np.flatnonzero(((kind == c.STT_OBJECT) | (kind == c.STT_TLS)) & (binding == c.STB_LOCAL)).tolist()
    return {(int(obj.symbol_sections[i]), int(obj.symbols["value"][i])): obj.symbol_names[i] for i in rows}


def has_numbered(obj: ElfObject, counts: Callable[[bytes], bool] = lambda _: True) -> bool:
    """Whether an object has local variables whose names are numbered, and that count."""
    return any(_NUMBERED.match(name) and counts(name) for name in local_variables(obj).values())


def rename_statics(
    old: Sequence[Static], new: Sequence[Static], taken: set[bytes]
) -> tuple[dict[bytes, bytes], tuple[Static, ...]]:
    """New name → old name, for statics whose name changed or now means another one; and those that nobody can tell
    apart (several of one name in a function, and their number changed). `taken`: names of the old object."""
    pairs: dict[bytes, bytes] = {}
    ambiguous: list[Static] = []
    before, after = _group(old), _group(new)
    for identity, candidates in after.items():
        matches = before.get(identity, [])
        if len(candidates) == len(matches):
            pairs.update((n.symbol, o.symbol) for n, o in zip(candidates, matches, strict=True))
            continue
        if not matches:
            continue
        for static in candidates:
            twins = [o for o in matches if o.type == static.type]
            rivals = [n for n in candidates if n.type == static.type]
            if len(twins) == 1 and len(rivals) == 1:
                pairs[static.symbol] = twins[0].symbol
            elif twins:
                ambiguous.append(static)
    for static in new:
        if static.symbol not in pairs and static.symbol in taken:
            where = f"{static.owner}/{static.block_path}/{static.plain}/{static.ordinal}".encode()
            pairs[static.symbol] = static.symbol + b"@" + where
    return {new_name: old_name for new_name, old_name in pairs.items() if new_name != old_name}, tuple(ambiguous)


def _group(statics: Sequence[Static]) -> dict[tuple[str, str], list[Static]]:
    """By function and plain name, in the order of the source."""
    groups: dict[tuple[str, str], list[Static]] = {}
    for static in sorted(statics, key=lambda s: (s.block_path, s.ordinal)):
        groups.setdefault((static.owner, static.plain), []).append(static)
    return groups
