"""The fake target behaves like the real one where others rely on it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from relive.errors import TargetError
from relive.host.target import (
    CodePatch,
    DataStore,
    FakeTarget,
    Forbidden,
    Module,
    PointerRewrite,
    Switch,
    SwitchResult,
    Target,
)
from tests.test_agent_memory import NEW_CODE, make_image

EXE = Module("/bin/program", 0x400000, 0x400000, 0x402000, b"id", 1, -64)


def fake() -> FakeTarget:
    vptrs = struct.pack("<4Q", 7, 8, 7, 9)
    return FakeTarget(modules=[EXE], memory={0x400000: bytes(64), 0x500000: vptrs}, symbols={b"printf": 0x1234})


def test_it_is_a_target() -> None:
    target: Target = fake()
    assert target.modules() == (EXE,)
    assert target.lookup([b"printf", b"nosuch"]) == [0x1234, 0]
    assert target.tls_pool().size == 4096
    assert not target.open_library("libnosuch.so")


def test_memory_and_switches() -> None:
    target = fake()
    patch = CodePatch(0x400010, bytes(5), b"\xe9abcd")
    done = target.switch(Switch(code=(patch,)))
    assert (done.status, done.mode) == ("done", "live")
    assert target.read_many([(0x400010, 5)]) == [b"\xe9abcd"]
    again = target.switch(Switch(code=(patch,), stores=(DataStore(0x400020, b"\0", b"\1"),)))
    assert (again.status, again.address) == ("mismatch", 0x400010)
    assert target.read(0x400020, 1) == b"\0"
    rewritten = target.switch(Switch(rewrites=(PointerRewrite(7, 70),), forbidden=(Forbidden(1, 2),)))
    assert (rewritten.status, rewritten.mode, rewritten.rewritten) == ("done", "stop", 2)
    target.next_result = SwitchResult("busy", "live", 0, 1, 2, 0)
    assert target.switch(Switch(code=(patch,))).status == "busy"
    with pytest.raises(TargetError, match="not mapped"):
        target.read(0x1000, 4)
    with pytest.raises(ValueError, match="overlaps"):
        target.switch(Switch(code=(patch, patch)))


def test_room_and_loading(tmp_path: Path) -> None:
    target = fake()
    first = target.reserve((EXE.low, EXE.high), 10)
    second = target.reserve((EXE.low, EXE.high), 0x10000)
    assert second >= first + 4096
    target.release(first, 10)
    with pytest.raises(TargetError, match="not a reserved range"):
        target.release(first, 10)
    image = make_image(tmp_path, second, NEW_CODE, "new")
    target.load(str(image), second, 0x10000)
    assert target.read(second, 4) == b"\x7fELF"
    third = target.reserve((EXE.low, EXE.high), 0x10000)
    with pytest.raises(TargetError, match="did not put the file"):
        target.load(str(image), third, 0x10000)
    with pytest.raises(TargetError, match="no free address space"):
        target.reserve((EXE.low, EXE.high), 1 << 31)


def test_the_rest_is_noted() -> None:
    target = fake()
    target.call([1, 2])
    target.tls_install(0, b"abc")
    target.active_answer = [(5, 0), (6, 3)]
    assert target.active([(0, 1)]) == [(5, 0)]
    target.close()
    assert [name for name, _ in target.log] == ["call", "tls_install", "close"]
    with pytest.raises(TargetError, match="pool"):
        target.tls_install(4090, b"1234567")
