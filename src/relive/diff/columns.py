"""The columns of an object's atoms: by the C library where there is one, otherwise by `_Reader`, which is the same in
Python and numpy. The C side leaves to Python what it does not want to decide (`library.ODD`), so what is said here
holds for both; a test compares them."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from relive.arch import x86_64
from relive.diff import library
from relive.diff.cut import OFFSET_BITS, Ints, Kind, cut_sections, is_clone, is_label, is_open_text, section_kinds
from relive.diff.interner import Interner
from relive.diff.library import ALIAS_DTYPE, ROW_DTYPE
from relive.elf import constants as c
from relive.elf.object import ElfObject, Names, Texts
from relive.errors import FormatError

SELF = 0
PENDING = -1
LOCAL_NAME, OF_LAMBDA = 1, 2
"""Flags of a name: of a local symbol; with a closure's type in it (`Ul`, `$_`)."""

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.void]


@dataclass(slots=True)
class Columns:
    """Arrays of equal length within each group."""

    kinds: npt.NDArray[np.uint8]
    """Of sections: see `cut.section_kinds`."""
    symbol_is_local: Bools
    """Of symbols: local, and in a section."""
    # References from the program's memory, by section and offset.
    relocations: Rows
    bias: Ints
    """Distance from the field to the end of its instruction; 0 where there is none."""
    table_entry: Bools
    """Whether it is an entry of a table in data that is relative to its own place."""
    place: Ints
    """Atom that each relocation lies in."""
    target: Ints
    """Atom that each relocation refers to, for references to something local; -1 otherwise."""
    row_is_local: Bools
    rows: Rows
    # References from .eh_frame and notes.
    eh_relocations: Rows
    eh_target: Ints
    # Atoms, by section and start.
    section: Ints
    start: Ints
    end: Ints
    symbol: Ints
    """The symbol that names it; -1: anonymous."""
    kind: npt.NDArray[np.uint8]
    is_global: Bools
    """Whether a symbol that other units can see names the atom."""
    first: Ints
    last: Ints
    """Its references: indices into `rows`."""
    label: Ints
    """Number of its name, or PENDING."""
    content_id: Ints
    """Number of its content, where that is known already; -1 elsewhere."""
    # Names of atoms, in order of the symbols.
    aliases: Rows
    pending: bool
    """Whether rows have PENDING targets: numbers of contents that are still to be found."""


def read(obj: ElfObject, interner: Interner, renames: Mapping[bytes, bytes]) -> Columns:
    """Cuts an object. FormatError: its relocation tables are damaged."""
    native = _native(obj, interner, renames) if interner.calls is not None else None
    return native or _Reader(obj, interner, renames).columns()


def locate(section_of: Ints, keys: Ints, section: Ints, offset: Ints) -> Ints:
    """Index of the atom that holds each (section, offset); the nearest one of the section for offsets outside; -1 when
    the section has none. `keys`: section and start of the atoms in one number."""
    if not len(keys):
        return np.full(len(section), -1, np.int64)
    clipped = np.clip(offset, 0, (1 << OFFSET_BITS) - 1)
    index = np.searchsorted(keys, (section << OFFSET_BITS) + clipped, side="right") - 1
    index = np.maximum(index, 0)
    wrong = section_of[index] != section
    following = np.minimum(index + 1, len(section_of) - 1)
    index = np.where(wrong & (section_of[following] == section), following, index)
    return np.where(section_of[index] == section, index, -1)


# --- in C ---------------------------------------------------------------------------------------------------------


def _flags(types: frozenset[int]) -> npt.NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    table[list(types)] = 1
    return table


_RELATIVE = _flags(x86_64.PC_RELATIVE)
_DECODE = np.concatenate([x86_64._IMM8, x86_64._IMM32, x86_64._IMM8_0F, x86_64._NOT_0F, x86_64._BOTH]).astype(np.uint8)


def _printable(address: int, size: int) -> int:
    return int(is_open_text(ctypes.string_at(address, size)))


_PRINTABLE = library.Printable(_printable)


class _Handle:
    """An `Object` of C; freed with the last array that looks into it."""

    def __init__(self, calls: dict[str, Any]) -> None:
        self.calls = calls
        self.address = ctypes.c_void_p()

    def __del__(self) -> None:
        self.calls["free"](self.address)

    def column(self, number: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """A column, without a copy."""
        count = ctypes.c_uint64()
        address = self.calls["column"](self.address, number, ctypes.byref(count))
        if not count.value:
            return np.zeros(0, dtype)
        memory = (ctypes.c_uint8 * (count.value * dtype.itemsize)).from_address(address)
        memory.owner = self  # type: ignore[attr-defined]
        found: npt.NDArray[Any] = np.frombuffer(memoryview(memory), dtype)
        return found


def _native(obj: ElfObject, interner: Interner, renames: Mapping[bytes, bytes]) -> Columns | None:
    """None: Python must do it."""
    if not isinstance(obj.symbol_names, Names) or not isinstance(obj.section_names, Texts) or not len(obj.data):
        return None
    assert interner.calls is not None
    data = np.frombuffer(obj.data, np.uint8)
    base = data.ctypes.data
    sections, symbols = np.ascontiguousarray(obj.sections), np.ascontiguousarray(obj.symbols)
    where = np.ascontiguousarray(obj.symbol_sections, np.uint32)

    def table(names: Names) -> library.Text:
        return library.Text(base + names.start, names.end - names.start)

    given = library.Input(
        data=base,
        size=len(data),
        sections=sections.ctypes.data,
        section_count=len(sections),
        symbols=symbols.ctypes.data,
        symbol_count=len(symbols),
        where=where.ctypes.data,
        names=table(obj.symbol_names),
        section_names=table(obj.section_names.names),
        relative=_RELATIVE.ctypes.data,
        decode=_DECODE.ctypes.data,
        printable=_PRINTABLE,
    )
    renamed = _renamed(obj, renames) if renames else {}
    given.rename_count, given.renamed, given.new_names, kept = _table(dict(sorted(renamed.items())))
    respelled = obj.symbol_names.respelled
    given.respelled_count, given.respelled, given.spellings, kept_too = _table(respelled)
    handle = _Handle(interner.calls)
    result = handle.calls["atoms"](ctypes.byref(given), interner.handle, ctypes.byref(handle.address))
    if result == library.UNSURE:
        rel = handle.column(library.ALL_COLUMN, library.COLUMNS[2][1])
        bias = displacement_biases(obj, handle.column(0, np.dtype("u1")), rel)
        given.bias = bias.ctypes.data
        handle = _Handle(interner.calls)
        result = handle.calls["atoms"](ctypes.byref(given), interner.handle, ctypes.byref(handle.address))
    del kept, kept_too
    if result == library.NO_MEMORY:
        raise MemoryError
    if result != library.OK:
        return None
    columns = {name: handle.column(number, dtype) for number, (name, dtype) in enumerate(library.COLUMNS)}
    pending = handle.column(library.PENDING_COLUMN, np.dtype("<u8"))
    return Columns(**columns, pending=bool(pending[0]))


def _renamed(obj: ElfObject, renames: Mapping[bytes, bytes]) -> dict[int, bytes]:
    """New names of local symbols, by index."""
    local = np.flatnonzero((obj.symbols["info"] >> 4) == c.STB_LOCAL).tolist()
    return {i: renames[name] for i in local if (name := obj.symbol_names[i]) in renames}


def _table(names: Mapping[int, bytes]) -> tuple[int, int, int, object]:
    """For C: count, address of the indices, address of the texts; and what must live as long as they are used."""
    texts = [np.frombuffer(name or b"\0", np.uint8) for name in names.values()]
    indices = (ctypes.c_uint64 * len(names))(*names)
    places = zip(texts, names.values(), strict=True)
    strings = (library.Text * len(names))(*(library.Text(text.ctypes.data, len(name)) for text, name in places))
    return len(names), ctypes.addressof(indices), ctypes.addressof(strings), (texts, indices, strings)


# --- in Python ----------------------------------------------------------------------------------------------------


def displacement_biases(obj: ElfObject, kinds: npt.NDArray[np.uint8], rel: Rows) -> Ints:
    """`Columns.bias` of all relocations of an object."""
    bias = np.zeros(len(rel), np.int64)
    if not len(rel):
        return bias
    relative = np.isin(rel["type"], list(x86_64.PC_RELATIVE))
    rows = np.flatnonzero(relative & (kinds[rel["section"]] == Kind.TEXT))
    if len(rows):
        # One decode over the concatenation of the text sections that have references.
        sections = rel["section"][rows]
        used = np.unique(sections)
        gap = b"\0" * 8
        headers = obj.sections
        offsets, sizes = headers["offset"][used].tolist(), headers["size"][used]
        data = obj.data
        joined = b"".join([gap + data[o : o + n] for o, n in zip(offsets, sizes.tolist(), strict=True)])
        starts = np.cumsum(sizes.astype(np.int64) + 8) - sizes.astype(np.int64)
        offset_of = np.zeros(int(used.max()) + 1, np.int64)
        offset_of[used] = starts
        fields = offset_of[sections] + rel["offset"][rows].astype(np.int64)
        bias[rows] = x86_64.displacement_bias(np.frombuffer(joined, np.uint8), fields)
    return bias


class _Reader:
    """One object in work."""

    def __init__(self, obj: ElfObject, interner: Interner, renames: Mapping[bytes, bytes]) -> None:
        self.object = obj
        self.intern = interner
        self.renames = renames
        self.kinds = section_kinds(obj)
        symbols, where = obj.symbols, obj.symbol_sections
        placed = symbols[(where != 0) & (where < len(self.kinds))]
        if bool((placed["value"] >= 1 << OFFSET_BITS).any()) or bool((placed["size"] >= 1 << OFFSET_BITS).any()):
            raise FormatError(f"{obj.path}: a symbol lies outside of its section")
        if bool((obj.sections["size"][self.kinds != 0] >= 1 << OFFSET_BITS).any()):
            raise FormatError(f"{obj.path}: a section has an impossible size")
        self.symbol_is_local = ((symbols["info"] >> 4) == c.STB_LOCAL) & (where != 0) & (symbols["shndx"] != c.SHN_ABS)

    def columns(self) -> Columns:
        rel = self.object.relocations()
        keep = self.kinds[rel["section"]] != 0 if len(rel) else np.zeros(0, bool)
        relocations = rel[keep] if len(rel) else rel
        bias, table_entry, eh_target = self._cut(rel, keep)
        place, target, row_is_local, rows = self._place(relocations, bias, table_entry)
        keys = (relocations["section"].astype(np.int64) << OFFSET_BITS) + relocations["offset"].astype(np.int64)
        is_global, label, aliases = self._name_atoms()
        pending = self._name_rows(relocations, row_is_local, target, place, rows, label)
        return Columns(
            kinds=self.kinds,
            symbol_is_local=self.symbol_is_local,
            relocations=relocations,
            bias=bias,
            table_entry=table_entry,
            place=place,
            target=target,
            row_is_local=row_is_local,
            rows=rows,
            eh_relocations=rel[~keep] if len(rel) else rel,
            eh_target=eh_target,
            section=self.section,
            start=self.start,
            end=self.end,
            symbol=self.symbol,
            kind=self.kinds[self.section] if len(self.section) else np.zeros(0, np.uint8),
            is_global=is_global,
            first=np.searchsorted(keys, self.keys),
            last=np.searchsorted(keys, (self.section << OFFSET_BITS) + self.end),
            label=label,
            content_id=np.full(len(label), -1, np.int64),
            aliases=aliases,
            pending=pending,
        )

    def _locate(self, section: Ints, offset: Ints) -> Ints:
        return locate(self.section, self.keys, section, offset)

    def _cut(self, rel: Rows, keep: Bools) -> tuple[Ints, Bools, Ints]:
        """Makes section, start, end, symbol; (bias, table_entry) of what is kept, and the targets of the rest."""
        obj = self.object
        bias = displacement_biases(obj, self.kinds, rel)
        local = self.symbol_is_local[rel["symbol"]] if len(rel) else np.zeros(0, bool)
        target_section = obj.symbol_sections[rel["symbol"]].astype(np.int64)
        target_offset = obj.symbols["value"][rel["symbol"]].astype(np.int64) + rel["addend"] + bias
        # A pc-relative entry of a table in data is relative to its own place: its target is known only with the atom.
        table_entry = (
            np.isin(rel["type"], [c.R_X86_64_PC32, c.R_X86_64_PC64])
            & np.isin(self.kinds[rel["section"]], [Kind.CONST, Kind.DATA])
            if len(rel)
            else np.zeros(0, bool)
        )
        usable = local & ~table_entry
        cuts = np.unique((target_section[usable] << OFFSET_BITS) + np.maximum(target_offset[usable], 0))
        rows = cut_sections(obj, self.kinds, cuts)
        self.section = rows[:, 0].copy()
        self.start = rows[:, 1].copy()
        self.end = rows[:, 2].copy()
        self.symbol = rows[:, 3].copy()
        self.keys = (self.section << OFFSET_BITS) + self.start
        eh = ~keep
        eh_target = self._locate(target_section[eh], target_offset[eh]) if len(rel) else np.zeros(0, np.int64)
        return bias[keep], table_entry[keep], eh_target

    def _place(self, rel: Rows, bias: Ints, table_entry: Bools) -> tuple[Ints, Ints, Bools, Rows]:
        """place, target, row_is_local, rows."""
        obj = self.object
        offset = rel["offset"].astype(np.int64)
        place = self._locate(rel["section"].astype(np.int64), offset)
        symbol = rel["symbol"]
        row_is_local = self.symbol_is_local[symbol] if len(rel) else np.zeros(0, bool)
        raw = obj.symbols["value"][symbol].astype(np.int64) + rel["addend"]
        start = self.start[place] if len(rel) else np.zeros(0, np.int64)
        shift = np.where(table_entry, -(offset - start), bias)
        located = self._locate(obj.symbol_sections[symbol].astype(np.int64), raw + shift)
        target = np.where(row_is_local, located, -1)
        rows = np.zeros(len(rel), ROW_DTYPE)
        rows["offset"] = offset - start
        rows["type"] = rel["type"]
        base = np.where(target >= 0, self.start[target] if len(self.start) else 0, 0)
        rows["delta"] = np.where(row_is_local, raw - base, rel["addend"])
        return place, target, row_is_local, rows

    def _name_rows(self, rel: Rows, row_is_local: Bools, target: Ints, place: Ints, rows: Rows, label: Ints) -> bool:
        """Fills in the targets that have a name; whether others are left."""
        names = self.object.symbol_names
        ids = np.zeros(len(names), np.int64)
        used = rel["symbol"][~row_is_local] if len(rel) else ids
        for index in np.unique(used).tolist():
            ids[index] = self.intern(names[index])
        numbers = np.where(
            row_is_local,
            np.where(target >= 0, label[target] if len(label) else PENDING, PENDING),
            ids[rel["symbol"]] if len(rel) else 0,
        )
        rows["target"] = np.where(row_is_local & (target == place), SELF, numbers)
        return bool((rows["target"] == PENDING).any())

    def _name_atoms(self) -> tuple[Bools, Ints, Rows]:
        """is_global, label, aliases."""
        obj = self.object
        is_global = np.zeros(len(self.section), bool)
        label = np.full(len(self.section), PENDING, np.int64)
        symbols = obj.symbols
        kind = symbols["info"] & 15
        binding = symbols["info"] >> 4
        wanted = (
            np.isin(kind, [c.STT_FUNC, c.STT_OBJECT, c.STT_TLS, c.STT_GNU_IFUNC])
            | ((kind == c.STT_NOTYPE) & (binding != c.STB_LOCAL))
        ) & (obj.symbol_sections != 0)
        rows = np.flatnonzero(wanted & (obj.symbol_sections < len(self.kinds)))
        if not len(rows):
            return is_global, label, np.zeros(0, ALIAS_DTYPE)
        values = symbols["value"][rows].astype(np.int64)
        atoms = self._locate(obj.symbol_sections[rows].astype(np.int64), values)
        at_start = (atoms >= 0) & (self.start[atoms] == values)
        counts: dict[bytes, int] = {}
        is_local = (binding == c.STB_LOCAL).tolist()
        symbol_of = self.symbol.tolist()
        chosen: dict[int, bytes] = {}
        aliases: list[tuple[int, int, int, int]] = []
        for index, atom, exact in zip(rows.tolist(), atoms.tolist(), at_start.tolist(), strict=True):
            name = obj.symbol_names[index]
            if not exact or not name:
                continue
            flags = 0
            if is_local[index]:
                if is_clone(name) or is_label(name):
                    continue
                name = self.renames.get(name, name)
                seen = counts.get(name, 0)
                counts[name] = seen + 1
                if seen:
                    name = b"%s#%d" % (name, seen)
                flags = LOCAL_NAME | (OF_LAMBDA if b"Ul" in name or b"$_" in name else 0)
            else:
                is_global[atom] = True
            number = self.intern(name)
            aliases.append((number, atom, index, flags))
            old = chosen.get(atom)
            # Prefer a global name, then the alphabetically first (C1 before C2): both objects choose the same.
            if old is None or (not is_local[index], old) > (not is_local[symbol_of[atom]], name):
                chosen[atom] = name
                label[atom] = number
                symbol_of[atom] = index
        self.symbol = np.array(symbol_of, np.int64)
        return is_global, label, np.array(aliases, ALIAS_DTYPE)
