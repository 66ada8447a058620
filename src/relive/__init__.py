"""relive: change C and C++ programs while they run.

`relive.Session` is the Python face; the command line is `relive.cli.main`."""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for True; importing `typing` would cost each start 3 ms

if TYPE_CHECKING:
    from relive.session.session import Session as Session

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # Late: the command line imports `relive` too, and starts the program before it imports numpy.
    if name == "Session":
        from relive.session.session import Session

        return Session
    raise AttributeError(f"module 'relive' has no attribute {name!r}")
