"""CTwik's ``change.cpp``: the components of L2 with their bodies, those of L3 as far as they must be known, and nothing
else.

Theory of operation. Everything stands in the order of the unit's own text. System headers are included as the unit
includes them, with the project's macros around (feature tests decide what is in them). Components of the project are
taken from the *preprocessed* text: macros and conditionals have done their work there, and need not be carried along.
So no name in them may be a macro again: after the includes, those that are get an #undef. Functions outside of L2
become declarations, their out-of-line members vanish (the class declares them), plain variables become `extern`;
whatever cannot be declared without its body or value keeps it, and the linker binds it to what lives in the process.

Namespaces and linkages are opened again around each component; line markers say where each line came from."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from relive.source.edit import makes_types
from relive.source.forms import KEPT_VALUE
from relive.source.model import DEFINE, PRAGMA, UNDEF, Flag, Kind
from relive.source.places import Place
from relive.source.unit import UnitText
from relive.source.words import tokens

_INCLUDE = re.compile(rb'[ \t]*#[ \t]*include[ \t]*(<[^>\n]+>|"[^"\n]+")')
_MARKER = re.compile(rb'(?m)^# (\d+ "(?:[^"\\\n]|\\.)*")[ \d]*$')
_DIRECTIVE = re.compile(rb"(?m)^[ \t]*#[ \t]*(?:define|undef)\b[^\n]*$")
_NAME = re.compile(rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff]*")
_ONCE = re.compile(rb"#[ \t]*pragma[ \t]+(?:once|GCC[ \t]+(?:poison|system_header|warning|error))")
_CONTAINERS = (Kind.NAMESPACE, Kind.LINKAGE)
_ENTERED, _LEFT, _SYSTEM = b"1", b"2", b"3"


@dataclass(frozen=True, slots=True)
class _Include:
    """A system header as a file of the project includes it."""

    offset: int
    file: str
    """The project's, as the line marker spells it."""
    line: int
    header: bytes
    """As the line marker spells it."""


def change_text(
    unit: UnitText,
    affected: Sequence[Place],
    needed: Sequence[Place],
    *,
    ours: Callable[[str], str | None],
    raw: Callable[[str], bytes | None],
    templates: bool | None = None,
) -> bytes:
    """The text to be compiled with the unit's own flags (without its forced includes). ``affected`` is L2, ``needed``
    is L3 (with or without L2), as `places.places` numbers them; ``ours`` and ``raw`` as in `vertices.read_unit`.
    ``templates``: whether templates keep their bodies (one over a local type, such as a string of fmt that is checked
    at compile time, must not be without); None: if something in L2 makes such types."""
    components = {place.component for place in (*affected, *needed)} - {-1}
    changed = {place.component for place in affected} - {-1}
    if templates is None:
        templates = any(makes_types(unit.text(component)) for component in changed)
    pieces = list(_pieces(unit, components, changed, templates))
    last = max((offset for offset, _ in pieces), default=0)
    includes = [include for include in _includes(unit, ours) if include.offset < last]
    pieces += _pragmas(unit, ours, components, last)
    words = {word for _, text in pieces for word in _NAME.findall(text)}
    undefine = b"".join(b"#undef " + word + b"\n" for word in sorted(words & _defined(unit)))
    pieces += _macros(unit, ours, includes[-1].offset if includes else 0)
    pieces += [(include.offset, _include_line(unit, include, ours, raw)) for include in includes]
    return _put_together(sorted(pieces, key=lambda piece: piece[0]), undefine)


def places_of(rows: Sequence[tuple[str, int] | None], places: Mapping[str, Sequence[Place]]) -> list[Place]:
    """Places of vertices (`Graph.row_in`) that are in a unit; those of members of classes among them."""
    return [places[row[0]][row[1]] for row in rows if row is not None and row[0] in places]


# --- components -------------------------------------------------------------------------------------------------------


def _pieces(unit: UnitText, components: set[int], changed: set[int], templates: bool) -> Iterator[tuple[int, bytes]]:
    table = unit.components
    members: dict[int, set[int]] = {}
    for component in components:
        holder = unit.outermost(component)
        members.setdefault(holder, set())
        if holder != component and component in changed:
            members[holder].add(component)
    for component in sorted(members):
        row = table[component]
        if component in changed and row["kind"] != Kind.CLASS:
            text = unit.data[int(row["start"]) : int(row["end"])]
        else:
            text = _declaration(unit, component, frozenset(members[component]), templates)
        if text.strip():
            yield int(row["start"]), _framed(unit, component, text)


def _declaration(unit: UnitText, component: int, kept: frozenset[int], templates: bool) -> bytes:
    """A component as it must be known to others."""
    row = unit.components[component]
    kind, flags, start, end = int(row["kind"]), int(row["flags"]), int(row["start"]), int(row["end"])
    if kind == Kind.CLASS and not flags & Flag.UNCERTAIN:
        return unit.stripped(start, end, kept, templates=templates)
    whole = Flag.KEEP | Flag.UNCERTAIN | (Flag.TEMPLATE if templates else Flag(0))
    if kind == Kind.FUNCTION and not flags & whole:
        if flags & Flag.QUALIFIED and not flags & Flag.SPECIALISED:
            return b""
        return unit.data[start : int(row["strip"])].rstrip() + b";"
    text = unit.data[start:end]
    if kind == Kind.VARIABLE and not flags & (Flag.STATIC | Flag.EXTERN | Flag.UNCERTAIN | Flag.TEMPLATE):
        return _extern(unit, component, text)
    return text


def _extern(unit: UnitText, component: int, text: bytes) -> bytes:
    """``int x = 5;`` as ``extern int x;`` where that says all that others can know of it."""
    if any(
        not unit.name(holder) for holder in unit.around(component) if unit.components["kind"][holder] == Kind.NAMESPACE
    ):
        return text
    found = tokens(text)
    value = found.index(b"=") if b"=" in found else len(found) - 1
    head, rest = found[:value], found[value:]
    if set(head) & KEPT_VALUE or b"," in found or b"::" in b"".join(head):
        return text
    if any(a == b"[" and b == b"]" for a, b in itertools.pairwise(head)) or rest[-1:] != [b";"]:
        return text
    declaration = text.split(b"=", 1)[0] if b"=" in found else text[: text.rindex(b";")]
    return b"extern " + declaration.rstrip() + b";"


def _framed(unit: UnitText, component: int, text: bytes) -> bytes:
    opening, closing = unit.opening(component), unit.closing(component)
    text = _MARKER.sub(rb"# \1", _DIRECTIVE.sub(b"", text))
    frame = [opening, _place(unit, int(unit.components["start"][component])), text.rstrip(), closing]
    return b"\n".join(part for part in frame if part) + b"\n"


def _place(unit: UnitText, offset: int) -> bytes:
    file, line = unit.where(offset)
    name = unit.files[file].encode("utf-8", "surrogateescape").replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'# %d "%s"' % (line, name)


# --- what is around them ----------------------------------------------------------------------------------------------


def _includes(unit: UnitText, ours: Callable[[str], str | None]) -> list[_Include]:
    """System headers that files of the project include, in order. The marker at a header's end says which line comes
    after the include: the one at its beginning does not say on which line it stands."""
    data, markers = unit.data, unit.markers
    found: list[_Include] = []
    stack: list[tuple[bytes, int, bytes]] = []  # (file, offset of the marker that entered the next, its name)
    current = b""
    names: dict[bytes, str] = {}

    def plain(name: bytes) -> str:
        if name not in names:
            names[name] = name.replace(b'\\"', b'"').replace(b"\\\\", b"\\").decode("utf-8", "surrogateescape")
        return names[name]

    rows = (markers[field].tolist() for field in ("start", "end", "name", "name_end", "line"))
    for start, end, name_start, name_end, line in zip(*rows, strict=True):
        name = data[name_start:name_end]
        flags = data[name_end + 1 : end].split()
        if _ENTERED in flags:
            stack.append((current, start if _SYSTEM in flags else -1, name))
        elif _LEFT in flags and stack:
            user, offset, header = stack.pop()
            if offset >= 0 and user == name and ours(plain(user)) is not None:
                found.append(_Include(offset, plain(user), line - 1, header))
        current = name
    return sorted(found, key=lambda include: include.offset)


def _include_line(
    unit: UnitText, include: _Include, ours: Callable[[str], str | None], raw: Callable[[str], bytes | None]
) -> bytes:
    """The directive as the user wrote it; the header's full name where that was not plain."""
    text = raw(ours(include.file) or "")
    lines = text.split(b"\n") if text is not None else []
    written = _INCLUDE.match(lines[include.line - 1]) if 0 < include.line <= len(lines) else None
    line = b"#include " + (written[1] if written else b'"' + include.header + b'"')
    around = [
        i
        for i in (unit.components["kind"] == Kind.LINKAGE).nonzero()[0].tolist()
        if unit.components["start"][i] < include.offset < unit.components["end"][i]
    ]
    return b'extern "C" {\n' + line + b"\n}\n" if around else line + b"\n"


def _macros(unit: UnitText, ours: Callable[[str], str | None], last: int) -> list[tuple[int, bytes]]:
    """The project's own directives before the last include: system headers ask for some."""
    found = []
    for start, end in _own_directives(unit, ours, (DEFINE, UNDEF)):
        if start < last:
            found.append((start, unit.data[start:end] + b"\n"))
    return found


def _pragmas(
    unit: UnitText, ours: Callable[[str], str | None], components: set[int], last: int
) -> list[tuple[int, bytes]]:
    """``#pragma pack`` and its like between components."""
    table = unit.components
    scope = [
        (int(row["start"]), int(row["end"]))
        for row in table[(table["parent"] < 0) & (table["kind"] != Kind.NAMESPACE) & (table["kind"] != Kind.LINKAGE)]
    ]
    found = []
    position = 0
    for start, end in _own_directives(unit, ours, (PRAGMA,)):
        while position < len(scope) and scope[position][1] <= start:
            position += 1
        inside = position < len(scope) and scope[position][0] < start
        line = unit.data[start:end]
        if start < last and not inside and not _ONCE.match(line):
            found.append((start, line + b"\n"))
    return found


def _own_directives(
    unit: UnitText, ours: Callable[[str], str | None], kinds: Sequence[int]
) -> Iterator[tuple[int, int]]:
    known: dict[int, bool] = {}
    rows = (unit.directives[field].tolist() for field in ("start", "end", "kind"))
    for start, end, kind in zip(*rows, strict=True):
        if kind not in kinds or unit.is_system(start):
            continue
        file, _ = unit.where(start)
        if file not in known:
            known[file] = file >= 0 and ours(unit.files[file]) is not None
        if known[file]:
            yield start, end


def _defined(unit: UnitText) -> set[bytes]:
    """Names of all macros that any file defines; the compiler's own cannot be in expanded text."""
    rows = unit.directives[unit.directives["kind"] == DEFINE]
    columns = rows["name"].tolist(), rows["name_end"].tolist()
    return {unit.data[start:end] for start, end in zip(*columns, strict=True)}


def _put_together(pieces: Sequence[tuple[int, bytes]], undefine: bytes) -> bytes:
    """Directives and components in order; before components that follow directives, names are no macros any more."""
    out: list[bytes] = []
    clean = False
    for _, text in pieces:
        is_directive = text.startswith((b"#define", b"#undef", b"#include", b'extern "C" {\n#include'))
        if is_directive:
            clean = False
        elif not clean and undefine:
            out.append(undefine)
            clean = True
        out.append(text)
    return b"".join(out)
