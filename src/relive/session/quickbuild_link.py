"""From changed units to what goes into the file: the questions that the linker has for the session, and the checks that
the project's own linker would make.

A quick build may do less than a linker, never something else: whatever a full link would see differently (a definition
that is missing, there twice, or wanted by somebody who was not compiled) is a refusal, and the project's own build
gets the word."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from relive.arch import x86_64
from relive.build.units import Unit
from relive.diff.atoms import Atoms
from relive.diff.compare import Comparison
from relive.elf import constants as c
from relive.elf.inject import Addition, NewSymbol, free_address
from relive.errors import Refusal, RefusedError
from relive.host.demangle import qualified_name
from relive.link.inject import Injected, Injection, import_of, prepare, startup_lists
from relive.link.model import LinkUnit, Moved, Redirect
from relive.session import apply, callsites, report
from relive.session.baselines import Baseline, Baselines, is_strong
from relive.session.quickbuild_module import FileModule

_OWN_LINKER = "the project's own linker decides"
_USERS_LIMIT = 64
"""Units whose objects are looked through for users of a name, before a full link is quicker."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One unit whose code is not that of the linked file."""

    unit: Unit
    baseline: Baseline
    comparison: Comparison

    @property
    def does_something(self) -> bool:
        """Whether the linked file would be another one with this unit."""
        one = self.comparison
        if one.changed or one.reinitialised or one.resized or one.added or one.removed:
            return True
        return startup_lists(one.old) != startup_lists(one.new) or _arrays(one.old) != _arrays(one.new)


def link(
    module: FileModule,
    changes: Sequence[FileChange],
    baselines: Baselines,
    units: Iterable[Unit],
    far_object: Callable[[Unit, Atoms], Atoms | None],
) -> Injected:
    """Links all changes for the file. `far_object`: atoms of another compilation of a unit that reaches library data
    through the GOT. RefusedError: it takes a linker."""
    parts = [_link_unit(change, module) for change in changes]
    prepared = prepare(parts, module, module.kind, module.debug)
    if prepared.references.far:
        for u in sorted(prepared.references.far):
            atoms = far_object(changes[u].unit, parts[u].new)
            if atoms is not None:
                parts[u] = replace(parts[u], comparison=report.same_changes(parts[u].comparison, atoms))
        prepared = prepare(parts, module, module.kind, module.debug)
        for u in sorted(prepared.references.far):
            reason = "it uses a library's data directly, which takes a copy relocation"
            prepared.selection.refusals.append(Refusal("data-out-of-reach", parts[u].source, reason, _OWN_LINKER))
    problems = _unpatchable(module, prepared)
    if problems:
        parts = [replace(part, rehomed=frozenset(problems)) for part in parts]
        prepared = prepare(parts, module, module.kind, module.debug)
    refusals = [*prepared.refusals, *_linker_errors(module, changes, prepared, baselines, list(units))]
    if refusals:
        raise RefusedError(tuple(dict.fromkeys(refusals)))
    injected = prepared.inject(free_address(module.image.elf))
    return replace(injected, addition=_finished(module, prepared, injected))


def _link_unit(change: FileChange, module: FileModule) -> LinkUnit:
    residence = next(r for r in change.baseline.residences if r.module is module)
    live = report.carried_over(change.comparison, residence.live)
    return LinkUnit(change.unit.source, change.comparison, live, residence.folded)


def _unpatchable(module: FileModule, prepared: Injection) -> dict[bytes, str]:
    """Functions whose entry takes no jump. One at the end of a section may have room behind it, which in a file
    nobody else uses."""
    problems = apply.unpatchable(module.memory, module, prepared)
    for redirect in prepared.selection.redirects if problems else ():
        section = module.image.section_of(redirect.home)
        row = module.image.symbol_covering(redirect.home)
        if redirect.name in problems and section is not None and row is not None:
            end = redirect.home + int(module.image.symbols.size[row])
            segment = next(s for s in module.image.segments if s.vaddr <= end < s.vaddr + s.memsz)
            if end == section.address + section.size and redirect.home + 5 <= segment.vaddr + segment.filesz:
                following = [s.address for s in module.image.sections if s.address >= end and s.flags & c.SHF_ALLOC]
                hazards = x86_64.entry_hazards(module.image.read(redirect.home, end - redirect.home))
                if min(following, default=end + 5) >= redirect.home + 5 and not hazards:
                    del problems[redirect.name]
    return problems


# --- what a linker would say ------------------------------------------------------------------------------------------


def _linker_errors(
    module: FileModule, changes: Sequence[FileChange], prepared: Injection, baselines: Baselines, units: list[Unit]
) -> list[Refusal]:
    found: list[Refusal] = []
    removed = {name: change for change in changes for name in change.comparison.removed}
    defined = {n for x in changes for n, a in x.comparison.new.by_name.items() if x.comparison.new.is_global[a]}
    mine = {change.unit.key for change in changes}
    wanted_by_others: dict[bytes, str] = {}
    for name, change in removed.items():
        old = change.comparison.old
        if old.is_global[old.by_name[name]] and is_strong(old, name) and name not in defined:
            wanted_by_others[name] = "it is gone, and {user} refers to it"
    for moved in prepared.selection.moved:
        new = prepared.selection.units[moved.unit].new
        if new.is_global[moved.atom]:
            wanted_by_others[moved.name] = "it gets a new place, and {user}, which was not compiled, refers to it"
    if wanted_by_others and len(units) > _USERS_LIMIT and any(name in module.wanted for name in wanted_by_others):
        name = min(wanted_by_others)
        found.append(Refusal("name-moved", qualified_name(name), "many units may refer to it", _OWN_LINKER))
    elif wanted_by_others:
        for name, reason in wanted_by_others.items():
            if module.imported_or_exported(name):
                found.append(Refusal("exported-name", qualified_name(name), "other modules may use it", _OWN_LINKER))
            for user in baselines.users_of(name, units, mine):
                text = reason.format(user=user.source.rsplit("/", 1)[-1])
                found.append(Refusal("still-used", qualified_name(name), text, _OWN_LINKER, user.source))
    for change in changes:
        found += _new_globals(module, change, removed.keys())
        found += _link_time_magic(module, change)
    for redirect in (*prepared.selection.redirects, *prepared.selection.rehomed):
        if _is_shared(module, redirect, prepared):
            reason = "the linker gave it the same code as another function"
            found.append(Refusal("function-folded", qualified_name(redirect.name), reason, _OWN_LINKER))
    for redirect in (*prepared.selection.redirects, *prepared.selection.rehomed):
        if import_of(redirect.home) is not None:
            found.append(
                Refusal("defined-elsewhere", qualified_name(redirect.name), "another unit has it too", _OWN_LINKER)
            )
    return found


def _is_shared(module: FileModule, redirect: Redirect, prepared: Injection) -> bool:
    """Whether the code of a function is that of another one, too (--icf)."""
    comparison = prepared.selection.units[redirect.unit].comparison
    mine = {comparison.new.object.symbol_names[i] for i in comparison.new.aliases.get(redirect.atom, ())}
    before = comparison.counterpart.get(redirect.atom)
    if before is not None:
        mine |= {comparison.old.object.symbol_names[i] for i in comparison.old.aliases.get(before, ())}
    return any(module.image.symbols.name(row) not in mine for row in module.image.functions_at(redirect.home))


def _link_time_magic(module: FileModule, change: FileChange) -> list[Refusal]:
    """What options of the linker make of names and sections, beyond binding one to the other."""
    old, new, source = change.comparison.old, change.comparison.new, change.unit.source
    found = []
    if module.wrapped:
        for name in sorted(module.wrapped.intersection(new.object.symbol_names)):
            reason = "the program is linked with --wrap, which gives the name another meaning"
            found.append(Refusal("wrapped-name", qualified_name(name), reason, _OWN_LINKER, source))
    before, after = _arrays(old), _arrays(new)
    for section in sorted(before.keys() | after.keys()):
        if before.get(section) != after.get(section):
            reason = "a section of this name is put together from all objects, and this one's part changed"
            found.append(Refusal("section-array", section, reason, _OWN_LINKER, source))
    return found


def _arrays(atoms: Atoms) -> dict[str, tuple[int, bytes]]:
    """Sections that a program may walk over from `__start_NAME` to `__stop_NAME`: name → size, and the bytes of what
    has no name in it."""
    obj = atoms.object
    (table,) = np.frombuffer(obj.data, "<u2", 1, 62).tolist() if obj.data else (0,)  # e_shstrndx
    table = table if table != c.SHN_XINDEX else int(obj.sections["link"][0])
    texts = np.frombuffer(obj.content(table) or b"\0", np.uint8)
    # By the first letter: a C++ object has ten thousand sections.
    named = (obj.sections["flags"] & c.SHF_ALLOC != 0) & (texts[obj.sections["name"]] != ord("."))
    result: dict[str, tuple[int, bytes]] = {}
    for index in named.nonzero()[0].tolist():
        name = obj.section_names[index]
        size, content = result.get(name, (0, b""))
        inside = [a for a in (atoms.section == index).nonzero()[0].tolist() if atoms.names[a] is None]
        content += b"".join(atoms.content(a) for a in inside)
        result[name] = size + int(atoms.object.sections["size"][index]), content
    return result


def _new_globals(module: FileModule, change: FileChange, removed: Iterable[bytes]) -> list[Refusal]:
    """Definitions that are new to the file, and that somebody who was linked before may have waited for."""
    new, found = change.comparison.new, []
    gone = frozenset(removed)
    exports = _exports(module, change)
    for atom in change.comparison.added:
        if not new.is_global[atom]:
            continue
        for symbol in new.aliases.get(atom, ()):
            row = new.object.symbols[symbol]
            name = new.object.symbol_names[symbol]
            if row["info"] >> 4 == c.STB_LOCAL:
                continue
            shown = qualified_name(name)
            if name in module.wanted:
                reason = "what was linked before refers to it, and found it elsewhere or not at all"
                found.append(Refusal("newly-defined", shown, reason, _OWN_LINKER, change.unit.source))
            elif row["info"] >> 4 == c.STB_GLOBAL and name not in gone and module.find(name) is not None:
                reason = "the program has a definition of that name already"
                found.append(Refusal("defined-twice", shown, reason, _OWN_LINKER, change.unit.source))
            elif exports and row["other"] & 3 == c.STV_DEFAULT and row["info"] >> 4 == c.STB_GLOBAL:
                reason = "the file exports what this unit defines"
                found.append(Refusal("new-export", shown, reason, _OWN_LINKER, change.unit.source))
    return found


def _exports(module: FileModule, change: FileChange) -> bool:
    """Whether the file exports names of a unit (shared libraries, -rdynamic)."""
    old = change.comparison.old
    known = [n for n, atom in old.by_name.items() if module.imported_or_exported(n) and old.is_global[atom]]
    if any(is_strong(old, name) for name in known):
        return True
    return not module.is_program and not any(old.is_global[a] and is_strong(old, n) for n, a in old.by_name.items())


# --- the rest of the addition -----------------------------------------------------------------------------------------


def _finished(module: FileModule, prepared: Injection, injected: Injected) -> Addition:
    """With the rows of `.symtab` that now mean new code, and with the callers of functions that got a new home."""
    symbols = module.image.symbols
    renewed: dict[int, tuple[int, int]] = {}
    kept: list[NewSymbol] = []
    sizes = {address: size for _, address, size in injected.functions}
    places = [(r.home, new, sizes.get(new, 0)) for r, new in injected.redirects]
    places += [(m.old, new, _size(prepared, m)) for m, new in injected.moved]
    for old, new, size in places:
        rows = module.image.functions_at(old) or _variables_at(module, old)
        for row in rows:
            renewed[row] = (new, size)
        if rows and symbols.type[rows[0]] == c.STT_FUNC:
            # The jump stays at the old address. Its name is none that a debugger would take for the function.
            name = b"relive.entry." + symbols.name(rows[0])
            kept.append(NewSymbol(name, old, int(symbols.size[rows[0]]), c.STB_LOCAL << 4 | c.STT_FUNC))
    addition = injected.addition
    stores = [*addition.stores]
    replaced = {r.home for r, _ in (*injected.redirects, *injected.rehomed)}
    for redirect, entry in injected.rehomed:
        code = callsites.referring_code(module.memory, [module], [], redirect.home, entry, replaced)
        stores += [(one.address, one.replacement) for one in code if not _overlaps(one.address, 16, addition.stores)]
        if module.imported_or_exported(redirect.name) or (not module.kind.movable and _is_pointed_at(module, redirect)):
            reason = "its entry takes no jump, and not all that refers to it can be found in the file"
            raise RefusedError((Refusal("entry-not-patchable", qualified_name(redirect.name), reason, _OWN_LINKER),))
    return replace(
        addition,
        stores=tuple(stores),
        symbols=(*addition.symbols, *kept),
        renewed=renewed,
        imports=module.imports(),
        repointed=tuple((r.home, entry) for r, entry in injected.rehomed),
        identity=_identity(addition),
    )


def _is_pointed_at(module: FileModule, redirect: Redirect) -> bool:
    """Whether some data may hold the address of a function: in a program at a fixed address it has no relocation."""
    word = struct.pack("<Q", redirect.home)
    elf = module.image.elf
    return any(
        bytes(elf.data[s.offset : s.offset + s.filesz]).find(word) >= 0 for s in elf.segments if not s.flags & c.PF_X
    )


def _identity(addition: Addition) -> bytes:
    content = hashlib.blake2b(addition.data, digest_size=20)
    for part in (addition.code, *(piece for _, piece in addition.stores)):
        content.update(part)
    return content.digest()


def _variables_at(module: FileModule, address: int) -> list[int]:
    symbols = module.image.symbols
    kinds = (c.STT_OBJECT, c.STT_GNU_IFUNC)
    return [
        row
        for row in (symbols.value == np.uint64(address)).nonzero()[0].tolist()
        if symbols.type[row] in kinds and symbols.shndx[row] != c.SHN_UNDEF
    ]


def _size(prepared: Injection, moved: Moved) -> int:
    return prepared.selection.units[moved.unit].new.size(moved.atom)


def _overlaps(address: int, size: int, stores: Iterable[tuple[int, bytes]]) -> bool:
    return any(at < address + size and address < at + len(content) for at, content in stores)
