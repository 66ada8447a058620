"""Finding functions in another process by reading its memory: no file has to be there (deleted, other mount namespace).

Every ELF object in the process has its dynamic symbol table in memory (PT_DYNAMIC: DT_SYMTAB, DT_STRTAB; the number of
symbols is known from DT_GNU_HASH or DT_HASH; gABI chapter 5)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Read = Callable[[int, int], bytes]
"""(address, size) -> bytes; OSError when not mapped."""

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_GNU_HASH = 4, 5, 6, 10, 0x6FFFFEF5
_SYMBOL = struct.Struct("<IBBHQQ")


@dataclass(frozen=True, slots=True)
class Mapped:
    """One file as /proc/PID/maps shows it, with the address of its first mapping."""

    path: str
    start: int


def mapped_files(maps: str) -> Iterator[Mapped]:
    """The files of a maps table whose beginning is mapped, in order of address."""
    seen = set()
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith("/") and int(fields[2], 16) == 0 and fields[5] not in seen:
            seen.add(fields[5])
            yield Mapped(fields[5], int(fields[0].split("-")[0], 16))


def find_symbols(read: Read, start: int, names: frozenset[bytes]) -> dict[bytes, int]:
    """Addresses of those of `names` that the object mapped at `start` exports; empty when there is no such object."""
    try:
        head = read(start, 64)
        if head[:6] != b"\x7fELF\x02\x01":
            return {}
        (table,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        rows = [struct.unpack_from("<IIQQQQQQ", read(start + table, size * count), i * size) for i in range(count)]
        base = start - next(row[3] - row[2] for row in rows if row[0] == _PT_LOAD and row[2] == 0)
        dynamic = next(row for row in rows if row[0] == _PT_DYNAMIC)
        entries = dict(struct.iter_unpack("<QQ", read(base + dynamic[3], dynamic[6] // 16 * 16)))
        # ld.so adds the base to these values in memory (not in the vDSO's and not with DT_*_RO).
        tags = {
            tag: entries[tag] if entries[tag] >= base else entries[tag] + base
            for tag in (_DT_HASH, _DT_GNU_HASH, _DT_STRTAB, _DT_SYMTAB)
            if tag in entries
        }
        symbols = read(tags[_DT_SYMTAB], _symbol_count(read, tags) * _SYMBOL.size)
        strings = read(tags[_DT_STRTAB], entries[_DT_STRSZ])
    except (OSError, KeyError, StopIteration, struct.error):
        return {}
    found: dict[bytes, int] = {}
    for name_at, _, _, section, value, _ in _SYMBOL.iter_unpack(symbols):
        if section and value:
            name = strings[name_at : strings.find(b"\0", name_at)]
            if name in names:
                found.setdefault(name, base + value)
    return found


def _symbol_count(read: Read, tags: dict[int, int]) -> int:
    if _DT_HASH in tags:
        count: int = struct.unpack("<II", read(tags[_DT_HASH], 8))[1]
        return count
    at = tags[_DT_GNU_HASH]
    buckets, first, words, _ = struct.unpack("<IIII", read(at, 16))
    table = at + 16 + 8 * words
    last = max(struct.unpack(f"<{buckets}I", read(table, 4 * buckets)), default=0)
    if last < first:
        return int(first)
    chain = table + 4 * buckets
    while not struct.unpack("<I", read(chain + 4 * (last - first), 4))[0] & 1:
        last += 1
    return int(last) + 1
