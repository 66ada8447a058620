"""The Python face: `relive.Session`, synchronous, usable in a notebook.

    with relive.Session(build_dir="build") as session:
        ready = session.run(["build/game", "--level", "3"])
        ...                                   # edit a file
        event = session.reload()              # a `relive.events.Reload`
        for event in session: ...             # every event until the program ends

The host runs in a thread of its own; events arrive in a queue, and requests go through the same door as those of the
control socket."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from relive.errors import ReliveError, TargetError, TargetGone, UsageError
from relive.events import Event, Exit, Notice, Ready, Reload
from relive.session import config, paths
from relive.session.hosting import Host
from relive.session.messages import Answer, Request


class Session:
    """One program and everything that keeps it up to date. Settings are those of the command line, with ``_``."""

    def __init__(self, **settings: str | int | bool | None) -> None:
        """`UsageError` for a setting that does not exist or has no such value."""
        options = {name.replace("_", "-"): value for name, value in settings.items()}
        known = {setting.name for setting in config.SETTINGS}
        if unknown := options.keys() - known:
            raise UsageError(f"there is no setting `{min(unknown)}`", "known: " + ", ".join(sorted(known)))
        chosen = config.load(options, environ=os.environ, directory=Path.cwd(), user_file=paths.config_file())
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._host = Host(chosen, self._events.put, started=time.monotonic())
        self._thread: threading.Thread | None = None
        self._attached = False
        self._error: BaseException | None = None
        self.exit_status: int | None = None
        """The program's status once it ended, as a shell gives it (128 + signal)."""

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, program: Sequence[str]) -> Ready:
        """Start `program`; returns when saves are applied from now on. `ReliveError`: why that cannot be."""
        return self._begin(lambda: self._host.run(program))

    def attach(self, pid: int) -> Ready:
        """Join a program that runs already."""
        self._attached = True
        return self._begin(lambda: self._host.attach(pid))

    @property
    def pid(self) -> int:
        """Process id of the program; 0 before it was started."""
        return self._host.pid

    def reload(self, *, everything: bool = False, dry_run: bool = False) -> Reload:
        """Apply what is saved now and wait; the outcome, whatever it is."""
        return self._reload("reload", {"all": everything, "dry_run": dry_run})

    def undo(self, to: int | None = None) -> Reload:
        """Go back one reload, or to a generation (0: as started)."""
        return self._reload("undo", {"to": to})

    def status(self) -> dict[str, Any]:
        """Generation, queued files, refusals, modules, patch memory."""
        return dict(self._ask("status", {}).result)

    def explain(self, what: str | None = None) -> str:
        """Why a symbol or file was reloaded or not; without an argument, the last reload."""
        return str(self._ask("explain", {"what": what}).result["text"])

    def __iter__(self) -> Iterator[Event]:
        """Events not read yet, and those to come, until the program ended."""
        while (event := self._events.get()) is not None:
            yield event

    def close(self) -> None:
        """End the session: a program started here is ended (SIGTERM), one attached to runs on."""
        if self._thread is None:
            return
        if self._attached:
            self._host.stop()
        else:
            self._host.end_program()
        self._thread.join()
        self._thread = None

    def _begin(self, host: Callable[[], int]) -> Ready:
        if self._thread is not None:
            raise UsageError("this session has a program already", "make another Session")
        self._thread = threading.Thread(target=self._live, args=(host,), name="relive-session", daemon=True)
        self._thread.start()
        notice: Notice | None = None
        while (event := self._events.get()) is not None:
            if isinstance(event, Ready):
                return event
            if isinstance(event, Notice):
                notice = event
                if event.message.startswith("no reloads:"):
                    break
            if isinstance(event, Exit):
                break
        self.close()
        if isinstance(self._error, ReliveError):
            raise self._error
        if notice is not None:
            raise TargetError(notice.message, notice.hint)
        raise TargetGone("the program ended before it was ready")

    def _live(self, host: Callable[[], int]) -> None:
        try:
            self.exit_status = host()
        except BaseException as error:
            self._error = error
        finally:
            self._events.put(None)

    def _reload(self, command: str, arguments: dict[str, object]) -> Reload:
        (event,) = self._ask(command, arguments).events
        assert isinstance(event, Reload)
        return event

    def _ask(self, command: Any, arguments: dict[str, object]) -> Answer:
        if self._thread is None:
            raise UsageError("no program yet", "call run or attach first")
        answers: queue.SimpleQueue[Answer | ReliveError] = queue.SimpleQueue()
        self._host.request(Request(command, arguments, answers.put))
        while True:
            try:
                answer = answers.get(timeout=0.5)
            except queue.Empty:
                # The session may have ended between our question and its last look into the queue.
                if not self._thread.is_alive():
                    raise TargetGone("the program ended") from None
                continue
            if isinstance(answer, ReliveError):
                raise answer
            return answer
