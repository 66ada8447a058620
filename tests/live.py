"""Drives relive from outside, as a user would: starts a program under ``relive run`` (or attaches), talks to the
program's own stdin and stdout, and waits for events. Everything waits for the thing itself, with a time-out that only a
hang reaches."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

TIMEOUT = 120.0
"""Seconds until something is taken for hung."""
TICK = 0.004
"""Seconds between two looks at the file of events (a plain file: relive may write it, we may only read)."""


class HungError(AssertionError):
    """The program or relive did not do what was waited for; says what was seen instead."""


class Live:
    """One program kept up to date by relive. ``with Live.run([...], cwd=...) as live: live.ready(); live.ask("step")``.

    ``folder`` gets ``events.jsonl`` and ``stderr.txt`` (of relive and of the program). The runtime directory (sockets)
    is a private short path, so tests run beside each other; the cache may be shared, as a user's sessions share it."""

    def __init__(
        self, process: subprocess.Popen[bytes], host: subprocess.Popen[bytes], folder: Path, env: dict[str, str]
    ) -> None:
        self.process = process
        """The process whose stdin and stdout are the program's: relive itself for `run`, the program for `attach`."""
        self.host = host
        self.folder = folder
        self.env = env
        self.events: list[dict[str, Any]] = []
        """Every event so far, in order."""
        self._seen = 0
        self._offset = 0
        self._output = b""

    # --- start and end ----------------------------------------------------------------------------------------------

    @classmethod
    def run(
        cls, program: Sequence[str], *, cwd: Path, folder: Path, options: Sequence[str] = (),
        env: Mapping[str, str] | None = None, cache: Path | None = None,
    ) -> Live:  # fmt: skip
        """``relive run OPTIONS --events … -- PROGRAM``. ``folder`` must exist and be the test's own."""
        variables = _environment(env, folder, cache)
        words = [*_relive(), "run", "--ui", "plain", "--events", str(folder / "events.jsonl"), *options, "--", *program]
        with (folder / "stderr.txt").open("ab") as errors:
            process = subprocess.Popen(
                words, cwd=cwd, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        return cls(process, process, folder, variables)

    @classmethod
    def attach(
        cls, program: Sequence[str], *, cwd: Path, folder: Path, options: Sequence[str] = (),
        env: Mapping[str, str] | None = None, cache: Path | None = None, before: Callable[[Live], None] | None = None,
    ) -> Live:  # fmt: skip
        """Starts the program alone, lets ``before`` talk to it, then ``relive attach PID``."""
        variables = _environment(env, folder, cache)
        with (folder / "stderr.txt").open("ab") as errors:
            process = subprocess.Popen(
                program, cwd=cwd, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
            live = cls(process, process, folder, variables)
            try:
                if before is not None:
                    before(live)
                words = ["--ui", "plain", "--events", str(folder / "events.jsonl"), *options]
                live.host = subprocess.Popen(
                    [*_relive(), "attach", str(process.pid), *words],
                    cwd=cwd,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                )
            except BaseException:
                live.close()
                raise
        return live

    def __enter__(self) -> Live:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends whatever still runs (only what this object started) and removes the runtime directory."""
        for process in {self.process, self.host}:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        pid = self.pid
        if pid and pid != self.process.pid and _runs_in(pid, self.folder):
            os.kill(pid, signal.SIGKILL)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # the program ended before it read all
                    pipe.close()
        shutil.rmtree(self.env["XDG_RUNTIME_DIR"], ignore_errors=True)

    @property
    def pid(self) -> int:
        """The program's process id, 0 before the ready event."""
        return next((int(e["pid"]) for e in self.events if e["event"] == "ready"), 0)

    # --- events -----------------------------------------------------------------------------------------------------

    def poll_events(self) -> None:
        """Reads the events written since the last look."""
        path = self.folder / "events.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        complete = text.rfind(b"\n") + 1
        self._offset += complete
        self.events += [json.loads(line) for line in text[:complete].splitlines() if line.strip()]

    def wait_event(self, kind: str, timeout: float = TIMEOUT) -> dict[str, Any]:
        """The next event of a kind that was not taken yet (those of other kinds before it are passed over)."""
        limit = time.monotonic() + timeout
        while True:
            ended = self.host.poll() is not None
            self.poll_events()
            for number in range(self._seen, len(self.events)):
                if self.events[number]["event"] == kind:
                    self._seen = number + 1
                    return self.events[number]
            if ended or time.monotonic() > limit:
                how = f"relive ended with {self.host.returncode}" if ended else "time-out"
                raise HungError(f"no `{kind}` event: {how}\nevents since: {self.events[self._seen :]}\n{self.errors()}")
            time.sleep(TICK)

    def ready(self) -> dict[str, Any]:
        """Waits until saves are applied."""
        return self.wait_event("ready")

    def next_reload(self) -> dict[str, Any]:
        """Waits for the one event that ends a save."""
        return self.wait_event("reload")

    def reloads(self) -> list[dict[str, Any]]:
        """All `reload` events so far."""
        self.poll_events()
        return [e for e in self.events if e["event"] == "reload"]

    def errors(self) -> str:
        """The last lines that relive and the program wrote to stderr."""
        path = self.folder / "stderr.txt"
        return "stderr: " + path.read_text(errors="replace")[-3000:] if path.exists() else ""

    # --- the program ------------------------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """Writes to the program's stdin."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise HungError(f"the program is gone ({self._status()})\n{self.errors()}") from error

    def read_line(self) -> str | None:
        """One line of the program's stdout without its newline; None at its end."""
        assert self.process.stdout is not None
        limit = time.monotonic() + TIMEOUT
        while b"\n" not in self._output:
            readable, _, _ = select.select([self.process.stdout], [], [], max(0.0, limit - time.monotonic()))
            if not readable:
                raise HungError(f"no line from the program\n{self.errors()}")
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                return None
            self._output += chunk
        line, _, self._output = self._output.partition(b"\n")
        return line.decode(errors="replace")

    def answer(self) -> tuple[str, ...]:
        """The lines up to the next lone ``.``."""
        lines: list[str] = []
        while (line := self.read_line()) != ".":
            if line is None:
                raise HungError(f"the program died ({self._status()}) after {lines}\n{self.errors()}")
            lines.append(line)
        return tuple(lines)

    def ask(self, line: str = "step") -> tuple[str, ...]:
        """One request and its answer."""
        self.send(line + "\n")
        return self.answer()

    def finish(self) -> tuple[tuple[str, ...], int]:
        """Closes the program's stdin; the lines of its exit, and the status of relive (`run`) or program (`attach`)."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        lines = []
        while (line := self.read_line()) is not None:
            lines.append(line)
        status = self.process.wait(TIMEOUT)
        self.host.wait(TIMEOUT)
        self.poll_events()
        return tuple(lines), status

    def _status(self) -> str:
        try:
            return f"status {self.process.wait(5)}"
        except subprocess.TimeoutExpired:
            return "still running"

    # --- relive's other commands ------------------------------------------------------------------------------------

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``relive WORDS`` for this session; any exit status."""
        return subprocess.run(
            [*_relive(), *words],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )


def _relive() -> list[str]:
    return [str(Path(sys.executable).with_name("relive"))]


def _environment(env: Mapping[str, str] | None, folder: Path, cache: Path | None) -> dict[str, str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("RELIVE_")} | dict(env or {})
    # A short path: that of a Unix socket has 107 bytes at most.
    variables["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="rl-")
    variables["XDG_CACHE_HOME"] = str(cache or folder / "cache")
    return variables


def _runs_in(pid: int, folder: Path) -> bool:
    """Whether a process is still the program that this test built (process ids are used again)."""
    try:
        return Path(os.readlink(f"/proc/{pid}/exe")).is_relative_to(folder)
    except OSError:
        return False
