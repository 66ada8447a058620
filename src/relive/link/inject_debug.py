"""Debug information of what is injected into a file: the new objects' compilation units are appended, the old ones
describe nothing any more.

The new unit describes all functions of its source: those that are placed at their new addresses, the others where the
linked file has them, for their code is the same. So line numbers are those of the edited file throughout. The old
unit's addresses become tombstones, as if `--gc-sections` had dropped its code, so that no address has two descriptions.
Where the old unit's contribution to a section begins is told by the old unit itself: each reference into the section
has a value in the linked file and an addend in the object.

gdb reads one `.eh_frame` only, the linked file's; new code gets its unwind records a second time, as `.debug_frame`.

Sources: DWARF 5 sections 6.4 and 7; LSB Core 10.6.1 (.eh_frame against .debug_frame); lld's `getTombstone`."""

from __future__ import annotations

import struct
import weakref
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relive.elf import constants as c
from relive.elf.object import ElfObject
from relive.link.unwind import Record

Addresses = Callable[[int, npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.int64]]
"""(unit, sections, offsets) → addresses, -1 where there is none."""

_LISTS = (".debug_ranges", ".debug_loc")
_MERGED = (".debug_str", ".debug_line_str")
_GROUP = 0x200
"""SHF_GROUP: a type unit that several objects have."""
_WIDE = (c.R_X86_64_64, c.R_X86_64_DTPOFF64)
_NARROW = (c.R_X86_64_32, c.R_X86_64_DTPOFF32)


@dataclass(frozen=True, slots=True)
class DebugAddition:
    """What is appended to debug sections, and written over them: (section, offset, bytes)."""

    appended: dict[str, bytes]
    stores: tuple[tuple[str, int, bytes], ...]


class LinkedDebug:
    """The debug sections of the linked file, by name."""

    def __init__(self, sections: Mapping[str, memoryview]) -> None:
        self.sections = sections
        self._tombstones: weakref.WeakKeyDictionary[ElfObject, list[tuple[str, int, bytes]]] = (
            weakref.WeakKeyDictionary()
        )

    def tombstones(self, old: ElfObject) -> list[tuple[str, int, bytes]]:
        """See `tombstones`; found once for each object, which may be before there is a new one."""
        if old not in self._tombstones:
            self._tombstones[old] = tombstones(old, self.sections)
        return self._tombstones[old]


def addition(
    units: Mapping[int, tuple[ElfObject, ElfObject]], linked: LinkedDebug, addresses: Addresses
) -> DebugAddition:
    """For changed units: index → (old object, new object)."""
    parts: dict[str, list[bytes]] = {}
    sizes = {name: len(view) for name, view in linked.sections.items()}
    stores: list[tuple[str, int, bytes]] = []
    for u, (old, new) in sorted(units.items()):
        contents = _contents(new)
        starts: dict[int, int] = {}
        for index, content in contents.items():
            name = new.section_names[index]
            starts[index] = sizes.get(name, 0)
            sizes[name] = starts[index] + len(content)
        for index, content in contents.items():
            made = _relocated(new, index, content, starts, lambda s, o, u=u: addresses(u, s, o))  # type: ignore[misc]
            parts.setdefault(new.section_names[index], []).append(made)
        stores += linked.tombstones(old)
    return DebugAddition({name: b"".join(pieces) for name, pieces in parts.items()}, tuple(stores))


def _contents(obj: ElfObject) -> dict[int, bytes]:
    """The debug sections of an object, by index."""
    # A C++ object has ten thousand sections, of which all but a few are code.
    flags, kinds = obj.sections["flags"], obj.sections["type"]
    wanted = ((flags & c.SHF_ALLOC) == 0) & ~np.isin(kinds, (c.SHT_NULL, c.SHT_RELA, c.SHT_GROUP))
    result = {}
    for index in np.flatnonzero(wanted).tolist():
        if not obj.section_names[index].startswith(".debug_"):
            continue
        data = obj.content(index)
        if obj.sections["flags"][index] & c.SHF_COMPRESSED and data[:4] == b"\x01\0\0\0":
            data = zlib.decompress(data[24:])
        result[index] = data
    return result


def _relocated(
    obj: ElfObject,
    index: int,
    content: bytes,
    starts: Mapping[int, int],
    addresses: Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.int64]],
) -> bytes:
    rel = obj.relocations_of(index)
    if not len(rel):
        return content
    section = obj.symbol_sections[rel["symbol"]].astype(np.int64)
    offset = obj.symbols["value"][rel["symbol"]].astype(np.int64) + rel["addend"]
    known = np.full(len(obj.sections) + 1, -1, np.int64)
    for number, start in starts.items():
        known[number] = start
    inside = np.where(section < len(obj.sections), section, len(obj.sections))
    base = known[inside]
    value = np.where(base >= 0, base + offset, 0)
    outside = np.flatnonzero(base < 0)
    if len(outside):
        found = addresses(section[outside], offset[outside])
        tombstone = 1 if obj.section_names[index] in _LISTS else 0
        value[outside] = np.where(found < 0, tombstone, found)
    return _written(content, rel, value)


def _written(content: bytes, rel: npt.NDArray[np.void], value: npt.NDArray[np.int64]) -> bytes:
    out = np.frombuffer(bytearray(content), np.uint8)
    for kinds, size in ((_WIDE, 8), (_NARROW, 4)):
        rows = np.isin(rel["type"], kinds)
        at = rel["offset"][rows].astype(np.int64)
        if len(at):
            raw = value[rows].astype("<i8").view(np.uint8).reshape(-1, 8)[:, :size]
            out[at[:, None] + np.arange(size)] = raw
    return out.tobytes()


# --- the old unit -----------------------------------------------------------------------------------------------------


def tombstones(old: ElfObject, linked: Mapping[str, memoryview]) -> list[tuple[str, int, bytes]]:
    """The old object's contributions to the linked file's debug sections, without addresses; empty when they are not
    found (another linker's optimisation of debug information)."""
    named = [i for i, name in enumerate(old.section_names) if name == ".debug_info"]
    index = next((i for i in named if not old.sections["flags"][i] & _GROUP), None)
    if index is None or ".debug_info" not in linked:
        return []
    contents = _contents(old)
    if index not in contents:
        return []
    at = _find_unit(old, index, contents[index], linked[".debug_info"])
    if at is None:
        return []
    bases = {index: at}
    rel = old.relocations_of(index)
    sections = old.symbol_sections[rel["symbol"]]
    for other in contents:
        name = old.section_names[other]
        rows = np.flatnonzero((sections == other) & np.isin(rel["type"], _NARROW))
        if name in _MERGED or other == index or not len(rows) or name not in linked:
            continue
        row = rel[int(rows[0])]
        (value,) = struct.unpack_from("<I", linked[".debug_info"], at + int(row["offset"]))
        bases[other] = value - int(old.symbols["value"][row["symbol"]]) - int(row["addend"])
    aranges = old.section_index(".debug_aranges")
    if aranges is not None and ".debug_aranges" in linked:
        found = _find_aranges(linked[".debug_aranges"], at)
        if found is not None:
            bases[aranges] = found
    stores = []
    for number, base in bases.items():
        name = old.section_names[number]
        content = contents.get(number, b"")
        view = linked[name]
        if base < 0 or base + len(content) > len(view) or not content:
            continue
        relocations = old.relocations_of(number)
        debug = np.isin(old.symbol_sections[relocations["symbol"]], list(contents))
        wide = np.isin(relocations["type"], _WIDE) & ~debug
        if wide.any():
            dead = np.full(int(wide.sum()), 1 if name in _LISTS else 0, np.int64)
            stores.append((name, base, _written(bytes(view[base : base + len(content)]), relocations[wide], dead)))
    return stores


def _find_unit(old: ElfObject, index: int, content: bytes, linked: memoryview) -> int | None:
    """Offset of an object's unit in the linked `.debug_info`: of the same length and equal but for what the linker
    filled in."""
    rel = old.relocations_of(index)
    mask = np.zeros(len(content), bool)
    for kinds, size in ((_WIDE, 8), (_NARROW, 4)):
        fields = rel["offset"][np.isin(rel["type"], kinds)].astype(np.int64)
        mask[(fields[:, None] + np.arange(size)).ravel()] = True
    mine = np.frombuffer(content, np.uint8)
    found = []
    at = 0
    while at + 4 <= len(linked):
        (length,) = struct.unpack_from("<I", linked, at)
        if length >= 0xFFFFFFF0:
            return None  # 64-bit DWARF
        if content[:4] == bytes(linked[at : at + 4]) and at + len(content) <= len(linked):
            there = np.frombuffer(linked[at : at + len(content)], np.uint8)
            differs: npt.NDArray[np.bool_] = mine != there
            if not (differs & ~mask).any():
                found.append(at)
        at += 4 + length
    return found[0] if len(found) == 1 else None


def _find_aranges(linked: memoryview, unit: int) -> int | None:
    """Offset of the set of address ranges that is about a unit."""
    at = 0
    while at + 12 <= len(linked):
        length, _, about = struct.unpack_from("<IHI", linked, at)
        if about == unit:
            return at
        if length >= 0xFFFFFFF0:
            return None
        at += 4 + length
    return None


# --- unwind information for debuggers ---------------------------------------------------------------------------------


def debug_frame(
    records: Sequence[Record], begins: Sequence[int], start: int
) -> bytes:  # begins: address of the code of each FDE, anything for a CIE
    """The records as `.debug_frame`, to stand at an offset of the section."""
    out = bytearray(-start % 8)
    places: list[int] = []
    for record, begin in zip(records, begins, strict=True):
        at = start + len(out)
        places.append(at)
        body = (
            _cie_body(record) if record.cie < 0 else _fde_body(record, records[record.cie], begin, places[record.cie])
        )
        body += bytes(-(len(body) + 4) % 8)  # DW_CFA_nop
        out += struct.pack("<I", len(body)) + body
    return bytes(out)


def _cie_body(record: Record) -> bytes:
    data = record.content
    augmentation, at = _string(data, 9)
    caf, at = _leb(data, at)
    daf, at = _leb(data, at)
    if data[8] == 1:
        register, at = data[at : at + 1], at + 1
    else:
        register, at = _leb(data, at)
    if augmentation.startswith(b"z"):
        size, at = _leb(data, at)
        at += _value(size)
    kept = b"S" if b"S" in augmentation else b""
    return b"\xff\xff\xff\xff" + data[8:9] + kept + b"\0" + caf + daf + register + data[at:]


def _fde_body(record: Record, cie: Record, begin: int, cie_at: int) -> bytes:
    data = record.content
    size = _pointer_size(cie)
    at = record.pc_field + size
    length = int.from_bytes(data[at : at + size], "little")
    at += size
    if _string(cie.content, 9)[0].startswith(b"z"):
        count, at = _leb(data, at)
        at += _value(count)
    return struct.pack("<IQQ", cie_at, begin, length) + data[at:]


def _pointer_size(cie: Record) -> int:
    """Bytes of a code pointer in the FDEs of a CIE."""
    data = cie.content
    augmentation, at = _string(data, 9)
    if not augmentation.startswith(b"z"):
        return 8
    for _ in range(2):
        at = _leb(data, at)[1]
    at = at + 1 if data[8] == 1 else _leb(data, at)[1]
    at = _leb(data, at)[1]
    for letter in augmentation[1:]:
        if letter == ord("R"):
            return {0: 8, 4: 8, 12: 8, 3: 4, 11: 4, 2: 2, 10: 2}[data[at] & 15]
        if letter == ord("P"):
            at += 1 + {0: 8, 4: 8, 12: 8, 3: 4, 11: 4, 2: 2, 10: 2}[data[at] & 15]
        elif letter == ord("L"):
            at += 1
    return 8


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.index(b"\0", at)
    return data[at:end], end + 1


def _leb(data: bytes, at: int) -> tuple[bytes, int]:
    end = at
    while data[end] & 0x80:
        end += 1
    return data[at : end + 1], end + 1


def _value(leb: bytes) -> int:
    return sum((octet & 0x7F) << (7 * i) for i, octet in enumerate(leb))
