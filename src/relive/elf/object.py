"""A relocatable object (`ET_REL`) as arrays over its own bytes: sections, symbols, relocations.

Nothing is copied and nothing is interpreted beyond the file format: which piece of code is a function, what a
reference means, and what belongs together is decided in `diff` and `link`. Tables are numpy structured views, because
a C++ unit with the usual headers has ten thousand symbols and fifty thousand relocations. Knows nothing of files.

Source: gABI chapter 4; psABI section 4.2 for x86-64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from relive.elf import constants as c
from relive.errors import FormatError

SECTION_DTYPE = np.dtype(
    [
        ("name", "<u4"),
        ("type", "<u4"),
        ("flags", "<u8"),
        ("addr", "<u8"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("link", "<u4"),
        ("info", "<u4"),
        ("addralign", "<u8"),
        ("entsize", "<u8"),
    ]
)
SYMBOL_DTYPE = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("shndx", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
RELA_DTYPE = np.dtype([("offset", "<u8"), ("type", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])
RELOCATION_DTYPE = np.dtype(
    [("section", "<u4"), ("symbol", "<u4"), ("type", "<u4"), ("offset", "<u8"), ("addend", "<i8")]
)


class Names(Sequence[bytes]):
    """Names by index, each cut out of the file when it is asked for: most of ten thousand never are."""

    def __init__(
        self,
        data: bytes,
        start: int,
        size: int,
        offsets: npt.NDArray[np.uint32],
        respelled: Mapping[int, bytes] | None = None,
    ) -> None:
        """`start`, `size`: the string table in the file; `offsets`: of each name in the table. `respelled`: names that
        are others than in the file, by index."""
        self.start, self.end = start, start + size
        self.respelled = respelled or {}
        self._data, self._offsets = data, offsets

    def with_names(self, names: Mapping[int, bytes]) -> Names:
        """The same but for some names."""
        return Names(self._data, self.start, self.end - self.start, self._offsets, {**self.respelled, **names})

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if self.respelled and (known := self.respelled.get(range(len(self))[index])) is not None:
            return known
        return self._at(int(self._offsets[index]))

    def __iter__(self) -> Iterator[bytes]:
        names = map(self._at, self._offsets.tolist())
        if not self.respelled:
            return names
        return (self.respelled.get(index, name) for index, name in enumerate(names))

    def _at(self, offset: int) -> bytes:
        first = self.start + offset
        end = self._data.find(b"\0", first, self.end)
        return self._data[first:end] if end >= 0 else b""


class Texts(Sequence[str]):
    """The same as text."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [name.decode("utf-8", "replace") for name in self.names[index]]
        return self.names[index].decode("utf-8", "replace")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("utf-8", "replace") for name in self.names)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ElfObject:
    """One relocatable object. Index 0 of `sections` and `symbols` is the null entry, as in the file."""

    path: str
    data: bytes
    sections: npt.NDArray[np.void]
    section_names: Sequence[str]
    symbols: npt.NDArray[np.void]
    symbol_sections: npt.NDArray[np.uint32]
    """Section index of each symbol, with SHN_XINDEX resolved; special indices (ABS, COMMON) as in the file."""
    symbol_names: Sequence[bytes]

    @classmethod
    def empty(cls, path: str) -> ElfObject:
        """An object without anything: what a new unit is compared with."""
        return cls(
            path, b"", np.zeros(1, SECTION_DTYPE), [""], np.zeros(1, SYMBOL_DTYPE), np.zeros(1, np.uint32), [b""]
        )

    @classmethod
    def parse(cls, data: bytes, path: str) -> ElfObject:
        """Reads the tables; raises FormatError for what is no complete x86-64 relocatable object."""
        if len(data) < c.EHDR_SIZE or data[:4] != c.ELFMAG:
            raise FormatError(
                f"{path}: not an ELF file", "is it an object file of another compiler mode (LTO, bitcode)?"
            )
        if data[4] != c.ELFCLASS64 or data[5] != c.ELFDATA2LSB:
            raise FormatError(f"{path}: not a 64-bit little-endian ELF file", "relive supports x86-64 only today")
        kind, machine = np.frombuffer(data, "<u2", 2, 16).tolist()
        if kind != c.ET_REL or machine != c.EM_X86_64:
            raise FormatError(f"{path}: not an x86-64 relocatable object (type {kind}, machine {machine})")
        (table,) = np.frombuffer(data, "<u8", 1, 40).tolist()
        entry_size, count, names_index = np.frombuffer(data, "<u2", 3, 58).tolist()
        sections = _sections(data, path, table, entry_size, count)
        if names_index == c.SHN_XINDEX:
            names_index = int(sections["link"][0])
        if names_index >= len(sections):
            raise FormatError(f"{path}: truncated: section names are missing")
        ends = sections["offset"] + np.where(sections["type"] == c.SHT_NOBITS, 0, sections["size"])
        if int(ends.max()) > len(data) or bool((ends < sections["offset"]).any()):
            raise FormatError(f"{path}: truncated: a section ends beyond the file", "compile it again")
        section_names = Texts(_names(data, sections[names_index], sections["name"]))
        symbols, symbol_sections, symbol_names = _symbols(data, path, sections)
        return cls(path, data, sections, section_names, symbols, symbol_sections, symbol_names)

    def content(self, section: int) -> bytes:
        """The bytes of a section; empty for SHT_NOBITS."""
        return _slice(self.data, self.sections[section])

    def relocations_of(self, section: int) -> npt.NDArray[np.void]:
        """The RELA entries that apply to a section (a view in file order, dtype RELA_DTYPE)."""
        index = self._relocation_sections.get(section)
        if index is None:
            return np.empty(0, RELA_DTYPE)
        return np.frombuffer(_slice(self.data, self.sections[index]), RELA_DTYPE)

    @property
    def _relocation_sections(self) -> dict[int, int]:
        kinds = self.sections["type"]
        rows = np.flatnonzero(kinds == c.SHT_RELA)
        return dict(zip(self.sections["info"][rows].tolist(), rows.tolist(), strict=True))

    def relocations(self) -> npt.NDArray[np.void]:
        """All relocations of allocated sections, sorted by section and offset (dtype RELOCATION_DTYPE)."""
        allocated = ((self.sections["flags"] & c.SHF_ALLOC) != 0).tolist()
        where = self._relocation_sections
        targets = [target for target in sorted(where) if target < len(allocated) and allocated[target]]
        if not targets:
            return np.empty(0, RELOCATION_DTYPE)
        indices = [where[target] for target in targets]
        offsets = self.sections["offset"][indices].tolist()
        sizes = self.sections["size"][indices]
        if bool((sizes % c.RELA_SIZE != 0).any()):
            raise FormatError(f"{self.path}: truncated relocation table")
        raw = b"".join([self.data[o : o + n] for o, n in zip(offsets, sizes.tolist(), strict=True)])
        rows = np.frombuffer(raw, RELA_DTYPE)
        result = np.empty(len(rows), RELOCATION_DTYPE)
        result["section"] = np.repeat(np.array(targets, np.uint32), (sizes // c.RELA_SIZE).astype(np.int64))
        for field in ("symbol", "type", "offset", "addend"):
            result[field] = rows[field]
        key = (result["section"].astype(np.uint64) << np.uint64(40)) + result["offset"]
        if len(key) > 1 and bool((key[1:] < key[:-1]).any()):
            result = result[np.argsort(key, kind="stable")]
        if not len(result):
            return result
        if int(result["symbol"].max()) >= len(self.symbols):
            raise FormatError(f"{self.path}: a relocation names a symbol that does not exist")
        if bool((result["offset"] > self.sections["size"][result["section"]]).any()):
            raise FormatError(f"{self.path}: a relocation lies outside its section")
        return result

    def has_section(self, prefix: str) -> bool:
        """Whether the name of a section begins so."""
        names = self.section_names
        if isinstance(names, Texts) and self.data.find(prefix.encode(), names.names.start, names.names.end) < 0:
            return False
        return any(name.startswith(prefix) for name in names)

    def section_index(self, name: str) -> int | None:
        """Index of the first section of that name."""
        try:
            return self.section_names.index(name)
        except ValueError:
            return None


def _sections(data: bytes, path: str, table: int, entry_size: int, count: int) -> npt.NDArray[np.void]:
    if entry_size != c.SHDR_SIZE or table == 0 or table + c.SHDR_SIZE > len(data):
        raise FormatError(f"{path}: truncated: no section headers", "compile it again")
    if count == 0:  # 65280 sections or more: the number is in the null section (gABI, e_shnum)
        count = int(np.frombuffer(data, SECTION_DTYPE, 1, table)["size"][0])
    if count == 0 or table + count * c.SHDR_SIZE > len(data):
        raise FormatError(f"{path}: truncated: section headers end beyond the file", "compile it again")
    return np.frombuffer(data, SECTION_DTYPE, count, table)


def _symbols(
    data: bytes, path: str, sections: npt.NDArray[np.void]
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint32], Sequence[bytes]]:
    rows = np.flatnonzero(sections["type"] == c.SHT_SYMTAB)
    if not len(rows):
        return np.zeros(1, SYMBOL_DTYPE), np.zeros(1, np.uint32), [b""]
    index = int(rows[0])
    raw = _slice(data, sections[index])
    if not raw or len(raw) % c.SYM_SIZE or int(sections["link"][index]) >= len(sections):
        raise FormatError(f"{path}: truncated symbol table")
    symbols = np.frombuffer(raw, SYMBOL_DTYPE)
    where = symbols["shndx"].astype(np.uint32)
    extended = np.flatnonzero(sections["type"] == c.SHT_SYMTAB_SHNDX)
    if len(extended):
        wide = np.frombuffer(_slice(data, sections[int(extended[0])]), "<u4")
        if len(wide) != len(symbols):
            raise FormatError(f"{path}: truncated extended section index table")
        where = np.where(where == c.SHN_XINDEX, wide, where).astype(np.uint32)
    plain = (symbols["shndx"] < c.SHN_LORESERVE) | (symbols["shndx"] == c.SHN_XINDEX)
    if bool((where[plain] >= len(sections)).any()):
        raise FormatError(f"{path}: a symbol lies in a section that does not exist")
    return symbols, where, _names(data, sections[int(sections["link"][index])], symbols["name"])


def _slice(data: bytes, header: np.void) -> bytes:
    if header["type"] == c.SHT_NOBITS:
        return b""
    start = int(header["offset"])
    return data[start : start + int(header["size"])]


def _names(data: bytes, header: np.void, offsets: npt.NDArray[np.uint32]) -> Names:
    stored = header["type"] != c.SHT_NOBITS
    return Names(data, int(header["offset"]) if stored else 0, int(header["size"]) if stored else 0, offsets)
