"""Which components hold a name: two arrays, sorted by name, asked by bisection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from relive.source.forms import Lists


class NameIndex:
    """Which rows hold a name: sorted (name, row)."""

    def __init__(self, lists: Sequence[Lists], bases: Sequence[int]) -> None:
        names = [lists[i].values for i in range(len(lists))]
        rows = [
            np.repeat(np.arange(len(part.starts) - 1, dtype=np.uint32) + np.uint32(base), np.diff(part.starts))
            for part, base in zip(lists, bases, strict=True)
        ]
        all_names = np.concatenate(names) if names else np.zeros(0, np.uint64)
        all_rows = np.concatenate(rows) if rows else np.zeros(0, np.uint32)
        order = np.argsort(all_names, kind="stable")
        self._names = all_names[order]
        self._rows = all_rows[order]

    def rows(self, names: npt.NDArray[np.uint64]) -> list[int]:
        """Rows that hold one of the names."""
        if not len(names) or not len(self._names):
            return []
        left = np.searchsorted(self._names, names, "left")
        right = np.searchsorted(self._names, names, "right")
        found: list[int] = []
        for i in np.flatnonzero(right > left):
            found += self._rows[left[i] : right[i]].tolist()
        return found
