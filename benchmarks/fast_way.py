"""Only what the edit needs: save → live with the fast way and with the sure way, beside the compiler and the program's
own build, all in one run.

A session is started, its background work is let finish (a programmer reads for a minute first), and one function body
after the other is edited: in a unit that nobody touched before (cold); another one there for the first time; that one
again and again; then further ones of the unit once each. After each edit the background work may finish again: people
pause longer than that. "live" is when the `reload` event is there, which is written after the switch; the clock starts
before the file is written. Then the same edits with `RELIVE_FAST_PATH=0`, the unit's own compile command alone, and the
program's own build of one edit. Medians.

The last table counts rather than times: 50 random edits of each real program (tests/programs/random_edits.py)."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.programs.driver import Event, Live, live
from tests.programs.fetch import Tree, checkout
from tests.programs.random_edits import Place, Summary, places, quiet, random_edits, read_text
from tests.programs.test_openttd import openttd
from tests.programs.test_random_edits import CPP, PROGRAMS
from tests.programs.test_redis import redis

from benchmarks import page
from benchmarks.generate import HEAVY, methods, project
from benchmarks.save_to_live import _command, _timed

ROUNDS = 9
OTHERS = 7
BASE_ROUNDS = 7
EDITS = int(os.environ.get("RELIVE_BENCH_EDITS", "50"))

OPENTTD_UNITS = (
    *("src/station_cmd.cpp", "src/newgrf.cpp", "src/train_cmd.cpp", "src/town_cmd.cpp"),
    *("src/window.cpp", "src/network/network_server.cpp"),
)

Start = Callable[[Tree, Path], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Body:
    """The body that is edited again and again, and others of its unit, each edited once."""

    again: Place
    others: Sequence[Place]


@dataclass(frozen=True, slots=True)
class Series:
    """Milliseconds of reloads from outside, and how many were fast."""

    times: list[float]
    events: list[Event]

    @property
    def fast(self) -> str:
        return f"{sum(e['compiled'] == 'functions' for e in self.events)}/{len(self.events)}"

    @property
    def median(self) -> float:
        return page.median(self.times)

    def step(self, name: str) -> float:
        return page.median(event["timings_ms"][name] for event in self.events)


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="relive-bench-") as name:
        folder = Path(name)
        page.write("The fast way: one function body", _bodies(folder))
        page.write("The fast way: an inline function in a header", _headers(folder))
        page.write("The fast way: random edits of real programs", _random(folder))


# --- one body -------------------------------------------------------------------------------------------------------

HEAD = (
    *(
        "program",
        "unit",
        "cold unit",
        "warm unit, first",
        "**same function**",
        "of it compile",
        "other functions",
        "fast",
        "sure way",
    ),
    *("unit's compiler alone", "own build", "compiler ÷ same"),
)


def _bodies(folder: Path) -> str:
    rows = []
    tree = project(folder / "methods", "methods", methods())
    rows.append(_row(tree, "1000 methods", "work.cpp", _plain_start, folder, ("Work::method500", r"Work::method\d+")))
    with checkout("redis") as tree:
        rows.append(_row(tree, "redis", "src/server.c", redis, folder, ("pingCommand", ".*")))
    with checkout("openttd") as tree:
        rows += [_row(tree, "openttd", unit, openttd, folder, ("", ".*")) for unit in OPENTTD_UNITS]
    return page.table(HEAD, rows) + (
        f"\n\nMilliseconds, medians: {ROUNDS} edits of the same function, {OTHERS} of other functions of its unit, "
        f"{BASE_ROUNDS} of the sure way, the compiler, and the program's own build. Asked: 1000 methods ≤ 150 first, "
        "≤ 100 again, ≥ 25 ×; redis ≤ 60; openttd ≤ 350 and ≥ 12 ×."
    )


@contextmanager
def _plain_start(tree: Tree, folder: Path) -> Iterator[Live]:
    with live(tree, [str(tree.executable)], folder) as session:
        yield session


def _row(tree: Tree, program: str, file: str, start: Start, folder: Path, names: tuple[str, str]) -> list[str]:
    body = _choose(tree, file, *names)
    with _session(tree, start, folder) as session:
        cold = _edits(session, body.others[:1])
        _restore(session, file)
        first = _edits(session, [body.again])
        again = _edits(session, [body.again] * ROUNDS)
        _restore(session, file)
        others = _edits(session, body.others)
    with _session(tree, start, folder, fast=False) as session:
        sure = _edits(session, [body.again] * BASE_ROUNDS)
    unit = _command(tree, file)
    assert unit is not None
    alone = page.median(_timed(unit) for _ in range(BASE_ROUNDS))
    own = _own_build(tree, body.again)
    row = [
        *(
            program,
            file,
            f"{cold.median:.0f}",
            f"{first.median:.0f}",
            f"**{again.median:.0f}**",
            f"{again.step('compile'):.0f}",
        ),
        *(
            f"{others.median:.0f}",
            " ".join(series.fast for series in (cold, first, again, others)),
            f"{sure.median:.0f}",
        ),
        *(f"{alone:.0f}", f"{own:.0f}", f"{alone / again.median:.1f} ×"),
    ]
    print(row, flush=True)
    return row


def _choose(tree: Tree, file: str, wanted: str, pattern: str) -> Body:
    """Functions spread over the unit; the same ones each time."""
    mine = [p for p in places(tree)[0] if p.file == file and re.fullmatch(pattern, p.function)]
    assert len(mine) > OTHERS, f"{file} of {tree.recipe.name}: {len(mine)} functions to edit"
    again = next((p for p in mine if p.function == wanted), mine[len(mine) // 2])
    rest = [p for p in mine if p is not again]
    return Body(again, rest[:: len(rest) // OTHERS][:OTHERS])


@contextmanager
def _session(tree: Tree, start: Start, folder: Path, *, fast: bool = True) -> Iterator[Live]:
    """A session whose background work is done."""
    before = os.environ.get("RELIVE_FAST_PATH")
    os.environ["RELIVE_FAST_PATH"] = "1" if fast else "0"
    try:
        with start(tree, Path(tempfile.mkdtemp(dir=folder))) as server:
            session = server if isinstance(server, Live) else server.live
            quiet(session)
            yield session
    finally:
        os.environ.pop("RELIVE_FAST_PATH")
        if before is not None:
            os.environ["RELIVE_FAST_PATH"] = before


def _edits(session: Live, where: Sequence[Place]) -> Series:
    """Edits each place in turn; places of other functions are restored with the next edit of theirs."""
    tree = session.tree
    times, events = [], []
    for number, place in enumerate(where, 1):
        kept = tree.originals / place.file
        text = read_text(kept if kept.exists() else tree.root / place.file)
        statement = f" volatile int relive_probe __attribute__((unused)) = {100 * len(where) + number};"
        text = text[: place.offset] + statement + text[place.offset :]
        time_ms, event = _timed_save(session, place.file, text)
        if event["status"] != "applied":
            raise RuntimeError(f"{place}: {event['status']}: {event}")
        times.append(time_ms)
        events.append(event)
        quiet(session)
        if number < len(where) and where[number] != place:
            # An edit is one function: what the last one left is taken out first.
            _timed_save(session, place.file, read_text(kept))
            quiet(session)
    return Series(times, events)


def _restore(session: Live, file: str) -> None:
    session.catch_up()
    session.tree.restore(file)
    session.settled([file])
    quiet(session)


def _timed_save(session: Live, file: str, text: str) -> tuple[float, Event]:
    session.catch_up()
    seen = len(session.events)
    start = time.monotonic()
    session.tree.write(file, text)
    while True:
        # The driver of the tests looks every 5 ms, which is too coarse here.
        session.catch_up()
        for event in session.events[seen:]:
            if event["event"] == "reload" and any(name.endswith(file) for name in event["files"]):
                return (time.monotonic() - start) * 1000, event
        if session.ended or time.monotonic() - start > 600:
            raise RuntimeError(f"no reload after an edit of {file}\n{session.story()}")
        time.sleep(0.001)


def _own_build(tree: Tree, place: Place, rounds: int = BASE_ROUNDS) -> float:
    """Milliseconds of the program's own build after an edit."""
    times = []
    try:
        for number in range(rounds):
            original = tree.originals / place.file
            text = read_text(original if original.exists() else tree.root / place.file)
            statement = f" volatile int relive_probe __attribute__((unused)) = {number};"
            tree.write(place.file, text[: place.offset] + statement + text[place.offset :])
            start = time.monotonic()
            tree.rebuild()
            times.append((time.monotonic() - start) * 1000)
    finally:
        for path in tree.restore_all():
            (tree.root / path).touch()
        tree.rebuild()
    return page.median(times)


# --- headers --------------------------------------------------------------------------------------------------------


def _headers(folder: Path) -> str:
    rows = []
    tree = project(folder / "units", "units", shared_header(20))
    (place,) = (p for p in places(tree, "headers")[0] if p.function == "shared")
    rows.append(_header_row(tree, "20 units", place, 20, _plain_start, folder, BASE_ROUNDS))
    with checkout("openttd") as tree:
        place, units = widely_used(tree, 300)
        # Once: it takes minutes.
        rows.append(_header_row(tree, "openttd", place, units, openttd, folder, 1))
    head = ("program", "function", "units that include it", "first", "**median**", "fast", "sure way", "own build")
    return page.table(head, rows) + (
        f"\n\nMilliseconds from the save to the reload event; medians of {OTHERS}; the sure way and openttd's own "
        "build once. Asked: 20 units ≤ 400, 300 units ≤ 2000."
    )


def _header_row(
    tree: Tree, program: str, place: Place, units: int, start: Start, folder: Path, own_rounds: int
) -> list[str]:
    with _session(tree, start, folder) as session:
        first = _edits(session, [place])
        again = _edits(session, [place] * OTHERS)
    with _session(tree, start, folder, fast=False) as session:
        sure = _edits(session, [place])
    own = _own_build(tree, place, own_rounds)
    row = [
        *(program, f"{place.file}: {place.function}", str(units), f"{first.median:.0f}", f"**{again.median:.0f}**"),
        *(f"{first.fast}, {again.fast}", f"{sure.median:.0f}", f"{own:.0f}"),
    ]
    print(row, flush=True)
    return row


def shared_header(units: int) -> dict[str, str]:
    """``units`` units under heavy headers that call one inline function of their own header."""
    heavy = "\n".join(f"#include <{header}>" for header in HEAVY)
    sources = {
        "shared.h": f"#pragma once\n{heavy}\ninline int shared(int a) {{\n    return a + 1;\n}}\n"
        + "".join(f"int unit{n}(int);\n" for n in range(units - 1)),
        "main.cpp": '#include "shared.h"\nint main() {\n    std::string line;\n'
        "    while (std::getline(std::cin, line))\n"
        "        std::cout << shared(" + " + ".join(f"unit{n}({n})" for n in range(units - 1)) + ") << std::endl;\n}\n",
    }
    for n in range(units - 1):
        sources[f"unit{n}.cpp"] = (
            f'#include "shared.h"\nint unit{n}(int a) {{\n    std::map<std::string, int> m{{{{"unit", a}}}};\n'
            f'    return shared(m["unit"]) + {n};\n}}\n'
        )
    return sources


def widely_used(tree: Tree, units: int) -> tuple[Place, int]:
    """A function in a header that at least so many units include, the fewest of those; and how many it is."""
    told = subprocess.run(["ninja", "-C", tree.build_dir, "-t", "deps"], capture_output=True, text=True, check=True)
    users: Counter[str] = Counter()
    for block in told.stdout.split("\n\n"):
        object_, *inputs = block.splitlines() or [""]
        if ".o:" in object_:
            users.update(os.path.normpath(tree.build_dir / line.strip()) for line in inputs)
    fit = [(users[str(tree.root / p.file)], p) for p in places(tree, "headers")[0]]
    count, place = min(((n, p) for n, p in fit if n >= units), key=lambda pair: (pair[0], pair[1].file, pair[1].line))
    return place, count


# --- random edits ---------------------------------------------------------------------------------------------------


def _random(folder: Path) -> str:
    rows, reasons = [], []
    for name, start in PROGRAMS.items():
        with checkout(name) as tree:
            found, unfit = places(tree)
            with _session(tree, start, folder) as session:
                summary = Summary(random_edits(session, found, EDITS, tell=lambda line: print(line, flush=True)))
        outcomes = summary.outcomes
        rows.append(
            [
                f"{name} ({'C++' if name in CPP else 'C'})",
                f"{len(found)} of {len(found) + unfit.total()}",
                f"{len(outcomes)}",
                f"**{summary.fast:.0%}**",
                f"{len(summary.failed)}",
                f"{len(summary.different)}",
                f"{len(summary.unverified)}",
                *(summary.times(fast=True), summary.times(fast=False)),
            ]
        )
        reasons += [f"- {name}, {count} ×: {reason}" for reason, count in summary.reasons().most_common()]
        print(rows[-1], flush=True)
    head = (
        *("program", "functions drawn from", "edits", "fast", "failed", "differ", "not verified"),
        *("fast: median / 90 %, ms", "sure: median / 90 %, ms"),
    )
    return page.table(head, rows) + (
        "\n\nAsked: fast ≥ 95 % in C, ≥ 90 % in C++; 0 differ. Not fast:\n\n" + "\n".join(reasons or ["- none"])
    )
