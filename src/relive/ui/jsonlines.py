"""The face for other programs: each event a line of JSON (docs/events.md), flushed at once."""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO

from relive.errors import UsageError
from relive.events import Event, to_json


class JsonLines:
    """Event → one line in `path` (made anew; a FIFO or a device is fine), or on stderr for ``-``."""

    def __init__(self, path: str) -> None:
        self._own = path != "-"
        try:
            self._stream: TextIO = open(path, "w", encoding="utf-8") if self._own else sys.stderr  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"--events {path}: {error.strerror}", "give a file that can be written, or -") from error

    def __call__(self, event: Event) -> None:
        try:
            self._stream.write(to_json(event) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # The reader went away or the disk is full; that must not end the session.

    def close(self) -> None:
        if self._own:
            with contextlib.suppress(OSError):
                self._stream.close()
