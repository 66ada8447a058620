"""The symbol dependency graph, after CTwik: what needs what, and what an edit reaches.

Theory of operation. A vertex is a component at globally accessible scope: function, class, enum, alias, variable,
declaration, macro; and a member function that is defined in its class. A *red* edge c1 → c2 says that c2 declares a
symbol that c1 uses; a *blue* edge is the same one backwards. Edges are found by name, within units, in the order of the
text: c2 counts when it declares a name that c1 holds and comes before c1 in some unit (templates look up names later,
and types may be completed later: for them the order does not matter). A function of that name in any namespace counts,
since it may be found through its arguments; anything else only if its namespace is around, is named, or is opened by a
using directive: one edge too many costs a little, one too few would be wrong. Members need no search of their own: an
expression has a type, the type comes from something that is named, and so the class of a member is always behind edges
that are there; a *direct* edge for ``car.price()`` is drawn to those classes behind them that have such a member. What
is used without being named (operators, specialisations, deduction guides, functions found through their arguments)
hangs on the types it is about: who uses the type uses it.

Bodies stop the way: what uses c2 only in its body must be compiled again when c2's interface changes, but nobody sees
that from outside. So

    L1  what was edited
    L2  what must be compiled again: along blue edges, on from a component only if its own interface is touched
    L3  what must be there to compile L2: along red edges, from functions outside of L2 by their declaration alone

Memory: arrays of (name, row), sorted by name; a search is a bisection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from relive.source.forms import AMBIENT, ATTACHED, MACRO, UNSURE, Form, Run
from relive.source.lookup import LATE, TYPES, Lookup
from relive.source.model import Kind


@dataclass(frozen=True, slots=True)
class Vertex:
    """One component for people. ``key`` stays the same while other things are edited."""

    number: int
    file: str
    kind: int
    name: str
    ordinal: int
    line: int
    last_line: int
    flags: int
    role: int

    @property
    def key(self) -> tuple[str, int, str, int]:
        return self.file, self.kind, self.name, self.ordinal


@dataclass(frozen=True, slots=True)
class Edit:
    """``interface``: what others can see of it changed as well."""

    vertex: int
    interface: bool


@dataclass(frozen=True, slots=True)
class Sets:
    """L1, L2 and L3 (which holds the two others), each in an order that compiles."""

    edited: tuple[int, ...]
    affected: tuple[int, ...]
    needed: tuple[int, ...]
    doubts: tuple[str, ...] = ()
    """Why they may not be all; empty when they are."""


class Graph:
    """Forms and units put together. Rows are (form, vertex of the form); vertices are rows that are the same component
    seen by different units. Numbers of vertices are good for this object only."""

    def __init__(self, forms: Iterable[Form], units: Mapping[str, Sequence[Run]]) -> None:
        self._at = Lookup(forms, units)
        self.forms = self._at.forms
        self.units = tuple(units)
        self._identify()
        self._attached = np.flatnonzero(self._at.table["role"] & ATTACHED)
        self._attached_to: dict[int, list[int]] | None = None
        self._red: dict[tuple[int, bool], frozenset[int]] = {}

    def _identify(self) -> None:
        """Vertices: rows with the same file, kind, name and ordinal."""
        several: set[str] = set()
        seen: set[str] = set()
        for form in self.forms:
            (several if form.file in seen else seen).add(form.file)
        self._vertex_of = np.zeros(len(self._at.table), np.int64)
        self._rows_of: list[tuple[int, ...]] = []
        known: dict[tuple[str, int, str, int], int] = {}
        for base, form in zip(self._at.bases, self.forms, strict=True):
            count = len(self._rows_of)
            if form.file not in several:
                self._vertex_of[base : base + len(form)] = np.arange(count, count + len(form))
                self._rows_of += [(row,) for row in range(base, base + len(form))]
                continue
            kinds, ordinals = form.table["kind"].tolist(), form.table["ordinal"].tolist()
            for i, key in enumerate(zip([form.file] * len(form), kinds, form.names, ordinals, strict=True)):
                number = known.get(key)
                if number is None:
                    number = known[key] = len(self._rows_of)
                    self._rows_of.append((base + i,))
                else:
                    self._rows_of[number] += (base + i,)
                self._vertex_of[base + i] = number

    # --- vertices ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._rows_of)

    def vertex(self, number: int) -> Vertex:
        row = self._rows_of[number][0]
        at = self._at.table[row]
        form, local = self._at.local(row)
        return Vertex(
            number, form.file, int(at["kind"]), form.names[local], int(at["ordinal"]), int(at["line"]),
            int(at["last_line"]), int(at["flags"]), int(at["role"]),
        )  # fmt: skip

    def of_file(self, file: str) -> list[int]:
        """Vertices of a file, in text order of the first unit that shows them."""
        found: dict[int, None] = {}
        for base, form in zip(self._at.bases, self.forms, strict=True):
            if form.file == file:
                found.update(dict.fromkeys(self._vertex_of[base : base + len(form)].tolist()))
        return list(found)

    def row_in(self, number: int, unit: str) -> tuple[str, int] | None:
        """(file, index in its form) of a vertex as one unit shows it, None where it does not."""
        place = self.units.index(unit)
        for row in self._rows_of[number]:
            if place in self._at.span[int(self._at.form_of[row])]:
                form, local = self._at.local(row)
                return form.file, local
        return None

    def units_of(self, number: int) -> tuple[str, ...]:
        """Units that show a vertex."""
        places = {unit for row in self._rows_of[number] for unit in self._at.span[int(self._at.form_of[row])]}
        return tuple(self.units[place] for place in sorted(places))

    def find(self, symbol: str, file: str | None = None) -> list[int]:
        """Vertices called so: by qualified name, by its end (``Car::getPrice`` of ``shop::Car::getPrice``)."""
        found: dict[int, None] = {}
        for base, form in zip(self._at.bases, self.forms, strict=True):
            if file is not None and form.file != file:
                continue
            for i, name in enumerate(form.names):
                if name == symbol or name.endswith("::" + symbol):
                    found[int(self._vertex_of[base + i])] = None
        exact = [number for number in found if self.vertex(number).name == symbol]
        return exact or list(found)

    def at(self, file: str, line: int) -> list[int]:
        """Vertices that hold a line, the innermost first."""
        found = [v for v in map(self.vertex, self.of_file(file)) if v.line <= line <= v.last_line]
        return [v.number for v in sorted(found, key=lambda v: v.last_line - v.line)]

    # --- edges ---------------------------------------------------------------------------------------------------

    def red(self, number: int, *, members: bool = True) -> frozenset[int]:
        """What a component needs: everything that declares something it names. ``members``: also the classes of the
        members that it selects, which are behind the other edges anyhow."""
        found = self._needs(number, whole=True)
        selected = self._selected(number) if members else []
        if selected:
            reached = self.closure([number])
            found |= {vertex for vertex in selected if vertex in reached and vertex != number}
        return found

    def blue(self, number: int) -> frozenset[int]:
        """What needs it, by name."""
        interface, body = self._users(number)
        return interface | body | self._hangs_on(number)

    def closure(self, numbers: Iterable[int]) -> set[int]:
        """Everything behind red edges: the given ones with their bodies, all others by what they show."""
        reached = set(numbers)
        waiting = [(number, True) for number in reached]
        while waiting:
            number, whole = waiting.pop()
            for other in self._needs(number, whole):
                if other not in reached:
                    reached.add(other)
                    waiting.append((other, False))
        return reached

    def _needs(self, number: int, whole: bool) -> frozenset[int]:
        known = self._red.get((number, whole))
        if known is None:
            found: set[int] = set()
            for row in self._rows_of[number]:
                self._add_needs(row, whole, found)
            found.discard(number)
            known = self._red[number, whole] = frozenset(found)
        return known

    def _add_needs(self, row: int, whole: bool, found: set[int]) -> None:
        form, local = self._at.local(row)
        names = [form.uses[local], *([form.body[local]] if whole else [])]
        macros = form.macros[local]
        kinds = self._at.table["kind"]
        is_macro = int(kinds[row]) == MACRO
        for other in self._at.index("declares").rows(np.concatenate(names)):
            # The words of a macro's source text are those of other macros too; elsewhere macros are expanded.
            vertex = int(self._vertex_of[other])
            if vertex not in found and self._at.visible(other, row):
                found.add(vertex)
        for other in self._at.index("declares").rows(macros):
            if int(kinds[other]) == MACRO and (is_macro or self._at.visible(other, row)):
                found.add(int(self._vertex_of[other]))
        owner = int(self._at.table["owner"][row])
        if owner >= 0:
            found.add(int(self._vertex_of[self._at.bases[int(self._at.form_of[row])] + owner]))
        if int(kinds[row]) in TYPES:
            found.update(self._attachments().get(int(self._vertex_of[row]), ()))

    def _users(self, number: int) -> tuple[frozenset[int], frozenset[int]]:
        """(those that show it, those that have it only in their bodies)"""
        interface: set[int] = set()
        body: set[int] = set()
        for row in self._rows_of[number]:
            form, local = self._at.local(row)
            names = form.declares[local]
            macro = int(self._at.table["kind"][row]) == MACRO
            for field, found in (("uses", interface), ("body", body), ("macros", interface)):
                if field == "macros" and not macro:
                    continue
                for user in self._at.index(field).rows(names):
                    vertex = int(self._vertex_of[user])
                    if vertex not in found and self._at.visible(row, user):
                        found.add(vertex)
            base = self._at.bases[int(self._at.form_of[row])]
            if int(self._at.table["kind"][row]) == Kind.CLASS:
                owned = np.flatnonzero(form.table["owner"] == local) + base
                body.update(self._vertex_of[owned].tolist())
        interface.discard(number)
        body.discard(number)
        return frozenset(interface), frozenset(body - interface)

    def _attachments(self) -> dict[int, list[int]]:
        """Type → what is used with it without being named."""
        if self._attached_to is None:
            self._attached_to = {}
            for row in self._attached.tolist():
                form, local = self._at.local(row)
                for other in self._at.index("declares").rows(form.uses[local]):
                    # in whatever order: a friend may come before, a forward declaration is enough
                    is_type = int(self._at.table["kind"][other]) in TYPES
                    if is_type and self._at.together(other, row) and self._at.in_scope(other, row):
                        number = int(self._vertex_of[other])
                        self._attached_to.setdefault(number, []).append(int(self._vertex_of[row]))
        return self._attached_to

    def _selected(self, number: int) -> list[int]:
        found: dict[int, None] = {}
        for row in self._rows_of[number]:
            form, local = self._at.local(row)
            for other in self._at.index("members").rows(form.selects[local]):
                found[int(self._vertex_of[other])] = None
        return list(found)

    def _precedes(self, number: int, last: Mapping[int, int]) -> bool:
        """Whether a vertex comes before something in `_last_rows`."""
        for row in self._rows_of[number]:
            form = int(self._at.form_of[row])
            if row < last.get(form, -1) or any(form != other and self._at.before(form, other) for other in last):
                return True
        return False

    def _last_rows(self, numbers: Iterable[int]) -> dict[int, int]:
        """The last row of these vertices in each form; the form's very last where one looks up names late."""
        last: dict[int, int] = {}
        for number in numbers:
            for row in self._rows_of[number]:
                form = int(self._at.form_of[row])
                late = int(self._at.table["flags"][row]) & LATE
                row = self._at.bases[form] + len(self.forms[form]) if late else row
                last[form] = max(row, last.get(form, -1))
        return last

    # --- what an edit reaches --------------------------------------------------------------------------------------

    def sets(self, edits: Iterable[Edit], *, through_bodies: bool = False) -> Sets:
        """``through_bodies``: the compiler inlines, so that a body is seen by those that call it."""
        edits = list(edits)
        affected = self._affected(edits, through_bodies)
        last = self._last_rows(affected)
        # The closure goes from types to what completes them further down: what comes after everything is left out.
        needed = {number for number in self.closure(affected) if number in affected or self._precedes(number, last)}
        ambient = self._vertex_of[np.flatnonzero(self._at.table["role"] & AMBIENT)]
        needed.update(number for number in ambient.tolist() if self._precedes(number, last))
        first = {edit.vertex for edit in edits}
        order = self.in_order(needed)
        return Sets(
            tuple(v for v in order if v in first),
            tuple(v for v in order if v in affected),
            tuple(order),
            self._doubts(edits, needed),
        )

    def _affected(self, edits: Sequence[Edit], through_bodies: bool) -> set[int]:
        reached = {edit.vertex for edit in edits}
        shown = {edit.vertex for edit in edits if edit.interface or through_bodies}
        # Who uses what is never named is not known, only with which types. All that have one of these are reached when
        # it is edited, or when what it gives back is touched; what it takes comes from its users, who are reached then.
        waiting = [*shown, *(hung for number in shown for hung in self._hangs_on(number))]
        shown.update(waiting)
        reached |= shown
        while waiting:
            number = waiting.pop()
            interface, body = self._users(number)
            fresh = (interface | body if through_bodies else interface) - shown
            for other in list(fresh):
                if self._gives_back(other, number):
                    fresh |= self._hangs_on(other) - shown
            shown |= fresh
            waiting += fresh
            reached |= interface | body | fresh
        return reached

    def _hangs_on(self, number: int) -> set[int]:
        """The types of what is used without being named."""
        return {hook for hook, hung in self._attachments().items() if number in hung}

    def _gives_back(self, number: int, type_: int) -> bool:
        for row in self._rows_of[number]:
            form, local = self._at.local(row)
            returned = form.returns[local]
            if len(returned):
                for other in self._rows_of[type_]:
                    holder, place = self._at.local(other)
                    if np.isin(holder.declares[place], returned).any():
                        return True
        return False

    def _doubts(self, edits: Sequence[Edit], needed: set[int]) -> tuple[str, ...]:
        doubts = []
        for number in sorted(needed):
            if any(int(self._at.table["role"][row]) & UNSURE for row in self._rows_of[number]):
                vertex = self.vertex(number)
                doubts.append(f"{vertex.file}:{vertex.line}: `{vertex.name}` could not be read with certainty")
        for edit in edits:
            row = self._rows_of[edit.vertex][0]
            if int(self._at.table["kind"][row]) != MACRO:
                continue
            form, local = self._at.local(row)
            asked = [f.file for f in self.forms if np.isin(form.declares[local], f.conditions).any()]
            if asked:
                doubts.append(f"`{form.names[local]}` decides in conditional directives of {asked[0]}")
        return tuple(doubts)

    def in_order(self, numbers: Iterable[int]) -> list[int]:
        """The order of the text: of the unit that has most of them, then what others add in theirs. What a component
        needs comes before it in every unit, so each of these orders compiles."""
        wanted = set(numbers)
        held = {int(self._at.form_of[row]) for number in wanted for row in self._rows_of[number]}
        orders = []
        for unit in dict.fromkeys(unit for form in held for unit in self._at.span[form]):
            found: dict[int, None] = {}
            for form, first, count in self._at.runs[unit]:
                if form in held:
                    base = self._at.bases[form] + first
                    here = self._vertex_of[base : base + count].tolist()
                    found.update(dict.fromkeys(v for v in here if v in wanted))
            orders.append((-len(found), unit, found))
        order: dict[int, None] = {}
        for _, _, found in sorted(orders, key=lambda one: one[:2]):
            order.update(found)
        return list(order)
