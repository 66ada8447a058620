"""The symbol table of a linked file as numpy columns, with the two indexes that lookups need: by name and by address.

Theory of operation. The columns are strided views of the file's own bytes; nothing is decoded until asked for. The
indexes (`SymbolIndex`) are pure functions of the table, so they can be kept on disk beside the build-id
(`host.images`) and handed back. Linkers differ in what they make of hidden globals: mold, lld and gold write them as
STB_LOCAL, so "global" is only a preference here, and never a condition for being found (`find_any`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from relive.elf import constants as c
from relive.elf.headers import ADDRESS_LIMIT, ElfFile, Section, string_at
from relive.elf.strings import U8, U32, U64, NameIndex
from relive.errors import FormatError

SYMBOL = np.dtype(
    [
        ("name", "<u4"),
        ("info", "u1"),
        ("other", "u1"),
        ("shndx", "<u2"),
        ("value", "<u8"),
        ("size", "<u8"),
    ]
)
"""Elf64_Sym (gABI chapter 4, "Symbol Table")."""

ENTITY_TYPES = (c.STT_OBJECT, c.STT_FUNC, c.STT_COMMON, c.STT_TLS, c.STT_GNU_IFUNC)
"""What source code can name. Not NOTYPE: `.L.str`, `GCC_except_table0` and the like have no identity (facts 1)."""


@dataclass(frozen=True, slots=True)
class SymbolIndex:
    """What is worth keeping of a table on disk. `functions`: rows of defined STT_FUNC symbols by ascending address."""

    names: NameIndex
    functions: U32


class SymbolTable:
    """Columns `value`, `size`, `info`, `other`, `shndx`, `name_offset`, one row per symbol (row 0 is the null symbol).

    `binding` and `type` are the two halves of `info`. `first_global`: rows before it are local (sh_info).
    """

    def __init__(self, table: npt.NDArray[Any], strings: memoryview, first_global: int) -> None:
        self.value: U64 = table["value"]
        self.size: U64 = table["size"]
        self.info: U8 = table["info"]
        self.other: U8 = table["other"]
        self.shndx: npt.NDArray[np.uint16] = table["shndx"]
        self.name_offset: U32 = table["name"]
        self.type: U8 = self.info & np.uint8(15)
        self.binding: U8 = self.info >> np.uint8(4)
        self.first_global = first_global
        self._strings = strings

    def __len__(self) -> int:
        return len(self.value)

    def raw_name(self, row: int) -> bytes:
        """The name as written, with its version if it has one (``stdout@GLIBC_2.2.5``)."""
        return string_at(self._strings, int(self.name_offset[row]))

    def name(self, row: int) -> bytes:
        """The name without a symbol version."""
        name = self.raw_name(row)
        at = name.find(b"@", 1)
        return name if at < 0 else name[:at]

    def find(self, index: SymbolIndex, name: bytes) -> list[int]:
        """Rows of defined symbols of exactly this name: non-local ones of any type, local ones of `ENTITY_TYPES`.

        When a library defines a name in several versions, only the default one is returned.
        """
        rows = [row for row in index.names.candidates(name) if row < len(self) and self.name(row) == name]
        if len(rows) > 1:
            # `name` and `name@@V` are what a plain reference means; `name@V` alone is a copied variable (GNU ld), but
            # beside the others it is an old version for programs linked long ago
            current = [row for row in rows if not _is_old_version(self.raw_name(row), name)]
            rows = current or rows
        return rows

    def build_index(self) -> SymbolIndex:
        """Both indexes; linear, about 0.3 µs a symbol."""
        defined = self.shndx != c.SHN_UNDEF
        entity = np.isin(np.arange(16, dtype=np.uint8), ENTITY_TYPES)[self.type]
        nameable = (self.binding != c.STB_LOCAL) & (self.type != c.STT_SECTION) & (self.type != c.STT_FILE)
        rows = np.flatnonzero(defined & (entity | nameable) & (self.name_offset != 0))
        strings = np.frombuffer(self._strings, dtype=np.uint8)
        names = NameIndex.build(strings, self.name_offset, rows)
        functions = np.flatnonzero(defined & (self.type == c.STT_FUNC))
        order = np.argsort(self.value[functions], kind="stable")
        return SymbolIndex(names, functions[order].astype(np.uint32))


def _is_old_version(raw: bytes, name: bytes) -> bool:
    return raw[len(name) : len(name) + 1] == b"@" and raw[len(name) : len(name) + 2] != b"@@"


def read_symbols(elf: ElfFile, section: Section) -> SymbolTable:
    """The table in a SHT_SYMTAB or SHT_DYNSYM section. FormatError when a name lies outside its string table."""
    table = elf.table(section, SYMBOL)
    strings = elf.strings_of(section)
    if len(table) and int(table["name"].max()) >= len(strings):
        raise FormatError(f"{elf.path}: a symbol's name lies outside the string table")
    return SymbolTable(table, strings, min(section.info, len(table)))


class FunctionMap:
    """Functions by address: exact starts, and which one covers an address."""

    def __init__(self, symbols: SymbolTable, index: SymbolIndex) -> None:
        self._symbols = symbols
        self._rows = index.functions
        self._starts: U64 = symbols.value[self._rows]
        sizes: U64 = symbols.size[self._rows]
        # a broken size must not wrap around; the running maximum says how far left a covering function may start
        self._ends: U64 = self._starts + np.minimum(sizes, np.uint64(ADDRESS_LIMIT))
        self._reach: U64 = np.maximum.accumulate(self._ends) if len(self._ends) else self._ends

    def at(self, address: int) -> list[int]:
        """All functions that start exactly here (aliases, identical code folding), ascending rows."""
        first, last = self._range(address)
        return sorted(self._rows[first:last].tolist())

    def _range(self, address: int) -> tuple[int, int]:
        if not 0 <= address < 1 << 64:
            return 0, 0
        wanted = np.uint64(address)
        return int(np.searchsorted(self._starts, wanted, "left")), int(np.searchsorted(self._starts, wanted, "right"))

    def covering(self, address: int) -> int | None:
        """The function that contains an address; of several the one that starts last, of aliases a global one."""
        _, at = self._range(address)
        while at > 0 and int(self._reach[at - 1]) > address:
            at -= 1
            if int(self._ends[at]) > address:
                start = int(self._starts[at])
                same = [row for row in self.at(start) if start + int(self._symbols.size[row]) > address]
                preferred = [row for row in same if self._symbols.binding[row] != c.STB_LOCAL]
                return (preferred or same)[0]
        return None
