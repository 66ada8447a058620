"""The project's own build command, for what a quick build cannot do: as the user says, or as the build directory looks.

build.ninja beside the database, or in a unit's directory    ninja -C DIR TARGET
CMakeCache.txt                                               cmake --build DIR
Makefile                                                     make -C DIR TARGET"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from relive.errors import BuildError
from relive.host.project import Project


@dataclass(frozen=True, slots=True)
class BuildCommand:
    """What builds a target the usual way."""

    arguments: tuple[str, ...]
    directory: str

    def __str__(self) -> str:
        return shlex.join(self.arguments)


def build_command(project: Project, program: Path | None, name: str, given: str, jobs: int) -> BuildCommand:
    """The command; BuildError when nobody knows one. `program`: the file, if there is one yet, else its `name` as the
    user wrote it. `given`: the user's own command, run by the shell where relive runs."""
    if given:
        return BuildCommand(("/bin/sh", "-c", given), os.getcwd())
    for directory in _directories(project):
        target = os.path.relpath(program, directory) if program is not None else os.path.basename(name)
        if target.startswith(".."):
            target = ""
        if os.path.isfile(os.path.join(directory, "build.ninja")):
            return BuildCommand(("ninja", "-C", directory, *([target] if target else [])), directory)
        if os.path.isfile(os.path.join(directory, "CMakeCache.txt")):
            return BuildCommand(("cmake", "--build", directory, "-j", str(jobs)), directory)
        if any(os.path.isfile(os.path.join(directory, name)) for name in ("GNUmakefile", "makefile", "Makefile")):
            return BuildCommand(("make", "-C", directory, "-j", str(jobs), *([target] if target else [])), directory)
    raise BuildError(
        "nobody knows how this project is built: no build.ninja, CMakeCache.txt or Makefile is where its units are",
        "say it: --build-command 'COMMAND', or `build = \"COMMAND\"` in relive.toml",
    )


def run(command: BuildCommand, *, quiet: bool) -> int:
    """Runs it, its words on our stderr; the exit status."""
    try:
        done = subprocess.run(
            command.arguments,
            cwd=command.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else 2,
            check=False,
        )
    except OSError as error:
        raise BuildError(f"{command.arguments[0]}: {error.strerror}", "install it, or use --build-command") from error
    return done.returncode


def _directories(project: Project) -> Iterable[str]:
    found = [os.path.dirname(project.database), os.path.dirname(os.path.realpath(project.database))]
    found += [unit.command.directory for unit in project.units.values()]
    return dict.fromkeys(found)
