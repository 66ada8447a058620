"""The hash table of dynamic symbols (`.gnu.hash`), which dladdr, dlsym and debuggers walk.

Theory of operation. The symbols of one bucket lie side by side in `.dynsym`, so the table dictates their order; a
chain word per symbol holds its hash, the lowest bit marks the last of its bucket. The Bloom filter in front lets
everything pass: a patch is rarely searched by name. Hashes of all names are computed at once (see `elf.strings`).

Sources: glibc elf/dl-lookup.c (do_lookup_x, check_match) and dl-new-hash.h; binutils bfd/elflink.c.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_HEAD = struct.Struct("<IIIIQ")


def _buckets(count: int) -> int:
    return max(1, count // 2)


def gnu_hash_size(count: int) -> int:
    """Size in bytes of the table for `count` symbols."""
    return _HEAD.size + 4 * _buckets(count) + 4 * count


def gnu_hash_table(names: Sequence[bytes]) -> tuple[list[int], bytes]:
    """(order, table): symbol `order[k]` must be row k + 1 of `.dynsym`."""
    count = len(names)
    unsorted = gnu_hashes(names)
    order = np.argsort(unsorted % np.uint32(_buckets(count)), kind="stable")
    hashes = unsorted[order]
    buckets = np.zeros(_buckets(count), dtype="<u4")
    of = hashes % np.uint32(len(buckets))
    chain = hashes & ~np.uint32(1)
    if count:
        first = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
        buckets[of[first]] = first + 1
        chain[np.r_[first[1:] - 1, count - 1]] |= np.uint32(1)
    return order.tolist(), _HEAD.pack(len(buckets), 1, 1, 0, (1 << 64) - 1) + buckets.tobytes() + chain.tobytes()


def gnu_hashes(names: Sequence[bytes]) -> npt.NDArray[np.uint32]:
    """dl_new_hash of each name: h = 5381; h = h * 33 + byte, mod 2^32.

    All at once: with Q[k] = sum over i < k of byte[i] * 33^-i, the bytes [a, e) contribute (Q[e] - Q[a]) * 33^(e-1).
    """
    if not names:
        return np.zeros(0, dtype=np.uint32)
    octets = np.frombuffer(b"".join(names), dtype=np.uint8)
    lengths = np.fromiter(map(len, names), dtype=np.int64, count=len(names))
    ends = np.cumsum(lengths)
    powers = np.full(len(octets) + 1, 33, dtype=np.uint32)
    inverse = np.full(len(octets) + 1, pow(33, -1, 1 << 32), dtype=np.uint32)
    powers[0] = inverse[0] = 1
    powers, inverse = np.cumprod(powers, dtype=np.uint32), np.cumprod(inverse, dtype=np.uint32)
    sums = np.zeros(len(octets) + 1, dtype=np.uint32)
    np.cumsum(octets * inverse[:-1], out=sums[1:], dtype=np.uint32)
    hashes: npt.NDArray[np.uint32] = (sums[ends] - sums[ends - lengths]) * powers[np.maximum(ends - 1, 0)]
    return hashes + np.uint32(5381) * powers[lengths]
