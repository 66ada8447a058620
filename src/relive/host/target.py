"""The running program as the host sees it: what it has loaded, its memory, and how it is changed.

`Target` is the interface; `LocalTarget` talks to the agent in a process of this machine, `FakeTarget` (host/fake.py)
is a dictionary that remembers what was asked. Nothing here decides anything: what to change comes from the linker."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from relive.errors import TargetError, TargetGone
from relive.host.fake import FakeTarget
from relive.host.listener import Listener
from relive.wire import messages
from relive.wire.frames import Answer, Conversation, Kind, State
from relive.wire.records import (
    CodePatch,
    DataStore,
    Forbidden,
    Module,
    PointerRewrite,
    Switch,
    SwitchResult,
    TlsPool,
)

__all__ = [
    "CodePatch",
    "DataStore",
    "FakeTarget",
    "Forbidden",
    "LocalTarget",
    "Module",
    "PointerRewrite",
    "Switch",
    "SwitchResult",
    "Target",
    "TlsPool",
]

ANSWER_TIMEOUT = 10.0
"""Seconds the agent has for an answer on top of what the question itself allows; it needs microseconds."""
CALL_TIMEOUT = 120.0
"""Seconds for constructors of the program and of libraries, which may do anything."""


class Target(Protocol):
    """A running program with an agent. TargetGone when it has ended, TargetError when it cannot do what is asked; it
    then is as it was."""

    @property
    def pid(self) -> int:
        """Of the process."""

    def modules(self) -> tuple[Module, ...]:
        """What is loaded, executable first; neither the vDSO nor the agent."""

    def read(self, address: int, size: int) -> bytes:
        """Memory; TargetError if not mapped."""

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Memory of many (address, size) at once."""

    def reserve(self, near: tuple[int, int], size: int) -> int:
        """Page-aligned address of `size` free bytes such that they and [near) are within ±2 GB of each other (for a
        non-PIE module also below 2 GB). The range stays ours until `load` or `release`."""

    def release(self, address: int, size: int) -> None:
        """Gives a reserved range back."""

    def load(self, path: str, address: int, size: int) -> None:
        """Opens the ET_DYN file (absolute p_vaddr, the first at `address`) with the dynamic loader in a reserved range.
        The file must stay: a new one that gets its inode would be taken for it."""

    def lookup(self, names: Sequence[bytes]) -> list[int]:
        """Addresses as dlsym would give them; 0 when unknown."""

    def open_library(self, name: str) -> bool:
        """Loads a shared library for everybody; False when it cannot be loaded."""

    def call(self, functions: Sequence[int]) -> None:
        """Runs ``void f(void)`` in order, on a thread of the agent."""

    def switch(self, switch: Switch) -> SwitchResult:
        """Changes code and data as one step for every thread."""

    def active(self, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """(tid, index of [low, high)): threads that are in a range, or will return there. Stops nobody."""

    def tls_pool(self) -> TlsPool:
        """The room for new thread_local variables."""

    def tls_install(self, offset: int, image: bytes) -> None:
        """Initial value of a new thread_local at this offset of the pool, for all threads, now and later."""

    def close(self) -> None:
        """Lets the program go; it runs on as it is."""


class LocalTarget:
    """A process of this machine, by the agent's Unix socket. Its methods may be called from any thread."""

    def __init__(self, connection: socket.socket, conversation: Conversation, pid: int, listener: Listener) -> None:
        self._connection = connection
        self._conversation = conversation
        self._listener = listener
        self._pid = pid
        self._lock = threading.Lock()
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            self._pidfd = -1

    @property
    def pid(self) -> int:
        return self._pid

    def modules(self) -> tuple[Module, ...]:
        return messages.decode_modules(self._ask(Kind.MODULES))

    def read(self, address: int, size: int) -> bytes:
        return self.read_many([(address, size)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        out: list[bytes] = []
        for batch in messages.batches(ranges):
            payload = self._ask(Kind.READ, messages.encode_read(batch))
            out += messages.decode_read(payload, [size for _, size in batch])
        return out

    def reserve(self, near: tuple[int, int], size: int) -> int:
        return messages.decode_address(self._ask(Kind.RESERVE, messages.encode_reserve(near, size)))

    def release(self, address: int, size: int) -> None:
        self._ask(Kind.RELEASE, messages.encode_piece(address, size))

    def load(self, path: str, address: int, size: int) -> None:
        name = os.fsencode(os.path.abspath(path))
        self._ask(Kind.LOAD, messages.encode_load(address, size, name), CALL_TIMEOUT)

    def lookup(self, names: Sequence[bytes]) -> list[int]:
        return messages.decode_lookup(self._ask(Kind.LOOKUP, messages.encode_lookup(names)), len(names))

    def open_library(self, name: str) -> bool:
        return messages.decode_open(self._ask(Kind.OPEN, os.fsencode(name), CALL_TIMEOUT))

    def call(self, functions: Sequence[int]) -> None:
        self._ask(Kind.CALL, messages.encode_call(functions), CALL_TIMEOUT)

    def switch(self, switch: Switch) -> SwitchResult:
        timeout = ANSWER_TIMEOUT + switch.timeout_ms / 1000
        return messages.decode_switch(self._ask(Kind.SWITCH, messages.encode_switch(switch), timeout))

    def active(self, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        return messages.decode_active(self._ask(Kind.ACTIVE, messages.encode_active(ranges)))

    def tls_pool(self) -> TlsPool:
        return messages.decode_pool(self._ask(Kind.POOL))

    def tls_install(self, offset: int, image: bytes) -> None:
        self._ask(Kind.INSTALL, messages.encode_install(offset, image))

    def close(self) -> None:
        with self._lock:
            if self._conversation.state is State.IDLE:
                with suppress(OSError):
                    self._connection.sendall(self._conversation.ask(Kind.BYE))
            self._shut()

    def __enter__(self) -> LocalTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _shut(self) -> None:
        self._conversation.close()
        self._connection.close()
        self._listener.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _ask(self, kind: Kind, payload: bytes = b"", timeout: float = ANSWER_TIMEOUT) -> bytes:
        with self._lock:
            if self._conversation.state is State.CLOSED:
                raise TargetGone("the connection to the program is closed")
            try:
                answer = self._exchange(kind, payload, time.monotonic() + timeout)
            except TimeoutError as error:
                self._conversation.give_up()
                raise self._silent() from error
            except OSError as error:
                raise self._gone() from error
        return answer.checked()

    def _exchange(self, kind: Kind, payload: bytes, deadline: float) -> Answer:
        """One question and its answer; TimeoutError, or OSError when the other end is gone."""
        self._connection.settimeout(max(0.01, deadline - time.monotonic()))
        self._connection.sendall(self._conversation.ask(kind, payload))
        while True:
            data = self._connection.recv(max(4096, self._conversation.missing()))
            if not data:
                raise ConnectionResetError
            for happened in self._conversation.receive(data)[0]:
                if isinstance(happened, Answer):
                    return happened
            self._connection.settimeout(max(0.01, deadline - time.monotonic()))

    def _gone(self) -> TargetGone:
        ended = self._pidfd < 0
        if not ended:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            ended = bool(poll.poll(2000))
        self._shut()
        if ended:
            return TargetGone(f"the program (process {self._pid}) has ended")
        return TargetGone(
            f"the agent in process {self._pid} is gone, the process is not",
            "the program replaced itself (exec), or ended its threads; start it again with relive run",
        )

    def _silent(self) -> TargetError:
        state, tracer = process_state(self._pid)
        if tracer:
            return TargetError(
                f"the program does not answer: debugger {tracer} holds it", "let it continue in the debugger"
            )
        if state in "Tt":
            return TargetError("the program does not answer: it is stopped", f"continue it: kill -CONT {self._pid}")
        return TargetError(
            "the program does not answer: its agent waits for something in the program",
            "a library that is being loaded, or a constructor of new code, has not finished",
        )


def process_state(pid: int) -> tuple[str, int]:
    """One-letter state of the process (as in ps; "" when gone) and pid of the debugger that traces it (0: none)."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return "", 0
    return fields.get("State", "").strip()[:1], int(fields.get("TracerPid", "0"))
