"""The control socket: how `relive reload` in one terminal talks to `relive run` in another.

A socket per program, `<runtime directory>/<pid>.sock`; one JSON object a line each way:

    → {"command": "reload", "arguments": {"all": true}}
    ← {"exit": 0, "result": {...}, "events": [{"event": "reload", ...}]}
    ← {"exit": 1, "error": "message", "hint": "...", "code": "target-gone"}

Who may talk: the directory is ours and 0700 (`paths.runtime_dir`), and the kernel tells the peer's user id; root and
we ourselves are let in. The server has a thread for each connection and no state: a request is put into the session's
queue, and the answer comes back through it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relive.errors import ReliveError, StorageError, TargetError, TargetGone, UsageError

if TYPE_CHECKING:  # the clients (`relive reload`) start faster without the loop's imports
    from relive.session.messages import Answer, Request

COMMANDS = ("reload", "undo", "restart", "status", "explain")
MAX_REQUEST = 64 * 1024  # bytes; requests are a few words


@dataclass(frozen=True, slots=True)
class Peer:
    """A session that can be talked to."""

    pid: int
    program: str
    path: Path


class ControlServer:
    """Listens for one program until `close`. `TargetError` when another relive already watches this program."""

    def __init__(self, directory: Path, pid: int, put: Callable[[Request], None]) -> None:
        self._path = directory / f"{pid}.sock"
        self._put = put
        self._socket = _listen(self._path, pid)
        self._thread = threading.Thread(target=self._accept, name="relive-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        # Closing alone does not wake a thread that sits in accept(2); shutdown does.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if _peer_uid(connection) in (0, os.getuid()):
                threading.Thread(target=self._talk, args=(connection,), name="relive-request", daemon=True).start()
            else:
                connection.close()

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            while line := lines.readline(MAX_REQUEST):
                reply = self._answer(line)
                connection.sendall(json.dumps(reply).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            command, arguments = request["command"], request.get("arguments", {})
            if command not in COMMANDS or not isinstance(arguments, dict):
                raise ValueError(f"unknown command {command!r}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return _failure(
                UsageError(f"not a request: {error}", "one JSON object a line; is this another version of relive?")
            )
        return self.ask(command, arguments)

    def ask(self, command: Any, arguments: Mapping[str, object]) -> dict[str, object]:
        """Through the session's queue and back; also what Python's `Session` uses."""
        from relive.session.messages import Request

        answers: queue.SimpleQueue[Answer | ReliveError] = queue.SimpleQueue()
        self._put(Request(command, arguments, answers.put))
        return encode(answers.get())


def encode(answer: Answer | ReliveError) -> dict[str, object]:
    """An answer as the line on the wire."""
    if isinstance(answer, ReliveError):
        return _failure(answer)
    from relive.events import to_json

    return {
        "exit": answer.exit,
        "result": dict(answer.result),
        "events": [json.loads(to_json(event)) for event in answer.events],
    }


def sessions(directory: Path) -> list[Peer]:
    """All sessions of this user that answer; sockets of dead ones are removed on the way."""
    found = []
    for path in sorted(directory.glob("*.sock")):
        if not path.stem.isdigit():
            continue
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if _connects(probe, path):
                found.append(Peer(int(path.stem), _program_of(int(path.stem)), path))
            else:
                path.unlink(missing_ok=True)
    return found


def choose(directory: Path, pid: int | None) -> Peer:
    """The session meant by `--pid`, or the only one. `UsageError` lists them where it is not clear."""
    running = sessions(directory)
    if pid is not None:
        for peer in running:
            if peer.pid == pid:
                return peer
        raise TargetError(f"no relive watches process {pid}", _listing(running))
    if not running:
        raise TargetError("no relive runs", "start the program with `relive run -- PROGRAM`")
    if len(running) > 1:
        raise UsageError("several programs are watched; say which", _listing(running))
    return running[0]


def call(peer: Peer, command: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Ask a session and wait for its answer, however long it compiles. An error there is the same error here."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(peer.path))
            connection.sendall(json.dumps({"command": command, "arguments": dict(arguments)}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline()
        except OSError as error:
            raise TargetGone(
                f"the session of process {peer.pid} went away: {error}", "it ended, see its terminal"
            ) from error
    if not line:
        raise TargetGone(f"the session of process {peer.pid} ended before it answered", "see its terminal")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        error_class = next((c for c in _error_classes() if c.code == answer.get("code")), ReliveError)
        raise error_class(str(answer["error"]), str(answer.get("hint", "")))
    return answer


def _listen(path: Path, pid: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        for _ in range(3):
            try:
                listener.bind(str(path))
                listener.listen()
                return listener
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if _connects(probe, path):
                    raise TargetError(
                        f"another relive already watches process {pid}",
                        f"use `relive reload --pid {pid}`, or end that relive first",
                    )
            # Left behind by a host that was killed.
            path.unlink(missing_ok=True)
        raise OSError(errno.EADDRINUSE, "somebody else is faster each time", str(path))
    except OSError as error:
        listener.close()
        raise StorageError(
            f"no control socket {path}: {error.strerror or error}", "set XDG_RUNTIME_DIR to a short path that you own"
        ) from error
    except ReliveError:
        listener.close()
        raise


def _connects(probe: socket.socket, path: Path) -> bool:
    probe.settimeout(5)
    try:
        probe.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    return True


def _peer_uid(connection: socket.socket) -> int:
    # struct ucred of unix(7): pid, uid, gid.
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def _program_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return "?"


def _listing(running: list[Peer]) -> str:
    if not running:
        return "no program is watched; start one with `relive run -- PROGRAM`"
    return "; ".join(f"--pid {peer.pid} ({os.path.basename(peer.program)})" for peer in running)


def _failure(error: ReliveError) -> dict[str, object]:
    return {"exit": error.exit_code, "error": str(error), "hint": error.hint, "code": error.code}


def _error_classes() -> Iterator[type[ReliveError]]:
    # RefusedError takes other arguments and never crosses the socket: refusals are events.
    waiting = [ReliveError]
    while waiting:
        cls = waiting.pop()
        waiting.extend(cls.__subclasses__())
        if cls.code != "refused":
            yield cls
