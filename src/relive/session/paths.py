"""Where relive keeps things: a cache that may be thrown away, a runtime directory for sockets, a folder a session.

The runtime directory decides who may command a program, so it is made 0700 and *checked*: a directory that somebody
else made first in /tmp (owner, link, wider mode) is refused and not used. Nothing is ever written into the user's
source or build tree.

    cache     $XDG_CACHE_HOME/relive      ~/.cache/relive          agent, symbol indices, sessions/
    runtime   $XDG_RUNTIME_DIR/relive     /tmp/relive-$UID         <pid>.sock
    config    $XDG_CONFIG_HOME/relive     ~/.config/relive         relive.toml (read only)
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from relive.errors import StorageError

KEPT = 86400.0
"""Seconds that the folder of a crashed session stays."""


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The cache, made if needed. `StorageError` when it cannot be written."""
    environ = os.environ if environ is None else environ
    path = _base(environ, "XDG_CACHE_HOME", ".cache") / "relive"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        # Written and not only touched: a full disk lets empty files through.
        probe.write_bytes(b"relive" * 100)
        probe.unlink()
    except OSError as error:
        raise StorageError(
            f"the cache {path} cannot be written: {error.strerror or error}",
            "free space there, or set XDG_CACHE_HOME to a directory that can be written",
        ) from error
    return path


def runtime_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The directory of control sockets: ours alone. `StorageError` when it is not or cannot be."""
    environ = os.environ if environ is None else environ
    given = environ.get("XDG_RUNTIME_DIR", "")
    # The variable may point to another user's directory (su, sudo -E) or to none at all (containers).
    if given.startswith("/") and os.access(given, os.W_OK | os.X_OK) and os.stat(given).st_uid == os.getuid():
        path = Path(given) / "relive"
    else:
        path = Path("/tmp") / f"relive-{os.getuid()}"
    return private_dir(path)


def private_dir(path: Path) -> Path:
    """`path` as a real directory of ours with mode 0700, made if needed; `StorageError` if somebody else's."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise StorageError(
            f"{path} cannot be made: {error.strerror or error}",
            "set XDG_RUNTIME_DIR to a directory that you own and that can be written",
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        what = "a link or a file" if not stat.S_ISDIR(found.st_mode) else f"owned by user {found.st_uid}"
        raise StorageError(
            f"{path} is {what}: it cannot be trusted with control sockets",
            f"remove {path}, or set XDG_RUNTIME_DIR to a directory that you own",
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        path.chmod(0o700)
    return path


def config_file(environ: Mapping[str, str] | None = None) -> Path:
    """The user's own settings; need not exist."""
    environ = os.environ if environ is None else environ
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "relive" / "relive.toml"


def session_dir(cache: Path, pid: int) -> Path:
    """A new folder for the objects and patches of one session with process `pid`.

    The patches are files that the program has loaded and that debuggers open again: the folder must outlive the host
    when the program does, and a program that crashed by a day (its core file refers to them). So sessions sweep up
    behind *dead* ones here, by the pid in `owner`."""
    import tempfile

    sessions = cache / "sessions"
    try:
        sessions.mkdir(mode=0o700, exist_ok=True)
        _sweep(sessions)
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=sessions))
        (folder / "owner").write_text(str(pid))
        return folder
    except OSError as error:
        raise StorageError(f"no session folder in {sessions}: {error.strerror or error}", "free space there") from error


def _sweep(sessions: Path) -> None:
    import shutil

    for folder in sessions.iterdir():
        host = folder.name.partition("-")[0]
        try:
            owner = (folder / "owner").read_text()
        except OSError:
            owner = ""
        if not _alive(host) and not _alive(owner) and _age(folder) > KEPT:
            shutil.rmtree(folder, ignore_errors=True)


def _age(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0  # another session sweeps it just now


def _alive(pid: str) -> bool:
    # A recycled pid keeps a dead folder for one more session, which harms nobody.
    return pid.isdigit() and os.path.exists(f"/proc/{pid}")


def _base(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    # The XDG specification: relative paths in these variables are to be ignored.
    given = environ.get(variable, "")
    return Path(given) if given.startswith("/") else Path(environ.get("HOME") or os.path.expanduser("~")) / fallback
