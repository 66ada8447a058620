"""Starts or joins a program and keeps it up to date until it ends: puts the parts together, in this order.

    1. the agent, from the cache or compiled now
    2. the program: it starts at once; everything slow comes after
    3. numpy and everything that needs it; the project; the engine's first look at program and objects
    4. watcher and control socket; `ready`
    5. the loop, until the program ends (or is to be started anew: back to 2)

What fails in step 3 or 4 costs the reloads and not the program: it runs on, the user reads what to do, requests are
answered with the same words. Knows nothing of terminals: a face gives `emit` and reads events.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from relive.errors import ReliveError, TargetError
from relive.session import paths
from relive.session.config import Config

TYPE_CHECKING = False  # see relive/__init__.py
if TYPE_CHECKING:  # imported when the program runs already (step 3)
    from relive.events import Event
    from relive.host.launch import Launched
    from relive.host.project import Project
    from relive.host.target import Target
    from relive.session.loop import Loop
    from relive.session.messages import Queue, Request, RestartWanted

GRACE = 5.0  # seconds between SIGTERM and SIGKILL when a program is started anew
CONNECT = 20.0  # seconds that the agent may take to call; it waits for the dynamic linker of the program


class Host:
    """One program at a time. `emit` gets every event, from the thread that calls `run` or `attach`."""

    def __init__(self, config: Config, emit: Callable[[Event], None], *, started: float | None = None) -> None:
        """`started`: `time.monotonic()` when relive was started; events count from there."""
        self._config = config
        self._emit = emit
        self._started = time.monotonic() if started is None else started
        self._posted: queue.SimpleQueue[Callable[[Queue], None] | None] = queue.SimpleQueue()
        self._life: _Life | None = None
        self.pid = 0

    def clock(self) -> float:
        """Seconds since the session's start: ``t`` of every event."""
        return time.monotonic() - self._started

    # ---- from other threads and signal handlers -------------------------------------------------------------------

    # `SimpleQueue.put` is reentrant; `queue.Queue.put` is not, and a handler may interrupt its own thread inside `get`.

    def request(self, request: Request) -> None:
        """Ask the running loop; it answers through `request.reply`."""
        self._posted.put(lambda messages: messages.put(request))

    def request_reload(self) -> None:
        """What SIGUSR1 does."""

        def ask(messages: Queue) -> None:
            from relive.session.messages import Request

            messages.put(Request("reload"))

        self._posted.put(ask)

    def stop(self) -> None:
        """End the session, leave the program alone (attach: Ctrl-C)."""

        def end(messages: Queue) -> None:
            from relive.session.messages import Stop

            messages.put(Stop())

        self._posted.put(end)

    def end_program(self) -> None:
        """End the program (SIGTERM, then SIGKILL); the session ends with it."""
        if self._life is not None:
            self._life.end()

    def forward(self, number: int) -> None:
        """Hand a signal that was meant for the program to it."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    # ---- the two ways in ------------------------------------------------------------------------------------------

    def run(self, program: Sequence[str]) -> int:
        """Start `program`, keep it up to date; its exit status (128 + signal), as a shell gives it."""
        from relive.host import launch, native

        cache = self._cache()
        agent = native.agent_library(cache)
        restarted: RestartWanted | None = None
        while True:
            launched = launch.start(
                program, env=dict(os.environ), cwd=Path.cwd(), agent=agent, socket_dir=paths.runtime_dir()
            )
            life = _Life(launched.pid, _status_of(launched))
            outcome = self._watch(life, cache, _connection_of(launched), can_restart=True, restarted=restarted)
            if not isinstance(outcome, int):
                self._end_of(life)
            launched.close()
            if isinstance(outcome, int):
                return outcome
            restarted = outcome
            self._build()

    def attach(self, pid: int) -> int:
        """Join the running program `pid`; 0 when it ended, or when `stop` was called."""
        from relive.host import attach, native

        cache = self._cache()
        target = attach.attach(pid, native.agent_library(cache, attached=True), socket_dir=paths.runtime_dir())
        life = _Life(pid, lambda: _wait_foreign(pid))
        outcome = self._watch(life, cache, lambda: target, can_restart=False, restarted=None)
        assert isinstance(outcome, int), "an attached program is never started anew"
        return outcome

    # ---- one life of the program ----------------------------------------------------------------------------------

    def _watch(
        self,
        life: _Life,
        cache: Path,
        connect: Callable[[], Target],
        *,
        can_restart: bool,
        restarted: RestartWanted | None,
    ) -> int | RestartWanted:
        """Steps 3 to 5: until the program ends (its status) or shall be started anew."""
        from relive.events import Notice
        from relive.session.loop import Loop
        from relive.session.messages import Answer, Ended

        self._life, self.pid = life, life.pid
        messages: Queue = queue.Queue()
        life.report_to(messages)
        with contextlib.ExitStack() as cleanup:
            self._relay(messages, cleanup)
            loop: Loop
            try:
                loop = self._prepare(life, cache, connect, messages, cleanup, can_restart, restarted is not None)
            except Exception as error:
                if not isinstance(error, ReliveError):
                    import traceback

                    # A bug of ours at start-up: the program must not pay for it.
                    error = ReliveError("internal error, please report it:\n" + traceback.format_exc())
                # A program that ended at once is no failure; a short wait tells it from an agent that broke.
                if not life.ended(within=1.0 if isinstance(error, TargetError) else 0.0):
                    words = f"no reloads: {error}" + "\nthe program runs on as if started without relive"
                    self._emit(Notice(self.clock(), words, error.hint))
                loop = Loop(None, None, messages, self._emit, clock=self.clock, can_restart=can_restart, reason=error)
                self._serve(life.pid, messages, cleanup, quietly=True)
            if restarted is not None:
                restarted.reply(Answer(0, {"pid": life.pid}))
            outcome = loop.run()
        if isinstance(outcome, Ended):
            return outcome.status or 0
        return outcome

    def _prepare(
        self,
        life: _Life,
        cache: Path,
        connect: Callable[[], Target],
        messages: Queue,
        cleanup: contextlib.ExitStack,
        can_restart: bool,
        again: bool,
    ) -> Loop:
        """Steps 3 and 4. `ReliveError`: why there can be no reloads."""
        from dataclasses import replace

        from relive.events import Notice, Ready
        from relive.host.compiler import CompilePool
        from relive.host.project import Project
        from relive.host.watch import Watcher
        from relive.session.inputs import ProjectInputs
        from relive.session.loop import Loop
        from relive.session.messages import Request
        from relive.session.pipeline import Engine

        target = connect()
        cleanup.callback(_quietly(target.close))
        program = os.readlink(f"/proc/{life.pid}/exe")
        project = Project.open(program, build_dir=self._config.build_dir, start_dir=os.getcwd())
        workdir = paths.session_dir(cache, life.pid)
        cleanup.callback(life.forget_when_ended, workdir)
        pool = CompilePool(workdir, self._config.jobs)
        # A save since the program was started is a save, although nobody watched yet.
        watcher = Watcher(messages, ())
        cleanup.callback(_quietly(watcher.close))
        watcher.add(project.inputs(), since_ns=life.started_ns)
        engine = Engine(
            project, target, pool, cache=cache, workdir=workdir, clock=time.monotonic, fast_path=self._config.fast_path
        )
        prepared = engine.prepare()
        # By now the headers of units without depfiles are known too.
        watcher.add(project.inputs(), since_ns=life.started_ns)
        stale = _edited_before(project, life.started_ns)
        inputs = ProjectInputs(project, watcher)
        loop = Loop(
            engine,
            inputs,
            messages,
            self._emit,
            clock=self.clock,
            manual=self._config.manual,
            on_refused=self._config.on_refused,
            can_restart=can_restart,
        )
        self._serve(life.pid, messages, cleanup)
        startup = self.clock() * 1000
        self._emit(Ready(self.clock(), life.pid, program, prepared.units, prepared.functions, startup))
        for notice in prepared.notices:
            self._emit(replace(notice, t=self.clock()))
        if stale and again:
            # Started anew to get the newest code: what was not built is applied now, also in manual mode.
            loop.add_pending(stale)
            messages.put(Request("reload"))
        elif stale:
            loop.add_pending(stale)
            names = ", ".join(sorted(os.path.basename(path) for path in stale)[:4]) + (
                ", ..." if len(stale) > 4 else ""
            )
            what = f"edited but not built before the start: {names}; part of the next reload"
            self._emit(Notice(self.clock(), what, "`relive reload` applies them now"))
        return loop

    def _serve(self, pid: int, messages: Queue, cleanup: contextlib.ExitStack, *, quietly: bool = False) -> None:
        from relive.session.control import ControlServer

        try:
            server = ControlServer(paths.runtime_dir(), pid, messages.put)
        except ReliveError:
            if quietly:
                return
            raise
        cleanup.callback(server.close)

    def _relay(self, messages: Queue, cleanup: contextlib.ExitStack) -> None:
        """A thread that carries what signal handlers posted into the queue of this life."""

        def carry() -> None:
            while (deliver := self._posted.get()) is not None:
                deliver(messages)

        thread = threading.Thread(target=carry, name="relive-relay", daemon=True)
        thread.start()

        def finish() -> None:
            self._posted.put(None)
            thread.join(timeout=5)

        cleanup.callback(finish)

    def _end_of(self, life: _Life) -> None:
        from relive.events import Exit

        self._emit(Exit(self.clock(), life.end()))

    def _build(self) -> None:
        """The user's own build command before a new start. Its failure is told; the program starts all the same."""
        from relive.events import Notice

        command = self._config.build
        if not command:
            return
        # On stderr, as everything relive says: stdout is the program's.
        done = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, stdout=2)
        if done.returncode != 0:
            what = f"`{command}` failed with status {done.returncode}; starting what was built before"
            self._emit(Notice(self.clock(), what, "mend the build, then `relive restart`"))

    def _cache(self) -> Path:
        """The cache, or a temporary folder where there is none: slower, told, but no reason not to run."""
        try:
            return paths.cache_dir()
        except ReliveError as error:
            import tempfile

            from relive.events import Notice

            folder = Path(tempfile.mkdtemp(prefix="relive-cache-"))
            self._emit(Notice(self.clock(), f"{error}; using {folder} for now", error.hint))
            return folder


class _Life:
    """One process from start to end: a thread waits for it and tells the queue."""

    def __init__(self, pid: int, wait: Callable[[], int]) -> None:
        self.pid = pid
        self.started_ns = time.time_ns()
        self._wait = wait
        self._status = 0
        self._exited = threading.Event()

    def report_to(self, messages: Queue) -> None:
        from relive.session.messages import ProgramExited

        def watch() -> None:
            self._status = self._wait()
            self._exited.set()
            messages.put(ProgramExited(self._status))

        threading.Thread(target=watch, name="relive-wait", daemon=True).start()

    def forget_when_ended(self, workdir: Path) -> None:
        """Removes the session's folder, unless the program still needs its patches, or a core file may."""
        import shutil

        from relive.session.messages import FATAL

        if self._exited.is_set() and self._status - 128 not in FATAL:
            shutil.rmtree(workdir, ignore_errors=True)

    def ended(self, within: float) -> bool:
        return self._exited.wait(within)

    def end(self) -> int:
        """SIGTERM, and SIGKILL for one that does not go; its status."""
        for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                if not self._exited.is_set():
                    os.kill(self.pid, number)
            if self._exited.wait(patience):
                break
        return self._status


def _edited_before(project: Project, when_ns: int) -> frozenset[str]:
    """Sources of units that were edited and not built, before that moment."""
    found = []
    for unit in project.stale():
        with contextlib.suppress(OSError):
            if max(os.stat(path).st_mtime_ns for path in project.inputs_of(unit.key)) < when_ns:
                found.append(unit.source)
    return frozenset(found)


def shell_status(status: int) -> int:
    """A wait status as a shell's ``$?``."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _status_of(launched: Launched) -> Callable[[], int]:
    return lambda: shell_status(launched.wait())


def _connection_of(launched: Launched) -> Callable[[], Target]:
    return lambda: launched.wait_agent(CONNECT)


def _wait_foreign(pid: int) -> int:
    """Until a process that is not our child ends; nobody tells us its status, so 0."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return 0
    try:
        select.select([handle], [], [])
    finally:
        os.close(handle)
    return 0


def _quietly(close: Callable[[], None]) -> Callable[[], None]:
    """Closing must not hide how the session ended."""

    def run() -> None:
        with contextlib.suppress(ReliveError, OSError):
            close()

    return run
