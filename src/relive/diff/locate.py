"""Where the atoms of a unit live in the linked program, and whether what lives there is what the object says.

Names alone do not find a static variable: ten units may have a `counter`, two files a `util.c`. But the linker moved
whole sections: one symbol that is known to be ours fixes the address of everything in its section. So each section of
the object gets its base from a global symbol, or from the STT_FILE group of the unit's own name that fits *all* that
the object says; several fitting groups are told apart by their code. The code is then compared with the program's,
relocated fields left out: an object that was compiled after the program was linked is found out here.

Addresses are link-time addresses (the process adds the load base); of thread-locals: offsets in the TLS template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relive.arch import x86_64
from relive.diff.atoms import Atoms, Kind, is_label
from relive.elf import constants as c
from relive.elf.image import FileGroup, Image
from relive.errors import FormatError

_STRONG, _WEAK, _LOCAL = range(3)


@dataclass(frozen=True, slots=True)
class Location:
    """One unit in one image."""

    addresses: dict[bytes, int]
    """Session name of a named atom → link-time address. What the linker dropped (unused sections) is missing."""
    differing: tuple[bytes, ...]
    """Functions of the unit whose code in the image is not the object's: the program was built from something else."""
    ambiguous: bool
    """Several places fit and their code is the same: statics cannot be told apart."""


def locate(atoms: Atoms, image: Image) -> Location | None:
    """Finds a unit's atoms; None when the unit is not part of the image."""
    symbols = _symbols_by_section(atoms)
    bases: dict[int, int] = {}
    shared: set[int] = set()
    other_size: list[bytes] = []
    for section, rows in symbols.items():
        base = _base_by_global(image, rows, other_size)
        if base is not None:
            bases[section] = base[0]
            if base[1]:
                shared.add(section)
    groups = [g for name in _file_names(atoms) for g in image.groups_named(name)]
    fits = [fit for group in groups if (fit := _fit(group, image, symbols, bases)) is not None]
    ambiguous = False
    if len(fits) > 1:
        fits = [f for f in fits if not _differing(atoms, image, {**bases, **f}, shared, first_only=True)] or fits[:1]
        if len(fits) > 1:
            used = _referenced(atoms, image, bases, shared)
            fits = [f for f in fits if all(used.get(s, base) == base for s, base in f.items())] or fits
        fits = _nearest(fits, bases)
        ambiguous = len(fits) > 1
    if fits:
        bases.update(fits[0])
    owned = [s for s in bases if s not in shared]
    if not bases or not (owned or _only_shared(symbols, shared)):
        return None
    addresses: dict[bytes, int] = {}
    section_of, start_of = atoms.section.tolist(), atoms.start.tolist()
    for name, atom in atoms.by_name.items():
        base_of = bases.get(section_of[atom])
        if base_of is not None:
            addresses[name] = base_of + start_of[atom]
    # A weak function's section is dropped when another unit has it too: each name has an address of its own then.
    for section in shared:
        for name, _, _, strength, _ in symbols[section]:
            found = _defined(image, name) if strength != _LOCAL else []
            if found:
                addresses[name] = int(image.symbols.value[found[0]])
    checked = bases
    if any(s not in bases and atoms.kinds[s] == Kind.TEXT for s in symbols):
        # Dropped by the linker, or a static function that the image has in another size: callers know which.
        found_by_callers = _referenced(atoms, image, bases, shared)
        checked = {**{s: base for s, base in found_by_callers.items() if s in symbols}, **bases}
    differing = _differing(atoms, image, checked, shared) + other_size
    return Location(addresses, tuple(differing), ambiguous)


_Row = tuple[bytes, int, int, int, int]
"""(name, offset in the section, size, strength, atom)"""


def _symbols_by_section(atoms: Atoms) -> dict[int, list[_Row]]:
    obj, rows = atoms.object, atoms.alias_rows
    if not len(rows):
        return {}
    # Atoms by their first symbol, and each with all its symbols.
    _, first, of_atom = np.unique(rows["atom"], return_index=True, return_inverse=True)
    rows = rows[np.argsort(first[of_atom], kind="stable")]
    binding = obj.symbols["info"][rows["symbol"]] >> 4
    strength = np.where(binding == c.STB_LOCAL, _LOCAL, np.where(binding == c.STB_GLOBAL, _STRONG, _WEAK))
    result: dict[int, list[_Row]] = {}
    for symbol, section, start, size, strong, atom in zip(
        rows["symbol"].tolist(),
        atoms.section[rows["atom"]].tolist(),
        atoms.start[rows["atom"]].tolist(),
        obj.symbols["size"][rows["symbol"]].tolist(),
        strength.tolist(),
        rows["atom"].tolist(),
        strict=True,
    ):
        name = obj.symbol_names[symbol]
        if not is_label(name):
            result.setdefault(section, []).append((name, start, size, strong, atom))
    return result


def _file_names(atoms: Atoms) -> list[bytes]:
    obj = atoms.object
    rows = np.flatnonzero((obj.symbols["info"] & 15) == c.STT_FILE).tolist()
    return list(dict.fromkeys(obj.symbol_names[row] for row in rows if obj.symbol_names[row]))


def _defined(image: Image, name: bytes) -> list[int]:
    """Rows of a name that other units can see; hidden ones may have become local (mold, lld, gold)."""
    rows = image.find_any(name)
    visible = [row for row in rows if image.symbols.binding[row] != c.STB_LOCAL]
    return visible or (rows if len(rows) == 1 else [])


def _base_by_global(image: Image, rows: list[_Row], other_size: list[bytes]) -> tuple[int, bool] | None:
    """(address of the section, whether it may be another unit's copy) from its global symbols. Notes in `other_size`
    what the image has under the same name with another size."""
    weak = None
    for name, offset, size, strength, _ in rows:
        if strength == _LOCAL:
            continue
        found = _defined(image, name)
        if len(found) != 1:
            continue
        row = found[0]
        if int(image.symbols.value[row]) in image.copied:
            continue  # the program's copy of a library's variable: nothing else of the section is there
        if size and int(image.symbols.size[row]) not in (size, 0) and strength == _STRONG:
            other_size.append(name)
            continue
        base = int(image.symbols.value[row]) - offset
        if strength == _STRONG:
            return base, False
        weak = weak if weak is not None else base
    return None if weak is None else (weak, True)


def _fit(
    group: FileGroup, image: Image, symbols: dict[int, list[_Row]], bases: dict[int, int]
) -> dict[int, int] | None:
    """Bases of the sections that only local symbols can place, if everything that the object says fits this group."""
    values: dict[bytes, list[tuple[int, int]]] = {}
    for row in range(group.first, group.last):
        if image.symbols.type[row] in (c.STT_FUNC, c.STT_OBJECT, c.STT_TLS, c.STT_GNU_IFUNC):
            entry = (int(image.symbols.value[row]), int(image.symbols.size[row]))
            values.setdefault(image.symbols.name(row), []).append(entry)
    found: dict[int, int] = {}
    for section, rows in symbols.items():
        locals_ = [row for row in rows if row[3] == _LOCAL]
        if not locals_:
            continue
        known = bases.get(section)
        candidates = (
            {known}
            if known is not None
            else {value - locals_[0][1] for value, size in values.get(locals_[0][0], ()) if size == locals_[0][2]}
        )
        right = [
            base
            for base in candidates
            if all((base + offset, size) in values.get(name, ()) for name, offset, size, _, _ in locals_)
        ]
        if known is not None and not right:
            return None
        if known is None and candidates and not right:
            return None
        if right and known is None:
            found[section] = min(right)
    return found if found or bases else None


def _referenced(atoms: Atoms, image: Image, bases: dict[int, int], shared: set[int]) -> dict[int, int]:
    """Bases of the sections that the code at `bases` refers to, and so on, read from the image's own instructions."""
    obj = atoms.object
    known = {section: base for section, base in bases.items() if section not in shared}
    pending = list(known)
    while pending:
        section = pending.pop()
        if atoms.kinds[section] != Kind.TEXT:
            continue
        try:
            live = np.frombuffer(image.read(known[section], int(obj.sections["size"][section])), np.uint8)
        except FormatError:
            continue
        low, high = np.searchsorted(atoms.relocations["section"], [section, section + 1]).tolist()
        for row in range(low, high):
            kind, offset = int(atoms.relocations["type"][row]), int(atoms.relocations["offset"][row])
            if not atoms.row_is_local[row] or kind not in _PLAIN or offset + 4 > len(live):
                continue
            symbol = int(atoms.relocations["symbol"][row])
            target = int(obj.symbol_sections[symbol])
            if target in known or target >= len(atoms.kinds) or obj.sections["flags"][target] & c.SHF_MERGE:
                continue
            if obj.symbols["info"][symbol] & 15 == c.STT_GNU_IFUNC:
                continue  # through a stub
            value = int.from_bytes(live[offset : offset + 4].tobytes(), "little", signed=True)
            if kind in x86_64.PC_RELATIVE:
                value += known[section] + offset
            known[target] = value - int(atoms.relocations["addend"][row]) - int(obj.symbols["value"][symbol])
            pending.append(target)
    return known


_PLAIN = frozenset({c.R_X86_64_PC32, c.R_X86_64_PLT32, c.R_X86_64_32, c.R_X86_64_32S})
"""References that every linker resolves to the address itself."""


def _nearest(fits: list[dict[int, int]], bases: dict[int, int]) -> list[dict[int, int]]:
    """Of equal fits, one that is fixed by nothing else; all when they cannot be told apart."""
    unique = {tuple(sorted(f.items())): f for f in fits}
    return list(unique.values())


def _only_shared(symbols: dict[int, list[_Row]], shared: set[int]) -> bool:
    """Whether the unit has nothing but weak functions (templates): then any copy is its copy."""
    return bool(shared) and all(
        section in shared for section, rows in symbols.items() if any(row[3] != _LOCAL for row in rows)
    )


def _differing(
    atoms: Atoms, image: Image, bases: dict[int, int], shared: set[int], *, first_only: bool = False
) -> list[bytes]:
    """Names of functions whose bytes differ from the image's outside of relocated fields."""
    result = []
    for section, base in bases.items():
        if section in shared or atoms.kinds[section] != Kind.TEXT:
            continue
        content = np.frombuffer(atoms.object.content(section), np.uint8)
        try:
            live = np.frombuffer(image.read(base, len(content)), np.uint8)
        except FormatError:
            live = np.zeros(0, np.uint8)
        if len(live) != len(content):
            unequal = np.ones(len(content), bool)
        else:
            unequal = (content != live) & ~_masked(atoms, section, len(content))
        where = np.flatnonzero(unequal)
        if not len(where):
            continue
        hit = atoms.locate(np.full(len(where), section, np.int64), where.astype(np.int64))
        result += [name for atom in np.unique(hit).tolist() if (name := atoms.names[atom]) is not None]
        if result and first_only:
            break
    return result


def _masked(atoms: Atoms, section: int, size: int) -> npt.NDArray[np.bool_]:
    """Which bytes of a text section the linker may have changed: relocated fields, relaxed instructions around them."""
    mask = np.zeros(size + 32, bool)
    rel = atoms.relocations[atoms.relocations["section"] == section]
    for kind in np.unique(rel["type"]).tolist():
        low, high = x86_64.LINKER_WRITES.get(kind, (0, x86_64.FIELD_SIZE.get(kind, 4)))
        offsets = rel["offset"][rel["type"] == kind].astype(np.int64)
        for delta in range(low, high):
            mask[np.clip(offsets + delta, 0, size + 31)] = True
    return mask[:size]
