"""Frames between host and agent, and the order in which they may come. No I/O: bytes in, values out.

A frame is a header (payload size u32, kind u16, status u16, sequence u32, little-endian) and a payload of at most
`FRAME_LIMIT` bytes. The agent opens with HELLO (which carries the protocol version and the session's token), the host
answers WELCOME; from then on the host asks and the agent answers, one question at a time, each answer with the kind and
sequence of its question. A status other than 0 marks an answer that is a sentence saying why it could not be done.

`Conversation` is the host's end. What may happen when is the table `TRANSITIONS`; everything else is a `ProtocolError`,
after which the conversation is over (an agent of another version, a foreign process on our socket, a bug).

The numbers are the twin of agent/protocol.h; tests/test_wire.py compares the two."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum

from relive.errors import TargetError

VERSION = 1
MAGIC = 0x766C6572
TOKEN_SIZE = 16
FRAME_LIMIT = 64 << 20
MACHINE_X86_64 = 62

HEADER = struct.Struct("<IHHI")
HELLO = struct.Struct("<IHHI16s")
WELCOME = struct.Struct("<H")


class ProtocolError(TargetError):
    """The other side does not speak our protocol; the conversation is over, the program runs on."""

    code = "protocol"


class RequestFailed(TargetError):  # noqa: N818 - it reads as what happened
    """The agent could not do what was asked; its sentence says why."""

    code = "target"


class Kind(IntEnum):
    """What a frame is about."""

    HELLO = 1
    WELCOME = 2
    MODULES = 16
    READ = 17
    RESERVE = 18
    RELEASE = 19
    LOAD = 20
    LOOKUP = 21
    OPEN = 22
    CALL = 23
    SWITCH = 24
    ACTIVE = 25
    POOL = 26
    INSTALL = 27
    BYE = 28


class State(Enum):
    """Where a conversation is, seen from the host."""

    CONNECTED = "connected"  # the agent speaks first
    IDLE = "idle"  # the host may ask
    ASKED = "asked"  # the agent owes an answer
    CLOSED = "closed"


class Happening(Enum):
    """What moves a conversation on."""

    HELLO = "hello"
    ASK = "ask"
    ANSWER = "answer"
    GIVE_UP = "give up"  # the host waits no longer for the answer
    CLOSE = "close"


TRANSITIONS: dict[tuple[State, Happening], State] = {
    (State.CONNECTED, Happening.HELLO): State.IDLE,
    (State.IDLE, Happening.ASK): State.ASKED,
    (State.ASKED, Happening.ANSWER): State.IDLE,
    (State.ASKED, Happening.GIVE_UP): State.IDLE,
    (State.CONNECTED, Happening.CLOSE): State.CLOSED,
    (State.IDLE, Happening.CLOSE): State.CLOSED,
    (State.ASKED, Happening.CLOSE): State.CLOSED,
}


@dataclass(frozen=True, slots=True)
class Hello:
    """How the agent introduces itself."""

    version: int
    machine: int
    pid: int
    token: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The agent's answer to the newest question."""

    kind: Kind
    status: int
    payload: bytes

    def checked(self) -> bytes:
        """The payload; RequestFailed when it is a sentence saying why not."""
        if self.status:
            raise RequestFailed(self.payload.decode(errors="replace") or f"the agent refused {self.kind.name.lower()}")
        return self.payload


def encode_frame(kind: int, payload: bytes, sequence: int, status: int = 0) -> bytes:
    """One whole frame."""
    if len(payload) > FRAME_LIMIT:
        raise ProtocolError(f"a frame of {len(payload)} bytes is over the limit of {FRAME_LIMIT}")
    return HEADER.pack(len(payload), kind, status, sequence) + payload


class Conversation:
    """The host's end of one connection: feed it what arrives, send what it returns.

    `token` (16 bytes) is what the agent must bring; whoever else connects to our socket does not know it."""

    def __init__(self, token: bytes) -> None:
        self.state = State.CONNECTED
        self._token = token
        self._buffer = bytearray()
        self._sequence = 0
        self._kind: Kind | None = None

    def _move(self, happening: Happening) -> None:
        following = TRANSITIONS.get((self.state, happening))
        if following is None:
            was, self.state = self.state, State.CLOSED
            raise ProtocolError(f"{happening.value} while {was.value}")
        self.state = following

    def _broken(self, message: str) -> ProtocolError:
        self.state = State.CLOSED
        return ProtocolError(message, "relive and its agent in the program are of different versions: restart both")

    def ask(self, kind: Kind, payload: bytes = b"") -> bytes:
        """The frame of a question."""
        self._move(Happening.ASK)
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self._kind = kind
        return encode_frame(kind, payload, self._sequence)

    def give_up(self) -> None:
        """The host waits no longer; a late answer is dropped when it comes."""
        self._move(Happening.GIVE_UP)
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF

    def close(self) -> None:
        """Nothing more is said; allowed at any time."""
        if self.state is not State.CLOSED:
            self._move(Happening.CLOSE)

    def missing(self) -> int:
        """How many bytes are still to come before the next frame is whole (at least 1)."""
        if len(self._buffer) < HEADER.size:
            return HEADER.size - len(self._buffer)
        size: int = HEADER.unpack_from(self._buffer)[0]
        return max(1, HEADER.size + size - len(self._buffer))

    def receive(self, data: bytes | bytearray | memoryview) -> tuple[list[Hello | Answer], bytes]:
        """What has become complete with `data`, and what is to be sent at once. ProtocolError ends the conversation."""
        self._buffer += data
        happened: list[Hello | Answer] = []
        out = b""
        while self.state is not State.CLOSED and len(self._buffer) >= HEADER.size:
            size, kind, status, sequence = HEADER.unpack_from(self._buffer)
            if size > FRAME_LIMIT:
                raise self._broken(f"a frame of {size} bytes is over the limit")
            if len(self._buffer) < HEADER.size + size:
                break
            payload = bytes(memoryview(self._buffer)[HEADER.size : HEADER.size + size])
            del self._buffer[: HEADER.size + size]
            if self.state is State.CONNECTED:
                happened.append(self._greet(kind, payload))
                out += encode_frame(Kind.WELCOME, WELCOME.pack(VERSION), 0)
            elif sequence != self._sequence:
                if (self._sequence - sequence) & 0xFFFFFFFF > 0x7FFFFFFF or sequence == 0:
                    raise self._broken(f"an answer to a question that was never asked ({sequence})")
                # the late answer to a question that was given up
            else:
                if kind != self._kind:
                    raise self._broken(f"an answer of kind {kind} to a question of kind {self._kind}")
                self._move(Happening.ANSWER)
                happened.append(Answer(Kind(kind), status, payload))
        return happened, out

    def _greet(self, kind: int, payload: bytes) -> Hello:
        if kind != Kind.HELLO or len(payload) < 6:
            raise self._broken("something that is not relive's agent connected")
        magic, version = struct.unpack_from("<IH", payload)
        if magic != MAGIC:
            raise self._broken("something that is not relive's agent connected")
        if version != VERSION:
            raise self._broken(f"the agent in the program speaks version {version} of the protocol, relive {VERSION}")
        if len(payload) != HELLO.size:
            raise self._broken(f"a greeting of {len(payload)} bytes instead of {HELLO.size}")
        _, _, machine, pid, token = HELLO.unpack(payload)
        if token != self._token:
            raise self._broken("the agent that connected belongs to another session")
        if machine != MACHINE_X86_64:
            raise self._broken(f"the program is for machine {machine}, relive for x86-64")
        self._move(Happening.HELLO)
        return Hello(version, machine, pid, token)
