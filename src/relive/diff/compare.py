"""Two objects of one unit, old and new, compared by meaning: what is the same, changed, new, gone.

Equality is exact: bytes, and references resolved to names or contents (see `atoms`). When in doubt the answer is
"changed": replacing a function by the same function is harmless, keeping an outdated one is not."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from relive.diff import lsda
from relive.diff.atoms import SELF, Atoms, Kind
from relive.elf import constants as c

TEXT, CONST, MUTABLE = int(Kind.TEXT), int(Kind.CONST), (int(Kind.DATA), int(Kind.TLS))
# Plain numbers: members of an IntEnum are slow to look up, and there are ten thousand atoms in a C++ unit.


@dataclass(frozen=True, slots=True)
class Comparison:
    """What happened to the named atoms of a unit. Indices are atoms of `new`; names are session names (see Atoms)."""

    old: Atoms
    new: Atoms
    same: frozenset[int]
    """Functions and variables whose meaning and content are equal (constants: content; mutable: initialiser too)."""
    changed: tuple[int, ...]
    """Functions whose code differs, constants whose content differs."""
    reinitialised: tuple[int, ...]
    """Mutable variables with another initialiser: the live value stays."""
    resized: tuple[int, ...]
    """Mutable variables of another size."""
    added: tuple[int, ...]
    removed: tuple[bytes, ...]
    counterpart: dict[int, int]
    """Atom of `new` → atom of `old` of the same name."""


def compare(old: Atoms, new: Atoms) -> Comparison:
    """Compares all named atoms of a unit."""
    same: set[int] = set()
    changed: list[int] = []
    reinitialised: list[int] = []
    resized: list[int] = []
    added: list[int] = []
    counterpart: dict[int, int] = {}
    old_tables, new_tables = old.exception_tables(), new.exception_tables()
    matched: set[int] = set()
    kinds, old_kinds = new.kind.tolist(), old.kind.tolist()
    for atom, name in enumerate(new.names):
        if name is None:
            continue
        before = _counterpart(old, new, atom, name)
        if before is None:
            added.append(atom)
            continue
        counterpart[atom] = before
        matched.add(before)
        kind = kinds[atom]
        equal = _equal(old, before, new, atom)
        if kind == TEXT:
            if equal and _same_table(old, old_tables.get(before), new, new_tables.get(atom)):
                same.add(atom)
            else:
                changed.append(atom)
        elif kind in MUTABLE:
            if new.size(atom) != old.size(before) or old_kinds[before] not in MUTABLE:
                resized.append(atom)
            elif equal:
                same.add(atom)
            else:
                reinitialised.append(atom)
        elif kind == CONST:
            if old_kinds[before] in MUTABLE:
                resized.append(atom)
            elif equal:
                same.add(atom)
            else:
                changed.append(atom)
    for atom in _label_owners(new, [*changed, *reinitialised]):
        if atom in same:
            same.remove(atom)
            changed.append(atom)
    removed = tuple(sorted(name for atom, name in enumerate(old.names) if name is not None and atom not in matched))
    return Comparison(
        old,
        new,
        frozenset(same),
        tuple(changed),
        tuple(reinitialised),
        tuple(resized),
        tuple(added),
        removed,
        counterpart,
    )


def everything_changed(old: Atoms, new: Atoms) -> Comparison:
    """The same, but every function counts as changed: identity reload. Resolvers of IFUNCs ran long ago."""
    result = compare(old, new)
    functions = tuple(a for a in sorted(result.same) if new.kind[a] == Kind.TEXT and not new.is_ifunc(a))
    return Comparison(
        old,
        new,
        result.same - set(functions),
        result.changed + functions,
        result.reinitialised,
        result.resized,
        result.added,
        result.removed,
        result.counterpart,
    )


def same_meaning(
    old: Atoms, before: int, new: Atoms, after: int, old_tables: dict[int, int], new_tables: dict[int, int]
) -> bool:
    """Whether two atoms mean the same, exception tables (`Atoms.exception_tables`) included."""
    if not _equal(old, before, new, after):
        return False
    return new.kind[after] != TEXT or _same_table(old, old_tables.get(before), new, new_tables.get(after))


def _label_owners(new: Atoms, differing: list[int]) -> list[int]:
    """Functions into which a table for computed goto leads that differs: the table alone cannot be replaced."""
    owners: dict[int, None] = {}
    for atom in differing:
        if new.kind[atom] != TEXT and new.holds_labels(atom):
            owners.update((t, None) for row in new.row_range(atom) if (t := int(new.target[row])) >= 0)
    return [atom for atom in owners if new.kind[atom] == TEXT]


def _counterpart(old: Atoms, new: Atoms, atom: int, name: bytes) -> int | None:
    before = old.by_name.get(name)
    if before is not None:
        return before
    for alias in new.own_names.get(atom, ()):
        before = old.by_name.get(alias)
        if before is not None:
            return before
    return None


def _equal(old: Atoms, before: int, new: Atoms, after: int) -> bool:
    first, second = old.content(before), new.content(after)
    if first == second:
        if old.row_bytes(before) == new.row_bytes(after):
            return old.size(before) == new.size(after)
    elif len(first) != len(second):
        # Zero-initialised memory has no bytes; an explicit all-zero initialiser means the same.
        return (
            old.size(before) == new.size(after)
            and not any(first)
            and not any(second)
            and old.row_bytes(before) == new.row_bytes(after)
        )
    return old.kind[before] == Kind.TEXT and _equal_when_resolved(old, before, new, after)


def _equal_when_resolved(old: Atoms, before: int, new: Atoms, after: int) -> bool:
    """Whether code differs only because the assembler resolved references within one section on one side: a call of a
    static function leaves no relocation in an object without -ffunction-sections."""
    first, second = old.content(before), new.content(after)
    if len(first) != len(second):
        return False
    if len(old.row_range(before)) > len(new.row_range(after)):
        return _equal_when_resolved(new, after, old, before)
    known = {row[0]: row for row in old.rows[old.row_range(before).start : old.row_range(before).stop].tolist()}
    patched = bytearray(first)
    for index in new.row_range(after):
        offset, kind, target, delta = new.rows[index].tolist()
        row = known.pop(offset, None)
        if row is not None:
            if row != (offset, kind, target, delta):
                return False
            continue
        if kind not in (c.R_X86_64_PC32, c.R_X86_64_PLT32) or offset + 4 > len(first):
            return False
        (displacement,) = struct.unpack_from("<i", first, offset)
        # S + A - P: the old field holds the result, so S = field + P - A within the old section.
        aim = int(old.start[before]) + offset + displacement - delta
        found = int(old.locate(old.section[before : before + 1], np.array([aim]))[0])
        if found < 0 or int(old.start[found]) != aim or not _same_target(old, before, found, new, index, target):
            return False
        patched[offset : offset + 4] = second[offset : offset + 4]
    return not known and bytes(patched) == second


def _same_target(old: Atoms, before: int, found: int, new: Atoms, row: int, target: int) -> bool:
    """Whether the old atom `found` is what a reference of the new object means."""
    if target == SELF:
        return found == before
    if not new.row_is_local[row]:
        name = new.object.symbol_names[int(new.relocations["symbol"][row])]
        return old.by_name.get(name) == found
    return old.identity(found) == target


def _same_table(old: Atoms, before: int | None, new: Atoms, after: int | None) -> bool:
    if before is None or after is None:
        return before is after
    if old.content(before) == new.content(after) and old.row_bytes(before) == new.row_bytes(after):
        return True
    return lsda.meaning(old, before) == lsda.meaning(new, after)
