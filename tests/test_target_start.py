"""Starting: what is read of files and processes beforehand, and whose Ctrl-C it is."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from relive.errors import TargetError
from relive.host.program_file import ProgramFile, check_program
from relive.host.remote_symbols import find_symbols, mapped_files
from tests.agent_programs import CACHE, agent, wait_for

TRUE = Path("/bin/true").read_bytes()


def read_own(address: int, size: int) -> bytes:
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(size)


def test_symbols_of_a_process_from_its_memory() -> None:
    libc = ctypes.CDLL(None)
    (mapped,) = (m for m in mapped_files(Path("/proc/self/maps").read_text()) if m.path.endswith("/libc.so.6"))
    found = find_symbols(read_own, mapped.start, frozenset({b"dlopen", b"getpid", b"nosuch"}))
    assert set(found) == {b"dlopen", b"getpid"}
    for name in ("dlopen", "getpid"):
        assert found[name.encode()] == ctypes.cast(getattr(libc, name), ctypes.c_void_p).value


@given(st.binary(max_size=300), st.integers(0, 64))
def test_what_is_no_library_has_no_symbols(noise: bytes, kept: int) -> None:
    data = TRUE[:kept] + noise

    def read(address: int, size: int) -> bytes:
        if not 0 <= address - 0x1000 <= len(data) - size or size > 1 << 20:
            raise OSError
        return data[address - 0x1000 :][:size]

    find_symbols(read, 0x1000, frozenset({b"dlopen"}))


@given(st.integers(0, len(TRUE)))
def test_programs_that_are_cut_off(size: int) -> None:
    path = CACHE / f"cut-{size}"
    CACHE.mkdir(exist_ok=True)
    path.write_bytes(TRUE[:size])
    with contextlib.suppress(TargetError):
        assert check_program(str(path)).path == str(path)
    path.unlink()


def test_ordinary_programs_and_scripts(tmp_path: Path) -> None:
    assert check_program("/bin/true") == ProgramFile("/bin/true")
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert check_program(str(script)) == ProgramFile(str(script))


HOST = """
import sys, time
from pathlib import Path
from relive.host.launch import start
launched = start(["sleep", "60"], agent=Path(sys.argv[1]), socket_dir=Path(sys.argv[2]))
target = launched.wait_agent(60)
print(launched.pid, flush=True)
print(launched.wait(), flush=True)
"""
PLAIN = "import subprocess; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"


def signals_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split()[0]: line.split()[1] for line in lines if line.startswith(("SigIgn", "SigBlk"))}


def test_interrupts_belong_to_the_program(tmp_path: Path) -> None:
    """The host survives Ctrl-C; the program has the dispositions that it would have had without it."""
    (tmp_path / "door").mkdir(mode=0o700)
    words = [sys.executable, "-c", HOST, str(agent()), str(tmp_path / "door")]
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as host,
        subprocess.Popen([sys.executable, "-c", PLAIN], stdout=subprocess.PIPE, text=True) as plain,
    ):
        assert host.stdout
        assert plain.stdout
        program, other = int(host.stdout.readline()), int(plain.stdout.readline())
        try:
            wait_for(lambda: "sleep" in Path(f"/proc/{other}/comm").read_text(), "exec")
            assert signals_of(program) == signals_of(other)
            for number in (signal.SIGINT, signal.SIGQUIT):
                host.send_signal(number)
            os.kill(program, signal.SIGTERM)
            assert host.stdout.readline() == f"{int(signal.SIGTERM)}\n"
            assert host.wait(60) == 0
        finally:
            os.kill(other, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(program, signal.SIGKILL)
