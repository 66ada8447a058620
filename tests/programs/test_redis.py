"""redis, a C server with background threads, at work while it is edited; answers read over its own protocol."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs.driver import Event, Live, connect, free_port, live
from tests.programs.fetch import Tree

pytestmark = [pytest.mark.program, pytest.mark.timeout(1500)]


@dataclass
class Client:
    """One connection."""

    stream: socket.socket

    def ask(self, *words: str) -> str:
        """Sends a command; the answer as `redis-cli` would show it."""
        parts = [f"*{len(words)}\r\n"] + [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self.stream.sendall("".join(parts).encode())
        return self._answer()

    def _answer(self) -> str:
        line = self._line()
        kind, rest = line[0], line[1:]
        if kind in "+-:":
            return rest
        size = int(rest)
        if size < 0:
            return "(nil)"
        if kind == "*":
            return " ".join(self._answer() for _ in range(size))
        return self._bytes(size + 2)[:-2].decode()

    def _line(self) -> str:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._bytes(1)
        return line[:-2].decode()

    def _bytes(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.stream.recv(count - len(data))
            assert more, "redis closed the connection"
            data += more
        return data


@dataclass
class Server:
    """A redis under relive and a client that stays connected over all reloads."""

    live: Live
    client: Client
    port: int

    def ask(self, *words: str) -> str:
        return self.client.ask(*words)


@contextmanager
def redis(tree: Tree, folder: Path) -> Iterator[Server]:
    port = free_port()
    argv = [str(tree.executable), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    argv += ["--loglevel", "verbose", "--enable-debug-command", "yes"]
    with live(tree, argv, folder) as session, connect(session, port) as stream:
        server = Server(session, Client(stream), port)
        assert server.ask("set", "kept", "before") == "OK"
        yield server
        if not server.live.ended:
            assert server.ask("get", "kept") == "before"


def assert_applied(event: Event, *functions: str) -> None:
    assert event["status"] == "applied", event
    assert set(functions) <= {name.split("(")[0] for name in event["functions"]}, event["functions"]


PING_ONE = """
--- src/server.c
         if (c->argc == 1)
-            addReply(c,shared.pong);
+            addReplyStatus(c,"ONE");
         else
"""


def test_body_edit_then_undo(redis_tree: Tree, tmp_path: Path) -> None:
    """One changed body; the second edit lands on the first; undo brings back each step."""
    with redis(redis_tree, tmp_path) as server:
        assert server.ask("ping") == "PONG"
        event = server.live.save(PING_ONE)
        assert_applied(event)
        assert event["functions"] == ["pingCommand"]
        assert server.ask("ping") == "ONE"
        event = server.live.save(
            """
--- src/server.c
-            addReplyStatus(c,"ONE");
+            addReplyStatus(c,"TWO");
"""
        )
        assert_applied(event, "pingCommand")
        assert server.ask("ping") == "TWO"
        # redis compares the pointer of its command table with the name pingCommand.
        assert server.ask("ping", "a", "b") == "ERR wrong number of arguments for 'ping' command"
        assert server.live.relive("undo").returncode == 0
        assert server.ask("ping") == "ONE"
        assert server.live.relive("undo", "--to", "0").returncode == 0
        assert server.ask("ping") == "PONG"


def test_end(redis_tree: Tree, tmp_path: Path) -> None:
    """SIGTERM reaches redis' own handler, which was edited before; its own status and words come out."""
    with redis(redis_tree, tmp_path) as server:
        event = server.live.save(
            """
--- src/server.c
-        msg = "Received SIGTERM scheduling shutdown...";
+        msg = "Got SIGTERM, scheduling shutdown...";
"""
        )
        assert_applied(event, "sigShutdownHandler")
        assert server.live.end() == 0
        assert "Got SIGTERM, scheduling" in server.live.out.read_text()
        assert "Redis is now ready to exit" in server.live.out.read_text()


def test_header_changes_a_signature(redis_tree: Tree, tmp_path: Path) -> None:
    """server.h is in 57 units: a function gets a parameter, which a macro of its name fills in with ``__func__``."""
    with redis(redis_tree, tmp_path) as server:
        event = server.live.save(
            """
--- src/server.h
-void addReplyErrorArity(client *c);
+void addReplyErrorArity(client *c, const char *who);
+#define addReplyErrorArity(c) (addReplyErrorArity)(c, __func__)
--- src/networking.c
-void addReplyErrorArity(client *c) {
-    addReplyErrorFormat(c, "wrong number of arguments for '%s' command",
-                        c->cmd->fullname);
+void (addReplyErrorArity)(client *c, const char *who) {
+    addReplyErrorFormat(c, "%s: wrong number of arguments for '%s' command",
+                        who, c->cmd->fullname);
"""
        )
        assert_applied(event, "addReplyErrorArity", "pingCommand", "hsetCommand", "msetGenericCommand")
        assert server.ask("ping", "a", "b") == "ERR pingCommand: wrong number of arguments for 'ping' command"
        assert server.ask("hset", "h", "f", "v", "g").startswith("ERR hsetCommand: wrong")
        assert server.ask("mset", "a", "b", "c").startswith("ERR msetGenericCommand: wrong")
        assert server.live.relive("undo", "--to", "0").returncode == 0
        assert server.ask("mset", "a", "b", "c") == "ERR wrong number of arguments for 'mset' command"


def test_inline_function_of_a_header(redis_tree: Tree, tmp_path: Path) -> None:
    """``sdsavail`` is a static inline of sds.h: each of its many units has its own copy."""
    with redis(redis_tree, tmp_path) as server:
        server.ask("append", "grown", "x" * 10)
        server.ask("append", "grown", "y" * 10)
        free = re.search(r"val_sds_avail:(\d+)", server.ask("debug", "sdslen", "grown"))
        assert free is not None
        assert int(free[1]) > 0
        # Claiming that there is less room than there is does no harm to short strings.
        event = server.live.save(
            """
--- src/sds.h
 static inline size_t sdsavail(const sds s) {
     unsigned char flags = s[-1];
     switch(flags&SDS_TYPE_MASK) {
         case SDS_TYPE_5: {
             return 0;
         }
         case SDS_TYPE_8: {
             SDS_HDR_VAR(8,s);
-            return sh->alloc - sh->len;
+            return sh ? 0 : 1;
"""
        )
        assert_applied(event, "sdsavail")
        assert "val_sds_avail:0" in server.ask("debug", "sdslen", "grown")
        server.ask("append", "grown", "z" * 1000)
        assert server.ask("strlen", "grown") == "1020"


def test_new_static_and_new_global_of_two_units(redis_tree: Tree, tmp_path: Path) -> None:
    """A new function-local static, then a new global shared by two units; a reload in between keeps their values."""
    with redis(redis_tree, tmp_path) as server:
        event = server.live.save(
            """
--- src/server.c
         if (c->argc == 1)
-            addReply(c,shared.pong);
+        {
+            static int pings = 100;
+            addReplyStatusFormat(c, "PING %d", ++pings);
+        }
         else
"""
        )
        assert_applied(event, "pingCommand")
        assert [server.ask("ping") for _ in range(3)] == ["PING 101", "PING 102", "PING 103"]
        event = server.live.save(
            """
--- src/server.c
-            addReplyStatusFormat(c, "PING %d", ++pings);
+            addReplyStatusFormat(c, "ping %d", ++pings);
"""
        )
        assert_applied(event, "pingCommand")
        assert server.ask("ping") == "ping 104"
        event = server.live.save(
            """
--- src/server.h
 extern struct redisServer server;
+extern long long strlenCalls;
--- src/server.c
+long long strlenCalls = 40;
 void echoCommand(client *c) {
-    addReplyBulk(c,c->argv[1]);
+    addReplyLongLong(c, strlenCalls);
--- src/t_string.c
 void strlenCommand(client *c) {
     robj *o;
+    strlenCalls++;
"""
        )
        assert_applied(event)
        server.ask("strlen", "kept")
        server.ask("strlen", "kept")
        assert server.ask("echo", "x") == "42"
        assert server.ask("ping") == "ping 105"


def test_background_thread(redis_tree: Tree, tmp_path: Path) -> None:
    """A function that only the lazy-free thread runs; that thread sleeps in a condition while the code is switched."""
    with redis(redis_tree, tmp_path) as server:
        event = server.live.save(
            """
--- src/lazyfree.c
 void lazyfreeFreeObject(void *args[]) {
     robj *o = (robj *) args[0];
+    serverLog(LL_WARNING, "freed %d in the background", o->type);
"""
        )
        assert_applied(event, "lazyfreeFreeObject")
        server.ask("eval", "for i = 1, 1000 do redis.call('sadd', 'big', 'member' .. i) end", "0")
        assert server.ask("unlink", "big") == "1"
        server.live.wait_text("freed 2 in the background")


def test_mistakes_and_nothing(redis_tree: Tree, tmp_path: Path) -> None:
    """A syntax error leaves the program as it is, the next save mends it; an edit of a comment changes nothing."""
    with redis(redis_tree, tmp_path) as server:
        event = server.live.save(PING_ONE.replace('"ONE");', '"ONE")'))
        assert event["status"] == "failed"
        assert "server.c" in event["message"]
        assert re.search("expected [‘']?;", event["message"])
        assert server.ask("ping") == "PONG"
        event = server.live.save(
            """
--- src/server.c
-            addReplyStatus(c,"ONE")
+            addReplyStatus(c,"MENDED");
"""
        )
        assert_applied(event, "pingCommand")
        assert server.ask("ping") == "MENDED"
        event = server.live.save(
            """
--- src/server.c
 void pingCommand(client *c) {
-    /* The command takes zero or one arguments. */
+    /* Zero or one argument. */
"""
        )
        assert event["status"] == "unchanged", event
        assert server.ask("ping") == "MENDED"


# What passes against an unpatched server in this mode. (`scan` does not, `protocol` hangs, others start
# their own; `latency-monitor` measures the machine.)
UNITS = (
    *("type/string", "type/incr", "type/hash", "type/set", "type/zset", "sort", "keyspace", "scripting", "functions"),
    *("multi", "bitops", "bitfield"),
)
MORE_UNITS = (
    *("type/list", "type/list-3", "type/stream", "type/stream-cgroups", "expire", "geo", "hyperloglog", "pubsub"),
    *("tracking", "slowlog", "info-command", "introspection", "introspection-2", "lazyfree", "dump"),
    "other",
)


def run_own_tests(tree: Tree, server: Server, folder: Path, units: tuple[str, ...]) -> None:
    """redis' own test-suite against the running server ("external" mode)."""
    words = [word for unit in units for word in ("--single", f"unit/{unit}")]
    done = subprocess.run(
        [
            "tclsh",
            "tests/test_helper.tcl",
            "--host",
            "127.0.0.1",
            "--port",
            str(server.port),
            "--tags",
            "-slow",
            *words,
        ],
        cwd=tree.root,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    (folder / "own-tests").write_text(done.stdout + done.stderr)
    report = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    assert "All tests passed without errors" in report, report[-3000:] + done.stderr
    assert [unit for unit in units if f"done]: unit/{unit} " not in report] == []
    assert report.count("[ok]") > 100


def test_identity_reload_then_own_tests(redis_tree: Tree, tmp_path: Path) -> None:
    """Every function of every unit replaced by itself; then redis tests itself."""
    with redis(redis_tree, tmp_path) as server:
        done = server.live.relive("reload", "--all")
        assert done.returncode == 0, done.stderr
        event = server.live.wait_reload()
        assert event["status"] == "applied"
        assert event["mode"] == "all"
        assert len(event["functions"]) > 3000
        assert server.ask("get", "kept") == "before"
        run_own_tests(redis_tree, server, tmp_path, UNITS)
        server.ask("set", "kept", "before")  # the suite ends with an empty database


@pytest.mark.slow
def test_identity_reload_twice_then_all_own_unit_tests(redis_tree: Tree, tmp_path: Path) -> None:
    """As above, twice over, and the whole unit test-suite."""
    with redis(redis_tree, tmp_path) as server:
        for _ in range(2):
            assert server.live.relive("reload", "--all").returncode == 0
            assert server.live.wait_reload()["status"] == "applied"
        run_own_tests(redis_tree, server, tmp_path, UNITS + MORE_UNITS)
        # They kill clients and flush what others kept.
        server.client = Client(socket.create_connection(("127.0.0.1", server.port)))
        server.ask("set", "kept", "before")
