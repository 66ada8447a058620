"""What debug information says about a change, before anything is applied: types, variables, signatures, identities.

A changed layout of a type is refused in this version: live objects have the old one. So is a variable that lives under
another type. A changed signature under an unchanged name (C, or a C++ result type) is fine once no old caller is
active: those callers are named here, and the switch waits until no thread is in them.

Units without debug information are not checked for types (said once per unit); numbered statics then stay unmatched
and a change of their number is refused."""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from relive.diff.atoms import Atoms, Interner, Kind
from relive.diff.closures import match_lambdas
from relive.diff.compare import Comparison
from relive.diff.identity import Static, has_numbered, local_variables, rename_statics
from relive.dwarf import FLAGS, SOURCES
from relive.dwarf.compare import compare_types, compare_units, same_type
from relive.dwarf.model import NoDebugInfoError, TypeChange, VariableRecord
from relive.dwarf.reader import DebugInfo, Reader
from relive.elf.object import ElfObject
from relive.errors import FormatError, Refusal
from relive.host.native import compile_native
from relive.session import refusals


@dataclass(slots=True)
class Verdict:
    """What the types of one unit say about its change."""

    refusals: list[Refusal] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    """Types whose layout or virtual functions changed."""
    new_signatures: set[bytes] = field(default_factory=set)
    """Symbols of functions that take or give something else than before under the same name."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Coming:
    """Debug information that is being read; `functions` is done when its table of functions is there, too."""

    info: Future[DebugInfo | None]
    functions: Future[None]


_PART = re.compile(rb"\.\d+$")


class TypeCheck:
    """Reads debug information with the C reader (compiled on first use), once per object."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._reader: Reader | None = None
        self._worker = ThreadPoolExecutor(1, "relive-types")
        self._coming: dict[int, _Coming] = {}
        self._infos: weakref.WeakKeyDictionary[ElfObject, DebugInfo | None] = weakref.WeakKeyDictionary()

    @property
    def ready(self) -> bool:
        """Whether the reader is loaded."""
        return self._reader is not None

    def prepare(self) -> None:
        """Compiles and loads the reader, so that the first reload need not."""
        if self._reader is None:
            self._reader = Reader(compile_native("dwarf", SOURCES, flags=FLAGS, cache=self._cache))

    def info(self, obj: ElfObject) -> DebugInfo | None:
        """Debug information of an object; None when it has none. FormatError for what cannot be read."""
        if obj not in self._infos:
            coming = self._coming.pop(id(obj), None)
            if coming is not None:
                self._infos[obj] = coming.info.result()
                coming.functions.result()
            else:
                self._infos[obj] = self._read(obj)
        return self._infos[obj]

    def prefetch(self, obj: ElfObject) -> None:
        """Begins to read, beside what the caller does next: the reader is C and does not hold Python up."""
        if obj not in self._infos and id(obj) not in self._coming:
            info = self._worker.submit(self._read, obj)
            self._coming[id(obj)] = _Coming(info, self._worker.submit(_read_functions, info))

    def _early(self, obj: ElfObject) -> DebugInfo | None:
        """The same while its functions may still be being read: only its variables and its table of types may be
        used, which were made before (a `DebugInfo` is not for two threads)."""
        coming = self._coming.get(id(obj))
        return self.info(obj) if coming is None else coming.info.result()

    def _read(self, obj: ElfObject) -> DebugInfo | None:
        self.prepare()
        assert self._reader is not None
        try:
            info = self._reader.read(obj.data)
        except NoDebugInfoError:
            return None
        _ = info.variables, info.type_table()
        return info

    # --- identities ----------------------------------------------------------------------------------------------

    def atoms(
        self, old: Atoms, obj: ElfObject, interner: Interner, verdict: Verdict, source: str, *, partial: bool = False
    ) -> Atoms:
        """The atoms of a new object under the names of the old one where the compiler numbered them anew. `partial`:
        it has only some functions of the unit."""
        self.prefetch(obj)
        new = Atoms(obj, interner)
        try:
            renames = self._static_renames(old, obj, verdict, source)
            if renames:
                new = Atoms(obj, interner, renames)
            lambdas = match_lambdas(old, new, self._changed_captures(old.object, obj), partial=partial)
        except FormatError:
            return new  # debug information that cannot be read: `check` refuses
        if lambdas.renames:
            new = Atoms(obj, interner, {**renames, **lambdas.renames})
        for owner in lambdas.told:
            verdict.notes.append(f"lambdas in {owner} were added or removed: stored ones keep their old body")
        return new

    def _static_renames(self, older: Atoms, new: ElfObject, verdict: Verdict, source: str) -> Mapping[bytes, bytes]:
        old = older.object
        if not has_numbered(old) and not has_numbered(new):
            return {}
        before, after = self._early(old), self._early(new)
        if before is None or after is None:
            names = [
                sorted(n for n in local_variables(o).values() if b"." in n or n.startswith(b"_ZZ")) for o in (old, new)
            ]
            if names[0] != names[1]:
                verdict.refusals.append(
                    Refusal(
                        "no-debug-info", os.path.basename(source),
                        "statics in functions came or went, and without debug information they cannot be told apart",
                        "compile with -g", source,
                    )
                )  # fmt: skip
            return {}
        # The old object may itself have been renumbered: its session names are those that the process knows.
        taken = {older.renames.get(name, name) for name in local_variables(old).values()}
        known = [replace(s, symbol=older.renames.get(s.symbol, s.symbol)) for s in _statics(before, old)]
        renames, ambiguous = rename_statics(known, _statics(after, new), taken)
        for static in ambiguous:
            verdict.refusals.append(
                Refusal(
                    "ambiguous-static", f"{static.owner}: {static.plain}",
                    "several statics of this name and type are in the function, and their number changed",
                    "give the new one a name of its own", source,
                )
            )  # fmt: skip
        return renames

    def _changed_captures(self, old: ElfObject, new: ElfObject) -> set[bytes]:
        before, after = self._early(old), self._early(new)
        if before is None or after is None or not len(before.type_table().differing(after.type_table())):
            return set()
        before, after = self.info(old), self.info(new)
        assert before is not None
        assert after is not None
        changed = [change for change in compare_types(before, after) if change.is_lambda and change.layout_changed]
        if not changed:
            return set()
        lines = {(change.file, change.line) for change in changed}
        lambdas = [f for f in after.functions if f.is_lambda and (f.file, f.line) in lines]
        places = {(f.location.section, f.location.value) for f in lambdas}
        kind = new.symbols["info"] & 15
        return {
            new.symbol_names[i]
            for i in range(len(new.symbol_names))
            if kind[i] == 2 and (int(new.symbol_sections[i]), int(new.symbols["value"][i])) in places
        }

    # --- verdict -------------------------------------------------------------------------------------------------

    def check(self, changes: Sequence[tuple[Comparison, Verdict, str]]) -> None:
        """Compares types, variables and signatures of old and new objects: (comparison, verdict to fill, source) of
        all units of a reload. Types are compared over all of them: gcc describes a class only where its first virtual
        function is."""
        pairs: list[tuple[DebugInfo, DebugInfo]] = []
        statics: set[str] = set()
        for comparison, verdict, source in changes:
            try:
                before, after = self.info(comparison.old.object), self.info(comparison.new.object)
            except FormatError as error:
                refusal = Refusal("debug-info", os.path.basename(source), str(error), error.hint, source)
                verdict.refusals.append(refusal)
                continue
            if before is None or after is None:
                continue
            pairs.append((before, after))
            statics |= {v.type for v in before.variables if v.owner}
            self._variables(comparison, before, after, verdict, source)
            _signatures(comparison, before, after, verdict)
            reduced = _reduced(comparison, before, after)
            verdict.refusals += [refusals.variable_reduced(name, source) for name in reduced]
        for change in compare_units(pairs):
            self._judge(change, statics, changes[0][1], changes[0][2])

    def _judge(self, change: TypeChange, statics: set[str], verdict: Verdict, source: str) -> None:
        if change.objects_unchanged or change.is_lambda or change.names_lambda:
            return
        if change.is_local and not any(change.spelling in spelling for spelling in statics):
            return  # local to a function, and no static of one holds it
        verdict.types.append(change.display)
        place = (change.file or source, change.line)
        if change.layout_changed:
            verdict.refusals.append(
                Refusal(
                    "layout-changed", change.display,
                    f"its layout changed ({change.explanation}), and objects of the old layout live",
                    "restart the program, or undo this part of the edit", *place,
                )
            )  # fmt: skip
        elif not _only_appended(change.old_vtable, change.new_vtable):
            verdict.refusals.append(
                Refusal(
                    "vtable-reordered", change.display,
                    f"its virtual functions changed their places ({change.explanation})",
                    "declare new virtual functions after the others, or restart the program", *place,
                )
            )  # fmt: skip

    def _variables(
        self, comparison: Comparison, before: DebugInfo, after: DebugInfo, verdict: Verdict, source: str
    ) -> None:
        old_types = {name: v for v in before.variables if (name := _symbol(comparison.old, v)) is not None}
        for variable in after.variables:
            name = _symbol(comparison.new, variable)
            old = old_types.get(name) if name is not None else None
            if old is None or same_type(old, variable) or old.size != variable.size:
                continue
            if old.is_const and variable.is_const:
                continue  # its content is compared
            if _same_but_for_const(old.type, variable.type):
                continue
            what = f"its type was {old.type} and would be {variable.type}"
            if old.type == variable.type:
                what = f"the layout of {old.type} changed"
            verdict.refusals.append(
                Refusal(
                    "variable-retyped", variable.name, f"it lives in the program; {what}",
                    "restart the program, or give the variable a new name", variable.file or source, variable.line,
                )
            )  # fmt: skip


def _read_functions(info: Future[DebugInfo | None]) -> None:
    if (found := info.result()) is not None:
        _ = found.function_rows


def _same_but_for_const(old: str, new: str) -> bool:
    return old.replace("const", "").split() == new.replace("const", "").split()


def _statics(info: DebugInfo, obj: ElfObject) -> list[Static]:
    names = local_variables(obj)
    result = []
    for v in info.variables:
        if not v.owner:
            continue
        symbol = names.get((v.location.section, v.location.value))
        if symbol is not None:
            owner = _owner_in(symbol, v.plain.encode()) or v.owner
            result.append(Static(symbol, owner, v.block_path, v.plain, v.ordinal, v.type))
    return result


def _owner_in(symbol: bytes, plain: bytes) -> str:
    """The function that a static's symbol itself names: C++ mangles it, clang writes `function.name` for C. It is
    surer than debug information, where clang leaves a function without a name that was inlined everywhere. "" when the
    symbol names none (gcc's `name.0`)."""
    mangled = b"E%d%s" % (len(plain), plain)
    if symbol.startswith(b"_ZZ") and mangled in symbol:
        return symbol[: symbol.rfind(mangled)].decode()
    owner, dot, _ = symbol.partition(b"." + plain)
    return owner.decode() if dot and owner else ""


def _symbol(atoms: Atoms, variable: VariableRecord) -> bytes | None:
    """Session name of the atom that a variable is."""
    import numpy as np

    section, value = variable.location.section, variable.location.value
    if not section:
        return None
    atom = int(atoms.locate(np.array([section]), np.array([value]))[0])
    if atom < 0 or int(atoms.start[atom]) != value:
        return None
    return atoms.names[atom]


def _only_appended(old: str, new: str) -> bool:
    """Whether all virtual functions keep their slots. A table names a class's own virtual functions: one that is new in
    it may also override an inherited one, in a slot that was there."""
    return set(old.splitlines()) <= set(new.splitlines())


def _reduced(comparison: Comparison, before: DebugInfo, after: DebugInfo) -> list[bytes]:
    """Statics of which clang -O2 keeps only a flag or parts (LLVM's GlobalOpt), where what is in memory may mean
    something else than before, and which a changed function mentions."""
    old, new = comparison.old, comparison.new
    was_meant, is_meant = _meanings(old, before), _meanings(new, after)
    doubtful = {name for name, how in (*was_meant.items(), *is_meant.items()) if how is None}
    doubtful |= {name for name, how in is_meant.items() if was_meant.get(name, how) != how}
    found = _split_or_joined(comparison, before, after)
    if not doubtful:
        return sorted(found)
    for atom in comparison.changed:
        was = comparison.counterpart.get(atom)
        if was is None or new.kind[atom] != Kind.TEXT:
            continue
        if new.content(atom) == old.content(was) and new.row_bytes(atom) == old.row_bytes(was):
            continue  # identity reload replaces equal functions too
        for atoms, function in ((new, atom), (old, was)):
            targets = (int(atoms.target[row]) for row in atoms.row_range(function) if atoms.row_is_local[row])
            found |= {name for t in targets if t >= 0 and (name := atoms.names[t]) is not None and name in doubtful}
    return sorted(found)


def _split_or_joined(comparison: Comparison, before: DebugInfo, after: DebugInfo) -> set[bytes]:
    """Statics of which clang kept a part (`store.1`) in one of the objects and the whole (`store`) in the other: what
    lives in the part would be lost."""
    if not any("clang" in unit.producer for info in (before, after) for unit in info.units):
        return set()
    old, new = comparison.old, comparison.new
    fresh = {n for a in comparison.added if new.kind[a] in (Kind.DATA, Kind.TLS) and (n := new.names[a]) is not None}
    gone = {n for n in comparison.removed if old.kind[old.by_name[n]] in (Kind.DATA, Kind.TLS)}
    wholes = {_PART.sub(b"", name) for name in gone if _PART.search(name)} & fresh
    return wholes | ({_PART.sub(b"", name) for name in fresh if _PART.search(name)} & gone)


def _meanings(atoms: Atoms, info: DebugInfo) -> dict[bytes, int | None]:
    """Local variables that are not in memory as the source has them → how their value is computed from what is there;
    None when nobody says (parts of a struct, numbered over the members in use; a flag for a pointer)."""
    if not any("clang" in unit.producer for unit in info.units):
        return {}
    result: dict[bytes, int | None] = {}
    known = set()
    bases: list[bytes] = []
    for variable in info.variables:
        name = _symbol(atoms, variable)
        if name is None:
            continue
        known.add(name)
        if variable.is_computed:
            result[name] = variable.location.addend
        elif not variable.is_whole:
            bases.append(name.rsplit(b".", 1)[0] + b".")
    for atom in atoms.variables():
        name = atoms.names[atom]
        if name is None or atoms.is_global[atom] or atoms.kind[atom] != Kind.DATA or name.startswith((b"_ZGV", b"__")):
            continue
        if name.startswith(tuple(bases)) or (atoms.size(atom) == 1 and name not in known):
            result[name] = None
    return result


def _signatures(comparison: Comparison, before: DebugInfo, after: DebugInfo, verdict: Verdict) -> None:
    """Changed functions that take or give something else than before."""
    old, new = comparison.old, comparison.new
    for atom in comparison.changed:
        name, was = new.names[atom], comparison.counterpart.get(atom)
        if name is None or was is None or new.kind[atom] != Kind.TEXT:
            continue
        first = before.function_at(int(old.section[was]), int(old.start[was]))
        second = after.function_at(int(new.section[atom]), int(new.start[atom]))
        if first is not None and second is not None and not second.is_lambda and first.signature != second.signature:
            verdict.new_signatures.add(name)
