"""Equal things get equal small numbers, over all objects of a session.

Names and contents are kept by the C library where there is one, so that reading an object makes no Python object for
any of its ten thousand names; without it, in a dictionary. 0 is reserved for SELF."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Hashable
from typing import Any

import numpy as np

from relive.diff.library import ENTRY_DTYPE

_NAME = 0


class Interner:
    """`calls`: the C library (`library.load`); the numbers of two interners have nothing to do with each other."""

    def __init__(self, calls: dict[str, Any] | None = None) -> None:
        self.calls = calls
        self.handle: int | None = None
        self._numbers: dict[Hashable, int] = {}
        self._texts: list[bytes | None] = [None]
        """Number → name."""
        if calls is not None:
            self.handle = calls["interner"]()
            if not self.handle:
                raise MemoryError
            weakref.finalize(self, calls["interner_free"], self.handle)

    def __call__(self, thing: Hashable) -> int:
        """The number of a name (bytes), or of anything else."""
        if self.calls is not None and isinstance(thing, bytes):
            return self._checked(self.calls["name"](self.handle, thing, len(thing)))
        number = self._numbers.get(thing)
        if number is None:
            number = self._new(thing)
            self._numbers[thing] = number
        return number

    def _new(self, thing: Hashable) -> int:
        if self.calls is not None:
            return self._checked(self.calls["reserve"](self.handle))
        self._texts.append(thing if isinstance(thing, bytes) else None)
        return len(self._texts) - 1

    def content(self, text: bool, content: bytes, rows: bytes, catches: Hashable) -> int:
        """The number of an atom without a name; `catches`: what its exception table says."""
        if self.calls is not None and catches is None:
            found = self.calls["content"](self.handle, int(text), content, len(content), rows, len(rows))
            return self._checked(found)
        return self((text, content.rstrip(b"\0"), rows, catches))

    def texts(self) -> list[bytes | None]:
        """The names of all numbers, by number (None: not a name). Grows; not to be changed."""
        if self.calls is not None:
            count = ctypes.c_uint64()
            address = self.calls["entries"](self.handle, ctypes.byref(count))
            known = len(self._texts)
            if known < count.value:
                size = ENTRY_DTYPE.itemsize
                fresh = np.frombuffer(
                    ctypes.string_at(address + known * size, (count.value - known) * size), ENTRY_DTYPE
                )
                self._texts += [
                    ctypes.string_at(text, n) if tag == _NAME else None for text, n, tag, _ in fresh.tolist()
                ]
        return self._texts

    @staticmethod
    def _checked(number: int) -> int:
        if not number:
            raise MemoryError
        return number
