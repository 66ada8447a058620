"""The plain face: exact words, so that a change of them is seen in review."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from relive.errors import Refusal
from relive.events import Change, Crash, Event, Exit, Notice, Ready, Reload, Timings, to_json
from relive.ui.jsonlines import JsonLines
from relive.ui.plain import Plain, reload_from_json

TIMES = Timings(1.9, 0.4, 131.4, 6.1, 1.7, 141.5)
REFUSAL = Refusal("variable-resized", "scores", "it grew from 32 to 64 bytes", "give it a new name", "/p/src/a.c", 3)


def shown(*events: Event, verbosity: int = 0, **environ: str) -> str:
    stream = io.StringIO()
    face = Plain(stream, environ=environ, directory="/p", verbosity=verbosity)
    for event in events:
        face(event)
    return stream.getvalue()


def test_ready() -> None:
    text = shown(Ready(0.4, 4711, "/p/build/game", 42, 1310, 412.0))
    assert text == "relive: ready: 42 units, 1310 functions of game (pid 4711), 0.41 s\n"


def test_an_applied_reload_is_one_line() -> None:
    event = Reload(
        1.0, 3, "applied", files=("/p/src/a.c", "/elsewhere/b.h"), functions=("f", "g"), timings_ms=TIMES, pause_us=28.4
    )
    assert shown(event) == (
        "relive: #3 src/a.c, /elsewhere/b.h: 2 functions in 142 ms "
        "(detect 1.9, analyse 0.4, compile 131, link 6.1, apply 1.7), held 0.03 ms: f, g\n"
    )


def test_many_functions_and_files_are_cut_short_unless_asked() -> None:
    names = tuple(f"f{i}" for i in range(9))
    event = Reload(1.0, 1, "applied", files=tuple(f"/p/{i}.c" for i in range(5)), functions=names)
    assert "0.c, 1.c, 2.c and 2 more: 9 functions" in shown(event)
    assert shown(event).endswith("f0, f1, f2, f3 and 5 more\n")
    assert shown(event, verbosity=1).endswith("f7, f8\n")


def test_notes_follow_their_reload() -> None:
    event = Reload(1.0, 1, "applied", files=("/p/a.c",), functions=("f",), notes=("`lives` keeps its value",))
    assert shown(event).splitlines()[1] == "relive:   note: `lives` keeps its value"


def test_the_compilers_words_are_not_touched() -> None:
    words = "src/a.c: In function ‘f’:\nsrc/a.c:3:1: error: expected ‘;’\n    3 | }\n"
    text = shown(Reload(1.0, 2, "failed", files=("/p/src/a.c",), message=words))
    assert text == words + "relive: src/a.c: not applied; the program runs on with generation 2, mend it and save\n"


def test_a_refusal_is_an_error_at_a_place_with_code_and_hint() -> None:
    text = shown(Reload(1.0, 2, "refused", files=("/p/src/a.c",), refusals=(REFUSAL,)))
    assert text == (
        "src/a.c:3: error: scores: it grew from 32 to 64 bytes [variable-resized]\n"
        "  hint: give it a new name\n"
        "relive: src/a.c: refused; the program runs on with generation 2\n"
    )


def test_unchanged_undone_notice_crash() -> None:
    events = (
        Reload(1.0, 2, "unchanged", files=("/p/a.c",), timings_ms=Timings(total=12.2)),
        Reload(1.0, 1, "undone", timings_ms=Timings(total=2.4), pause_us=30),
        Notice(1.0, "no reloads: no database", "bear -- make"),
        Crash(1.0, "SIGSEGV", "f", "/p/a.c", 3),
    )
    assert shown(*events) == (
        "relive: a.c: nothing changed (12 ms)\n"
        "relive: back at #1 in 2 ms, held 0.03 ms\n"
        "relive: no reloads: no database\n  hint: bear -- make\n"
        "a.c:3: error: the program died of SIGSEGV in f\n"
    )


def test_quiet_tells_only_what_went_wrong() -> None:
    fine = (
        Ready(0.4, 1, "/p/game", 1, 1, 1.0),
        Change(0.4, ("/p/a.c",)),
        Reload(1.0, 1, "applied", files=("/p/a.c",)),
        Reload(1.0, 1, "unchanged", files=("/p/a.c",)),
        Exit(2.0, 0),
    )
    assert shown(*fine, verbosity=-1) == ""
    assert "refused" in shown(Reload(1.0, 2, "refused", refusals=(REFUSAL,)), verbosity=-1)


def test_verbose_tells_changes_and_the_end() -> None:
    text = shown(Change(0.4, ("/p/a.c",)), Exit(2.0, 3), verbosity=1)
    assert text == "relive: changed: a.c\nrelive: the program ended with status 3\n"


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, False), ({"CLICOLOR_FORCE": "1"}, True), ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False)],
)
def test_colour(environ: dict[str, str], coloured: bool) -> None:
    assert ("\x1b[" in shown(Exit(1.0, 0), verbosity=1, **environ)) is coloured


def test_a_terminal_that_is_gone_does_not_end_the_session() -> None:
    stream = io.StringIO()
    face = Plain(stream, environ={})
    stream.close()
    face(Exit(1.0, 0))
    face(Reload(1.0, 1, "applied"))


def test_a_reload_survives_the_way_through_json() -> None:
    event = Reload(
        1.0, 2, "refused", "full", files=("/p/a.c",), refusals=(REFUSAL,), timings_ms=TIMES, notes=("n",), pause_us=3.5
    )
    assert reload_from_json(json.loads(to_json(event))) == event


def test_json_lines_are_written_at_once(tmp_path: Any) -> None:
    face = JsonLines(str(tmp_path / "events"))
    face(Exit(1.0, 3))
    assert json.loads((tmp_path / "events").read_text()) == {"event": "exit", "t": 1.0, "status": 3}
    face.close()
    face(Exit(1.0, 3))
