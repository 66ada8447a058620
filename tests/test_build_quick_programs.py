"""Quick builds of real programs: the file is edited, run, and linked anew by the program's own build."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs.driver import free_port
from tests.programs.fetch import Tree, checkout

pytestmark = [pytest.mark.program, pytest.mark.timeout(1500)]


@contextmanager
def quickly(name: str) -> Iterator[Tree]:
    """The built program; afterwards as it was, linked by its own build."""
    with checkout(name) as tree:
        tree.rebuild()  # other tests leave sources that are touched and not built
        try:
            yield tree
        finally:
            for path in tree.restore_all():
                (tree.root / path).touch()
            shutil.rmtree(tree.executable.with_name(f".{tree.executable.name}.relive-build"), ignore_errors=True)
            tree.rebuild()


def build(tree: Tree) -> str:
    """A quick build, and nothing else; what it tells."""
    words = [sys.executable, "-m", "relive", "build", "--no-fallback", "-v", str(tree.executable)]
    done = subprocess.run(words, cwd=tree.build_dir, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@contextmanager
def running(words: Sequence[str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(port: int, text: str) -> str:
    for _ in range(500):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)) as stream:
            stream.sendall(text.encode())
            return stream.recv(4096).decode()
        time.sleep(0.02)
    raise AssertionError("nobody listens")


def ping(tree: Tree) -> str:
    port = free_port()
    words = [str(tree.executable), "--port", str(port), "--save", "", "--appendonly", "no"]
    with running(words, tree.root):
        assert ask(port, "SET a 41\r\n") == "+OK\r\n"
        assert ask(port, 'EVAL \'return redis.call("incr","a")\' 0\r\n') == ":42\r\n"
        return ask(port, "PING\r\n")


def test_redis() -> None:
    with quickly("redis") as tree:
        assert ping(tree) == "+PONG\r\n"
        line = (
            '         if (c->argc == 1)\n-            addReply(c,shared.pong);\n+            addReplyStatus(c,"ONE");\n'
        )
        tree.edit(f"--- src/server.c\n{line}         else\n")
        assert "pingCommand" in build(tree)
        assert ping(tree) == "+ONE\r\n"
        # A string, a static and a call that the program did not have, on top of the first edit.
        tree.edit(
            '--- src/server.c\n-            addReplyStatus(c,"ONE");\n+            '
            '{ static int n = 6; char b[32]; snprintf(b,32,"NUMBER %d %g",++n,nextafter(1.5,2) > 1.5 ? 0.5 : 9.0);'
            " addReplyStatus(c,b); }\n"
        )
        build(tree)
        assert ping(tree) == "+NUMBER 7 0.5\r\n"
        assert not subprocess.run(
            ["readelf", "-aW", tree.executable], capture_output=True, text=True, check=True
        ).stderr
    with checkout("redis") as tree:
        assert ping(tree) == "+PONG\r\n"


def test_teeworlds(tmp_path: Path) -> None:
    with quickly("teeworlds") as tree:
        file = "src/game/server/gamecontext.cpp"
        text = (tree.root / file).read_text()
        head = "void CGameContext::OnTick()\n{\n"
        assert text.count(head) == 1
        body = (
            "\tstatic int s_Ticks = 40; struct CError { int m_Value; };\n"
            "\ttry { if(++s_Ticks == 45) throw CError{s_Ticks}; }\n"
            '\tcatch(const CError &Error) { dbg_msg("relive", "caught %d", Error.m_Value); }\n'
        )
        tree.write(file, text.replace(head, head + body))
        assert "CGameContext::OnTick" in build(tree)
        words = [str(tree.executable), f"sv_port {free_port()};sv_register 0;bindaddr 127.0.0.1"]
        with running(words, tree.build_dir) as process:
            assert process.stdout is not None
            assert any("[relive]: caught 45" in line for line in process.stdout)
