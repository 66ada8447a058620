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

Two atoms mean the same when bytes and rows are equal. Knows nothing of addresses or of the live process."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from relive.arch import x86_64
from relive.diff.cut import OFFSET_BITS, Ints, cut_sections, section_kinds
from relive.diff.cut import Kind as Kind
from relive.diff.cut import is_clone as is_clone
from relive.diff.cut import is_label as is_label
from relive.elf import constants as c
from relive.elf.object import ElfObject

ROW_DTYPE = np.dtype([("offset", "<u4"), ("type", "<u4"), ("target", "<i8"), ("delta", "<i8")])
SELF = 0
_PENDING = -1


class Interner:
    """Equal things get equal small numbers, over all objects of a session. 0 is reserved for SELF."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def __call__(self, thing: Hashable) -> int:
        return self._numbers.setdefault(thing, len(self._numbers) + 1)


class Atoms:
    """The atoms of one object, ordered by section and start; columns are numpy arrays of equal length."""

    def __init__(self, obj: ElfObject, interner: Interner, renames: Mapping[bytes, bytes] | None = None) -> None:
        """`renames`: local name here → local name in the older object, where the compiler renumbered them."""
        self.object = obj
        self.intern = interner
        self.renames = renames or {}
        self.kinds = section_kinds(obj)
        rel = obj.relocations()
        self.relocations = rel[self.kinds[rel["section"]] != 0] if len(rel) else rel
        self.eh_relocations = rel[self.kinds[rel["section"]] == 0] if len(rel) else rel
        self._targets(rel)
        self._cut(rel)
        self._place()
        self._ids()

    # --- references ----------------------------------------------------------------------------------------------

    def _targets(self, rel: npt.NDArray[np.void]) -> None:
        """For references to something local: section and true offset (with the instruction's bias undone)."""
        symbols, where = self.object.symbols, self.object.symbol_sections
        local = ((symbols["info"] >> 4) == c.STB_LOCAL) & (where != 0) & (symbols["shndx"] != c.SHN_ABS)
        self.symbol_is_local = local

    def _bias(self, rel: npt.NDArray[np.void]) -> Ints:
        bias = np.zeros(len(rel), np.int64)
        if not len(rel):
            return bias
        relative = np.isin(rel["type"], list(x86_64.PC_RELATIVE))
        in_text = relative & (self.kinds[rel["section"]] == Kind.TEXT)
        rows = np.flatnonzero(in_text)
        if len(rows):
            # One decode over the concatenation of the text sections that have references.
            sections = rel["section"][rows]
            used = np.unique(sections)
            gap = b"\0" * 8
            headers = self.object.sections
            offsets, sizes = headers["offset"][used].tolist(), headers["size"][used]
            data = self.object.data
            joined = b"".join([gap + data[o : o + n] for o, n in zip(offsets, sizes.tolist(), strict=True)])
            starts = np.cumsum(sizes.astype(np.int64) + 8) - sizes.astype(np.int64)
            offset_of = np.zeros(int(used.max()) + 1, np.int64)
            offset_of[used] = starts
            fields = offset_of[sections] + rel["offset"][rows].astype(np.int64)
            bias[rows] = x86_64.displacement_bias(np.frombuffer(joined, np.uint8), fields)
        return bias

    def _cut(self, all_relocations: npt.NDArray[np.void]) -> None:
        """Makes the columns section, start, end, symbol (-1: anonymous)."""
        obj = self.object
        rel = all_relocations
        bias = self._bias(rel)
        local = self.symbol_is_local[rel["symbol"]] if len(rel) else np.zeros(0, bool)
        target_section = obj.symbol_sections[rel["symbol"]].astype(np.int64)
        target_offset = obj.symbols["value"][rel["symbol"]].astype(np.int64) + rel["addend"] + bias
        # A pc-relative entry of a table in data is relative to its own place: its target is known only with the atom.
        table_entry = (
            np.isin(rel["type"], [c.R_X86_64_PC32, c.R_X86_64_PC64])
            & np.isin(self.kinds[rel["section"]], [Kind.CONST, Kind.DATA])
            if len(rel)
            else np.zeros(0, bool)
        )
        usable = local & ~table_entry
        cuts = np.unique((target_section[usable] << OFFSET_BITS) + np.maximum(target_offset[usable], 0))
        rows = cut_sections(obj, self.kinds, cuts)
        self.section = rows[:, 0].copy()
        self.start = rows[:, 1].copy()
        self.end = rows[:, 2].copy()
        self.symbol = rows[:, 3].copy()
        self._keys = (self.section << OFFSET_BITS) + self.start
        self.kind = self.kinds[self.section] if len(rows) else np.zeros(0, np.uint8)
        keep = self.kinds[rel["section"]] != 0 if len(rel) else np.zeros(0, bool)
        self.bias, self.table_entry = bias[keep], table_entry[keep]
        eh = ~keep
        self.eh_target = self.locate(target_section[eh], target_offset[eh]) if len(rel) else np.zeros(0, np.int64)

    def locate(self, section: Ints, offset: Ints) -> Ints:
        """Index of the atom that holds each (section, offset); the nearest one of the section for offsets outside;
        -1 when the section has none."""
        if not len(self._keys):
            return np.full(len(section), -1, np.int64)
        clipped = np.clip(offset, 0, (1 << OFFSET_BITS) - 1)
        index = np.searchsorted(self._keys, (section << OFFSET_BITS) + clipped, side="right") - 1
        index = np.maximum(index, 0)
        wrong = self.section[index] != section
        following = np.minimum(index + 1, len(self.section) - 1)
        index = np.where(wrong & (self.section[following] == section), following, index)
        return np.where(self.section[index] == section, index, -1)

    # --- rows ----------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        rel, obj = self.relocations, self.object
        section = rel["section"].astype(np.int64)
        offset = rel["offset"].astype(np.int64)
        self.place = self.locate(section, offset)
        """Atom that each relocation lies in."""
        keys = (section << OFFSET_BITS) + offset
        self._first = np.searchsorted(keys, self._keys)
        self._last = np.searchsorted(keys, (self.section << OFFSET_BITS) + self.end)
        symbol = rel["symbol"]
        self.row_is_local = self.symbol_is_local[symbol] if len(rel) else np.zeros(0, bool)
        raw = obj.symbols["value"][symbol].astype(np.int64) + rel["addend"]
        start = self.start[self.place] if len(rel) else np.zeros(0, np.int64)
        shift = np.where(self.table_entry, -(offset - start), self.bias)
        located = self.locate(obj.symbol_sections[symbol].astype(np.int64), raw + shift)
        self.target = np.where(self.row_is_local, located, -1)
        """Atom that each relocation refers to, for references to something local; -1 otherwise."""
        self.rows = np.zeros(len(rel), ROW_DTYPE)
        self.rows["offset"] = offset - start
        self.rows["type"] = rel["type"]
        base = np.where(self.target >= 0, self.start[self.target] if len(self.start) else 0, 0)
        self.rows["delta"] = np.where(self.row_is_local, raw - base, rel["addend"])

    def _ids(self) -> None:
        obj = self.object
        self.names: list[bytes | None] = [None] * len(self.section)
        self.by_name: dict[bytes, int] = {}
        """Global and local names (all aliases) → atom. A local name that stands twice gets a `#n`."""
        self.aliases: dict[int, list[int]] = {}
        """Atom → indices of all symbols at its start."""
        self.own_names: dict[int, list[bytes]] = {}
        """Atom → all its session names: those of `by_name`. A renumbered local symbol's own name means another atom."""
        self.is_global = np.zeros(len(self.section), bool)
        """Whether a symbol that other units can see names the atom."""
        self._name_atoms()
        label = np.full(len(self.section), _PENDING, np.int64)
        for atom, name in enumerate(self.names):
            if name is not None:
                label[atom] = self.intern(name)
        self._label = label
        names = obj.symbol_names
        ids = np.zeros(len(names), np.int64)
        used = self.relocations["symbol"][~self.row_is_local] if len(self.relocations) else ids
        for index in np.unique(used).tolist():
            ids[index] = self.intern(names[index])
        target = np.where(
            self.row_is_local,
            np.where(self.target >= 0, label[self.target] if len(label) else _PENDING, _PENDING),
            ids[self.relocations["symbol"]] if len(self.relocations) else 0,
        )
        same = self.row_is_local & (self.target == self.place)
        self.rows["target"] = np.where(same, SELF, target)
        self._content: dict[int, int] = {}
        self._settled = False
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

    def _name_atoms(self) -> None:
        obj = self.object
        symbols = obj.symbols
        kind = symbols["info"] & 15
        binding = symbols["info"] >> 4
        wanted = (
            np.isin(kind, [c.STT_FUNC, c.STT_OBJECT, c.STT_TLS, c.STT_GNU_IFUNC])
            | ((kind == c.STT_NOTYPE) & (binding != c.STB_LOCAL))
        ) & (obj.symbol_sections != 0)
        rows = np.flatnonzero(wanted & (obj.symbol_sections < len(self.kinds)))
        if not len(rows):
            return
        atoms = self.locate(obj.symbol_sections[rows].astype(np.int64), symbols["value"][rows].astype(np.int64))
        at_start = (atoms >= 0) & (self.start[atoms] == symbols["value"][rows].astype(np.int64))
        counts: dict[bytes, int] = {}
        is_local = (binding == c.STB_LOCAL).tolist()
        symbol_of = self.symbol.tolist()
        for index, atom, exact in zip(rows.tolist(), atoms.tolist(), at_start.tolist(), strict=True):
            name = obj.symbol_names[index]
            if not exact or not name:
                continue
            if is_local[index]:
                if is_clone(name) or is_label(name):
                    continue
                name = self.renames.get(name, name)
                seen = counts.get(name, 0)
                counts[name] = seen + 1
                if seen:
                    name = b"%s#%d" % (name, seen)
            else:
                self.is_global[atom] = True
            self.by_name[name] = atom
            self.aliases.setdefault(atom, []).append(index)
            self.own_names.setdefault(atom, []).append(name)
            old = self.names[atom]
            # Prefer a global name, then the alphabetically first (C1 before C2): both objects choose the same.
            if old is None or (not is_local[index], old) > (not is_local[symbol_of[atom]], name):
                self.names[atom] = name
                symbol_of[atom] = index
        self.symbol = np.array(symbol_of, np.int64)

    def _content_id(self, atom: int) -> int:
        """Interned content of an anonymous atom; recursion (a clone that calls itself through another) ends in SELF."""
        if atom < 0:
            return self.intern("nothing")
        known = self._content.get(atom)
        if known is not None:
            return known
        self._content[atom] = SELF
        for row in self.row_range(atom):
            self._settle(row)
        text = int(self.kind[atom]) == Kind.TEXT
        catches = self._catches(atom) if text else None
        result = self.intern((text, self.content(atom).rstrip(b"\0"), self.row_bytes(atom), catches))
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
        label = int(self._label[atom])
        return self._content_id(atom) if label == _PENDING else label

    def content(self, atom: int) -> bytes:
        """The bytes of an atom; empty for zero-initialised memory."""
        low, high = self._file_ranges[atom]
        return self.object.data[low:high]

    @cached_property
    def _file_ranges(self) -> list[tuple[int, int]]:
        """(first, last) offset of each atom in the object's file; empty for SHT_NOBITS."""
        headers = self.object.sections[self.section]
        base = headers["offset"].astype(np.int64)
        stored = headers["type"] != c.SHT_NOBITS
        low = base + self.start
        return list(zip(low.tolist(), np.where(stored, base + self.end, low).tolist(), strict=True))

    @cached_property
    def _row_ranges(self) -> list[tuple[int, int]]:
        return list(zip(self._first.tolist(), self._last.tolist(), strict=True))

    @cached_property
    def _all_rows(self) -> bytes:
        return self.rows.tobytes()

    def row_range(self, atom: int) -> range:
        """Indices into `rows`, `relocations`, `target` of the references that lie in an atom."""
        return range(*self._row_ranges[atom])

    def row_bytes(self, atom: int) -> bytes:
        """The references of an atom in comparable form."""
        low, high = self._row_ranges[atom]
        if not self._settled:  # rows are still being filled in
            return self.rows[low:high].tobytes()
        return self._all_rows[low * ROW_DTYPE.itemsize : high * ROW_DTYPE.itemsize]

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
        return [i for i in np.flatnonzero(self.kind == Kind.TEXT).tolist() if self.names[i] is not None]

    def variables(self) -> list[int]:
        """Named atoms of data, constant or mutable or thread-local."""
        data = np.isin(self.kind, [Kind.CONST, Kind.DATA, Kind.TLS])
        return [i for i in np.flatnonzero(data).tolist() if self.names[i] is not None]

    @cached_property
    def exception_pairs(self) -> list[tuple[int, int]]:
        """(function atom, LSDA atom), from the relocations of .eh_frame: an LSDA follows its pc_begin."""
        result = []
        function = -1
        kinds = self.kind.tolist()
        for atom in self.eh_target.tolist():
            if atom < 0:
                continue
            if kinds[atom] == Kind.TEXT.value:
                function = atom
            elif kinds[atom] == Kind.LSDA.value and function >= 0:
                result.append((function, atom))
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
