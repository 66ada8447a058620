"""Parts of units in a reload: what is compiled in place of whole units, and what its objects say.

`fast` decides how a function is compiled alone; here its object meets the unit that runs. A doubt means that the whole
unit is compiled instead."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relive.build.parts import is_pic
from relive.build.units import Unit
from relive.diff.atoms import Atoms, Interner
from relive.diff.compare import Comparison
from relive.diff.identity import has_numbered
from relive.diff.partial import Doubt, Newer, compare_part, has_lambdas, with_internal_names
from relive.elf.object import ElfObject
from relive.host.compiler import Compiled
from relive.session.baselines import Baseline, Baselines, Residence
from relive.session.fast import Plan
from relive.session.linking import UnitChange
from relive.session.modules import ModuleState
from relive.session.types import TypeCheck, Verdict


@dataclass(frozen=True, slots=True)
class Work:
    """What a reload is about: whole units, or with `plans` parts of them."""

    units: Sequence[Unit]
    baselines: Mapping[str, Baseline | None]
    plans: Mapping[str, Plan] = field(default_factory=dict)
    everything: bool = False
    compiled: Sequence[Compiled] = ()
    """Whole units that are compiled already."""


def part_changes(
    compiled: Sequence[Compiled],
    work: Work,
    types: TypeCheck,
    interner: Interner,
    baselines: Baselines,
    modules: Sequence[ModuleState],
) -> list[UnitChange]:
    """The objects of single functions against their units. Raises Doubt."""
    changes = []
    for one in compiled:
        unit, plan = one.unit, work.plans[one.unit.key]
        if plan.fails_the_build(one.diagnostics):
            raise Doubt("there are warnings, which the build takes for errors")
        baseline = work.baselines[unit.key]
        assert baseline is not None
        obj = with_internal_names(
            ElfObject.parse(one.object, unit.source),
            baseline.internal_spellings,
            baseline.atoms,
            direct=not is_pic(unit.command.arguments),
        )
        verdict = Verdict()
        typed = has_numbered(obj, plan.is_edited) or has_lambdas(obj, plan.is_edited)
        if typed:
            atoms = types.atoms(baseline.atoms, obj, interner, verdict, unit.source, partial=True)
        else:
            atoms = Atoms(obj, interner)
        numbered = unit.language == "c"
        newer = baselines.newer_of(baseline)

        def lives(name: bytes, residences: Sequence[Residence] = baseline.residences) -> bool:
            return any(residence.module.find(name) is not None for residence in residences)

        comparison = compare_part(baseline.atoms, atoms, newer, plan.is_edited, lives, numbered=numbered)
        _check_elsewhere(comparison, baseline, modules)
        changes.append(UnitChange(unit, baseline, comparison, verdict, partial=True, untyped=not typed))
    return changes


def _check_elsewhere(comparison: Comparison, baseline: Baseline, modules: Sequence[ModuleState]) -> None:
    """An inline function may have a copy in each module, but only one of them is compiled for. Raises Doubt."""
    mine = {residence.module.path for residence in baseline.residences}
    names = [name for atom in comparison.changed if (name := comparison.new.names[atom]) is not None]
    for module in modules:
        if module.path not in mine and any(module.image.find_global(name) for name in names):
            raise Doubt(f"{os.path.basename(module.path)} has a copy of it, too")


def newer_code(change: UnitChange) -> dict[bytes, Newer]:
    """What of a part is newer than the unit's baseline."""
    comparison = change.comparison
    names = comparison.new.names
    atoms = (*comparison.changed, *comparison.added)
    return {name: Newer(comparison.new, atom) for atom in atoms if (name := names[atom]) is not None}


def has_copy(baseline: Baseline, plan: Plan) -> bool:
    """Whether a unit has code of a function of a header that was edited."""
    return any(plan.is_edited(name) for name in baseline.atoms.by_name)


def way(work: Work, why_whole: str) -> list[str]:
    """How units were compiled."""
    lines = []
    for plan in work.plans.values():
        if plan.part is not None:
            names = b", ".join(name or b"operator" for name in plan.names).decode("utf-8", "replace")
            lines.append(f"  compiled {names} of {os.path.basename(plan.unit.source)} alone, tier {plan.tier}")
    for unit in work.units if not work.plans else ():
        why = "identity reload" if work.everything else "verification" if work.compiled else why_whole
        lines.append(f"  compiled {os.path.basename(unit.source)} whole: {why}")
    return lines[:20]
