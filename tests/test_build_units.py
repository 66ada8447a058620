"""From commands to units."""

import json

from relive.build.database import parse_database
from relive.build.units import Unit, make_units

PATH = "/p/compile_commands.json"


def units(*entries: dict[str, object]) -> list[Unit]:
    text = json.dumps([{"directory": "/p", "file": "a.c"} | entry for entry in entries])
    return list(make_units(parse_database(text, PATH))[0].values())


def test_a_unit_keeps_its_key_when_its_flags_change() -> None:
    (before,) = units({"command": "cc -c a.c -o a.o"})
    (after,) = units({"command": "cc -O2 -g -flto -DX -c a.c -o a.o"})
    assert before.key == after.key
    assert before != after
    assert (after.optimised, after.debug, after.lto) == (True, True, True)


def test_one_file_in_two_targets_is_two_units() -> None:
    first, second = units({"command": "cc -c a.c -o 1.o"}, {"command": "cc -DX -c a.c -o 2.o"})
    assert first.key != second.key
    assert (first.object, second.object) == ("/p/1.o", "/p/2.o")


def test_other_flags_without_a_named_output_are_other_units() -> None:
    assert len(units({"command": "cc -c a.c"}, {"command": "cc -DX -c a.c"})) == 2


def test_the_later_of_two_entries_for_one_object_counts() -> None:
    (unit,) = units({"command": "cc -c a.c -o a.o"}, {"command": "cc -DX -c a.c -o a.o"})
    assert "-DX" in unit.command.arguments


def test_compiling_and_linking_in_one_step_leaves_no_object() -> None:
    # what bear 3 writes for `cc a.c b.c -o prog`
    both = units(
        {"arguments": ["cc", "-c", "-o", "prog", "a.c"]},
        {"file": "b.c", "arguments": ["cc", "-c", "-o", "prog", "b.c"]},
    )
    assert [unit.object for unit in both] == ["", ""]
    assert len({unit.key for unit in both}) == 2


def test_what_was_left_out_is_told_once_for_each_reason() -> None:
    text = json.dumps(
        [
            {"directory": "/p", "file": "a.c", "command": "cc -c a.c"},
            {"directory": "/p", "file": "a.c", "command": "cc -E a.c -o a.i"},
            {"directory": "/p", "file": "b.c", "command": "cc -E b.c -o b.i"},
            {"directory": "/p", "file": "l.c", "command": "sh libtool --mode=compile cc -c l.c"},
        ]
    )
    found, notes = make_units(parse_database(text, PATH))
    assert [unit.source for unit in found.values()] == ["/p/a.c"]
    assert [note.message for note in notes] == [
        "/p/a.c and 1 more are left out: it only preprocesses",
        "/p/l.c is left out: libtool commands hide the compiler",
    ]
    assert "bear" in notes[1].hint
