"""From changed units to one prepared patch per module: the linker's questions that only the session can answer.

The linker decides what is placed and what is bound. Four times it may need something from outside, and is asked again:
a unit that the program never had is drawn in, as from an archive; a unit that reaches for data beyond 2 GB is compiled
once more with access through the GOT; gcc's one initialiser is cut by its line table; a function whose entry cannot
take a jump gets a new home."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from relive.build.units import Unit
from relive.diff.atoms import Atoms, Interner
from relive.diff.compare import Comparison, compare
from relive.elf.object import ElfObject
from relive.host.compiler import Compiled, CompilePool
from relive.host.demangle import qualified_name
from relive.host.target import Target
from relive.link.construct import constructed
from relive.link.model import LinkUnit
from relive.link.patch import Prepared, prepare
from relive.session import apply, refusals, report
from relive.session.active import new_identities
from relive.session.apply import ModulePatch
from relive.session.baselines import EMPTY_OBJECT, Baseline, Residence
from relive.session.initialisers import initialiser_blocks
from relive.session.modules import ModuleState
from relive.session.types import TypeCheck, Verdict

OUR_FLAGS = ("-ffunction-sections", "-fdata-sections")
FAR_FLAGS = {"gcc": ("-mno-direct-extern-access",), "clang": ("-fno-direct-access-external-data",)}


@dataclass(frozen=True, slots=True)
class UnitChange:
    """One recompiled unit that is part of the program."""

    unit: Unit
    baseline: Baseline
    comparison: Comparison
    verdict: Verdict
    partial: bool = False
    """Whether only some functions of the unit were compiled."""
    untyped: bool = False
    """Whether debug information has nothing to say about it."""


@dataclass(slots=True)
class Linking:
    """What linking needs to know of the session. `changes` grows when new units are drawn in."""

    target: Target
    pool: CompilePool
    types: TypeCheck
    interner: Interner
    new_units: dict[str, Compiled]
    """Compiled units that were not in the program when it started, by key. They stay here when they are drawn in: the
    reload may not happen, or be undone."""
    cancelled: Callable[[], bool]
    debug_info: bool
    changes: list[UnitChange]
    notes: list[str]

    def link(self, modules: Sequence[ModuleState]) -> list[ModulePatch]:
        """One prepared patch for each module that has one of the changed units."""
        patches = []
        for module in modules:
            parts = [
                (change, _link_unit(change, residence))
                for change in self.changes
                for residence in change.baseline.residences
                if residence.module is module
            ]
            if parts:
                patches.append(ModulePatch(module, self._link_module(module, parts)))
        return patches

    def _link_module(self, module: ModuleState, parts: list[tuple[UnitChange, LinkUnit]]) -> Prepared:
        prepared = self._prepare(module, parts)
        while drawn := self._draw_in(prepared, module):
            self.changes += drawn
            parts += [(change, _link_unit(change, change.baseline.residences[0])) for change in drawn]
            prepared = self._prepare(module, parts)
        if prepared.references.far:
            parts = self._reach_far(parts, prepared.references.far)
            prepared = self._prepare(module, parts)
            for u in sorted(prepared.references.far):
                prepared.selection.refusals.append(refusals.out_of_reach(parts[u][1].source))
        if any(r.code == "initialisers-mixed" for r in prepared.refusals):
            parts = [(change, self._separate(prepared, u, change, link)) for u, (change, link) in enumerate(parts)]
            prepared = self._prepare(module, parts)
        problems = apply.unpatchable(self.target, module, prepared)
        if problems:
            parts = [(change, replace(link, rehomed=frozenset(problems))) for change, link in parts]
            prepared = self._prepare(module, parts)
            self.notes += [f"{qualified_name(n)}: {why}; its callers were rewritten" for n, why in problems.items()]
        return prepared

    def _prepare(self, module: ModuleState, parts: Sequence[tuple[UnitChange, LinkUnit]]) -> Prepared:
        return prepare([link for _, link in parts], module, debug_info=self.debug_info)

    def _draw_in(self, prepared: Prepared, module: ModuleState) -> list[UnitChange]:
        """New units that define what is missing."""
        wanted = {r.subject.encode() for r in prepared.refusals if r.code == "undefined-symbol"}
        drawn = []
        known = {change.unit.key for change in self.changes}
        for key, one in self.new_units.items():
            if key in known or not wanted:
                continue
            atoms = Atoms(ElfObject.parse(one.object, one.unit.source), self.interner)
            if wanted & {n for n, a in atoms.by_name.items() if atoms.is_global[a]}:
                nothing = Atoms(EMPTY_OBJECT, self.interner)
                baseline = Baseline(one.unit, nothing, [Residence(module, {})])
                drawn.append(UnitChange(one.unit, baseline, compare(nothing, atoms), Verdict()))
        return drawn

    def _reach_far(
        self, parts: Sequence[tuple[UnitChange, LinkUnit]], far: set[int]
    ) -> list[tuple[UnitChange, LinkUnit]]:
        """What changed stays decided by the first object; the code is taken from the second."""
        result = list(parts)
        for u in far:
            change, link = parts[u]
            arguments = change.unit.command.arguments
            compiler = "clang" if any("clang" in os.path.basename(a) for a in arguments[:3]) else "gcc"
            flags = (*OUR_FLAGS, *FAR_FLAGS[compiler])
            again = self.pool.compile([change.unit], extra_flags=flags, cancelled=self.cancelled)[0]
            if again.ok:
                obj = ElfObject.parse(again.object, change.unit.source)
                atoms = Atoms(obj, self.interner, link.new.renames)
                result[u] = change, replace(link, comparison=report.same_changes(link.comparison, atoms))
        return result

    def _separate(self, prepared: Prepared, u: int, change: UnitChange, link: LinkUnit) -> LinkUnit:
        """Finds out which part of a unit's initialiser constructs which variable."""
        leaf = next((a for n, a in link.new.by_name.items() if n.startswith(b"_Z41__static_init")), None)
        info = self.types.info(link.new.object)
        if leaf is None or info is None or change.unit.optimised:
            return link
        new = constructed(link.new, leaf) & prepared.selection.new_variables(u)
        blocks = initialiser_blocks(info, link.new, leaf, new)
        name = link.new.names[leaf]
        return replace(link, initialiser_blocks={name: blocks}) if blocks and name else link


def _link_unit(change: UnitChange, residence: Residence) -> LinkUnit:
    back, other = report.returning(change.comparison, residence.left)
    live = {**residence.live, **back}
    return LinkUnit(
        change.unit.source, change.comparison, live, residence.folded, gone=other, reborn=new_identities(change),
        partial=change.partial,
    )  # fmt: skip
