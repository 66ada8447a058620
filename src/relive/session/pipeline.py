"""The story of one reload, from saved files to new code in the process. Read `Engine.reload` from top to bottom.

Everything that can fail happens before the switch; the switch is a short list of stores that the agent makes as one
step. A refusal or a failure leaves the process as it was (what was loaded beforehand is never reached)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from relive import source
from relive.build.units import Unit
from relive.diff import library
from relive.diff.atoms import Atoms, Interner
from relive.diff.compare import compare, everything_changed
from relive.diff.partial import Doubt, with_newer
from relive.elf.object import ElfObject
from relive.errors import FormatError, Refusal, RefusedError
from relive.events import Event, Notice, Reload, Status, Timings
from relive.host.compiler import Compiled, CompilePool, Superseded
from relive.host.demangle import qualified_name
from relive.host.native import compile_native
from relive.host.project import Project
from relive.host.skeletons import FOLDER, SkeletonStore
from relive.host.target import Target
from relive.link.model import Address
from relive.link.patch import Prepared as PreparedPatch
from relive.link.select import is_visible
from relive.session import apply, report, verification
from relive.session import refusals as refused
from relive.session.active import old_callers
from relive.session.apply import ModulePatch
from relive.session.baselines import (
    Baseline,
    Baselines,
    Residence,
    is_lto,
    is_strong,
    lto_refusal,
)
from relive.session.fast import FastWay, Plan
from relive.session.generations import Generation, reversed_code, reversed_rewrites, reversed_stores
from relive.session.linking import OUR_FLAGS, Linking, UnitChange
from relive.session.modules import ModuleState, is_project_module, load_module
from relive.session.parts import Work, has_copy, newer_code, part_changes, way
from relive.session.types import TypeCheck, Verdict
from relive.source.library import Scanner

READ_AHEAD = 4
"""Units whose baselines are read before anybody asks: those that were edited last."""
COPIES = 4
"""Units with a copy of a header's static function that are compiled in part; more are quicker to compile whole."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known once the engine is ready."""

    units: int
    functions: int
    notices: tuple[Notice, ...]


class _Clock:
    """Milliseconds of each step of one reload."""

    def __init__(self, now: Callable[[], float], detected_at: float) -> None:
        self._now = now
        self._start = detected_at
        self._last = now()
        self.spent: dict[str, float] = {"detect": (self._last - detected_at) * 1000}

    def lap(self, step: str) -> None:
        now = self._now()
        self.spent[step] = self.spent.get(step, 0.0) + (now - self._last) * 1000
        self._last = now

    def timings(self) -> Timings:
        total = (self._now() - self._start) * 1000
        return Timings(**{k: round(v, 3) for k, v in self.spent.items()}, total=round(total, 3))


class Engine:
    """One program under care: its modules, the baselines of its units, its generations."""

    def __init__(
        self,
        project: Project,
        target: Target,
        pool: CompilePool,
        *,
        cache: Path,
        workdir: Path,
        clock: Callable[[], float] = time.monotonic,
        fast_path: bool = True,
    ) -> None:
        self.project = project
        self.target = target
        self.pool = pool
        self._cache = cache
        self._workdir = workdir
        self._clock = clock
        self._start = clock()
        self._began = time.time()
        calls = library.load(compile_native("diff", library.SOURCES, flags=library.FLAGS, cache=cache))
        self._interner = Interner(calls)
        self._modules: list[ModuleState] = []
        self._looked_at: set[tuple[str, int]] = set()
        """(path, base) of modules that were read, or cannot be."""
        self._again: set[str] = set()
        """Keys of units that must be compiled with the next reload, whatever was saved."""
        self._baselines = Baselines(self._interner, self._modules, workdir, self._recompile, self._unedited)
        self._types = TypeCheck(cache)
        self._tls_room = apply.TlsRoom(target)
        self._generations: list[Generation] = []
        self._number = 0
        self._serial = 0
        """Of patch files: never used twice, for the loader takes a known name for a known library."""
        self._debugged = False
        """Whether a debugger looks on: it reads a patch the moment it is loaded."""
        self._far: set[str] = set()
        """Units that must be compiled to reach data of libraries through the GOT."""
        self._new_units: dict[str, Compiled] = {}
        """Compiled units that are new to the program; it uses them when something refers to them."""
        self._idle: list[Unit] = []
        self._ahead: list[Unit] = []
        """Units whose baselines are read in idle time."""
        self._unfinished: list[tuple[Path, PreparedPatch]] = []
        """Patch files whose debug sections are written when there is time."""
        self._last: Reload | None = None
        self._last_plan: list[str] = []
        self.fast: FastWay | None = None
        if fast_path:
            store = SkeletonStore(cache / FOLDER, pool)
            self.fast = FastWay(project, pool, store, lambda: _scanner(cache), OUR_FLAGS)
        self._why_whole = "it is the sure way"
        """Why units of the last save were compiled whole."""
        self._way: list[str] = []
        """How the last save was compiled, for `relive explain`."""
        self._unverified: dict[str, None] = {}
        """Units of which functions were replaced the fast way, since the whole unit was last compiled."""
        self.outbox: list[Event] = []
        """What idle work has to tell; the loop takes it from here."""

    # --- start ---------------------------------------------------------------------------------------------------

    def prepare(self) -> Prepared:
        """Reads the program's modules and notes which objects there are; raises FormatError for a program that cannot
        be reloaded at all (stripped, linked anew since it was started)."""
        notices = self._refresh_modules()
        units = list(self.project.units.values())
        self._baselines.remember(units)
        self._idle = sorted(units, key=_last_edit)
        self._ahead = self._idle[: -READ_AHEAD - 1 : -1]
        if self.fast is not None:
            self.fast.remember(self._idle[::-1], self.project.stale())
        now = self._clock() - self._start
        notices += [Notice(now, note.message, note.hint) for note in self.project.notes]
        self._find_dependencies()
        functions = sum(len(m.image.index.functions) for m in self._modules)
        return Prepared(len(units), functions, tuple(notices))

    def _find_dependencies(self) -> None:
        """Asks the preprocessor for the headers of units whose build left no depfile: without them, an edit of a
        header would reach nothing."""
        missing = [unit for unit in self.project.missing_dependencies() if self._baselines.may_run(unit)]
        for unit, text in zip(missing, self.pool.all_dependencies(missing), strict=True):
            self.project.update_dependencies(unit.key, text)

    def _refresh_modules(self) -> list[Notice]:
        """Takes in libraries that were loaded since the last look, and lets go of those that were unloaded. Units of a
        library that came (again) are compiled with the next reload if what was built of them is out of date."""
        present = {(module.path, module.base): module for module in self.target.modules()}
        for gone in [m for m in self._modules if (m.path, m.base) not in present]:
            self._modules.remove(gone)
            self._again |= self._baselines.leave(gone)
        self._looked_at &= set(present)
        notices: list[Notice] = []
        for position, (key, module) in enumerate(present.items()):
            ours = Path(module.path).parent == self._workdir  # a patch: no module of its own
            if key in self._looked_at or ours or (position and not is_project_module(module)):
                continue
            try:
                state = load_module(module, self.target, self._modules, self._cache)
            except FormatError as error:
                if position == 0:
                    raise
                if error.code != "stripped":
                    notices.append(Notice(self._clock() - self._start, str(error), error.hint))
            else:
                self._modules.append(state)
                self._again |= self._baselines.leave(None)
                self._again |= {unit.key for unit in self.project.stale()} if position else set()
            self._looked_at.add(key)
        return notices

    # --- the story -----------------------------------------------------------------------------------------------

    def reload(
        self,
        files: frozenset[str],
        *,
        everything: bool = False,
        dry_run: bool = False,
        detected_at: float,
        cancelled: Callable[[], bool],
    ) -> Reload:
        """Brings the program to the state of the sources, or says why not. Raises Superseded, TargetGone."""
        clock = _Clock(self._clock, detected_at)
        mode: Literal["body", "all"] = "all" if everything else "body"
        result = Reload(0.0, self._number, "unchanged", mode, files=tuple(sorted(files)))

        # Which units were made from these files, and what runs of them now.
        self._refresh_modules()
        self._debugged = is_traced(self.target.pid)
        units = list(self.project.units.values()) if everything else self._units_of(files)
        clock.lap("analyse")

        # The fast way: where only function bodies were edited, only those are compiled. With any doubt, and for what it
        # cannot do, the same story is told again with whole units.
        work = None if everything else self._part_work(units, files, cancelled)
        clock.lap("analyse")
        if work is not None:
            try:
                event = self._bring(result, work, files, dry_run, clock, cancelled)
            except (Doubt, FormatError) as doubt:
                self._doubted(units, str(doubt))
            else:
                if event.status in ("applied", "unchanged"):
                    return event
                self._doubted(units, event.refusals[0].code if event.refusals else event.status)
        baselines = {unit.key: self._baselines.get(unit) for unit in units}
        if everything:
            units = [u for u in units if (b := baselines[u.key]) is not None and b.residences]
        work = Work(units, baselines, everything=everything)
        return self._bring(result, work, files, dry_run, clock, cancelled)

    def _bring(
        self,
        result: Reload,
        work: Work,
        files: frozenset[str],
        dry_run: bool,
        clock: _Clock,
        cancelled: Callable[[], bool],
    ) -> Reload:
        """From units to new code in the process. Doubt: only where functions are compiled alone."""
        # The project's own compilers, out of tree. One failing unit fails the reload, as it would fail a build.
        began_ns = time.time_ns()
        if work.plans and not any(plan.part for plan in work.plans.values()):
            self._settle(work, files, began_ns)
            return self._end(result, "unchanged", clock)
        compiled = work.compiled or self._compile(work, cancelled)
        clock.lap("compile")
        failed = [c for c in compiled if not c.ok]
        if failed:
            message = "".join(c.diagnostics for c in failed)
            return self._end(result, "failed", clock, message=message)

        # Old object against new, by meaning; types first: a changed layout is another kind of reload.
        refusals: list[Refusal] = []
        notes: list[str] = []
        changes = (
            part_changes(compiled, work, self._types, self._interner, self._baselines, self._modules)
            if work.plans
            else self._changes(compiled, work, refusals)
        )
        self._types.check([(c.comparison, c.verdict, c.unit.source) for c in changes if not c.untyped])
        for change in changes:
            refusals += change.verdict.refusals
            notes += change.verdict.notes
        types = tuple(dict.fromkeys(t for c in changes for t in c.verdict.types))
        result = replace(result, types=types)
        clock.lap("analyse")
        if refusals:
            return self._end(result, "refused", clock, refusals=_unique(refusals), notes=tuple(notes))

        refusals = self._elsewhere(changes)
        if refusals:
            return self._end(result, "refused", clock, refusals=_unique(refusals), notes=tuple(notes))

        # Our own linker: bind to what lives, place what is new, one patch for each module.
        try:
            linking = Linking(
                self.target, self.pool, self._types, self._interner, self._new_units, cancelled, self._debugged,
                changes, notes,
            )  # fmt: skip
            patches = linking.link(self._modules)
        except RefusedError as error:
            return self._end(result, "refused", clock, refusals=error.refusals, notes=tuple(notes))
        refusals = [r for p in patches for r in p.prepared.refusals]
        notes += _kept_initialisers(changes)
        clock.lap("link")
        if refusals:
            return self._end(result, "refused", clock, refusals=tuple(refusals), notes=tuple(notes))
        names = _names(patches)
        self._last_plan = report.plan(patches)
        how: Literal["functions", "unit"] = "functions" if work.plans else "unit"
        result = replace(result, functions=names, notes=tuple(notes), compiled=how)
        if not any(report.does_something(p) for p in patches):
            if not dry_run:
                self._adopt(changes)
                self._settle(work, files, began_ns)
            return self._end(result, "unchanged", clock)
        if dry_run:
            return replace(result, status="applied", timings_ms=clock.timings(), notes=tuple(self._last_plan))

        # Into the process: load beside the running code, construct what is new, then switch in one step.
        try:
            self._serial += 1
            forbidden = old_callers(changes)
            loaded = [(at, size) for g in self._generations for _, at, size in g.memory]
            applied = apply.apply(
                self.target, patches, self._serial, self._workdir, self._tls_room, forbidden, self._modules, loaded
            )
        except RefusedError as error:
            return self._end(result, "refused", clock, refusals=error.refusals)
        clock.lap("apply")
        self._unfinished += applied.unfinished if not self._debugged else []
        self._record(changes, patches, applied, files, names)
        self._settle(work, files, began_ns)
        self._active_notes(notes, applied)
        result = replace(result, generation=self._number, pause_us=applied.pause_us, notes=tuple(notes))
        return self._end(result, "applied", clock)

    def _end(self, result: Reload, status: Status, clock: _Clock, **fields: object) -> Reload:
        event = replace(
            result, status=status, t=self._clock() - self._start, timings_ms=clock.timings(), **fields  # type: ignore[arg-type]
        )  # fmt: skip
        self._last = event
        if status in ("applied", "unchanged"):
            self._again.clear()
        return event

    # --- the fast way -----------------------------------------------------------------------------------------------

    def _part_work(self, units: Sequence[Unit], files: frozenset[str], cancelled: Callable[[], bool]) -> Work | None:
        """Which functions of which units are compiled alone; None when one of the units has to be compiled whole."""
        fast = self.fast
        if fast is None or not units or self._again:
            return None
        in_header = all(unit.source not in files for unit in units)
        if in_header:
            # An inline function is the same in every unit: whichever is the quickest to compile will do.
            units = sorted(units, key=lambda unit: (not fast.is_warm(unit.key), _size(unit.object)))
        plans: dict[str, Plan] = {}
        baselines: dict[str, Baseline | None] = {}
        try:
            if in_header and len({f for unit in units for f in files & self.project.inputs_of(unit.key)}) > 1:
                raise Doubt("several headers changed")
            if in_header and any(unit.optimised for unit in units):
                raise Doubt("units that are optimised may have inlined it")
            for unit in units:
                baseline = self._baselines.get(unit)
                if baseline is None and self._built_elsewhere(unit):
                    continue
                if baseline is None or baseline.refusals or unit.key in self._new_units:
                    raise Doubt("nothing of it runs yet")
                if not baseline.residences:
                    continue
                if in_header and plans and not has_copy(baseline, next(iter(plans.values()))):
                    continue
                if in_header and len(plans) == COPIES:
                    raise Doubt("a static function of a header has copies in many units")
                plan = fast.plan(unit, files, cancelled)
                plans[unit.key], baselines[unit.key] = plan, baseline
                if in_header and (plan.part is None or plan.shared):
                    break
        except (Doubt, FormatError) as doubt:
            self._doubted(units, str(doubt))
            return None
        return Work([self.project.units[key] for key in plans], baselines, plans) if plans else None

    def _doubted(self, units: Iterable[Unit], reason: str) -> None:
        assert self.fast is not None
        self._why_whole = reason
        for _ in units:
            self.fast.reasons[reason] += 1

    def _settle(self, work: Work, files: frozenset[str], began_ns: int) -> None:
        """Notes which texts run now."""
        if self.fast is None:
            return
        self._way = way(work, self._why_whole)
        if work.plans:
            self.fast.applied(work.plans.values())
            self._unverified |= dict.fromkeys(work.plans)
            return
        known = (
            files if not work.everything else frozenset(f for u in work.units for f in self.project.inputs_of(u.key))
        )
        self.fast.settled(work.units, known, began_ns)
        for unit in work.units:
            self._unverified.pop(unit.key, None)

    # --- steps ---------------------------------------------------------------------------------------------------

    def _units_of(self, files: Iterable[str]) -> list[Unit]:
        found: dict[str, Unit] = {}
        for file in sorted(files):
            for unit in self.project.units_of(file):
                found[unit.key] = unit
        found |= {key: self.project.units[key] for key in sorted(self._again) if key in self.project.units}
        return list(found.values())

    def _compile(self, work: Work, cancelled: Callable[[], bool]) -> list[Compiled]:
        if work.plans:
            return self.pool.parts([plan.part for plan in work.plans.values() if plan.part], cancelled=cancelled)
        compiled = self.pool.compile(work.units, extra_flags=OUR_FLAGS, cancelled=cancelled)
        for one in compiled:
            if one.ok:
                self.project.update_dependencies(one.unit.key, one.depfile)
            else:
                self.project.note_failure(one.unit.key, one.diagnostics)
        return compiled

    def _recompile(self, unit: Unit) -> bytes | None:
        """A baseline of our own, for a unit without object file."""
        compiled = self.pool.compile([unit], extra_flags=OUR_FLAGS)[0]
        return compiled.object if compiled.ok else None

    def _unedited(self, unit: Unit) -> bool:
        return all(_modified(path) <= self._began for path in self.project.inputs_of(unit.key))

    def _changes(self, compiled: Sequence[Compiled], work: Work, refusals: list[Refusal]) -> list[UnitChange]:
        changes = []
        for one in compiled:
            unit = one.unit
            baseline = work.baselines.get(unit.key)
            if baseline is not None and baseline.refusals:
                refusals += baseline.refusals
                continue
            try:
                obj = ElfObject.parse(one.object, unit.source)
            except FormatError as error:
                refusals.append(Refusal("bad-object", unit.source, str(error), error.hint, unit.source))
                continue
            if is_lto(obj):
                refusals.append(lto_refusal(unit))
                continue
            if baseline is None and self._built_elsewhere(unit):
                continue
            if unit.key in self._new_units or (baseline is None and self._is_new(unit)):
                self._new_units[unit.key] = one
            if baseline is None:
                if unit.key not in self._new_units:
                    refusals.append(refused.no_baseline(unit))
                continue
            if not baseline.residences:
                continue  # compiled by the build, but not part of this program
            verdict = Verdict()
            atoms = self._types.atoms(baseline.atoms, obj, self._interner, verdict, unit.source)
            if work.everything:
                comparison = everything_changed(baseline.atoms, atoms)
            else:
                newer = self._baselines.newer_of(baseline)
                comparison = with_newer(compare(baseline.atoms, atoms), newer, verifying=bool(work.compiled))
            changes.append(UnitChange(unit, baseline, comparison, verdict))
        return changes

    def _elsewhere(self, changes: Sequence[UnitChange]) -> list[Refusal]:
        """What other units, which are not compiled now, refer to and would no longer find, or would call wrongly."""
        mine = {c.unit.key for c in changes}
        refusals = []
        for change in changes:
            old = change.comparison.old
            gone = [n for n in change.comparison.removed if old.is_global[old.by_name[n]] and is_strong(old, n)]
            for name in (n for n in gone if not any(_defines(c.comparison.new, n) for c in changes)):
                for user in self._baselines.users_of(name, self.project.units.values(), mine):
                    refusals.append(refused.still_used(name, user, change.unit))
            for name in change.verdict.new_signatures:
                for user in self._baselines.users_of(name, self.project.units.values(), mine):
                    refusals.append(refused.called_elsewhere(name, user))
        return refusals

    def _built_elsewhere(self, unit: Unit) -> bool:
        """Whether a unit without object belongs to a target that was never built, and the program runs the same source
        from another target."""
        if unit.object and os.path.exists(unit.object):
            return False
        others = (u for u in self.project.units_of(unit.source) if u.source == unit.source and u.key != unit.key)
        baselines = (self._baselines.get(other) for other in others if other.object and os.path.exists(other.object))
        return any(baseline is not None and baseline.residences for baseline in baselines)

    def _is_new(self, unit: Unit) -> bool:
        """Whether no part of the program was made from this unit: it came into the database during the session."""
        return not self._baselines.was_there(unit)

    def _adopt(self, changes: Sequence[UnitChange]) -> None:
        """New objects that mean the same become the baselines: their debug information is newer."""
        for change in (c for c in changes if not c.partial):
            baseline = change.baseline
            atoms = change.comparison.new
            residences = [
                Residence(
                    r.module, _carried_over(change, r), r.folded, r.newest, report.left_behind(change.comparison, r)
                )
                for r in baseline.residences
            ]
            self._baselines.put(Baseline(baseline.unit, atoms, residences))

    def _record(
        self,
        changes: Sequence[UnitChange],
        patches: Sequence[ModulePatch],
        applied: apply.Applied,
        files: frozenset[str],
        names: tuple[str, ...],
    ) -> None:
        """The new generation: what it wrote, and what the units and names are now."""
        self._number += 1
        keys = [c.baseline.unit.key for c in changes]
        saved = self._baselines.snapshot(keys)
        overlays = []
        for change in changes:
            residences = []
            for residence in change.baseline.residences:
                live = dict(residence.live) if change.partial else _carried_over(change, residence)
                live.update(applied.addresses.get((residence.module.path, change.comparison.old), {}))
                newest = {**residence.newest, **{name: new for name, _, new in applied.redirected}}
                left = residence.left if change.partial else report.left_behind(change.comparison, residence)
                residences.append(Residence(residence.module, live, residence.folded, newest, left))
            if change.partial:
                new = newer_code(change)
                self._baselines.share({n: code for n, code in new.items() if is_visible(change.comparison.new, n)})
                newer = {**change.baseline.newer, **new}
                self._baselines.put(Baseline(change.baseline.unit, change.baseline.atoms, residences, newer=newer))
            else:
                self._baselines.put(Baseline(change.baseline.unit, change.comparison.new, residences))
        for patch in patches:
            before = {}
            for name, address in applied.globals.get(patch.module.path, {}).items():
                before[name] = patch.module.overlay.get(name)
                patch.module.overlay[name] = address
            overlays.append((patch.module, before))
        self._generations.append(
            Generation(
                self._number, tuple(sorted(files)), names, applied.redirected, applied.code, applied.stores,
                applied.rewrites, saved, tuple(overlays), applied.memory,
            )
        )  # fmt: skip

    def _active_notes(self, notes: list[str], applied: apply.Applied) -> None:
        """Tells which changed functions are still running their old code."""
        names = apply.still_active(self.target, self._modules, applied, self._generations)
        for name, tid in names[:5]:
            who = f"{qualified_name(name)} seems to be running (thread {tid})"
            notes.append(f"{who}: calls that have begun finish in the old code")

    # --- undo ----------------------------------------------------------------------------------------------------

    def undo(self, to: int | None = None) -> Reload:
        """Goes back to a generation (default: the one before)."""
        clock = _Clock(self._clock, self._clock())
        wanted = self._position() - 1 if to is None else to
        result = Reload(0.0, self._number, "unchanged")
        if wanted < 0 or all(g.number <= wanted for g in self._generations):
            return self._end(result, "unchanged", clock, notes=("there is nothing to undo",))
        names: list[str] = []
        pause = 0.0
        while self._generations and self._generations[-1].number > wanted:
            generation = self._generations[-1]
            try:
                pause = max(
                    pause,
                    apply.switch(
                        self.target,
                        reversed_code(generation),
                        reversed_stores(generation),
                        reversed_rewrites(generation),
                    ),
                )
            except RefusedError as error:
                self._number = self._position()  # some steps may have been taken back already
                result = replace(result, generation=self._number)
                return self._end(result, "refused", clock, refusals=error.refusals)
            self._baselines.restore(generation.baselines)
            self._baselines.shared.clear()
            if self.fast is not None:
                self.fast.doubt(generation.baselines)
            for key in generation.baselines:
                self._unverified.pop(key, None)
            for module, before in generation.overlays:
                for name, address in before.items():
                    if address is None:
                        module.overlay.pop(name, None)
                    else:
                        module.overlay[name] = address
            names += generation.functions
            self._generations.pop()
        clock.lap("apply")
        result = replace(result, generation=self._position(), functions=tuple(dict.fromkeys(names)), pause_us=pause)
        self._number = self._position()
        return self._end(result, "undone", clock)

    def _position(self) -> int:
        return self._generations[-1].number if self._generations else 0

    # --- questions -----------------------------------------------------------------------------------------------

    def status(self) -> dict[str, object]:
        """Generation, modules, memory, and the last refusals."""
        status = report.status(self._number, self._modules, self._generations, self._last)
        status["unverified"] = len(self._unverified)
        status["warming"] = self.fast.waiting if self.fast is not None else 0
        return status | ({"fast": self.fast.status()} if self.fast is not None else {})

    def explain(self, what: str | None) -> str:
        """Why something was reloaded, how, or not."""
        return report.explain(what, self._last, [*self._way, *self._last_plan], self._generations, self.project)

    def idle(self, cancelled: Callable[[], bool] = lambda: False) -> bool:
        """One slice of background work: the reader of debug information is compiled before it is needed; the user's
        objects are secured before a later build replaces them; skeletons are made for the next save; what was compiled
        the fast way is verified. `cancelled`: somebody waits."""
        if self._unfinished:
            apply.finish_file(*self._unfinished.pop())
            return True
        if not self._types.ready:
            self._types.prepare()
            return True
        while self._idle:
            unit = self._idle.pop()
            if self._baselines.secure(unit):
                return True
        if self._read_ahead():
            return True
        try:
            if self.fast is not None and (self.fast.idle(cancelled) or self._verify(cancelled)):
                return True
        except Superseded:
            return True
        return any(self._baselines.spill(g.baselines, g.number) for g in self._generations[:-1])

    def _read_ahead(self) -> bool:
        """Reads what runs of the units that are most likely edited next, and what debug information says of them."""
        if not self._ahead:
            return False
        baseline = self._baselines.get(self._ahead.pop(0))
        if baseline is not None and baseline.residences:
            self._types.prefetch(baseline.atoms.object)
        return True

    def _verify(self, cancelled: Callable[[], bool]) -> bool:
        """Compiles a unit whole that was brought up to date the fast way: both must mean the same. Where they do not,
        the whole unit is right, and it is applied."""
        if not self._unverified:
            return False
        key = next(iter(self._unverified))
        unit = self.project.units.get(key)
        baseline = self._baselines.get(unit) if unit is not None else None
        if unit is None or baseline is None:
            del self._unverified[key]
            return True
        began = self._clock()
        compiled = self.pool.compile([unit], extra_flags=OUR_FLAGS, cancelled=cancelled, background=True)
        if self.fast is not None and not self.fast.is_current(unit):
            return False  # edited meanwhile: that save comes first
        edited = set(self._baselines.newer_of(baseline))
        work = Work([unit], {key: baseline}, compiled=compiled)
        result = Reload(0.0, self._number, "unchanged")
        event = self._bring(result, work, frozenset({unit.source}), False, _Clock(self._clock, began), cancelled)
        self._unverified.pop(key, None)
        self.outbox += verification.outcome(event, edited, unit, self._clock() - self._start)
        if self.fast is not None and event.status not in ("applied", "unchanged"):
            self.fast.doubt([key])
        return True


def _scanner(cache: Path) -> Scanner:
    return Scanner(compile_native("source", source.SOURCES, flags=source.FLAGS, cache=cache))


def _carried_over(change: UnitChange, residence: Residence) -> dict[bytes, Address]:
    back, _ = report.returning(change.comparison, residence.left)
    return report.carried_over(change.comparison, {**residence.live, **back})


def _defines(atoms: Atoms, name: bytes) -> bool:
    """Whether other units see a definition of a name in an object."""
    atom = atoms.by_name.get(name)
    return atom is not None and bool(atoms.is_global[atom])


def _unique(refusals: Sequence[Refusal]) -> tuple[Refusal, ...]:
    return tuple(dict.fromkeys(refusals))


def _names(patches: Sequence[ModulePatch]) -> tuple[str, ...]:
    selections = [p.prepared.selection for p in patches]
    names = [qualified_name(r.name) for s in selections for r in (*s.redirects, *s.reborn, *s.rehomed)]
    return tuple(dict.fromkeys(sorted(names)))


def _kept_initialisers(changes: Sequence[UnitChange]) -> list[str]:
    notes = []
    for change in changes:
        for atom in change.comparison.reinitialised:
            name = change.comparison.new.names[atom] or b"?"
            notes.append(f"{qualified_name(name)}: its initialiser changed; the live value stays")
    return notes


def is_traced(pid: int) -> bool:
    """Whether a debugger is attached to a process."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status.splitlines())


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _last_edit(unit: Unit) -> float:
    return _modified(unit.source)


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
