"""The story of one quick build, from edited files to a program file that has them. Read `QuickBuild.build`.

The changed units are compiled out of tree as a reload compiles them, compared by meaning with what the file was linked
from, linked by our own linker at the file's addresses, and injected into a copy of the linked file, which then takes
the program's name. Nothing is done to the user's objects: for the next `ninja` or `make` the sources are as new as
they are, and the program is older than its objects, so that it is linked again.

Whatever is not sure to give the program that a full build gives is a refusal, and the project's own build command is
run instead (`quickbuild_fallback`)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from relive.arch import x86_64
from relive.build.units import Unit
from relive.diff import library
from relive.diff.atoms import Atoms, Interner
from relive.diff.compare import compare
from relive.elf import constants as c
from relive.elf.image import Image
from relive.elf.inject import Skeleton, rewrite, skeleton
from relive.elf.object import ElfObject
from relive.errors import FormatError, Refusal, RefusedError, ReliveError
from relive.host.compiler import Compiled, CompilePool
from relive.host.demangle import qualified_name
from relive.host.images import load_image
from relive.host.native import compile_native
from relive.host.project import Project
from relive.session import quickbuild_link
from relive.session.baselines import Baseline, Baselines, is_lto, lto_refusal
from relive.session.linking import FAR_FLAGS, OUR_FLAGS
from relive.session.quickbuild_file import NewProgram, restore_program
from relive.session.quickbuild_link import FileChange
from relive.session.quickbuild_module import FileModule
from relive.session.quickbuild_ninja import other_steps
from relive.session.quickbuild_state import BuiltUnit, DependencyNotes, State, input_stamp, stamp

Compile = Callable[[Sequence[Unit]], list[Compiled]]
"""How units are compiled; their objects mean what whole-unit compilations mean."""

UNITS_LIMIT = 40
"""More changed units are a full build's business: it compiles them in parallel and links once."""

Status = Literal["applied", "unchanged", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Built:
    """How a quick build of one file ended."""

    program: str
    status: Status
    units: tuple[str, ...] = ()
    """Sources of the units that were compiled."""
    functions: tuple[str, ...] = ()
    """What the file has that the linked one has not."""
    refusals: tuple[Refusal, ...] = ()
    message: str = ""
    """The compiler's words."""
    timings_ms: dict[str, float] = field(default_factory=dict)


class QuickBuild:
    """Brings one linked file up to date."""

    def __init__(
        self, project: Project, program: Path, pool: CompilePool, cache: Path, *, compile: Compile | None = None
    ) -> None:
        """`compile`: a quicker way to compile units, if there is one; default: whole units, by `pool`."""
        self._project = project
        self._program = program
        self._pool = pool
        self._cache = cache
        self._compile: Compile = compile or (lambda units: pool.compile(units, extra_flags=OUR_FLAGS))
        self._interner = _interner(cache)
        self._spent: dict[str, float] = {}
        self._last = time.monotonic()

    def build(self, *, dry_run: bool = False) -> Built:
        """Compiles what was edited and brings the file up to date; FormatError for a file that is none of ours."""
        state = State.load(self._program)
        if dry_run:
            return self._build(state, dry_run=True)
        with state.lock(self._cache):
            state = State.load(self._program)
            return self._build(state, dry_run=False)

    # --- the story -----------------------------------------------------------------------------------------------

    def _build(self, state: State, *, dry_run: bool) -> Built:
        # Which units were edited since the file was made; they are compiled while the linked file is read.
        self._know_dependencies()
        self._was = stamp(self._program)
        image = load_image(state.linked_file, self._cache)
        stale = [unit for unit in self._stale(state) if _may_have(image, unit)]
        self._lap("analyse")
        if not stale:
            expected = [self._project.units[k].object for k in state.units if k in self._project.units]
            steps = tuple(other_steps(self._project, self._program, expected))
            return self._end("refused", refusals=steps) if steps else self._end("unchanged")
        if len(stale) > UNITS_LIMIT:
            reason = f"{len(stale)} units are to be compiled: a full build does that in parallel and links once"
            return self._end("refused", refusals=(Refusal("many-units", self._program.name, reason, ""),))
        frame = skeleton(image.elf, self._room(state, stale))
        new_file = None if dry_run else NewProgram(state.linked_file, self._program, frame)
        try:
            return self._compiled(state, stale, image, frame, new_file)
        finally:
            if new_file is not None:
                new_file.abandon()

    def _compiled(
        self, state: State, stale: list[Unit], image: Image, frame: Skeleton, new_file: NewProgram | None
    ) -> Built:
        """The story from the compiler on."""
        stamps = {unit.key: {path: input_stamp(path) for path in self._inputs(unit)} for unit in stale}
        with ThreadPoolExecutor(2, "relive-compile") as worker:
            coming = worker.submit(self._compile, stale)
            expected = [self._project.units[k].object for k in state.units if k in self._project.units]
            expected += [unit.object for unit in stale]
            others = worker.submit(other_steps, self._project, self._program, expected)
            refusals, module, baselines, changes = self._read(state, image, stale, coming)
            compiled = coming.result()
            refusals += others.result()
        self._lap("compile")
        sources = tuple(unit.source for unit in stale)
        if failed := [one for one in compiled if not one.ok]:
            return self._end("failed", units=sources, message="".join(one.diagnostics for one in failed))
        message = "".join(one.diagnostics for one in compiled)
        if refusals:
            return self._end("refused", units=sources, refusals=tuple(refusals), message=message)

        # Old against new, by meaning: those just compiled, and those of earlier quick builds.
        units = dict(state.units)
        objects: dict[str, bytes] = {}
        try:
            for one in compiled:
                changes += self._compare(one, stamps[one.unit.key], module, baselines, units, objects)
            fresh = {one.unit.key for one in compiled}
            self._lap("compare")

            # Our own linker, at the file's addresses.
            before = {k: u.differs for k, u in state.units.items()}
            differing = [change for change in changes if change.does_something]
            changed_now = any(units[k].differs or before.get(k) for k in fresh if k in units)
            injected = rewritten = None
            if len(differing) > UNITS_LIMIT:
                reason = f"{len(differing)} units differ from the linked file by now: it is time for a full link"
                raise RefusedError((Refusal("many-units", self._program.name, reason, ""),))
            if differing and changed_now:
                fars: dict[str, bytes] = {}
                injected = quickbuild_link.link(
                    module, differing, baselines, self._project.units.values(),
                    lambda unit, new: self._far_object(state, unit, new, fresh, fars),
                )  # fmt: skip
                for key, content in fars.items():
                    objects[f"{key}.far"] = content
                    units[key] = replace(units[key], far=True)
                self._lap("link")
                rewritten = rewrite(module.image.elf, injected.addition, frame)
                self._lap("inject")
        except RefusedError as error:
            return self._end("refused", units=sources, refusals=error.refusals, message=message)
        except FormatError as error:
            refusal = Refusal("file-layout", self._program.name, str(error), error.hint)
            return self._end("refused", units=sources, refusals=(refusal,), message=message)
        names = _names(injected)
        status: Status = "applied" if changed_now else "unchanged"
        if new_file is None:
            return self._end(status, units=sources, functions=names, message=message)

        # The file: written beside the old one, then renamed, if it still is what the change is made for.
        if stamp(self._program) != self._was:
            reason = "somebody else wrote the file meanwhile"
            return self._end(
                "refused", units=sources, refusals=(Refusal("file-changed", self._program.name, reason, ""),)
            )
        self._keep(state, compiled, units, objects, module, changed_now)
        if rewritten is not None:
            dates = [os.stat(c.unit.object).st_mtime_ns for c in differing if os.path.exists(c.unit.object)]
            new_file.finish(rewritten, older_than=min(dates, default=time.time_ns()), before_rename=state.save)
        elif changed_now:
            new_file.abandon()
            restore_program(state.folder / "linked", self._program, state.save)
        elif state.current is not None:
            state.save(state.current)
        self._lap("write")
        return self._end(status, units=sources, functions=names, message=message)

    # --- steps ---------------------------------------------------------------------------------------------------

    def _know_dependencies(self) -> None:
        """Asks the preprocessor for the headers of units whose build left no depfile: once, until one changes."""
        missing = list(self._project.missing_dependencies())
        if not missing:
            return
        notes = DependencyNotes(self._cache, self._project.database)
        unknown = []
        for unit in missing:
            text = notes.get(unit)
            if text is None:
                unknown.append(unit)
            else:
                self._project.update_dependencies(unit.key, text)
        began = time.time_ns()
        for unit, text in zip(unknown, self._pool.all_dependencies(unknown), strict=True):
            self._project.update_dependencies(unit.key, text)
            notes.put(unit, text, self._inputs(unit), began)
        notes.save()

    def _stale(self, state: State) -> list[Unit]:
        """Units whose sources are not those that the file was made from."""
        found = {unit.key: unit for unit in self._project.stale()}
        # Without an object only the program's own date tells; such a unit can be refused, but must not be overlooked.
        linked = stamp(state.linked_file)
        for unit in self._project.units.values():
            if linked is None or (unit.object and os.path.exists(unit.object)):
                continue
            if any(input_stamp(path)[0] > linked[0] for path in self._inputs(unit)):
                found[unit.key] = unit
        for key, built in state.units.items():
            known = self._project.units.get(key)
            if known is None:
                continue
            current = list(known.command.arguments) == built.command and all(
                input_stamp(path) == was for path, was in built.inputs.items()
            )
            if current:
                found.pop(key, None)
            else:
                found[key] = known
        return list(found.values())

    def _room(self, state: State, stale: Sequence[Unit]) -> dict[str, int]:
        """How much debug information the changed units are going to have, by what their objects have now."""
        room = {".strtab": 1 << 18, ".symtab": 1 << 16, ".shstrtab": 1 << 10}
        keys = {unit.key: unit for unit in stale}
        keys |= {k: self._project.units[k] for k, u in state.units.items() if u.differs and k in self._project.units}
        for key, unit in keys.items():
            newest = state.object(key, ".new")
            try:
                data = (newest if newest.exists() else Path(unit.object)).read_bytes()
                obj = ElfObject.parse(data, unit.source)
            except (OSError, FormatError):
                continue
            for index in ((obj.sections["flags"] & c.SHF_ALLOC) == 0).nonzero()[0].tolist():
                name = obj.section_names[index]
                if name.startswith(".debug_"):
                    size = int(obj.sections["size"][index])
                    room[name] = room.get(name, 0) + size + size // 4 + 4096
        return room

    def _inputs(self, unit: Unit) -> frozenset[str]:
        return self._project.inputs_of(unit.key)

    def _read(
        self, state: State, image: Image, stale: Sequence[Unit], coming: Future[list[Compiled]]
    ) -> tuple[list[Refusal], FileModule, Baselines, list[FileChange]]:
        """The linked file, what it was linked from, and what earlier quick builds changed: read while the compiler
        runs."""
        x86_64.instructions(b"\x90")  # loads the disassembler, which takes a while
        if state.current is None and image.elf.section_named(".relive.build") is not None:
            coming.result()
            reason = "it was made by a quick build of which nothing is known here"
            raise FormatError(f"{self._program}: {reason}", "link it anew with the project's own build")
        module = FileModule(image, self._cache)
        # Copies of objects from before the last full link are not what this file was linked from.
        kept = state.folder if state.current is not None else state.folder / "nothing"
        baselines = Baselines(self._interner, [module], kept, lambda unit: None, lambda unit: False)
        baselines.remember(list(self._project.units.values()))
        refusals: list[Refusal] = []
        known = [self._project.units[k] for k, u in state.units.items() if u.differs and k in self._project.units]
        for unit in dict.fromkeys([*stale, *known]):
            baseline = baselines.get(unit)
            if baseline is not None:
                refusals += baseline.refusals
                if not baseline.residences and not baseline.refusals:
                    reason = "the file has a unit of that name, and it is not what this object became"
                    refusals.append(Refusal("not-what-runs", os.path.basename(unit.source), reason, "", unit.source))
            elif not unit.object or not os.path.exists(unit.object):
                reason = "there is no object file of it: nobody can tell what the program was linked from"
                refusals.append(Refusal("no-baseline", os.path.basename(unit.source), reason, "", unit.source))
        module.externals(())
        _ = module.wrapped
        for unit in dict.fromkeys([*stale, *known]):
            baseline = baselines.get(unit)
            if baseline is not None and ".debug_info" in module.debug.sections:
                module.debug.tombstones(baseline.atoms.object)
        changes = []
        if not refusals:
            compiling = {unit.key for unit in stale}
            keys = [key for key, built in state.units.items() if built.differs and key not in compiling]
            changes = [self._known_change(state, key, module, baselines) for key in keys]
        return refusals, module, baselines, changes

    def _compare(
        self,
        one: Compiled,
        stamps: dict[str, tuple[int, int]],
        module: FileModule,
        baselines: Baselines,
        units: dict[str, BuiltUnit],
        objects: dict[str, bytes],
    ) -> list[FileChange]:
        """What one compiled unit changes; notes it in `units` and `objects`."""
        unit = one.unit
        self._project.update_dependencies(unit.key, one.depfile)
        for path in self._inputs(unit):
            was = stamps.setdefault(path, input_stamp(path))
            if was[0] > one.started_ns:
                stamps[path] = (0, 0)
        baseline = baselines.get(unit)
        built = BuiltUnit(stamps, list(unit.command.arguments), differs=False)
        if baseline is None or not baseline.residences:
            units[unit.key] = built
            return []
        change = self._change(unit, one.object, baseline)
        units[unit.key] = replace(built, differs=change.does_something)
        if change.does_something:
            objects[f"{unit.key}.new"] = one.object
            objects[unit.key] = baseline.atoms.object.data
        return [change]

    def _change(self, unit: Unit, data: bytes, baseline: Baseline) -> FileChange:
        obj = ElfObject.parse(data, unit.source)
        if is_lto(obj):
            raise RefusedError((lto_refusal(unit),))
        return FileChange(unit, baseline, compare(baseline.atoms, Atoms(obj, self._interner)))

    def _known_change(self, state: State, key: str, module: FileModule, baselines: Baselines) -> FileChange:
        """What an earlier quick build compiled."""
        unit = self._project.units.get(key)
        baseline = baselines.get(unit) if unit is not None else None
        if unit is None or baseline is None:
            raise FormatError(f"{self._program}: a unit that it was made from has left the project")
        try:
            data = state.object(key, ".new").read_bytes()
        except OSError as error:
            raise FormatError(f"{state.folder}: {error.strerror}", "link the program anew") from error
        return self._change(unit, data, baseline)

    def _far_object(
        self, state: State, unit: Unit, new: Atoms, fresh: set[str], fars: dict[str, bytes]
    ) -> Atoms | None:
        """The unit compiled so that it reaches library data through the GOT."""
        kept = state.object(unit.key, ".far")
        if unit.key not in fresh and kept.exists():
            return Atoms(ElfObject.parse(kept.read_bytes(), unit.source), self._interner)
        compiler = "clang" if any("clang" in os.path.basename(a) for a in unit.command.arguments[:3]) else "gcc"
        again = self._pool.compile([unit], extra_flags=(*OUR_FLAGS, *FAR_FLAGS[compiler]))[0]
        if not again.ok:
            return None
        fars[unit.key] = again.object
        return Atoms(ElfObject.parse(again.object, unit.source), self._interner)

    def _keep(
        self,
        state: State,
        compiled: Sequence[Compiled],
        units: dict[str, BuiltUnit],
        objects: dict[str, bytes],
        module: FileModule,
        changed: bool,
    ) -> None:
        """Puts objects into the folder; the state itself is written with the program."""
        if state.current is None and not changed:
            return  # the linked file is right as it is; it will be found out again next time
        state.begin()
        state.keep_linked()
        for name, content in objects.items():
            path = state.object(name)
            temporary = path.with_name(path.name + ".tmp")
            temporary.write_bytes(content)
            os.replace(temporary, path)
        state.units = units

    def _lap(self, step: str) -> None:
        now = time.monotonic()
        self._spent[step] = round(self._spent.get(step, 0.0) + (now - self._last) * 1000, 2)
        self._last = now

    def _end(self, status: Status, **fields: object) -> Built:
        return Built(str(self._program), status, timings_ms=dict(self._spent), **fields)  # type: ignore[arg-type]


def _interner(cache: Path) -> Interner:
    """With the C half of the diff room, compiled on first use; without a compiler for it, Python does the same."""
    try:
        return Interner(library.load(compile_native("diff", library.SOURCES, flags=library.FLAGS, cache=cache)))
    except (ReliveError, OSError):
        return Interner()


def _may_have(image: Image, unit: Unit) -> bool:
    """Whether a unit is part of the linked file, going by names of files: a database has the units of other programs
    too. True when nobody knows (assembly without names)."""
    if not image.file_groups() or image.groups_named(os.path.basename(unit.source).encode()):
        return True
    try:
        obj = ElfObject.parse(Path(unit.object).read_bytes(), unit.object)
    except OSError:
        return unit.source.endswith((".s", ".S", ".asm"))
    except FormatError:
        return True
    files = [obj.symbol_names[i] for i in ((obj.symbols["info"] & 15) == c.STT_FILE).nonzero()[0].tolist()]
    return not files or any(image.groups_named(name) for name in files)


def _names(injected: object) -> tuple[str, ...]:
    from relive.link.inject import Injected

    if not isinstance(injected, Injected):
        return ()
    names = [qualified_name(r.name) for r, _ in (*injected.redirects, *injected.rehomed)]
    names += [qualified_name(s.name) for s in injected.stores] + [qualified_name(m.name) for m, _ in injected.moved]
    return tuple(dict.fromkeys(sorted(names)))
