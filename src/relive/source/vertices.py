"""Reads the vertices of the dependency graph from a preprocessed unit: one `Form` for each file of the project in it.

Theory of operation. Line markers cut the text of the unit into stretches of files. What comes from system headers is
not looked at. For every other file a digest of its text here is taken first, and only a file whose text is new is read
further: in a project where a hundred headers are included by each of a hundred units, that is a hundredth of the work.

Preprocessed text has no macros in it any more, so who uses a macro is read from the source text of the same lines (a
superset: words in comments count). What is uncertain declares every word it holds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from relive.source.forms import (
    AMBIENT,
    ATTACHED,
    KEPT_VALUE,
    MACRO,
    UNSURE,
    VERTEX,
    Form,
    Lists,
    Run,
    name_hash,
    scope_hash,
)
from relive.source.model import Flag, Kind
from relive.source.places import (
    BODY_COUNTS,
    Place,
    Stretch,
    chosen_components,
    digest_of,
    inline_namespaces,
    open_path,
    scope_of,
    stretches_of,
)
from relive.source.unit import UnitText
from relive.source.words import Words, condition_words, read_words, source_words, tokens, without_declared

_VALUE_COUNTS = int(Flag.CONSTEXPR | Flag.UNCERTAIN | Flag.TEMPLATE)
# Plain integers: an operation with a Flag takes a microsecond.
_MEMBER, _QUALIFIED, _TEMPLATE = int(Flag.MEMBER), int(Flag.QUALIFIED), int(Flag.TEMPLATE)
_INSTANTIATION = int(Flag.INSTANTIATION)
_UNCERTAIN, _SPECIALISED = int(Flag.UNCERTAIN), int(Flag.SPECIALISED)
_FOUND_BY_ARGUMENT = frozenset(
    b"begin end cbegin cend rbegin rend swap iter_swap iter_move size ssize empty data get hash_value to_json from_json"
    b" to_string tag_invoke format_as AbslHashValue PrintTo advance distance make_error_code make_error_condition"
    b" operator_ get_deleter await_transform formatter".split()
)
_LITERAL = re.compile(rb'operator\s*""\s*(\w+)')
_USING = re.compile(rb"\busing\s+([A-Za-z_$][\w$]*)\s*(?:(?:\[\[|__attribute__).*?)?=[^=]", re.DOTALL)
_OPENING = (b"using", b"namespace"), (b"using", b"enum")
"""How something begins that lets names be used without their namespace."""
_SILENT = (b"using", b"namespace"), (b"static_assert", b"("), (b"_Static_assert", b"("), (b";",)
"""How something begins that has no name and declares none."""


@dataclass(frozen=True, slots=True)
class UnitForms:
    """What a unit shows of the project: runs in text order, and the forms that are new."""

    runs: tuple[Run, ...]
    forms: tuple[Form, ...]


def read_unit(
    unit: UnitText,
    *,
    ours: Callable[[str], str | None],
    raw: Callable[[str], bytes | None],
    stamp: Callable[[str], bytes],
    known: Callable[[bytes], bool] = lambda digest: False,
) -> UnitForms:
    """``ours``: the absolute path of a file as it is written in line markers, None for files of others; ``raw``: the
    text of a file by absolute path; ``stamp``: a digest of that text; ``known``: whether a form needs no reading."""
    stretches = stretches_of(unit, ours)
    by_file: dict[str, list[Stretch]] = {}
    for stretch in stretches:
        by_file.setdefault(stretch.file, []).append(stretch)
    digests = {file: digest_of(unit, file, stamp(file), parts) for file, parts in by_file.items()}
    macros, inline = _macro_names(unit, stretches), inline_namespaces(unit)
    forms = []
    for file, parts in by_file.items():
        if not known(digests[file]):
            here = [place for part in parts for place in part.places]
            forms.append(_Reader(unit, file, digests[file], here, raw(file), macros, inline).read())
    runs = tuple(Run(digests[s.file], s.first, len(s.places)) for s in stretches)
    return UnitForms(runs, tuple(forms))


def _macro_names(unit: UnitText, stretches: Sequence[Stretch]) -> frozenset[bytes]:
    names = set()
    for stretch in stretches:
        for place in stretch.places:
            if place.component < 0:
                names.add(_macro_name(unit.data[place.start : place.end]))
    return frozenset(names)


def _macro_name(line: bytes) -> bytes:
    word = line.split(None, 2)[1] if line.startswith(b"#define") else b""
    return word.split(b"(", 1)[0]


class _Reader:
    """Reads one form."""

    def __init__(
        self,
        unit: UnitText,
        file: str,
        digest: bytes,
        places: Sequence[Place],
        raw: bytes | None,
        macros: frozenset[bytes],
        inline: frozenset[bytes],
    ) -> None:
        self._unit = unit
        self._file = file
        self.digest_of = digest
        self._places = places
        self._raw = raw
        self._lines = raw.splitlines(keepends=True) if raw is not None else []
        self._macros = macros
        self._table = np.zeros(len(places), VERTEX)
        self._names: list[str] = []
        self._lists: dict[str, list[frozenset[int] | tuple[int, ...]]] = {
            name: [] for name in ("declares", "members", "uses", "body", "selects", "macros", "scopes", "returns")
        }
        self._ordinals: dict[tuple[int, str], int] = {}
        self._classes: dict[int, int] = {}  # component → row
        self._inline = inline

    def read(self) -> Form:
        _, holder = chosen_components(self._unit)
        for row, place in enumerate(self._places):
            if place.component < 0:
                self._macro(row, place)
            else:
                self._component(row, place, int(holder[place.component]))
        conditions = sorted(map(name_hash, condition_words(self._raw or b"")))
        return Form(
            self._file,
            self.digest_of,
            tuple(self._names),
            self._table,
            **{name: Lists.of(rows) for name, rows in self._lists.items()},
            conditions=np.array(conditions, np.uint64),
        )

    def _macro(self, row: int, place: Place) -> None:
        text = self._unit.data[place.start : place.end]
        name = _macro_name(text)
        rest = text.split(None, 1)[1][len(name) :]
        words = read_words(tokens(rest))
        _, line = self._unit.where(place.start)
        self._add(row, MACRO, name.decode("utf-8", "replace"), 0, 0, line, line, -1, words.digest, words.digest, ())
        both = words.names | words.selected
        self._fill(declares=(name_hash(name),), uses=words.names, macros=both, selects=words.selected)

    def _component(self, row: int, place: Place, holder: int) -> None:
        unit, component = self._unit, place.component
        at = unit.components[component]
        kind, flags = int(at["kind"]), int(at["flags"])
        shown, hidden = self._parts(row, at, kind, flags)
        shown_words, hidden_words = read_words(shown), read_words(hidden)
        content = read_words([*shown, b"\n", *hidden]).digest if hidden else shown_words.digest
        scope = scope_of(unit, component)
        path = open_path(scope, self._inline)
        name = b"::".join([*scope, self._own_name(at, holder, component)])
        owner = self._classes.get(holder, -1) if holder != component else -1
        if kind == Kind.CLASS:
            self._classes[component] = row
        declares, members = self._declared(component, at, kind, flags, owner, shown, shown_words)
        line, last_line = int(at["line"]), int(at["last_line"])
        role = self._role(at, kind, flags, shown)
        uses = shown_words.names
        if kind in (Kind.FUNCTION, Kind.DECLARATION, Kind.CLASS, Kind.ALIAS) and not flags & BODY_COUNTS:
            uses = read_words(without_declared(shown)).names | declares
        self._add(
            row,
            kind,
            name.decode("utf-8", "replace"),
            flags,
            role,
            line,
            last_line,
            owner,
            content,
            shown_words.digest,
            path,
        )
        self._fill(
            declares=declares,
            members=members,
            uses=uses,
            body=hidden_words.names - uses,
            selects=shown_words.selected | hidden_words.selected,
            macros=self._source_macros(line, last_line),
            returns=self._returned(at, kind, scope, shown_words) if role & ATTACHED else (),
            scopes=tuple(scope_hash(path[:depth]) for depth in range(len(path) + 1)),
        )

    def _parts(self, row: int, at: np.void, kind: int, flags: int) -> tuple[list[bytes], list[bytes]]:
        """Tokens of what others see, and of the rest."""
        data = self._unit.data
        start, end = int(at["start"]), int(at["end"])
        if kind == Kind.FUNCTION and at["body_end"] > at["body"] and not flags & BODY_COUNTS:
            return self._cut(start, end, [(int(at["strip"]), int(at["body_end"]))])
        if kind == Kind.CLASS:
            inside = []
            for other in itertools.takewhile(
                lambda other: other.start < end, itertools.islice(self._places, row + 1, None)
            ):
                if other.component >= 0:
                    member = self._unit.components[other.component]
                    inside.append((int(member["strip"]), int(member["body_end"])))
            shown, _ = self._cut(start, end, inside)
            return shown, []
        found = tokens(data[start:end])
        if kind == Kind.VARIABLE and not flags & _VALUE_COUNTS:
            return _without_value(found)
        return found, []

    def _cut(self, start: int, end: int, holes: Sequence[tuple[int, int]]) -> tuple[list[bytes], list[bytes]]:
        data = self._unit.data
        shown: list[bytes] = []
        hidden: list[bytes] = []
        for hole_start, hole_end in holes:
            shown += tokens(data[start:hole_start])
            hidden += tokens(data[hole_start:hole_end])
            start = hole_end
        return [*shown, *tokens(data[start:end])], hidden

    def _own_name(self, at: np.void, holder: int, component: int) -> bytes:
        data = self._unit.data
        name = b"".join(data[int(at["qualified"]) : int(at["qualified_end"])].split())
        if not name:
            found = _USING.search(self._unit.text(component)) if at["kind"] == Kind.ALIAS else None
            name = found[1] if found else b"(unnamed)"
        if holder != component and holder >= 0:
            outer = self._unit.components[holder]
            return data[int(outer["qualified"]) : int(outer["qualified_end"])] + b"::" + name
        return name

    def _declared(
        self, component: int, at: np.void, kind: int, flags: int, owner: int, shown: list[bytes], words: Words
    ) -> tuple[frozenset[int], frozenset[int]]:
        if flags & _UNCERTAIN:
            return words.names, frozenset()
        if owner >= 0 or (flags & _QUALIFIED and kind in (Kind.FUNCTION, Kind.VARIABLE)):
            return frozenset(), frozenset()
        names = {name_hash(name.rpartition(b"::")[2]) for name in self._unit.declared(component)}
        if kind == Kind.CLASS and flags & _TEMPLATE:
            names = {name_hash(self._unit.name(component))}  # and not T of `template <class T>`
        members: set[int] = set()
        self._inside(component, at, kind, shown, names, members)
        literal = _LITERAL.fullmatch(self._unit.name(component))
        if literal:
            names.add(name_hash(literal[1]))
        if not names and kind not in (Kind.ASM, Kind.CLASS) and not flags & _INSTANTIATION:
            found = _USING.search(self._unit.text(component))
            if found:
                names.add(name_hash(found[1]))
            elif not any(tuple(shown[: len(begin)]) == begin for begin in _SILENT):
                names |= words.names  # using declarations, structured bindings, what else there may be
        return frozenset(names), frozenset(members)

    def _inside(
        self, component: int, at: np.void, kind: int, shown: Sequence[bytes], names: set[int], members: set[int]
    ) -> None:
        """Members, and what reaches the outside from in there: of an anonymous union all of them, in C and in
        declarators (``typedef struct {...} x;``) inner structures and enumerators."""
        table, unit = self._unit.components, self._unit
        if kind not in (Kind.CLASS, Kind.ALIAS, Kind.VARIABLE) or not at["body"]:
            return
        if kind == Kind.CLASS and not unit.name(component):
            members = names
        inner = component + 1
        while inner < len(table) and table["start"][inner] < at["end"]:
            members.update(name_hash(name.rpartition(b"::")[2]) for name in unit.declared(inner))
            inner += 1
        if not unit.cplusplus or kind != Kind.CLASS:
            names.update(map(name_hash, _tags(shown)))
        if not unit.cplusplus:
            members.update(read_words(shown).names)

    def _role(self, at: np.void, kind: int, flags: int, shown: Sequence[bytes]) -> int:
        role = UNSURE if flags & _UNCERTAIN else 0
        name = self._unit.data[int(at["name"]) : int(at["name_end"])]
        free = kind in (Kind.FUNCTION, Kind.DECLARATION) and not flags & (_QUALIFIED | _MEMBER)
        unnamed = free and (name.startswith(b"operator") or name in _FOUND_BY_ARGUMENT)
        if unnamed or flags & _SPECIALISED:
            role |= ATTACHED
        if tuple(shown[:2]) in _OPENING or (kind == Kind.ALIAS and shown[:1] == [b"namespace"]):
            role |= AMBIENT
        return role

    def _returned(self, at: np.void, kind: int, scope: list[bytes], words: Words) -> frozenset[int]:
        """Names in what somebody gets who uses it: the type before the name of an operator. Who uses a specialisation
        names its template, or another one of the project that does; those of std are used by the library, too."""
        data = self._unit.data
        if kind == Kind.CLASS:
            of_library = data.startswith(b"std", int(at["qualified"])) or scope[:1] == [b"std"]
            return words.names if of_library else frozenset()
        head = tokens(data[int(at["start"]) : int(at["name"])])
        return words.names if b"auto" in head else read_words(head).names

    def _source_macros(self, line: int, last_line: int) -> frozenset[int]:
        """Macros named in these lines, and every name in their conditional directives."""
        text = b"".join(self._lines[max(0, line - 1) : last_line])
        found = source_words(text) & self._macros
        if b"#" in text:
            found |= condition_words(text)
        return frozenset(map(name_hash, found))

    def _add(
        self, row: int, kind: int, name: str, flags: int, role: int, line: int, last_line: int, owner: int,
        content: int, interface: int, path: tuple[bytes, ...],
    ) -> None:  # fmt: skip
        ordinal = self._ordinals.get((kind, name), 0)
        self._ordinals[kind, name] = ordinal + 1
        self._names.append(name)
        scope, space = scope_hash(path), name_hash(path[-1]) if path else 0
        self._table[row] = (kind, role, flags, line, last_line, ordinal, owner, content, interface, scope, space)

    def _fill(self, **lists: frozenset[int] | tuple[int, ...]) -> None:
        for name, rows in self._lists.items():
            rows.append(lists.get(name, ()))


def _without_value(found: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """A variable's declaration and its initialiser, where nobody else can know the value or the size from it."""
    for i, token in enumerate(found):
        if token in KEPT_VALUE or (token == b"[" and found[i + 1 : i + 2] == [b"]"]):
            break
        if token == b"=":
            return (found[:i], found[i:]) if b"," not in found[i:] else (found, [])
    return found, []


def _tags(found: Sequence[bytes]) -> set[bytes]:
    """Structures and enumerators that are defined somewhere in a declaration of C."""
    names: set[bytes] = set()
    for i, token in enumerate(found):
        if token not in (b"struct", b"union", b"enum"):
            continue
        body = i + 1 if found[i + 1 : i + 2] == [b"{"] else i + 2
        if found[body : body + 1] != [b"{"]:
            continue
        names.update(found[i + 1 : body])
        if token == b"enum":
            end = next((j for j in range(body, len(found)) if found[j] == b"}"), len(found))
            names.update(found[j] for j in range(body + 1, end) if found[j - 1] in (b"{", b","))
    return names
