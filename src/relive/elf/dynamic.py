"""What a linked file leaves to the dynamic linker: needed libraries, GOT slots, PLT stubs that jump through them.

Theory of operation. GOT slots are named by the dynamic relocations (`.rela.dyn`, `.rela.plt`). PLT stubs have no
symbols of their own, and their layout depends on linker, lazy binding and CET; but each one jumps through its slot with
``ff 25 rel32`` (jmp *slot(%rip)), so the stub is found from the jump, and its start from the few prefixes that linkers
put before it. One scan over the PLT sections as an array. Knows nothing of the process: addresses are the file's.

Sources: psABI 5.2 (PLT, GOT), binutils bfd/elfxx-x86.c and elf64-x86-64.c, lld ELF/Arch/X86_64.cpp, mold
elf/arch-x86-64.cc, gold x86_64.cc.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from relive.elf import constants as c
from relive.elf.headers import ElfFile, string_at
from relive.elf.symbols import SymbolTable, read_symbols
from relive.errors import FormatError

RELA = np.dtype([("offset", "<u8"), ("info", "<u8"), ("addend", "<i8")])
"""Elf64_Rela (gABI chapter 4, "Relocation")."""

_DYN = struct.Struct("<qQ")
_ENDBR64 = b"\xf3\x0f\x1e\xfa"
_STUB_PREFIXES = (
    b"",  # GNU ld, gold, lld
    b"\xf2",  # bnd jmp: GNU ld before 2.40 with -z ibtplt
    _ENDBR64,
    _ENDBR64 + b"\xf2",
)
_MOLD_PREFIX = _ENDBR64 + b"\x41\xbb"
"""mold loads the slot's number into r11 between endbr64 and the jump."""


def dynamic_entries(elf: ElfFile) -> list[tuple[int, int]]:
    """(tag, value) of PT_DYNAMIC up to DT_NULL; empty for a static program."""
    for header in elf.program_headers:
        if header.type == c.PT_DYNAMIC:
            content = elf.data[header.offset : header.offset + header.filesz]
            entries = []
            for tag, value in _DYN.iter_unpack(content[: len(content) // _DYN.size * _DYN.size]):
                if tag == c.DT_NULL:
                    break
                entries.append((tag, value))
            return entries
    return []


def needed(elf: ElfFile) -> list[str]:
    """DT_NEEDED names in order."""
    entries = dynamic_entries(elf)
    named = dict(entries)
    wanted = [value for tag, value in entries if tag == c.DT_NEEDED]
    if not wanted:
        return []
    strings = memoryview(elf.read(named.get(c.DT_STRTAB, 0), named.get(c.DT_STRSZ, 0)))
    return [string_at(strings, offset).decode("utf-8", "surrogateescape") for offset in wanted]


def got_targets(elf: ElfFile, resolver_name: Callable[[int], bytes | None]) -> dict[int, bytes]:
    """Address of a GOT slot → name of the symbol that the dynamic linker puts there.

    `resolver_name(address)` names a function by its address: slots of IFUNCs that the file itself defines carry no
    symbol, only the address of the resolver (R_X86_64_IRELATIVE).
    """
    found: dict[int, bytes] = {}
    for section in elf.sections:
        if section.type != c.SHT_RELA or not section.flags & c.SHF_ALLOC:
            continue
        relocations = elf.table(section, RELA)
        types = relocations["info"] & np.uint64(0xFFFFFFFF)
        named = relocations[(types == c.R_X86_64_GLOB_DAT) | (types == c.R_X86_64_JUMP_SLOT)]
        if len(named):
            symbols = _linked_symbols(elf, section.link, section.name)
            rows = (named["info"] >> np.uint64(32)).tolist()
            if max(rows) >= len(symbols):
                raise FormatError(f"{elf.path}: a relocation in {section.name} names symbol {max(rows)}: no such row")
            found |= {slot: symbols.name(row) for slot, row in zip(named["offset"].tolist(), rows, strict=True) if row}
        resolved = relocations[types == c.R_X86_64_IRELATIVE]
        for slot, address in zip(resolved["offset"].tolist(), resolved["addend"].tolist(), strict=True):
            name = resolver_name(address)
            if name is not None:
                found[slot] = name
    return found


def copied_addresses(elf: ElfFile) -> frozenset[int]:
    """Addresses of variables of other modules that the dynamic linker copies here (R_X86_64_COPY): the file's symbol
    table shows them as if they were its own."""
    found: set[int] = set()
    for section in elf.sections:
        if section.type == c.SHT_RELA and section.flags & c.SHF_ALLOC:
            relocations = elf.table(section, RELA)
            types = relocations["info"] & np.uint64(0xFFFFFFFF)
            found.update(relocations[types == c.R_X86_64_COPY]["offset"].tolist())
    return frozenset(found)


def _linked_symbols(elf: ElfFile, link: int, name: str) -> SymbolTable:
    if not 0 < link < len(elf.sections) or elf.sections[link].type not in (c.SHT_DYNSYM, c.SHT_SYMTAB):
        raise FormatError(f"{elf.path}: {name} links to no symbol table")
    return read_symbols(elf, elf.sections[link])


def plt_targets(elf: ElfFile, got: dict[int, bytes]) -> dict[int, bytes]:
    """Address of a PLT stub (where calls go) → name of the symbol it jumps to."""
    found: dict[int, bytes] = {}
    for section in elf.sections:
        if not section.flags & c.SHF_EXECINSTR or not section.name.startswith((".plt", ".iplt")):
            continue
        code = bytes(elf.content(section))
        octets = np.frombuffer(code, dtype=np.uint8)
        for jump in np.flatnonzero((octets[:-1] == 0xFF) & (octets[1:] == 0x25)).tolist():
            if jump + 6 > len(code):
                continue
            slot = section.address + jump + 6 + int.from_bytes(code[jump + 2 : jump + 6], "little", signed=True)
            start = _stub_start(code, jump)
            if slot in got and start is not None:
                found[section.address + start] = got[slot]
    return found


def _stub_start(code: bytes, jump: int) -> int | None:
    """Stubs start at multiples of 8 (16 with CET, 8 in `.plt.got`), which tells a prefix from the stub before."""
    for prefix in _STUB_PREFIXES:
        start = jump - len(prefix)
        if start >= 0 and start % 8 == 0 and code[start:jump] == prefix:
            return start
    start = jump - len(_MOLD_PREFIX) - 4
    if start >= 0 and start % 8 == 0 and code.startswith(_MOLD_PREFIX, start):
        return start
    return None
