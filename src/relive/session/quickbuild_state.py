"""What a quick build leaves behind for the next one: a folder `.PROGRAM.relive-build` beside the program.

    linked         the file as the project's linker made it (a hard link: the program's own former inode, no copy)
    objects/KEY    of each unit that was edited since: the object that the program was linked from
    objects/KEY.new, KEY.far   and our newest one
    state.json     which file is ours, which units it has that the linked one has not, from which inputs

It lies beside the program and not in the cache because a hard link needs the same file system, because the build tree
is what somebody removes to start anew, and because its name is no output of any build. `.gitignore` keeps it out of
version control.

Every quick build starts from `linked` again: the program is always the linked file and *one* addition, however many
edits there were, so nothing piles up and an edit that is taken back leaves no trace."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from relive.build.units import Unit
from relive.errors import StorageError

_VERSION = 1

Stamp = tuple[int, int, int]
"""(time of change in ns, size, inode)"""


@dataclass(slots=True)
class BuiltUnit:
    """One unit that was compiled since the program was linked."""

    inputs: dict[str, tuple[int, int]]
    """Input → (time of change in ns, size) when it was compiled; (0, 0) when it changed meanwhile."""
    command: list[str]
    differs: bool
    """Whether its object means something else than the one in the linked file."""
    far: bool = False
    """Whether its code is taken from a second object, which reaches library data through the GOT."""


@dataclass(slots=True)
class State:
    """The folder of one program."""

    folder: Path
    program: Path
    current: Stamp | None = None
    """The program as we wrote it; None: as the linker did."""
    linked: Stamp | None = None
    units: dict[str, BuiltUnit] = field(default_factory=dict)

    @classmethod
    def load(cls, program: Path) -> State:
        """The state of a program; an empty one when the program is not what we wrote, or nothing is known."""
        folder = program.parent / f".{program.name}.relive-build"
        state = cls(folder, program)
        try:
            data = json.loads((folder / "state.json").read_text())
            if data["version"] != _VERSION:
                return state
            current = tuple(data["current"])
            if stamp(program) != current or stamp(folder / "linked") != tuple(data["linked"]):
                return state
            units = {
                key: BuiltUnit(
                    {path: (int(a), int(b)) for path, (a, b) in unit["inputs"].items()},
                    list(unit["command"]), bool(unit["differs"]), bool(unit["far"]),
                )
                for key, unit in data["units"].items()
            }  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError):
            return state
        state.current = (current[0], current[1], current[2])
        state.linked = stamp(folder / "linked")
        state.units = units
        return state

    @property
    def linked_file(self) -> Path:
        """The file as the linker made it."""
        return self.folder / "linked" if self.current is not None else self.program

    def object(self, key: str, kind: str = "") -> Path:
        """Where an object of a unit is kept."""
        return self.folder / "objects" / f"{key}{kind}"

    def begin(self) -> None:
        """Makes the folder, empty but for what still counts."""
        try:
            if self.current is None and self.folder.exists():
                shutil.rmtree(self.folder / "objects", ignore_errors=True)
                (self.folder / "linked").unlink(missing_ok=True)
                (self.folder / "state.json").unlink(missing_ok=True)
            (self.folder / "objects").mkdir(parents=True, exist_ok=True)
            (self.folder / ".gitignore").write_text("*\n")
        except OSError as error:
            raise StorageError(f"{self.folder} cannot be written: {error.strerror}", "free space there") from error

    def keep_linked(self) -> None:
        """Keeps the linker's file, before the program gets another one."""
        if self.current is None:
            linked = self.folder / "linked"
            try:
                os.link(self.program, linked)
            except OSError:  # a file system without hard links
                shutil.copy2(self.program, linked)
            self.linked = stamp(linked)

    def save(self, current: Stamp) -> None:
        """Writes the state down as that of a program file that is about to get its name."""
        self.current = current
        data = {
            "version": _VERSION, "current": current, "linked": self.linked,
            "units": {key: asdict(unit) for key, unit in self.units.items()},
        }  # fmt: skip
        temporary = self.folder / "state.json.new"
        temporary.write_text(json.dumps(data))
        os.replace(temporary, self.folder / "state.json")

    @contextlib.contextmanager
    def lock(self, cache: Path) -> Iterator[None]:
        """Keeps a second quick build of the same program waiting."""
        name = hashlib.blake2b(os.fsencode(self.program), digest_size=16).hexdigest()
        try:
            (cache / "locks").mkdir(parents=True, exist_ok=True)
            file = open(cache / "locks" / name, "w")  # noqa: SIM115  (held for the whole block)
        except OSError as error:
            raise StorageError(f"{cache} cannot be written: {error.strerror}", "free space there") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class DependencyNotes:
    """Depfiles that the preprocessor wrote for units without one, kept in the cache for each database."""

    def __init__(self, cache: Path, database: str) -> None:
        name = hashlib.blake2b(os.path.realpath(database).encode(errors="replace"), digest_size=16).hexdigest()
        self._path = cache / "depfiles" / f"{name}.json"
        self._known: dict[str, dict[str, object]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            self._known = json.loads(self._path.read_text())

    def get(self, unit: Unit) -> str | None:
        """The depfile of a unit, if nothing that it names has changed since."""
        note = self._known.get(unit.key)
        if not isinstance(note, dict) or note.get("command") != list(unit.command.arguments):
            return None
        inputs, text = note.get("inputs"), note.get("text")
        if not isinstance(inputs, dict) or not isinstance(text, str):
            return None
        return text if all(list(input_stamp(path)) == was for path, was in inputs.items()) else None

    def put(self, unit: Unit, text: str, inputs: Iterable[str], began: int) -> None:
        """Notes a depfile, unless one of its inputs changed since the preprocessor began (time in ns)."""
        stamps = {path: list(input_stamp(path)) for path in inputs}
        if text and all(time < began for time, _ in stamps.values()):
            self._known[unit.key] = {"command": list(unit.command.arguments), "inputs": stamps, "text": text}
            self._changed = True

    def save(self) -> None:
        """Trouble with the cache costs time and nothing else."""
        if self._changed:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                temporary = self._path.with_suffix(f".{os.getpid()}")
                temporary.write_text(json.dumps(self._known))
                os.replace(temporary, self._path)


def stamp(path: Path) -> Stamp | None:
    """What tells one version of a file from another; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def input_stamp(path: str) -> tuple[int, int]:
    """The same for an input, whose inode does not matter."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
