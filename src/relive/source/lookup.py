"""What a name can mean: which components hold it, come before, and are in scope where it is used.

Rows are (form, vertex of the form), numbered through all forms. Nothing here knows what is done with the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from relive.source.forms import AMBIENT, MACRO, UNSURE, VERTEX, Form, Run, name_hash, scope_hash
from relive.source.model import Flag, Kind
from relive.source.names import NameIndex

LATE = int(Flag.TEMPLATE | Flag.UNCERTAIN)
"""Names in these may mean what comes later."""
_QUALIFIED = int(Flag.QUALIFIED)
_GLOBAL = scope_hash(())
_ANYWHERE = (int(Kind.FUNCTION), int(Kind.DECLARATION), MACRO)
TYPES = (int(Kind.CLASS), int(Kind.ENUM), int(Kind.ALIAS))


class Lookup:
    """Forms and units put together for questions about names."""

    def __init__(self, forms: Iterable[Form], units: Mapping[str, Sequence[Run]]) -> None:
        used = {run.form for runs in units.values() for run in runs}
        self.forms = [form for form in forms if form.digest in used]
        numbers = {form.digest: number for number, form in enumerate(self.forms)}
        self.bases: list[int] = []
        """The first row of each form."""
        total = 0
        for form in self.forms:
            self.bases.append(total)
            total += len(form)
        self.form_of = np.repeat(np.arange(len(self.forms)), [len(form) for form in self.forms])
        self.table = np.concatenate([np.zeros(0, VERTEX), *(form.table for form in self.forms)])
        self.runs = [
            [(numbers[run.form], run.first, run.count) for run in units[u] if run.form in numbers] for u in units
        ]
        """Of each unit: (form, first vertex, how many)."""
        self.span: list[dict[int, tuple[int, int]]] = [{} for _ in self.forms]
        """Where each form stands in each unit: first and last of its runs."""
        for unit, runs in enumerate(self.runs):
            for place, (number, _, _) in enumerate(runs):
                first, _ = self.span[number].get(unit, (place, place))
                self.span[number][unit] = (first, place)
        self._order_known: dict[tuple[int, int], bool] = {}
        self._together_known: dict[tuple[int, int], bool] = {}
        self._used: dict[str, NameIndex] = {}
        self._words: dict[int, frozenset[int]] = {}
        self._opened_by: dict[int, list[int]] | None = None
        self._class_scopes: dict[str, frozenset[int]] = {}

    def local(self, row: int) -> tuple[Form, int]:
        form = int(self.form_of[row])
        return self.forms[form], row - self.bases[form]

    def index(self, field: str) -> NameIndex:
        index = self._used.get(field)
        if index is None:
            index = self._used[field] = NameIndex([getattr(form, field) for form in self.forms], self.bases)
        return index

    def visible(self, declares: int, uses: int) -> bool:
        """Whether one row can be what a name in another means."""
        form, other = int(self.form_of[declares]), int(self.form_of[uses])
        late = int(self.table["flags"][uses]) & LATE or self.table["kind"][uses] == MACRO
        # What holds a pointer to a structure may come before the structure itself.
        late = late or int(self.table["kind"][declares]) in TYPES
        if form == other:
            seen = bool(late) or declares < uses
        else:
            seen = self.together(declares, uses) if late else self.before(form, other)
        return seen and self.in_scope(declares, uses)

    def in_scope(self, declares: int, uses: int) -> bool:
        """Whether a name can mean this without saying its namespace, or says it. Functions are found through their
        arguments, macros know no namespaces."""
        table = self.table
        scope = int(table["scope"][declares])
        if scope == _GLOBAL or int(table["kind"][declares]) in _ANYWHERE or int(table["kind"][uses]) == MACRO:
            return True
        if (int(table["role"][declares]) | int(table["role"][uses])) & UNSURE:
            return True
        form, local = self.local(uses)
        if scope in form.scopes[local].tolist():
            return True
        space = int(table["space"][declares])
        words = self._words.get(uses)
        if words is None:
            words = frozenset(form.uses[local].tolist() + form.body[local].tolist())
            self._words[uses] = words
        if space in words or any(self.together(row, uses) for row in self._opened().get(space, ())):
            return True
        return bool(int(table["flags"][uses]) & _QUALIFIED) and scope in self._scopes_of_class(uses)

    def _opened(self) -> dict[int, list[int]]:
        """Names of namespaces → using directives and aliases that speak of them."""
        if self._opened_by is None:
            self._opened_by = {}
            for row in np.flatnonzero(self.table["role"] & AMBIENT).tolist():
                form, local = self.local(row)
                for name in form.uses[local].tolist():
                    self._opened_by.setdefault(name, []).append(row)
        return self._opened_by

    def _scopes_of_class(self, row: int) -> frozenset[int]:
        """The namespaces around the class of a member that is defined elsewhere (after a using declaration, say)."""
        form, local = self.local(row)
        name = form.names[local].rpartition("::")[0].rpartition("::")[2]
        known = self._class_scopes.get(name)
        if known is None:
            found: set[int] = set()
            for other in self.index("declares").rows(np.array([name_hash(name.encode("utf-8", "replace"))], np.uint64)):
                if int(self.table["kind"][other]) in TYPES:
                    holder, place = self.local(other)
                    found |= set(holder.scopes[place].tolist())
            known = self._class_scopes[name] = frozenset(found)
        return known

    def together(self, row: int, other: int) -> bool:
        """Whether some unit shows both."""
        pair = int(self.form_of[row]), int(self.form_of[other])
        known = self._together_known.get(pair)
        if known is None:
            known = not self.span[pair[0]].keys().isdisjoint(self.span[pair[1]])
            self._together_known[pair] = known
        return known

    def before(self, form: int, other: int) -> bool:
        """Whether, in some unit, part of one form comes before part of another."""
        known = self._order_known.get((form, other))
        if known is None:
            first, last = self.span[form], self.span[other]
            few, many = (first, last) if len(first) <= len(last) else (last, first)
            known = any(unit in many and first[unit][0] < last[unit][1] for unit in few)
            self._order_known[form, other] = known
        return known
