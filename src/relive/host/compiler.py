"""Runs the project's own compilers, out of tree and in parallel.

One call is one loop in the caller's thread: it starts up to ``jobs`` compilers, each the leader of its own process
group, and sleeps in poll(2) on their pidfds and output pipes, looking up every few milliseconds whether the work has
been superseded. A pidfd says when the compiler has ended, whatever still holds its pipe (launchers leave daemons
behind), and lets a whole group be signalled before its number can be used again.

Nothing is written but below ``workdir``; the environment is the caller's own. The compiler's words are passed on as
they are; what we have to say ourselves (compiler gone, disk full, killed) is a line that starts with ``relive:``."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relive.build.command import (
    compiler_index,
    rewrite,
    rewrite_for_dependencies,
)
from relive.build.parts import preprocess_command
from relive.build.units import Unit
from relive.errors import StorageError
from relive.host.precompiled import precompiled_headers

_LOOK_UP_MS = 4
"""How long cancellation may go unnoticed."""
_TERM_GRACE = 0.05
"""Seconds between SIGTERM (gcc's driver removes its temporary files) and SIGKILL."""


class Superseded(Exception):  # noqa: N818  (not an error: something newer came)
    """The compilations were ended because their result is no longer wanted."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """How one compilation ended. ``object`` and ``depfile`` are empty unless ``ok``; warnings come with ``ok`` as
    well."""

    unit: Unit
    ok: bool
    object: bytes
    diagnostics: str
    depfile: str
    seconds: float
    command: tuple[str, ...]
    started_ns: int = 0
    """`time.time_ns` just before the compiler started: inputs changed since then may not be in the object."""


@dataclass(frozen=True, slots=True)
class Part:
    """A compilation that is not the unit's own (see `relive.build.parts`)."""

    unit: Unit
    build: Callable[[str, str, str], tuple[str, ...]]
    """(path of `text`, output, depfile) → command."""
    text: bytes | None = None
    """Source that is written for the compiler; None: `build` names its own."""
    suffix: str = ".o"
    """Of the output that is read back; "" when `build` names an output of its own."""


@dataclass(slots=True)
class _Job:
    index: int
    unit: Unit
    command: tuple[str, ...]
    output: Path | None
    depfile: Path
    wrappers: dict[str, str]
    started: float
    started_ns: int
    process: subprocess.Popen[bytes]
    pidfd: int
    pipe: int
    text: bytearray = field(default_factory=bytearray)


class CompilePool:
    """Compiles units, up to ``jobs`` at a time. Calls from several threads do not disturb each other."""

    def __init__(self, workdir: Path, jobs: int) -> None:
        """A folder of our own is made in ``workdir``; StorageError when that is not possible."""
        workdir = workdir / "compile"
        self.workdir = workdir
        self.jobs = max(1, jobs)
        self._numbers = itertools.count(1)
        try:
            workdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot create {workdir}: {error.strerror}", "free the disk or set TMPDIR") from None

    def compile(
        self,
        units: Sequence[Unit],
        *,
        extra_flags: Sequence[str] = (),
        cancelled: Callable[[], bool] = lambda: False,
        background: bool = False,
    ) -> list[Compiled]:
        """Results in the order of ``units``. Superseded when ``cancelled()`` became true: all compilers are gone
        then. ``background``: with low priority."""
        return self._run(units, tuple(extra_flags), cancelled, dependencies=False, background=background)

    def parts(
        self, parts: Sequence[Part], *, cancelled: Callable[[], bool] = lambda: False, background: bool = False
    ) -> list[Compiled]:
        """Runs compilations of parts; the output of each is in ``object``. Superseded as `compile`. ``background``:
        with low priority."""
        return self._run(parts, (), cancelled, dependencies=False, background=background)

    def preprocess(
        self, unit: Unit, *, cancelled: Callable[[], bool] = lambda: False, background: bool = False
    ) -> Compiled:
        """The unit's text after its preprocessor in ``object``: line markers and macro definitions kept."""
        arguments, directory = unit.command.arguments, unit.command.directory

        def build(_text: str, output: str, depfile: str) -> tuple[str, ...]:
            forced = self._wrap_precompiled(unit)
            return preprocess_command(arguments, directory, unit.source, output=output, depfile=depfile, forced=forced)

        return self.parts([Part(unit, build, suffix=".i")], cancelled=cancelled, background=background)[0]

    def dependencies(self, unit: Unit, *, cancelled: Callable[[], bool] = lambda: False) -> str:
        """A depfile made by a run of the preprocessor, for units whose build left none; "" when it fails."""
        return self._run([unit], (), cancelled, dependencies=True)[0].depfile

    def all_dependencies(self, units: Sequence[Unit], *, cancelled: Callable[[], bool] = lambda: False) -> list[str]:
        """`dependencies` of many units, in parallel and in their order."""
        return [one.depfile for one in self._run(units, (), cancelled, dependencies=True)]

    def _run(
        self,
        units: Sequence[Unit | Part],
        extra: tuple[str, ...],
        cancelled: Callable[[], bool],
        *,
        dependencies: bool,
        background: bool = False,
    ) -> list[Compiled]:
        results: dict[int, Compiled] = {}
        waiting = deque(enumerate(units))
        running: dict[int, _Job] = {}  # by pidfd
        talking: dict[int, _Job] = {}  # by pipe, until the pipe is closed
        poller = select.poll()
        try:
            while waiting or running:
                if cancelled():
                    raise Superseded
                while waiting and len(running) < self.jobs:
                    index, unit = waiting.popleft()
                    begun = self._start(index, unit, extra, dependencies, background)
                    if isinstance(begun, Compiled):
                        results[index] = begun
                        continue
                    running[begun.pidfd] = talking[begun.pipe] = begun
                    poller.register(begun.pidfd, select.POLLIN)
                    poller.register(begun.pipe, select.POLLIN)
                for descriptor, _ in poller.poll(_LOOK_UP_MS) if running else ():
                    if descriptor in running:
                        job = running.pop(descriptor)
                        poller.unregister(descriptor)
                        if talking.pop(job.pipe, None):
                            poller.unregister(job.pipe)
                        results[job.index] = self._finish(job)
                    elif descriptor in talking and not _drain(talking[descriptor]):
                        poller.unregister(descriptor)  # closed before the compiler ends; its pidfd tells the end
                        del talking[descriptor]
        except BaseException:
            _kill(running.values())
            raise
        return [results[index] for index in range(len(units))]

    def _start(
        self, index: int, what: Unit | Part, extra: tuple[str, ...], dependencies: bool, background: bool
    ) -> _Job | Compiled:
        unit, part = (what.unit, what) if isinstance(what, Part) else (what, None)
        name = f"{os.getpid()}-{next(self._numbers)}-{unit.key}"
        suffix = part.suffix if part else "" if dependencies else ".o"
        output = self.workdir / f"{name}{suffix}" if suffix else None
        depfile = self.workdir / f"{name}.d"
        arguments, directory = unit.command.arguments, unit.command.directory
        started, started_ns = time.monotonic(), time.time_ns()
        command: tuple[str, ...] = arguments
        try:
            wrappers = self._wrap_precompiled(unit)
            if part is not None:
                text = self.workdir / f"{name}.text"
                if part.text is not None:
                    text.write_bytes(part.text)
                command = part.build(str(text), str(output), str(depfile))
            elif output is None:
                command = rewrite_for_dependencies(
                    arguments, directory, unit.source, depfile=str(depfile), forced=wrappers
                )
            else:
                command = rewrite(
                    arguments,
                    directory,
                    unit.source,
                    output=str(output),
                    depfile=str(depfile),
                    extra=extra,
                    forced=wrappers,
                )
            pipe, write_end = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            message = _storage_message(self.workdir, error)
            return Compiled(unit, False, b"", message, "", time.monotonic() - started, command, started_ns)
        try:
            process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                process_group=0,
            )
        except OSError as error:
            os.close(pipe)
            message = _start_message(unit, command, error)
            return Compiled(unit, False, b"", message, "", time.monotonic() - started, command, started_ns)
        finally:
            os.close(write_end)
        if background:
            # The compiler's driver has hardly begun; what it starts inherits the priority.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, 10)
        fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_NONBLOCK)
        pidfd = os.pidfd_open(process.pid)
        return _Job(index, unit, command, output, depfile, wrappers, started, started_ns, process, pidfd, pipe)

    def _finish(self, job: _Job) -> Compiled:
        status = job.process.wait()
        _drain(job)
        os.close(job.pipe)
        os.close(job.pidfd)
        diagnostics = job.text.decode("utf-8", "replace")
        data = b""
        depfile = ""
        ok = status == 0
        try:
            with contextlib.suppress(FileNotFoundError):
                if ok and job.output is not None:
                    data = job.output.read_bytes()
            with contextlib.suppress(FileNotFoundError):
                if ok:
                    depfile = job.depfile.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            ok = False
            diagnostics += _storage_message(self.workdir, error)
        if ok and job.output is not None and not data:
            ok = False
            diagnostics += _empty_message(job.command, self.workdir)
        if status < 0:
            diagnostics += _signal_message(job.command, -status)
        elif status > 0:
            diagnostics += _full_message(self.workdir)
        _remove(job)
        for header, wrapper in job.wrappers.items():
            depfile = depfile.replace(wrapper, header)
        seconds = time.monotonic() - job.started
        return Compiled(
            job.unit, ok, data if ok else b"", diagnostics, depfile if ok else "", seconds, job.command, job.started_ns
        )

    def _wrap_precompiled(self, unit: Unit) -> dict[str, str]:
        """For each forced header that has a precompiled form: a header of ours that includes the plain one."""
        wrappers: dict[str, str] = {}
        for header, plain in precompiled_headers(unit.command).items():
            digest = hashlib.blake2b(os.fsencode(plain), digest_size=6).hexdigest()
            wrapper = self.workdir / f"forced-{digest}.h"
            if not wrapper.exists():
                fresh = self.workdir / f"forced-{digest}-{os.getpid()}-{next(self._numbers)}.tmp"
                fresh.write_text(f'#include "{plain}"\n')
                fresh.rename(wrapper)
            wrappers[header] = str(wrapper)
        return wrappers


def _drain(job: _Job) -> bool:
    """Takes what is in the pipe now; False at its end."""
    while True:
        try:
            piece = os.read(job.pipe, 65536)
        except BlockingIOError:
            return True
        if not piece:
            return False
        job.text += piece


def _kill(jobs: Iterable[_Job]) -> None:
    """Ends the process groups: politely, then surely, and leaves no zombie and no file."""
    jobs = list(jobs)
    for job in jobs:
        _signal_group(job, signal.SIGTERM)
    deadline = time.monotonic() + _TERM_GRACE
    for job in jobs:
        poller = select.poll()
        poller.register(job.pidfd, select.POLLIN)
        poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
        # Not yet waited for, so the number still names this group, and members that ignored SIGTERM go as well.
        _signal_group(job, signal.SIGKILL)
        job.process.wait()
        os.close(job.pidfd)
        os.close(job.pipe)
        _remove(job)


def _remove(job: _Job) -> None:
    """The object, the depfile, and what options such as ``--coverage`` and ``-fstack-usage`` put beside an object."""
    for path in job.depfile.parent.glob(f"{job.depfile.stem}*"):
        path.unlink(missing_ok=True)


def _signal_group(job: _Job, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(job.process.pid, number)


def _start_message(unit: Unit, command: Sequence[str], error: OSError) -> str:
    program = command[0]
    if error.errno == errno.E2BIG:
        return f"relive: the command of {unit.source} is too long for the system; use response files in the build\n"
    if not os.path.isdir(unit.command.directory):
        return (
            f"relive: the build directory {unit.command.directory} of {unit.source} is not there; "
            "build the project, or write compile_commands.json anew\n"
        )
    what = "compiler" if compiler_index(command) == 0 else "compiler launcher"
    return (
        f"relive: the {what} {program} of {unit.source} cannot be run: {error.strerror}; "
        "install it, or write compile_commands.json anew with the one you have\n"
    )


def _storage_message(workdir: Path, error: OSError) -> str:
    where = error.filename or workdir
    return f"relive: cannot use {where}: {error.strerror}; free the disk, or set TMPDIR to another one\n"


def _full_message(workdir: Path) -> str:
    """A compiler on a full disk may only say that its assembler failed."""
    try:
        disk = os.statvfs(workdir)
    except OSError as error:
        return _storage_message(workdir, error)
    if disk.f_bavail * disk.f_frsize >= 1 << 16:
        return ""
    return f"relive: the disk of {workdir} is full; free some space, or set TMPDIR to another disk\n"


def _empty_message(command: Sequence[str], workdir: Path) -> str:
    full = _full_message(workdir)
    return full or f"relive: {command[0]} ended well but wrote no object; try it by hand: {' '.join(command)}\n"


def _signal_message(command: Sequence[str], number: int) -> str:
    name = signal.Signals(number).name if number in signal.Signals.__members__.values() else f"signal {number}"
    hint = " (the system may be out of memory: try a smaller -j)" if number == signal.SIGKILL else ""
    return f"relive: {command[0]} was killed by {name}{hint}; it is tried again with the next save\n"
