"""Body edits that nobody chose: a statement into randomly drawn functions of a running program, each taken out again.

A function is drawn among those that the executable really has (debug information says file and line), so macros,
templates, K&R definitions and functions at -O2 come as often as the program has them. Where its body begins is read
from the source and held against the line table: what was opened by a macro elsewhere is no place for an edit and is
counted as such. The statements are valid as the first of any body, in C and C++, without a declaration of anything
outside, and each is other code even at -O2.

The same seed draws the same edits from the same executable."""

from __future__ import annotations

import json
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from relive.dwarf import FLAGS, SOURCES
from relive.dwarf.model import FunctionRecord
from relive.dwarf.reader import DebugInfo, Reader
from relive.host.native import compile_native
from relive.session.paths import cache_dir
from tests.programs.driver import Event, Live
from tests.programs.fetch import Tree

UNITS = frozenset({".c", ".cc", ".cpp", ".cxx"})

STATEMENTS = (
    # A new local: the frame grows, debug information gets a variable.
    "volatile int relive_probe_@ __attribute__((unused)) = @;",
    # A branch that is never taken.
    "if (__builtin_expect(__builtin_frame_address(0) == (void *)@, 0)) __builtin_trap();",
    # A new string and a call into a library, by a name that the unit may never have used.
    'if (__builtin_expect(__builtin_frame_address(0) == (void *)@, 0)) __builtin_puts("relive @");',
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement can be put into a function."""

    function: str
    file: str
    """Relative to the tree."""
    line: int
    offset: int
    """In the file's text, right behind the `{` of the body."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One edit: how its reload ended, and how that of taking it out again did."""

    place: Place
    statement: int
    status: str
    way: str
    """`functions` (fast) or `unit` (sure)."""
    total_ms: float
    compile_ms: float
    functions: tuple[str, ...]
    why: str
    """What relive says of a reload that was not fast, and of one whose verification found something; the compiler's
    words or the refusal where it failed."""
    verdict: str
    """What the verification in idle time found of the edit and of taking it out: the worse of `VERDICTS`."""
    back: str
    """The reload of the restored text: status and way."""
    back_ms: float

    @property
    def is_fast(self) -> bool:
        return self.status == "applied" and self.way == "functions"


# --- places ---------------------------------------------------------------------------------------------------------


def places(tree: Tree, where: Literal["sources", "headers"] = "sources") -> tuple[list[Place], Counter[str]]:
    """All functions of the executable that can be edited, in the program's own source files (``sources``) or in its
    headers; and how many cannot, by reason."""
    reader = Reader(compile_native("dwarf", SOURCES, flags=FLAGS, cache=cache_dir()))
    info = reader.read(tree.executable.read_bytes())
    try:
        return _places(tree, info, where)
    finally:
        info.close()


def _places(tree: Tree, info: DebugInfo, where: str) -> tuple[list[Place], Counter[str]]:
    # One definition, several functions: instances of a template, C1 and C2 of a constructor.
    lines: dict[tuple[str, int], dict[str, FunctionRecord]] = {}
    for function in info.functions:
        path = Path(function.file)
        if function.is_artificial or function.is_lambda or not path.is_relative_to(tree.root):
            continue
        is_generated = path.is_relative_to(tree.build_dir) and tree.build_dir != tree.root
        if is_generated or (path.suffix in UNITS) != (where == "sources"):
            continue
        named = lines.setdefault((function.file, function.line), {})
        named.setdefault(_plain(function.name), function)
    found: list[Place] = []
    unfit: Counter[str] = Counter()
    texts: dict[str, str] = {}
    for (file, line), named in sorted(lines.items()):
        (name, function), *others = named.items()
        if others:
            unfit["several functions in one line"] += len(named)
            continue
        if file not in texts:
            texts[file] = read_text(Path(file)) if Path(file).exists() else ""
        body = _body(texts[file], line, is_c=file.endswith(".c"))
        if body is None or not _is_body_of(info, function, texts[file], *body):
            unfit["no body at that place (made by a macro)"] += 1
            continue
        found.append(Place(name, str(Path(file).relative_to(tree.root)), line, body[0] + 1))
    return found, unfit


def read_text(path: Path) -> str:
    """As `Tree.write` takes it; ends of lines stay as they are."""
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _plain(name: str) -> str:
    """Without the arguments of templates."""
    while (shorter := re.sub(r"(?<!operator)<[^<>]*>", "", name)) != name:
        name = shorter
    return name


_TOKEN = re.compile(
    r"""
    //(?:[^\\\n]|\\[\s\S])* | /\*[\s\S]*?\*/ | ^[ \t]*\#(?:[^\\\n]|\\[\s\S])*
    | (?:u8|[uUL])?R"(?P<end>[^\s()\\]{0,16})\([\s\S]*?\)(?P=end)" | "(?:[^"\\\n]|\\[\s\S])*" | '(?:[^'\\\n]|\\[\s\S])+'
    | (?P<code> \.?\d(?:'?[\w.])* | \w+ | :: | \S)
    """,
    re.M | re.X,
)


def _body(text: str, line: int, *, is_c: bool) -> tuple[int, int] | None:
    """The offsets of the braces around the body of the function that is declared in ``line``."""
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
    depth = 0
    has_parameters = in_initialisers = False
    before = ""
    tokens = _tokens(text, start)
    for at, word in tokens:
        if word in ("(", "["):
            depth += 1
        elif word in (")", "]"):
            depth -= 1
            has_parameters |= depth == 0
        elif depth == 0:
            if word in ("}", "try") or (word == ";" and not (is_c and has_parameters)):
                return None
            if word == ":" and has_parameters:
                in_initialisers = True
            elif word == "{":
                close = _closing(tokens)
                if not has_parameters or close is None:
                    return None
                if not (in_initialisers and before not in (")", "}")):
                    return at, close
                word = "}"  # a member initialised with braces
        before = word
    return None


def _tokens(text: str, start: int) -> Iterator[tuple[int, str]]:
    return ((token.start("code"), token["code"]) for token in _TOKEN.finditer(text, start) if token["code"])


def _closing(tokens: Iterator[tuple[int, str]]) -> int | None:
    depth = 1
    for at, word in tokens:
        depth += (word == "{") - (word == "}")
        if depth == 0:
            return at
    return None


def _is_body_of(info: DebugInfo, function: FunctionRecord, text: str, opening: int, closing: int) -> bool:
    """Whether the line table agrees: the function is entered at or above the brace, and has code between the two."""
    address = function.location.value
    rows = [row.line for row in info.lines_between(address, address + function.size) if row.file == function.file]
    first, last = text.count("\n", 0, opening) + 1, text.count("\n", 0, closing) + 1
    return bool(rows) and function.line - 10 <= rows[0] <= first and any(first <= row <= last for row in rows)


# --- edits ----------------------------------------------------------------------------------------------------------


def random_edits(
    session: Live,
    found: Sequence[Place],
    count: int,
    *,
    seed: int = 1,
    tell: Callable[[str], object] = lambda line: None,
) -> list[Outcome]:
    """Edits ``count`` functions of ``found`` one after the other. Differences and fall-backs are for the caller to
    judge; only a program or a relive that is gone raises."""
    outcomes = []
    for number, place in enumerate(random.Random(seed).sample(found, len(found))[:count], 1):
        chance = random.Random(f"{seed} {number}")  # a shorter run is the beginning of a longer one
        which = chance.randrange(len(STATEMENTS))
        outcome = _edit(session, place, which, 100 + number, own_line=chance.random() < 0.5)
        outcomes.append(outcome)
        tell(f"{number:3} {_told(outcome)}")
    return outcomes


def _edit(session: Live, place: Place, which: int, number: int, *, own_line: bool) -> Outcome:
    tree = session.tree
    text = read_text(tree.root / place.file)
    statement = STATEMENTS[which].replace("@", str(number))
    space = "\n    " if own_line else " "
    session.catch_up()
    tree.write(place.file, text[: place.offset] + space + statement + text[place.offset :])
    event = session.settled([place.file])
    why = "" if _is_fast(event) else _why(session, event)
    verdict = verified(session, event)
    why = "; ".join([*filter(None, [why]), *_notices(session, event)])
    session.catch_up()
    tree.restore(place.file)
    back = session.settled([place.file])
    return Outcome(
        place=place,
        statement=which,
        status=event["status"],
        way=event["compiled"],
        total_ms=event["timings_ms"]["total"],
        compile_ms=event["timings_ms"]["compile"],
        functions=tuple(event["functions"]),
        why=why,
        verdict=worst(verdict, verified(session, back)),
        back=f"{back['status']} {back['compiled']}",
        back_ms=back["timings_ms"]["total"],
    )


def _notices(session: Live, event: Event) -> list[str]:
    news = session.events[session.events.index(event) + 1 :]
    return [str(event["message"]) for event in news if event["event"] == "notice"]


def _is_fast(event: Event) -> bool:
    return bool(event["compiled"] == "functions" and event["status"] == "applied")


def _why(session: Live, event: Event) -> str:
    if event["status"] == "failed":
        return str(event["message"])[:500]
    if event["refusals"]:
        return "; ".join(f"{refusal['code']}: {refusal['subject']}" for refusal in event["refusals"])
    told = session.relive("explain").stdout
    lines = [line.strip() for line in told.splitlines() if "whole" in line or "fast" in line or "sure way" in line]
    return "; ".join(lines)


# --- verification ---------------------------------------------------------------------------------------------------

VERDICTS = ("", "same", "moved", "unknown", "differs")
"""Nothing to verify; the same code; other lines in other functions (`assert`), brought up to date; not verified."""


def worst(*verdicts: str) -> str:
    return max(verdicts, key=VERDICTS.index)


def verified(session: Live, reload: Event, patience: float = 120.0) -> str:
    """Waits until nothing is left to verify, and gives what the whole unit said of a fast reload that was just made."""
    quiet(session)
    if not _is_fast(reload):
        return ""
    deadline = time.monotonic() + patience
    while left := unverified(session):
        if time.monotonic() > deadline:
            break
        time.sleep(0.3)
    session.catch_up()
    if any(message.startswith("fast way differs") for message in _notices(session, reload)):
        return "differs"
    if left is None or left:
        return "unknown"
    news = session.events[session.events.index(reload) + 1 :]
    return "moved" if any(event["event"] == "reload" for event in news) else "same"


def unverified(session: Live) -> int | None:
    """How many units have functions that were compiled alone and not compared with the whole yet; None: not told."""
    done = session.relive("status", "--json")
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout).get("unverified")
    return None if left is None else int(left)


def quiet(session: Live, calm: float = 0.7) -> None:
    """Waits until relive has had no compiler at work, and little to do itself, for a while: skeletons are made, what
    was compiled the fast way is verified."""
    host, program = session.process.pid, session.ready["pid"]
    since, spent = time.monotonic(), _ticks(host)
    while time.monotonic() - since < calm and not session.ended:
        if _ticks(host) - spent > 10 or any(child != program for child in _children(host)):
            since, spent = time.monotonic(), _ticks(host)
        time.sleep(0.03)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # threads end
            found += map(int, (task / "children").read_text().split())
    return found


def _ticks(pid: int) -> int:
    """Processor time of a process, in hundredths of a second."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


# --- tables ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summary:
    """What many edits of one program came to."""

    outcomes: Sequence[Outcome]

    @property
    def fast(self) -> float:
        """Part of the edits that took the fast way."""
        return sum(o.is_fast for o in self.outcomes) / len(self.outcomes)

    @property
    def failed(self) -> list[Outcome]:
        """Edits that did not become running code, there or back."""
        return [o for o in self.outcomes if o.status != "applied" or not o.back.startswith("applied ")]

    @property
    def different(self) -> list[Outcome]:
        return [o for o in self.outcomes if o.verdict == "differs"]

    @property
    def unverified(self) -> list[Outcome]:
        return [o for o in self.outcomes if o.verdict == "unknown" or (o.is_fast and not o.verdict)]

    def reasons(self) -> Counter[str]:
        """Why edits were not fast."""
        return Counter(o.why or "?" for o in self.outcomes if not o.is_fast)

    def times(self, *, fast: bool) -> str:
        """Median and 90th percentile of save → live, ms."""
        values = sorted(o.total_ms for o in self.outcomes if o.status == "applied" and o.is_fast == fast)
        if not values:
            return "–"
        return f"{statistics.median(values):.0f} / {values[(len(values) * 9) // 10]:.0f}"

    def story(self) -> str:
        """All edits, a line each, for a failing test."""
        return "\n".join(map(_told, self.outcomes))


def _told(outcome: Outcome) -> str:
    place = f"{outcome.place.file}:{outcome.place.line} {outcome.place.function}"
    times = (
        f"{outcome.total_ms:.0f} ms (compile {outcome.compile_ms:.0f}), back {outcome.back} {outcome.back_ms:.0f} ms"
    )
    return (
        f"{outcome.status} {outcome.way} {outcome.verdict} {place} [{outcome.statement}] {times} {outcome.why}".rstrip()
    )


def files_of(outcomes: Iterable[Outcome]) -> list[str]:
    """The edited files, each once."""
    return list(dict.fromkeys(outcome.place.file for outcome in outcomes))
