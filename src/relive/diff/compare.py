"""Two objects of one unit, old and new, compared by meaning: what is the same, changed, new, gone.

Equality is exact: bytes, and references resolved to names or contents (see `atoms`). When in doubt the answer is
"changed": replacing a function by the same function is harmless, keeping an outdated one is not."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from relive.diff import lsda
from relive.diff.atoms import SELF, Atoms, Kind
from relive.diff.columns import Bools
from relive.diff.cut import Ints
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
    atoms, before = counterparts(old, new)
    found = before >= 0
    added = atoms[~found].tolist()
    atoms, before = atoms[found], before[found]
    equal = equal_pairs(old, before, new, atoms)
    kinds, old_kinds = new.kind[atoms], old.kind[before]
    code = kinds == TEXT
    # Bytes that differ may still mean the same.
    for i in _undecided(old, before, new, atoms, equal).tolist():
        equal[i] = _equal(old, int(before[i]), new, int(atoms[i]))
    equal &= ~code | _same_tables(old, before, new, atoms, code & equal)
    mutable, was_mutable = np.isin(kinds, MUTABLE), np.isin(old_kinds, MUTABLE)
    constant = kinds == CONST
    other_size = new.end[atoms] - new.start[atoms] != old.end[before] - old.start[before]
    is_resized = (mutable & (other_size | ~was_mutable)) | (constant & was_mutable)
    kept = (code | mutable | constant) & ~is_resized
    changed: list[int] = atoms[kept & ~equal & ~mutable].tolist()
    reinitialised: list[int] = atoms[kept & ~equal & mutable].tolist()
    same: set[int] = set(atoms[kept & equal].tolist())
    for atom in _label_owners(new, [*changed, *reinitialised]):
        if atom in same:
            same.remove(atom)
            changed.append(atom)
    gone = old.label >= 0
    gone[before] = False
    texts = old.intern.texts()
    return Comparison(
        old,
        new,
        frozenset(same),
        tuple(changed),
        tuple(reinitialised),
        tuple(atoms[is_resized].tolist()),
        tuple(added),
        tuple(sorted(name for i in old.label[gone].tolist() if (name := texts[i]) is not None)),
        dict(zip(atoms.tolist(), before.tolist(), strict=True)),
    )


def counterparts(old: Atoms, new: Atoms) -> tuple[Ints, Ints]:
    """The named atoms of `new`, and for each the atom of `old` of the same name; -1 where there is none."""
    atoms = np.flatnonzero(new.label >= 0)
    before = old.named(new.label[atoms])
    for i in np.flatnonzero(before < 0).tolist():
        atom = int(atoms[i])
        for alias in new.own_names.get(atom, ()):
            if (known := old.by_name.get(alias)) is not None:
                before[i] = known
                break
    return atoms, before


def equal_pairs(old: Atoms, before: Ints, new: Atoms, after: Ints) -> Bools:
    """Whether size, bytes and references are equal, pair by pair."""
    calls = new.intern.calls
    if calls is None or not len(before):
        pairs = zip(before.tolist(), after.tolist(), strict=True)
        return np.array([_identical(old, a, new, b) for a, b in pairs], bool)
    equal = np.zeros(len(before), bool)
    before, after = np.ascontiguousarray(before, np.int64), np.ascontiguousarray(after, np.int64)
    calls["equal"](*_sides(old, new), before.ctypes.data, after.ctypes.data, len(before), equal.ctypes.data)
    return equal


def _undecided(old: Atoms, before: Ints, new: Atoms, after: Ints, equal: Bools) -> Ints:
    """Which pairs must be looked at one by one. Most code of an object without -ffunction-sections that is not equal
    is decided here (`_equal_when_resolved` in C)."""
    calls = new.intern.calls
    rows = np.flatnonzero(~equal)
    if calls is None or not len(rows):
        return rows
    rows = rows[old.kind[before[rows]] == TEXT]
    verdict = np.zeros(len(rows), np.uint8)
    first, second = np.ascontiguousarray(before[rows], np.int64), np.ascontiguousarray(after[rows], np.int64)
    calls["resolved"](*_sides(old, new), first.ctypes.data, second.ctypes.data, len(rows), verdict.ctypes.data)
    equal[rows[verdict == 1]] = True
    rest = ~equal
    rest[rows[verdict == 0]] = False
    return np.flatnonzero(rest)


def equal_code(old: Atoms, before: Ints, new: Atoms, after: Ints) -> Bools:
    """`equal_pairs`, where references that the assembler resolved on one side are no difference as far as C sees."""
    equal = equal_pairs(old, before, new, after)
    _undecided(old, before, new, after, equal)
    return equal


def _sides(old: Atoms, new: Atoms) -> tuple[Any, Any]:
    return ctypes.byref(old.side()), ctypes.byref(new.side())


def _identical(old: Atoms, before: int, new: Atoms, after: int) -> bool:
    return (
        old.size(before) == new.size(after)
        and old.content(before) == new.content(after)
        and old.row_bytes(before) == new.row_bytes(after)
    )


def _same_tables(old: Atoms, before: Ints, new: Atoms, after: Ints, wanted: Bools) -> Bools:
    """Whether the exception tables of functions say the same, where it is wanted."""
    first, second = old.table_of[before], new.table_of[after]
    both = wanted & (first >= 0) & (second >= 0)
    result = (first < 0) & (second < 0)
    result[both] = equal_pairs(old, first[both], new, second[both])
    for i in np.flatnonzero(both & ~result).tolist():
        result[i] = _same_table(old, int(first[i]), new, int(second[i]))
    return result


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
