"""Calling functions in another process by ptrace: the few milliseconds in which an agent is brought into it.

One thread is used, and only one that sleeps in a system call where it holds no lock of the C library (a thread stopped
just anywhere may hold the heap's: half of all injected mallocs deadlock then). The others run on. The call happens
below the red zone of its stack with every signal blocked, returns to an address that is not mapped, and that fault is
ours. Then all registers are put back, and the kernel repeats the system call as if nothing had been: for calls that it
would end with EINTR (epoll_wait), the repetition is prepared by hand.

Source of the register and option numbers: linux/ptrace.h, asm/ptrace.h. All calls must come from one thread."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import time
from contextlib import suppress
from dataclasses import dataclass

from relive.errors import AttachError

_SEIZE, _INTERRUPT, _DETACH, _CONT = 0x4206, 0x4207, 17, 7
_GETREGS, _SETREGS, _GETSIGMASK, _SETSIGMASK = 12, 13, 0x420A, 0x420B
_WALL = 0x40000000
_EINTR_RESULT = 2**64 - errno.EINTR
_RETURN_TRAP = 0x7E1
"""Where injected calls return to: never mapped (below vm.mmap_min_addr)."""

HARMLESS = {
    0: "read", 7: "poll", 23: "select", 34: "pause", 35: "nanosleep", 43: "accept", 45: "recvfrom", 47: "recvmsg",
    61: "wait4", 128: "rt_sigtimedwait", 130: "rt_sigsuspend", 202: "futex", 230: "clock_nanosleep", 232: "epoll_wait",
    247: "waitid", 270: "pselect6", 271: "ppoll", 281: "epoll_pwait", 288: "accept4", 441: "epoll_pwait2",
}  # fmt: skip
"""System calls in which a thread may be borrowed, by number."""
_RATHER_NOT = {202, 232, 281, 441, 128}
"""Taken when there is no other: a futex may be a lock of the loader or the heap; the others count their time anew."""


_REGISTERS = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)  # fmt: skip


class Registers(ctypes.Structure):
    """struct user_regs_struct."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in _REGISTERS]
    rax: int
    rdi: int
    rsi: int
    orig_rax: int
    rip: int
    rsp: int
    eflags: int


@dataclass(frozen=True, slots=True)
class Sleeper:
    """A thread that can be borrowed."""

    tid: int
    number: int


def sleepers(pid: int) -> list[Sleeper]:
    """Threads of the process in harmless system calls, the best first. PermissionError when we may not look."""
    found = []
    for name in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{name}/syscall", encoding="ascii") as file:
                word = file.read().split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if word.isdigit() and int(word) in HARMLESS:
            found.append(Sleeper(int(name), int(word)))
    return sorted(found, key=lambda sleeper: (sleeper.number in _RATHER_NOT, sleeper.tid))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, tid: int, address: int = 0, data: object = None) -> None:
    if _libc.ptrace(request, tid, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Borrowed:
    """One thread, stopped, in which functions of the process can be called. Use as a context manager: leaving puts
    everything back and lets the thread go, whatever happened."""

    def __init__(self, pid: int, sleeper: Sleeper, timeout: float = 10.0) -> None:
        self._pid = pid
        self._tid = sleeper.tid
        self._timeout = timeout
        self._saved = Registers()
        self._mask = ctypes.c_uint64()
        self._stopped = False

    def __enter__(self) -> Borrowed:
        """OSError(EPERM): we may not; OSError(EAGAIN): the thread woke up before it was stopped, try another."""
        _ptrace(_SEIZE, self._tid)
        try:
            _ptrace(_INTERRUPT, self._tid)
            self._wait(time.monotonic() + self._timeout)
            _ptrace(_GETREGS, self._tid, 0, ctypes.byref(self._saved))
            number = ctypes.c_int64(self._saved.orig_rax).value
            if number not in HARMLESS:
                raise OSError(errno.EAGAIN, "the thread woke up")
            _ptrace(_GETSIGMASK, self._tid, 8, ctypes.byref(self._mask))
            everything = ctypes.c_uint64(2**64 - 1 & ~(1 << signal.SIGSEGV - 1))
            _ptrace(_SETSIGMASK, self._tid, 8, ctypes.byref(everything))
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            saved = Registers.from_buffer_copy(self._saved)
            if saved.rax == _EINTR_RESULT and self._saved_at_syscall():
                # This one the kernel does not repeat by itself after a stop.
                saved.rax = saved.orig_rax
                saved.rip -= 2
                saved.orig_rax = 2**64 - 1
            _ptrace(_SETREGS, self._tid, 0, ctypes.byref(saved))
            _ptrace(_SETSIGMASK, self._tid, 8, ctypes.byref(self._mask))
        self._let_go()

    def call(self, function: int, *arguments: int | bytes) -> int:
        """Calls the function with up to two arguments and returns its rax, signed. Byte strings are put on the stack.

        AttachError when it does not return in time or crashes; the thread is put back as it was."""
        registers = Registers.from_buffer_copy(self._saved)
        top = registers.rsp - 256  # beyond the red zone (psABI 3.2.2)
        values = []
        for argument in arguments:
            if isinstance(argument, bytes):
                top -= len(argument) + 1
                self._write(top, argument + b"\0")
                values.append(top)
            else:
                values.append(argument)
        top = (top & ~0xF) - 8  # as after a call instruction
        self._write(top, struct.pack("<Q", _RETURN_TRAP))
        registers.rsp = top
        registers.rip = function
        registers.rax = 0
        registers.orig_rax = 2**64 - 1  # no system call is to be repeated here
        registers.eflags &= ~0x400  # direction flag clear, as the psABI wants it
        for name, value in zip(("rdi", "rsi"), values, strict=False):
            setattr(registers, name, value)
        _ptrace(_SETREGS, self._tid, 0, ctypes.byref(registers))
        self._run(time.monotonic() + self._timeout)
        _ptrace(_GETREGS, self._tid, 0, ctypes.byref(registers))
        if registers.rip != _RETURN_TRAP:
            raise AttachError(
                f"a call in process {self._pid} crashed at {registers.rip:#x}; the thread was put back as it was",
                "start the program with relive run instead",
            )
        return ctypes.c_int64(registers.rax).value

    def read(self, address: int, size: int) -> bytes:
        with open(f"/proc/{self._pid}/task/{self._tid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(size)

    def read_string(self, address: int) -> str:
        """A C string of at most 400 bytes."""
        text = b""
        while len(text) < 400 and b"\0" not in text:
            try:
                text += self.read(address + len(text), 16)
            except OSError:
                break
        return text.split(b"\0")[0].decode(errors="replace")

    def _saved_at_syscall(self) -> bool:
        return self.read(self._saved.rip - 2, 2) == b"\x0f\x05"

    def _write(self, address: int, content: bytes) -> None:
        with open(f"/proc/{self._pid}/task/{self._tid}/mem", "r+b", buffering=0) as memory:
            memory.seek(address)
            memory.write(content)

    def _run(self, deadline: float) -> None:
        """Until the return trap, or any other fault; stops that have nothing to do with us are passed over."""
        while True:
            self._stopped = False
            _ptrace(_CONT, self._tid)
            number, event = self._wait(deadline)
            if event == 0 and number == signal.SIGSEGV:
                return

    def _wait(self, deadline: float) -> tuple[int, int]:
        """Signal and ptrace event of the next stop."""
        asked = False
        while True:
            done, status = os.waitpid(self._tid, _WALL | os.WNOHANG)
            if done == self._tid:
                if not os.WIFSTOPPED(status):
                    raise AttachError(f"process {self._pid} ended while relive attached to it")
                self._stopped = True
                if asked:
                    raise AttachError(
                        f"a call in process {self._pid} did not return in time; the thread was put back as it was",
                        "the dynamic loader is busy in the program; try again, or start it with relive run",
                    )
                return os.WSTOPSIG(status), status >> 16
            if time.monotonic() > deadline and not asked:
                asked = True
                _ptrace(_INTERRUPT, self._tid)
            time.sleep(0.0002)

    def _let_go(self) -> None:
        with suppress(OSError):
            if not self._stopped:
                _ptrace(_INTERRUPT, self._tid)
                self._wait(time.monotonic() + 1)
        with suppress(OSError, AttachError):
            _ptrace(_DETACH, self._tid)
