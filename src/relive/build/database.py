"""compile_commands.json: how each file of the project is compiled.

Format: clang's "JSON Compilation Database Format Specification". A list of objects with ``directory``, ``file``, and
``arguments`` or ``command`` (preferred in that order), ``output`` optional. It is written by CMake, Meson, bear,
compiledb, Bazel scripts and people, so entries may be odd: an odd entry becomes a note and is left out, only a file
that is no database at all is an error.

The output of a command is its own ``-o``, because that is what the compiler obeys; ``output`` is asked only without
one (CMake's Makefiles have written it relative to the top build directory, not to ``directory``)."""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from relive.build.command import default_output, explicit_output
from relive.build.words import ReadText, expand_responses, split_shell
from relive.errors import BuildError

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OPERATORS = {"&&", "||", ";", "|", "&", ">", ">>", "<"}
_MAKE_ONE = (
    "CMake: -DCMAKE_EXPORT_COMPILE_COMMANDS=ON; make: `bear -- make` after `make clean`; Meson writes it by itself; "
    "or say where it is with --build-dir"
)


@dataclass(frozen=True, slots=True)
class Note:
    """Something about the build that the user should read, and the next thing to try."""

    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class CompileCommand:
    """One entry; response files are expanded. All paths but those inside ``arguments`` are absolute."""

    directory: str
    file: str
    arguments: tuple[str, ...]
    output: str
    output_given: bool = True
    """False when neither the command nor the entry names the output: two such entries may not overwrite each other."""


@dataclass(frozen=True, slots=True)
class Database:
    """A whole compile_commands.json: commands in file order, each once."""

    commands: tuple[CompileCommand, ...]
    notes: tuple[Note, ...] = ()
    response_files: tuple[str, ...] = ()
    """Files that commands include by ``@``; a change in one changes commands."""


def database_candidates(directory: str) -> tuple[str, ...]:
    """Where clangd looks for the database of a file in ``directory`` (absolute): each ancestor, nearest first, and its
    ``build`` folder."""
    candidates: list[str] = []
    while True:
        candidates.append(posixpath.join(directory, "compile_commands.json"))
        candidates.append(posixpath.join(directory, "build", "compile_commands.json"))
        parent = posixpath.dirname(directory)
        if parent == directory:
            return tuple(candidates)
        directory = parent


def not_found(places: tuple[str, ...]) -> BuildError:
    """The error for a project without a database."""
    where = " and ".join(dict.fromkeys(places))
    return BuildError(f"no compile_commands.json in {where}, their parents or their build folders", _MAKE_ONE)


def parse_database(text: str, path: str) -> tuple[CompileCommand, ...]:
    """Commands of the database at ``path``; response files are left as they are. Errors as `read_database`."""
    return read_database(text, path, lambda _: None).commands


def read_database(text: str, path: str, read: ReadText) -> Database:
    """``read`` gives the content of response files. BuildError when the file is no database or has no usable entry."""
    if not text.strip():
        raise BuildError(f"{path} is empty", "an interrupted `bear` leaves it so: `make clean`, then `bear -- make`")
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise BuildError(
            f"{path}:{error.lineno}:{error.colno}: this is not JSON: {error.msg}",
            "if the build is writing it just now, wait for its end; otherwise let the build system write it anew",
        ) from None
    except RecursionError:
        raise BuildError(f"{path}: nested too deeply for a compilation database", _MAKE_ONE) from None
    if not isinstance(entries, list):
        raise BuildError(f"{path}:1: a list of entries was expected, this is {_kind(entries)}", _MAKE_ONE)
    if not entries:
        raise BuildError(
            f"{path} has no entries",
            "`bear` writes an empty list when nothing had to be compiled: `make clean`, then `bear -- make`",
        )

    base = posixpath.dirname(path)
    commands: dict[CompileCommand, None] = {}
    odd: Counter[str] = Counter()
    first_odd: dict[str, int] = {}
    response_files: dict[str, None] = {}
    for number, entry in enumerate(entries, 1):
        command = _command(entry, base, read, response_files)
        if isinstance(command, CompileCommand):
            commands[command] = None
        else:
            odd[command] += 1
            first_odd.setdefault(command, number)
    notes = tuple(
        Note(f"{path}: {_entries(count)} left out: {what} (first: entry {first_odd[what]})", "write the database anew")
        for what, count in odd.items()
    )
    if not commands:
        raise BuildError(f"{path} has no usable entry: {next(iter(odd))} (entry 1)", _MAKE_ONE)
    return Database(tuple(commands), notes, tuple(response_files))


def _command(entry: Any, base: str, read: ReadText, response_files: dict[str, None]) -> CompileCommand | str:
    """The command of one entry, or what is wrong with it."""
    if not isinstance(entry, dict):
        return f"an entry must be an object, not {_kind(entry)}"
    directory, file, output = entry.get("directory", ""), entry.get("file"), entry.get("output")
    if not isinstance(file, str) or not file:
        return 'no "file"'
    if not isinstance(directory, str) or not isinstance(output, str | None):
        return '"directory" and "output" must be strings'
    words = entry.get("arguments")
    if words is None:
        line = entry.get("command")
        if not isinstance(line, str):
            return 'neither "arguments" nor "command"'
        try:
            words = split_shell(line)
        except ValueError as error:
            return f'"command" has {error}'
        if not _OPERATORS.isdisjoint(words):
            return '"command" is more than one command'
        if words and _ASSIGNMENT.match(words[0]):
            words = ["env", *words]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        return '"arguments" must be a list of strings, the compiler first'

    directory = posixpath.normpath(posixpath.join(base, directory))
    arguments: tuple[str, ...] = tuple(words)
    if any(word.startswith("@") for word in words):
        arguments, files = expand_responses(words, directory, read)
        response_files.update(dict.fromkeys(files))
    named = explicit_output(arguments) or output
    return CompileCommand(
        directory=directory,
        file=posixpath.normpath(posixpath.join(directory, file)),
        arguments=arguments,
        output=posixpath.normpath(posixpath.join(directory, named or default_output(file))),
        output_given=bool(named),
    )


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
