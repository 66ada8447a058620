"""From a prepared patch to running code: the only steps of a reload that touch the process, in their order.

    reserve   address space near the module
    link at   relocate for that address, write the file
    load      the agent dlopens it; nothing refers to it yet
    TLS       new thread-locals in every thread
    construct new variables
    switch    redirects, tables and pointers in one step

Until the switch nothing that runs has changed; a failure before it only wastes the address space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relive.arch import x86_64
from relive.diff.atoms import Atoms
from relive.errors import Refusal, RefusedError, TargetError
from relive.host.target import CodePatch, DataStore, Forbidden, PointerRewrite, Switch, Target
from relive.link.model import Address, TlsPlace
from relive.link.patch import LinkedPatch, Prepared
from relive.session import callsites
from relive.session.generations import Generation
from relive.session.modules import ModuleState

LOAD_ATTEMPTS = 3
"""Another thread may take the reserved address in the moment between release and dlopen."""


@dataclass(frozen=True, slots=True)
class ModulePatch:
    """What is to be done to one module."""

    module: ModuleState
    prepared: Prepared


@dataclass(slots=True)
class Applied:
    """What was done, for the record and for undo."""

    code: tuple[CodePatch, ...] = ()
    stores: tuple[DataStore, ...] = ()
    rewrites: tuple[PointerRewrite, ...] = ()
    redirected: tuple[tuple[bytes, int, int], ...] = ()
    addresses: dict[tuple[str, Atoms], dict[bytes, Address]] = field(default_factory=dict)
    """(module path, old atoms of the unit) → addresses of what is new."""
    globals: dict[str, dict[bytes, Address]] = field(default_factory=dict)
    memory: tuple[tuple[str, int, int], ...] = ()
    pause_us: float = 0.0
    unfinished: list[tuple[Path, Prepared]] = field(default_factory=list)
    """Loaded files that still want their debug sections."""


def apply(
    target: Target,
    patches: Sequence[ModulePatch],
    number: int,
    workdir: Path,
    room: TlsRoom,
    forbidden: tuple[Forbidden, ...] = (),
    modules: Sequence[ModuleState] = (),
    loaded: Sequence[tuple[int, int]] = (),
) -> Applied:
    """Loads and switches all patches as one generation. `forbidden`: code that no thread may be in at the switch;
    `modules`: all of the project, and `loaded`: (address, size) of earlier patches, where a function that gets a new
    home is looked for.
    RefusedError: nothing was changed."""
    applied = Applied()
    linked: list[tuple[ModulePatch, LinkedPatch]] = []
    for index, patch in enumerate(patches):
        linked.append((patch, _load(target, patch, number, index, workdir, room)))
    code: list[CodePatch] = []
    stores: list[DataStore] = []
    rewrites: list[PointerRewrite] = []
    calls: list[CodePatch] = []
    pointers: list[DataStore] = []
    replaced = {redirect.home for _, one in linked for redirect, _ in (*one.redirects, *one.rehomed)}
    for _, one in linked:
        code += _redirects(target, one)
        for redirect, entry in one.rehomed:
            calls += callsites.referring_code(target, modules, loaded, redirect.home, entry, replaced)
            pointers += callsites.referring_data(target, modules, loaded, redirect.home, entry)
            rewrites.append(PointerRewrite(redirect.home, entry))
        for store in one.stores:
            before = target.read(store.address, len(store.content))
            if before != store.content:
                stores.append(DataStore(store.address, before, store.content))
        rewrites += [PointerRewrite(old, new) for old, new in one.pointers]
    # What is redirected or stored anew as a whole refers to the new home already.
    code += [call for call in calls if not _overlaps(call, code)]
    stores += [pointer for pointer in pointers if not _overlaps(pointer, stores)]
    if any(one.tls_images for _, one in linked):
        pool = target.tls_pool().module_offset
        for _, one in linked:
            for offset, image in one.tls_images:
                target.tls_install(offset - pool, image)
    for _, one in linked:
        if one.initialisers:
            target.call(one.initialisers)
    applied.pause_us = switch(target, tuple(code), tuple(stores), tuple(rewrites), forbidden)
    applied.code, applied.stores, applied.rewrites = tuple(code), tuple(stores), tuple(rewrites)
    applied.redirected = tuple((r.name, r.home, new) for _, one in linked for r, new in one.redirects)
    applied.memory = tuple((_name(number, i), one.base, one.size) for i, (_, one) in enumerate(linked) if one.size)
    for patch, one in linked:
        _note_addresses(applied, patch, one)
    applied.unfinished = [
        (workdir / _name(number, i), patch.prepared) for i, (patch, one) in enumerate(linked) if one.size
    ]
    return applied


def _overlaps(change: CodePatch | DataStore, others: Sequence[CodePatch | DataStore]) -> bool:
    low, high = change.address, change.address + len(change.expected)
    return any(low < other.address + len(other.expected) and other.address < high for other in others)


def finish_file(path: Path, prepared: Prepared) -> None:
    """Gives a loaded file its debug sections. It is written over itself: the pages that the program has mapped get the
    bytes that they have, except for the place of the section headers, which only debuggers read."""
    with path.open("r+b") as file:
        file.write(prepared.with_debug_info())


def _note_addresses(applied: Applied, patch: ModulePatch, one: LinkedPatch) -> None:
    names = applied.globals.setdefault(patch.module.path, {})
    for unit, addresses in zip(patch.prepared.selection.units, one.addresses, strict=True):
        applied.addresses[(patch.module.path, unit.comparison.old)] = addresses
        for name, address in addresses.items():
            atom = unit.new.by_name.get(name)
            if atom is None or unit.new.is_global[atom]:
                names[name] = address
    if one.size:
        patch.module.low = min(patch.module.low, one.base)
        patch.module.high = max(patch.module.high, one.base + one.size)


def switch(
    target: Target,
    code: tuple[CodePatch, ...],
    stores: tuple[DataStore, ...],
    rewrites: tuple[PointerRewrite, ...],
    forbidden: tuple[Forbidden, ...] = (),
) -> float:
    """Makes all changes as one step; the longest time in µs that a thread was held. RefusedError: nothing changed."""
    if not (code or stores or rewrites):
        return 0.0
    result = target.switch(Switch(code=code, stores=stores, rewrites=rewrites, forbidden=forbidden))
    if result.status == "done":
        return round(result.pause_ns / 1000, 1)
    if result.status == "mismatch":
        raise RefusedError(
            (
                Refusal(
                    "code-altered", f"{result.address:#x}",
                    "what is there is not what relive expects: a breakpoint, or somebody else patches too",
                    "remove the breakpoint (or set it further into the function) and save again",
                ),
            )
        )  # fmt: skip
    raise RefusedError(
        (
            Refusal(
                "no-safe-moment", f"thread {result.tid}",
                f"a thread stayed at {result.address:#x}, inside of what must change",
                "save again when the program does something else",
            ),
        )
    )  # fmt: skip


class TlsRoom:
    """Hands out room for new thread-locals in the agent's static TLS pool; one for the life of a session."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._used = 0

    def take(self, size: int) -> TlsPlace:
        """A place of `size` bytes; RefusedError when the pool is used up."""
        pool = self._target.tls_pool()
        used = self._used
        start = (used + 63) // 64 * 64
        if start + size > pool.size:
            raise RefusedError(
                (
                    Refusal(
                        "tls-pool-full", "thread_local", f"{size} bytes are needed, {pool.size - used} are left",
                        "restart the program",
                    ),
                )
            )  # fmt: skip
        self._used = start + size
        return TlsPlace(pool.tls_module, pool.module_offset + start, pool.tp_offset + start)


def _name(number: int, index: int) -> str:
    return f"relive-{number}.{index}.so" if index else f"relive-{number}.so"


def _load(target: Target, patch: ModulePatch, number: int, index: int, workdir: Path, pool: TlsRoom) -> LinkedPatch:
    """Reserves, relocates and loads one module's patch."""
    prepared = patch.prepared
    place = pool.take(prepared.tls_size) if prepared.tls_size else None
    if not prepared.size:
        return prepared.at(0, _name(number, index), place)
    path = workdir / _name(number, index)
    for attempt in range(LOAD_ATTEMPTS):
        base = target.reserve((patch.module.low, patch.module.high), prepared.size)
        linked = prepared.at(base, path.name, place)
        path.write_bytes(linked.file)
        try:
            target.load(str(path), base, prepared.size)
            return linked
        except TargetError:
            if attempt == LOAD_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _redirects(target: Target, linked: LinkedPatch) -> list[CodePatch]:
    """The jumps at the home entries."""
    if not linked.redirects:
        return []
    now = target.read_many([(r.home, x86_64.REDIRECT_SIZE) for r, _ in linked.redirects])
    result: dict[int, CodePatch] = {}
    for (redirect, new), before in zip(linked.redirects, now, strict=True):
        # An alias has the same home.
        result.setdefault(redirect.home, CodePatch(redirect.home, before, x86_64.redirect(redirect.home, new)))
    return list(result.values())


def unpatchable(target: Target, module: ModuleState, prepared: Prepared) -> dict[bytes, str]:
    """Functions whose home cannot take a jump at its entry → why."""
    redirects = prepared.selection.redirects
    if not redirects:
        return {}
    now = target.read_many([(r.home, x86_64.REDIRECT_SIZE) for r in redirects])
    found = {}
    for redirect, before in zip(redirects, now, strict=True):
        problem = _entry_problem(module, redirect.home, before)
        if problem:
            found[redirect.name] = problem
    return found


def _entry_problem(module: ModuleState, home: int, before: bytes) -> str | None:
    image, value = module.image, home - module.base
    row = image.symbol_covering(value)
    if row is None or int(image.symbols.value[row]) != value:
        return None  # our own code: placed with room for a jump
    size = int(image.symbols.size[row])
    code = image.read(value, max(size, x86_64.REDIRECT_SIZE))
    if before[:1] == b"\xe9":
        destination = home + 5 + int.from_bytes(before[1:5], "little", signed=True)
        low, high = image.load_range
        if before[:5] != code[:5] and not low <= destination - module.base < high:
            return None  # our jump of an earlier generation: it leads out of the module
    if before != code[: len(before)]:
        return "its first bytes are not those of the program (a debugger's breakpoint, or a call rewritten before)"
    if size < x86_64.REDIRECT_SIZE and not x86_64.is_padding(code[size:]):
        return f"it has {size} bytes, and the next function follows at once"
    hazards = x86_64.entry_hazards(code[:size])
    return hazards[0] if hazards else None


def still_active(
    target: Target, modules: Sequence[ModuleState], applied: Applied, generations: Sequence[Generation]
) -> list[tuple[bytes, int]]:
    """(function, thread) for changed functions whose old code some thread is still in."""
    ranges: list[tuple[int, int]] = []
    names: list[bytes] = []
    for name, home, _ in applied.redirected:
        for module in modules:
            row = module.image.symbol_covering(home - module.base) if module.low <= home < module.high else None
            if row is not None:
                size = int(module.image.symbols.size[row])
                ranges.append((home + 1, home + size))
                names.append(name)
                break
    if not ranges:
        return []
    try:
        found = target.active(ranges)
    except TargetError:
        return []
    seen: dict[int, tuple[bytes, int]] = {}
    for tid, index in found:
        seen.setdefault(index, (names[index], tid))
    return list(seen.values())
