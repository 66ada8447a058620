"""Debug information of the patch: the units' own `.debug_*` sections, relocated to the new code and the living data.

What was not placed gets the tombstone that lld uses (0, or 1 where a pair of zeros would end a list), so that gdb finds
the old code's description in the program and the new code's here. Source: DWARF 5 section 7; lld's `getTombstone`."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from relive.diff.atoms import Atoms
from relive.elf import constants as c
from relive.elf.object import ElfObject
from relive.elf.writer import OutSection
from relive.link.model import Selection

_LISTS = (".debug_ranges", ".debug_loc")


def sections(selection: Selection, address_of: Callable[[int, int], int | None]) -> list[OutSection]:
    """The relocated debug sections of all units that have code in the patch, concatenated by name."""
    names: dict[str, int] = {}
    parts: dict[str, list[bytes]] = {}
    sizes: dict[str, int] = {}
    used = {block.unit for block in selection.blocks}
    for u in sorted(used):
        obj = selection.units[u].new.object
        starts: dict[int, int] = {}
        raw: dict[int, bytes] = {}
        for index, name in enumerate(obj.section_names):
            if name.startswith(".debug_") and not obj.sections["flags"][index] & c.SHF_ALLOC:
                if obj.sections["type"][index] in (c.SHT_RELA, c.SHT_GROUP):
                    continue
                raw[index] = _content(obj, index)
                starts[index] = sizes.get(name, 0)
                sizes[name] = starts[index] + len(raw[index])
                names.setdefault(name, index)
        values, defined = _symbol_values(obj, u, raw, starts, address_of)
        for index, content in raw.items():
            parts.setdefault(obj.section_names[index], []).append(_relocated(obj, index, content, values, defined))
    return [OutSection(name, c.SHT_PROGBITS, 0, 0, b"".join(parts[name]), sizes[name], align=1) for name in names]


def _content(obj: ElfObject, index: int) -> bytes:
    data = obj.content(index)
    if obj.sections["flags"][index] & c.SHF_COMPRESSED and data[:4] == b"\x01\0\0\0":
        return zlib.decompress(data[24:])
    return data


def _symbol_values(
    obj: ElfObject, u: int, raw: dict[int, bytes], starts: dict[int, int], address_of: Callable[[int, int], int | None]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Value of every symbol that a debug section refers to, and whether it has one."""
    values = np.zeros(len(obj.symbols), np.int64)
    defined = np.zeros(len(obj.symbols), bool)
    used: set[int] = set()
    for index in raw:
        used.update(np.unique(obj.relocations_of(index)["symbol"]).tolist())
    for symbol in used:
        section = int(obj.symbol_sections[symbol])
        if section in starts:
            values[symbol] = starts[section] + int(obj.symbols["value"][symbol])
            defined[symbol] = True
            continue
        address = address_of(u, symbol)
        if address is not None:
            values[symbol], defined[symbol] = address, True
    return values, defined


def _relocated(
    obj: ElfObject, index: int, content: bytes, values: npt.NDArray[np.int64], defined: npt.NDArray[np.bool_]
) -> bytes:
    rel = obj.relocations_of(index)
    if not len(rel):
        return content
    out = np.frombuffer(bytearray(content), np.uint8)
    tombstone = 1 if obj.section_names[index] in _LISTS else 0
    symbol = rel["symbol"]
    value = np.where(defined[symbol], values[symbol] + rel["addend"], tombstone)
    for kinds, size in (((c.R_X86_64_64, c.R_X86_64_DTPOFF64), 8), ((c.R_X86_64_32, c.R_X86_64_DTPOFF32), 4)):
        rows = np.isin(rel["type"], kinds)
        at = rel["offset"][rows].astype(np.int64)
        if len(at) and int(at.max()) + size > len(out):
            continue
        raw = value[rows].astype("<i8").view(np.uint8).reshape(-1, 8)[:, :size]
        out[at[:, None] + np.arange(size)] = raw
    return out.tobytes()


def address_points(atoms: Atoms, atom: int) -> list[int]:
    """Offsets of the address points of a vtable: behind each reference to a typeinfo (with RTTI), else 16."""
    rows = atoms.row_range(atom)
    names = atoms.object.symbol_names
    points = []
    for row in rows:
        symbol = int(atoms.relocations["symbol"][row])
        name = (
            atoms.names[int(atoms.target[row])] if atoms.row_is_local[row] and atoms.target[row] >= 0 else names[symbol]
        )
        if name is not None and name.startswith(b"_ZTI"):
            points.append(int(atoms.rows["offset"][row]) + 8)
    return points or [16]
