"""Old code that must not be running at the switch, because it would call new code by old rules.

An old frame that is already inside a changed function goes on in its old code and calls other functions at their home,
that is, their newest version. That is right as long as both agree on how to call. They do not when

* the callee has other parameters or another result under the same name (C, or a C++ result type);
* the unit is optimised by gcc: the caller may know which registers the old callee left alone (-fipa-ra).

A callee of the first kind gets a new identity: old code goes on calling the old one, all new code calls the new one.
For the second kind the switch waits for a moment in which no thread is in such a caller, or is refused: an old loop
that never saw the new callee would be a change that is not live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from relive.arch import x86_64
from relive.diff.atoms import Atoms, Kind
from relive.diff.compare import Comparison
from relive.elf import constants as c
from relive.host.target import Forbidden

if TYPE_CHECKING:
    from relive.session.linking import UnitChange


def new_identities(change: UnitChange) -> frozenset[bytes]:
    """Functions with other parameters or another result: old callers go on calling the old one, which stays."""
    return frozenset(change.verdict.new_signatures)


def old_callers(changes: Sequence[UnitChange]) -> tuple[Forbidden, ...]:
    """Address ranges of old code in which no thread may be: optimised callers that may rely on registers which a new
    callee does not keep."""
    ranges: set[tuple[int, int]] = set()
    for change in changes:
        callees = _demanding(change)
        if callees:
            ranges |= _callers(change, callees)
    return tuple(Forbidden(low, high) for low, high in sorted(ranges))


def _demanding(change: UnitChange) -> set[bytes]:
    if not change.unit.optimised or _keeps_registers(change.unit.command.arguments):
        return set()
    return _more_demanding(change.comparison)


def _more_demanding(comparison: Comparison) -> set[bytes]:
    """Changed functions that write registers which their old code left alone."""
    old, new = comparison.old, comparison.new
    result: set[bytes] = set()
    for atom in comparison.changed:
        name, before = new.names[atom], comparison.counterpart.get(atom)
        if name is None or before is None or new.kind[atom] != Kind.TEXT:
            continue
        if old.content(before) == new.content(atom):
            continue
        was, _ = x86_64.clobbered(old.content(before))
        now, leaves = x86_64.clobbered(new.content(atom))
        if not _calls_unknown(old, before) and (leaves or now - was):
            result.add(name)
    return result


def _calls_unknown(atoms: Atoms, function: int) -> bool:
    """Whether a function calls something outside of its unit: its callers then expect every register to be lost."""
    names = atoms.object.symbol_names
    for row in atoms.row_range(function):
        symbol = int(atoms.relocations["symbol"][row])
        if int(atoms.relocations["type"][row]) == c.R_X86_64_PLT32 and names[symbol] not in atoms.by_name:
            return not atoms.row_is_local[row]
    return False


def _keeps_registers(arguments: Sequence[str]) -> bool:
    return "-fno-ipa-ra" in arguments or any("clang" in a.rsplit("/", 1)[-1] for a in arguments[:3])


def _callers(change: UnitChange, callees: set[bytes]) -> set[tuple[int, int]]:
    """Code ranges of changed old functions that mention one of `callees`."""
    old = change.comparison.old
    changed = {
        change.comparison.counterpart[a] for a in change.comparison.changed if a in change.comparison.counterpart
    }
    result = set()
    for atom in changed:
        name = old.names[atom]
        if name is None or old.kind[atom] != Kind.TEXT or not _mentions(old, atom, callees):
            continue
        for residence in change.baseline.residences:
            home = residence.newest.get(name, residence.live.get(name))
            if isinstance(home, int):
                result.add((home, home + old.size(atom)))
    return result


def _mentions(atoms: Atoms, function: int, names: set[bytes]) -> bool:
    for row in atoms.row_range(function):
        if atoms.row_is_local[row]:
            target = int(atoms.target[row])
            found = atoms.names[target] if target >= 0 else None
        else:
            found = atoms.object.symbol_names[int(atoms.relocations["symbol"][row])]
        if found in names:
            return True
    # An object without -ffunction-sections has no relocations for calls within its text: then nobody can tell.
    section = int(atoms.section[function])
    return sum(1 for a in atoms.functions() if int(atoms.section[a]) == section) > 1 and any(
        atoms.by_name.get(n) is not None and not atoms.is_global[atoms.by_name[n]] for n in names
    )
