"""memcached: four worker threads that sleep in epoll, built with -Werror; answers read over its text protocol."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs.driver import Event, Live, connect, free_port, live
from tests.programs.fetch import Tree

pytestmark = [pytest.mark.program, pytest.mark.slow, pytest.mark.timeout(1500)]


@dataclass
class Server:
    """memcached under relive; one connection for each worker (they are dealt out in turn)."""

    live: Live
    port: int
    streams: list[socket.socket]

    def ask(self, text: str, *, lines: int = 1, worker: int = 0) -> str:
        """Sends one command, returns its answer of ``lines`` lines."""
        stream = self.streams[worker]
        stream.sendall(text.encode() + b"\r\n")
        answer = b""
        while answer.count(b"\n") < lines:
            more = stream.recv(1)
            assert more, "memcached closed the connection"
            answer += more
        return answer.decode().replace("\r\n", "\n").rstrip("\n")

    def set(self, key: str, value: str) -> str:
        return self.ask(f"set {key} 0 0 {len(value)}\r\n{value}")


@contextmanager
def memcached(tree: Tree, folder: Path) -> Iterator[Server]:
    port = free_port()
    argv = [str(tree.executable), "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "4", "-v"]
    with live(tree, argv, folder) as session, ExitStack() as stack:
        streams = [stack.enter_context(connect(session, port)) for _ in range(4)]
        server = Server(session, port, streams)
        assert server.set("kept", "before") == "STORED"
        yield server
        assert server.ask("get kept", lines=3) == "VALUE kept 0 6\nbefore\nEND"


def assert_applied(event: Event, *functions: str) -> None:
    assert event["status"] == "applied", event
    assert set(functions) <= set(event["functions"]), event["functions"]


def test_body_edit_reaches_every_worker_then_undo(memcached_tree: Tree, tmp_path: Path) -> None:
    """A static function, changed; all four workers answer with the new code, and with the old one after undo."""
    with memcached(memcached_tree, tmp_path) as server:
        assert {server.ask("version", worker=n) for n in range(4)} == {"VERSION 1.6.18"}
        event = server.live.save(
            """
--- proto_text.c
 static void process_version_command(conn *c) {
-    out_string(c, "VERSION " VERSION);
+    out_string(c, "EDITED " VERSION);
"""
        )
        assert_applied(event)
        assert event["functions"] == ["process_version_command"]
        assert {server.ask("version", worker=n) for n in range(4)} == {"EDITED 1.6.18"}
        assert server.live.relive("undo").returncode == 0
        assert {server.ask("version", worker=n) for n in range(4)} == {"VERSION 1.6.18"}


def test_header_macro(memcached_tree: Tree, tmp_path: Path) -> None:
    """The longest key is a macro of memcached.h; arrays on the stack and checks in several units follow it."""
    long_key = "k" * 150
    with memcached(memcached_tree, tmp_path) as server:
        assert server.set(long_key, "v") == "STORED"
        event = server.live.save(
            """
--- memcached.h
-#define KEY_MAX_LENGTH 250
+#define KEY_MAX_LENGTH 100
"""
        )
        assert_applied(event)
        assert len(event["functions"]) > 3
        assert server.ask(f"get {long_key}") == "CLIENT_ERROR bad command line format"
        assert server.set("k" * 100, "v") == "STORED"
        assert server.live.relive("undo").returncode == 0
        assert server.ask(f"get {long_key}", lines=3).endswith("\nv\nEND")


def test_new_static_thread_local_and_global(memcached_tree: Tree, tmp_path: Path) -> None:
    """A new static counts for all threads, a new thread-local for each; a new global is shared by three units."""
    with memcached(memcached_tree, tmp_path) as server:
        event = server.live.save(
            """
--- proto_text.c
 static void process_version_command(conn *c) {
-    out_string(c, "VERSION " VERSION);
+    char text[64];
+    static int calls = 100;
+    snprintf(text, sizeof(text), "CALL %d", ++calls);
+    out_string(c, text);
"""
        )
        assert_applied(event, "process_version_command")
        assert [server.ask("version", worker=n) for n in range(4)] == [f"CALL {101 + n}" for n in range(4)]
        event = server.live.save(
            """
--- proto_text.c
-    static int calls = 100;
-    snprintf(text, sizeof(text), "CALL %d", ++calls);
+    static __thread int own_calls = 200;
+    snprintf(text, sizeof(text), "CALL %d", ++own_calls);
"""
        )
        assert_applied(event, "process_version_command")
        assert [server.ask("version", worker=n) for n in (0, 1, 2, 3, 0)] == ["CALL 201"] * 4 + ["CALL 202"]
        event = server.live.save(
            """
--- memcached.h
 extern struct settings settings;
+extern int items_seen;
--- memcached.c
 struct settings settings;
+int items_seen = 7;
--- items.c
 item *do_item_alloc(char *key, const size_t nkey, const unsigned int flags,
                     const rel_time_t exptime, const int nbytes) {
+    __atomic_add_fetch(&items_seen, 1, __ATOMIC_RELAXED);
--- proto_text.c
-    snprintf(text, sizeof(text), "CALL %d", ++own_calls);
+    snprintf(text, sizeof(text), "CALL %d %d", ++own_calls, items_seen);
"""
        )
        assert_applied(event)
        assert server.set("another", "v") == "STORED"
        assert server.ask("version", worker=0) == "CALL 203 8"
        assert server.ask("version", worker=2) == "CALL 202 8"


def test_identity_reload_then_own_tests(memcached_tree: Tree, tmp_path: Path) -> None:
    """Every function replaced by itself; then those of memcached's tests that can be run against a running server."""
    with memcached(memcached_tree, tmp_path) as server:
        done = server.live.relive("reload", "--all")
        assert done.returncode == 0, done.stderr
        event = server.live.wait_reload()
        assert event["status"] == "applied"
        assert event["mode"] == "all"
        assert len(event["functions"]) > 400
        # Its tests look for the executable where they are run from, and then use ours because of the variable.
        (tmp_path / "memcached-debug").symlink_to(memcached_tree.executable)
        own = subprocess.run(
            ["prove", *(str(memcached_tree.root / f"t/{name}.t") for name in OWN_TESTS)],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "T_MEMD_USE_DAEMON": f"127.0.0.1:{server.port}"},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert own.returncode == 0, own.stdout[-4000:] + own.stderr[-2000:]
        assert "All tests successful" in own.stdout
        assert server.set("kept", "before") == "STORED"


# What passes against an unpatched server that it did not start, whatever ran before, and soon.
OWN_TESTS = (
    *(
        "binary-get",
        "bogus-commands",
        "cas",
        "flags",
        "incrdecr",
    ),
    *("issue_108", "issue_14", "issue_152", "issue_192", "issue_41", "issue_68", "issue_70"),
    *("line-lengths", "malicious-commands", "noreply", "quit", "strtol-testing", "touch"),
)
