"""A real program under `relive run`, watched through its events file and from outside.

Nothing here sleeps to give something time: each wait is for one thing (an event, a line, an open port), with a time-out
that only a hanging program reaches, and ends early when the program has ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.programs.fetch import Tree

Event = dict[str, Any]
T = TypeVar("T")

PATIENCE = 240.0
"""Seconds after which something hangs; compiling all of redis on a busy machine takes a minute."""


class Live:
    """One session. ``events`` are all so far; output of program and relive is in ``out`` and ``err``."""

    def __init__(
        self,
        tree: Tree,
        argv: Sequence[str],
        folder: Path,
        cwd: Path,
        env: Mapping[str, str],
        options: Sequence[str],
    ) -> None:
        self.tree = tree
        self.out = folder / "stdout"
        self.err = folder / "stderr"
        self.events: list[Event] = []
        self._seen = 0
        self._events_file = folder / "events"
        # A runtime directory of its own: no other session can be meant. Short, for it holds a socket.
        self._runtime = Path(tempfile.mkdtemp(prefix="rl-"))
        self._env = {**os.environ, "XDG_RUNTIME_DIR": str(self._runtime), **env}
        build_dir = ("--build-dir", str(tree.build_dir))
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [*relive(), "run", *options, *build_dir, "--events", str(self._events_file), "--", *argv],
                cwd=cwd,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
            )

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def ready(self) -> Event:
        """The `ready` event, waited for."""
        event = self.wait_event(lambda event: event["event"] == "ready" or _is_hopeless(event), "ready", since=0)
        assert event["event"] == "ready", event["message"]
        return event

    def wait_event(self, wanted: Callable[[Event], bool], what: str, since: int | None = None) -> Event:
        """The first event that fits after the last one returned (or from index ``since``)."""
        start = self._seen if since is None else since

        def look() -> Event | None:
            self._read_events()
            for index in range(start, len(self.events)):
                if wanted(self.events[index]):
                    self._seen = max(self._seen, index + 1)
                    return self.events[index]
            return None

        return self.wait(look, what)

    def wait_reload(self) -> Event:
        """The next `reload` event."""
        return self.wait_event(lambda event: event["event"] == "reload", "a reload event")

    def save(self, diff: str) -> Event:
        """Edits files (see `Tree.edit`) and waits until all of them were handled. The last `reload` event."""
        self.catch_up()
        return self.settled(self.tree.edit(diff))

    def settled(self, paths: Iterable[str]) -> Event:
        """Waits for `reload` events until each of the files was in one. Several saves may become one reload."""
        open_files = {str(self.tree.root / path) for path in paths}
        while True:
            event = self.wait_reload()
            open_files -= set(event["files"])
            if not open_files:
                return event

    def catch_up(self) -> None:
        """What has been reported so far is not waited for any more."""
        self._read_events()
        self._seen = len(self.events)

    def relive(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another `relive` command in this session, e.g. ``undo``."""
        return subprocess.run(
            [*relive(), *words], env=self._env, cwd=self.tree.root, capture_output=True, text=True, timeout=PATIENCE
        )

    def send(self, text: str) -> None:
        """Writes to the program's stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait_text(self, text: str, file: Path | None = None, start: int = 0) -> int:
        """Waits until the program's output (or ``file``) holds ``text`` after ``start``; the offset behind it."""
        path = file or self.out

        def look() -> int | None:
            found = path.read_bytes().find(text.encode(), start) if path.exists() else -1
            return found + len(text.encode()) if found >= 0 else None

        return self.wait(look, f"{text!r} in {path.name}")

    def wait(self, look: Callable[[], T | None], what: str) -> T:
        """Calls ``look`` until it gives something."""
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = self.process.poll()
            if (found := look()) is not None:
                return found
            if ended is not None:
                raise AssertionError(f"the program ended with {ended} while waiting for {what}\n{self.story()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {PATIENCE:.0f} s for {what}\n{self.story()}")
            time.sleep(0.005)

    def end(self, how: Callable[[], object] | None = None) -> int:
        """Lets the program end (``how``; default SIGTERM to the program itself); relive's exit status."""
        if how is None:
            os.kill(self.ready["pid"], signal.SIGTERM)
        else:
            how()
        return self.process.wait(PATIENCE)

    def story(self) -> str:
        """What is known, for a failing test."""
        self._read_events()

        def tail(path: Path) -> str:
            return "\n".join(path.read_text(errors="replace").splitlines()[-25:])

        events = "\n".join(json.dumps(event)[:2000] for event in self.events[-12:])
        return f"--- events\n{events}\n--- stdout\n{tail(self.out)}\n--- stderr\n{tail(self.err)}"

    def close(self) -> None:
        """Nothing of the session stays behind."""
        if self.process.poll() is None:
            self._read_events()
            pids = [event["pid"] for event in self.events if event["event"] == "ready"]
            for pid in pids:
                # relive has not ended, so it has not reaped its child: the number is still the program's.
                os.kill(pid, signal.SIGKILL)
            if not pids:
                self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        shutil.rmtree(self._runtime, ignore_errors=True)

    def _read_events(self) -> None:
        if not self._events_file.exists():
            return
        lines = self._events_file.read_bytes().split(b"\n")[:-1]
        self.events.extend(json.loads(line) for line in lines[len(self.events) :])


@contextmanager
def live(
    tree: Tree,
    argv: Sequence[str],
    folder: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[Live]:
    """A session that is over, and its tree as it was, when the block is left."""
    session = Live(tree, argv, folder, cwd or folder, env or {}, options)
    try:
        assert session.ready["units"] > 0
        yield session
    except AssertionError as error:
        error.add_note(session.story())
        raise
    finally:
        session.close()
        tree.restore_all()


def relive() -> tuple[str, ...]:
    """The command, by the Python that runs the tests."""
    return (sys.executable, "-c", "from relive.cli.main import entry; entry()")


def _is_hopeless(event: Event) -> bool:
    """relive told why there will be no reloads; the program runs on all the same."""
    return event["event"] == "notice" and str(event["message"]).startswith("no reloads:")


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connect(session: Live, port: int) -> socket.socket:
    """A connection to a server that may still be starting."""

    def look() -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except ConnectionRefusedError:
            return None

    return session.wait(look, f"port {port}")
