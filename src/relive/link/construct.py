"""New variables with constructors: which initialiser functions run, once, and which parts of them are skipped.

clang makes one function per variable (`__cxx_global_var_init.N`): those whose content is new run. gcc makes one for
the whole unit: when all its variables are new it runs as it is; otherwise the blocks of the living variables are
jumped over (`LinkUnit.initialiser_blocks`, from the line table of an -O0 object), because no constructor of a living
object may ever run again."""

from __future__ import annotations

from dataclasses import dataclass, field

from relive.diff.atoms import Atoms, Kind
from relive.diff.initialisers import is_initialiser
from relive.elf import constants as c
from relive.link.model import LinkUnit


@dataclass(slots=True)
class Construction:
    """What must run for the new variables of one unit."""

    entries: list[int] = field(default_factory=list)
    """Function atoms to call, in order."""
    fresh: set[int] = field(default_factory=set)
    """Function atoms that must be placed anew although functions of that name live."""
    skips: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Function atom → (start, end) offsets of code that is jumped over."""
    constructed: set[int] = field(default_factory=set)
    """New variables that they mention: these must be placed."""
    mixed: list[int] = field(default_factory=list)
    """Initialisers of old and new variables that cannot be separated with what is known."""


def plan_construction(unit: LinkUnit, new_variables: set[int], live: set[int]) -> Construction:
    """`new_variables`: atoms that were placed; `live`: atoms of variables that live already."""
    result = Construction()
    if not new_variables:
        return result
    atoms = unit.new
    for entry in _entries(atoms):
        leaves = _leaves(atoms, entry)
        if not any(_variables(atoms, leaf) & new_variables for leaf in leaves):
            continue
        if len(leaves) > 1 or any(_is_clang_leaf(atoms, leaf) for leaf in leaves):
            old = _leaf_contents(unit.comparison.old)
            for leaf in leaves:
                if _variables(atoms, leaf) & new_variables and _content_key(atoms, leaf) not in old:
                    result.entries.append(leaf)
                    result.fresh.add(leaf)
                    result.constructed |= _variables(atoms, leaf) & new_variables
            continue
        leaf = leaves[0]
        result.fresh |= {entry, leaf}
        result.entries.append(entry)
        result.constructed |= _variables(atoms, leaf) & new_variables
        if not _variables(atoms, leaf) & live:
            continue
        blocks = unit.initialiser_blocks.get(atoms.names[leaf] or b"") if unit.initialiser_blocks else None
        if blocks is None:
            result.mixed.append(leaf)
            continue
        names = {atoms.names[a] for a in new_variables}
        skipped = [(low, high) for low, high, name in blocks if name not in names]
        result.skips[leaf] = skipped
    _thread_locals(unit, new_variables, result)
    return result


def _thread_locals(unit: LinkUnit, new_variables: set[int], result: Construction) -> None:
    """gcc and clang construct all thread_locals of a unit behind one `__tls_guard`; a thread that passed it would never
    construct a new one. With optimisation the check of the guard stands in every function that uses one of them."""
    atoms = unit.new
    guard = atoms.by_name.get(b"__tls_guard")
    new = {a for a in new_variables if atoms.kind[a] == Kind.TLS and a != guard}
    if guard is None or guard not in unit.comparison.counterpart or not new:
        return
    for function in atoms.functions():
        name = atoms.names[function] or b""
        mentioned = _variables(atoms, function)
        makes = is_initialiser(name) or name.startswith(b"_ZTW")
        if mentioned & new and (makes or guard in mentioned):
            result.mixed.append(function)
            return


def _entries(atoms: Atoms) -> list[int]:
    """Functions that .init_array (or .ctors) points at, in order."""
    result = []
    for atom in range(len(atoms.section)):
        if atoms.kind[atom] != Kind.INIT:
            continue
        if not atoms.object.section_names[int(atoms.section[atom])].startswith((".init_array", ".ctors")):
            continue
        for row in atoms.row_range(atom):
            target = _function_of(atoms, row)
            if target is not None:
                result.append(target)
    return result


def _function_of(atoms: Atoms, row: int) -> int | None:
    if atoms.row_is_local[row]:
        target = int(atoms.target[row])
    else:
        found = atoms.by_name.get(atoms.object.symbol_names[int(atoms.relocations["symbol"][row])])
        target = -1 if found is None else found
    return target if target >= 0 and atoms.kind[target] == Kind.TEXT else None


def _leaves(atoms: Atoms, entry: int) -> list[int]:
    """The initialisers that do the work: `entry` itself, or those that it calls."""
    called = []
    for row in atoms.row_range(entry):
        target = _function_of(atoms, row)
        name = atoms.names[target] if target is not None else None
        if (
            target is not None
            and target != entry
            and name is not None
            and is_initialiser(name)
            and target not in called
        ):
            called.append(target)
    if not called:
        # clang puts them all into one section, where the assembler resolves the calls without relocations.
        section = int(atoms.section[entry])
        together = [a for a in atoms.functions() if int(atoms.section[a]) == section and _is_clang_leaf(atoms, a)]
        return [entry] if entry in together else together or [entry]
    return [leaf for target in called for leaf in _leaves(atoms, target)]


def _variables(atoms: Atoms, function: int) -> set[int]:
    """Mutable variables of the unit that a function mentions."""
    result = set()
    for row in atoms.row_range(function):
        if atoms.row_is_local[row]:
            target = int(atoms.target[row])
        else:
            symbol = int(atoms.relocations["symbol"][row])
            if atoms.object.symbols["shndx"][symbol] == c.SHN_UNDEF:
                continue
            target = atoms.by_name.get(atoms.object.symbol_names[symbol], -1)
        if target >= 0 and atoms.kind[target] in (Kind.DATA, Kind.TLS) and atoms.names[target] is not None:
            result.add(target)
    return result


def constructed(atoms: Atoms, leaf: int) -> set[bytes]:
    """Names of the mutable variables that an initialiser mentions, guards left out."""
    names = {name for a in _variables(atoms, leaf) if (name := atoms.names[a]) is not None}
    return {name for name in names if not name.startswith(b"_ZGV")}


def _is_clang_leaf(atoms: Atoms, atom: int) -> bool:
    return (atoms.names[atom] or b"").startswith(b"__cxx_global_var_init")


def _content_key(atoms: Atoms, atom: int) -> tuple[bytes, bytes]:
    return atoms.content(atom), atoms.row_bytes(atom)


def _leaf_contents(atoms: Atoms) -> set[tuple[bytes, bytes]]:
    return {_content_key(atoms, a) for a in atoms.functions() if is_initialiser(atoms.names[a] or b"")}
