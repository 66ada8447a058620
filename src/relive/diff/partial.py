"""A part of a unit compared with the whole: the object of a few functions against what runs.

Fast reloads compile the edited functions alone (`relive.source`). Such an object holds them, and whatever else the
compiler had to emit beside them: inline functions, variables of the text before them, initialisers. Only the edited
functions count: what else there is may come out otherwise where its callees have no bodies. What the object does not
hold is as it was. Where it cannot be told what a symbol is, that is a `Doubt`, and the whole unit is compiled.

The baseline stays the last whole object; newer code of single functions is kept beside it (`Newer`) until a whole
object replaces both. A comparison with a baseline like that must look at the newer code where there is some:
`with_newer`."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from relive.diff.atoms import Atoms, Kind
from relive.diff.compare import Comparison, same_meaning
from relive.diff.initialisers import is_initialiser
from relive.elf import constants as c
from relive.elf.object import RELA_DTYPE, ElfObject, Names

_INTERNAL = re.compile(rb"L(?=\d)")
_MOV, _LEA = 0x8B, 0x8D
_PLAIN = {int(Kind.DATA), int(Kind.TLS)}


@dataclass(frozen=True, slots=True)
class Newer:
    """Code of a function that is newer than the baseline's object."""

    atoms: Atoms
    atom: int


class Doubt(Exception):  # noqa: N818  (not an error: the whole unit is compiled instead)
    """Why the object of a part cannot be used; the message is for people."""


def internal_spellings(whole: Atoms) -> dict[bytes, bytes]:
    """How gcc spells a unit's internal functions where it has no definition of them → their real names."""
    return {
        _INTERNAL.sub(b"", name, count=1): name
        for name, atom in whole.by_name.items()
        if name.startswith(b"_Z") and _INTERNAL.search(name) and not whole.is_global[atom]
    }


def with_internal_names(obj: ElfObject, spellings: Mapping[bytes, bytes], whole: Atoms, *, direct: bool) -> ElfObject:
    """A part's object that refers to functions and variables of its unit as the whole object does. `direct`: whether
    the compiler refers to all of the unit's definitions directly (not -fPIC), or to internal ones only.

    By their real names: gcc spells a static function that is declared but not defined as if it were external,
    `_Z6helperi` for what the unit calls `_ZL6helperi`. (The language allows no external one of that name beside it.)
    And by the same code: for what might be anywhere, the compiler writes `mov f@GOTPCREL(%rip)` and the assembler
    R_X86_64_PLT32; for what is in the unit, `lea f(%rip)` and R_X86_64_PC32. A linker relaxes the one to the other
    (psABI, "Optimize GOTPCRELX Relocations"), and so is it done here."""
    respelled: dict[int, bytes] = {}
    undefined = np.flatnonzero(obj.symbol_sections == 0).tolist()
    internal: set[int] = set()
    near: set[int] = set()
    for index in undefined:
        found = obj.symbol_names[index]
        name = spellings.get(found, found)
        if name != found:
            respelled[index] = name
        atom = whole.by_name.get(name)
        if atom is None:
            continue
        if not whole.is_global[atom]:
            internal.add(index)
        if direct or not whole.is_global[atom]:
            near.add(index)
    if not near:
        return obj
    assert isinstance(obj.symbol_names, Names), "read from a file"
    names = obj.symbol_names.with_names(respelled)
    return replace(obj, data=_relaxed(obj, near, internal), symbol_names=names)


def _relaxed(obj: ElfObject, near: set[int], internal: set[int]) -> bytes:
    """The object's bytes with direct references to `near` symbols, some of them internal."""
    data = bytearray(obj.data)
    sections = obj.sections
    for table in np.flatnonzero(sections["type"] == c.SHT_RELA).tolist():
        place = int(sections["info"][table])
        if place >= len(sections) or not int(sections["flags"][place]) & c.SHF_EXECINSTR:
            continue
        first, base = int(sections["offset"][table]), int(sections["offset"][place])
        rows = np.frombuffer(obj.data, RELA_DTYPE, int(sections["size"][table]) // c.RELA_SIZE, first)
        for row in np.flatnonzero(np.isin(rows["symbol"], list(near))).tolist():
            kind, at = int(rows["type"][row]), base + int(rows["offset"][row])
            if kind == c.R_X86_64_REX_GOTPCRELX and data[at - 2] == _MOV:
                data[at - 2] = _LEA
            elif kind != c.R_X86_64_PLT32 or int(rows["symbol"][row]) not in internal:
                continue
            # r_info: type in the lower half (gABI, Elf64_Rela)
            struct.pack_into("<I", data, first + row * c.RELA_SIZE + 8, c.R_X86_64_PC32)
    return bytes(data)


def has_lambdas(obj: ElfObject, is_edited: Callable[[bytes], bool]) -> bool:
    """Whether an edited function has lambdas (Itanium ABI: `Ul…E_`; clang's internal ones: `$_0`)."""
    lambdas = (name for name in obj.symbol_names if name.startswith(b"_ZZ") and (b"Ul" in name or b"$_" in name))
    return any(is_edited(name) for name in lambdas)


def compare_part(
    old: Atoms,
    part: Atoms,
    newer: Mapping[bytes, Newer],
    is_edited: Callable[[bytes], bool],
    lives: Callable[[bytes], bool],
    *,
    numbered: bool,
) -> Comparison:
    """Compares the object of a part with the unit it belongs to. `is_edited`: whether a symbol belongs to an edited
    function. `lives`: whether another unit of the module has a symbol. `numbered`: whether the language numbers a
    function's statics over the unit (C). Raises Doubt."""
    same: set[int] = set()
    changed: list[int] = []
    reinitialised: list[int] = []
    resized: list[int] = []
    added: list[int] = []
    counterpart: dict[int, int] = {}
    old_tables, new_tables = old.exception_tables(), part.exception_tables()
    for atom, name in enumerate(part.names):
        if name is None:
            continue
        before = next((b for n in part.own_names.get(atom, (name,)) if (b := old.by_name.get(n)) is not None), None)
        kind = int(part.kind[atom])
        known = newer.get(name)
        if before is None and known is None:
            if kind == Kind.TEXT and part.is_global[atom] and is_edited(name) and lives(name):
                changed.append(atom)  # an inline function that this unit does not use
                continue
            _check_added(part, atom, name, is_edited, numbered)
            added.append(atom)
            continue
        if before is None:
            assert known is not None
            if same_meaning(known.atoms, known.atom, part, atom, known.atoms.exception_tables(), new_tables):
                same.add(atom)
            elif kind == Kind.TEXT:
                changed.append(atom)
            else:
                raise Doubt(f"{name.decode('utf-8', 'replace')} was new a moment ago and has changed again")
            continue
        counterpart[atom] = before
        if kind in _PLAIN:
            # What the text before the functions defines is bound to what lives; only the edit may resize its own.
            if part.size(atom) != old.size(before) and is_edited(name):
                resized.append(atom)
            elif is_edited(name) and part.content(atom).rstrip(b"\0") != old.content(before).rstrip(b"\0"):
                reinitialised.append(atom)
            else:
                same.add(atom)
        elif is_initialiser(name):
            same.add(atom)
        else:
            if known is not None:
                equal = same_meaning(known.atoms, known.atom, part, atom, known.atoms.exception_tables(), new_tables)
            else:
                equal = same_meaning(old, before, part, atom, old_tables, new_tables)
            if equal:
                same.add(atom)
            elif not is_edited(name):
                same.add(atom)  # it has another key function or no inline callees here; its source is as it was
            else:
                changed.append(atom)
    if not any(
        kind == Kind.TEXT and name and is_edited(name) for kind, name in zip(part.kind, part.names, strict=True)
    ):
        raise Doubt("the compiler left the edited function out")
    return Comparison(
        old, part, frozenset(same), tuple(changed), tuple(reinitialised), tuple(resized), tuple(added), (), counterpart
    )


def _check_added(part: Atoms, atom: int, name: bytes, is_edited: Callable[[bytes], bool], numbered: bool) -> None:
    shown = name.decode("utf-8", "replace")
    if int(part.kind[atom]) in _PLAIN:
        if numbered and b"." in name:
            raise Doubt(f"{shown} is a new static of a function: only the whole unit tells its number")
        return
    if part.is_global[atom] and not is_edited(name) and not _is_weak(part, atom):
        raise Doubt(f"{shown} is new")


def _is_weak(atoms: Atoms, atom: int) -> bool:
    return all(int(atoms.object.symbols["info"][i]) >> 4 != 1 for i in atoms.aliases.get(atom, ()))


def with_newer(comparison: Comparison, newer: Mapping[bytes, Newer], *, verifying: bool = False) -> Comparison:
    """A comparison of whole objects, for a unit of which some functions run newer code than the old object's.
    `verifying`: both are of the same source; then functions need only refer to the same things in the same order."""
    if not newer:
        return comparison
    new = comparison.new
    same, changed = set(comparison.same), dict.fromkeys(comparison.changed)
    tables = new.exception_tables()
    added = list(comparison.added)
    for name, known in newer.items():
        atom = new.by_name.get(name)
        if atom is None or known.atoms.kind[known.atom] != new.kind[atom]:
            continue
        mutable = int(new.kind[atom]) in _PLAIN
        if mutable:
            continue
        if atom in added:
            added.remove(atom)
        equal = same_meaning(known.atoms, known.atom, new, atom, known.atoms.exception_tables(), tables)
        if equal or (verifying and same_references(known.atoms, known.atom, new, atom)):
            changed.pop(atom, None)
            same.add(atom)
        else:
            same.discard(atom)
            changed[atom] = None
    return replace(comparison, same=frozenset(same), changed=tuple(changed), added=tuple(added))


def same_references(part: Atoms, alone: int, whole: Atoms, inside: int) -> bool:
    """Whether code of the same source, compiled alone and inside of its unit, calls and uses the same things in the
    same order. The bytes may differ although the text before the function is the same: where a compiler sees a
    callee's body, it knows that it throws nothing (and leaves out clean-ups), or that it needs no aligned stack (gcc:
    `sub $8` for `sub $16`). A wrong overload or specialisation would be another name."""
    if int(part.kind[alone]) != Kind.TEXT:
        return False
    first, second = _references(part, alone), _references(whole, inside)
    if first == second:
        return True
    # Clean-ups stand behind the function's end.
    shorter, longer = sorted((first, second), key=len)
    cleans_up = alone in part.exception_tables() or inside in whole.exception_tables()
    return cleans_up and longer[: len(shorter)] == shorter


def _references(atoms: Atoms, function: int) -> list[tuple[int, int]]:
    """(target, delta) of the references of a function, but for those to its own jump tables and to the unwinder."""
    found = []
    for row in atoms.row_range(function):
        target = int(atoms.target[row]) if atoms.row_is_local[row] else -1
        if target >= 0 and (target == function or _leads_back(atoms, target, function)):
            continue
        if not atoms.row_is_local[row]:
            name = atoms.object.symbol_names[int(atoms.relocations["symbol"][row])]
            if name == b"_Unwind_Resume":
                continue
        found.append((int(atoms.rows["target"][row]), int(atoms.rows["delta"][row])))
    return found


def _leads_back(atoms: Atoms, data: int, function: int) -> bool:
    """Whether nameless data is a function's jump table."""
    return atoms.names[data] is None and any(int(atoms.target[row]) == function for row in atoms.row_range(data))
