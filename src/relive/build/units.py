"""Units: the commands of the database as things that can be recompiled.

A unit is one object file and the command that makes it; one source may be several units (the same file in two targets).
Its key stays the same when its flags change, so that a new compile_commands.json can be told from a new unit."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from relive.build.command import Language, read_traits
from relive.build.database import CompileCommand, Note
from relive.errors import BuildError


@dataclass(frozen=True, slots=True)
class Unit:
    """One object of the build. ``object`` is the user's file, which is never written; "" when the command leaves none
    behind (compiled and linked in one step)."""

    key: str
    source: str
    object: str
    command: CompileCommand
    language: Language
    optimised: bool
    lto: bool
    debug: bool
    depfile: str | None = None
    """The command's own ``-MF`` as it is written there."""


def make_units(commands: Iterable[CompileCommand]) -> tuple[dict[str, Unit], tuple[Note, ...]]:
    """Units by key, in database order, and what was left out and why. Of two entries that write the same object from
    the same source the later one counts: `bear --append` adds, and the object is what was compiled last."""
    units: dict[str, Unit] = {}
    left_out: Counter[str] = Counter()
    example: dict[str, str] = {}
    hints: dict[str, str] = {}
    writers: defaultdict[str, set[str]] = defaultdict(set)
    for command in commands:
        try:
            traits = read_traits(command.arguments, command.directory, command.file)
            reason = traits.not_a_compilation
        except BuildError as error:
            reason = str(error)
            hints[reason] = error.hint
        if reason:
            left_out[reason] += 1
            example.setdefault(reason, command.file)
            continue
        key = unit_key(command)
        units[key] = Unit(
            key=key,
            source=command.file,
            object=command.output,
            command=command,
            language=traits.language,
            optimised=traits.optimised,
            lto=traits.lto,
            debug=traits.debug,
            depfile=traits.depfile,
        )
        writers[command.output].add(command.file)
    for key, unit in units.items():
        if len(writers[unit.object]) > 1:
            # bear writes `cc a.c b.c -o prog` as two entries with `-c -o prog`
            units[key] = without_object(unit)
    notes = tuple(
        Note(f"{example[reason]}{_others(count)} left out: {reason}", hints.get(reason, ""))
        for reason, count in left_out.items()
    )
    return units, notes


def unit_key(command: CompileCommand) -> str:
    """Sixteen hex digits of what makes a unit this one: its source and its object, and where nobody named the object,
    its flags."""
    parts = [command.file, command.output]
    if not command.output_given:
        parts += command.arguments
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def without_object(unit: Unit) -> Unit:
    """The same unit, known to have left no object behind."""
    return Unit(
        unit.key, unit.source, "", unit.command, unit.language, unit.optimised, unit.lto, unit.debug, unit.depfile
    )


def _others(count: int) -> str:
    return " is" if count == 1 else f" and {count - 1} more are"
