"""A linked executable or shared library on disk, as the linker and the comparison ask about it.

Theory of operation. An `Image` answers three kinds of question: *who is called so* (`find_global`, `find_any`, and the
STT_FILE groups that tell two static functions of one name apart), *who lives there* (`functions_at`,
`symbol_covering`, `section_of`, `plt_targets`, `got_targets`), and *what did the linker write there* (`read`). All
addresses are the file's virtual addresses; the process adds its load base. The image knows nothing of the process: what
it reads is from before dynamic relocation.

STT_FILE groups. Linkers write local symbols file by file behind a symbol that names the source file. Two files of the
same base name give two groups of the same name; who must tell them apart looks inside. GNU ld's last group has an empty
name and holds its own symbols (`_DYNAMIC`). gold and lld put hidden globals, made local, in or after the groups; mold
too (see `find_any`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from relive.elf import constants as c
from relive.elf import dynamic
from relive.elf.headers import Buffer, ElfFile, ProgramHeader, Section, StrippedError, build_id, parse_elf
from relive.elf.symbols import ENTITY_TYPES, FunctionMap, SymbolIndex, SymbolTable, read_symbols
from relive.errors import FormatError

__all__ = ["FileGroup", "Image", "ProgramHeader", "Section", "StrippedError", "SymbolIndex", "SymbolTable"]

_PAGE = 4096


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Local symbols of one source file: rows `first` to `last` (half-open) of the symbol table."""

    name: bytes
    first: int
    last: int


class Image:
    """One linked ELF file. Cheap to make; the indexes come with the first question, or from a cache (`index`)."""

    def __init__(self, elf: ElfFile, symbols: SymbolTable, stripped: bool) -> None:
        self.elf = elf
        self.path = elf.path
        self.symbols = symbols
        self.stripped = stripped
        """True when `symbols` is only `.dynsym` (see `parse`)."""
        self.is_pie_or_so = elf.type == c.ET_DYN
        self.build_id = build_id(elf)
        self.segments = elf.segments
        self.sections = elf.sections

    @classmethod
    def parse(cls, data: Buffer, path: str, *, allow_stripped: bool = False) -> Image:
        """Reads the headers of a linked file.

        `data` must stay alive and unchanged as long as the image. `allow_stripped`: make do with `.dynsym` (system
        libraries). FormatError: truncated, not a linked x86-64 ELF file; StrippedError (code ``stripped``): no symbols.
        """
        elf = parse_elf(data, path)
        if elf.type not in (c.ET_EXEC, c.ET_DYN) or not elf.segments:
            raise FormatError(f"{path}: not an executable or shared library")
        by_type = {s.type: s for s in elf.sections if s.type in (c.SHT_SYMTAB, c.SHT_DYNSYM) and s.size}
        table = by_type.get(c.SHT_SYMTAB)
        if table is None and allow_stripped:
            table = by_type.get(c.SHT_DYNSYM)
        if table is None:
            raise StrippedError(
                f"{path}: has no symbol table: it was stripped", "link without -s, and run the program before `strip`"
            )
        return cls(elf, read_symbols(elf, table), table.type != c.SHT_SYMTAB)

    # --- where the image lies --------------------------------------------------------------------------------------

    @property
    def load_range(self) -> tuple[int, int]:
        """Lowest and highest address that the loader maps, whole pages."""
        low = min(s.vaddr for s in self.segments) // _PAGE * _PAGE
        high = max(s.vaddr + s.memsz for s in self.segments)
        return low, (high + _PAGE - 1) // _PAGE * _PAGE

    @cached_property
    def tls(self) -> tuple[int, int, int] | None:
        """(address, size in memory, alignment) of the thread-local template, or None."""
        for header in self.elf.program_headers:
            if header.type == c.PT_TLS:
                return header.vaddr, header.memsz, header.align
        return None

    def read(self, vaddr: int, size: int) -> bytes:
        """Content at a virtual address before dynamic relocation; `.bss` reads as zeros. FormatError when outside."""
        return self.elf.read(vaddr, size)

    def section_of(self, vaddr: int) -> Section | None:
        """The section that occupies a virtual address."""
        return self.elf.section_of(vaddr)

    # --- by name -----------------------------------------------------------------------------------------------------

    @cached_property
    def index(self) -> SymbolIndex:
        """The name and address indexes; built on first use unless a cache has set them before."""
        return self.symbols.build_index()

    def find_global(self, name: bytes) -> list[int]:
        """Rows of defined GLOBAL, WEAK or UNIQUE symbols called `name` (versions aside), of any type."""
        return [row for row in self.symbols.find(self.index, name) if self.symbols.binding[row] != c.STB_LOCAL]

    def find_any(self, name: bytes) -> list[int]:
        """Rows of defined functions and variables called `name`, of any binding.

        Locals are included, because mold, lld and gold write hidden globals as STB_LOCAL; the caller decides which of
        several is meant. NOTYPE symbols are never returned.
        """
        return [row for row in self.symbols.find(self.index, name) if self.symbols.type[row] in ENTITY_TYPES]

    # --- by source file ----------------------------------------------------------------------------------------------

    @cached_property
    def _groups(self) -> tuple[list[FileGroup], dict[bytes, list[FileGroup]]]:
        symbols = self.symbols
        starts = np.flatnonzero(symbols.type[: symbols.first_global] == c.STT_FILE).tolist()
        ends = [*starts[1:], symbols.first_global]
        groups = [FileGroup(symbols.name(a), a + 1, b) for a, b in zip(starts, ends, strict=True)] if starts else []
        by_name: dict[bytes, list[FileGroup]] = {}
        for group in groups:
            by_name.setdefault(group.name, []).append(group)
        return groups, by_name

    def file_groups(self) -> list[FileGroup]:
        """All STT_FILE groups in table order; empty when the linker left none (LTO, `strip`)."""
        return self._groups[0]

    def groups_named(self, name: bytes) -> list[FileGroup]:
        """The groups of a source file, by the name in the symbol table (base name for gcc and clang)."""
        return self._groups[1].get(name, [])

    # --- by address --------------------------------------------------------------------------------------------------

    @cached_property
    def _functions(self) -> FunctionMap:
        return FunctionMap(self.symbols, self.index)

    def functions_at(self, vaddr: int) -> list[int]:
        """Rows of all STT_FUNC symbols that start exactly at `vaddr`."""
        return self._functions.at(vaddr)

    def symbol_covering(self, vaddr: int) -> int | None:
        """Row of the STT_FUNC symbol whose [value, value + size) contains `vaddr`."""
        return self._functions.covering(vaddr)

    # --- what the dynamic linker completes ---------------------------------------------------------------------------

    def needed(self) -> list[str]:
        """DT_NEEDED: the libraries it was linked with, in order."""
        return dynamic.needed(self.elf)

    @cached_property
    def _got(self) -> dict[int, bytes]:
        return dynamic.got_targets(self.elf, self._resolver_name)

    def _resolver_name(self, address: int) -> bytes | None:
        rows = np.flatnonzero(
            (self.symbols.value == np.uint64(address & 0xFFFFFFFFFFFFFFFF))
            & (self.symbols.type == c.STT_GNU_IFUNC)
            & (self.symbols.shndx != c.SHN_UNDEF)
        )
        return self.symbols.name(int(rows[0])) if len(rows) else None

    def got_targets(self) -> dict[int, bytes]:
        """Address of a GOT slot → name of the symbol the dynamic linker puts there (GLOB_DAT, JUMP_SLOT, IRELATIVE)."""
        return self._got

    @cached_property
    def copied(self) -> frozenset[int]:
        """Addresses of variables that belong to a library and live here as copies (R_X86_64_COPY)."""
        return dynamic.copied_addresses(self.elf)

    @cached_property
    def _plt(self) -> dict[int, bytes]:
        return dynamic.plt_targets(self.elf, self._got)

    def plt_targets(self) -> dict[int, bytes]:
        """Address of a PLT stub → name of the symbol it calls."""
        return self._plt
