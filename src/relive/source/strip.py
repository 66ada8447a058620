"""Less text with the same declarations.

What goes: bodies of functions (constructors: with their initialisers), whole out-of-line members (their class declares
them), explicit instantiations (they would need the bodies), asm at file scope (it would define its symbols again),
attributes that make a declaration another name of a body (alias, ifunc), #define and #undef (the text is expanded).
What is called and has no body any more is bound to what lives in the program. What stays, although it has a body, is
marked KEEP by the scanner.

Bodies of templates are a choice. Without them nothing is instantiated, which is quick; but a template over a type that
no other unit can know (a lambda, a local class, an unnamed namespace's class) must have a body, or it is an error.
A body that stays and holds a lambda keeps the templates that may take it: those it names, and those that they name.

Removed text must not move what follows to other lines: few lines become empty ones, many a line marker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relive.source import own
from relive.source.macros import WORD
from relive.source.model import DEFINE, UNDEF, Flag, Kind

if TYPE_CHECKING:
    from relive.source.unit import UnitText

_EMPTY_LINES = 8
"""More than these become a marker, as the preprocessor itself does it."""
_ALIAS = re.compile(rb"\b(?:__)?(?:alias|ifunc)(?:__)?\s*\(")
_ATTRIBUTE = re.compile(rb"__attribute(?:__)?\s*\(|\[\[")
_BRACKET = re.compile(rb'"(?:[^"\\\n]|\\.)*"|[()\[\]]')
_LAMBDA = re.compile(rb"\[[^\[\]]*\]\s*(?:\(|\{|mutable|->|<)")


def stripped(unit: UnitText, start: int, end: int, keep: frozenset[int], templates: bool, direct: bool) -> bytes:
    data = unit.data
    out: list[bytes] = []
    position, lines, lost = start, 0, start > 0
    cuts = _cuts(unit, start, end, keep, templates)
    if direct:
        # Before what is cut at the same place; what is inside of a cut goes with it.
        cuts = sorted([*own.declarations(unit, start, end), *cuts], key=lambda cut: cut[:2])
    for cut, to, instead, has_marker in cuts:
        if cut < position:
            continue  # inside of what went already
        chunk = data[position:cut]
        if chunk and not chunk.isspace():
            if lost or lines > _EMPTY_LINES:
                out.append(_marker(unit, position))
            elif lines:
                out.append(b"\n" * lines)
            out.append(chunk)
            lines, lost = 0, False
        else:
            lines += chunk.count(b"\n")
        if instead.endswith(own.HIDDEN) and (lost or lines):
            out.append(_marker(unit, cut) if lost or lines > _EMPTY_LINES else b"\n" * lines)
            lines, lost = 0, False
        out.append(instead)
        lines += data.count(b"\n", cut, to)
        lost = lost or has_marker
        position = to
    rest = data[position:end]
    if rest.strip():
        out += [_marker(unit, position) if lost or lines > _EMPTY_LINES else b"\n" * lines, rest]
    out.append(b"\n")
    return b"".join(out)


def _cuts(
    unit: UnitText, start: int, end: int, keep: frozenset[int], templates: bool
) -> list[tuple[int, int, bytes, bool]]:
    """What goes, in order: (from, to, what takes its place, whether a line marker is inside)."""
    rows = unit.components
    flags, kind = rows["flags"], rows["kind"]
    inside = (rows["start"] >= start) & (rows["end"] <= end) & (flags & Flag.UNCERTAIN == 0)
    if templates:
        keep |= frozenset(np.nonzero((flags & Flag.TEMPLATE != 0) & (flags & Flag.INSTANTIATION == 0))[0].tolist())
    elif unit.cplusplus:
        keep |= _takers_of_lambdas(unit, inside)
    if keep:
        inside &= ~_kept(rows, keep)
    function = inside & (kind == Kind.FUNCTION) & (flags & Flag.KEEP == 0)
    dropped = function & (flags & Flag.QUALIFIED != 0) & (flags & Flag.SPECIALISED == 0)
    dropped |= inside & ((kind == Kind.ASM) | ((kind == Kind.OTHER) & (flags & Flag.INSTANTIATION != 0)))
    reduced = function & ~dropped
    directives = unit.directives[(unit.directives["start"] >= start) & (unit.directives["end"] <= end)]
    directives = directives[(directives["kind"] == DEFINE) | (directives["kind"] == UNDEF)]
    aliased = inside & (flags & Flag.KEEP != 0) & np.isin(rows["kind"], (Kind.DECLARATION, Kind.VARIABLE))
    spans = [span for i in np.nonzero(aliased)[0].tolist() for span in _alias_attributes(unit, i)]
    others = np.array([*spans, (0, 0)], "u4")[:-1]
    begin = np.concatenate([rows["strip"][reduced], rows["start"][dropped], directives["start"], others[:, 0]])
    to = np.concatenate([rows["end"][reduced], rows["end"][dropped], directives["end"], others[:, 1]])
    semicolon = np.arange(len(begin)) < np.count_nonzero(reduced)
    markers = unit.markers["start"]
    has_marker = np.searchsorted(markers, begin) != np.searchsorted(markers, to)
    order = np.argsort(begin, kind="stable")
    columns = (column[order].tolist() for column in (begin, to, semicolon, has_marker))
    return [(a, b, b";" if closed else b"", marked) for a, b, closed, marked in zip(*columns, strict=True)]


def _alias_attributes(unit: UnitText, i: int) -> list[tuple[int, int]]:
    """Where a declaration says that it is another name for a function with a body."""
    start, text = int(unit.components["start"][i]), unit.text(i)
    found = []
    for match in _ATTRIBUTE.finditer(text):
        depth = 0
        for bracket in _BRACKET.finditer(text, match.end() - match[0].count(b"[") - match[0].count(b"(")):
            depth += {b"(": 1, b"[": 1, b")": -1, b"]": -1}.get(bracket[0], 0)
            if depth == 0:
                if _ALIAS.search(text, match.start(), bracket.end()):
                    found.append((start + match.start(), start + bracket.end()))
                break
    return found


def _takers_of_lambdas(unit: UnitText, inside: NDArray[Any]) -> frozenset[int]:
    """Templates that bodies which stay may instantiate over their own lambdas."""
    rows = unit.components
    flags = rows["flags"]
    function = inside & (rows["kind"] == Kind.FUNCTION)
    stay = np.nonzero(function & (flags & Flag.KEEP != 0) & (flags & Flag.TEMPLATE == 0))[0]
    words = [set(WORD.findall(text)) for text in map(unit.text, stay.tolist()) if _LAMBDA.search(text)]
    if not words:
        return frozenset()
    template = np.nonzero(function & (flags & Flag.TEMPLATE != 0))[0].tolist()
    named: dict[bytes, list[int]] = {}
    for i in template:
        named.setdefault(unit.name(i), []).append(i)
    found: set[int] = set()
    todo = [i for names in words for name in names for i in named.get(name, ())]
    while todo:
        i = todo.pop()
        if i not in found:
            found.add(i)
            todo += [k for name in set(WORD.findall(unit.text(i))) for k in named.get(name, ()) if k not in found]
    return frozenset(found)


def _kept(rows: NDArray[Any], keep: frozenset[int]) -> NDArray[Any]:
    """Which components are in `keep`, or inside of one that is."""
    kept = np.zeros(len(rows), bool)
    kept[list(keep)] = True
    while True:  # depth by depth
        more = kept | (kept[rows["parent"]] & (rows["parent"] >= 0))
        if np.array_equal(more, kept):
            return kept
        kept = more


def _marker(unit: UnitText, offset: int) -> bytes:
    file, line = unit.where(offset)
    name = unit.files[file].encode("utf-8", "surrogateescape").replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'\n# %d "%s"%s\n' % (line, name, b" 3" if unit.is_system(offset) else b"")
