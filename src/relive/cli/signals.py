"""What signals to relive mean while it hosts a program.

`run`: the program is what the user started, so signals are the program's. The terminal sends Ctrl-C and Ctrl-\\ to
both of us: relive ignores its copy and ends when the program does. What somebody sends to relive alone (SIGTERM,
SIGHUP) is handed on. Python *handlers* are used and never SIG_IGN: ignored signals stay ignored across exec, and the
program would start with them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from relive.session.hosting import Host

FORWARDED = (signal.SIGTERM, signal.SIGHUP)


def while_running(host: Host) -> None:
    """For `relive run`; call it before the program starts."""
    signal.signal(signal.SIGUSR1, lambda *_: host.request_reload())
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, _nothing)
    for number in FORWARDED:
        signal.signal(number, lambda received, _: host.forward(received))


def while_attached(host: Host) -> Callable[[], bool]:
    """For `relive attach`: Ctrl-C and SIGTERM end relive only. The result tells whether that happened."""
    stopped = []

    def stop(number: int, _: FrameType | None) -> None:
        stopped.append(number)
        host.stop()

    signal.signal(signal.SIGUSR1, lambda *_: host.request_reload())
    for number in (signal.SIGINT, *FORWARDED):
        signal.signal(number, stop)
    return lambda: bool(stopped)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass
