"""An object cut into *atoms*, and every reference of it made independent of where things happened to lie.

An atom is what a linker could move on its own: a function, a variable, a string constant, a switch table. Named atoms
come from the symbol table; what lies between them (strings at -O0, jump tables, constants) is cut at the offsets that
somebody refers to. It does not matter whether the compiler gave each atom a section of its own
(`-ffunction-sections`, our compilations) or put all of them into `.text` (the user's objects), so the two compare.

Each relocation becomes a row (offset in the atom, type, target id, delta). The target id is an interned number that
means the same in every object of the session:

* a global symbol: its name;
* a local function or variable: its name within the unit;
* an anonymous constant, or a clone such as `f.part.0` that only has a made-up name: its *content*, recursively;
* a label in the atom itself (switch tables, computed goto): SELF.

Two atoms mean the same when bytes and rows are equal. A C++ unit has ten thousand atoms, of which an edit concerns a
few: everything that could be a loop over all of them is an array (`columns`), and the lists and dictionaries of names
are made when somebody asks for them. Knows nothing of addresses or of the live process."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from relive.diff import columns
from relive.diff.columns import PENDING as _PENDING
from relive.diff.columns import SELF as SELF
from relive.diff.cut import OFFSET_BITS, Ints
from relive.diff.cut import Kind as Kind
from relive.diff.cut import is_clone as is_clone
from relive.diff.cut import is_label as is_label
from relive.diff.interner import Interner as Interner
from relive.diff.library import ROW_DTYPE as ROW_DTYPE
from relive.diff.library import Side
from relive.elf import constants as c
from relive.elf.object import ElfObject


class Aliases(Mapping[int, list[int]]):
    """Atom → indices of all symbols at its start, in the order of the symbol table; atoms by their first symbol."""

    def __init__(self, atoms: Ints, symbols: Ints, count: int) -> None:
        order = np.argsort(atoms, kind="stable")
        self._symbols = symbols[order]
        self._bounds = np.searchsorted(atoms[order], np.arange(count + 1))
        self._atoms = atoms

    def __getitem__(self, atom: int) -> list[int]:
        found: list[int] = self.positions(atom, self._symbols)
        if not found:
            raise KeyError(atom)
        return found

    def positions(self, atom: int, column: Ints) -> list[int]:
        """The entries of one atom in a column that is ordered like the symbols here."""
        if not 0 <= atom < len(self._bounds) - 1:
            return []
        found: list[int] = column[self._bounds[atom] : self._bounds[atom + 1]].tolist()
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(dict.fromkeys(self._atoms.tolist()))

    def __len__(self) -> int:
        return int(np.count_nonzero(np.diff(self._bounds)))


class OwnNames(Mapping[int, list[bytes]]):
    """Atom → all its session names: those of `by_name`. A renumbered local symbol's own name means another atom."""

    def __init__(self, aliases: Aliases, numbers: Ints, atoms: Ints, texts: list[bytes | None]) -> None:
        self._aliases, self._texts = aliases, texts
        self._numbers = numbers[np.argsort(atoms, kind="stable")]

    def __getitem__(self, atom: int) -> list[bytes]:
        numbers = self._aliases.positions(atom, self._numbers)
        if not numbers:
            raise KeyError(atom)
        return [text for number in numbers if (text := self._texts[number]) is not None]

    def __iter__(self) -> Iterator[int]:
        return iter(self._aliases)

    def __len__(self) -> int:
        return len(self._aliases)


class Atoms:
    """The atoms of one object, ordered by section and start; columns are numpy arrays of equal length (see
    `columns.Columns`)."""

    def __init__(self, obj: ElfObject, interner: Interner, renames: Mapping[bytes, bytes] | None = None) -> None:
        """`renames`: local name here → local name in the older object, where the compiler renumbered them."""
        self.object = obj
        self.intern = interner
        self.renames = renames or {}
        read = columns.read(obj, interner, self.renames)
        self.kinds = read.kinds
        self.symbol_is_local = read.symbol_is_local
        self.relocations, self.bias, self.table_entry = read.relocations, read.bias, read.table_entry
        self.place, self.target, self.row_is_local, self.rows = read.place, read.target, read.row_is_local, read.rows
        self.eh_relocations, self.eh_target = read.eh_relocations, read.eh_target
        self.section, self.start, self.end, self.symbol = read.section, read.start, read.end, read.symbol
        self.kind, self.is_global, self.label = read.kind, read.is_global, read.label
        self.first, self.last = read.first, read.last
        self.alias_rows = read.aliases
        self._keys = (self.section << OFFSET_BITS) + self.start
        self._contents = read.content_id
        self._content: dict[int, int] = {}
        self._settled = not read.pending
        if read.pending:
            self._settle_all()

    def locate(self, section: Ints, offset: Ints) -> Ints:
        """Index of the atom that holds each (section, offset); the nearest one of the section for offsets outside;
        -1 when the section has none."""
        return columns.locate(self.section, self._keys, section, offset)

    # --- names ---------------------------------------------------------------------------------------------------

    @cached_property
    def names(self) -> list[bytes | None]:
        """The session name of each atom; None: anonymous."""
        return list(map(self.intern.texts().__getitem__, np.maximum(self.label, 0).tolist()))

    @cached_property
    def by_name(self) -> dict[bytes, int]:
        """Global and local names (all aliases) → atom. A local name that stands twice gets a `#n`."""
        names = map(self.intern.texts().__getitem__, self.alias_rows["id"].tolist())
        return {name: atom for name, atom in zip(names, self.alias_rows["atom"].tolist(), strict=True) if name}

    @cached_property
    def aliases(self) -> Aliases:
        """Atom → indices of all symbols at its start."""
        return Aliases(self.alias_rows["atom"], self.alias_rows["symbol"], len(self.section))

    @cached_property
    def own_names(self) -> OwnNames:
        """Atom → all its session names: those of `by_name`."""
        return OwnNames(self.aliases, self.alias_rows["id"], self.alias_rows["atom"], self.intern.texts())

    @cached_property
    def _by_number(self) -> Ints:
        """`by_name` by the numbers of the names."""
        numbers = self.alias_rows["id"]
        result = np.full(int(numbers.max()) + 1 if len(numbers) else 1, -1, np.int64)
        result[numbers] = self.alias_rows["atom"]
        return result

    def named(self, numbers: Ints) -> Ints:
        """The atoms of names, given by their numbers; -1 where there is none. The same as `by_name`."""
        known = self._by_number
        return np.where((numbers >= 0) & (numbers < len(known)), known[np.clip(numbers, 0, len(known) - 1)], -1)

    # --- contents of what has no name ----------------------------------------------------------------------------

    def _settle_all(self) -> None:
        names = self.object.symbol_names
        pending = np.flatnonzero(self.rows["target"] == _PENDING)
        # Clones that refer to each other (a function and its cold part) get numbers that depend on who comes first: in
        # the order of their names, not of their sections, which -ffunction-sections changes.
        targets = np.unique(self.target[pending])
        targets = targets[targets >= 0]
        clones = [(names[int(self.symbol[t])], t) for t in targets[self.symbol[targets] >= 0].tolist()]
        for *_, atom in sorted((b".cold" in name, name, t) for name, t in clones):
            self._content_id(atom)
        for row in pending.tolist():
            self._settle(row)
        self._settled = True

    def _settle(self, row: int) -> None:
        if self.rows["target"][row] == _PENDING:
            self.rows["target"][row] = self._content_id(int(self.target[row]))

    def _content_id(self, atom: int) -> int:
        """Interned content of an anonymous atom; recursion (a clone that calls itself through another) ends in SELF."""
        if atom < 0:
            return self.intern("nothing")
        known = self._content.get(atom)
        if known is None and self._contents[atom] >= 0:
            known = int(self._contents[atom])
        if known is not None:
            return known
        self._content[atom] = SELF
        for row in self.row_range(atom):
            self._settle(row)
        text = int(self.kind[atom]) == Kind.TEXT
        catches = self._catches(atom) if text else None
        result = self.intern.content(text, self.content(atom), self.row_bytes(atom), catches)
        self._content[atom] = result
        return result

    def _catches(self, atom: int) -> Hashable:
        """What a clone's exception table says: part of its meaning, as it is of a function's (see `compare`)."""
        table = self._tables.get(atom)
        if table is None:
            return None
        from relive.diff import lsda  # it reads atoms

        for row in self.row_range(table):
            self._settle(row)
        return lsda.meaning(self, table)

    # --- what others ask -----------------------------------------------------------------------------------------

    def identity(self, atom: int) -> int:
        """The target id that references to an atom have: of its name, or of its content when it has none."""
        label = int(self.label[atom])
        return self._content_id(atom) if label == _PENDING else label

    def content(self, atom: int) -> bytes:
        """The bytes of an atom; empty for zero-initialised memory."""
        return self.object.data[int(self.low[atom]) : int(self.high[atom])]

    @cached_property
    def low(self) -> Ints:
        """First offset of each atom in the object's file."""
        return self.object.sections["offset"][self.section].astype(np.int64) + self.start

    @cached_property
    def high(self) -> Ints:
        """The offset after the last; `low` for SHT_NOBITS."""
        stored = self.object.sections["type"][self.section] != c.SHT_NOBITS
        return np.where(stored, self.low + (self.end - self.start), self.low)

    def side(self) -> Side:
        """What C needs for comparing; the arrays are this object's own."""
        return self._side

    @cached_property
    def _side(self) -> Side:
        self._data = np.frombuffer(self.object.data, np.uint8)

        def pointers(*columns: npt.NDArray[Any]) -> list[int]:
            assert all(column.flags.c_contiguous for column in columns)
            return [column.ctypes.data for column in columns]

        return Side(
            self._data.ctypes.data,
            len(self._data),
            len(self.section),
            *pointers(self.low, self.high, self.section, self.start, self.end, self.first, self.last),
            *pointers(self.label, self._contents, self._by_number),
            len(self._by_number),
            *pointers(self.row_is_local, self.rows),
        )

    def row_range(self, atom: int) -> range:
        """Indices into `rows`, `relocations`, `target` of the references that lie in an atom."""
        return range(int(self.first[atom]), int(self.last[atom]))

    @cached_property
    def row_section(self) -> Ints:
        """Section that each relocation lies in, as an array of its own for searching."""
        return self.relocations["section"].astype(np.int64)

    @cached_property
    def row_offset(self) -> Ints:
        """Offset in the section of each relocation."""
        return self.relocations["offset"].astype(np.int64)

    @cached_property
    def commons(self) -> list[int]:
        """Indices of common symbols: variables that the linker would make room for."""
        found: list[int] = np.flatnonzero(
            (self.object.symbols["shndx"] == c.SHN_COMMON) & ~self.symbol_is_local
        ).tolist()
        return found

    def row_bytes(self, atom: int) -> bytes:
        """The references of an atom in comparable form."""
        return self.rows[int(self.first[atom]) : int(self.last[atom])].tobytes()

    def size(self, atom: int) -> int:
        return int(self.end[atom]) - int(self.start[atom])

    def holds_labels(self, atom: int) -> bool:
        """Whether data points into the middle of functions: a table for computed goto. It belongs to one version of its
        function, whatever its linkage says, and is never bound to the table of another version."""
        if self.kind[atom] not in (Kind.DATA, Kind.CONST):
            return False
        for row in self.row_range(atom):
            target = int(self.target[row])
            if target < 0 or self.kind[target] != Kind.TEXT or self.names[target] is None or self.table_entry[row]:
                continue
            if int(self.rows["delta"][row]):
                return True
        return False

    def is_ifunc(self, atom: int) -> bool:
        """Whether one of an atom's names is an IFUNC: then its code is the resolver."""
        return any(self.object.symbols["info"][i] & 15 == c.STT_GNU_IFUNC for i in self.aliases.get(atom, ()))

    def functions(self) -> list[int]:
        """Named atoms of code."""
        found: list[int] = np.flatnonzero((self.kind == Kind.TEXT) & (self.label >= 0)).tolist()
        return found

    def variables(self) -> list[int]:
        """Named atoms of data, constant or mutable or thread-local."""
        data = np.isin(self.kind, [Kind.CONST, Kind.DATA, Kind.TLS])
        found: list[int] = np.flatnonzero(data & (self.label >= 0)).tolist()
        return found

    @cached_property
    def exception_pairs(self) -> list[tuple[int, int]]:
        """(function atom, LSDA atom), from the relocations of .eh_frame: an LSDA follows its pc_begin."""
        functions, tables = self._pairs
        return list(zip(functions.tolist(), tables.tolist(), strict=True))

    @cached_property
    def _pairs(self) -> tuple[Ints, Ints]:
        targets = self.eh_target[self.eh_target >= 0]
        kinds = self.kind[targets]
        begins = np.where(kinds == Kind.TEXT, np.arange(len(targets)), -1)
        newest = np.maximum.accumulate(begins) if len(begins) else begins
        rows = np.flatnonzero((kinds == Kind.LSDA) & (newest >= 0))
        return targets[newest[rows]], targets[rows]

    @cached_property
    def table_of(self) -> Ints:
        """Atom of the (first) LSDA of each function atom; -1 where there is none."""
        functions, tables = self._pairs
        result = np.full(len(self.section), -1, np.int64)
        result[functions[::-1]] = tables[::-1]
        return result

    @cached_property
    def exception_tables_by_section(self) -> dict[int, list[int]]:
        """Text section → LSDA atoms of the functions in it."""
        result: dict[int, list[int]] = {}
        for function, lsda in self.exception_pairs:
            result.setdefault(int(self.section[function]), []).append(lsda)
        return result

    @cached_property
    def personality_rows(self) -> list[int]:
        """One row of .eh_frame for each symbol that is neither code nor exception table: personality routines."""
        if not len(self.eh_relocations):
            return []
        kinds = np.where(self.eh_target >= 0, self.kind[self.eh_target], 0)
        rows = np.flatnonzero((kinds != Kind.TEXT) & (kinds != Kind.LSDA))
        keys = (self.eh_relocations["symbol"][rows].astype(np.int64) << 32) | (
            self.eh_relocations["addend"][rows] & 0xFFFFFFFF
        )
        return [int(r) for r in rows[np.unique(keys, return_index=True)[1]]]

    def exception_tables(self) -> dict[int, int]:
        """Function atom → atom of its (first) LSDA."""
        return self._tables

    @cached_property
    def _tables(self) -> dict[int, int]:
        return dict(reversed(self.exception_pairs))
