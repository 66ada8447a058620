"""The plain face: what happened, in lines on stderr. One quiet line a reload; what the compiler said, unchanged;
refusals as `file:line: error: subject: reason [code]` with their hint.

Knows events and nothing else. Lines are written whole (one `write` each), so that they do not mix with the program's
own output on the same terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TextIO

from relive.errors import Refusal
from relive.events import Change, Crash, Event, Exit, Notice, Ready, Reload, Timings
from relive.ui.style import Style

FUNCTIONS_SHOWN = 4


class Plain:
    """Event → lines on `stream`. `verbosity`: -1 only what went wrong, 0 a line a reload, 1 everything."""

    def __init__(self, stream: TextIO, *, environ: Mapping[str, str], directory: str = "", verbosity: int = 0) -> None:
        self._stream = stream
        self._style = Style(stream, environ)
        self._directory = directory
        self._verbosity = verbosity

    def __call__(self, event: Event) -> None:
        match event:
            case Ready():
                if self._verbosity >= 0:
                    self._write(self._ready(event))
            case Change():
                if self._verbosity > 0:
                    self._write(self._line(f"changed: {self._names(event.files)}"))
            case Reload():
                self._write(self._reload(event))
            case Notice():
                self._write(self._notice(event))
            case Crash():
                held = "; it waits for a fix" if event.held else ""
                where = f" in {event.function}" if event.function else ""
                place = _place(self._short(event.file), event.line)
                self._write(f"{place}{self._error()}the program died of {event.signal}{where}{held}\n")
            case Exit():
                if self._verbosity > 0:
                    self._write(self._line(f"the program ended with status {event.status}"))

    def _write(self, text: str) -> None:
        if not text:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            pass  # The terminal is gone; the program and its reloads go on.

    def _ready(self, event: Ready) -> str:
        program = os.path.basename(event.program)
        return self._line(
            f"ready: {_count(event.units, 'unit')}, {_count(event.functions, 'function')} of {program}"
            f" (pid {event.pid}), {event.startup_ms / 1000:.2f} s"
        )

    def _notice(self, event: Notice) -> str:
        hint = f"\n{self._hint(event.hint)}" if event.hint else ""
        return self._line(event.message) if not hint else self._line(event.message).rstrip("\n") + hint + "\n"

    def _reload(self, event: Reload) -> str:
        files = self._names(event.files) or ("everything" if event.mode == "all" else "nothing saved")
        kept = f"the program runs on with generation {event.generation}"
        match event.status:
            case "applied" | "undone":
                if self._verbosity < 0:
                    return ""
                return self._applied(event, files) + self._notes(event)
            case "unchanged":
                if self._verbosity < 0:
                    return ""
                return self._line(f"{files}: nothing changed ({event.timings_ms.total:.0f} ms)") + self._notes(event)
            case "failed":
                words = event.message if event.message.endswith("\n") or not event.message else event.message + "\n"
                return words + self._line(self._style("red", f"{files}: not applied") + f"; {kept}, mend it and save")
            case "refused":
                shown = "".join(self.refusal(refusal) for refusal in event.refusals)
                return shown + self._notes(event) + self._line(self._style("red", f"{files}: refused") + f"; {kept}")

    def _applied(self, event: Reload, files: str) -> str:
        head = self._style("green", f"#{event.generation}")
        if event.status == "undone":
            return self._line(f"back at {head} in {event.timings_ms.total:.0f} ms, {_held(event)}")
        count = _count(len(event.functions), "function")
        took = f"{event.timings_ms.total:.0f} ms " + self._style("dim", f"({_steps(event.timings_ms)})")
        shown = event.functions if self._verbosity > 0 else event.functions[:FUNCTIONS_SHOWN]
        names = ", ".join(shown) + (f" and {rest} more" if (rest := len(event.functions) - len(shown)) else "")
        return self._line(f"{head} {files}: {count} in {took}, {_held(event)}" + (f": {names}" if names else ""))

    def _notes(self, event: Reload) -> str:
        return "".join(self._line(f"  {self._style('yellow', 'note:')} {note}") for note in event.notes)

    def refusal(self, refusal: Refusal) -> str:
        """Two lines about one thing that cannot be made live."""
        place = _place(self._short(refusal.file), refusal.line)
        text = f"{place}{self._error()}{refusal.subject}: {refusal.reason} [{refusal.code}]\n"
        return text + (self._hint(refusal.hint) + "\n" if refusal.hint else "")

    def _line(self, text: str) -> str:
        return f"{self._style('bold', 'relive:')} {text}\n"

    def _error(self) -> str:
        return self._style("red", "error:") + " "

    def _hint(self, text: str) -> str:
        return f"  {self._style('yellow', 'hint:')} {text}"

    def _names(self, files: tuple[str, ...]) -> str:
        shown = [self._short(file) for file in files[:3]]
        rest = len(files) - len(shown)
        return ", ".join(shown) + (f" and {rest} more" if rest else "")

    def _short(self, file: str) -> str:
        if self._directory and file.startswith(self._directory + os.sep):
            return file[len(self._directory) + 1 :]
        return file


def reload_from_json(answer: Mapping[str, Any]) -> Reload:
    """A `reload` event as it came over the control socket, as the record it was."""
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in answer.items()}
    fields["refusals"] = tuple(Refusal(**refusal) for refusal in answer.get("refusals", ()))
    fields["timings_ms"] = Timings(**answer.get("timings_ms", {}))
    return Reload(**fields)


def _steps(timings: Timings) -> str:
    named = ("detect", "analyse", "compile", "link", "apply")
    return ", ".join(f"{name} {_ms(getattr(timings, name))}" for name in named)


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _held(event: Reload) -> str:
    return f"held {event.pause_us / 1000:.2f} ms"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _place(file: str, line: int) -> str:
    if not file:
        return ""
    return f"{file}:{line}: " if line else f"{file}: "
