"""Small real programs for the tests of the agent: compiled on the spot, started with the agent, observed through their
memory (variables are read by the target), so that no output has to be awaited."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from relive.host.launch import Launched, start
from relive.host.native import agent_library
from relive.host.target import CodePatch, LocalTarget, Module

CACHE = Path(tempfile.gettempdir()) / f"relive-agent-tests-{os.getuid()}"
PRELUDE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#define NOINLINE __attribute__((noinline, noclone))
_Atomic int ready, finish;
static void nap(long ns) { struct timespec t = {ns / 1000000000, ns % 1000000000}; nanosleep(&t, &t); }
static pthread_t thread(void *(*f)(void *), void *a)
{ pthread_t t; if (pthread_create(&t, 0, f, a)) abort(); return t; }
"""


def agent(attached: bool = False) -> Path:
    """The agent library, compiled once for all test processes."""
    return agent_library(CACHE, attached=attached)


def wait_for(condition: Callable[[], bool], what: str = "condition", timeout: float = 60.0) -> None:
    """Polls until the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout} s")
        time.sleep(0.002)


def build(tmp_path: Path, source: str, *flags: str, name: str = "program", compiler: str = "gcc") -> Path:
    """Compiles `source` (behind PRELUDE) into an executable."""
    path = tmp_path / f"{name}.c"
    path.write_text(PRELUDE + source)
    out = tmp_path / name
    subprocess.run([compiler, "-g", "-O1", "-pthread", *flags, "-o", str(out), str(path)], check=True)
    return out


def symbol_table(path: Path) -> dict[str, int]:
    """Names of all defined symbols with their values in the file."""
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        return {s.name: s["st_value"] for s in table.iter_symbols() if s.name and s["st_shndx"] != "SHN_UNDEF"}


class Live:
    """A running program, its target, and its variables by name."""

    def __init__(self, program: Path, target: LocalTarget, launched: Launched | None = None) -> None:
        self.target = target
        self.launched = launched
        self.modules = target.modules()
        self.exe: Module = self.modules[0]
        self._symbols = symbol_table(program)

    def address(self, name: str) -> int:
        return self._symbols[name] + self.exe.base

    def value(self, name: str, size: int = 4, index: int = 0) -> int:
        data = self.target.read(self.address(name) + index * size, size)
        return int.from_bytes(data, "little", signed=True)

    def set(self, name: str, value: int) -> None:
        """Writes an int variable behind the program's back, the way a debugger would."""
        task = f"/proc/{self.target.pid}/task"
        thread = sorted(os.listdir(task), key=int)[1]  # the agent's: main may be gone already
        with open(f"{task}/{thread}/mem", "r+b", buffering=0) as memory:
            memory.seek(self.address(name))
            memory.write(value.to_bytes(4, "little", signed=True))

    def wait_ready(self, count: int = 1) -> None:
        wait_for(lambda: self.value("ready") >= count, "ready")

    def jump(self, function: str, to: str | None, expected: bytes | None = None) -> CodePatch:
        """The patch that sends calls of `function` to `to` (None: back to `expected`, its original bytes)."""
        address = self.address(function)
        old = self.target.read(address, 5)
        if to is None:
            assert expected is not None
            return CodePatch(address, old, expected)
        distance = self.address(to) - address - 5
        return CodePatch(address, old, b"\xe9" + distance.to_bytes(4, "little", signed=True))


@contextlib.contextmanager
def running(
    program: Path, tmp_path: Path, *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Live]:
    """Starts the program with the agent; kills it in the end if it still runs."""
    launched = start([str(program), *arguments], env=env, cwd=cwd, agent=agent(), socket_dir=socket_directory(tmp_path))
    target = None
    try:
        target = launched.wait_agent(60)
        yield Live(program, target, launched)
    finally:
        with contextlib.suppress(ProcessLookupError):
            if launched.poll() is None:
                os.kill(launched.pid, 9)
        launched.wait()
        if target:
            target.close()
        launched.close()


def socket_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "sockets"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def status_of(launched: Launched | None) -> int:
    """Exit code (negative: signal) after the program has ended."""
    assert launched is not None
    wait_for(lambda: launched.poll() is not None, "end of the program")
    return os.waitstatus_to_exitcode(launched.wait())


def threads_of(pid: int) -> Sequence[int]:
    return sorted(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))
