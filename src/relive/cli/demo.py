"""`relive demo`: build examples/pond in a temporary folder, run it under `relive run`, edit it while it runs, and show
that the process and its state stay the same. Ends by itself: 0 when everything happened as told, 1 otherwise.

It uses relive as a user does: the command line, files, the event stream. Nothing is simulated."""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import relive
from relive.cli import options
from relive.errors import BuildError, ReliveError, TargetError
from relive.ui.style import Style

PATIENCE = 120.0  # seconds for any one thing to happen; a loaded machine compiles slowly
LINES_SHOWN = 3  # of the program, after each edit


@dataclass(frozen=True, slots=True)
class Edit:
    """Something a person would do: in each file, one text becomes another; then they are saved."""

    title: str
    changes: tuple[tuple[str, str, str], ...]
    status: str
    shows: str
    """Pattern that the program's lines have afterwards."""


EDITS = (
    Edit(
        "a function's body",
        (("report.cpp", '" ducks"', '" happy ducks"'),),
        "applied",
        r"happy ducks",
    ),
    Edit(
        "a new static variable",
        (
            (
                "report.cpp",
                "    return line;",
                '    static int told = 0;\n    return line + " (told " + std::to_string(++told) + " times)";',
            ),
        ),
        "applied",
        r"\(told \d+ times\)",
    ),
    Edit(
        "a header: every file that includes it is compiled",
        (("pond.hpp", "crumbs_per_throw = 3;", "crumbs_per_throw = 1000;"),),
        "applied",
        r" \d{4,}",
    ),
    Edit(
        "a mistake: the compiler's words, and the program runs on",
        (("report.cpp", "    for (const Duck &duck : pond.ducks)", "    for (const Duck &duck : pond.geese)"),),
        "failed",
        r"happy ducks",
    ),
    Edit(
        "the mistake mended, and a new function that uses an old static, in three files at once",
        (
            ("pond.hpp", "void step(Pond &pond);", "void step(Pond &pond);\nlong thrown();"),
            ("pond.cpp", "void step(", "long thrown()\n{\n    return crumbs_thrown;\n}\n\nvoid step("),
            ("report.cpp", "pond.geese", "pond.ducks"),
            ("report.cpp", "    return line +", '    return line + ", together " + std::to_string(thrown()) +'),
        ),
        "applied",
        r"together \d+",
    ),
    Edit(
        "a new field in a type whose objects live: refused, with the reason, and the program runs on",
        (("pond.hpp", "    int eaten;", "    int eaten;\n    int age;"),),
        "refused",
        r"together \d+",
    ),
)


def parser() -> argparse.ArgumentParser:
    made = options.parser("demo", "Build a small program in a temporary folder, run it, edit it while it runs.")
    made.add_argument("--keep", action="store_true", help="leave the folder")
    return made


def main(arguments: argparse.Namespace) -> int:
    style = Style(sys.stdout, os.environ)
    folder = Path(tempfile.mkdtemp(prefix="relive-demo-"))
    try:
        shutil.copytree(_example(), folder, dirs_exist_ok=True)
        program = _build(folder, style)
        demo = _Demo(folder, program, style)
        try:
            return demo.play()
        finally:
            demo.end()
    finally:
        if arguments.keep:
            print(f"left in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


class _Demo:
    """The running program, its lines and relive's events, as they come."""

    def __init__(self, folder: Path, program: str, style: Style) -> None:
        self._folder = folder
        self._style = style
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._events: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
        fifo = folder / "events"
        os.mkfifo(fifo)
        _say(style, f"$ relive run -- {program}")
        environ = {key: value for key, value in os.environ.items() if not key.startswith("RELIVE_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "relive", "run", "--events", str(fifo), "--", program],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None,
            env=environ,
            text=True,
        )
        assert self._process.stdout is not None
        _reader(self._process.stdout, self._lines.put, str)
        # Both ends: a reader that opens a FIFO waits for a writer, and relive may end before it writes.
        events = os.fdopen(os.open(fifo, os.O_RDWR), encoding="utf-8")
        _reader(events, self._events.put, json.loads)

    def play(self) -> int:
        pid = self._event("ready")["pid"]
        shown = self._until(r".")
        for number, edit in enumerate(EDITS, 1):
            print()
            _say(self._style, f"edit {number}: {edit.title}")
            self._save(edit)
            outcome = self._reload_of(edit)
            if outcome != edit.status:
                raise TargetError(f"edit {number}: expected `{edit.status}`, and it came out `{outcome}`")
            shown += self._until(edit.shows)
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(PATIENCE)
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            shown.append(line)
        print()
        return self._judge(shown, pid, status)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _judge(self, lines: list[str], pid: int, status: int) -> int:
        """The proof, from the program's own lines: one process, no tick missing, no crumb lost."""
        told = [match for line in lines if (match := re.match(r"(\d+) (\d+) ", line))]
        pids = {int(match[1]) for match in told}
        ticks = [int(match[2]) for match in told]
        last = next(line for line in reversed(lines) if "together" in line)
        eaten = [int(number) for number in re.findall(r"[A-Z][a-z]+ (\d+)", last)]
        together = int(re.findall(r"together (\d+)", last)[0])
        checks = {
            f"one process, {pid}, from the first line to the last": pids == {pid},
            f"{len(ticks)} ticks, none lost, none repeated": ticks == [*range(1, ticks[-1] + 1), ticks[-1]],
            f"{together} crumbs in the old static, {'+'.join(map(str, eaten))} on the heap": together == sum(eaten),
            "the program ended by itself, with status 0": status == 0,
        }
        for what, holds in checks.items():
            mark = self._style("green", "yes") if holds else self._style("red", "NO ")
            print(f"  {mark}  {what}")
        return 0 if all(checks.values()) else 1

    def _save(self, edit: Edit) -> None:
        texts: dict[Path, str] = {}
        for name, old, new in edit.changes:
            path = self._folder / name
            text = texts.get(path) or path.read_text()
            assert old in text, f"{name} has no {old!r}"
            texts[path] = text.replace(old, new)
            print(self._style("dim", f"  {name}"))
            for sign, colour, side in (("-", "red", old), ("+", "green", new)):
                for line in side.splitlines():
                    print(self._style(colour, f"  {sign} {line}"))
        sys.stdout.flush()
        for path, text in texts.items():
            path.write_text(text)

    def _reload_of(self, edit: Edit) -> str:
        """How this edit ended. The watcher may see several saves one by one; the last one's outcome counts."""
        names = {name for name, _, _ in edit.changes}
        while True:
            event = self._event("reload")
            if names <= {os.path.basename(file) for file in event["files"]}:
                return str(event["status"])

    def _event(self, kind: str) -> Mapping[str, Any]:
        """The next event of this kind. `ReliveError` when relive ended or nothing comes."""
        while True:
            event: Mapping[str, Any] | None = self._next(self._events, f"a `{kind}` event")
            if event is None or event["event"] == "exit":
                raise TargetError("relive or the program ended early", "its last lines are above")
            if event["event"] == "notice" and event["message"].startswith("no reloads"):
                raise TargetError("relive cannot reload here", "`relive doctor` tells more")
            if event["event"] == kind:
                return event

    def _until(self, pattern: str) -> list[str]:
        """Lines of the program until some match; the last few are shown."""
        lines: list[str] = []
        matching = 0
        while matching < LINES_SHOWN:
            line = self._next(self._lines, "the program's next line")
            if line is None:
                raise TargetError("the program ended early", "its last lines are above")
            lines.append(line)
            if re.search(pattern, line):
                matching += 1
                print(f"  | {line}", flush=True)
        return lines

    def _next(self, source: queue.Queue[Any], what: str) -> Any:
        waited = 0.0
        while waited < PATIENCE:
            try:
                return source.get(timeout=0.5)
            except queue.Empty:
                waited += 0.5
                if self._process.poll() is not None and source.empty():
                    return None
        raise TargetError(f"waited {PATIENCE:.0f} s for {what}")


def _reader(stream: IO[str], put: Any, convert: Any) -> None:
    def read() -> None:
        for line in stream:
            put(convert(line.rstrip("\n")))
        put(None)

    threading.Thread(target=read, daemon=True).start()


def _example() -> Path:
    package = Path(relive.__file__).parent
    # In a wheel the example is package data; in a checkout it lies at the top.
    for place in (package / "examples" / "pond", package.parent.parent / "examples" / "pond"):
        if place.is_dir():
            return place
    raise ReliveError("the example program is missing", "reinstall relive")


def _build(folder: Path, style: Style) -> str:
    """Build the way that this machine can; the program, as one types it in the folder."""
    if shutil.which("cmake") and shutil.which("ninja"):
        commands = ["cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Debug", "ninja -C build"]
        program = "build/pond"
    elif shutil.which("make"):
        commands, program = ["make"], "./pond"
    else:
        raise BuildError("neither cmake and ninja nor make is installed", "apt-get install make g++")
    for command in commands:
        _say(style, f"$ {command}")
        done = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise BuildError(f"`{command}` failed:\n{done.stdout}{done.stderr}", "is g++ installed?")
    return program


def _say(style: Style, text: str) -> None:
    print(style("bold", text), flush=True)
