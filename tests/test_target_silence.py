"""A program that does not answer, and why: the user is told who holds it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from relive.errors import TargetError, TargetGone
from relive.wire import messages
from relive.wire.frames import Kind
from tests.agent_programs import build, running, wait_for


def test_stopped_program(tmp_path: Path) -> None:
    """Ctrl-Z: an error with a hint; after SIGCONT the same target works, the late answer is not mistaken."""
    with running(build(tmp_path, "int main(void) { for (;;) pause(); }"), tmp_path) as live:
        os.kill(live.target.pid, signal.SIGSTOP)
        wait_for(lambda: "T (stopped)" in Path(f"/proc/{live.target.pid}/status").read_text(), "stop")
        with pytest.raises(TargetError, match="is stopped") as caught:
            live.target._ask(Kind.POOL, b"", 0.2)
        assert "kill -CONT" in caught.value.hint
        os.kill(live.target.pid, signal.SIGCONT)
        assert live.target.read(live.exe.low, 4) == b"\x7fELF"


def test_constructor_that_does_not_end(tmp_path: Path) -> None:
    source = "void stuck(void) { ready = 1; while (!finish) nap(1000000); } int main(void) { for (;;) pause(); }"
    with running(build(tmp_path, source), tmp_path) as live:
        payload = messages.encode_call([live.address("stuck")])
        with pytest.raises(TargetError, match="does not answer") as caught:
            live.target._ask(Kind.CALL, payload, 0.2)
        assert "constructor" in caught.value.hint
        live.set("finish", 1)
        assert live.target.read(live.exe.low, 4) == b"\x7fELF"


def test_closed_target(tmp_path: Path) -> None:
    with running(build(tmp_path, "int main(void) { for (;;) pause(); }"), tmp_path) as live:
        live.target.close()
        live.target.close()
        with pytest.raises(TargetGone, match="closed"):
            live.target.modules()
