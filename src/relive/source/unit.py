"""One preprocessed unit: its components, where they are in the files, and what it takes to compile one of them alone.

The intended use: everything before a function is stripped of bodies (`stripped`) and precompiled; the function itself
is compiled from its raw lines, after `opening` and the macros that its words need (`macro_closure`).

Asking is cheap once `prepare` has run (a few ms; otherwise the first question pays for it)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relive.source import declared, strip
from relive.source.macros import WORD, LiveMacros, Macros
from relive.source.model import Flag, Kind

if TYPE_CHECKING:
    from relive.source.library import Scanner

Array = NDArray[Any]

_SCOPES = (Kind.NAMESPACE, Kind.LINKAGE)
_DIRECTIVE = re.compile(rb"^[ \t]*#.*$", re.MULTILINE)


class UnitText:
    """Made by `Scanner.parse`. Offsets are bytes of `data`; components are indices of rows of `components`."""

    def __init__(
        self, data: bytes, main: str, cplusplus: bool, components: Array, markers: Array, directives: Array
    ) -> None:
        self.data = data
        self.main = main
        self.cplusplus = cplusplus
        self.components = components
        """Rows of `model.COMPONENT`, ordered by `start`; an outer one before what is inside."""
        self.files: list[str] = []
        """As they are written in line markers."""
        self.markers = markers
        self.directives = directives
        numbers: dict[bytes, int] = {}
        of_marker = [-1]
        for start, end in zip(markers["name"].tolist(), markers["name_end"].tolist(), strict=True):
            name = data[start:end]
            number = numbers.get(name)
            if number is None:
                number = numbers[name] = len(self.files)
                plain = name.replace(b'\\"', b'"').replace(b"\\\\", b"\\")
                self.files.append(plain.decode("utf-8", "surrogateescape"))
            of_marker.append(number)
        self._file_of_marker = of_marker
        components["file"] = np.array(of_marker, "i4")[components["file"]]

    @classmethod
    def parse(cls, data: bytes, main: str, scanner: Scanner) -> UnitText:
        return scanner.parse(data, main)

    def prepare(self) -> None:
        """Computes what questions share, so that the first one is as quick as the others."""
        _ = self._macros, self._places, self._starts

    # ---- places ----

    def where(self, offset: int) -> tuple[int, int]:
        """(index into `files`, line from 1) of a place; file -1 before the first marker."""
        starts, ends, lines, _ = self._places
        i = bisect_right(starts, offset) - 1
        if i < 0:
            return -1, 1 + self.data.count(b"\n", 0, offset)
        behind, line = ends[i] + 1, lines[i]
        near = bisect_right(self._starts, offset) - 1
        if near >= 0 and self._starts[near] > behind:  # its line is known: less to count
            behind, line = self._starts[near], int(self.components["line"][near])
        return self._file_of_marker[i + 1], line + self.data.count(b"\n", behind, offset)

    def is_system(self, offset: int) -> bool:
        """Whether the place is in a system header."""
        starts, _, _, system = self._places
        i = bisect_right(starts, offset) - 1
        return i >= 0 and bool(system[i])

    def function_at(self, file: str, line: int) -> int | None:
        """The innermost function that holds a line of a file. None: there is none, or more than one (a file that is
        included twice), or the scanner is not sure, or another component shares its first or last line."""
        rows = self._of_file(file)
        if rows is None:
            return None
        indices, kinds, first, last, flags = rows
        inside = np.nonzero((first <= line) & (line <= last) & (kinds == Kind.FUNCTION))[0]
        if not len(inside):
            return None
        i = int(inside[-1])
        low, high = int(first[i]), int(last[i])
        if int(flags[i]) & Flag.UNCERTAIN or any(int(first[k]) > low or int(last[k]) < high for k in inside):
            return None
        shared = (first == low) | (last == low) | (first == high) | (last == high) | ((first > low) & (last < high))
        return int(indices[i]) if int(np.count_nonzero(shared)) == 1 else None

    def functions_of(self, file: str) -> Array:
        """Indices of all functions that begin in a file."""
        rows = self._of_file(file)
        return np.empty(0, "i8") if rows is None else rows[0][rows[1] == Kind.FUNCTION]

    def lines_of(self, file: str) -> tuple[Array, Array]:
        """First and last lines of all components of a file, each sorted."""
        rows = self._of_file(file)
        empty = np.empty(0, "i8")
        return (empty, empty) if rows is None else (np.sort(rows[2]), np.sort(rows[3]))

    # ---- what is around a component ----

    def around(self, i: int) -> list[int]:
        """The components that hold it, outermost first."""
        result = []
        parent = int(self.components["parent"][i])
        while parent >= 0:
            result.append(parent)
            parent = int(self.components["parent"][parent])
        return result[::-1]

    def outermost(self, i: int) -> int:
        """The component at namespace scope that holds `i` (the class, for a member function), or `i`."""
        for holder in self.around(i):
            if self.components["kind"][holder] not in _SCOPES:
                return holder
        return i

    def opening(self, i: int) -> bytes:
        """What opens again the namespaces and linkages around component `i`, in one line."""
        return b" ".join(self._head(holder) for holder in self._scopes(i))

    def closing(self, i: int) -> bytes:
        return b"}" * len(self._scopes(i))

    def _scopes(self, i: int) -> list[int]:
        return [holder for holder in self.around(i) if self.components["kind"][holder] in _SCOPES]

    def _head(self, i: int) -> bytes:
        row = self.components[i]
        return b" ".join(_DIRECTIVE.sub(b"", self.data[int(row["start"]) : int(row["body"]) + 1]).split())

    # ---- texts ----

    def text(self, i: int) -> bytes:
        row = self.components[i]
        return self.data[int(row["start"]) : int(row["end"])]

    def words(self, i: int) -> frozenset[bytes]:
        """Identifiers in a component, macros expanded."""
        return frozenset(WORD.findall(self.text(i)))

    def declared(self, i: int) -> tuple[bytes, ...]:
        """Names that a component declares in its scope, qualified by the namespaces and classes around."""
        return declared.names(self, i)

    def name(self, i: int) -> bytes:
        """The last identifier of the declarator, b"" without one."""
        row = self.components[i]
        return self.data[int(row["name"]) : int(row["name_end"])]

    def qualified(self, i: int) -> bytes:
        """The name as it is written."""
        row = self.components[i]
        return self.data[int(row["qualified"]) : int(row["qualified_end"])]

    def stripped(
        self,
        start: int,
        end: int,
        keep: frozenset[int] = frozenset(),
        *,
        templates: bool = False,
        direct: bool = False,
    ) -> bytes:
        """The text between two places at namespace scope without what is not needed to compile what follows: bodies of
        functions (of `keep` they stay), out-of-line members, explicit instantiations, asm, directives of macros.
        Namespaces that are open at `end` stay open: `closing`. `templates`: bodies of templates stay, which is needed
        where what follows makes types of its own (`edit.makes_types`). `direct`: functions of the unit are referred to
        as if their definitions were there (for programs; in libraries they may be interposed)."""
        return strip.stripped(self, start, end, keep, templates, direct)

    # ---- macros ----

    def macros_at(self, offset: int) -> Mapping[bytes, bytes]:
        """The macros that live at a place: name → its #define line. Those of compiler and command line are left out; a
        removed one of them is there as its #undef."""
        return LiveMacros(self._macros, offset)

    def macro_closure(self, words: Iterable[bytes], offset: int) -> tuple[bytes, frozenset[bytes]]:
        """The #define lines that these words need at a place, transitively, in order; and all words seen."""
        return self._macros.closure(words, offset)

    # ---- prepared ----

    @cached_property
    def _places(self) -> tuple[list[int], list[int], list[int], list[int]]:
        markers = self.markers
        return (
            markers["start"].tolist(),
            markers["end"].tolist(),
            markers["line"].tolist(),
            markers["system"].tolist(),
        )

    @cached_property
    def _starts(self) -> list[int]:
        starts: list[int] = self.components["start"].tolist()
        return starts

    @cached_property
    def _macros(self) -> Macros:
        own = {i for i, name in enumerate(self.files) if name in ("<built-in>", "<command-line>", "<command line>")}
        at = np.searchsorted(self.markers["start"], self.directives["start"], "right")
        predefined = [self._file_of_marker[i] in own for i in at.tolist()]
        return Macros(self.data, self.directives.tolist(), predefined)

    def _of_file(self, file: str) -> tuple[Array, Array, Array, Array, Array] | None:
        cache: dict[str, tuple[Array, Array, Array, Array, Array] | None] = self._files_asked
        if file not in cache:
            cache[file] = None
            if file in self.files:
                indices = np.nonzero(self.components["file"] == self.files.index(file))[0]
                rows = self.components[indices]
                lines = rows["line"].astype("i8"), rows["last_line"].astype("i8")
                cache[file] = (indices, rows["kind"].copy(), *lines, rows["flags"].copy())
        return cache[file]

    @cached_property
    def _files_asked(self) -> dict[str, tuple[Array, Array, Array, Array, Array] | None]:
        return {}
