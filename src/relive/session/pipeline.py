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

from relive.build.units import Unit
from relive.diff.atoms import Interner
from relive.diff.compare import compare, everything_changed
from relive.elf.object import ElfObject
from relive.errors import FormatError, Refusal, RefusedError
from relive.events import Notice, Reload, Status, Timings
from relive.host.compiler import Compiled, CompilePool
from relive.host.demangle import qualified_name
from relive.host.project import Project
from relive.host.target import Target
from relive.link.model import Address
from relive.link.patch import Prepared as PreparedPatch
from relive.session import apply, report
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
from relive.session.generations import Generation, reversed_code, reversed_rewrites, reversed_stores
from relive.session.linking import OUR_FLAGS, Linking, UnitChange
from relive.session.modules import ModuleState, is_project_module, load_module
from relive.session.types import TypeCheck, Verdict


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
    ) -> None:
        self.project = project
        self.target = target
        self.pool = pool
        self._cache = cache
        self._workdir = workdir
        self._clock = clock
        self._start = clock()
        self._began = time.time()
        self._interner = Interner()
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
        self._unfinished: list[tuple[Path, PreparedPatch]] = []
        """Patch files whose debug sections are written when there is time."""
        self._last: Reload | None = None
        self._last_plan: list[str] = []

    # --- start ---------------------------------------------------------------------------------------------------

    def prepare(self) -> Prepared:
        """Reads the program's modules and notes which objects there are; raises FormatError for a program that cannot
        be reloaded at all (stripped, linked anew since it was started)."""
        notices = self._refresh_modules()
        units = list(self.project.units.values())
        self._baselines.remember(units)
        self._idle = sorted(units, key=_last_edit)
        now = self._clock() - self._start
        notices += [Notice(now, note.message, note.hint) for note in self.project.notes]
        self._find_dependencies()
        functions = sum(len(m.image.index.functions) for m in self._modules)
        return Prepared(len(units), functions, tuple(notices))

    def _find_dependencies(self) -> None:
        """Asks the preprocessor for the headers of units whose build left no depfile: without them, an edit of a
        header would reach nothing."""
        missing = self.project.missing_dependencies()
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
        baselines = {unit.key: self._baselines.get(unit) for unit in units}
        if everything:
            units = [u for u in units if (b := baselines[u.key]) is not None and b.residences]
        clock.lap("analyse")

        # The project's own compilers, out of tree. One failing unit fails the reload, as it would fail a build.
        compiled = self._compile(units, cancelled)
        clock.lap("compile")
        failed = [c for c in compiled if not c.ok]
        if failed:
            message = "".join(c.diagnostics for c in failed)
            return self._end(result, "failed", clock, message=message)

        # Old object against new, by meaning; types first: a changed layout is another kind of reload.
        refusals: list[Refusal] = []
        notes: list[str] = []
        changes = self._changes(compiled, baselines, everything, refusals)
        self._types.check([(c.comparison, c.verdict, c.unit.source) for c in changes])
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
        result = replace(result, functions=names, notes=tuple(notes))
        if not any(report.does_something(p) for p in patches):
            if not dry_run:
                self._adopt(changes, patches)
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

    # --- steps ---------------------------------------------------------------------------------------------------

    def _units_of(self, files: Iterable[str]) -> list[Unit]:
        found: dict[str, Unit] = {}
        for file in sorted(files):
            for unit in self.project.units_of(file):
                found[unit.key] = unit
        found |= {key: self.project.units[key] for key in sorted(self._again) if key in self.project.units}
        return list(found.values())

    def _compile(self, units: Sequence[Unit], cancelled: Callable[[], bool]) -> list[Compiled]:
        compiled = self.pool.compile(units, extra_flags=OUR_FLAGS, cancelled=cancelled)
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

    def _changes(
        self,
        compiled: Sequence[Compiled],
        baselines: dict[str, Baseline | None],
        everything: bool,
        refusals: list[Refusal],
    ) -> list[UnitChange]:
        changes = []
        for one in compiled:
            unit = one.unit
            baseline = baselines.get(unit.key)
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
            comparison = (everything_changed if everything else compare)(baseline.atoms, atoms)
            changes.append(UnitChange(unit, baseline, comparison, verdict))
        return changes

    def _elsewhere(self, changes: Sequence[UnitChange]) -> list[Refusal]:
        """What other units, which are not compiled now, refer to and would no longer find, or would call wrongly."""
        mine = {c.unit.key for c in changes}
        defined = {n for c in changes for n, a in c.comparison.new.by_name.items() if c.comparison.new.is_global[a]}
        refusals = []
        for change in changes:
            old = change.comparison.old
            gone = [n for n in change.comparison.removed if old.is_global[old.by_name[n]] and is_strong(old, n)]
            for name in (n for n in gone if n not in defined):
                for user in self._baselines.users_of(name, self.project.units.values(), mine):
                    refusals.append(refused.still_used(name, user, change.unit))
            for name in change.verdict.new_signatures:
                for user in self._baselines.users_of(name, self.project.units.values(), mine):
                    refusals.append(refused.called_elsewhere(name, user))
        return refusals

    def _is_new(self, unit: Unit) -> bool:
        """Whether no part of the program was made from this unit: it came into the database during the session."""
        return not self._baselines.was_there(unit)

    def _adopt(self, changes: Sequence[UnitChange], patches: Sequence[ModulePatch]) -> None:
        """New objects that mean the same become the baselines: their debug information is newer."""
        for change in changes:
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
                live = _carried_over(change, residence)
                live.update(applied.addresses.get((residence.module.path, change.comparison.old), {}))
                newest = {**residence.newest, **{name: new for name, _, new in applied.redirected}}
                left = report.left_behind(change.comparison, residence)
                residences.append(Residence(residence.module, live, residence.folded, newest, left))
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
        return report.status(self._number, self._modules, self._generations, self._last)

    def explain(self, what: str | None) -> str:
        """Why something was reloaded, how, or not."""
        return report.explain(what, self._last, self._last_plan, self._generations, self.project)

    def idle(self) -> bool:
        """One slice of background work: the reader of debug information is compiled before it is needed; the user's
        objects are secured before a later build replaces them."""
        if self._unfinished:
            apply.finish_file(*self._unfinished.pop())
            return True
        if not self._types.ready:
            self._types.prepare()
            return True
        for generation in self._generations[:-1]:
            if self._baselines.spill(generation.baselines, generation.number):
                return True
        while self._idle:
            unit = self._idle.pop()
            if self._baselines.secure(unit):
                return True
        return False


def _carried_over(change: UnitChange, residence: Residence) -> dict[bytes, Address]:
    back, _ = report.returning(change.comparison, residence.left)
    return report.carried_over(change.comparison, {**residence.live, **back})


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


def _last_edit(unit: Unit) -> float:
    return _modified(unit.source)


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
