"""Names that a linked file imports anew: longer copies of `.dynsym`, `.dynstr`, `.gnu.version` and `.gnu.version_r`.

New rows go to the end of `.dynsym`. The hash table need not know them: it is for finding definitions, and each of its
chains ends with a mark before it would reach a new row. A version that the file does not ask for yet gets a record of
its own at the end of the list of needed versions, even if an earlier record is about the same library.

Sources: gABI chapter 5 ("Symbol Hash Table"), "ELF Symbol Versioning" (Drepper), glibc elf/dl-version.c."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relive.elf import constants as c
from relive.elf.headers import ElfFile, string_at
from relive.elf.symbols import SYMBOL, read_symbols
from relive.errors import FormatError

_VERNEED = struct.Struct("<HHIII")
_VERNAUX = struct.Struct("<IHHII")
_VERDEF = struct.Struct("<HHHHIII")
_HIDDEN = 0x8000
_GLOBAL = 1


@dataclass(frozen=True, slots=True)
class Exported:
    """A name that a shared library defines."""

    type: int
    size: int
    version: bytes
    """Its default version; empty when the library has none."""


@dataclass(frozen=True, slots=True)
class NewImport:
    """A name that the file imports from now on."""

    name: bytes
    type: int
    library: bytes
    """DT_SONAME of the library that defines it."""
    version: bytes


@dataclass(frozen=True, slots=True)
class DynamicTables:
    """The longer tables."""

    symbols: bytes
    strings: bytes
    versions: bytes
    """`.gnu.version`; empty when the file has none."""
    needed: bytes
    """`.gnu.version_r`; empty when it stays as it is."""
    needed_count: int


def exported(elf: ElfFile, names: Sequence[bytes]) -> dict[bytes, Exported]:
    """Which of some names a library defines, in their default versions."""
    section = next((s for s in elf.sections if s.type == c.SHT_DYNSYM), None)
    if section is None:
        return {}
    table = read_symbols(elf, section)
    index = table.build_index()
    versions = _versions(elf)
    defined = _defined_versions(elf)
    found: dict[bytes, Exported] = {}
    for name in names:
        for row in table.find(index, name):
            number = int(versions[row]) if len(versions) else _GLOBAL
            if table.binding[row] == c.STB_LOCAL or number & _HIDDEN or number == 0:
                continue
            version = defined.get(number, b"") if number > _GLOBAL else b""
            found[name] = Exported(int(table.type[row]), int(table.size[row]), version)
    return found


def soname(elf: ElfFile, entries: Sequence[tuple[int, int]]) -> bytes:
    """DT_SONAME, or nothing. `entries`: of PT_DYNAMIC."""
    named = dict(entries)
    if c.DT_SONAME not in named:
        return b""
    strings = memoryview(elf.read(named[c.DT_STRTAB], named[c.DT_STRSZ]))
    return string_at(strings, named[c.DT_SONAME])


def grow(elf: ElfFile, imports: Sequence[NewImport]) -> DynamicTables:
    """The tables with new rows, in the order given. FormatError: the file has no such tables."""
    section = next((s for s in elf.sections if s.type == c.SHT_DYNSYM), None)
    if section is None:
        raise FormatError(f"{elf.path}: imports nothing")
    strings = bytearray(elf.strings_of(section))
    numbers = [int(n) for n in _versions(elf).tolist()]
    known, count, last = _needed_versions(elf)
    top = max([_GLOBAL, *(n & ~_HIDDEN for n in numbers), *_defined_versions(elf), *known.values()])
    added = bytearray()
    rows = np.zeros(len(imports), SYMBOL)
    for place, one in enumerate(imports):
        rows[place] = (len(strings), c.STB_GLOBAL << 4 | one.type, 0, c.SHN_UNDEF, 0, 0)
        strings += one.name + b"\0"
        if not one.version:
            numbers.append(_GLOBAL)
            continue
        if not numbers:
            raise FormatError(f"{elf.path}: has no versions of symbols, and {one.name.decode()} needs one")
        key = (one.library, one.version)
        if key not in known:
            top += 1
            known[key] = top
            count += 1
            record = _VERNEED.pack(1, 1, len(strings), _VERNEED.size, _VERNEED.size + _VERNAUX.size)
            strings += one.library + b"\0"
            added += record + _VERNAUX.pack(_hash(one.version), 0, top, len(strings), 0)
            strings += one.version + b"\0"
        numbers.append(known[key])
    needed = b""
    if added:
        struct.pack_into("<I", added, len(added) - _VERNAUX.size - 4, 0)
        table = next((s for s in elf.sections if s.type == c.SHT_GNU_verneed), None)
        if table is None or last is None:
            raise FormatError(f"{elf.path}: needs no versions so far")
        old = bytearray(elf.content(table))
        padding = bytes(-len(old) % 8)
        struct.pack_into("<I", old, last + 12, len(old) + len(padding) - last)
        needed = bytes(old) + padding + bytes(added)
    symbols = bytes(elf.content(section)) + rows.tobytes()
    versions = np.array(numbers, "<u2").tobytes() if len(_versions(elf)) else b""
    return DynamicTables(symbols, bytes(strings), versions, needed, count)


def _versions(elf: ElfFile) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    section = next((s for s in elf.sections if s.type == c.SHT_GNU_versym), None)
    return np.frombuffer(elf.content(section) if section is not None else b"", "<u2")


def _defined_versions(elf: ElfFile) -> dict[int, bytes]:
    """Number → name of the versions that a library defines."""
    section = next((s for s in elf.sections if s.type == c.SHT_GNU_verdef), None)
    if section is None:
        return {}
    content, strings = bytes(elf.content(section)), elf.strings_of(section)
    found: dict[int, bytes] = {}
    at = 0
    for _ in range(section.info):
        _, _, number, _, _, aux, following = _VERDEF.unpack_from(content, at)
        (name,) = struct.unpack_from("<I", content, at + aux)
        found[number] = string_at(strings, name)
        if not following:
            break
        at += following
    return found


def _needed_versions(elf: ElfFile) -> tuple[dict[tuple[bytes, bytes], int], int, int | None]:
    """((library, version) → number, how many records, offset of the last record)."""
    section = next((s for s in elf.sections if s.type == c.SHT_GNU_verneed), None)
    if section is None:
        return {}, 0, None
    content, strings = bytes(elf.content(section)), elf.strings_of(section)
    found: dict[tuple[bytes, bytes], int] = {}
    at = count = 0
    while True:
        _, entries, file, aux, following = _VERNEED.unpack_from(content, at)
        place = at + aux
        for _ in range(entries):
            _, _, number, name, step = _VERNAUX.unpack_from(content, place)
            found[(string_at(strings, file), string_at(strings, name))] = number & ~_HIDDEN
            place += step
        count += 1
        if not following:
            return found, count, at
        at += following


def _hash(name: bytes) -> int:
    """The hash of the gABI, which version records carry."""
    value = 0
    for octet in name:
        value = (value << 4) + octet
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value
