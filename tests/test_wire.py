"""Frames and their order; both ends agree; a host that talks nonsense harms nobody."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relive.host.listener import Listener
from relive.host.native import AGENT_SOURCES
from relive.wire import frames, messages
from relive.wire.frames import (
    HEADER,
    HELLO,
    TRANSITIONS,
    Answer,
    Conversation,
    Happening,
    Hello,
    Kind,
    ProtocolError,
    RequestFailed,
    State,
    encode_frame,
)
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
from tests.agent_programs import build, running, status_of, wait_for

TOKEN = bytes(range(16))


def hello(version: int = frames.VERSION, token: bytes = TOKEN, magic: int = frames.MAGIC, machine: int = 62) -> bytes:
    return encode_frame(Kind.HELLO, HELLO.pack(magic, version, machine, 77, token), 0)


def greeted() -> Conversation:
    conversation = Conversation(TOKEN)
    happened, out = conversation.receive(hello())
    assert happened == [Hello(frames.VERSION, 62, 77, TOKEN)]
    assert out == encode_frame(Kind.WELCOME, b"\x01\x00", 0)
    return conversation


def test_both_ends_use_the_same_numbers() -> None:
    header = (AGENT_SOURCES / "protocol.h").read_text()
    kinds = {name: int(value) for name, value in re.findall(r"KIND_(\w+) = (\d+)", header)}
    assert kinds == {kind.name: kind.value for kind in Kind}
    assert int(re.findall(r"RELIVE_VERSION (\d+)", header)[0]) == frames.VERSION
    assert int(re.findall(r"RELIVE_MAGIC (0x\w+)u", header)[0], 16) == frames.MAGIC
    assert re.findall(r"SWITCH_(\w+) = (\d)", header)[:4] == [
        (status.upper(), str(i)) for i, status in enumerate(messages._STATUSES)
    ]
    assert frames.HEADER.size == 12


def test_every_move_is_in_the_table() -> None:
    """Nothing leads out of CLOSED, everything else can be closed."""
    assert all(before is not State.CLOSED for before, _ in TRANSITIONS)
    for state in (State.CONNECTED, State.IDLE, State.ASKED):
        assert TRANSITIONS[state, Happening.CLOSE] is State.CLOSED


def test_question_and_answer() -> None:
    conversation = greeted()
    question = conversation.ask(Kind.MODULES, b"abc")
    size, kind, status, sequence = HEADER.unpack_from(question)
    assert (size, kind, status, question[HEADER.size :]) == (3, Kind.MODULES, 0, b"abc")
    happened, out = conversation.receive(encode_frame(Kind.MODULES, b"xyz", sequence))
    assert (happened, out) == ([Answer(Kind.MODULES, 0, b"xyz")], b"")
    assert conversation.state is State.IDLE


def test_refusal_of_the_agent() -> None:
    with pytest.raises(RequestFailed, match="no room"):
        Answer(Kind.LOAD, 1, b"no room").checked()
    with pytest.raises(RequestFailed, match="load"):
        Answer(Kind.LOAD, 1, b"").checked()
    assert Answer(Kind.LOAD, 0, b"fine").checked() == b"fine"


def test_late_answer_is_dropped() -> None:
    conversation = greeted()
    first = HEADER.unpack_from(conversation.ask(Kind.READ))[3]
    conversation.give_up()
    second = HEADER.unpack_from(conversation.ask(Kind.POOL))[3]
    late = encode_frame(Kind.READ, b"late", first)
    happened, _ = conversation.receive(late + encode_frame(Kind.POOL, b"now", second))
    assert happened == [Answer(Kind.POOL, 0, b"now")]
    conversation.ask(Kind.POOL)
    conversation.give_up()
    assert conversation.receive(encode_frame(Kind.POOL, b"late again", second + 1))[0] == []
    assert conversation.state is State.IDLE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (hello(version=9), "version 9"),
        (hello(token=bytes(16)), "another session"),
        (hello(magic=1), "not relive's agent"),
        (hello(machine=183), "machine 183"),
        (encode_frame(Kind.MODULES, b"", 0), "not relive's agent"),
        (encode_frame(Kind.HELLO, b"", 0), "not relive's agent"),
        (encode_frame(Kind.HELLO, struct.pack("<IH", frames.MAGIC, frames.VERSION), 0), "greeting of 6 bytes"),
        (HEADER.pack(frames.FRAME_LIMIT + 1, 1, 0, 0), "over the limit"),
    ],
)
def test_bad_greetings(data: bytes, message: str) -> None:
    conversation = Conversation(TOKEN)
    with pytest.raises(ProtocolError, match=message) as caught:
        conversation.receive(data)
    assert caught.value.hint
    assert conversation.state is State.CLOSED


def test_things_out_of_order() -> None:
    with pytest.raises(ProtocolError, match="ask while connected"):
        Conversation(TOKEN).ask(Kind.MODULES)
    conversation = greeted()
    conversation.ask(Kind.MODULES)
    with pytest.raises(ProtocolError, match="ask while asked"):
        conversation.ask(Kind.MODULES)
    for kind, sequence in ((Kind.READ, 1), (Kind.MODULES, 2), (Kind.MODULES, 0)):
        conversation = greeted()
        conversation.ask(Kind.MODULES)
        with pytest.raises(ProtocolError):
            conversation.receive(encode_frame(kind, b"", sequence))
    conversation = greeted()
    conversation.close()
    conversation.close()
    with pytest.raises(ProtocolError, match="while closed"):
        conversation.ask(Kind.MODULES)


@given(st.lists(st.binary(max_size=40), max_size=5), st.data())
def test_frames_may_be_cut_anywhere(payloads: list[bytes], data: st.DataObject) -> None:
    conversation = Conversation(TOKEN)
    for greeting in (hello()[:20], hello()[20:]):
        conversation.receive(greeting)
    for payload in payloads:
        sequence = HEADER.unpack_from(conversation.ask(Kind.READ))[3]
        frame = encode_frame(Kind.READ, payload, sequence)
        happened = []
        while frame:
            assert 1 <= conversation.missing() <= len(frame)
            cut = data.draw(st.integers(1, len(frame)))
            happened += conversation.receive(frame[:cut])[0]
            frame = frame[cut:]
        assert happened == [Answer(Kind.READ, 0, payload)]


@given(st.binary(max_size=200))
def test_noise_ends_the_conversation_and_nothing_else(noise: bytes) -> None:
    for conversation in (Conversation(TOKEN), greeted()):
        try:
            conversation.receive(noise)
        except ProtocolError:
            assert conversation.state is State.CLOSED


ADDRESSES = st.integers(0, 2**64 - 1)
MODULES = st.builds(
    Module,
    path=st.text(alphabet=st.characters(codec="utf-8"), max_size=50),
    base=ADDRESSES,
    low=ADDRESSES,
    high=ADDRESSES,
    build_id=st.binary(max_size=20),
    tls_module=st.integers(0, 2**32 - 1),
    tls_offset=st.none() | st.integers(-(2**63), 2**63 - 1),
)


@given(st.lists(MODULES, max_size=5).map(tuple))
def test_modules_come_through(modules: tuple[Module, ...]) -> None:
    payload = messages.encode_modules(modules)
    assert messages.decode_modules(payload) == modules
    if payload:
        with pytest.raises(ProtocolError):
            messages.decode_modules(payload[:-1])


@given(st.binary(max_size=60))
def test_decoders_survive_noise(noise: bytes) -> None:
    for decode in (
        messages.decode_modules, messages.decode_address, messages.decode_open, messages.decode_switch,
        messages.decode_active, messages.decode_pool,
        lambda payload: messages.decode_read(payload, [3, 4]), lambda payload: messages.decode_lookup(payload, 2),
    ):  # fmt: skip
        with contextlib.suppress(ProtocolError):
            decode(noise)


def test_answers_are_decoded() -> None:
    assert messages.decode_read(b"abcde", [2, 0, 3]) == [b"ab", b"", b"cde"]
    assert messages.decode_lookup(struct.pack("<2Q", 5, 0), 2) == [5, 0]
    payload = struct.pack("<IIQQQI", 2, 1, 1234, 0x4000, 7, 99)
    assert messages.decode_switch(payload) == SwitchResult("busy", "stop", 1234, 0x4000, 99, 7)
    assert messages.decode_active(struct.pack("<6I", 5, 1, 4, 0, 5, 1)) == [(4, 0), (5, 1)]
    assert messages.decode_pool(struct.pack("<qQQQ", -64, 512, 3, 8)) == TlsPool(-64, 512, 3, 8)


def test_switches_are_encoded_in_order_and_checked() -> None:
    one, two = CodePatch(0x2000, b"12345", b"54321"), CodePatch(0x1000, b"abcde", b"edcba")
    store, rewrite, area = DataStore(0x3000, b"x", b"y"), PointerRewrite(8, 16), Forbidden(1, 2)
    payload = messages.encode_switch(Switch((one, two), (store,), (rewrite,), (area,), True, 50))
    assert payload.index(b"abcdeedcba") < payload.index(b"1234554321") < payload.index(b"xy")
    assert struct.unpack_from("<6I", payload) == (1, 50, 2, 1, 1, 1)
    for bad in (
        CodePatch(1, b"", b""),
        CodePatch(1, b"ab", b"a"),
        CodePatch(1, b"a" * 17, b"b" * 17),
        CodePatch(0x0FFE, b"abc", b"cba"),
    ):
        with pytest.raises(ValueError, match="patch at"):
            messages.encode_switch(Switch((two, bad)))


@given(st.lists(st.tuples(ADDRESSES, st.integers(0, 100)), max_size=30))
def test_reads_are_cut_into_batches(ranges: list[tuple[int, int]]) -> None:
    batches = messages.batches(ranges, limit=120)
    assert [item for batch in batches for item in batch] == ranges
    assert all(sum(size + 12 for _, size in batch) <= 120 or len(batch) == 1 for batch in batches)
    with pytest.raises(ValueError, match="more than one frame"):
        messages.batches([(0, 121)], limit=120)


NONSENSE = [
    HEADER.pack(0xFFFFFFFF, Kind.READ, 0, 1),
    HEADER.pack(4, Kind.READ, 0, 1) + b"\xff\xff\xff\xff",
    HEADER.pack(16, Kind.READ, 0, 1) + struct.pack("<IQI", 1, 0x400000, 0xFFFFFFFF),
    HEADER.pack(0, 999, 0, 1),
    HEADER.pack(0, Kind.HELLO, 0, 1),
    HEADER.pack(3, Kind.MODULES, 0, 1) + b"abc",
    HEADER.pack(24, Kind.SWITCH, 0, 1) + struct.pack("<6I", 0, 1, 0xFFFFFFFF, 0, 0, 0),
    HEADER.pack(36, Kind.SWITCH, 0, 1) + struct.pack("<6IQI", 0, 1, 1, 0, 0, 0, 5, 0xFFFFFFF0),
    HEADER.pack(4, Kind.CALL, 0, 1) + struct.pack("<I", 1 << 30),
    HEADER.pack(4, Kind.LOOKUP, 0, 1) + struct.pack("<I", 3),
    HEADER.pack(3, Kind.OPEN, 0, 1) + b"a\0b",
    HEADER.pack(17, Kind.LOAD, 0, 1) + bytes(17),
    HEADER.pack(4, Kind.ACTIVE, 0, 1) + struct.pack("<I", 0x10000001),
]


def test_agent_drops_hosts_that_talk_nonsense(tmp_path: Path) -> None:
    """After each nonsense the connection ends; the program runs on, and the next sensible host is served."""
    program = build(tmp_path, "int main(void) { ready = 1; while (!finish) nap(1000000); return 5; }")
    generator = random.Random(5)
    noise = [HEADER.pack(n, generator.choice(list(Kind)), 0, 1) + generator.randbytes(n) for n in range(12, 44)]
    noise = [frame for frame in noise if frame[4] not in (Kind.CALL, Kind.BYE)]  # those would do what they are told
    with running(program, tmp_path) as live:
        live.wait_ready()
        live.target.read(live.exe.low, 4)
        target = live.target
        for frame in NONSENSE + noise:
            target._connection.sendall(frame)
            if frame in NONSENSE:
                with pytest.raises((ConnectionError, StopIteration)):
                    answer_of(target._connection)
            target._connection.close()
            found = target._listener.accept(target.pid, 60)
            assert found, frame
            target._connection, target._conversation = found
            assert target.read(live.exe.low, 4) == b"\x7fELF"
        live.set("finish", 1)
        assert status_of(live.launched) == 5


def answer_of(connection: socket.socket) -> bytes:
    connection.settimeout(60)
    data = connection.recv(100)
    if not data:
        raise StopIteration
    return data


def test_strangers_at_the_door(tmp_path: Path) -> None:
    """Another process that knocks is sent away; the agent still gets in."""
    door = tmp_path / "door"
    listener = Listener(door)
    assert door.stat().st_mode & 0o777 == 0o700
    stranger = socket.socket(socket.AF_UNIX)
    stranger.connect(str(listener.path))
    assert listener.accept(1, 0.2) is None
    wait_for(lambda: stranger.recv(1) == b"", "the door is closed")
    stranger.close()
    listener.close()
    assert list(door.iterdir()) == []


def test_socket_in_a_very_deep_directory(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    program = build(tmp_path, "int main(void) { for (;;) pause(); }")
    with running(program, deep) as live:
        assert live.target.modules()[0].path == str(program)
