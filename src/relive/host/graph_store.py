"""Keeps the symbol dependency graph of a project on disk, in SQLite, between sessions and for several hosts at once.

Theory of operation. One file for each project (compile_commands.json), below the cache. A unit is a row that names the
forms it shows (`source.forms`), a form is a row of its own, kept once however many units show it. A unit comes in by
one transaction, with the digest of everything it was made from; a digest that is still the same says that nothing has
to be done. Two hosts that index the same unit write the same row twice, which harms nobody.

It is a cache: no fsync, and whatever is wrong with the file (cut off, overwritten, of another version) it is made anew.
Each form carries a checksum, since SQLite does not look at the content of its pages. A form that is damaged is removed,
with the units that show it. Bounded: forms that no unit shows any more go; beyond `LIMIT` nothing new is taken in; and
of many projects those used longest ago go."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from relive.errors import StorageError
from relive.source.forms import DamagedError, Form, Run, from_bytes, to_bytes
from relive.source.graph import Graph

SCHEMA = 7
"""Changes with the tables below and with anything that `source` puts into forms."""
LIMIT = 512 << 20
"""Bytes of one project's file beyond which no unit is added."""
PROJECTS = 32
"""Files kept in the folder."""
PATIENCE = 20.0
"""Seconds to wait for another host's transaction."""

_TABLES = """
CREATE TABLE forms (digest BLOB PRIMARY KEY, file TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE units (key TEXT PRIMARY KEY, source TEXT NOT NULL, state BLOB NOT NULL, runs BLOB NOT NULL);
CREATE TABLE shows (unit TEXT NOT NULL, form BLOB NOT NULL, PRIMARY KEY (unit, form)) WITHOUT ROWID;
CREATE INDEX shown ON shows (form);
CREATE INDEX form_files ON forms (file);
CREATE TABLE files (path TEXT PRIMARY KEY, mtime INTEGER, size INTEGER, inode INTEGER, digest BLOB) WITHOUT ROWID;
"""
_RUN = struct.Struct("<16sII")
_T = TypeVar("_T")


class _MissingError(Exception):
    """A form that is shown is not there; the transaction comes to nothing."""


@dataclass(frozen=True, slots=True)
class StoredUnit:
    """What there is of a unit."""

    key: str
    source: str
    state: bytes
    runs: tuple[Run, ...]


class GraphStore:
    """The graph of one project. An object belongs to one thread; several processes may open the same file."""

    def __init__(self, path: Path) -> None:
        """Opens the file, made when there is none. StorageError when the folder cannot be written."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._open()
        except (OSError, sqlite3.Error) as error:
            raise _storage_error(path, error) from error
        with contextlib.suppress(OSError):
            os.utime(path)
        _sweep(path.parent)

    def __enter__(self) -> GraphStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    # --- writing -------------------------------------------------------------------------------------------------

    def put(self, key: str, source: str, state: bytes, runs: Sequence[Run], forms: Iterable[Form]) -> bool:
        """Takes in a unit. False when a form that it shows is not there (another host has just removed it): then all
        of its forms must be read."""
        rows = [(form.digest, _text(form.file), to_bytes(form)) for form in forms]
        shown = {run.form for run in runs}

        def work(connection: sqlite3.Connection) -> bool:
            connection.executemany("INSERT OR REPLACE INTO forms VALUES (?, ?, ?)", rows)
            known = {digest for (digest,) in connection.execute("SELECT digest FROM forms")}
            if not shown <= known:
                raise _MissingError
            packed = b"".join(_RUN.pack(run.form, run.first, run.count) for run in runs)
            before = {form for (form,) in connection.execute("SELECT form FROM shows WHERE unit = ?", (key,))}
            connection.execute("INSERT OR REPLACE INTO units VALUES (?, ?, ?, ?)", (key, _text(source), state, packed))
            connection.executemany("DELETE FROM shows WHERE unit = ? AND form = ?", [(key, f) for f in before - shown])
            connection.executemany("INSERT OR IGNORE INTO shows VALUES (?, ?)", [(key, form) for form in shown])
            _drop_unshown(connection, before - shown)
            return True

        try:
            return self._write(work)
        except _MissingError:
            return False

    def forget_all_but(self, keys: Collection[str]) -> int:
        """Drops units that the project no longer has; how many."""

        def work(connection: sqlite3.Connection) -> int:
            gone = [key for (key,) in connection.execute("SELECT key FROM units") if key not in keys]
            _drop_units(connection, gone)
            return len(gone)

        return self._write(work)

    def digest_of(self, path: str) -> bytes:
        """What is in a file, by its content; asked again only if the time stamp, size or inode is another. b"" for one
        that cannot be read."""
        try:
            status = os.stat(path)
            looks = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            return b""
        for *known, digest in self._read(
            lambda c: c.execute(
                "SELECT mtime, size, inode, digest FROM files WHERE path = ?", (_text(path),)
            ).fetchall()
        ):
            if tuple(known) == looks:
                return bytes(digest)
        try:
            digest = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()
        except OSError:
            return b""
        # A save within the same tick of the clock would not show: young files are looked at again.
        if time.time_ns() - status.st_mtime_ns > 2_000_000_000:
            row = (_text(path), *looks, digest)
            self._write(lambda c: c.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", row))
        return digest

    # --- reading -------------------------------------------------------------------------------------------------

    def states(self) -> dict[str, bytes]:
        """What each unit was made from."""
        return dict(self._read(lambda c: c.execute("SELECT key, state FROM units").fetchall()))

    def digests(self) -> set[bytes]:
        """Forms that need no reading."""
        return {digest for (digest,) in self._read(lambda c: c.execute("SELECT digest FROM forms").fetchall())}

    def units_of(self, files: Iterable[str]) -> set[str]:
        """Keys of units that show something of these files."""
        query = "SELECT DISTINCT unit FROM shows JOIN forms ON form = digest WHERE file = ?"
        found: set[str] = set()
        for file in files:
            found |= {key for (key,) in self._read(lambda c, file=file: c.execute(query, (_text(file),)).fetchall())}  # type: ignore[misc]
        return found

    def unit(self, key: str) -> StoredUnit | None:
        rows = self._read(lambda c: c.execute("SELECT * FROM units WHERE key = ?", (key,)).fetchall())
        return StoredUnit(rows[0][0], rows[0][1], rows[0][2], _runs(rows[0][3])) if rows else None

    def form(self, digest: bytes) -> Form | None:
        """One form; None when there is none, or it was damaged."""
        rows = self._read(lambda c: c.execute("SELECT data FROM forms WHERE digest = ?", (digest,)).fetchall())
        found = [form for form in map(self._form, [digest], [row[0] for row in rows]) if form is not None]
        return found[0] if found else None

    def forms_of(self, file: str) -> list[Form]:
        """All forms of a file: one for each way in which units see it."""
        query = "SELECT digest, data FROM forms WHERE file = ? ORDER BY rowid"
        rows = self._read(lambda c: c.execute(query, (_text(file),)).fetchall())
        return [form for form in (self._form(digest, data) for digest, data in rows) if form is not None]

    def graph(self, keys: Collection[str] | None = None) -> Graph:
        """The graph of these units, or of all that are there."""
        rows = self._read(lambda c: c.execute("SELECT key, runs FROM units").fetchall())
        units = {key: _runs(runs) for key, runs in rows if keys is None or key in keys}
        wanted = {run.form for runs in units.values() for run in runs}
        forms: dict[bytes, Form] = {}
        for digest, data in self._read(lambda c: _selected(c, wanted)):
            form = self._form(digest, data)
            if form is not None:
                forms[digest] = form
        whole = {key: runs for key, runs in units.items() if all(run.form in forms for run in runs)}
        return Graph(forms.values(), whole)

    def size(self) -> int:
        """Bytes on disk."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def _form(self, digest: bytes, data: bytes) -> Form | None:
        try:
            form = from_bytes(data)
            if form.digest != digest:
                raise DamagedError
        except DamagedError:

            def work(connection: sqlite3.Connection) -> None:
                users = connection.execute("SELECT unit FROM shows WHERE form = ?", (digest,)).fetchall()
                _drop_units(connection, [key for (key,) in users])
                connection.execute("DELETE FROM forms WHERE digest = ?", (digest,))

            self._write(work)
            return None
        return form

    # --- the file ------------------------------------------------------------------------------------------------

    def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            try:
                return work(self._connection)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._mend()
                return work(self._connection)
        except sqlite3.Error as error:
            raise _storage_error(self.path, error) from error

    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        def transaction(connection: sqlite3.Connection) -> _T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            return result

        return self._read(transaction)

    def _open(self) -> sqlite3.Connection:
        """A connection to a file that is whole and of our version. Several processes may find it broken at once: one
        makes it anew, the others find it whole."""
        with open(f"{self.path}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection = None
            try:
                connection = _connect(self.path)
                if _is_whole(connection):
                    return connection
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
            if connection is not None:
                connection.close()
            for path in (self.path, Path(f"{self.path}-journal")):
                path.unlink(missing_ok=True)
            connection = _connect(self.path)
            connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
            return connection

    def _mend(self) -> None:
        self._connection.close()
        self._connection = self._open()


def store_path(cache: Path, database: str) -> Path:
    """Where the graph of the project with this compile_commands.json is kept."""
    name = hashlib.blake2b(os.path.realpath(database).encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
    return cache / "graphs" / f"{name}.sqlite"


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    # Crashes of the machine may break the file: then it is made anew. Not asking the disk each time is worth more.
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _is_whole(connection: sqlite3.Connection) -> bool:
    if connection.execute("PRAGMA user_version").fetchone() != (SCHEMA,):
        return False
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"forms", "units", "shows", "files"} <= tables:
        return False
    return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is not what it should be, rather than busy, or the disk full."""
    if isinstance(error, sqlite3.OperationalError):
        return "no such" in str(error) or "has no column" in str(error)
    return type(error) in (sqlite3.DatabaseError, sqlite3.InternalError)


def _selected(connection: sqlite3.Connection, wanted: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    digests = sorted(wanted)
    rows: list[tuple[bytes, bytes]] = []
    for start in range(0, len(digests), 500):
        some = digests[start : start + 500]
        marks = ",".join("?" * len(some))
        rows += connection.execute(f"SELECT digest, data FROM forms WHERE digest IN ({marks})", some).fetchall()
    return iter(rows)


def _drop_units(connection: sqlite3.Connection, keys: Iterable[str]) -> None:
    for key in keys:
        shown = {form for (form,) in connection.execute("SELECT form FROM shows WHERE unit = ?", (key,))}
        connection.execute("DELETE FROM units WHERE key = ?", (key,))
        connection.execute("DELETE FROM shows WHERE unit = ?", (key,))
        _drop_unshown(connection, shown)


def _drop_unshown(connection: sqlite3.Connection, forms: Iterable[bytes]) -> None:
    unshown = "DELETE FROM forms WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM shows WHERE form = digest)"
    connection.executemany(unshown, [(form,) for form in forms])


def _runs(packed: bytes) -> tuple[Run, ...]:
    return tuple(Run(form, first, count) for form, first, count in _RUN.iter_unpack(packed))


def _text(path: str) -> str:
    # SQLite takes no lone surrogates; a name that is no UTF-8 gets a spelling of its own.
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _sweep(folder: Path) -> None:
    """Drops the files used longest ago."""
    found = []
    with contextlib.suppress(OSError):
        for path in folder.glob("*.sqlite"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime, path))
    for _, path in sorted(found, reverse=True)[PROJECTS:]:
        for one in (path, Path(f"{path}.lock"), Path(f"{path}-journal")):
            with contextlib.suppress(OSError):
                one.unlink()


def _storage_error(path: Path, error: Exception) -> StorageError:
    return StorageError(f"the dependency graph {path} cannot be used: {error}", f"free space there, or remove {path}")
