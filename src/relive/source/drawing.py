"""The dependency graph for people and programs: text, dot, JSON, SVG.

Red is "needs", blue is "needed by", as in the CTwik document. The SVG is laid out here, without other programs: a
component stands one layer below everything that it needs, layers are sorted by the middle of their neighbours, edges
are curves. Good enough to read; `dot` does it better and takes the dot format."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

from relive.source.forms import MACRO, UNSURE
from relive.source.graph import Graph, Sets, Vertex
from relive.source.model import Kind

KINDS: Mapping[int, str] = {
    Kind.FUNCTION: "function",
    Kind.CLASS: "class",
    Kind.ENUM: "enum",
    Kind.ALIAS: "alias",
    Kind.VARIABLE: "variable",
    Kind.DECLARATION: "declaration",
    Kind.ASM: "asm",
    Kind.OTHER: "other",
    MACRO: "macro",
}
_STEPS = {"edited": "L1 edited  ", "affected": "L2 affected", "needed": "L3 needed  "}


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown: vertices in an order that compiles, red edges between them, and the sets of an edit if asked."""

    title: str
    vertices: tuple[Vertex, ...]
    red: tuple[tuple[int, int], ...]
    """(who needs, what), as places in `vertices`."""
    own: frozenset[int]
    """The vertices asked for; the others are their neighbours."""
    sets: Sets | None = None
    root: str = ""
    """Paths below it are shown from there."""


def picture_of_file(graph: Graph, file: str, root: str = "") -> Picture:
    """A file's components with everything that they need and that needs them."""
    own = graph.of_file(file)
    needs = {number: graph.red(number) for number in own}
    needed_by = {number: graph.blue(number) for number in own}
    shown = set(own).union(*needs.values(), *needed_by.values())
    edges = {(number, other) for number, others in needs.items() for other in others}
    edges |= {(other, number) for number, others in needed_by.items() for other in others}
    order = graph.in_order(shown)
    return _picture(graph, _short(file, root), order, edges, own, None, root)


def picture_of_sets(graph: Graph, symbol: str, sets: Sets, root: str = "") -> Picture:
    """What an edit reaches: L3 (which holds L1 and L2) and the edges in it."""
    shown = set(sets.needed)
    edges = {(number, other) for number in shown for other in graph.red(number) if other in shown}
    return _picture(graph, symbol, sets.needed, edges, sets.edited, sets, root)


def as_text(picture: Picture) -> str:
    """Each component with what it needs and what needs it, one below the other."""
    if picture.sets is not None:
        return sets_text(picture)
    vertices = {vertex.number: vertex for vertex in picture.vertices}
    lines = [picture.title]
    for vertex in picture.vertices:
        if vertex.number not in picture.own:
            continue
        lines.append(f"{vertex.line:6}  {_kind(vertex):<11} {vertex.name}{_unsure(vertex)}")
        for word, numbers in (
            ("needs", [b for a, b in picture.red if a == vertex.number]),
            ("needed by", [a for a, b in picture.red if b == vertex.number]),
        ):
            for number in sorted(numbers, key=lambda n: (vertices[n].file, vertices[n].line)):
                lines.append(f"{'':20}{word:<9} {_named(vertices[number], picture)}")
                word = ""
    return "\n".join(lines) + "\n"


def sets_text(picture: Picture) -> str:
    """The three sets of an edit, for `relive explain` and `relive graph --symbol`. Each component stands once, with
    the innermost set that holds it."""
    sets = picture.sets
    assert sets is not None
    lines = [
        f"{picture.title}: {len(sets.edited)} edited, {len(sets.affected)} to be compiled again, "
        f"{len(sets.needed)} needed for that"
    ]
    for name, members, others in (
        ("edited", sets.edited, ()),
        ("affected", sets.affected, sets.edited),
        ("needed", sets.needed, sets.affected),
    ):
        for vertex in picture.vertices:
            if vertex.number in members and vertex.number not in others:
                lines.append(f"  {_STEPS[name]}  {_kind(vertex):<11} {_named(vertex, picture)}{_unsure(vertex)}")
    lines += [f"  not certain: {doubt}" for doubt in sets.doubts]
    return "\n".join(lines) + "\n"


def as_dot(picture: Picture) -> str:
    """For graphviz: red edges to what is needed, blue ones back."""
    lines = [f"digraph {_quoted(picture.title)} {{", "  rankdir=BT;", '  node [shape=box, fontname="monospace"];']
    for vertex in picture.vertices:
        style = "" if vertex.number in picture.own else ", style=dashed"
        label = _quoted(f"{_label(vertex)}\n{_place(vertex, picture)}").replace("\n", "\\n")
        lines.append(f"  v{vertex.number} [label={label}{style}];")
    for user, used in picture.red:
        lines.append(f"  v{user} -> v{used} [color=red];")
        lines.append(f"  v{used} -> v{user} [color=blue, style=dashed, constraint=false];")
    return "\n".join([*lines, "}"]) + "\n"


def as_json(picture: Picture) -> str:
    """One object: ``vertices``, ``red`` and ``blue`` edges (pairs of ids), and the ``sets`` as lists of ids."""
    result: dict[str, object] = {
        "title": picture.title,
        "vertices": [
            {
                "id": vertex.number,
                "kind": _kind(vertex),
                "name": vertex.name,
                "file": vertex.file,
                "line": vertex.line,
                "last_line": vertex.last_line,
                "ordinal": vertex.ordinal,
                "uncertain": bool(vertex.role & UNSURE),
                "asked": vertex.number in picture.own,
            }
            for vertex in picture.vertices
        ],
        "red": [list(edge) for edge in picture.red],
        "blue": [[used, user] for user, used in picture.red],
    }
    if picture.sets is not None:
        sets = picture.sets
        result["sets"] = {
            "edited": list(sets.edited),
            "affected": list(sets.affected),
            "needed": list(sets.needed),
            "doubts": list(sets.doubts),
        }
    return json.dumps(result, ensure_ascii=False) + "\n"


# --- SVG --------------------------------------------------------------------------------------------------------------

_CHARACTER, _HEIGHT, _GAP, _LAYER, _MARGIN = 7.3, 40, 26, 110, 20
_MOST_IN_ROW = 8
_STYLE = """
  text { font: 12px monospace; fill: #222 } .place { font-size: 10px; fill: #777 }
  rect { fill: #fff; stroke: #444 } .other rect { stroke-dasharray: 4 3; stroke: #999 }
  .edited rect { fill: #ffe0b0 } .affected rect { fill: #fff3c4 }
  path { fill: none } .red { stroke: #d03030 } .blue { stroke: #3060d0; stroke-dasharray: 3 3 }
"""


def as_svg(picture: Picture) -> str:
    """A picture that needs nothing else."""
    rows = _rows(picture)
    legend = "red: needs, blue: needed by" + ("; orange: edited, yellow: to be compiled again" if picture.sets else "")
    legend = f"{picture.title} ({legend})"
    width, boxes = _placed(picture, rows, least=6.2 * len(legend))
    height = 2 * _MARGIN + _HEIGHT + _LAYER * max(0, len(rows) - 1) + 24
    sets = picture.sets
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="red" orient="auto" markerWidth="8" markerHeight="8" refX="7" refY="4">'
        '<path d="M0,0 L8,4 L0,8 z" style="fill:#d03030"/></marker>'
        '<marker id="blue" orient="auto" markerWidth="8" markerHeight="8" refX="7" refY="4">'
        '<path d="M0,0 L8,4 L0,8 z" style="fill:#3060d0"/></marker></defs>',
        '<rect width="100%" height="100%" style="fill:#fff;stroke:none"/>',
    ]
    for user, used in picture.red:
        out.append(_curve(boxes[user], boxes[used], -5, "red"))
        out.append(_curve(boxes[used], boxes[user], 5, "blue"))
    for vertex in picture.vertices:
        x, y, w = boxes[vertex.number]
        classes = "own" if vertex.number in picture.own else "other"
        if sets is not None:
            edited, affected = vertex.number in sets.edited, vertex.number in sets.affected
            classes = "edited" if edited else "affected" if affected else "needed"
        out.append(
            f'<g class="{classes}"><rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{_HEIGHT}" rx="4"/>'
            f'<text x="{x + 8:.1f}" y="{y + 17:.1f}">{escape(_label(vertex))}</text>'
            f'<text class="place" x="{x + 8:.1f}" y="{y + 32:.1f}">{escape(_place(vertex, picture))}</text></g>'
        )
    out.append(f'<text class="place" x="{_MARGIN}" y="{height - 10:.0f}">{escape(legend)}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def _rows(picture: Picture) -> list[list[int]]:
    """Numbers by layer: what is needed above what needs it. The order compiles, so edges that go forward in it (types
    and their operators) do not count, and there is no circle."""
    position = {vertex.number: i for i, vertex in enumerate(picture.vertices)}
    needs: dict[int, list[int]] = {}
    for user, used in picture.red:
        if position[used] < position[user]:
            needs.setdefault(user, []).append(used)
    layer: dict[int, int] = {}
    for vertex in picture.vertices:
        layer[vertex.number] = max((layer[other] + 1 for other in needs.get(vertex.number, ())), default=0)
    rows: dict[int, list[int]] = {}
    for number, row in layer.items():
        rows.setdefault(row, []).append(number)
    found = [
        rows[row][start : start + _MOST_IN_ROW]
        for row in sorted(rows)
        for start in range(0, len(rows[row]), _MOST_IN_ROW)
    ]
    _untangle(found, picture.red)
    return found


def _untangle(rows: list[list[int]], edges: Iterable[tuple[int, int]]) -> None:
    """Sorts rows by the middle of their neighbours, down and up again (Sugiyama's heuristic)."""
    near: dict[int, list[int]] = {}
    for user, used in edges:
        near.setdefault(user, []).append(used)
        near.setdefault(used, []).append(user)
    place = {number: i - len(row) / 2 for row in rows for i, number in enumerate(row)}
    for row in [*rows, *reversed(rows), *rows]:
        middle = {n: sum(place[o] for o in near[n]) / len(near[n]) if n in near else place[n] for n in row}
        row.sort(key=lambda number: middle[number])
        place.update({number: i - len(row) / 2 for i, number in enumerate(row)})


def _placed(
    picture: Picture, rows: Sequence[Sequence[int]], least: float
) -> tuple[float, dict[int, tuple[float, float, float]]]:
    """Width of the picture, and (left, top, width) of each box."""
    widths = {
        vertex.number: 16 + _CHARACTER * max(len(_label(vertex)), 0.86 * len(_place(vertex, picture)))
        for vertex in picture.vertices
    }
    lengths = [sum(widths[number] for number in row) + _GAP * (len(row) - 1) for row in rows]
    width = max([*lengths, least]) + 2 * _MARGIN
    boxes: dict[int, tuple[float, float, float]] = {}
    for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        x = (width - length) / 2
        for number in row:
            boxes[number] = (x, float(_MARGIN + i * _LAYER), widths[number])
            x += widths[number] + _GAP
    return width, boxes


def _curve(start: tuple[float, float, float], end: tuple[float, float, float], shift: float, color: str) -> str:
    down = end[1] > start[1]
    x1, y1 = start[0] + start[2] / 2 + shift, start[1] + (_HEIGHT if down else 0)
    x2, y2 = end[0] + end[2] / 2 + shift, end[1] + (0 if down else _HEIGHT)
    bend = max(30.0, abs(y2 - y1) / 2) * (1 if down else -1)
    return (
        f'<path class="{color}" marker-end="url(#{color})" '
        f'd="M{x1:.1f},{y1:.1f} C{x1:.1f},{y1 + bend:.1f} {x2:.1f},{y2 - bend:.1f} {x2:.1f},{y2:.1f}"/>'
    )


# --- words ------------------------------------------------------------------------------------------------------------


def _picture(
    graph: Graph, title: str, order: Iterable[int], edges: Iterable[tuple[int, int]], own: Iterable[int],
    sets: Sets | None, root: str,
) -> Picture:  # fmt: skip
    # Numbered from 0 in this picture: those of the graph depend on what else is known.
    numbers = {vertex: i for i, vertex in enumerate(order)}
    vertices = tuple(replace(graph.vertex(vertex), number=i) for vertex, i in numbers.items())
    red = tuple(sorted((numbers[user], numbers[used]) for user, used in edges))
    if sets is not None:
        edited, affected, needed = (
            tuple(numbers[v] for v in members) for members in (sets.edited, sets.affected, sets.needed)
        )
        sets = Sets(edited, affected, needed, sets.doubts)
    return Picture(title, vertices, red, frozenset(numbers[v] for v in own), sets, root)


def _kind(vertex: Vertex) -> str:
    return KINDS.get(vertex.kind, "other")


def _label(vertex: Vertex) -> str:
    prefix = {"class": "class ", "enum": "enum ", "macro": "#define "}.get(_kind(vertex), "")
    return prefix + vertex.name + ("()" if vertex.kind == Kind.FUNCTION else "")


def _place(vertex: Vertex, picture: Picture) -> str:
    return f"{_short(vertex.file, picture.root)}:{vertex.line}"


def _named(vertex: Vertex, picture: Picture) -> str:
    return f"{vertex.name}  {_place(vertex, picture)}"


def _unsure(vertex: Vertex) -> str:
    return "  (not read with certainty)" if vertex.role & UNSURE else ""


def _short(path: str, root: str) -> str:
    inside = root and path.startswith(root.rstrip("/") + "/")
    return posixpath.relpath(path, root) if inside else path


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
