"""From the save of a file to the first answer of the new code, beside the program's own build and a restart.

For each program one body is edited again and again (a marker in its answer changes), then a header that several units
include. One round is: write the file, then ask the program every millisecond until the answer shows the marker. The
split by step is relive's own (`timings_ms`); the whole is seen from outside. In the same run: the unit's compile
command alone, and save + make or ninja + start + first answer. Medians."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.programs.driver import Event, Live, free_port, live
from tests.programs.fetch import Tree, checkout

from benchmarks import page
from benchmarks.generate import methods, project

ROUNDS = 9
BASE_ROUNDS = 7
STEPS = ("detect", "analyse", "compile", "link", "apply", "total")

Ask = Callable[[], str]
"""One answer of the running program, as soon as it comes."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is edited: in ``file``, the text ``old`` (as shipped) becomes ``new`` with the round's number for ``@``."""

    name: str
    file: str
    old: str
    new: str
    first: tuple[str, str, str] | None = None
    """An edit that is made once along with it, so that the marker can be seen: file, old, new."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A program to measure: how to start it, how to ask it, what to edit."""

    name: str
    argv: Callable[[Tree, int], list[str]]
    ask: Callable[[int, subprocess.Popen[bytes], Path], Ask]
    """From port, process and its output file to a function that asks once."""
    body: Scenario
    header: Scenario | None
    cwd: str = "."
    env: Mapping[str, str] = field(default_factory=dict)


# --- how programs are asked ---------------------------------------------------------------------------------------


def _tcp(request: bytes) -> Callable[[int, subprocess.Popen[bytes], Path], Ask]:
    def make(port: int, process: subprocess.Popen[bytes], out: Path) -> Ask:
        stream = _connect(port, process)

        def ask() -> str:
            stream.sendall(request)
            return stream.recv(4096).decode()

        return ask

    return make


def _connect(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    while process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            time.sleep(0.0005)
    raise RuntimeError(f"{process.args!r} ended with {process.returncode}")


def _lines(request: bytes) -> Callable[[int, subprocess.Popen[bytes], Path], Ask]:
    """A line into stdin, a line out."""

    def make(port: int, process: subprocess.Popen[bytes], out: Path) -> Ask:
        reader = open(out, "rb", buffering=0)  # noqa: SIM115  (lives as long as the program)

        def ask() -> str:
            assert process.stdin is not None
            process.stdin.write(request)
            process.stdin.flush()
            line = b""
            while not line.endswith(b"\n"):
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
                line += reader.read(4096) or b""
            return line.decode()

        return ask

    return make


def _console(port: int, process: subprocess.Popen[bytes], out: Path) -> Ask:
    """teeworlds' external console: it looks at its sockets 50 times a second."""
    stream = _connect(port + 1, process)
    stream.sendall(b"x\n")
    while b"successful" not in stream.recv(4096):
        pass

    def ask() -> str:
        stream.sendall(b"tune nothing 1\n")
        answer = b""
        while b"tuning" not in answer:
            answer += stream.recv(4096)
        return answer.decode()

    return ask


def _log(port: int, process: subprocess.Popen[bytes], out: Path) -> Ask:
    """chocolate-doom tells its marker on stderr, 35 times a second."""
    reader = open(out.with_name("stderr"), "rb", buffering=0)  # noqa: SIM115

    def ask() -> str:
        while process.poll() is None:
            if text := reader.read(65536):
                return text.decode(errors="replace")
            time.sleep(0.0002)
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")

    return ask


# --- the programs -------------------------------------------------------------------------------------------------

_REPL = Path(__file__).resolve().parent.parent / "tests/programs/lua/repl.lua"
_TEE = "sv_port {0};sv_register 0;ec_port {1};ec_password x;ec_bindaddr 127.0.0.1;ec_output_level 0;sv_map dm1"

SUBJECTS = (
    Subject(
        name="redis",
        argv=lambda tree, port: [
            *(str(tree.executable), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
        ],
        ask=_tcp(b"HELLO 2\r\n"),
        body=Scenario("body", "src/networking.c", 'addReplyBulkCString(c,"redis");', 'addReplyBulkCString(c,"N@");'),
        header=Scenario("header", "src/version.h", '"7.0.15"', '"N@"'),
    ),
    Subject(
        name="memcached",
        argv=lambda tree, port: [
            *(str(tree.executable), "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "4"),
        ],
        ask=_tcp(b"version\r\n"),
        body=Scenario("body", "proto_text.c", '"VERSION " VERSION', '"N@ " VERSION'),
        header=Scenario(
            *("header", "memcached.h", "#define KEY_MAX_LENGTH 250"),
            '#define MARK "N@"\n#define KEY_MAX_LENGTH 250',
            ("proto_text.c", '"VERSION " VERSION', "MARK"),
        ),
    ),
    Subject(
        name="lua5.4",
        argv=lambda tree, port: [str(tree.executable), str(_REPL)],
        ask=_lines(b"return math.abs(0.5)\n"),
        body=Scenario(
            "body",
            "src/lmathlib.c",
            "lua_pushnumber(L, l_mathop(fabs)(luaL_checknumber(L, 1)))",
            'lua_pushstring(L, "N@")',
        ),
        header=Scenario("header", "src/luaconf.h", '"%.14g"', '"%.14gN@"'),
    ),
    Subject(
        name="chocolate-doom",
        argv=lambda tree, port: [
            *(str(tree.executable), "-iwad", "/usr/share/games/doom/freedoom1.wad", "-nosound", "-nomusic", "-nogui"),
            *("-skill", "3", "-warp", "1", "1", "-window"),
        ],
        ask=_log,
        env={"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"},
        body=Scenario("body", "src/doom/p_tick.c", "leveltime++;\t", 'leveltime++; fprintf(stderr, "N@\\n");'),
        header=Scenario(
            *("header", "src/doom/p_local.h", "#define __P_LOCAL__", '#define __P_LOCAL__\n#define MARK "N@\\n"'),
            ("src/doom/p_tick.c", "leveltime++;\t", "leveltime++; fprintf(stderr, MARK);"),
        ),
    ),
    Subject(
        name="teeworlds",
        argv=lambda tree, port: [str(tree.executable), _TEE.format(port + 2, port + 1)],
        ask=_console,
        body=Scenario("body", "src/game/server/gamecontext.cpp", '"No such tuning parameter"', '"N@"'),
        header=Scenario(
            *("header", "src/game/gamecore.h", "class CTuneParam\n", '#define MARK "N@"\nclass CTuneParam\n'),
            ("src/game/server/gamecontext.cpp", '"No such tuning parameter"', "MARK"),
        ),
        cwd="build",
    ),
)

GENERATED = Subject(
    name="1000 methods",
    argv=lambda tree, port: [str(tree.executable)],
    ask=_lines(b"x\n"),
    body=Scenario("body", "work.cpp", '"answer 0"', '"N@"'),
    header=None,
)


# --- measuring ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """Milliseconds (``pause``: microseconds), medians."""

    seen: float
    """From before the write to the first answer with the new marker."""
    steps: dict[str, float]
    pause: float
    units: int
    compiler: float | None
    restart: float


def run() -> None:
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relive-bench-")))
        for subject in (*SUBJECTS, GENERATED):
            with ExitStack() as held:
                if subject is GENERATED:
                    tree = project(folder / "methods", "methods", methods())
                else:
                    tree = held.enter_context(checkout(subject.name))
                for scenario in filter(None, (subject.body, subject.header)):
                    rows.append(_row(subject, scenario, measure(tree, subject, scenario, folder)))
                    print(rows[-1], flush=True)
    head = ["program", "edit", "units", "**save → new code**", *STEPS[:-1], "sum", "compiler alone"]
    head += ["all but the compiler", "pause µs", "build + restart", "ratio"]
    note = (
        f"Milliseconds, medians of {ROUNDS} (build + restart: {BASE_ROUNDS}). *save → new code*: from before the write "
        "to the first answer of the new code, seen from outside; teeworlds and chocolate-doom answer 50 and 35 times a "
        "second. detect … apply and their sum: relive's own `timings_ms`. *compiler alone*: the whole unit's command, "
        "run bare in the same minutes. *build + restart*: save, make or ninja, start, first answer."
    )
    page.write("Save to live", page.table(head, rows) + "\n\n" + note)


def _row(subject: Subject, scenario: Scenario, result: Result) -> list[str]:
    alone = result.compiler
    return [
        *(subject.name, scenario.name, str(result.units), f"**{result.seen:.0f}**"),
        *(f"{result.steps[step]:.1f}" for step in STEPS),
        "" if alone is None else f"{alone:.0f}",
        f"{result.seen - result.steps['compile']:.0f}",
        *(f"{result.pause:.0f}", f"{result.restart:.0f}", f"{result.restart / result.seen:.1f}×"),
    ]


def measure(tree: Tree, subject: Subject, scenario: Scenario, folder: Path) -> Result:
    """One scenario: live rounds and the bare compiler in turn, then the program's own build."""
    work = Path(tempfile.mkdtemp(dir=folder))
    seen, events, alone = [], [], []
    port = free_port()
    with live(tree, subject.argv(tree, port), work, cwd=tree.root / subject.cwd, env=subject.env) as session:
        ask = subject.ask(port, session.process, session.out)
        ask()
        if scenario.first:
            file, old, new = scenario.first
            _save(tree, scenario, 0)
            tree.write(file, _replaced(tree, file, old, new))
            event = session.settled([scenario.file, file])
            assert event["status"] == "applied", event
        unit = _command(tree, scenario.file)
        for number in range(1, ROUNDS + 2):
            start = _save(tree, scenario, number)
            _until(ask, number)
            seen.append((time.monotonic() - start) * 1000)
            events.append(_applied(session))
            if unit:
                alone.append(_timed(unit))
    restart, units = _restarts(tree, subject, scenario, work)
    # The first round of a session also pays for caches that every later one has.
    events, seen = events[1:], seen[1:]
    return Result(
        seen=page.median(seen),
        steps={step: page.median(event["timings_ms"][step] for event in events) for step in STEPS},
        pause=page.median(event["pause_us"] for event in events),
        compiler=page.median(alone) if alone else None,
        restart=restart,
        units=units,
    )


def _applied(session: Live) -> Event:
    event = session.wait_reload()
    if event["status"] != "applied":
        raise RuntimeError(f"{event['status']}: {event}")
    return event


def _replaced(tree: Tree, file: str, old: str, new: str) -> str:
    kept = tree.originals / file
    text = (kept if kept.exists() else tree.root / file).read_text(errors="surrogateescape")
    assert text.count(old) == 1, (file, old, text.count(old))
    return text.replace(old, new)


def _save(tree: Tree, scenario: Scenario, number: int) -> float:
    text = _replaced(tree, scenario.file, scenario.old, scenario.new.replace("@", str(100 + number)))
    start = time.monotonic()
    tree.write(scenario.file, text)
    return start


def _until(ask: Ask, number: int) -> None:
    deadline = time.monotonic() + 120
    while f"N{100 + number}" not in ask():
        if time.monotonic() > deadline:
            raise RuntimeError(f"round {number} was never seen")
        # Asking without a pause would take the processor from the compiler.
        time.sleep(0.001)


def _command(tree: Tree, file: str) -> tuple[list[str], str] | None:
    """The compile command of a source file, as it stands; None for a header."""
    for entry in json.loads((tree.build_dir / "compile_commands.json").read_text()):
        if Path(entry["directory"], entry["file"]).resolve() == (tree.root / file).resolve():
            return list(entry.get("arguments") or shlex.split(entry["command"])), entry["directory"]
    return None


def _timed(unit: tuple[list[str], str]) -> float:
    """Milliseconds that the unit's command takes, its output thrown away."""
    words, directory = unit
    with tempfile.TemporaryDirectory() as scratch:
        # The depfile of the user's tree must stay as it is.
        words = [word for word in words if word not in ("-MD", "-MMD", "-MP")]
        for option in ("-o", "-MF", "-MT", "-MQ"):
            if option in words:
                at = words.index(option)
                del words[at : at + 2]
        words += ["-o", f"{scratch}/unit.o"]
        start = time.monotonic()
        subprocess.run(words, cwd=directory, check=True, capture_output=True)
        return (time.monotonic() - start) * 1000


def _restarts(tree: Tree, subject: Subject, scenario: Scenario, work: Path) -> tuple[float, int]:
    """Save, the program's own build, end of the old and start of the new program, first answer: milliseconds; and how
    many objects such a build makes."""
    times = []
    port = free_port()
    running: subprocess.Popen[bytes] | None = None
    try:
        if scenario.first:
            file, old, new = scenario.first
            tree.write(file, _replaced(tree, file, old, new))
        for number in range(BASE_ROUNDS + 1):
            start = _save(tree, scenario, number)
            tree.rebuild()
            if running:
                _stop(running)
            running = _start(tree, subject, port, work)
            _until(subject.ask(port, running, work / "stdout"), number)
            times.append((time.monotonic() - start) * 1000)
        saved = (tree.root / scenario.file).stat().st_mtime
        units = sum(1 for path in tree.root.rglob("*.o") if path.stat().st_mtime > saved)
    finally:
        if running:
            _stop(running)
        for path in tree.restore_all():
            (tree.root / path).touch()
        tree.rebuild()
    return page.median(times[1:]), units


def _start(tree: Tree, subject: Subject, port: int, work: Path) -> subprocess.Popen[bytes]:
    with open(work / "stdout", "wb") as out, open(work / "stderr", "wb") as err:
        return subprocess.Popen(
            subject.argv(tree, port),
            cwd=tree.root / subject.cwd,
            env={**os.environ, **subject.env},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
        )


def _stop(running: subprocess.Popen[bytes]) -> None:
    running.kill()
    running.wait()
    if running.stdin:
        running.stdin.close()
