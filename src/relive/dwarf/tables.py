"""Which types an object defines and how they look, as two arrays: what is left when the debug information is gone.

A name may have several definitions (local structs in C, helpers that carry a closure in their name); their hashes are
added up without repetition, so order and number of equal copies do not matter. Comparing two tables of 5 000 types is
one search in a sorted array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class TypeTable:
    """Sorted by name; both arrays have one element a name."""

    names: U64
    """Hashes of the names."""
    shapes: U64
    """Layout and vtable hashes of all definitions of that name, combined."""

    @classmethod
    def of(cls, names: NDArray[Any], layouts: NDArray[Any], vtables: NDArray[Any]) -> TypeTable:
        shapes = shape_of(layouts, vtables)
        order = np.lexsort((shapes, names))
        names, shapes = names[order], shapes[order]
        first = np.ones(len(order), bool)
        first[1:] = names[1:] != names[:-1]
        distinct = first.copy()
        distinct[1:] |= shapes[1:] != shapes[:-1]
        starts = np.nonzero(first)[0]
        if len(starts):
            shapes = np.add.reduceat(np.where(distinct, shapes, np.uint64(0)), starts)
        return cls(np.ascontiguousarray(names[starts], np.uint64), np.ascontiguousarray(shapes, np.uint64))

    def differing(self, new: TypeTable) -> U64:
        """Name hashes that both tables have, with different shapes."""
        if not len(self.names) or not len(new.names):
            return np.empty(0, np.uint64)
        at = np.searchsorted(self.names, new.names)
        at[at == len(self.names)] = 0
        both = self.names[at] == new.names
        return np.asarray(new.names[both & (self.shapes[at] != new.shapes)])


def shape_of(layouts: NDArray[Any], vtables: NDArray[Any]) -> U64:
    """One number for a definition's layout and vtable (multiplication spreads, wrapping on purpose)."""
    spread = vtables * np.uint64(0x9E3779B97F4A7C15) + (vtables >> np.uint64(29))
    return np.asarray(layouts ^ spread, np.uint64)
