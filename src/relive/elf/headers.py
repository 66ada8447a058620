"""The frame of a linked ELF file: file header, section headers, program headers, and bytes by section or by address.

Theory of operation. `parse_elf` checks once that everything the headers point at lies inside the file; after that the
readers in this room (`image`, `dynamic`) slice without fear. What a table *contains* is checked where it is read. All
views share the caller's buffer; nothing is copied but names. Knows nothing of symbols.

Format: gABI chapters 4 ("ELF Header", "Sections") and 5 ("Program Header"). Only ELF64, little-endian, x86-64.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from relive.elf import constants as c
from relive.errors import FormatError

Buffer = bytes | bytearray | memoryview | mmap.mmap

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_PHDR = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III")

ADDRESS_LIMIT = 1 << 47
"""User space of x86-64 with four-level page tables; a segment beyond it is a broken header."""
_READ_LIMIT = 1 << 30
"""Nobody wants a gigabyte of one variable; a broken symbol size must not become a MemoryError."""


class StrippedError(FormatError):
    """The file has no symbol table (`.symtab`), so nothing in it can be matched by name."""

    code = "stripped"


@dataclass(frozen=True, slots=True)
class Section:
    """One section header; `address` and `size` in bytes, `offset` into the file."""

    index: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entsize: int


@dataclass(frozen=True, slots=True)
class ProgramHeader:
    """One program header; sizes in bytes, `offset` into the file."""

    type: int
    flags: int
    offset: int
    vaddr: int
    filesz: int
    memsz: int
    align: int


class ElfFile:
    """A checked ELF64 x86-64 file; made by `parse_elf`."""

    def __init__(
        self, data: memoryview, path: str, type_: int, sections: tuple[Section, ...], headers: tuple[ProgramHeader, ...]
    ) -> None:
        self.data = data
        self.path = path
        self.type = type_
        self.sections = sections
        self.program_headers = headers
        self.segments = tuple(h for h in headers if h.type == c.PT_LOAD)

    def content(self, section: Section) -> memoryview:
        """The bytes of a section in the file (none for SHT_NOBITS)."""
        if section.type == c.SHT_NOBITS:
            return self.data[:0]
        return self.data[section.offset : section.offset + section.size]

    def table(self, section: Section, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """A section as an array of records. FormatError when it is not a whole number of them."""
        content = self.content(section)
        if len(content) % dtype.itemsize:
            raise FormatError(f"{self.path}: section {section.name} is not a whole number of records")
        return np.frombuffer(content, dtype=dtype)

    def section_named(self, name: str) -> Section | None:
        return next((s for s in self.sections if s.name == name), None)

    def strings_of(self, section: Section) -> memoryview:
        """The string table that `section` links to; ends with NUL."""
        if not 0 < section.link < len(self.sections):
            raise FormatError(f"{self.path}: section {section.name} links to no string table")
        strings = self.content(self.sections[section.link])
        if not strings or strings[-1] != 0:
            raise FormatError(f"{self.path}: string table of {section.name} does not end with NUL")
        return strings

    @cached_property
    def _by_address(self) -> tuple[list[int], list[Section]]:
        # .tbss has an address but takes no room there: the next section starts at the same place
        occupied = [
            s
            for s in self.sections
            if s.flags & c.SHF_ALLOC and s.size and not (s.flags & c.SHF_TLS and s.type == c.SHT_NOBITS)
        ]
        occupied.sort(key=lambda s: s.address)
        return [s.address for s in occupied], occupied

    def section_of(self, vaddr: int) -> Section | None:
        """The section that occupies a virtual address, or None."""
        starts, occupied = self._by_address
        at = bisect_right(starts, vaddr) - 1
        if at >= 0 and vaddr < occupied[at].address + occupied[at].size:
            return occupied[at]
        return None

    def read(self, vaddr: int, size: int) -> bytes:
        """Bytes at a virtual address as the file has them, zeros in `.bss`. FormatError when not inside one segment."""
        if 0 <= size <= _READ_LIMIT:
            for segment in self.segments:
                start = vaddr - segment.vaddr
                if start >= 0 and start + size <= segment.memsz:
                    stop = min(start + size, segment.filesz)
                    found = bytes(self.data[segment.offset + start : segment.offset + stop]) if start < stop else b""
                    return found.ljust(size, b"\0")
        raise FormatError(f"{self.path}: no {size} bytes at address {vaddr:#x} in the file")


def string_at(strings: memoryview, offset: int) -> bytes:
    """The NUL-terminated string at an offset of a string table. FormatError when the offset is outside."""
    if not 0 <= offset < len(strings):
        raise FormatError(f"string offset {offset} is outside its table of {len(strings)} bytes")
    step = 128
    while True:
        chunk = bytes(strings[offset : offset + step])
        end = chunk.find(b"\0")
        if end >= 0 or len(chunk) < step:
            return chunk if end < 0 else chunk[:end]
        step *= 8


def parse_elf(buffer: Buffer, path: str) -> ElfFile:
    """Reads and checks all headers. FormatError: truncated, not ELF64 for x86-64, or a header that points outside."""
    data = memoryview(buffer).cast("B")
    if len(data) < c.EHDR_SIZE:
        raise FormatError(f"{path}: too short for an ELF file ({len(data)} bytes)", "is it still being written?")
    ident, type_, machine, _, _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx = _EHDR.unpack_from(
        data
    )
    if ident[:4] != c.ELFMAG:
        raise FormatError(f"{path}: not an ELF file")
    if ident[4] != c.ELFCLASS64 or ident[5] != c.ELFDATA2LSB or machine != c.EM_X86_64:
        raise FormatError(f"{path}: not a 64-bit x86-64 ELF file", "relive works on x86-64 programs")
    first = None
    if shoff:
        if shentsize != c.SHDR_SIZE or shoff + c.SHDR_SIZE > len(data):
            raise FormatError(f"{path}: truncated: section headers lie outside the file")
        first = _SHDR.unpack_from(data, shoff)
        # gABI: counts that do not fit the 16-bit fields live in section header 0
        shnum = shnum or first[5]
        shstrndx = first[6] if shstrndx == c.SHN_XINDEX else shstrndx
        phnum = first[7] if phnum == c.PN_XNUM else phnum
    else:
        shnum = 0
    if shoff + shnum * c.SHDR_SIZE > len(data):
        raise FormatError(f"{path}: truncated: section headers lie outside the file", "is it still being written?")
    if phnum and (phentsize != c.PHDR_SIZE or phoff + phnum * c.PHDR_SIZE > len(data)):
        raise FormatError(f"{path}: truncated: program headers lie outside the file")
    return ElfFile(
        data, path, type_, _sections(data, path, shoff, shnum, shstrndx), _program_headers(data, path, phoff, phnum)
    )


def _sections(data: memoryview, path: str, shoff: int, shnum: int, shstrndx: int) -> tuple[Section, ...]:
    raw = list(_SHDR.iter_unpack(data[shoff : shoff + shnum * c.SHDR_SIZE]))
    for _, type_, _, _, offset, size, *_ in raw[1:]:
        if type_ not in (c.SHT_NOBITS, c.SHT_NULL) and offset + size > len(data):
            raise FormatError(f"{path}: truncated: a section lies outside the file", "is it still being written?")
    names = data[:0]
    if 0 < shstrndx < shnum and raw[shstrndx][1] == c.SHT_STRTAB:
        names = data[raw[shstrndx][4] : raw[shstrndx][4] + raw[shstrndx][5]]
    return tuple(
        Section(index, string_at(names, name).decode("latin-1") if names and index else "", *rest)
        for index, (name, *rest) in enumerate(raw)
    )


def _program_headers(data: memoryview, path: str, phoff: int, phnum: int) -> tuple[ProgramHeader, ...]:
    found = []
    for type_, flags, offset, vaddr, _, filesz, memsz, align in _PHDR.iter_unpack(
        data[phoff : phoff + phnum * c.PHDR_SIZE]
    ):
        # PT_TLS and PT_GNU_STACK may have memory without file bytes; nothing may have file bytes outside the file
        if offset + filesz > len(data) and filesz:
            raise FormatError(f"{path}: truncated: a segment lies outside the file", "is it still being written?")
        if type_ == c.PT_LOAD and (filesz > memsz or vaddr + memsz > ADDRESS_LIMIT):
            raise FormatError(f"{path}: a segment's size or address is impossible")
        found.append(ProgramHeader(type_, flags, offset, vaddr, filesz, memsz, align))
    return tuple(found)


def build_id(elf: ElfFile) -> bytes:
    """Content of the NT_GNU_BUILD_ID note (usually 20 bytes), or nothing."""
    for header in elf.program_headers:
        if header.type == c.PT_NOTE:
            found = _build_id_in(elf.data[header.offset : header.offset + header.filesz], max(header.align, 4))
            if found:
                return found
    return b""


def _build_id_in(notes: memoryview, align: int) -> bytes:
    align = 8 if align == 8 else 4
    at = 0
    while at + _NOTE.size <= len(notes):
        name_size, size, type_ = _NOTE.unpack_from(notes, at)
        name = at + _NOTE.size
        content = (name + name_size + align - 1) // align * align
        if type_ == c.NT_GNU_BUILD_ID and bytes(notes[name : name + 4]) == b"GNU\0" and content + size <= len(notes):
            return bytes(notes[content : content + size])
        at = (content + size + align - 1) // align * align
    return b""
