"""The baseline of a unit: the object that the running code was made from, and where its atoms live.

For the first reload of a unit that is the user's own object file, copied before a later build can replace it; where
there is none, our own compilation of the source as it was at the start. Whether it is what runs is *checked*: the
code in the module must be the object's code. After a reload the baseline is our last object."""

from __future__ import annotations

import itertools
import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from relive.build.units import Unit
from relive.diff.atoms import Atoms, Interner
from relive.diff.locate import Location, locate
from relive.diff.partial import Newer, internal_spellings, with_internal_names
from relive.elf import constants as c
from relive.elf.object import ElfObject
from relive.errors import FormatError, Refusal
from relive.link.model import Address
from relive.session.modules import ModuleState


@dataclass(frozen=True, slots=True)
class Left:
    """A variable that left the source: a mutable one of the same size may come back to it."""

    address: Address
    kind: int
    size: int


@dataclass(slots=True)
class Residence:
    """A unit in one module: what of it lives there. `live` grows with each generation."""

    module: ModuleState
    live: dict[bytes, Address]
    folded: frozenset[bytes] = frozenset()
    newest: dict[bytes, int] = field(default_factory=dict)
    """Function → address of its newest code, where that is not its home."""
    left: dict[bytes, Left] = field(default_factory=dict)
    """Variables that are in no source any more; their memory stays."""


@dataclass(slots=True)
class Baseline:
    """What runs of one unit."""

    unit: Unit
    atoms: Atoms
    residences: list[Residence] = field(default_factory=list)
    refusals: tuple[Refusal, ...] = ()
    """Why this unit cannot be reloaded, if it cannot."""
    newer: Mapping[bytes, Newer] = field(default_factory=dict)
    """Functions that were compiled alone since, and what came with them."""
    _spellings: dict[bytes, bytes] | None = None

    @property
    def internal_spellings(self) -> dict[bytes, bytes]:
        """See `diff.partial.internal_spellings`."""
        if self._spellings is None:
            self._spellings = internal_spellings(self.atoms)
        return self._spellings


@dataclass(frozen=True, slots=True)
class Spilled:
    """A former baseline, kept on disk until somebody undoes that far."""

    unit: Unit
    object: SpilledObject
    newer: Mapping[bytes, tuple[SpilledObject, int]]
    """See `Baseline.newer`: object and atom."""
    residences: list[Residence]


@dataclass(frozen=True, slots=True)
class SpilledObject:
    """The file of an object, and its renames (see `Atoms`)."""

    path: Path
    renames: Mapping[bytes, bytes]


Kept = Baseline | Spilled | None
"""What undo brings back for a unit; None: what the program was built from."""


class Baselines:
    """Baselines of all units, made when first needed; the user's objects are secured in idle time."""

    def __init__(
        self,
        interner: Interner,
        modules: Sequence[ModuleState],
        workdir: Path,
        recompile: Callable[[Unit], bytes | None],
        unedited: Callable[[Unit], bool],
    ) -> None:
        """`recompile`: our own compilation of a unit (None when it fails). `unedited`: whether the unit's inputs are as
        they were when the session began; otherwise nobody can compile what runs."""
        self._interner = interner
        self._modules = modules
        self._store = workdir / "objects"
        self._recompile = recompile
        self._unedited = unedited
        self._stamps: dict[str, tuple[int, int, int]] = {}
        self._known: dict[str, Baseline] = {}
        self._copied: set[str] = set()
        self._seen: set[str] = set()
        self._wanted: dict[str, frozenset[bytes]] = {}
        self._spilled: weakref.WeakKeyDictionary[Atoms, SpilledObject] = weakref.WeakKeyDictionary()
        self._numbers = itertools.count(1)
        self.shared: dict[bytes, Newer] = {}
        """Inline functions that were compiled alone, for whichever units have them."""

    def remember(self, units: Sequence[Unit]) -> None:
        """Notes which object files there are at the start: later ones are not what runs."""
        for unit in units:
            self._seen.add(unit.key)
            stamp = _stamp(unit.object)
            if stamp is not None:
                self._stamps.setdefault(unit.key, stamp)

    def was_there(self, unit: Unit) -> bool:
        """Whether the unit was known at the start of the session."""
        return unit.key in self._seen

    def secure(self, unit: Unit) -> bool:
        """Copies a unit's object, or makes one; False when there was nothing to do."""
        if unit.key in self._copied or unit.key in self._known:
            return False
        self._copied.add(unit.key)
        data = self._original(unit)
        if data is None and self.may_run(unit) and self._unedited(unit):
            data = self._recompile(unit)
        if data is not None:
            self._store.mkdir(parents=True, exist_ok=True)
            (self._store / unit.key).write_bytes(data)
        return True

    def may_run(self, unit: Unit) -> bool:
        """Whether a file of that name is part of the program: a database has the units of other programs too, and
        compiling them would only keep edits waiting."""
        name = os.path.basename(unit.source).encode()
        groups = [module.image.file_groups() for module in self._modules]
        return any(not mine or any(group.name == name for group in mine) for mine in groups)

    def get(self, unit: Unit) -> Baseline | None:
        """The baseline of a unit; None when nobody knows what runs of it."""
        known = self._known.get(unit.key)
        if known is not None:
            return known
        data = self._copy(unit) or self._original(unit)
        if data is None:
            return None
        self._known[unit.key] = self._make(unit, data)
        return self._known[unit.key]

    def put(self, baseline: Baseline) -> None:
        """The present baseline of its unit; what a whole object defines is no newer elsewhere."""
        self._known[baseline.unit.key] = baseline
        if self.shared and not baseline.newer:
            for name in [name for name in self.shared if name in baseline.atoms.by_name]:
                del self.shared[name]

    def share(self, code: Mapping[bytes, Newer]) -> None:
        """Takes note of functions that were compiled alone and that other units may have, too."""
        self.shared.update(code)

    def newer_of(self, baseline: Baseline) -> Mapping[bytes, Newer]:
        """What of a unit is newer than its object."""
        return {**baseline.newer, **self.shared}

    def leave(self, module: ModuleState | None) -> set[str]:
        """Forgets an unloaded module (None: only what had no home at all, for there is a new module now); the keys of
        units that lived in it."""
        left = set()
        for key, baseline in list(self._known.items()):
            stay = [r for r in baseline.residences if r.module is not module]
            if len(stay) != len(baseline.residences):
                left.add(key)
            if stay:
                baseline.residences = stay
            elif not baseline.refusals:
                del self._known[key]
        return left

    def users_of(self, name: bytes, units: Iterable[Unit], without: set[str]) -> list[Unit]:
        """Units of the program, other than `without`, whose objects refer to a name that they do not define."""
        found = []
        for unit in units:
            if unit.key in without or name not in self._undefined(unit):
                continue
            baseline = self.get(unit)
            if baseline is not None and baseline.residences:
                found.append(unit)
        return found

    def _undefined(self, unit: Unit) -> frozenset[bytes]:
        """Names that what runs of a unit refers to and does not define."""
        known = self._known.get(unit.key)
        if known is not None:
            return _undefined_names(known.atoms.object)
        if unit.key not in self._wanted:
            data = self._copy(unit) or self._original(unit) or b""
            try:
                self._wanted[unit.key] = _undefined_names(ElfObject.parse(data, unit.object))
            except FormatError:
                self._wanted[unit.key] = frozenset()
        return self._wanted[unit.key]

    def snapshot(self, keys: Sequence[str]) -> dict[str, Kept]:
        """The present baselines of some units, to be put back by `restore`."""
        return {key: self._known.get(key) for key in keys}

    def spill(self, saved: dict[str, Kept], number: int) -> bool:
        """Moves former baselines to disk, so that a long session does not keep every object in memory. False when
        there was nothing to move."""
        found = False
        for key, baseline in saved.items():
            if not isinstance(baseline, Baseline):
                continue
            found = True
            stem = f"{key}-{number}"
            newer = {name: (self._spill(code.atoms, stem), code.atom) for name, code in baseline.newer.items()}
            whole = self._spill(baseline.atoms, stem)
            saved[key] = Spilled(baseline.unit, whole, newer, baseline.residences)
        return found

    def _spill(self, atoms: Atoms, stem: str) -> SpilledObject:
        """One file for each object, whatever number of generations has it."""
        known = self._spilled.get(atoms)
        if known is None:
            self._store.mkdir(parents=True, exist_ok=True)
            path = self._store / f"{stem}-{next(self._numbers)}"
            path.write_bytes(atoms.object.data)
            known = self._spilled[atoms] = SpilledObject(path, dict(atoms.renames))
        return known

    def restore(self, saved: dict[str, Kept]) -> None:
        """Makes former baselines the present ones."""
        for key, kept in saved.items():
            if kept is None:
                self._known.pop(key, None)
            elif isinstance(kept, Spilled):
                obj = ElfObject.parse(kept.object.path.read_bytes(), kept.unit.source)
                whole = Atoms(obj, self._interner, kept.object.renames)
                self._known[key] = Baseline(kept.unit, whole, kept.residences, newer=self._newer(kept, whole))
            else:
                self._known[key] = kept

    def _newer(self, kept: Spilled, whole: Atoms) -> dict[bytes, Newer]:
        """The parts of a former baseline, read again; their code was made direct before they were written."""
        spellings = internal_spellings(whole) if kept.newer else {}
        parts: dict[Path, Atoms] = {}
        for spilled, _ in kept.newer.values():
            if spilled.path not in parts:
                obj = ElfObject.parse(spilled.path.read_bytes(), kept.unit.source)
                obj = with_internal_names(obj, spellings, whole, direct=False)
                parts[spilled.path] = Atoms(obj, self._interner, spilled.renames)
        return {name: Newer(parts[spilled.path], atom) for name, (spilled, atom) in kept.newer.items()}

    def _copy(self, unit: Unit) -> bytes | None:
        try:
            return (self._store / unit.key).read_bytes()
        except OSError:
            return None

    def _original(self, unit: Unit) -> bytes | None:
        """The user's object, if it is still the one that was there at the start."""
        if not unit.object or _stamp(unit.object) != self._stamps.get(unit.key, (0, 0, 0)):
            return None
        try:
            return Path(unit.object).read_bytes()
        except OSError:
            return None

    def _too_new(self, unit: Unit, module: ModuleState) -> Refusal | None:
        """An object that was compiled after the program was linked may differ from it in constants, which are not
        compared with the program as code is."""
        stamp = self._stamps.get(unit.key)
        if stamp is None or stamp[0] <= _modified(module.path):
            return None
        return Refusal(
            "not-what-runs", os.path.basename(unit.source),
            f"its object is newer than {os.path.basename(module.path)}: the program was not linked from it",
            "build the project and restart the program", unit.source,
        )  # fmt: skip

    def _make(self, unit: Unit, data: bytes) -> Baseline:
        try:
            obj = ElfObject.parse(data, unit.object)
        except FormatError as error:
            hint = error.hint or "build the project again and restart the program"
            refusal = Refusal("bad-object", unit.source, str(error), hint, unit.source)
            empty = Atoms(EMPTY_OBJECT, self._interner)
            return Baseline(unit, empty, [], (refusal,))
        if is_lto(obj):
            return Baseline(unit, Atoms(EMPTY_OBJECT, self._interner), [], (lto_refusal(unit),))
        atoms = Atoms(obj, self._interner)
        baseline = Baseline(unit, atoms)
        refusals: list[Refusal] = []
        for module in self._modules:
            location = locate(atoms, module.image)
            if location is None:
                continue
            problem = _problem(unit, location, module) or self._too_new(unit, module)
            if problem is not None:
                refusals.append(problem)
                continue
            baseline.residences.append(Residence(module, _live(atoms, location, module), _folded(atoms, location)))
        if not baseline.residences:
            baseline.refusals = tuple(refusals)
        return baseline


def _modified(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _live(atoms: Atoms, location: Location, module: ModuleState) -> dict[bytes, Address]:
    live: dict[bytes, Address] = {}
    for name, value in location.addresses.items():
        is_tls = int(atoms.kind[atoms.by_name[name]]) == 4 if name in atoms.by_name else False
        live[name] = module.tls(value) if is_tls else module.address(value)
    return live


def _problem(unit: Unit, location: Location, module: ModuleState) -> Refusal | None:
    where = os.path.basename(module.path)
    if location.ambiguous:
        return Refusal(
            "ambiguous-unit", os.path.basename(unit.source),
            f"{where} holds several units of this name that cannot be told apart",
            "rename one of the files, or build with -g", unit.source,
        )  # fmt: skip
    if location.differing:
        names = ", ".join(name.decode("utf-8", "replace") for name in location.differing[:3])
        return Refusal(
            "not-what-runs", os.path.basename(unit.source),
            f"{where} was not linked from this object: {names} differ", "build the project and restart the program",
            unit.source,
        )  # fmt: skip
    return None


def _folded(atoms: Atoms, location: Location) -> frozenset[bytes]:
    """Functions of one unit that the linker gave one address, although the object has them apart (--icf)."""
    seen: dict[int, bytes] = {}
    folded: set[bytes] = set()
    for name in (atoms.names[a] for a in atoms.functions()):
        address = location.addresses.get(name) if name is not None else None
        if name is None or address is None:
            continue
        if address in seen:
            folded |= {name, seen[address]}
        seen[address] = name
    return frozenset(folded)


def _undefined_names(obj: ElfObject) -> frozenset[bytes]:
    return frozenset(obj.symbol_names[i] for i in np.flatnonzero(obj.symbol_sections == 0).tolist())


def is_strong(atoms: Atoms, name: bytes) -> bool:
    """Whether a global name of an object is a strong definition (a weak one may come from another unit too)."""
    symbols = atoms.object.symbols
    return any(symbols["info"][i] >> 4 == c.STB_GLOBAL for i in atoms.aliases.get(atoms.by_name[name], ()))


def is_lto(obj: ElfObject) -> bool:
    """Whether an object holds the compiler's intermediate code for link-time optimisation."""
    return obj.has_section(".gnu.lto_") or obj.has_section(".llvm.lto")


def lto_refusal(unit: Unit) -> Refusal:
    return Refusal(
        "lto-object", os.path.basename(unit.source), "it is compiled with -flto: the linker made what runs",
        "build without -flto", unit.source,
    )  # fmt: skip


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


EMPTY_OBJECT = ElfObject.empty("(nothing)")
