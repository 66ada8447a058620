"""Forms written by a test itself: components as a few words each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from relive.source.forms import ATTACHED, MACRO, VERTEX, Form, Lists, Run, name_hash, scope_hash
from relive.source.model import Flag, Kind


@dataclass(frozen=True)
class Part:
    """One component: what it declares, uses in what it shows, uses in its body, as words between spaces."""

    name: str
    kind: int = Kind.FUNCTION
    uses: str = ""
    body: str = ""
    declares: str | None = None
    members: str = ""
    selects: str = ""
    macros: str = ""
    owner: int = -1
    flags: int = 0
    role: int = 0
    returns: str = ""
    scope: str = ""
    """The namespace around, ``a::b``."""


def function(name: str, uses: str = "", body: str = "", *, selects: str = "", macros: str = "") -> Part:
    """A definition. One of a member (``Car::getPrice``) declares nothing: its class does."""
    qualified = "::" in name
    declares = "" if qualified else name
    uses = f"{uses} {' '.join(name.split('::'))}"
    flags = Flag.QUALIFIED if qualified else 0
    return Part(name, Kind.FUNCTION, uses, body, declares, selects=selects, macros=macros, flags=flags)


def prototype(name: str, uses: str = "") -> Part:
    return Part(name, Kind.DECLARATION, f"{uses} {name}")


def class_(name: str, members: str = "", uses: str = "") -> Part:
    return Part(name, Kind.CLASS, f"{uses} {name} {members}", members=members)


def inline_member(name: str, owner: int, body: str = "") -> Part:
    return Part(name, Kind.FUNCTION, name.rpartition("::")[2], body, "", owner=owner, flags=Flag.MEMBER)


def macro(name: str, replacement: str = "") -> Part:
    return Part(name, MACRO, replacement, macros=replacement)


def attached(name: str, uses: str, returns: str = "") -> Part:
    return Part(name, Kind.FUNCTION, uses, declares="", role=ATTACHED, returns=returns)


def form(file: str, *parts: Part, conditions: str = "") -> Form:
    table = np.zeros(len(parts), VERTEX)
    ordinals: dict[tuple[int, str], int] = {}
    for row, part in enumerate(parts):
        ordinal = ordinals.get((part.kind, part.name), 0)
        ordinals[part.kind, part.name] = ordinal + 1
        interface = name_hash(repr((part.name, part.kind, part.uses, part.declares, part.members)).encode())
        content = name_hash(repr(part).encode())
        scope, space = scope_hash(_path(part)), name_hash(_path(part)[-1]) if part.scope else 0
        lines = row + 1, row + 1
        table[row] = (part.kind, part.role, part.flags, *lines, ordinal, part.owner, content, interface, scope, space)
    declares = [p.name.rpartition("::")[2] if p.declares is None else p.declares for p in parts]
    digest = hashlib.blake2b(repr((file, parts)).encode(), digest_size=16).digest()
    return Form(
        file,
        digest,
        tuple(part.name for part in parts),
        table,
        hashes(declares),
        hashes(part.members for part in parts),
        hashes(part.uses for part in parts),
        hashes(part.body for part in parts),
        hashes(part.selects for part in parts),
        hashes(part.macros for part in parts),
        Lists.of([[scope_hash(_path(part)[:depth]) for depth in range(len(_path(part)) + 1)] for part in parts]),
        hashes(part.returns for part in parts),
        np.array([name_hash(word.encode()) for word in conditions.split()], np.uint64),
    )


def _path(part: Part) -> list[bytes]:
    return part.scope.encode().split(b"::") if part.scope else []


def hashes(rows: Iterable[str]) -> Lists:
    return Lists.of([[name_hash(word.encode()) for word in row.split()] for row in rows])


def whole(*forms: Form) -> tuple[Run, ...]:
    """A unit that holds each of these files once, in this order."""
    return tuple(Run(one.digest, 0, len(one)) for one in forms)
