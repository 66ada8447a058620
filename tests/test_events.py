"""The event stream: what is written is what docs/events.schema.json and docs/events.md promise."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

import pytest

from relive.errors import Refusal
from relive.events import Change, Crash, Event, Exit, Notice, Ready, Reload, Timings, to_json

DOCS = Path(__file__).parent.parent / "docs"
SCHEMA: dict[str, Any] = json.loads((DOCS / "events.schema.json").read_text())

REFUSAL = Refusal("variable-resized", "scores", "it grew", "rename it", "/p/a.c", 3)
SAMPLES: tuple[Event, ...] = (
    Ready(0.5, 42, "/p/game", 3, 10, 481.2),
    Change(1.0, ("/p/a.c",)),
    Reload(1.25, 1, "applied", files=("/p/a.c",), functions=("f(int)",), timings_ms=Timings(1, 2, 3, 4, 5, 15)),
    Reload(2.0, 1, "refused", "full", refusals=(REFUSAL,), notes=("a note",)),
    Reload(3.0, 1, "failed", message="a.c:1:1: error: ‘x’ undeclared\n"),
    Crash(4.0, "SIGSEGV", "f(int)", "/p/a.c", 7, held=False),
    Notice(5.0, "something", "do this"),
    Exit(6.0, 139),
)


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: event.event)
def test_an_event_is_one_line_that_the_schema_accepts(event: Event) -> None:
    line = to_json(event)
    assert "\n" not in line
    assert list(json.loads(line))[:2] == ["event", "t"]
    check(json.loads(line), SCHEMA)


def test_the_schema_rejects_what_no_event_is() -> None:
    good = json.loads(to_json(SAMPLES[2]))
    for broken in (
        good | {"status": "done"},
        good | {"generation": "1"},
        good | {"extra": 1},
        {k: v for k, v in good.items() if k != "files"},
        {"event": "other", "t": 0.0},
    ):
        with pytest.raises(AssertionError):
            check(broken, SCHEMA)


def test_the_schema_has_every_field_of_every_event() -> None:
    for cls in get_args(Event):
        event = next(f.default for f in fields(cls) if f.name == "event")
        assert event is not MISSING
        assert set(SCHEMA["$defs"][event]["properties"]) == {f.name for f in fields(cls)}


def test_the_page_names_every_event_and_field() -> None:
    page = (DOCS / "events.md").read_text()
    for cls in (*get_args(Event), Timings):
        for field in fields(cls):
            assert f"`{field.name}`" in page, f"docs/events.md says nothing of {cls.__name__}.{field.name}"
    for name in Refusal.__slots__:
        assert f"`{name}`" in page, f"docs/events.md says nothing of Refusal.{name}"


def test_the_pages_examples_are_events() -> None:
    lines = re.findall(r'^\{"event".*\}$', (DOCS / "events.md").read_text(), re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        check(json.loads(line), SCHEMA)


def check(value: Any, schema: dict[str, Any]) -> None:
    """The part of JSON Schema that events.schema.json uses. AssertionError when `value` does not fit."""
    if "$ref" in schema:
        check(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")])
        return
    if "oneOf" in schema:
        fitting = [option for option in schema["oneOf"] if _fits(value, option)]
        assert len(fitting) == 1, f"{value} fits {len(fitting)} of the alternatives"
        return
    if "const" in schema:
        assert value == schema["const"]
    if "enum" in schema:
        assert value in schema["enum"]
    match schema.get("type"):
        case "object":
            assert isinstance(value, dict)
            assert set(schema["required"]) <= set(value)
            assert set(value) <= set(schema["properties"])
            for name, inner in value.items():
                check(inner, schema["properties"][name])
        case "array":
            assert isinstance(value, list)
            for inner in value:
                check(inner, schema["items"])
        case "string":
            assert isinstance(value, str)
        case "boolean":
            assert isinstance(value, bool)
        case "integer":
            assert isinstance(value, int)
            assert not isinstance(value, bool)
        case "number":
            assert isinstance(value, int | float)
            assert not isinstance(value, bool)


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    try:
        check(value, schema)
    except AssertionError:
        return False
    return True
