"""Which parts of new objects go into a linked file: `select` with the rules of `inject`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relive.diff.atoms import Atoms, Kind
from relive.diff.initialisers import is_initialiser
from relive.elf import constants as c
from relive.errors import Refusal
from relive.link.inject_relocate import FileKind
from relive.link.model import InPlace, LinkUnit, Moved, Redirect, Scope, TlsPlace
from relive.link.select import Selector

OWN_LINKER = "it is linked by the project's own linker"


class FileSelector(Selector):
    """Chooses what goes into a file."""

    def __init__(self, units: Sequence[LinkUnit], scope: Scope, kind: FileKind) -> None:
        super().__init__(units, scope)
        self._kind = kind

    def _seed(self) -> None:
        super()._seed()
        for u, unit in enumerate(self.selection.units):
            for atom in unit.comparison.reinitialised:
                self._rewrite_variable(u, atom)
            self._check_constructors(u, unit)

    def _replace_function(self, u: int, atom: int) -> None:
        unit = self.selection.units[u]
        name = unit.new.names[atom]
        assert name is not None
        if not is_initialiser(name):
            super()._replace_function(u, atom)
            return
        home = self._live(u, atom)
        if (u, atom) not in self._replaced and isinstance(home, int) and self._owns(u, atom):
            self._replaced.add((u, atom))
            self.selection.redirects.append(Redirect(name, home, u, atom))

    def _rewrite_variable(self, u: int, atom: int) -> None:
        """Another initial value: written over the old one, or, where the file has no bytes of it, placed anew."""
        unit = self.selection.units[u]
        new = unit.new
        name = new.names[atom]
        home = self._live(u, atom)
        if home is None or not self._owns(u, atom):
            return
        assert name is not None
        before = unit.comparison.counterpart[atom]
        zero = unit.comparison.old.object.sections["type"][int(unit.comparison.old.section[before])] == c.SHT_NOBITS
        if isinstance(home, TlsPlace):
            if zero:
                self._refuse(u, atom, "thread-local-in-file", "a thread_local that was zero gets a value", OWN_LINKER)
            else:
                self.selection.in_place.append(InPlace(name, self._kind.tls_address + home.offset, u, atom))
        elif zero:
            self._move_variable(u, atom, home)
        else:
            self.selection.in_place.append(InPlace(name, home, u, atom))

    def _refuse_resized(self, u: int, atom: int) -> None:
        home = self._live(u, atom)
        if isinstance(home, int) and self._owns(u, atom):
            self._move_variable(u, atom, home)
        elif home is not None:
            super()._refuse_resized(u, atom)

    def _move_variable(self, u: int, atom: int, home: int) -> None:
        name = self.selection.units[u].new.names[atom]
        assert name is not None
        if (u, atom) not in self._replaced:
            self._replaced.add((u, atom))
            self.selection.moved.append(Moved(name, home, u, atom))

    def _check_constructors(self, u: int, unit: LinkUnit) -> None:
        """The list of what runs at start and end is the linked file's; only what it calls can change."""
        if startup_lists(unit.comparison.old) != startup_lists(unit.new):
            refusal = Refusal(
                "constructor-list", unit.source, "what runs before main or at the end is another list than before",
                OWN_LINKER, unit.source,
            )  # fmt: skip
            self.selection.refusals.append(refusal)

    def _construct(self) -> None:
        """Nothing: constructors run when the program starts. Thread-locals cannot be added, though."""
        for block in self.selection.blocks:
            unit = self.selection.units[block.unit]
            if unit.new.kinds[block.section] == Kind.TLS:
                refusal = Refusal("thread-local-in-file", unit.source, "a new thread_local", OWN_LINKER, unit.source)
                if refusal not in self.selection.refusals:
                    self.selection.refusals.append(refusal)


def startup_lists(atoms: Atoms) -> list[tuple[str, int, bytes]]:
    """The entries of a unit for `.init_array` and the like: (section, offset, whom it names)."""
    rel = atoms.relocations
    result = []
    for row in np.flatnonzero(atoms.kinds[rel["section"]] == int(Kind.INIT)).tolist():
        section = int(rel["section"][row])
        target = int(atoms.target[row])
        name = atoms.names[target] if target >= 0 else atoms.object.symbol_names[int(rel["symbol"][row])]
        result.append((atoms.object.section_names[section], int(rel["offset"][row]), name or b"?"))
    return sorted(result)
