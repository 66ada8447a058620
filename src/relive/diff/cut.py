"""Where an object is cut into atoms: the kinds of its sections, named pieces by the symbol table, the rest at the
offsets that somebody refers to. Knows nothing of what a reference means (see `atoms`)."""

from __future__ import annotations

import re
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from relive.elf import constants as c
from relive.elf.object import ElfObject

Ints = npt.NDArray[np.int64]

OFFSET_BITS = 40
"""Section and offset in one number: section << OFFSET_BITS | offset."""
_CLONE = re.compile(rb"\.(part|isra|constprop|cold|lto_priv|llvm|warm)(\.\d+)?(\.|$)")
_LABEL = re.compile(rb"^(\.L|GCC_except_table\d|CSWTCH\.|switch\.table\.|__(func|FUNCTION|PRETTY_FUNCTION)__\.\d)")


class Kind(IntEnum):
    """What the memory of an atom is."""

    TEXT = 1
    CONST = 2
    """Read-only after relocation: .rodata, .data.rel.ro, vtables."""
    DATA = 3
    """Mutable, initialised or zero."""
    TLS = 4
    LSDA = 5
    """Exception tables: part of the meaning of their function."""
    INIT = 6
    """Pointers to constructors and destructors (.init_array): run once when a program starts, never by us again."""
    OTHER = 7


def is_clone(name: bytes) -> bool:
    """Whether gcc or clang made the name up for a piece of another function."""
    return _CLONE.search(name) is not None


def is_label(name: bytes) -> bool:
    """Whether a local symbol is a compiler's label of a constant (clang keeps `.L.str.4` in the symbol table; gcc has
    `CSWTCH.7`): numbered over the unit, so no identity."""
    return _LABEL.match(name) is not None


def section_kinds(obj: ElfObject) -> npt.NDArray[np.uint8]:
    """Kind of each section; 0 for what is no memory of the program (debug, .eh_frame, notes)."""
    flags, types = obj.sections["flags"], obj.sections["type"]
    kinds = np.zeros(len(flags), np.uint8)
    for index in np.flatnonzero((flags & c.SHF_ALLOC) != 0).tolist():
        name, flag = obj.section_names[index], int(flags[index])
        if name == ".eh_frame" or types[index] in (c.SHT_NOTE, c.SHT_X86_64_UNWIND):
            continue
        if flag & c.SHF_TLS:
            kinds[index] = Kind.TLS
        elif flag & c.SHF_EXECINSTR:
            kinds[index] = Kind.TEXT
        elif name.startswith(".gcc_except_table"):
            kinds[index] = Kind.LSDA
        elif types[index] in (c.SHT_INIT_ARRAY, c.SHT_FINI_ARRAY, c.SHT_PREINIT_ARRAY) or name.startswith(
            (".ctors", ".dtors", ".init_array", ".fini_array")
        ):
            kinds[index] = Kind.INIT
        elif not flag & c.SHF_WRITE or name.startswith(".data.rel.ro"):
            kinds[index] = Kind.CONST
        else:
            kinds[index] = Kind.DATA
    return kinds


def cut_sections(obj: ElfObject, kinds: npt.NDArray[np.uint8], cuts: Ints) -> Ints:
    """Rows (section, start, end, symbol or -1), ordered. Named pieces by the symbol table, the rest by `cuts`."""
    symbols, where = obj.symbols, obj.symbol_sections
    kind = symbols["info"] & 15
    named = np.isin(kind, [c.STT_FUNC, c.STT_OBJECT, c.STT_TLS, c.STT_GNU_IFUNC]) | (
        (kind == c.STT_NOTYPE) & ((symbols["info"] >> 4) != c.STB_LOCAL)
    )
    index = np.flatnonzero(named & (where != 0) & (where < len(kinds)))
    per_section: dict[int, list[tuple[int, int, int]]] = {}
    labels: list[int] = []
    for i, section, value, size in zip(
        index.tolist(),
        where[index].tolist(),
        symbols["value"][index].tolist(),
        symbols["size"][index].tolist(),
        strict=True,
    ):
        if not kinds[section]:
            continue
        if is_label(obj.symbol_names[i]) and (symbols["info"][i] >> 4) == c.STB_LOCAL:
            labels.append((section << OFFSET_BITS) + value)
        else:
            per_section.setdefault(section, []).append((value, -size, i))
    cuts = np.union1d(cuts, np.array(labels, np.int64))
    cut_sections = (cuts >> OFFSET_BITS).tolist()
    cut_offsets = (cuts & ((1 << OFFSET_BITS) - 1)).tolist()
    referenced: dict[int, list[int]] = {}
    for section, offset in zip(cut_sections, cut_offsets, strict=True):
        referenced.setdefault(section, []).append(offset)
    rows: list[tuple[int, int, int, int]] = []
    sizes = obj.sections["size"].tolist()
    for section in np.flatnonzero(kinds).tolist():
        size = sizes[section]
        mine = per_section.get(section, [])
        if size and len(mine) == 1 and mine[0][0] == 0 and mine[0][1] == -size:
            rows.append((section, 0, size, mine[0][2]))  # the usual case: a section of its own
        elif size:
            _cut_one(obj, section, size, sorted(mine), sorted(referenced.get(section, ())), rows)
    return np.array(rows, np.int64).reshape(-1, 4)


def _cut_one(
    obj: ElfObject,
    section: int,
    size: int,
    named: list[tuple[int, int, int]],
    referenced: list[int],
    rows: list[tuple[int, int, int, int]],
) -> None:
    at = 0
    flags = int(obj.sections["flags"][section])
    constant = not flags & (c.SHF_MERGE | c.SHF_WRITE | c.SHF_EXECINSTR)
    data = obj.content(section) if constant and referenced else b""
    if flags & c.SHF_MERGE:
        # A reference into the middle ("hello" + 2) is no piece of its own: what refers to "hello" would lose its end.
        referenced = _merge_units(obj, section, size, flags)

    def anonymous(low: int, high: int) -> None:
        for offset in referenced:
            if low < offset < high and not (constant and is_open_text(data[low:offset])):
                rows.append((section, low, offset, -1))
                low = offset
        rows.append((section, low, high, -1))

    for position, (value, negative_size, symbol) in enumerate(named):
        if value < at:
            continue  # an alias, or a label inside of another symbol
        if value > at:
            anonymous(at, value)
        length = -negative_size
        if length == 0:  # hand-written assembly without .size: up to the next symbol
            following = [v for v, _, _ in named[position + 1 :] if v > value]
            length = (following[0] if following else size) - value
        end = min(value + length, size)
        if end > value:
            rows.append((section, value, end, symbol))
            at = end
    if at < size:
        anonymous(at, size)


def is_open_text(data: bytes) -> bool:
    """Whether a piece is the beginning of a string, so that a reference behind it leads into that string (gcc -O0 puts
    strings between other constants)."""
    try:
        return data.decode().replace("\n", " ").replace("\t", " ").replace("\r", " ").isprintable()
    except UnicodeDecodeError:
        return False


def _merge_units(obj: ElfObject, section: int, size: int, flags: int) -> list[int]:
    """Offsets at which a mergeable section may be cut: after each string, or after each constant."""
    unit = int(obj.sections["entsize"][section]) or 1
    if not flags & c.SHF_STRINGS:
        return list(range(unit, size, unit))
    data = obj.content(section)
    if unit == 1:
        return [i + 1 for i, byte in enumerate(data) if byte == 0 and i + 1 < size]
    zero = b"\0" * unit
    return [i + unit for i in range(0, size - unit, unit) if data[i : i + unit] == zero]
