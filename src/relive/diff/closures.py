"""Who is who among lambdas: both compilers number them, so one that is inserted takes the name of the next.

gcc numbers within the function and signature (``Z4stepvEUlvE_``, ``UlvE0_``), clang over the function or the unit
(``Z4stepvE3$_0``). The closure type is part of the name of everything made for it: its operator(), the invoker and
manager of a std::function, instantiations of algorithms. At -O2 operator() itself is usually gone. So:

* lambdas of one function and signature are matched by the content of their operator(), or where that is inlined, of the
  functions that a stored one is called through; then by their order among those that are left, if as many are left;
* the rest are new: they get a name that nothing old has, and stored old ones keep their body.

A wrong match would run one lambda's body on the captures of another; a missing one only keeps an old body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from relive.diff.atoms import Atoms
from relive.diff.columns import OF_LAMBDA
from relive.diff.compare import equal_code

_CLOSURE = re.compile(
    rb"Z(?P<owner>(?:(?!Z[0-9NL]).)+?)E(?:NV?K?)?(?:(?P<id>Ul.*?E)(?P<n>(?:new)*\d*)_|\d+\$_(?P<c>(?:new)*\d+))"
)
_CLANG = b"$_"
_FEW = 16
"""Groups for which names are searched one by one; the expression above is slow on long names."""
_CALLED = (b"*cl", b"9_M_invoke", b"_FUN", b"8__invoke")
"""What makes a function the body of a closure, surest first: operator(), std::function's invoker, conversions."""

Group = tuple[bytes, bytes]
"""(function, signature); for clang the signature is unknown: `$_`."""
BodyKey = tuple[bytes, tuple[tuple[object, ...], ...]]


@dataclass(slots=True)
class _Lambda:
    """One lambda of an object."""

    order: int
    atoms: dict[bytes, int] = field(default_factory=dict)
    """Names with the lambda's own number replaced by ``*`` → atom."""


@dataclass(frozen=True, slots=True)
class Lambdas:
    """How the lambdas of two objects correspond."""

    renames: dict[bytes, bytes]
    """Local symbol of the new object → name under which it is compared."""
    told: tuple[str, ...]
    """Functions in which stored closures may keep their old body."""


def match_lambdas(old: Atoms, new: Atoms, changed_captures: set[bytes], *, partial: bool = False) -> Lambdas:
    """Matches the lambdas that only this unit knows. `changed_captures`: symbols of operator() in `new` whose closure
    type has another layout than the one of that name in `old`: such a lambda is new. `partial`: `new` has only some
    functions of the unit."""
    suspects = _suspects(old, new, changed_captures, partial)
    if not suspects:
        return Lambdas({}, ())
    before, after = _groups(old, suspects), _groups(new, suspects)
    tokens: dict[Group, dict[bytes, bytes]] = {}
    told: list[str] = []
    for group, lambdas in after.items():
        known = before.get(group, {})
        mapping = _match(old, known, new, lambdas, _operators(group, changed_captures))
        changes = {n: m for n, m in mapping.items() if n != m}
        if changes:
            tokens[group] = changes
        if len(known) != len(lambdas) and any(m.startswith(b"new") for m in mapping.values()):
            told.append(group[0].decode("utf-8", "replace"))
    renames: dict[bytes, bytes] = {}
    if tokens:
        for name, atom in new.by_name.items():
            if not new.is_global[atom] and (renamed := _rename(name, tokens)) != name:
                renames[name] = renamed
    return Lambdas(renames, tuple(told))


def _suspects(old: Atoms, new: Atoms, changed_captures: set[bytes], partial: bool) -> set[Group]:
    """The groups in which anything differs. In all others each lambda is matched with the one of its own number: it has
    the same names and bodies."""
    told = set(changed_captures)
    texts = new.intern.texts()
    rows = _of_lambdas(new)
    before = old.named(rows["id"])
    known = before >= 0
    same = np.zeros(len(rows), bool)
    atoms, before = rows["atom"][known], before[known]
    same[known] = ~old.is_global[before] & (old.label[before] == new.label[atoms]) & equal_code(old, before, new, atoms)
    others = _of_lambdas(old)[: 0 if partial else None]
    after = new.named(others["id"])
    left = (after < 0) | new.is_global[after]
    for number in [*rows["id"][~same].tolist(), *others["id"][left].tolist()]:
        told.add(texts[number] or b"")
    return {_group(match) for name in told for match in _CLOSURE.finditer(name)}


def _of_lambdas(atoms: Atoms) -> npt.NDArray[np.void]:
    """The local names that have a closure's type in them (`Ul`, `$_`)."""
    rows = atoms.alias_rows
    found: npt.NDArray[np.void] = rows[((rows["flags"] & OF_LAMBDA) != 0) & ~atoms.is_global[rows["atom"]]]
    return found


def _groups(atoms: Atoms, wanted: set[Group]) -> dict[Group, dict[bytes, _Lambda]]:
    """Group → number → lambda, of the groups that are wanted."""
    groups: dict[Group, dict[bytes, _Lambda]] = {}
    texts = atoms.intern.texts()
    owners = {b"Z" + owner + b"E" for owner, _ in wanted}
    rows = _of_lambdas(atoms)
    for number, atom in dict(zip(rows["id"].tolist(), rows["atom"].tolist(), strict=True)).items():
        name = texts[number] or b""
        if len(owners) < _FEW and not any(owner in name for owner in owners):
            continue
        found = {(_group(m), _number(m)) for m in _CLOSURE.finditer(name)}
        for group, own in found:
            if group not in wanted or sum(1 for other, _ in found if other == group) > 1:
                continue  # about two of them: nobody's own
            entry = groups.setdefault(group, {}).setdefault(own, _Lambda(_source_order(atoms, atom, group)))
            entry.atoms[_without_number(name, group, own)] = atom
    return groups


def _group(match: re.Match[bytes]) -> Group:
    return match["owner"], match["id"] or _CLANG


def _number(match: re.Match[bytes]) -> bytes:
    number: bytes = match["c"] if match["c"] is not None else match["n"]
    return number


def _source_order(atoms: Atoms, atom: int, group: Group) -> int:
    """Position among the lambdas of the group, from the name that the compiler gave."""
    raw = atoms.object.symbol_names[atoms.aliases[atom][0]]
    for match in _CLOSURE.finditer(raw):
        if _group(match) == group:
            digits = _number(match)
            return int(digits) + 1 if digits.isdigit() else 0
    return 0


def _without_number(name: bytes, group: Group, number: bytes) -> bytes:
    def plain(match: re.Match[bytes]) -> bytes:
        if _group(match) != group or _number(match) != number:
            return match[0]
        return b"Z" + match["owner"] + b"E" + (match["id"] or b"") + b"*"

    return _CLOSURE.sub(plain, name)


def _operators(group: Group, changed: set[bytes]) -> set[bytes]:
    """Numbers of the group's lambdas whose captures changed."""
    return {_number(m) for name in changed for m in _CLOSURE.finditer(name) if _group(m) == group}


def _match(
    old: Atoms, before: dict[bytes, _Lambda], new: Atoms, after: dict[bytes, _Lambda], changed: set[bytes]
) -> dict[bytes, bytes]:
    """Number in the new object → number in the old one, or `new…`."""
    free = dict(sorted(before.items(), key=lambda item: item[1].order))
    bodies = {number: _bodies(old, lambda_, number) for number, lambda_ in free.items()}
    mapping: dict[bytes, bytes] = {}
    order = sorted(after, key=lambda number: after[number].order)
    for number in order:
        if number in changed:
            continue
        mine = _bodies(new, after[number], number)
        same = [m for m in free if _agree(bodies[m], mine)]
        if same:
            mapping[number] = number if number in same else same[0]
            del free[mapping[number]]
    rest = [number for number in order if number not in mapping]
    for position, number in enumerate(rest):
        if len(rest) == len(free) and number not in changed:
            mapping[number] = list(free)[position]
        else:
            fresh = b"new" + number
            while fresh in before or fresh in mapping.values():
                fresh = b"new" + fresh
            mapping[number] = fresh
    return mapping


def _bodies(atoms: Atoms, lambda_: _Lambda, number: bytes) -> Mapping[bytes, BodyKey]:
    """The functions that tell a lambda's meaning, by name without its number."""
    for mark in _CALLED:
        chosen = {name: atom for name, atom in lambda_.atoms.items() if mark in name}
        if chosen:
            break
    else:
        chosen = lambda_.atoms
    names = {atom: name for name, atom in lambda_.atoms.items()}
    return {name: _key(atoms, atom, names) for name, atom in chosen.items()}


def _key(atoms: Atoms, atom: int, own: Mapping[int, bytes]) -> BodyKey:
    """Content of a function; what belongs to the same lambda is referred to without its number."""
    rows: list[tuple[object, ...]] = []
    for row in atoms.row_range(atom):
        offset, kind, target, delta = atoms.rows[row].tolist()
        rows.append((offset, kind, own.get(int(atoms.target[row]), target), delta))
    return atoms.content(atom), tuple(rows)


def _agree(first: Mapping[bytes, BodyKey], second: Mapping[bytes, BodyKey]) -> bool:
    common = first.keys() & second.keys()
    return bool(common) and all(first[name] == second[name] for name in common)


def _rename(name: bytes, tokens: Mapping[Group, Mapping[bytes, bytes]]) -> bytes:
    def renamed(match: re.Match[bytes]) -> bytes:
        number = _number(match)
        other = tokens.get(_group(match), {}).get(number, number)
        if other == number:
            return match[0]
        low, high = match.span("c" if match["c"] is not None else "n")
        start = match.start()
        return match[0][: low - start] + other + match[0][high - start :]

    return _CLOSURE.sub(renamed, name)
