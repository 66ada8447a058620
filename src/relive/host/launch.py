"""Starts the program with the agent preloaded, and otherwise as a shell would have started it.

The program is our child in our own process group, so it keeps the terminal, and Ctrl-C and Ctrl-Z reach it. It inherits
stdin, stdout, stderr and the signal dispositions we were given. We ourselves must survive Ctrl-C while it runs: with a
handler that does nothing, not by ignoring, as exec keeps what is ignored and resets what is handled.

Kept light on purpose (no numpy, nothing of the linker): the program runs before the host has finished importing."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from relive.errors import TargetError, TargetGone
from relive.host.listener import Listener
from relive.host.program_file import check_program

TYPE_CHECKING = False  # see relive/__init__.py
if TYPE_CHECKING:
    from relive.host.target import LocalTarget


class Launched:
    """A program that was started. `pid` is the process."""

    def __init__(self, process: subprocess.Popen[bytes], listener: Listener, program: str, link: Path | None) -> None:
        self._process = process
        self._listener = listener
        self._link = link
        self.program = program
        self.pid = process.pid
        self._pidfd = os.pidfd_open(process.pid)

    def wait_agent(self, timeout: float = 10.0) -> LocalTarget:
        """The program as a target, once its agent has connected (a few ms after the start).

        TargetGone: it ended before that; TargetError: no agent within `timeout` seconds."""
        from relive.host.target import LocalTarget  # the program runs; now there is time

        deadline = time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._listener.fileno(), select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = [fd for fd, _ in poll.poll(left * 1000)]
            if self._listener.fileno() in ready:
                found = self._listener.accept(self.pid, min(left, 2.0))
                if found:
                    self._forget_link()
                    return LocalTarget(*found, self.pid, self._listener)
            elif self._pidfd in ready:
                self._forget_link()
                raise TargetGone(f"{self.program} ended at once", "run it without relive to see why")
        raise TargetError(
            f"{self.program} runs, but relive's agent did not come up in it within {timeout:g} s",
            "set-user-id and statically linked programs, and wrappers that clear LD_PRELOAD, cannot be reloaded",
        )

    def poll(self) -> int | None:
        """Exit status as waitpid gives it, None while the program runs."""
        return None if self._process.poll() is None else self._status()

    def wait(self) -> int:
        """Waits for the end; the status as waitpid gives it (os.waitstatus_to_exitcode understands it)."""
        self._process.wait()
        self._forget_link()
        return self._status()

    def fileno(self) -> int:
        """A pidfd: readable when the program has ended."""
        return self._pidfd

    def close(self) -> None:
        """Gives up the door and the descriptors; the program runs on."""
        self._listener.close()
        self._forget_link()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _status(self) -> int:
        code = self._process.returncode
        return -code if code < 0 else code << 8

    def _forget_link(self) -> None:
        _remove_link(self._link)
        self._link = None


def start(
    program_argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    agent: Path,
    socket_dir: Path,
) -> Launched:
    """Starts the program (found by PATH as execvp does) with the agent library in it.

    `env` and `cwd` default to our own. TargetError: not found, not executable, or a program that can have no agent."""
    if not program_argv:
        raise TargetError("no program was given", "relive run -- PROGRAM [ARG...]")
    environment = dict(os.environ if env is None else env)
    path = _find(program_argv[0], environment, cwd)
    program = check_program(path)
    survive_interrupts()
    listener = Listener(socket_dir)
    library, link = _plain_path(agent.resolve())
    # Ours go last: when the agent takes them out again, what is left lies in memory as the kernel put it.
    preload = (*program.before_agent, str(library), environment.pop("LD_PRELOAD", ""))
    environment["LD_PRELOAD"] = ":".join(filter(None, preload))
    if "LD_USE_LOAD_BIAS" not in environment:
        environment["LD_USE_LOAD_BIAS"] = "1"  # glibc before 2.36: p_vaddr as mmap hint also in PIE programs
    environment |= {"RELIVE_SOCKET": str(listener.path), "RELIVE_TOKEN": listener.token.hex()}
    try:
        # Descriptors that were given to us (a jobserver, <(...), sockets) are meant for the program; ours are CLOEXEC.
        # A cwd, as without one subprocess takes posix_spawn, whose child ignores glibc's signals 32 and 33 (spawni.c).
        process = subprocess.Popen(
            list(program_argv), executable=path, env=environment, cwd=cwd or ".", close_fds=False
        )
    except OSError as error:
        listener.close()
        _remove_link(link)
        if cwd is not None and not os.path.isdir(cwd):
            raise TargetError(
                f"{cwd} is not a directory", "give the directory in which the program is to run"
            ) from error
        raise TargetError(
            f"cannot start {program_argv[0]}: {error.strerror}", "is it built for this machine, and executable?"
        ) from error
    return Launched(process, listener, program_argv[0], link)


def survive_interrupts() -> None:
    """From now on Ctrl-C and Ctrl-\\ are the program's business. What was ignored (nohup) stays ignored, for both."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            try:
                signal.signal(number, _nothing)
            except ValueError:
                return  # not the main thread: the session's business


def _nothing(_number: int, _frame: object) -> None:
    """Handled, and so reset to the default in the program."""


def _find(program: str, env: Mapping[str, str], cwd: str | os.PathLike[str] | None) -> str:
    if "/" in program:
        path: str | None = os.path.join(cwd or os.getcwd(), program)
        if not os.path.exists(str(path)):
            path = None
    else:
        path = shutil.which(program, path=env.get("PATH", os.defpath))
    if path is None:
        raise TargetError(f"{program}: there is no such program", "build it first, or give its path")
    if os.path.isdir(path):
        raise TargetError(f"{program} is a directory", "give the path of the program in it")
    if not os.access(path, os.X_OK):
        raise TargetError(f"{program} is not executable", f"chmod +x {program}")
    return os.path.abspath(path)


def _plain_path(library: Path) -> tuple[Path, Path | None]:
    """LD_PRELOAD is split at spaces and colons: a path with one of them is reached by a link elsewhere."""
    if not set(str(library)) & {" ", ":", ";", "\t", "\n", "$"}:
        return library, None
    import tempfile

    link = Path(tempfile.mkdtemp(prefix="relive-", dir="/tmp")) / library.name
    link.symlink_to(library)
    return link, link


def _remove_link(link: Path | None) -> None:
    if link:
        link.unlink(missing_ok=True)
        link.parent.rmdir()
