"""A form: one file's components as one kind of unit sees them, small enough to keep and quick to read back.

A header means the same text in most units that include it, so what was learned of it is kept once for each different
text (`digest`), not once for each unit. Names are kept as 64-bit hashes: two hosts that index at the same time agree on
them without talking, and the tables are arrays. Two names with one hash would give one dependency too many, never one
too few. Knows nothing of files and databases."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint64]

MACRO: Final = 64
"""A kind beside those of `model.Kind`."""
ATTACHED: Final = 1
"""Used without being named: operators, specialisations, deduction guides, what is found through its arguments."""
AMBIENT: Final = 2
"""Says nothing by itself and matters to everything after it: using directives."""
UNSURE: Final = 4
"""The reader was not sure of it."""

KEPT_VALUE: Final = frozenset(
    (b"const", b"constexpr", b"constinit", b"auto", b"&", b"__auto_type", b"static_assert", b"(", b"{", b"<")
)
"""Tokens of a variable's declaration with which others may know its value or size, or that take more than a glance."""

VERTEX = np.dtype(
    [
        *(("kind", "u1"), ("role", "u1"), ("flags", "u4"), ("line", "u4"), ("last_line", "u4"), ("ordinal", "u4")),
        *(("owner", "i4"), ("content", "u8"), ("interface", "u8"), ("scope", "u8"), ("space", "u8")),
    ]
)
"""owner: the class of a member function that is defined in its body, as index in the form, or -1; content: hash of all
tokens; interface: hash of what others can see (bodies left out); scope: `scope_hash` of the
namespaces around, space: name of the innermost (0 outside of all)."""

_MAGIC = b"form:3"
_LISTS = ("declares", "members", "uses", "body", "selects", "macros", "scopes", "returns")


def name_hash(name: bytes) -> int:
    """64 bits that stand for an identifier."""
    found = _HASHES.get(name)
    if found is None:
        if len(_HASHES) > 1 << 20:  # a host that runs for weeks
            _HASHES.clear()
        found = _HASHES[name] = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
    return found


def scope_hash(path: Sequence[bytes]) -> int:
    """64 bits that stand for a namespace, by all its names; of the global one for ()."""
    return name_hash(b"::".join((b"", *path)))


_HASHES: dict[bytes, int] = {}


@dataclass(frozen=True, slots=True)
class Lists:
    """A list of names (hashes) for each vertex, end to end."""

    starts: npt.NDArray[np.uint32]
    values: U8

    @classmethod
    def of(cls, rows: Sequence[Iterable[int]]) -> Lists:
        sorted_rows = [sorted(set(row)) for row in rows]
        starts = np.zeros(len(rows) + 1, np.uint32)
        np.cumsum([len(row) for row in sorted_rows], out=starts[1:])
        return cls(starts, np.array([value for row in sorted_rows for value in row], np.uint64))

    def __getitem__(self, row: int) -> U8:
        return self.values[int(self.starts[row]) : int(self.starts[row + 1])]


@dataclass(frozen=True, slots=True)
class Form:
    """The vertices of one file in text order, and for each what it declares and what it uses."""

    file: str
    digest: bytes
    names: tuple[str, ...]
    """Qualified names."""
    table: npt.NDArray[np.void]
    declares: Lists
    """Names that others can use plainly: at namespace scope, and enumerators."""
    members: Lists
    """Names that are reached through this class."""
    uses: Lists
    """Names in what others can see of it."""
    body: Lists
    """Names in its body alone."""
    selects: Lists
    """Names after ``.`` and ``->``: members of whatever the expression before is."""
    macros: Lists
    """Names of macros in its source text, and names in its conditional directives."""
    scopes: Lists
    """The namespaces around it, each as `scope_hash` of its full name, and the global one."""
    returns: Lists
    """Of what is used without being named: names in what it gives back."""
    conditions: U8
    """Names in the conditional directives of the file, wherever they are."""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of a unit's text that comes from one file: vertices ``first`` to ``first + count`` of a form."""

    form: bytes
    first: int
    count: int


class DamagedError(Exception):
    """Bytes that are no form, or not all of one."""


def to_bytes(form: Form) -> bytes:
    """A form for the shelf."""
    texts = [form.file.encode("utf-8", "surrogateescape")]
    texts += [name.encode("utf-8", "surrogateescape") for name in form.names]
    parts = [b"\0".join(texts), form.table.tobytes()]
    for name in _LISTS:
        lists: Lists = getattr(form, name)
        parts += [lists.starts.tobytes(), lists.values.tobytes()]
    parts.append(form.conditions.tobytes())
    content = form.digest + b"".join(struct.pack("<Q", len(part)) + part for part in parts)
    return _MAGIC + hashlib.blake2b(content, digest_size=8).digest() + content


def from_bytes(data: bytes) -> Form:
    """The form again. DamagedError when a bit is not as it was written, or an older relive wrote it."""
    head = len(_MAGIC) + 8
    content = data[head:]
    if data[: len(_MAGIC)] != _MAGIC or hashlib.blake2b(content, digest_size=8).digest() != data[len(_MAGIC) : head]:
        raise DamagedError
    digest, at = content[:16], 16
    parts = []
    while at < len(content):
        (size,) = struct.unpack_from("<Q", content, at)
        parts.append(content[at + 8 : at + 8 + size])
        at += 8 + size
    file, *names = parts[0].decode("utf-8", "surrogateescape").split("\0")
    lists = [
        Lists(np.frombuffer(parts[i], np.uint32), np.frombuffer(parts[i + 1], np.uint64))
        for i in range(2, 2 + 2 * len(_LISTS), 2)
    ]
    table, conditions = np.frombuffer(parts[1], VERTEX), np.frombuffer(parts[-1], np.uint64)
    declares, members, uses, body, selects, macros, scopes, returns = lists
    text = tuple(names)
    return Form(file, digest, text, table, declares, members, uses, body, selects, macros, scopes, returns, conditions)
