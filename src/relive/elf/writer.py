"""Writes an already relocated shared object (ET_DYN) whose addresses are absolute.

Theory of operation. The linker has decided every address and applied every relocation; what is left is a file that the
dynamic loader, unwinder, gdb, perf and core files take for an ordinary library. ld.so uses the first p_vaddr as the
hint of its mmap; when that range is free the library lands exactly there and l_addr is 0, so nothing is relocated.

```
file  ┌ Ehdr, program headers                 ┐ the head: fills the room that the linker left at the start of the
      │ .note.gnu.build-id, .dynamic          │ first segment (`plan_headers`), so that a small patch is one page of
      │ .dynsym, .gnu.hash, .dynstr           ┘ headers, code and constants together
      │ rest of the first segment, further segments (offset ≡ address mod page: a page shared by two is mapped twice)
      │ debug sections (not loaded)
      └ .symtab, .strtab, .shstrtab, section headers
```

`.dynsym` holds the global functions only: it is what dladdr and backtrace_symbols read, which is all that ever looks
(the patch is dlopened RTLD_LOCAL and bound already). `.symtab` holds everything for gdb and perf.

PT_DYNAMIC has the first segment's flags. glibc 2.35 and later leave a read-only `.dynamic` alone; older ones write into
it, but only when l_addr is not 0 (elf/get-dynamic-info.h), that is when the hint was not honoured. Where that matters
the first segment should be a writable one.

Source: gABI chapters 4 and 5.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relive.elf import constants as c
from relive.elf.gnuhash import gnu_hash_size, gnu_hash_table
from relive.elf.symbols import SYMBOL

PAGE = 4096

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC = struct.Struct("<14Q")
_EXTRA_HEADERS = 4  # PT_DYNAMIC, PT_NOTE, PT_GNU_EH_FRAME, PT_GNU_STACK
_BUILD_ID_LIMIT = 32


@dataclass(frozen=True, slots=True)
class Segment:
    """What the loader maps. `data` are the file's bytes, `memory_size` ≥ their number (the rest reads as zeros)."""

    address: int
    data: bytes
    memory_size: int
    flags: int
    """PF_R | PF_W | PF_X."""


@dataclass(frozen=True, slots=True)
class OutSection:
    """A row of the section header table. With an address it lies inside a segment, whose bytes count (`data` is not
    looked at); without one it is a debug section and `data` is appended to the file. `size` in bytes of memory.
    `link` is a row of the section header table: 1 + index among the caller's sections, 0 for none."""

    name: str
    type: int
    flags: int
    address: int
    data: bytes
    size: int
    link: int = 0
    info: int = 0
    align: int = 1
    entsize: int = 0


@dataclass(frozen=True, slots=True)
class OutSymbol:
    """A symbol at an absolute address. `section` is an index into the caller's sections, or SHN_ABS."""

    name: bytes
    address: int
    size: int
    info: int
    """Binding << 4 | type."""
    section: int


def is_dynamic(symbol: OutSymbol) -> bool:
    """Whether the symbol goes into `.dynsym` too: global functions."""
    return symbol.info & 15 == c.STT_FUNC and symbol.info >> 4 != c.STB_LOCAL and symbol.section != c.SHN_ABS


def plan_headers(segment_count: int, dynamic_symbols: int, name_bytes: int) -> int:
    """Bytes that the linker must leave zero at the start of the first segment.

    `dynamic_symbols`: how many symbols satisfy `is_dynamic`; `name_bytes`: the sum of len(name) + 1 over them and the
    soname. The result is a multiple of 16 and an upper bound.
    """
    size = _head_fixed(segment_count) + _note_size(_BUILD_ID_LIMIT) + _DYNAMIC.size
    size += c.SYM_SIZE * (1 + dynamic_symbols) + gnu_hash_size(dynamic_symbols) + 1 + name_bytes
    return _align(size + 8, 16)


def write_shared_object(
    *,
    soname: str,
    base: int,
    segments: Sequence[Segment],
    sections: Sequence[OutSection],
    symbols: Sequence[OutSymbol],
    eh_frame_hdr: tuple[int, int] | None,
    build_id: bytes,
) -> bytes:
    """The complete file.

    `base`: page-aligned address of `segments[0]`, whose first `plan_headers(...)` bytes are zero. `segments` ascend and
    share no page in memory. `eh_frame_hdr`: address and size of the unwinder's search table inside a segment.
    `build_id`: at most 32 bytes, different for each patch. A violated precondition is a bug: AssertionError.
    """
    assert segments[0].address == base, "the first segment is not at the base"
    assert base % PAGE == 0, "the base is not a page"
    assert len(build_id) <= _BUILD_ID_LIMIT, "build-id too long"
    offsets, loaded = _place(segments)
    out_sections = [*sections]
    if eh_frame_hdr is not None and not any(s.address == eh_frame_hdr[0] for s in sections):
        address, size = eh_frame_hdr
        out_sections.append(OutSection(".eh_frame_hdr", c.SHT_PROGBITS, c.SHF_ALLOC, address, b"", size, align=4))

    head, head_sections = _head(soname, base, len(segments), symbols, len(out_sections), build_id)
    room = segments[0].data[: len(head)]
    assert room == bytes(len(head)), "no room for the headers"
    parts = _Parts(loaded)
    for segment, offset in zip(segments, offsets, strict=True):
        parts.put(offset, segment.data)

    table, strings, first_global = _symbol_table(symbols)
    names = b"\0" + b"".join(s.name.encode() + b"\0" for s in [*out_sections, *head_sections])
    tail_names = b".symtab\0.strtab\0.shstrtab\0"
    first_own = 1 + len(out_sections) + len(head_sections)
    rows = [bytes(c.SHDR_SIZE)]
    name_at = 1
    for section in [*out_sections, *head_sections]:
        if section.address:
            offset = _file_offset(section.address, segments, offsets)
        elif section.type == c.SHT_NOBITS:
            offset = parts.size
        else:
            offset = parts.append(section.data, section.align)
        rows.append(_section_row(section, name_at, offset))
        name_at += len(section.name.encode()) + 1
    symtab = OutSection(
        ".symtab", c.SHT_SYMTAB, 0, 0, table, len(table), first_own + 1, first_global, align=8, entsize=c.SYM_SIZE
    )
    strtab = OutSection(".strtab", c.SHT_STRTAB, 0, 0, strings, len(strings))
    shstrtab = OutSection(".shstrtab", c.SHT_STRTAB, 0, 0, names + tail_names, len(names) + len(tail_names))
    for section in (symtab, strtab, shstrtab):
        rows.append(_section_row(section, name_at, parts.append(section.data, section.align)))
        name_at += len(section.name) + 1
    headers_at = parts.append(b"".join(rows), 8)

    parts.put(0, _file_header(symbols, len(segments) + 3 + (eh_frame_hdr is not None), headers_at, len(rows)))
    program_headers = [
        _PHDR.pack(c.PT_LOAD, s.flags, offset, s.address, s.address, len(s.data), s.memory_size, PAGE)
        for s, offset in zip(segments, offsets, strict=True)
    ]
    for kind, section in ((c.PT_DYNAMIC, head_sections[1]), (c.PT_NOTE, head_sections[0])):
        flags = segments[0].flags if kind == c.PT_DYNAMIC else c.PF_R
        program_headers.append(_program_header(kind, flags, section.address - base, section.address, section.size))
    if eh_frame_hdr is not None:
        address, size = eh_frame_hdr
        offset = _file_offset(address, segments, offsets)
        program_headers.append(_program_header(c.PT_GNU_EH_FRAME, c.PF_R, offset, address, size))
    program_headers.append(_PHDR.pack(c.PT_GNU_STACK, c.PF_R | c.PF_W, 0, 0, 0, 0, 0, 16))
    parts.put(c.EHDR_SIZE, b"".join(program_headers))
    start = _head_fixed(len(segments))
    parts.put(start, head[start:])
    return parts.done()


class _Parts:
    """The growing file."""

    def __init__(self, size: int) -> None:
        self._data = bytearray(size)

    @property
    def size(self) -> int:
        return len(self._data)

    def put(self, offset: int, data: bytes) -> None:
        self._data[offset : offset + len(data)] = data

    def append(self, data: bytes, align: int) -> int:
        offset = _align(len(self._data), max(align, 1))
        self._data += bytes(offset - len(self._data))
        self._data += data
        return offset

    def done(self) -> bytes:
        return bytes(self._data)


def _align(value: int, to: int) -> int:
    return (value + to - 1) // to * to


def _head_fixed(segment_count: int) -> int:
    return c.EHDR_SIZE + c.PHDR_SIZE * (segment_count + _EXTRA_HEADERS)


def _note_size(id_size: int) -> int:
    return 16 + _align(id_size, 4)


def _place(segments: Sequence[Segment]) -> tuple[list[int], int]:
    """File offset of each segment, and the end of the last."""
    offsets = []
    end = 0
    above = 0
    for segment in segments:
        assert segment.address >= above, "segments overlap or do not ascend by whole pages"
        assert len(segment.data) <= segment.memory_size, "a segment has more bytes than memory"
        above = _align(segment.address + segment.memory_size, PAGE)
        offset = end + (segment.address - end) % PAGE
        offsets.append(offset)
        end = offset + len(segment.data)
    return offsets, end


def _file_offset(address: int, segments: Sequence[Segment], offsets: list[int]) -> int:
    for segment, offset in zip(segments, offsets, strict=True):
        if segment.address <= address <= segment.address + segment.memory_size:
            return offset + min(address - segment.address, len(segment.data))
    raise AssertionError(f"a section at {address:#x} lies in no segment")


def _program_header(kind: int, flags: int, offset: int, address: int, size: int) -> bytes:
    return _PHDR.pack(kind, flags, offset, address, address, size, size, 8 if kind == c.PT_DYNAMIC else 4)


def _section_row(section: OutSection, name: int, offset: int) -> bytes:
    return _SHDR.pack(
        name, section.type, section.flags, section.address, offset,
        section.size, section.link, section.info, section.align, section.entsize,
    )  # fmt: skip


def _file_header(symbols: Sequence[OutSymbol], program_headers: int, sections_at: int, sections: int) -> bytes:
    assert sections < c.SHN_LORESERVE, "too many sections"
    gnu = any(s.info >> 4 == c.STB_GNU_UNIQUE or s.info & 15 == c.STT_GNU_IFUNC for s in symbols)
    ident = c.ELFMAG + bytes((c.ELFCLASS64, c.ELFDATA2LSB, c.EV_CURRENT, c.ELFOSABI_GNU if gnu else c.ELFOSABI_NONE))
    return _EHDR.pack(
        ident, c.ET_DYN, c.EM_X86_64, c.EV_CURRENT, 0, c.EHDR_SIZE, sections_at, 0,
        c.EHDR_SIZE, c.PHDR_SIZE, program_headers, c.SHDR_SIZE, sections, sections - 1,
    )  # fmt: skip


def _head(
    soname: str, base: int, segment_count: int, symbols: Sequence[OutSymbol], callers: int, build_id: bytes
) -> tuple[bytes, list[OutSection]]:
    """Everything before the code: bytes (headers still blank) and its sections, `.note` and `.dynamic` first."""
    dynamic_symbols = [s for s in symbols if is_dynamic(s)]
    order, hash_table = gnu_hash_table([s.name for s in dynamic_symbols])
    table, strings = _records([dynamic_symbols[k] for k in order])
    local = table["info"] >> 4 == c.STB_GNU_UNIQUE
    table["info"][local] = c.STB_GLOBAL << 4 | c.STT_FUNC  # ld.so keeps a process-wide table of UNIQUE ones
    soname_at = len(strings)
    strings += soname.encode() + b"\0"
    note = struct.pack("<III4s", 4, len(build_id), c.NT_GNU_BUILD_ID, b"GNU\0") + build_id
    note += bytes(-len(note) % 4)
    contents = [
        (".note.gnu.build-id", c.SHT_NOTE, note, 4, 0),
        (".dynamic", c.SHT_DYNAMIC, bytes(_DYNAMIC.size), 8, c.DYN_SIZE),
        (".dynsym", c.SHT_DYNSYM, table.tobytes(), 8, c.SYM_SIZE),
        (".gnu.hash", c.SHT_GNU_HASH, hash_table, 8, 0),
        (".dynstr", c.SHT_STRTAB, strings, 1, 0),
    ]
    parts = _Parts(_head_fixed(segment_count))
    dynsym_index, dynstr_index = 1 + callers + 2, 1 + callers + 4
    links = {".dynamic": dynstr_index, ".dynsym": dynstr_index, ".gnu.hash": dynsym_index}
    found = []
    at = {}
    for name, kind, content, align, entsize in contents:
        at[name] = base + parts.append(content, align)
        info = 1 if kind == c.SHT_DYNSYM else 0
        found.append(
            OutSection(name, kind, c.SHF_ALLOC, at[name], b"", len(content), links.get(name, 0), info, align, entsize)
        )
    dynamic = _DYNAMIC.pack(
        c.DT_SONAME, soname_at, c.DT_GNU_HASH, at[".gnu.hash"], c.DT_STRTAB, at[".dynstr"],
        c.DT_SYMTAB, at[".dynsym"], c.DT_STRSZ, len(strings), c.DT_SYMENT, c.SYM_SIZE, c.DT_NULL, 0,
    )  # fmt: skip
    parts.put(at[".dynamic"] - base, dynamic)
    return parts.done(), found


def _symbol_table(symbols: Sequence[OutSymbol]) -> tuple[bytes, bytes, int]:
    """`.symtab`, `.strtab` and the number of local rows (sh_info); locals come first (gABI)."""
    ordered = [s for s in symbols if s.info >> 4 == c.STB_LOCAL]
    first_global = 1 + len(ordered)
    ordered += [s for s in symbols if s.info >> 4 != c.STB_LOCAL]
    table, strings = _records(ordered)
    return table.tobytes(), strings, first_global


def _records(symbols: Sequence[OutSymbol]) -> tuple[npt.NDArray[np.void], bytes]:
    """Elf64_Sym rows, the null symbol first, and their string table."""
    count = len(symbols)
    table = np.zeros(1 + count, dtype=SYMBOL)
    names = [s.name for s in symbols]
    rows = table[1:]
    rows["name"] = 1 + np.cumsum([0, *(len(n) + 1 for n in names)])[:-1]
    rows["info"] = [s.info for s in symbols]
    sections = np.fromiter((s.section for s in symbols), dtype=np.int64, count=count)
    rows["shndx"] = np.where(sections < c.SHN_LORESERVE, sections + 1, sections)  # row 0 of the section table is null
    rows["value"] = np.fromiter((s.address for s in symbols), dtype=np.uint64, count=count)
    rows["size"] = np.fromiter((s.size for s in symbols), dtype=np.uint64, count=count)
    return table, b"\0" + b"".join(n + b"\0" for n in names)
