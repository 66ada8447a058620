"""Which parts of the new objects are placed, and what every reference in them means.

The rule of the house: *nothing that lives is placed again.* Starting from the changed functions, references are
followed: to a function or variable that lives → its address; to something new, or to a constant that had to move →
it is placed too, and followed. A function's address is always its home, the entry of its first version: pointers
stay equal, and every caller, old or new, runs the newest code through the home's redirect.

A constant of unchanged size is rewritten where it lives (tables, vtables): everybody who has its address sees the new
content. One that grew moves, and then everything that mentions it is replaced as well, constructors included.

Invariant: a placed block is never a mutable variable that already lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relive.arch import x86_64
from relive.diff.atoms import Atoms, Kind
from relive.diff.initialisers import is_initialiser
from relive.elf import constants as c
from relive.errors import Refusal
from relive.link.construct import plan_construction
from relive.link.model import Address, Block, InPlace, LinkUnit, Moved, Redirect, Scope, Selection


@dataclass(frozen=True, slots=True)
class Placed:
    """A reference to something in the patch: section offset of a unit."""

    unit: int
    section: int
    offset: int


@dataclass(frozen=True, slots=True)
class Named:
    """A reference to a name that is defined elsewhere in the process, or to a new common symbol."""

    name: bytes
    weak: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A reference to a function that gets a new home: a jump of its own in the patch, which later reloads rewrite."""

    unit: int
    atom: int


DEAD = None
"""A reference that nobody needs: the entry of an unplaced function's switch table, a discarded section."""

Target = Placed | Named | Entry | int | Address | None


class Owners:
    """Every global name has one owner in the patch: the first unit that defines it, strong before weak, and among those
    one in which it changed (in another unit an inline function may just have become used). Found when asked for: units
    have ten thousand names."""

    def __init__(self, units: Sequence[LinkUnit]) -> None:
        self._units = units
        self._changed = [frozenset(unit.comparison.changed) for unit in units]
        self._known: dict[bytes, tuple[int, int] | None] = {}

    def get(self, name: bytes, default: tuple[int, int] | None = None) -> tuple[int, int] | None:
        """(unit, atom) of the owner."""
        if name not in self._known:
            self._known[name] = self._find(name)
        known = self._known[name]
        return default if known is None else known

    def __contains__(self, name: bytes) -> bool:
        return self.get(name) is not None

    def __getitem__(self, name: bytes) -> tuple[int, int]:
        known = self.get(name)
        if known is None:
            raise KeyError(name)
        return known

    def _find(self, name: bytes) -> tuple[int, int] | None:
        candidates = []
        for u, unit in enumerate(self._units):
            new = unit.new
            atom = new.by_name.get(name)
            if atom is None:
                continue
            for index in new.aliases.get(atom, ()):
                binding = int(new.object.symbols["info"][index]) >> 4
                if binding != c.STB_LOCAL and new.object.symbol_names[index] == name:
                    candidates.append((binding != c.STB_GLOBAL, atom not in self._changed[u], u, atom))
        if not candidates:
            return None
        *_, u, atom = min(candidates)
        return u, atom


class Selector:
    """Builds a Selection; also answers what a reference means (`target`) until everything is relocated."""

    def __init__(self, units: Sequence[LinkUnit], scope: Scope) -> None:
        self.scope = scope
        self.selection = Selection(tuple(units))
        self._replaced: set[tuple[int, int]] = set()
        """(unit, atom) of functions that get new code, and of constants that move."""
        self._owner = Owners(units)
        self._fresh: set[tuple[int, int]] = set()
        """(unit, atom) of initialisers that run for new variables: never the living function of that name."""
        self._unwinding: set[int] = set()
        """Units whose personality routines are looked after."""
        self._rehomed: set[tuple[int, int]] = set()
        self._reborn = frozenset(name for unit in units for name in unit.reborn)
        self._done = 0

    def select(self) -> Selection:
        """Runs all steps. Refusals are collected in the selection; the caller must look."""
        self._seed()
        self._spread()
        self._follow()
        self._construct()
        return self.selection

    # --- what is new or replaced ---------------------------------------------------------------------------------

    def _seed(self) -> None:
        for u, unit in enumerate(self.selection.units):
            comparison, new = unit.comparison, unit.new
            for atom in comparison.changed:
                if new.kind[atom] == Kind.TEXT:
                    self._replace_function(u, atom)
                else:
                    self._replace_constant(u, atom)
            for atom in comparison.resized:
                self._refuse_resized(u, atom)
            for atom in comparison.added:
                self._seed_added(u, atom)

    def _seed_added(self, u: int, atom: int) -> None:
        """New strong globals are placed even if nobody mentions them yet: a later edit of another unit may."""
        unit = self.selection.units[u]
        name = unit.new.names[atom]
        assert name is not None
        section = unit.new.object.section_names[int(unit.new.section[atom])]
        if section.isidentifier() and self.scope.find(b"__start_" + section.encode()) is not None:
            self._refuse(
                u, atom, "section-array-grows", f"the program walks over the section {section}, which cannot grow",
                "restart the program",
            )  # fmt: skip
            return
        if not unit.new.is_global[atom] or self._owns(u, atom) is False or is_initialiser(name):
            return
        strong = any(unit.new.object.symbols["info"][i] >> 4 == c.STB_GLOBAL for i in unit.new.aliases.get(atom, ()))
        home = self.scope.find(name) if strong and name not in unit.gone else None
        if home is None:
            if strong:
                self._place_atom(u, atom)
        elif unit.new.kind[atom] == Kind.TEXT and isinstance(home, int):
            # The function moved here from another file of the program.
            self._replaced.add((u, atom))
            self.selection.redirects.append(Redirect(name, home, u, atom))
        elif unit.new.kind[atom] != Kind.TEXT and (size := self._size_elsewhere(name)) is not None:
            # The same for a variable: it stays where it lives.
            if size != unit.new.size(atom):
                self._refuse_size(u, atom, size)
            elif unit.new.kind[atom] == Kind.CONST and isinstance(home, int):
                self.selection.in_place.append(InPlace(name, home, u, atom))

    def _size_elsewhere(self, name: bytes) -> int | None:
        """Bytes of what another of the changed units had under a global name."""
        for unit in self.selection.units:
            old = unit.comparison.old
            before = old.by_name.get(name)
            if before is not None and old.is_global[before]:
                return old.size(before)
        return None

    def _owns(self, u: int, atom: int) -> bool:
        new = self.selection.units[u].new
        names = [new.object.symbol_names[i] for i in new.aliases.get(atom, ())]
        owners = [self._owner.get(name) for name in names]
        return all(owner is None or owner == (u, atom) for owner in owners) or not new.is_global[atom]

    def _replace_function(self, u: int, atom: int) -> None:
        unit = self.selection.units[u]
        name = unit.new.names[atom]
        assert name is not None
        if (u, atom) in self._replaced or is_initialiser(name):
            return
        home = self._live(u, atom)
        if not isinstance(home, int) or not self._owns(u, atom):
            return  # never linked into the program, or another unit's copy is the one that is replaced
        if unit.new.kind[atom] == Kind.TEXT and unit.new.is_ifunc(atom):
            self._refuse(
                u, atom, "ifunc-changed", "it is an IFUNC resolver, which has run already", "restart the program"
            )
            return
        if name in unit.folded:
            self._refuse(
                u, atom, "function-folded", "the linker gave it the same code as another function",
                "link without --icf",
            )  # fmt: skip
            return
        self._replaced.add((u, atom))
        if name in self._reborn:
            self.selection.reborn.append(Redirect(name, home, u, atom))
            self._fresh.add((u, atom))
        elif name in self.selection.units[u].rehomed:
            self.selection.rehomed.append(Redirect(name, home, u, atom))
            self._rehomed.add((u, atom))
        else:
            self.selection.redirects.append(Redirect(name, home, u, atom))

    def _replace_constant(self, u: int, atom: int) -> None:
        unit = self.selection.units[u]
        old, new = unit.comparison.old, unit.new
        before = unit.comparison.counterpart[atom]
        name = new.names[atom]
        assert name is not None
        address = self._live(u, atom)
        if not isinstance(address, int) or not self._owns(u, atom):
            return
        merged = int(old.object.sections["flags"][int(old.section[before])]) & c.SHF_MERGE
        if old.size(before) == new.size(atom) and not merged:
            self.selection.in_place.append(InPlace(name, address, u, atom))
        elif (u, atom) not in self._replaced:
            self._replaced.add((u, atom))
            self.selection.moved.append(Moved(name, address, u, atom))

    def _refuse_resized(self, u: int, atom: int) -> None:
        unit = self.selection.units[u]
        before = unit.comparison.old.size(unit.comparison.counterpart[atom])
        if self._live(u, atom) is None:
            return
        self._refuse_size(u, atom, before)

    def _refuse_size(self, u: int, atom: int, before: int) -> None:
        self._refuse(
            u, atom, "variable-resized",
            f"it lives in the program with {before} bytes and would need {self.selection.units[u].new.size(atom)}",
            "restart the program, or give the variable a new name",
        )  # fmt: skip

    # --- what must be replaced because of that -------------------------------------------------------------------

    def _spread(self) -> None:
        """Functions in one section with a replaced one, and everything that mentions a constant that moved."""
        for u, unit in enumerate(self.selection.units):
            new = unit.new
            sections = {int(new.section[a]) for v, a in self._replaced if v == u and new.kind[a] == Kind.TEXT}
            beside = np.isin(new.section, list(sections)) & (new.kind == Kind.TEXT) & (new.label >= 0)
            for atom in np.flatnonzero(beside).tolist():
                self._replace_function(u, atom)
        if not self.selection.moved and not self.selection.reborn:
            return
        changed = True
        while changed:
            before = len(self._replaced)
            for u, unit in enumerate(self.selection.units):
                for atom in self._mentioning_moved(u):
                    if unit.new.kind[atom] == Kind.TEXT:
                        self._replace_function(u, atom)
                    elif unit.new.kind[atom] == Kind.CONST and atom in unit.comparison.counterpart:
                        done = any(p.unit == u and p.atom == atom for p in self.selection.in_place)
                        if not done and (u, atom) not in self._replaced:
                            self._replace_constant(u, atom)
            changed = len(self._replaced) != before

    def _mentioning_moved(self, u: int) -> set[int]:
        """Named atoms of a unit with a reference, also through anonymous atoms, to a constant that moved or to a
        function with a new identity."""
        new = self.selection.units[u].new
        gone: list[Moved | Redirect] = [*self.selection.moved, *self.selection.reborn]
        names = {m.name for m in gone}
        moved = {m.atom for m in gone if m.unit == u}
        moved |= {atom for name, atom in new.by_name.items() if name in names and new.is_global[atom]}
        reached: set[int] = set()
        front = set(moved)
        undefined = {i for i, n in enumerate(new.object.symbol_names) if n in names and not new.symbol_is_local[i]}
        for row, symbol in enumerate(new.relocations["symbol"].tolist()):
            if symbol in undefined:
                front.add(-row - 2)
        referrers: dict[int, set[int]] = {}
        for place, target in zip(new.place.tolist(), new.target.tolist(), strict=True):
            referrers.setdefault(target, set()).add(place)
        queue = list(front)
        while queue:
            atom = queue.pop()
            sources = {int(new.place[-atom - 2])} if atom <= -2 else referrers.get(atom, set())
            for source in sources - reached:
                reached.add(source)
                if new.names[source] is None:
                    queue.append(source)
        return {a for a in reached if new.names[a] is not None} - moved

    def _construct(self) -> None:
        """New variables with constructors: their initialisers are placed too, and will run once."""
        for u, unit in enumerate(self.selection.units):
            new = unit.new
            variables = [a for a in new.variables() if new.kind[a] in (Kind.DATA, Kind.TLS)]
            # A new variable counts even if no code mentions it: its constructor may (std::ios_base::Init, registrars).
            added = set(unit.comparison.added)
            placed = {a for a in variables if self._is_placed(u, a) or (a in added and self._live(u, a) is None)}
            if not placed:
                continue
            live = {a for a in variables if a not in placed and self._live(u, a) is not None}
            plan = plan_construction(unit, placed, live)
            for leaf in plan.mixed:
                self._refuse(
                    u, leaf, "initialisers-mixed",
                    "it constructs new variables and living ones, and their code cannot be separated",
                    "compile the unit with -O0 -g, or put the new variable into a file of its own",
                )  # fmt: skip
            self._fresh |= {(u, a) for a in plan.fresh}
            self.selection.skips.update({(u, a): skips for a, skips in plan.skips.items()})
            for atom in sorted(plan.fresh | plan.constructed):
                self._place_atom(u, atom)
            self.selection.initialisers += [(u, atom) for atom in plan.entries]
        self._follow()

    def _is_placed(self, u: int, atom: int) -> bool:
        new = self.selection.units[u].new
        for index in self.selection.by_place.get((u, int(new.section[atom])), ()):
            block = self.selection.blocks[index]
            if block.start <= int(new.start[atom]) < block.end:
                return True
        return False

    # --- closure -------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        for u, atom in sorted(self._replaced):
            self._place_atom(u, atom)
        for entry in self.selection.in_place:
            self._follow_rows(entry.unit, self.selection.units[entry.unit].new.row_range(entry.atom))
        while self._done < len(self.selection.blocks):
            block = self.selection.blocks[self._done]
            self._done += 1
            new = self.selection.units[block.unit].new
            self._follow_rows(block.unit, rows_in(new, block))
            if new.kinds[block.section] == Kind.TEXT:
                self._follow_unwind(block.unit, block.section)

    def _follow_unwind(self, u: int, section: int) -> None:
        """Exception tables of a text section and the personality routine's pointer."""
        new = self.selection.units[u].new
        tables = new.exception_tables_by_section.get(section, ())
        for lsda in tables:
            self._place_atom(u, lsda)
        if not tables or u in self._unwinding:
            return
        self._unwinding.add(u)
        for row in new.personality_rows:
            symbol, atom = int(new.eh_relocations["symbol"][row]), int(new.eh_target[row])
            if not new.symbol_is_local[symbol]:
                target = self.by_name(u, new.object.symbol_names[symbol])
            elif atom >= 0:
                target = self._of_atom(u, atom)
            else:
                continue
            if isinstance(target, Placed):
                self._place_atom(target.unit, self._locate(self.selection.units[target.unit].new, target))
            elif isinstance(target, Named):
                self.selection.externals.add(target.name)

    def _follow_rows(self, u: int, rows: range) -> None:
        new = self.selection.units[u].new
        for row in rows:
            target = self.target(u, row)
            if isinstance(target, Placed):
                atom = int(self._locate(new if target.unit == u else self.selection.units[target.unit].new, target))
                if self.selection.block_at(target.unit, target.section, target.offset) is None and atom >= 0:
                    self._place_atom(target.unit, atom)
            elif isinstance(target, Named):
                self._need(u, target)

    def _need(self, u: int, target: Named) -> None:
        new = self.selection.units[u].new
        for index in new.commons:
            if new.object.symbol_names[index] == target.name:
                symbol = new.object.symbols[index]
                size, align = self.selection.commons.get(target.name, (0, 1))
                self.selection.commons[target.name] = (max(size, int(symbol["size"])), max(align, int(symbol["value"])))
                return
        self.selection.externals.add(target.name)

    @staticmethod
    def _locate(atoms: Atoms, target: Placed) -> int:
        return int(atoms.locate(np.array([target.section]), np.array([target.offset]))[0])

    def _place_atom(self, u: int, atom: int) -> None:
        """Adds the block that holds an atom."""
        new = self.selection.units[u].new
        section = int(new.section[atom])
        low, high = int(new.start[atom]), int(new.end[atom])
        kind = new.kinds[section]
        if kind == Kind.TEXT:
            low, high = 0, int(new.object.sections["size"][section])
        elif new.names[atom] is None:
            # The run of nameless atoms around it.
            first, last = np.searchsorted(new.section, [section, section + 1]).tolist()
            before, after = np.flatnonzero(new.label[first:atom] >= 0), np.flatnonzero(new.label[atom:last] >= 0)
            first = first + int(before[-1]) + 1 if len(before) else first
            last = atom + int(after[0]) if len(after) else last
            low, high = int(new.start[first]), int(new.end[last - 1])
        if any(self.selection.blocks[i].start == low for i in self.selection.by_place.get((u, section), ())):
            return
        align = max(1, int(new.object.sections["addralign"][section]))
        if low % align:
            align = low & -low
        if kind in (Kind.DATA, Kind.TLS) and new.names[atom] is None and not self._is_constant(u, section, low, high):
            # It may be a variable that lives already: without a name it cannot be found, and a copy would be another.
            self._refuse(
                u, atom, "anonymous-variable", f"{new.object.section_names[section]} holds a variable without a name",
                "restart the program",
            )  # fmt: skip
            return
        index = len(self.selection.blocks)
        self.selection.blocks.append(Block(u, section, low, high, align))
        self.selection.by_place.setdefault((u, section), []).append(index)
        for inside in named_in(new, self.selection.blocks[index]):
            for symbol in new.aliases.get(inside, ()):
                name = new.object.symbol_names[symbol]
                if new.is_global[inside] and self._owner.get(name) == (u, inside):
                    self.selection.definitions[name] = (u, inside)

    def _is_constant(self, u: int, section: int, low: int, high: int) -> bool:
        """Whether nameless writable memory is a constant all the same. Compilers name each variable; what they leave
        nameless there has addresses in it: clang's stubs for typeinfo and personality, and the first value of an
        automatic array or struct, which gcc copies out of .data (varasm.c: a CONSTRUCTOR with relocations is
        SECCAT_DATA). Only in assembly may it be a variable."""
        unit = self.selection.units[u]
        rows = rows_in(unit.new, Block(u, section, low, high, 1))
        return len(rows) > 0 and not unit.source.endswith((".s", ".S", ".asm"))

    # --- meaning of a reference ----------------------------------------------------------------------------------

    def target(self, u: int, row: int) -> Target:
        """What a relocation refers to, its addend left out; for a local target: the start of the atom or label."""
        new = self.selection.units[u].new
        symbol = int(new.relocations["symbol"][row])
        if not new.row_is_local[row]:
            weak = bool(new.object.symbols["info"][symbol] >> 4 == c.STB_WEAK)
            return self.by_name(u, new.object.symbol_names[symbol], weak=weak)
        atom = int(new.target[row])
        if atom < 0:
            return DEAD
        return self._of_local(u, row, atom)

    def by_name(self, u: int, name: bytes, *, weak: bool = False) -> Target:
        """What a global name means to a unit."""
        atom = self.selection.units[u].new.by_name.get(name)
        if atom is not None:
            return self._of_atom(u, atom)
        if not name:
            return DEAD
        unit = self.selection.units[u]
        if unit.partial and name in unit.live and not is_visible(unit.comparison.old, name):
            return unit.live[name]
        if name in self._owner:
            return self._of_atom(*self._owner[name])
        address = self.scope.find(name)
        return Named(name, weak) if address is None else address

    def of_data(self, u: int, section: int, offset: int) -> Target:
        """What a section offset outside of the patch means: the atom there, which must lie at that offset."""
        new = self.selection.units[u].new
        atom = self._locate(new, Placed(u, section, offset))
        if atom < 0 or int(new.start[atom]) != offset:
            return DEAD
        return self._of_atom(u, atom)

    def _of_local(self, u: int, row: int, atom: int) -> Target:
        """A reference by section or local symbol. The result stands for the *atom's start*; see `local_addend`."""
        new = self.selection.units[u].new
        if new.kind[atom] == Kind.TEXT and new.names[atom] is not None and not is_entry_reference(new, row):
            section, start = int(new.section[atom]), int(new.start[atom])
            if (u, atom) in self._replaced | self._fresh or self.selection.block_at(u, section, start) is not None:
                return Placed(u, section, start)
            if new.kind[int(new.place[row])] == Kind.TEXT:
                name = new.names[atom] or b"?"
                self._refuse(
                    u, atom, "label-in-other-function", f"new code jumps into the middle of {name.decode()}",
                    "restart the program",
                )  # fmt: skip
            return DEAD
        return self._of_atom(u, atom)

    def _of_atom(self, u: int, atom: int) -> Target:
        new = self.selection.units[u].new
        section, start = int(new.section[atom]), int(new.start[atom])
        name = new.names[atom]
        if name is None or (u, atom) in self._fresh:
            return Placed(u, section, start)
        if (u, atom) in self._rehomed:
            return Entry(u, atom)
        if new.kind[atom] != Kind.TEXT and (u, atom) in self._replaced:
            return Placed(u, section, start)
        if new.is_global[atom] and self._owner.get(name) in self._rehomed:
            return Entry(*self._owner[name])
        if name in self._reborn and new.is_global[atom] and self._owner.get(name, (u, atom)) != (u, atom):
            return self._of_atom(*self._owner[name])
        address = self._live(u, atom)
        if address is not None:
            moved = self._moved_owner(name) if new.is_global[atom] else None
            return moved if moved is not None else self._as_others_see(u, atom, address)
        if new.is_global[atom]:
            owner = self._owner.get(name)
            if owner is not None and owner != (u, atom):
                return self._of_atom(*owner)
        return Placed(u, section, start)

    def _as_others_see(self, u: int, atom: int, address: Address) -> Address:
        """What a global name means where it is used: an IFUNC is what its resolver chose, and in a library the
        program's definition (or copy) of a name comes before the library's own."""
        symbols = self.selection.units[u].new.object.symbols
        for index in self.selection.units[u].new.aliases.get(atom, ()):
            symbol = symbols[index]
            if symbol["info"] >> 4 == c.STB_LOCAL or symbol["other"] & 3 != c.STV_DEFAULT:
                continue
            found = self.scope.find(self.selection.units[u].new.object.symbol_names[index])
            if isinstance(found, int):
                return found
        return address

    def _moved_owner(self, name: bytes) -> Placed | None:
        owner = self._owner.get(name)
        if owner is None or owner not in self._replaced:
            return None
        new = self.selection.units[owner[0]].new
        if new.kind[owner[1]] == Kind.TEXT:
            return None
        return Placed(owner[0], int(new.section[owner[1]]), int(new.start[owner[1]]))

    def _live(self, u: int, atom: int) -> Address | None:
        """Where an atom already lives, under any of its names."""
        unit = self.selection.units[u]
        if unit.new.holds_labels(atom):
            return None
        name = unit.new.names[atom]
        if name is not None and name in unit.live:
            return unit.live[name]
        for alias in unit.new.own_names.get(atom, ()):
            if alias in unit.live:
                return unit.live[alias]
        for index in unit.new.aliases.get(atom, ()):
            if unit.new.object.symbols["info"][index] >> 4 != c.STB_LOCAL and name not in unit.gone:
                found = self.scope.find(unit.new.object.symbol_names[index])
                if found is not None:
                    return found
        return None

    # --- refusals ------------------------------------------------------------------------------------------------

    def _refuse(self, u: int, atom: int, code: str, reason: str, hint: str) -> None:
        unit = self.selection.units[u]
        name = unit.new.names[atom] or b"?"
        refusal = Refusal(code, name.decode("utf-8", "replace"), reason, hint, unit.source)
        if refusal not in self.selection.refusals:
            self.selection.refusals.append(refusal)


def is_visible(atoms: Atoms, name: bytes) -> bool:
    """Whether other units see a name of an object."""
    atom = atoms.by_name.get(name)
    return atom is not None and bool(atoms.is_global[atom])


def is_entry_reference(atoms: Atoms, row: int) -> bool:
    """Whether a reference to code means the function itself and not a label inside of it."""
    delta, bias = int(atoms.rows["delta"][row]), int(atoms.bias[row])
    if atoms.table_entry[row]:
        return False
    kind = int(atoms.relocations["type"][row])
    return delta + (bias if kind in x86_64.PC_RELATIVE else 0) == 0


def rows_in(atoms: Atoms, block: Block) -> range:
    """Indices of the relocations that lie in a block."""
    first, last = np.searchsorted(atoms.row_section, [block.section, block.section + 1]).tolist()
    low, high = np.searchsorted(atoms.row_offset[first:last], [block.start, block.end]).tolist()
    return range(first + low, first + high)


def atoms_in(atoms: Atoms, block: Block) -> range:
    """Atoms that lie in a block."""
    first, last = np.searchsorted(atoms.section, [block.section, block.section + 1]).tolist()
    low, high = np.searchsorted(atoms.start[first:last], [block.start, block.end]).tolist()
    return range(first + low, first + high)


def named_in(atoms: Atoms, block: Block) -> list[int]:
    """Atoms with a name that lie in a block; a section of strings has thousands without one."""
    found = atoms_in(atoms, block)
    named: list[int] = (np.flatnonzero(atoms.label[found.start : found.stop] >= 0) + found.start).tolist()
    return named
