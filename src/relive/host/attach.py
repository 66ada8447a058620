"""Brings the agent into a program that already runs: one short ptrace call, then it is as if it had been preloaded.

The agent is opened by the program's own dlopen and told by its exported `relive_agent_start` where we listen. A program
in which an agent is already (an earlier attach, or `run` whose host has gone) is only told the new place."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from relive.errors import AttachError, TargetError
from relive.host.inject import Borrowed, sleepers
from relive.host.listener import Listener
from relive.host.program_file import check_program
from relive.host.remote_symbols import find_symbols, mapped_files
from relive.host.target import LocalTarget, process_state
from relive.wire.frames import VERSION

_RTLD_NOW = 2
_DLOPEN, _DLERROR = b"dlopen", b"dlerror"
_START, _VERSION = b"relive_agent_start", b"relive_agent_version"


def attach(pid: int, agent: Path, *, socket_dir: Path, timeout: float = 10.0) -> LocalTarget:
    """The running process as a target. `agent`: library from `native.agent_library(attached=True)`.

    AttachError: no such process, no permission, statically linked, held by a debugger, another host at work on it, or
    no thread that could be borrowed within `timeout` seconds. The program runs on as it was."""
    _check(pid)
    listener = Listener(socket_dir)
    try:
        _bring(pid, agent.resolve(), listener.argument.encode(), time.monotonic() + timeout)
        found = listener.accept(pid, timeout)
    except BaseException:
        listener.close()
        raise
    if found is None:
        listener.close()
        raise AttachError(
            f"relive's agent was loaded into process {pid}, but did not connect",
            "does the program run in a container or a sandbox that cannot reach our socket?",
        )
    return LocalTarget(*found, pid, listener)


def _check(pid: int) -> None:
    state, tracer = process_state(pid)
    if state in ("", "Z", "X"):
        raise AttachError(f"there is no process {pid}", "relive attach takes the number that ps shows")
    if tracer:
        raise AttachError(
            f"process {pid} is held by a debugger (process {tracer}: {_name(tracer)})",
            "detach the debugger, attach relive, then attach the debugger again",
        )
    if state in ("T", "t"):
        raise AttachError(f"process {pid} is stopped", f"continue it first: kill -CONT {pid}")
    if pid == os.getpid():
        raise AttachError("relive cannot attach to itself")
    try:
        check_program(f"/proc/{pid}/exe")
    except TargetError as error:
        if isinstance(error.__cause__, PermissionError):
            raise _forbidden(pid) from error
        raise AttachError(str(error).replace(f"/proc/{pid}/exe", _name(pid)), error.hint) from error


def _name(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return f"process {pid}"


def _bring(pid: int, agent: Path, argument: bytes, deadline: float) -> None:
    """Borrows one thread after the other until one has done it."""
    while True:
        try:
            for sleeper in sleepers(pid):
                try:
                    with Borrowed(pid, sleeper, max(1.0, deadline - time.monotonic())) as thread:
                        _load(pid, thread, agent, argument)
                        return
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.ESRCH):
                        raise
        except PermissionError as error:
            raise _forbidden(pid) from error
        except (FileNotFoundError, ProcessLookupError) as error:
            raise AttachError(f"process {pid} ended while relive attached to it") from error
        if time.monotonic() > deadline:
            raise AttachError(
                f"no thread of process {pid} ever waits in a system call, so none can be borrowed",
                "start the program with relive run instead",
            )
        time.sleep(0.002)


def _load(pid: int, thread: Borrowed, agent: Path, argument: bytes) -> None:
    functions = _functions(pid, thread)
    if _START not in functions:
        if _DLOPEN not in functions:
            raise AttachError(
                f"process {pid} has no dlopen (statically linked, or another C library than glibc)",
                "relive needs a dynamically linked program",
            )
        if not thread.call(functions[_DLOPEN], os.fsencode(agent), _RTLD_NOW):
            why = thread.read_string(thread.call(functions[_DLERROR])) if _DLERROR in functions else ""
            raise AttachError(
                f"process {pid} could not load relive's agent: {why or 'dlopen failed'}",
                "start the program with relive run instead",
            )
        functions = _functions(pid, thread)
    version = int.from_bytes(thread.read(functions[_VERSION], 4), "little")
    if version != VERSION:
        raise AttachError(
            f"process {pid} holds an agent of another version of relive ({version}, not {VERSION})",
            "start the program anew",
        )
    status = thread.call(functions[_START], argument)
    if status > 0:
        raise AttachError(f"another relive (process {status}) is at work on process {pid}", "end that one first")
    if status < 0:
        raise AttachError(f"relive's agent could not start in process {pid} ({status})", "is a thread limit reached?")


def _functions(pid: int, thread: Borrowed) -> dict[bytes, int]:
    """What we call in the process, wherever it is defined: dlopen is in libc since glibc 2.34, before in libdl."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as file:
        maps = file.read()
    found: dict[bytes, int] = {}
    for mapped in mapped_files(maps):
        name = os.path.basename(mapped.path)
        if name.startswith(("libc.so", "libc-", "libdl.so", "libdl-")):
            found |= find_symbols(thread.read, mapped.start, frozenset({_DLOPEN, _DLERROR}))
        elif name.startswith("relive-agent"):
            found |= find_symbols(thread.read, mapped.start, frozenset({_START, _VERSION}))
    return found


def _forbidden(pid: int) -> AttachError:
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
            scope = file.read().strip()
    except OSError:
        scope = ""
    if scope not in ("", "0"):
        hint = f"kernel.yama.ptrace_scope is {scope}: sudo sysctl kernel.yama.ptrace_scope=0, or use relive run"
    else:
        hint = "it belongs to another user or is protected: run relive as that user, or with CAP_SYS_PTRACE"
    return AttachError(f"no permission to attach to process {pid}", hint)
