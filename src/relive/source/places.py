"""Which components of a unit are vertices of the dependency graph, where they are, and a digest of what a file shows.

Line markers cut the text of the unit into stretches of files; those of system headers and of files that are not the
project's are left out. What a file shows is the same for most units that include it: its digest says so before
anything is read."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from relive.source.model import DEFINE, Flag, Kind
from relive.source.unit import UnitText

Indices = npt.NDArray[np.int64]

_CONTAINERS = (Kind.NAMESPACE, Kind.LINKAGE)
# Plain integers: an operation with a Flag takes a microsecond.
_TEMPLATE, _MEMBER = int(Flag.TEMPLATE), int(Flag.MEMBER)
BODY_COUNTS = int(Flag.KEEP | Flag.TEMPLATE | Flag.UNCERTAIN)
"""Functions whose body others see: it is part of their interface."""
_MARKER = re.compile(rb"(?m)^# .*$")


class Place(NamedTuple):
    """Where a vertex is in the text of a unit: a component, or (``component`` is -1) the directive that defines a
    macro."""

    component: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Stretch:
    file: str
    first: int
    """Of the file's vertices."""
    places: tuple[Place, ...]


def places(unit: UnitText, *, ours: Callable[[str], str | None]) -> dict[str, tuple[Place, ...]]:
    """Where the vertices of each file's form are in this unit, in their order."""
    found: dict[str, tuple[Place, ...]] = {}
    for stretch in stretches_of(unit, ours):
        found[stretch.file] = found.get(stretch.file, ()) + stretch.places
    return found


def stretches_of(unit: UnitText, ours: Callable[[str], str | None]) -> list[Stretch]:
    # Lists, not arrays: single elements are what is asked for.
    chosen, _ = chosen_components(unit)
    rows = unit.components[chosen]
    indices, starts, ends = chosen.tolist(), rows["start"].tolist(), rows["end"].tolist()
    defines = unit.directives[unit.directives["kind"] == DEFINE]
    define_starts, define_ends = defines["start"].tolist(), defines["end"].tolist()
    counts: dict[str, int] = {}
    found: list[Stretch] = []
    for file, start, end in _filestretches_of(unit, ours):
        span = range(bisect_left(starts, start), bisect_left(starts, end))
        here = [Place(indices[i], starts[i], ends[i]) for i in span]
        span = range(bisect_left(define_starts, start), bisect_left(define_starts, end))
        if span:
            here += [Place(-1, define_starts[i], define_ends[i]) for i in span]
            here.sort(key=lambda place: place.start)
        if here:
            found.append(Stretch(file, counts.get(file, 0), tuple(here)))
            counts[file] = counts.get(file, 0) + len(here)
    return found


def _filestretches_of(unit: UnitText, ours: Callable[[str], str | None]) -> list[tuple[str, int, int]]:
    """(file, start, end) of what comes from the project, in text order."""
    data, markers = unit.data, unit.markers
    paths: dict[bytes, str | None] = {}
    found: list[tuple[str, int, int]] = []
    previous: bytes | None = None
    ends = [*markers["start"][1:].tolist(), len(data)]
    rows = (markers[field].tolist() for field in ("name", "name_end", "system", "start"))
    for name_start, name_end, system, start, end in zip(*rows, ends, strict=True):
        name = data[name_start:name_end]
        if system:
            previous = None
            continue
        if name not in paths:
            plain = name.replace(b'\\"', b'"').replace(b"\\\\", b"\\")
            paths[name] = ours(plain.decode("utf-8", "surrogateescape"))
        path = paths[name]
        if path is None:
            previous = None
        elif name == previous:
            found[-1] = (path, found[-1][1], end)
        else:
            found.append((path, start, end))
            previous = name
    return found


def chosen_components(unit: UnitText) -> tuple[Indices, Indices]:
    """Components that are vertices, and for each component the one at namespace scope that holds it (-1: none)."""
    table = unit.components
    kind, flags, parent = table["kind"], table["flags"], table["parent"]
    outer = parent < 0
    held = ~outer
    outer[held] = np.isin(kind[parent[held]], _CONTAINERS)
    container = np.isin(kind, _CONTAINERS)
    scope = outer & ~container
    holder = np.maximum.accumulate(np.where(scope, np.arange(len(table)), -1))
    plain_class = (kind == Kind.CLASS) & (flags & _TEMPLATE == 0)
    member = (kind == Kind.FUNCTION) & (flags & _MEMBER != 0) & (flags & BODY_COUNTS == 0) & ~scope
    member &= (table["body_end"] > table["body"]) & (holder >= 0) & plain_class[holder] & plain_class[parent]
    return np.flatnonzero(scope | member), holder


def digest_of(unit: UnitText, file: str, stamp: bytes, parts: Sequence[Stretch]) -> bytes:
    """Of what the unit shows of a file. Where line markers stand depends on which headers were included before, and
    says nothing of the file: only its components count, and their lines."""
    digest = hashlib.blake2b(file.encode("utf-8", "surrogateescape") + b"\0" + stamp, digest_size=16)
    lines, parents = unit.components["line"], unit.components["parent"]
    data = unit.data
    for part in parts:
        scope: int | None = -1
        for place in part.places:
            if place.component >= 0:
                parent = int(parents[place.component])
                if parent != scope:
                    # The same text inside of a namespace that another file opened is something else.
                    digest.update(b"::".join(scope_of(unit, place.component)) + b"{")
                    scope = parent
                digest.update(b"%d:" % lines[place.component])
            text = data[place.start : place.end]
            digest.update(_MARKER.sub(b"", text) if b"\n# " in text else text)
    return digest.digest()


def scope_of(unit: UnitText, component: int) -> list[bytes]:
    """Names of the namespaces that hold a component, as `UnitText.declared` writes them."""
    names: list[bytes] = []
    parent = int(unit.components["parent"][component])
    while parent >= 0:
        row = unit.components[parent]
        if row["kind"] == Kind.NAMESPACE:
            names.append(unit.qualified(parent) or b"(anonymous namespace)")
        parent = int(row["parent"])
    return names[::-1]


def inline_namespaces(unit: UnitText) -> frozenset[bytes]:
    """Full names of namespaces whose content is as if it were around them. Only the first of several pieces must say
    so."""
    found = set()
    for i in np.flatnonzero(unit.components["kind"] == Kind.NAMESPACE).tolist():
        if unit.data.startswith(b"inline", int(unit.components["start"][i])):
            found.add(b"::".join([*scope_of(unit, i), unit.qualified(i)]))
    return frozenset(found)


def open_path(scope: Sequence[bytes], inline: frozenset[bytes]) -> tuple[bytes, ...]:
    """Names of the namespaces around a component (`scope_of`) that a name must be looked up through: without inline and
    anonymous ones."""
    path: list[bytes] = []
    whole = b""
    for name in scope:
        whole = whole + b"::" + name if whole else name
        if name != b"(anonymous namespace)" and whole not in inline:
            path += name.split(b"::")  # namespace A::B {
    return tuple(path)
