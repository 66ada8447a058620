"""Which unit compiles which component of L2: each once, where once is enough.

A function or variable of a unit's own file is that unit's. An inline function of a header is the same in all units (one
definition rule), so one of them compiles it for all: preferably one that has something to compile anyhow. What has
internal linkage is another one in each unit. Types, aliases, macros and templates make no code of their own: their
users are in L2."""

from __future__ import annotations

from collections.abc import Iterable

from relive.source.graph import Graph, Vertex
from relive.source.model import Flag, Kind

_CODE = (Kind.FUNCTION, Kind.VARIABLE)


def shares(graph: Graph, affected: Iterable[int]) -> dict[str, tuple[int, ...]]:
    """Unit → its vertices of ``affected``, in their order. Units without any are not in it."""
    found: dict[str, list[int]] = {}
    once: list[tuple[int, tuple[str, ...]]] = []
    for number in affected:
        vertex, units = graph.vertex(number), graph.units_of(number)
        if vertex.kind not in _CODE or vertex.flags & Flag.TEMPLATE:
            continue
        if len(units) == 1 or _is_internal(vertex):
            for unit in units:
                found.setdefault(unit, []).append(number)
        else:
            once.append((number, units))
    # First those that few units show: they decide for the others.
    for number, units in sorted(once, key=lambda one: len(one[1])):
        unit = next((unit for unit in units if unit in found), units[0])
        found.setdefault(unit, []).append(number)
    return {unit: tuple(sorted(numbers)) for unit, numbers in found.items()}


def _is_internal(vertex: Vertex) -> bool:
    if "(anonymous namespace)" in vertex.name or (vertex.flags & Flag.STATIC and not vertex.flags & Flag.MEMBER):
        return True
    # In C++ constants are internal, too; only `inline` and `extern` say that a variable is not.
    return vertex.kind == Kind.VARIABLE and not vertex.flags & (Flag.INLINE | Flag.EXTERN | Flag.MEMBER)
