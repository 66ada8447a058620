"""Fills the dependency graph: preprocess a unit, read its components, keep them; those touched last come first.

`Indexer` does it in this process, a unit a step: `relive graph` uses it for the few units it needs. `Background` lets a
process of low priority do it (`session.index_worker`), so that neither the session's thread nor its memory knows of
it; the two share the store, and tell each other in JSON lines what was touched and how far it is. Reloads do not wait
for the graph: without it, they go by whole units.

A unit is read again when anything of which it was made is another one, by content: its command, the compiler, its
source, its headers. What fails to preprocess stays as it was and is tried again when it is touched."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from relive.build.command import compiler_index
from relive.build.units import Unit
from relive.errors import ReliveError
from relive.host.compiler import CompilePool
from relive.host.graph_store import LIMIT, SCHEMA, GraphStore, store_path
from relive.host.native import scanner_library
from relive.host.project import Project
from relive.source.library import Scanner
from relive.source.unit import UnitText
from relive.source.vertices import read_unit

_LANGUAGES = ("c", "c++")


def scanner(cache: Path) -> Scanner:
    """The reader of preprocessed text, compiled on first use."""
    return Scanner(scanner_library(cache))


def open_store(cache: Path, project: Project) -> GraphStore:
    """The graph of a project."""
    return GraphStore(store_path(cache, project.database))


class Indexer:
    """Brings the store up to date with the project, one unit a `step`."""

    def __init__(self, project: Project, pool: CompilePool, store: GraphStore, scanner: Callable[[], Scanner]) -> None:
        """``scanner`` is called when the first unit is read."""
        self._project = project
        self._pool = pool
        self._store = store
        self._make_scanner = scanner
        self._scanner: Scanner | None = None
        self._stamps: dict[str, bytes] = {}
        """Digests of files, asked once until something is touched."""
        self._tried: dict[str, bytes] = {}
        """States of units that could not be read."""
        self._due: list[Unit] = []
        self._total = 0
        self._full = False

    @property
    def progress(self) -> tuple[int, int]:
        """(units that are up to date or cannot be, all units)"""
        return self._total - len(self._due), self._total

    def look(self) -> None:
        """Finds out what is to be done: once at the start, and when the database changed."""
        self._stamps.clear()
        units = [unit for unit in self._project.units.values() if unit.language in _LANGUAGES]
        self._total = len(units)
        self._store.forget_all_but({unit.key for unit in units})
        states = self._store.states()
        times: dict[str, int] = {}
        due = [unit for unit in units if not self._settled(unit, states.get(unit.key))]
        self._due = sorted(due, key=lambda unit: self._touched_at(unit, times))
        self._full = self._store.size() > LIMIT

    def touched(self, files: Iterable[str]) -> None:
        """Files were saved: their units come next."""
        units: dict[str, Unit] = {}
        for file in files:
            self._stamps.pop(file, None)
            for unit in self._project.units_of(file):
                units[unit.key] = unit
        states = self._store.states()
        again = [u for u in units.values() if u.language in _LANGUAGES and not self._settled(u, states.get(u.key))]
        times: dict[str, int] = {}
        keys = {unit.key for unit in again}
        rest = [unit for unit in self._due if unit.key not in keys]
        self._due = rest + sorted(again, key=lambda unit: self._touched_at(unit, times))

    def step(self, cancelled: Callable[[], bool] = lambda: False) -> bool:
        """Reads one unit. False: nothing is left to be done."""
        if not self._due or self._full:
            return False
        self.index(self._due[-1], cancelled)
        self._due.pop()
        self._full = self._store.size() > LIMIT
        return True

    def is_current(self, unit: Unit) -> bool:
        """Whether the store has the unit as it is now."""
        stored = self._store.unit(unit.key)
        return stored is not None and stored.state == self._state(unit)

    def index(self, unit: Unit, cancelled: Callable[[], bool] = lambda: False) -> bool:
        """Reads a unit now, whether it is due or not; False when its preprocessor fails. Raises Superseded when
        ``cancelled()`` became true."""
        text = self.read(unit, cancelled)
        state = self._state(unit)
        if text is None:
            self._tried[unit.key] = state
            return False
        known = self._store.digests()
        for again in (False, True):
            found = read_unit(
                text,
                ours=self.ours(unit),
                raw=_content,
                stamp=self._stamp,
                known=lambda digest, again=again: not again and digest in known,  # type: ignore[misc]
            )
            if self._store.put(unit.key, unit.source, state, found.runs, found.forms):
                break
        return True

    def read(self, unit: Unit, cancelled: Callable[[], bool] = lambda: False) -> UnitText | None:
        """The unit after its preprocessor; None when that fails."""
        compiled = self._pool.preprocess(unit, cancelled=cancelled, background=True)
        if not compiled.ok:
            return None
        self._project.update_dependencies(unit.key, compiled.depfile)
        if self._scanner is None:
            self._scanner = self._make_scanner()
        return self._scanner.parse(compiled.object, unit.source, cplusplus=unit.language == "c++")

    def ours(self, unit: Unit) -> Callable[[str], str | None]:
        """The absolute path of what a line marker names, if the project knows it as an input of the unit."""
        inputs, directory = self._project.inputs_of(unit.key), unit.command.directory

        def absolute(name: str) -> str | None:
            path = os.path.normpath(os.path.join(directory, name))
            return path if path in inputs else None

        return absolute

    def _settled(self, unit: Unit, stored: bytes | None) -> bool:
        tried = self._tried.get(unit.key)
        if stored is None and tried is None:
            return False
        return self._state(unit) in (stored, tried)

    def _state(self, unit: Unit) -> bytes:
        """A digest of everything that decides what is read of a unit."""
        digest = hashlib.blake2b(digest_size=16)
        arguments = unit.command.arguments
        for word in (str(SCHEMA), unit.command.directory, unit.source, *arguments, _version_of(arguments)):
            digest.update(word.encode("utf-8", "surrogateescape") + b"\0")
        for path in sorted(self._project.inputs_of(unit.key)):
            digest.update(path.encode("utf-8", "surrogateescape") + b"\0" + self._stamp(path))
        return digest.digest()

    def _stamp(self, path: str) -> bytes:
        stamp = self._stamps.get(path)
        if stamp is None:
            stamp = self._stamps[path] = self._store.digest_of(path)
        return stamp

    def _touched_at(self, unit: Unit, times: dict[str, int]) -> int:
        for path in self._project.inputs_of(unit.key):
            if path not in times:
                try:
                    times[path] = os.stat(path).st_mtime_ns
                except OSError:
                    times[path] = 0
        return max((times[path] for path in self._project.inputs_of(unit.key)), default=0)


class Background:
    """The same in a process of low priority, which ends with this one. Nothing it does can fail a session: without it
    there is no graph, and that is all."""

    def __init__(self, database: str, cache: Path, workdir: Path) -> None:
        self._arguments = (database, str(cache), str(workdir))
        self._process: subprocess.Popen[bytes] | None = None
        self._started = False
        self._rest = b""
        self.progress = (0, 0)
        """(units read, all units); (0, 0) until something is known."""

    def step(self) -> bool:
        """Starts the process if it does not run yet, and hears what it says. Never waits; False, since there is nothing
        left to do here."""
        if not self._started:
            self._started = True
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "relive.session.index_worker", *self._arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    process_group=0,
                )
        self._hear()
        return False

    def touched(self, files: Iterable[str]) -> None:
        """Files were saved."""
        self._say({"touched": sorted(files)})

    def database_changed(self) -> None:
        """compile_commands.json is another one."""
        self._say({"database": True})

    def close(self) -> None:
        """Ends the process; it leaves the store whole."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _say(self, message: dict[str, object]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()

    def _hear(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while selector.select(0):
                piece = os.read(self._process.stdout.fileno(), 65536)
                if not piece:
                    break
                *lines, self._rest = (self._rest + piece).split(b"\n")
                for line in lines:
                    with contextlib.suppress(ValueError, KeyError, TypeError):
                        done, total = json.loads(line)["progress"]
                        self.progress = (int(done), int(total))


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _version_of(arguments: tuple[str, ...]) -> str:
    """Which file the compiler is: another one has other headers and other builtin macros."""
    try:
        path = shutil.which(arguments[compiler_index(arguments)]) or ""
        status = os.stat(path)
    except (OSError, ReliveError):
        return ""
    return f"{os.path.realpath(path)} {status.st_size} {status.st_mtime_ns}"
