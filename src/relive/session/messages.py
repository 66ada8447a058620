"""What can happen to a session, and what is answered: the messages in the loop's queue.

`FilesChanged` comes from the watcher (`relive.host.watch`), `Request` from the control socket or Python, the others
from the threads that wait for the program and for signals (`hosting.py`). Frozen values; no behaviour."""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from relive.errors import ReliveError
from relive.events import Event
from relive.host.watch import FilesChanged

FATAL = {
    int(number): number.name
    for number in (
        signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS
    )
}  # fmt: skip
"""Deaths that are a crash and not somebody's wish."""
EXIT_CODES = {"applied": 0, "undone": 0, "unchanged": 3, "refused": 4, "failed": 1}
"""Of `relive reload`, by how the reload ended."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets back: `exit` for the shell, `result` for `--json`."""

    exit: int
    result: Mapping[str, object]
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks: `command` and its arguments. The answer goes to `reply`."""

    command: Literal["reload", "undo", "restart", "status", "explain"]
    arguments: Mapping[str, object] = field(default_factory=dict)
    reply: Callable[[Answer | ReliveError], None] = lambda answer: None


@dataclass(frozen=True, slots=True)
class ProgramExited:
    """The program is gone; `status` as a shell gives it (128 + signal)."""

    status: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Leave the program as it is and end the session (attach: Ctrl-C)."""


Message: TypeAlias = FilesChanged | Request | ProgramExited | Stop
Queue: TypeAlias = queue.Queue[Message]


@dataclass(frozen=True, slots=True)
class Ended:
    """How the loop ended: the program's status, or None when the program runs on without us."""

    status: int | None


@dataclass(frozen=True, slots=True)
class RestartWanted:
    """The program shall be ended and started anew; `reply` waits for that."""

    reply: Callable[[Answer | ReliveError], None] = lambda answer: None
