"""Which part of gcc's one initialiser of a unit constructs which variable, so that living ones can be left out.

gcc -O0 emits one function that constructs all variables of the unit, in order, statement after statement. The line
table says from which source line each piece comes; a piece belongs to the variable whose definition is the last one at
or above that line. That reading is trusted only when it is consistent: each variable has one contiguous block, the
block mentions the variable, and every variable that is mentioned has a line. Otherwise the answer is None, and the
reload is refused.

Clean-up code for exceptions follows the function's end; it is only reached from the blocks and stays as it is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import pairwise

from relive.arch import x86_64
from relive.diff.atoms import Atoms, Kind
from relive.dwarf.model import LineRow
from relive.dwarf.reader import DebugInfo
from relive.link.construct import constructed

Block = tuple[int, int, bytes | None]


def initialiser_blocks(info: DebugInfo, atoms: Atoms, leaf: int, new: Collection[bytes]) -> tuple[Block, ...] | None:
    """(start, end, new variable or None) of each block of the initialiser `leaf`; None when that cannot be told.
    `new`: session names of the variables that are to be constructed."""
    start, end = int(atoms.start[leaf]), int(atoms.end[leaf])
    rows = [r for r in info.lines(int(atoms.section[leaf])) if start <= r.offset < end and not r.is_end and r.line]
    if not rows:
        return None
    definitions = _definitions(info, atoms)
    placed = {name for lines in definitions.values() for _, names in lines for name in names}
    if not _globals(atoms, leaf) <= placed:
        return None  # its code would count as the variable's before it, and be run with that
    home = (rows[0].file, rows[0].line)
    first = next((i for i, r in enumerate(rows) if i and (r.file, r.line) != home), len(rows))
    after = x86_64.end_of_guarded_body(atoms.content(leaf))
    if after is None or first == len(rows):
        return None
    after += start
    pieces = _pieces([r for r in rows[first:] if r.offset < after], definitions, home, _atexit_calls(atoms, leaf))
    if not pieces:
        return None
    seen: set[bytes] = set()
    blocks: list[Block] = []
    bounds = [*(offset for offset, _ in pieces), after]
    for (low, high), (_, owners) in zip(pairwise(bounds), pieces, strict=True):
        parts = _parts(atoms, leaf, low, high, owners, new)
        if parts is None or seen & owners:
            return None
        seen |= owners
        blocks += [(first - start, last - start, name) for first, last, name in parts]
    return tuple(blocks) if seen >= set(new) else None


def _globals(atoms: Atoms, leaf: int) -> set[bytes]:
    """Variables of the unit that the initialiser mentions, guards and thread-locals left out."""
    return {n for n in constructed(atoms, leaf) if atoms.kind[atoms.by_name[n]] == Kind.DATA}


def _parts(
    atoms: Atoms, leaf: int, low: int, high: int, owners: frozenset[bytes], new: Collection[bytes]
) -> list[Block] | None:
    """The blocks of variables that are defined on one line: one block when they are all old, or the only one is new;
    otherwise they are told apart by the registrations of their destructors, one behind each."""
    wanted = owners & set(new)
    if not all(_mentions(atoms, leaf, low, high, {name}) for name in owners):
        return None
    if not wanted or len(owners) == 1:
        return [(low, high, min(wanted) if wanted else None)]
    ends = [at for at in sorted(_atexit_calls(atoms, leaf)) if low < at <= high]
    if len(ends) != len(owners) or ends[-1] != high:
        return None
    result: list[Block] = []
    for first, last in pairwise([low, *ends]):
        mine = [name for name in owners if _mentions(atoms, leaf, first, last, {name})]
        if len(mine) != 1:
            return None
        result.append((first, last, mine[0] if mine[0] in wanted else None))
    return result


def _pieces(
    rows: Sequence[LineRow],
    definitions: dict[str, list[tuple[int, frozenset[bytes]]]],
    home: tuple[str, int],
    registrations: Collection[int],
) -> list[tuple[int, frozenset[bytes]]] | None:
    """(offset, variables) where the code of other variables begins.

    Parts of a block may carry the function's own line (`home`). Between two blocks such a part belongs to the second
    when the first is complete: its destructor was registered right before."""
    pieces: list[tuple[int, frozenset[bytes]]] = []
    pending: int | None = None
    for row in rows:
        if (row.file, row.line) == home:
            if pending is None:
                pending = row.offset
            continue
        lines = definitions.get(row.file)
        position = bisect_right([line for line, _ in lines], row.line) - 1 if lines else -1
        if lines is None or position < 0:
            return None
        owners = lines[position][1]
        if not pieces or pieces[-1][1] != owners:
            if pending is not None and pending not in registrations:
                return None
            pieces.append((row.offset if pending is None else pending, owners))
        pending = None
    return pieces


def _atexit_calls(atoms: Atoms, function: int) -> set[int]:
    """Offsets in the section right behind each call of `__cxa_atexit`."""
    names = atoms.object.symbol_names
    rows = atoms.row_range(function)
    calls = (r for r in rows if names[int(atoms.relocations["symbol"][r])] == b"__cxa_atexit")
    return {int(atoms.relocations["offset"][r]) + 4 for r in calls}


def _definitions(info: DebugInfo, atoms: Atoms) -> dict[str, list[tuple[int, frozenset[bytes]]]]:
    """For each file: (line, variables defined there), ascending."""
    import numpy as np

    found: dict[str, dict[int, set[bytes]]] = {}
    for variable in info.variables:
        if variable.owner or not variable.line or not variable.location.section:
            continue
        section, value = variable.location.section, variable.location.value
        atom = int(atoms.locate(np.array([section]), np.array([value]))[0])
        name = atoms.names[atom] if atom >= 0 and int(atoms.start[atom]) == value else None
        if name is not None and atoms.kind[atom] == Kind.DATA:
            found.setdefault(variable.file, {}).setdefault(variable.line, set()).add(name)
    return {file: [(line, frozenset(names)) for line, names in sorted(lines.items())] for file, lines in found.items()}


def _mentions(atoms: Atoms, function: int, low: int, high: int, names: Collection[bytes]) -> bool:
    """Whether code in [low, high) of the section refers to each of the variables."""
    found: set[bytes] = set()
    for row in atoms.row_range(function):
        if not low <= int(atoms.relocations["offset"][row]) < high:
            continue
        if atoms.row_is_local[row]:
            name = atoms.names[int(atoms.target[row])] if atoms.target[row] >= 0 else None
        else:
            name = atoms.object.symbol_names[int(atoms.relocations["symbol"][row])]
        if name is not None:
            found.add(name)
    return set(names) <= found
