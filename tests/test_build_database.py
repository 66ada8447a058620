"""compile_commands.json: every writer's dialect, and every way it can be broken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relive.build.database import database_candidates, parse_database, read_database
from relive.errors import BuildError

PATH = "/p/build/compile_commands.json"


def one(**entry: object) -> str:
    return json.dumps([{"directory": "/p/build", "file": "../a.c"} | entry])


def test_arguments_are_preferred_to_the_command() -> None:
    (command,) = parse_database(one(arguments=["cc", "-c", "../a.c"], command="gcc -c x.c"), PATH)
    assert command.arguments == ("cc", "-c", "../a.c")
    assert command.file == "/p/a.c"
    assert command.output == "/p/build/a.o"
    assert not command.output_given


def test_a_command_is_split_as_a_shell_would() -> None:
    (command,) = parse_database(one(command=r'/usr/bin/c++ -DS=\"a\ b\" "-I/x y" -o a.o -c ../a.c'), PATH)
    assert command.arguments == ("/usr/bin/c++", '-DS="a b"', "-I/x y", "-o", "a.o", "-c", "../a.c")


def test_assignments_before_the_compiler_become_env() -> None:
    (command,) = parse_database(one(command="CCACHE_DISABLE=1 gcc -c ../a.c"), PATH)
    assert command.arguments[:3] == ("env", "CCACHE_DISABLE=1", "gcc")


def test_the_commands_own_output_beats_the_output_field() -> None:
    # CMake's Makefiles: `output` relative to the top build directory, `directory` below it
    entry = one(directory="/p/build/sub", command="cc -o d/a.o -c /p/a.c", output="sub/d/a.o")
    assert parse_database(entry, PATH)[0].output == "/p/build/sub/d/a.o"
    assert parse_database(one(command="cc -c ../a.c", output="x/a.o"), PATH)[0].output == "/p/build/x/a.o"


def test_a_program_is_no_object() -> None:
    assert parse_database(one(command="cc ../a.c -o prog"), PATH)[0].output == "/p/build/a.o"
    assert parse_database(one(command="cc ../a.c -o a2.o"), PATH)[0].output == "/p/build/a2.o"


def test_relative_directories_belong_to_the_database() -> None:
    (command,) = parse_database(one(directory="..", file="src/a.c", command="cc -c src/a.c"), PATH)
    assert (command.directory, command.file) == ("/p", "/p/src/a.c")


def test_equal_entries_collapse_and_others_stay() -> None:
    entry = {"directory": "/b", "file": "/a.c", "command": "cc -c /a.c -o 1.o"}
    other = entry | {"command": "cc -DX -c /a.c -o 2.o"}
    assert len(parse_database(json.dumps([entry, entry, other]), PATH)) == 2


def test_response_files_are_expanded_and_remembered() -> None:
    files = {"/p/build/flags.rsp": "-DX -o obj/a.o"}
    database = read_database(one(command="cc @flags.rsp -c ../a.c"), PATH, files.get)
    assert database.commands[0].arguments == ("cc", "-DX", "-o", "obj/a.o", "-c", "../a.c")
    assert database.commands[0].output == "/p/build/obj/a.o"
    assert database.response_files == ("/p/build/flags.rsp",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("[]", "no entries"),
        ("[\n{", "compile_commands.json:2:"),
        ('[{"directory": "/p",]', "not JSON"),
        ("{}", "a list of entries was expected, this is an object"),
        ("3", "this is a number"),
        ("[3]", "an entry must be an object"),
        ('[{"directory": "/p"}]', 'no "file"'),
        ('[{"directory": "/p", "file": "a.c"}]', 'neither "arguments" nor "command"'),
        ('[{"file": "a.c", "command": "cc \'a.c"}]', "no closing quote"),
        ('[{"file": "a.c", "command": "cd x && cc a.c"}]', "more than one command"),
        ('[{"file": "a.c", "arguments": []}]', "list of strings"),
        ('[{"file": "a.c", "arguments": "cc a.c"}]', "list of strings"),
        ('[{"file": "a.c", "arguments": ["cc", 1]}]', "list of strings"),
        ('[{"file": "a.c", "directory": 1, "command": "cc"}]', "must be strings"),
        ("[" * 100_000, "JSON|nested"),
    ],
)
def test_what_is_no_database_is_told(text: str, says: str) -> None:
    with pytest.raises(BuildError, match=says) as caught:
        parse_database(text, PATH)
    assert PATH in str(caught.value)
    assert caught.value.hint


def test_one_odd_entry_does_not_cost_the_others() -> None:
    good = {"directory": "/b", "file": "/a.c", "command": "cc -c /a.c"}
    database = read_database(json.dumps([good, {"file": "x.c"}, {"file": "y.c"}, 7]), PATH, lambda _: None)
    assert len(database.commands) == 1
    assert [note.message for note in database.notes] == [
        f'{PATH}: 2 entries left out: neither "arguments" nor "command" (first: entry 2)',
        f"{PATH}: 1 entry left out: an entry must be an object, not a number (first: entry 4)",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["file", "directory", "command", "arguments", "output"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(JSON | st.lists(JSON, max_size=3))
def test_any_json_gives_commands_or_a_build_error(value: object) -> None:
    try:
        commands = parse_database(json.dumps(value), PATH)
    except BuildError:
        return
    assert all(command.arguments and command.file.startswith("/") for command in commands)


def test_candidates_in_clangds_order() -> None:
    assert database_candidates("/p/src") == (
        "/p/src/compile_commands.json",
        "/p/src/build/compile_commands.json",
        "/p/compile_commands.json",
        "/p/build/compile_commands.json",
        "/compile_commands.json",
        "/build/compile_commands.json",
    )
