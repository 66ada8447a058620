"""The fast way: of an edited unit, only the edited functions are compiled.

What must be true of a unit for that, and is kept here: we know the text of which each project file runs (`_running`),
we have the unit as the compiler sees it (`UnitText`, preprocessed in the background), and between the two lie only
edited function bodies. Three tiers, the best that is ready when the save comes:

    prefix    a precompiled skeleton of everything before the function, and the function
    includes  a precompiled skeleton of the headers, the stripped unit up to the function, and the function
    plain     the stripped unit up to the function, and the function: nothing is precompiled

Anything unusual is a `Doubt`, and the whole unit is compiled: the sure way. That is also what `unverified` units get in
idle time, to see whether the fast way told the truth.

Knows nothing of processes and linking: a `Plan` is sources in, and objects to be compared out."""

from __future__ import annotations

import os
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from relive.build.parts import extract_command, is_clang, is_pic, turns_warnings_into_errors
from relive.build.units import Unit
from relive.diff.partial import Doubt
from relive.host.compiler import CompilePool, Part
from relive.host.project import Project
from relive.host.skeletons import SkeletonStore
from relive.source.edit import BodyEdit, find_edits, makes_types
from relive.source.edit import Doubt as SourceDoubt
from relive.source.library import Scanner
from relive.source.model import PRAGMA, Flag, Kind
from relive.source.unit import UnitText

WARM_UNITS = 12
"""Units whose preprocessed text is kept; a heavy one has 5 MB."""
WARM_AT_START = 4
SHORT = 300
"""Bytes of a member function's body that stays in skeletons."""
REMEMBERED = 64 << 20
"""Bytes of source text that are read at the start, to know what an edit changed."""
_TELLTALE = frozenset(
    {b"__COUNTER__", b"__BASE_FILE__", b"__TIMESTAMP__", b"__DATE__", b"__TIME__", b"__INCLUDE_LEVEL__"}
)
_LINES = frozenset({b"__LINE__", b"__builtin_LINE", b"source_location"})
_WORD = re.compile(rb"[A-Za-z_]\w*")
_NUMBERS_TOO = re.compile(rb"\w+")
"""`F_##n` with 1 for n makes F_1."""
_ANONYMOUS = re.compile(rb"namespace\s*(?:__attribute__\s*\(\(.*?\)\)\s*)?\{")
_WHOLE_ONLY = ("--coverage", "-fprofile-", "-ftest-coverage", "-fmodules", "-fcoverage-mapping")
_PRAGMA = re.compile(
    rb"#\s*pragma\s+(?:(?:GCC|clang)\s+(?P<push>push_options)|(?:GCC|clang)\s+(?P<pop>pop_options)"
    rb"|(?P<sets>GCC\s+(?:optimize|target|reset_options)|clang\s+(?:optimize|attribute)|STDC|float_control"
    rb"|scalar_storage_order|fenv_access))"
)
_WARNING = re.compile(r"^(.+?):(\d+):(?:\d+:)? warning: (.*)$", re.MULTILINE)
_OF_PARTS = ("[-Wunused-function]", "[-Wredundant-decls]")
"""Warnings that are about the rest of the unit not being there."""
_INCLUDE = re.compile(rb"\s*#\s*(?:include|import|embed)")
_NO_ATTRIBUTE = (b"extern", b"template", b"[[", b"__attribute__", b"__extension__", b"asm")


End = tuple[int, bool]
"""Start of the component that a skeleton ends at; whether the skeleton has the bodies of templates."""


@dataclass(slots=True)
class Warm:
    """A unit as the compiler saw it, and the texts that it saw."""

    text: UnitText
    raw: dict[str, bytes]
    """Project files among its inputs, as they were then."""
    stamps: dict[str, tuple[int, int]]
    """All its inputs: (mtime in ns, size)."""
    keep: frozenset[int]
    """Components whose bodies stay in skeletons."""
    direct: bool
    """Whether the unit is compiled for a program: what it defines is certainly its own."""
    prologue: int
    """Offset of the first component of the unit's own file behind all its includes."""
    includes: str | None = None
    """Precompiled skeleton up to `prologue`."""
    prefixes: dict[End, str] = field(default_factory=dict)
    """Where a skeleton ends → the precompiled one."""

    def stripped(self, start: int, end: End) -> bytes:
        """The unit's text from `start` to an end, without the bodies that the rest does not need."""
        return self.text.stripped(start, end[0], self.keep, templates=end[1], direct=self.direct)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compiled of one unit in place of the unit."""

    unit: Unit
    tier: str
    part: Part | None
    """None: no function was edited, only what no function's code depends on but for its lines."""
    names: tuple[bytes, ...]
    """Plain names of the edited functions; b"" for one that has no usual name (an operator)."""
    end: End | None
    """Where the skeleton of the next edit should end."""
    files: dict[str, bytes]
    """The new text of the edited files."""
    lines_moved: bool
    shared: bool = False
    """Whether the function is an inline one that all units share."""
    lines: tuple[str, range] = ("", range(0))
    """The file, as diagnostics spell it, and the lines that are compiled."""

    def fails_the_build(self, diagnostics: str) -> bool:
        """Whether a compiler's words about the part would end the compilation of the whole unit."""
        if not turns_warnings_into_errors(self.unit.command.arguments):
            return False
        name, lines = self.lines
        found = (place.groups() for place in _WARNING.finditer(diagnostics))
        return any(file == name and int(line) in lines and not text.endswith(_OF_PARTS) for file, line, text in found)

    def is_edited(self, symbol: bytes) -> bool:
        """Whether a symbol belongs to an edited function: its name is part of it (Itanium ABI: length and name)."""
        for name in self.names:
            if not name or symbol == name or symbol.startswith(name + b"."):
                return True
            if symbol.startswith(b"_Z") and b"%d%s" % (len(name), name) in symbol:
                return True
            if not symbol.startswith(b"_Z") and self.unit.language == "c" and b"." in symbol:
                return True  # gcc numbers the statics of a C function: `n.0`
        return False


class FastWay:
    """See the module."""

    def __init__(
        self,
        project: Project,
        pool: CompilePool,
        store: SkeletonStore,
        scanner: Callable[[], Scanner],
        extra_flags: Sequence[str],
    ) -> None:
        """`scanner`: asked for once, when it is first needed (it may have to be compiled)."""
        self._project = project
        self._make_scanner = scanner
        self._scanner: Scanner | None = None
        self._pool = pool
        self._store = store
        self._extra = tuple(extra_flags)
        self._running: dict[str, bytes] = {}
        """Project file → the text of which the program runs."""
        self._commands: dict[str, tuple[str, ...]] = {}
        """Unit → the command by which what runs was compiled."""
        self._unsure: set[str] = set()
        """Units whose running state is not that of `_running`: edited before the start, undone, …"""
        self._warm: OrderedDict[str, Warm] = OrderedDict()
        self._wanted: OrderedDict[str, End | None] = OrderedDict()
        """Units to be warmed → where the next skeleton shall end, or None."""
        self._unreadable: set[str] = set()
        self.taken: Counter[str] = Counter()
        """Tier → how many units went that way; "unit" for the sure way."""
        self.reasons: Counter[str] = Counter()
        """Why units went the sure way."""

    # --- what runs -----------------------------------------------------------------------------------------------

    def remember(self, units: Sequence[Unit], stale: Iterable[Unit]) -> None:
        """Reads the project's files as they are at the start; `stale` units were edited after they were built."""
        self._unsure |= {unit.key for unit in stale}
        self._commands = {unit.key: tuple(unit.command.arguments) for unit in units}
        read = 0
        for path in (*(unit.source for unit in units), *sorted(self._project.inputs())):
            if path in self._running or read > REMEMBERED:
                continue
            text = _read(path)
            if text is not None:
                self._running[path] = text
                read += len(text)
        for unit in units[:WARM_AT_START]:
            self._wanted[unit.key] = None

    def settled(self, units: Iterable[Unit], files: Iterable[str], began_ns: int) -> None:
        """The sure way brought units up to date: what runs of `files` is what they held when compilers began."""
        for path in files:
            text = _read(path)
            if text is not None and _modified(path) < began_ns:
                self._running[path] = text
            else:
                self._running.pop(path, None)
        for unit in units:
            self.taken["unit"] += 1
            self._unsure.discard(unit.key)
            self._commands[unit.key] = tuple(unit.command.arguments)
            self._wanted.setdefault(unit.key, None)

    def applied(self, plans: Iterable[Plan]) -> None:
        """Fast reloads were applied: what runs is the new text."""
        for plan in plans:
            self.taken[plan.tier] += 1
            self._running.update(plan.files)
            self._wanted[plan.unit.key] = plan.end
            self._wanted.move_to_end(plan.unit.key)

    def is_current(self, unit: Unit) -> bool:
        """Whether the files of a unit are what runs."""
        inputs = self._project.inputs_of(unit.key)
        return all(_read(path) == text for path, text in self._running.items() if path in inputs)

    def doubt(self, keys: Iterable[str]) -> None:
        """What runs of these units is not what their sources say (undone, or verification found a difference)."""
        self._unsure |= set(keys)

    # --- a save --------------------------------------------------------------------------------------------------

    def plan(self, unit: Unit, files: Iterable[str], cancelled: Callable[[], bool]) -> Plan:
        """How to compile only what was edited of a unit. Raises Doubt."""
        if unit.optimised:
            raise Doubt("optimised: its functions are inlined into each other")
        if unit.language not in ("c", "c++"):
            raise Doubt(f"{os.path.basename(unit.source)} is neither C nor C++")
        if unit.command.arguments and any(word.startswith(_WHOLE_ONLY) for word in unit.command.arguments):
            raise Doubt("it is compiled for coverage or as a module")
        if self._commands.get(unit.key) != tuple(unit.command.arguments):
            raise Doubt("its command is another one")
        if unit.key in self._unsure:
            raise Doubt("what runs is not known from its source")
        files = [path for path in files if path in self._project.inputs_of(unit.key)]
        if len(files) != 1:
            raise Doubt("several files changed" if files else "its command changed")
        path = files[0]
        old, new = self._running.get(path), _read(path)
        if old is None or new is None:
            raise Doubt(f"{os.path.basename(path)} was not known before")
        if old == new:
            return Plan(unit, "nothing", None, (), None, {path: new}, lines_moved=False)
        warm = self._warm.get(unit.key)
        if warm is not None and warm.raw.get(path) == old and not self._moved(warm, path):
            is_new = False
            edits = _certain(find_edits(warm.text, _spelled(warm.text, unit, path), old, new))
        else:
            is_new = True
            fresh = self._read_unit(unit, cancelled, background=False)
            if any(text != (new if at == path else self._running.get(at)) for at, text in fresh.raw.items()):
                raise Doubt("other files changed meanwhile")
            self._replace(unit, warm, fresh)
            warm = fresh
            edits = _turned(_certain(find_edits(warm.text, _spelled(warm.text, unit, path), new, old)), new)
        if not edits:
            _, words = warm.text.macro_closure(_NUMBERS_TOO.findall(new), len(warm.text.data))
            if words & _LINES:
                raise Doubt("lines may have moved, and code below mentions its line")
            return Plan(unit, "nothing", None, (), None, {path: new}, lines_moved=True)
        return self._extract(unit, warm, path, edits, new, old, is_new)

    def _replace(self, unit: Unit, old: Warm | None, fresh: Warm) -> None:
        """Keeps a unit's newer text, and the skeletons of the older one whose text is the same."""
        if old is not None:
            data = old.text.data
            same = (end for end in old.prefixes if data[: end[0]] == fresh.text.data[: end[0]])
            fresh.prefixes = {end: old.prefixes[end] for end in same}
            if old.prologue == fresh.prologue and data[: old.prologue] == fresh.text.data[: fresh.prologue]:
                fresh.includes = old.includes
        self._warm[unit.key] = fresh
        self._warm.move_to_end(unit.key)
        while len(self._warm) > WARM_UNITS:
            self._warm.popitem(last=False)

    def _moved(self, warm: Warm, path: str) -> bool:
        """Whether an input other than the edited file is not what the text was made from."""
        return any(_stamp(other) != stamp for other, stamp in warm.stamps.items() if other != path)

    def _extract(
        self, unit: Unit, warm: Warm, path: str, edits: tuple[BodyEdit, ...], new: bytes, old: bytes, is_new: bool
    ) -> Plan:
        """`is_new`: whether `warm` was made from the new text."""
        text = warm.text
        if len(edits) > 1:
            raise Doubt("several functions changed")
        edit = edits[0]
        component = text.components[edit.component]
        flags = int(component["flags"])
        name = text.name(edit.component)
        shown = name.decode("utf-8", "replace")
        if flags & Flag.TEMPLATE:
            raise Doubt(f"{shown} is a template")
        if flags & Flag.UNCERTAIN:
            raise Doubt(f"{shown} could not be read with certainty")
        if flags & Flag.KEEP and not flags & Flag.KNR:
            raise Doubt(f"others depend on the body of {shown}")
        outer = text.outermost(edit.component)
        source, line, words = edit.text, edit.line, edit.words
        if outer != edit.component:
            source, line, words = _class_around(unit, text, outer, shown, new, old, is_new)
        start = int(text.components["start"][outer])
        macros, words = text.macro_closure(words, start)
        telltale = sorted(words & _TELLTALE)
        if telltale:
            raise Doubt(f"{shown} uses {telltale[0].decode()}")
        if _has_pragma_in_force(text, start):
            raise Doubt(f"a #pragma before {shown} changes how it is compiled")
        opening, closing = text.opening(outer), text.closing(outer)
        end = start, unit.language == "c++" and makes_types(source)
        skeleton, before, tier = self._skeleton(warm, end)
        attribute = _used(flags, opening, source) if outer == edit.component else b""
        extra = self._extra if outer == edit.component else (*self._extra, "-fkeep-inline-functions")
        file = os.fsencode(_spelled(text, unit, path))
        lines = source.count(b"\n")
        source = b"".join(
            (
                before, b"\n", macros, b'\n# 1 "<relive>"\n', opening, b"\n", attribute, b"\n",
                b'# %d "%s"\n' % (line, file), source, b"\n# 1 \"<relive>\"\n", closing, b"\n",
            )
        )  # fmt: skip

        def build(source_path: str, output: str, _depfile: str) -> tuple[str, ...]:
            arguments, directory = unit.command.arguments, unit.command.directory
            return extract_command(
                arguments, directory, unit.source, unit.language, text=source_path, output=output, skeleton=skeleton,
                extra=extra,
            )  # fmt: skip

        return Plan(
            unit, tier, Part(unit, build, source), (_plain(name),), end, {path: new},
            new.count(b"\n") != old.count(b"\n"), shared=_is_shared(unit, flags, opening, outer != edit.component),
            lines=(os.fsdecode(file), range(line, line + lines)),
        )  # fmt: skip

    def _skeleton(self, warm: Warm, end: End) -> tuple[str | None, bytes, str]:
        """(precompiled skeleton, text between it and the function, tier)"""
        prefix = warm.prefixes.get(end)
        if prefix is not None and os.path.exists(prefix):
            return prefix, b"", "prefix"
        text, (start, templates) = warm.text, end
        closing = _closing_at(text, start)
        if warm.includes is not None and not templates and start >= warm.prologue and os.path.exists(warm.includes):
            return warm.includes, warm.stripped(warm.prologue, (start, False)) + closing, "includes"
        return None, warm.stripped(0, end) + closing, "plain"

    # --- idle time -----------------------------------------------------------------------------------------------

    def idle(self, cancelled: Callable[[], bool]) -> bool:
        """One slice of warming: the unit of the last save first. False when nothing is left to do."""
        while self._wanted:
            key, end = next(reversed(self._wanted.items()))
            unit = self._project.units.get(key)
            if unit is None or unit.optimised or key in self._unsure or key in self._unreadable:
                del self._wanted[key]
                continue
            try:
                if self._warm_up(unit, end, cancelled):
                    return True
            except Doubt:
                self._unreadable.add(key)
            del self._wanted[key]
        return False

    @property
    def waiting(self) -> int:
        """Units that have idle work left."""
        return len(self._wanted)

    def is_warm(self, key: str) -> bool:
        """Whether the next save in a unit finds a skeleton."""
        warm = self._warm.get(key)
        return warm is not None and (warm.includes is not None or bool(warm.prefixes))

    def _warm_up(self, unit: Unit, end: End | None, cancelled: Callable[[], bool]) -> bool:
        """One step; False when the unit is as warm as it can be."""
        warm = self._warm.get(unit.key)
        if warm is None or any(self._running.get(path) != text for path, text in warm.raw.items()):
            fresh = self._read_unit(unit, cancelled, background=True)
            if any(self._running.get(path) != text for path, text in fresh.raw.items()):
                return False  # edited, and not applied yet: that save will ask again
            self._replace(unit, warm, fresh)
            return True
        if end is not None and end not in warm.prefixes and _at(warm.text, end[0]) is not None:
            header = self._make(unit, warm, end, cancelled)
            if header is not None:
                warm.prefixes[end] = header
                return True
        if warm.includes is None and warm.prologue:
            warm.includes = self._make(unit, warm, (warm.prologue, False), cancelled)
            return warm.includes is not None
        return False

    def _make(self, unit: Unit, warm: Warm, end: End, cancelled: Callable[[], bool]) -> str | None:
        skeleton = warm.stripped(0, end) + _closing_at(warm.text, end[0])
        key = self._store.key(unit, skeleton)
        return self._store.find(unit, key) or self._store.make(unit, key, skeleton, cancelled=cancelled)

    def _read_unit(self, unit: Unit, cancelled: Callable[[], bool], *, background: bool) -> Warm:
        """Preprocesses and scans a unit; the texts that it saw are those that were there before and after."""
        inputs = sorted(self._project.inputs_of(unit.key))
        before = {path: _stamp(path) for path in inputs}
        raw = {path: content for path in inputs if path in self._running and (content := _read(path)) is not None}
        done = self._pool.preprocess(unit, cancelled=cancelled, background=background)
        if not done.ok:
            raise Doubt("the preprocessor failed")
        if any(_stamp(path) != stamp for path, stamp in before.items()):
            raise Doubt("its files changed meanwhile")
        if self._scanner is None:
            self._scanner = self._make_scanner()
        text = self._scanner.parse(done.object, unit.source, cplusplus=unit.language == "c++")
        text.prepare()
        direct = not is_pic(unit.command.arguments)
        return Warm(text, raw, before, _short_members(text), direct, _prologue(text, unit))

    def status(self) -> dict[str, object]:
        """For `relive status`: how often each way was taken, and why not the fast one."""
        return {
            "taken": dict(self.taken), "whole_because": dict(self.reasons.most_common(10)),
            "warm": [os.path.basename(self._project.units[k].source) for k in self._warm if self.is_warm(k)],
        }  # fmt: skip


def _certain(found: tuple[BodyEdit, ...] | SourceDoubt) -> tuple[BodyEdit, ...]:
    if isinstance(found, SourceDoubt):
        raise Doubt(found.reason)
    return found


def _class_around(
    unit: Unit, text: UnitText, outer: int, shown: str, new: bytes, old: bytes, is_new: bool
) -> tuple[bytes, int, frozenset[bytes]]:
    """(raw text of the class that a function is defined in, its first line, its words)"""
    row = text.components[outer]
    if is_clang(unit.command.arguments):
        raise Doubt(f"{shown} is defined inside its class")  # nothing makes clang emit it
    if int(row["kind"]) != Kind.CLASS or int(row["flags"]) & (Flag.TEMPLATE | Flag.UNCERTAIN):
        raise Doubt(f"{shown} is defined inside of something that is no plain class")
    first, last = int(row["line"]), int(row["last_line"])
    if not is_new:
        last += new.count(b"\n") - old.count(b"\n")
    lines = new.splitlines(keepends=True)[first - 1 : last]
    if any(_INCLUDE.match(line) for line in lines):
        raise Doubt(f"the class of {shown} includes a file")
    source = b"".join(lines)
    shared = text.components[(text.components["file"] == row["file"]) & (text.components["parent"] == row["parent"])]
    if np.count_nonzero((shared["line"] <= row["last_line"]) & (shared["last_line"] >= row["line"])) != 1:
        raise Doubt(f"the class of {shown} shares a line with something else")
    return source, first, frozenset(_NUMBERS_TOO.findall(source))


def _turned(edits: tuple[BodyEdit, ...], new: bytes) -> tuple[BodyEdit, ...]:
    """Edits that were found from the new text to the old one, as edits of the old one."""
    lines = new.splitlines(keepends=True)
    turned = []
    for edit in edits:
        text = b"".join(lines[edit.old_line - 1 : edit.old_last])
        words = frozenset(_NUMBERS_TOO.findall(text))
        turned.append(BodyEdit(edit.component, text, edit.old_line, edit.line, edit.line, words))
    return tuple(turned)


def _spelled(text: UnitText, unit: Unit, path: str) -> str:
    """A file as the line markers of a unit spell it."""
    for name in text.files:
        if os.path.normpath(os.path.join(unit.command.directory, name)) == path:
            return name
    raise Doubt(f"{os.path.basename(path)} is not part of what the compiler sees")


def _prologue(text: UnitText, unit: Unit) -> int:
    """Where the unit's own code begins: behind the last headers that most of its functions come after."""
    own = {
        index
        for index, name in enumerate(text.files)
        if os.path.normpath(os.path.join(unit.command.directory, name)) == unit.source
    }
    rows = text.components
    top = [i for i in range(len(rows)) if _at_file_scope(text, i)]
    mine = [int(rows["file"][i]) in own for i in top]
    functions = sum(mine)
    seen = 0
    best = 0
    for position, is_mine in enumerate(mine):
        if is_mine and (position == 0 or not mine[position - 1]) and 2 * (functions - seen) >= functions:
            best = int(rows["start"][top[position]])
        seen += is_mine
    return best


def _short_members(text: UnitText) -> frozenset[int]:
    """Short functions inside of the project's classes. With their bodies a compiler knows that they throw nothing, as
    it does in the whole unit, and code that calls them needs no clean-up for it."""
    rows = text.components
    flags, size = rows["flags"], rows["body_end"].astype(np.int64) - rows["body"]
    wanted = (rows["kind"] == Kind.FUNCTION) & (flags & Flag.MEMBER != 0) & (size > 0) & (size <= SHORT)
    wanted &= flags & (Flag.TEMPLATE | Flag.SYSTEM | Flag.UNCERTAIN) == 0
    template = (rows["kind"] == Kind.CLASS) & (flags & Flag.TEMPLATE != 0)
    inside = (rows["parent"] >= 0) & template[rows["parent"]]
    return frozenset(np.flatnonzero(wanted & ~inside).tolist())


def _at_file_scope(text: UnitText, index: int) -> bool:
    return int(text.components["parent"][index]) < 0


def _at(text: UnitText, start: int) -> int | None:
    """The component that begins at an offset; of several the outermost."""
    index = int(np.searchsorted(text.components["start"], start))
    if index < len(text.components) and int(text.components["start"][index]) == start:
        return index
    return None


def _closing_at(text: UnitText, start: int) -> bytes:
    index = _at(text, start)
    assert index is not None, "skeletons end where a component begins"
    return b"\n" + text.closing(index) + b"\n"


def _used(flags: int, opening: bytes, source: bytes) -> bytes:
    """An attribute for functions that a compiler would leave out because nothing in the extract calls them."""
    hidden = flags & (Flag.STATIC | Flag.INLINE | Flag.QUALIFIED) or _ANONYMOUS.search(opening)
    if not hidden or source.lstrip().startswith(_NO_ATTRIBUTE):
        return b""
    return b"__attribute__((used))"


def _has_pragma_in_force(text: UnitText, start: int) -> bool:
    """Whether a pragma before a place still has a say in how code is compiled there: precompiled headers forget it."""
    rows = text.directives
    rows = rows[(rows["kind"] == PRAGMA) & (rows["start"] < start)]
    depth = 0
    for first, last in zip(rows["start"].tolist(), rows["end"].tolist(), strict=True):
        found = _PRAGMA.match(text.data, first, last)
        if found is None:
            continue
        depth += bool(found["push"]) - bool(found["pop"])
        if found["sets"] and not depth:
            return True
    return depth > 0


def _is_shared(unit: Unit, flags: int, opening: bytes, in_class: bool) -> bool:
    """Whether every unit's copy of a function is the same one (C++'s inline functions with external linkage)."""
    if unit.language != "c++" or _ANONYMOUS.search(opening):
        return False
    return in_class or (bool(flags & Flag.INLINE) and not flags & Flag.STATIC)


def _plain(name: bytes) -> bytes:
    """The name as it is part of mangled names; b"" for operators."""
    name = name.removeprefix(b"~").strip()
    return name if _WORD.fullmatch(name) and name != b"operator" else b""


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, -1
    return status.st_mtime_ns, status.st_size


def _modified(path: str) -> int:
    return _stamp(path)[0]
