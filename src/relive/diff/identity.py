"""Who is who among local symbols: names that a compiler numbers are no identity.

gcc calls the statics of C functions `count.0`, `count.1`, in the order of the unit; a new one in front shifts
them. C++ has discriminators (`_ZZ1fvE1n_0`) and lambdas (`UlvE0_`), numbered within the function. Binding by such a
name binds new code to another variable, silently. So:

* a static is identified by function and plain name, as the debug information says; several of one name in a function
  by their order if their number is the same, else by type if that is unique, else not at all;
* a lambda by its content first, then by its order among those that are left, if their number is the same;
* what is new gets a name that nothing old has.

Result: a renaming of the new object's local symbols into the names of the old one (see `Atoms`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relive.diff.atoms import Atoms
from relive.elf import constants as c
from relive.elf.object import ElfObject

_NUMBERED = re.compile(rb"^(?:.+\.\d+|_ZZ.+E[^E]+_\d+_?|_ZZ.+)$")
_LAMBDA = re.compile(rb"^_ZZ(?P<owner>.+?)EN(?P<cv>V?K?)(?P<id>Ul.*?E)(?P<n>\d*)_cl")


@dataclass(frozen=True, slots=True)
class Static:
    """A function-local static as debug information describes it."""

    symbol: bytes
    """Its name in the symbol table of its object."""
    owner: str
    block_path: tuple[int, ...]
    plain: str
    ordinal: int
    type: str


def local_variables(obj: ElfObject) -> dict[tuple[int, int], bytes]:
    """(section, offset) → name of local variables."""
    kind, binding = obj.symbols["info"] & 15, obj.symbols["info"] >> 4
    rows = np.flatnonzero(((kind == c.STT_OBJECT) | (kind == c.STT_TLS)) & (binding == c.STB_LOCAL)).tolist()
    return {(int(obj.symbol_sections[i]), int(obj.symbols["value"][i])): obj.symbol_names[i] for i in rows}


def has_numbered(obj: ElfObject) -> bool:
    """Whether an object has local variables whose names are numbered."""
    return any(_NUMBERED.match(name) for name in local_variables(obj).values())


def rename_statics(
    old: Sequence[Static], new: Sequence[Static], taken: set[bytes]
) -> tuple[dict[bytes, bytes], tuple[Static, ...]]:
    """New name → old name, for statics whose name changed or now means another one; and those that nobody can tell
    apart (several of one name in a function, and their number changed). `taken`: names of the old object."""
    pairs: dict[bytes, bytes] = {}
    ambiguous: list[Static] = []
    before, after = _group(old), _group(new)
    for identity, candidates in after.items():
        matches = before.get(identity, [])
        if len(candidates) == len(matches):
            pairs.update((n.symbol, o.symbol) for n, o in zip(candidates, matches, strict=True))
            continue
        if not matches:
            continue
        for static in candidates:
            twins = [o for o in matches if o.type == static.type]
            rivals = [n for n in candidates if n.type == static.type]
            if len(twins) == 1 and len(rivals) == 1:
                pairs[static.symbol] = twins[0].symbol
            elif twins:
                ambiguous.append(static)
    for static in new:
        if static.symbol not in pairs and static.symbol in taken:
            where = f"{static.owner}/{static.block_path}/{static.plain}/{static.ordinal}".encode()
            pairs[static.symbol] = static.symbol + b"@" + where
    return {new_name: old_name for new_name, old_name in pairs.items() if new_name != old_name}, tuple(ambiguous)


def _group(statics: Sequence[Static]) -> dict[tuple[str, str], list[Static]]:
    """By function and plain name, in the order of the source."""
    groups: dict[tuple[str, str], list[Static]] = {}
    for static in sorted(statics, key=lambda s: (s.block_path, s.ordinal)):
        groups.setdefault((static.owner, static.plain), []).append(static)
    return groups


@dataclass(frozen=True, slots=True)
class Lambdas:
    """How the lambdas of two objects correspond."""

    renames: dict[bytes, bytes]
    """Local symbol of the new object → name under which it is compared."""
    told: tuple[str, ...]
    """Owners in which stored closures may keep their old body."""


def match_lambdas(old: Atoms, new: Atoms, changed_captures: set[bytes]) -> Lambdas:
    """Matches lambdas of functions by content, then by order. `changed_captures`: names of operator() in `new` whose
    closure type has another layout than that of the same name in `old`: they are new lambdas."""
    groups_old, groups_new = _lambda_groups(old), _lambda_groups(new)
    tokens: dict[tuple[bytes, bytes], dict[bytes, bytes]] = {}
    told: list[str] = []
    for key, after in groups_new.items():
        before = groups_old.get(key, {})
        mapping = _match_group(old, before, new, after, changed_captures)
        changes = {n: mapping[n] for n in after if mapping[n] != n}
        if changes:
            tokens[key] = changes
        if len(before) != len(after) and any(m.startswith(b"new") for m in mapping.values()):
            told.append(key[0].decode("utf-8", "replace"))
    renames: dict[bytes, bytes] = {}
    if tokens:
        for name in new.by_name:
            if new.is_global[new.by_name[name]]:
                continue
            renamed = _rename(name, tokens)
            if renamed != name:
                renames[name] = renamed
    return Lambdas(renames, tuple(told))


def _lambda_groups(atoms: Atoms) -> dict[tuple[bytes, bytes], dict[bytes, int]]:
    """(owner, signature id) → number token → atom of operator(), for lambdas that only this unit knows."""
    groups: dict[tuple[bytes, bytes], dict[bytes, int]] = {}
    for name, atom in atoms.by_name.items():
        match = _LAMBDA.match(name)
        if match and not atoms.is_global[atom]:
            groups.setdefault((match["owner"], match["id"]), {})[match["n"]] = atom
    return groups


def _match_group(
    old: Atoms, before: dict[bytes, int], new: Atoms, after: dict[bytes, int], changed: set[bytes]
) -> dict[bytes, bytes]:
    """Number token of the new object → number token of the old one (or `new…`)."""
    mapping: dict[bytes, bytes] = {}
    free = dict(sorted(before.items(), key=lambda item: _number(item[0])))
    order = sorted(after, key=_number)
    contents = {n: (old.content(a), old.row_bytes(a)) for n, a in free.items()}
    for n in order:
        mine = (new.content(after[n]), new.row_bytes(after[n]))
        same = [m for m in free if contents[m] == mine]
        if same:
            chosen = n if n in same else same[0]
            mapping[n] = chosen
            del free[chosen]
    rest = [n for n in order if n not in mapping]
    if len(rest) == len(free):
        for n, m in zip(rest, list(free), strict=True):
            operator = new.names[after[n]] or b""
            mapping[n] = b"new" + n if operator in changed else m
    else:
        for n in rest:
            mapping[n] = b"new" + n
    return mapping


def _number(token: bytes) -> int:
    return int(token) + 1 if token else 0


def _rename(name: bytes, tokens: dict[tuple[bytes, bytes], dict[bytes, bytes]]) -> bytes:
    for (owner, identity), mapping in tokens.items():
        if owner not in name or identity not in name:
            continue
        pattern = re.compile(b"(Z" + re.escape(owner) + rb"E(?:NV?K?)?" + re.escape(identity) + rb")(\d*)_")
        name = pattern.sub(lambda m, t=mapping: m[1] + t.get(m[2], m[2]) + b"_", name)  # type: ignore[misc]
    return name
