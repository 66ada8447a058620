"""What is added to a linked file, and how the new file is made of the old one: the words of `elf.inject`.

The new file's frame (`skeleton`) is known before the addition is, so that most of the file can be copied early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relive.elf import constants as c
from relive.elf.headers import ElfFile
from relive.elf.inject_dynamic import NewImport

PAGE = 4096
BIG = 1 << 16
"""Sections of this size keep their place within a page."""
NEW_SECTIONS = (".relive.data", ".relive.bss", ".relive.text", ".relive.rodata", ".relive.eh_frame")


@dataclass(frozen=True, slots=True)
class NewSymbol:
    """A row for `.symtab`."""

    name: bytes
    address: int
    size: int
    info: int
    other: int = 0


@dataclass(frozen=True, slots=True)
class Addition:
    """What is added to a file, complete and relocated but for what the dynamic linker does."""

    data_base: int
    """Page-aligned address of the writable segment."""
    data: bytes
    data_memory: int
    """Its size in memory; what the file does not have are zeros."""
    code_base: int
    """Page-aligned address of the other segment, above the first."""
    code: bytes
    parts: tuple[tuple[str, int, int], ...]
    """(name in `NEW_SECTIONS`, address, size) of the pieces of `code`, in order and without gaps."""
    stores: tuple[tuple[int, bytes], ...] = ()
    """(address, bytes) written over what the file has."""
    relocations: tuple[tuple[int, int, int, int], ...] = ()
    """(address, type, row of .dynsym, addend) for the dynamic linker."""
    cleared: tuple[tuple[int, int], ...] = ()
    """(address, size) of memory whose old dynamic relocations do not count any more."""
    imports: tuple[NewImport, ...] = ()
    """Names for new rows of `.dynsym`, behind those that it has."""
    repointed: tuple[tuple[int, int], ...] = ()
    """(old, new): pointers that the loader sets to an old address get the new one."""
    unwind: tuple[tuple[int, int], ...] = ()
    """(first instruction, FDE) addresses."""
    symbols: tuple[NewSymbol, ...] = ()
    renewed: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Row of `.symtab` → (address, size) of its new code."""
    debug: Mapping[str, bytes] = field(default_factory=dict)
    """What is appended to sections without address."""
    debug_stores: tuple[tuple[str, int, bytes], ...] = ()
    """(section, offset, bytes) written over debug sections."""
    identity: bytes = b""
    """Different for each content; goes into the build-id."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """How the new file is made of the old one."""

    size: int
    copies: tuple[tuple[int, int, int], ...]
    """(to, from, size), beside those of the skeleton."""
    writes: tuple[tuple[int, bytes], ...]
    """(at, bytes), done behind the copies in this order."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What of the new file is known before there is an addition: where the old one's contents go, so that they can be
    copied while the compiler runs."""

    copies: tuple[tuple[int, int, int], ...]
    """(to, from, size)"""
    places: Mapping[int, tuple[int, int]]
    """Section index → (offset, bytes until the next one)."""
    end: int


def skeleton(elf: ElfFile, room: Mapping[str, int]) -> Skeleton:
    """`room`: how much each section without address is expected to grow; a section that grows more is moved."""
    loaded = max(s.offset + s.filesz for s in elf.segments)
    copies = [(0, 0, loaded)]
    places: dict[int, tuple[int, int]] = {}
    end = loaded
    for section in sorted(elf.sections, key=lambda s: s.offset):
        if section.flags & c.SHF_ALLOC or section.type in (c.SHT_NULL, c.SHT_NOBITS):
            continue
        # Whole blocks at the same place in their page can be shared between the files, where the file system can.
        align = max(1, section.align)
        offset = end + (section.offset - end) % PAGE if section.size > BIG else align_up(end, align)
        capacity = section.size + room.get(section.name, 0)
        copies.append((offset, section.offset, section.size))
        places[section.index] = (offset, capacity)
        end = offset + capacity
    return Skeleton(tuple(copies), places, end)


def free_address(elf: ElfFile) -> int:
    """The first page behind everything that the file maps."""
    return align_up(max(s.vaddr + s.memsz for s in elf.segments), PAGE)


def apply(old: bytes | memoryview, frame: Skeleton, change: Rewrite) -> bytes:
    """The new file, in memory: what copies and writes mean."""
    out = bytearray(change.size)
    for to, start, size in (*frame.copies, *change.copies):
        out[to : to + size] = old[start : start + size]
    for at, content in change.writes:
        out[at : at + len(content)] = content
    return bytes(out)


def align_up(value: int, to: int) -> int:
    return (value + to - 1) // to * to
