"""An index of names: from a name to the rows that bear it, for tables of a million symbols.

Theory of operation. A dictionary of a million Python strings takes a second and a hundred megabytes. Instead every
string of the table gets a 64-bit polynomial hash, sum(byte[k] * P^k) mod 2^64, all at once: with the prefix sums S of
byte[k] * P^k over a stretch of the string table, the string in [a, e) hashes to (S[e] - S[a]) * P^-a; P is odd, so P^-1
exists. The hashes are sorted with the row numbers beside them; a lookup is a binary search. A hash is only a hint: the
caller compares the name itself (`SymbolTable.find`), so a collision costs time and never a wrong answer. (Polynomials
mod 2^64 have known collisions, Thue-Morse words; nobody gains anything by naming functions so.)

A name ends at NUL or at the '@' of a symbol version: GNU ld writes copied variables as ``stdout@GLIBC_2.2.5`` and
versioned definitions as ``name@@V2`` into `.symtab` (binutils 2.35 and later), and it is ``stdout`` that is looked for.

Works stretch by stretch (1 MB of string table), so memory stays flat however long the table is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

_P = 0x9E3779B97F4A7C15
"""2^64 / golden ratio, odd: any odd number with well mixed bits does."""
_MASK = (1 << 64) - 1
_STRETCH = 1 << 20


@lru_cache(maxsize=4)
def _powers(base: int, count: int) -> U64:
    powers = np.full(count, base, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _table(base: int, count: int) -> U64:
    """At least `count` powers of `base`; sizes double so that few tables are ever made."""
    return _powers(base, max(_STRETCH, 1 << (count - 1).bit_length()))


def hash_name(name: bytes) -> int:
    """The hash that `hash_names` gives to this string."""
    if len(name) > 256:
        return int(hash_names(np.frombuffer(name + b"\0", dtype=np.uint8), np.zeros(1, dtype=np.int64))[0])
    value = 0
    for byte in reversed(name):
        value = (value * _P + byte) & _MASK
    return value


def hash_names(strings: U8, offsets: npt.NDArray[np.integer]) -> U64:
    """Hashes of the strings that start at `offsets`, each up to NUL or '@'.

    `strings`: a string table, its last byte NUL. `offsets`: any order, any overlap (linkers share tails), all inside.
    """
    result = np.zeros(len(offsets), dtype=np.uint64)
    if not len(offsets):
        return result
    ascending = bool((offsets[1:] >= offsets[:-1]).all())
    order = None if ascending else np.argsort(offsets, kind="stable")
    starts = (offsets if order is None else offsets[order]).astype(np.int64)
    inverse = pow(_P, -1, 1 << 64)
    low = 0
    while low < len(strings):
        high = min(low + _STRETCH, len(strings))
        high = _after_nul(strings, high)  # a string never straddles two stretches
        first, last = np.searchsorted(starts, (low, high))
        if first < last:
            part = strings[low:high]
            begin = starts[first:last] - low
            stops = np.flatnonzero((part == 0) | (part == ord("@")))
            end = stops[np.searchsorted(stops, begin)]
            sums = np.zeros(len(part) + 1, dtype=np.uint64)
            np.cumsum(part * _table(_P, len(part))[: len(part)], out=sums[1:])
            hashes = (sums[end] - sums[begin]) * _table(inverse, len(part))[begin]
            result[slice(first, last) if order is None else order[first:last]] = hashes
        low = high
    return result


def _after_nul(strings: U8, at: int) -> int:
    """The first position >= `at` that follows a NUL (or the end)."""
    if at >= len(strings) or strings[at - 1] == 0:
        return at
    step = 256
    while at < len(strings):
        found = np.flatnonzero(strings[at : at + step] == 0)
        if len(found):
            return at + int(found[0]) + 1
        at += step
        step *= 4
    return len(strings)


@dataclass(frozen=True, slots=True)
class NameIndex:
    """Rows by the hash of their name: `hashes` ascending, `rows[k]` the row whose name has `hashes[k]`."""

    hashes: U64
    rows: U32

    @classmethod
    def build(cls, strings: U8, offsets: U32, rows: I64) -> NameIndex:
        """Indexes the given rows of a table whose row r has its name at `offsets[r]`."""
        hashes = hash_names(strings, offsets[rows])
        order = np.argsort(hashes)
        return cls(hashes[order], rows[order].astype(np.uint32))

    def candidates(self, name: bytes) -> list[int]:
        """Rows whose name may be `name`, ascending; the caller compares."""
        value = np.uint64(hash_name(name))
        first = np.searchsorted(self.hashes, value, side="left")
        last = np.searchsorted(self.hashes, value, side="right")
        return sorted(self.rows[first:last].tolist())
