"""The Lua interpreter, whose main function never returns while a script runs; answers are what the script prints."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs.driver import Event, Live, live
from tests.programs.fetch import Tree

pytestmark = [pytest.mark.program, pytest.mark.slow, pytest.mark.timeout(1500)]

SCRIPTS = Path(__file__).parent / "lua"


@dataclass
class Interpreter:
    """``repl.lua`` under relive: a line in, a line out."""

    live: Live
    read: int = 0

    def ask(self, line: str) -> str:
        self.live.send(line + "\n")
        start = self.read
        self.read = self.live.wait_text("\n", start=start)
        return self.live.out.read_bytes()[start : self.read - 1].decode()


@contextmanager
def lua(tree: Tree, folder: Path, *options: str) -> Iterator[Interpreter]:
    with live(tree, [str(tree.executable), str(SCRIPTS / "repl.lua")], folder, options=options) as session:
        interpreter = Interpreter(session)
        assert interpreter.ask("KEPT = {1, 2, LINES}") == "nil"
        yield interpreter
        if not session.ended:
            assert interpreter.ask("return KEPT[3]") == "1"


def assert_applied(event: Event, *functions: str) -> None:
    assert event["status"] == "applied", event
    assert set(functions) <= set(event["functions"]), event["functions"]


def test_body_edit_then_undo_and_exit_status(lua_tree: Tree, tmp_path: Path) -> None:
    """A library function that the script reaches through a pointer in a table; the script's own status comes out."""
    with lua(lua_tree, tmp_path) as interpreter:
        assert interpreter.ask("f = math.abs return f(-5)") == "5"
        event = interpreter.live.save(
            """
--- src/lmathlib.c
 static int math_abs (lua_State *L) {
   if (lua_isinteger(L, 1)) {
     lua_Integer n = lua_tointeger(L, 1);
-    if (n < 0) n = (lua_Integer)(0u - (lua_Unsigned)n);
-    lua_pushinteger(L, n);
+    lua_pushinteger(L, n * 100);
"""
        )
        assert_applied(event, "math_abs")
        assert event["functions"] == ["math_abs"]
        assert interpreter.ask("return f(-5)") == "-500"
        assert interpreter.live.relive("undo").returncode == 0
        assert interpreter.ask("return f(-5)") == "5"


def test_output_and_status_are_the_programs_own(lua_tree: Tree, tmp_path: Path) -> None:
    """Nothing of relive on stdout, nor on stderr if it is told to be quiet, and Lua's own exit status."""
    with lua(lua_tree, tmp_path, "--quiet") as interpreter:
        session = interpreter.live
        interpreter.ask("io.stderr:write('to stderr\\n') return 'to stdout'")
        interpreter.ask("return KEPT[3]")
        assert session.process.stdin is not None
        assert session.end(session.process.stdin.close) == 7
        assert session.out.read_text() == "nil\nto stdout\n1\n"
        assert session.err.read_text() == "to stderr\n"


def test_header_macro_in_the_function_that_never_returns(lua_tree: Tree, tmp_path: Path) -> None:
    """``luai_numadd`` of llimits.h is inside luaV_execute. The running call goes on with the old code, each call that
    enters anew (by pcall) has the new; and the one who saved is told."""
    with lua(lua_tree, tmp_path) as interpreter:
        assert interpreter.ask("x = 1.5 return x + 1") == "2.5"
        event = interpreter.live.save(
            """
--- src/llimits.h
-#define luai_numadd(L,a,b)      ((a)+(b))
+#define luai_numadd(L,a,b)      ((a)+(b)+1000)
"""
        )
        assert_applied(event, "luaV_execute", "numarith")
        assert any("luaV_execute" in note for note in event["notes"]), event["notes"]
        assert interpreter.ask("return x + 1") == "1002.5"
        # The loop of repl.lua itself counts with integers, by the old code, on.
        assert interpreter.ask("return LINES") == "4"
        event = interpreter.live.save(
            """
--- src/llimits.h
-#define luai_numadd(L,a,b)      ((a)+(b)+1000)
+#define luai_numadd(L,a,b)      ((a)+(b)+2000)
"""
        )
        assert_applied(event, "luaV_execute")
        assert interpreter.ask("return x + 1") == "2002.5"
        assert interpreter.live.relive("undo", "--to", "0").returncode == 0
        assert interpreter.ask("return x + 1") == "2.5"


def test_new_static_and_new_global_of_two_units(lua_tree: Tree, tmp_path: Path) -> None:
    """A static array that is new; a new global, declared in a header, counted in one unit and shown in another."""
    with lua(lua_tree, tmp_path) as interpreter:
        event = interpreter.live.save(
            """
--- src/lmathlib.c
 static int math_abs (lua_State *L) {
+  static lua_Integer seen[3] = {10, 20, 30};
+  static int at;
+  lua_pushinteger(L, ++seen[at++ % 3]);
+  return 1;
"""
        )
        assert_applied(event, "math_abs")
        assert [interpreter.ask("return math.abs(0)") for _ in range(4)] == ["11", "21", "31", "12"]
        event = interpreter.live.save(
            """
--- src/lualib.h
 LUAMOD_API int (luaopen_base) (lua_State *L);
+extern lua_Integer tostringCalls;
--- src/lbaselib.c
+lua_Integer tostringCalls = 5;
 static int luaB_tostring (lua_State *L) {
+  tostringCalls++;
--- src/lmathlib.c
-  lua_pushinteger(L, ++seen[at++ % 3]);
+  lua_pushinteger(L, ++seen[at++ % 3] + 100 * tostringCalls);
"""
        )
        assert_applied(event)
        before = int(interpreter.ask("return math.abs(0)"))
        assert before in (522, 622)
        # repl.lua calls tostring for each answer, and this line does once more.
        assert interpreter.ask("tostring(1) return math.abs(0)") == str(before + 200 + 10)


def test_identity_reload_then_the_language(lua_tree: Tree, tmp_path: Path) -> None:
    """The package has no test-suite: a script of ours through much of the language, beside an unpatched Lua."""
    script = SCRIPTS / "language.lua"
    expected = subprocess.run([lua_tree.executable, script], capture_output=True, text=True, check=True).stdout
    with lua(lua_tree, tmp_path) as interpreter:
        session = interpreter.live
        for generation in (1, 2):
            done = session.relive("reload", "--all")
            assert done.returncode == 0, done.stderr
            event = session.wait_reload()
            assert event["status"] == "applied"
            assert event["mode"] == "all"
            assert event["generation"] == generation
            assert len(event["functions"]) > 800
            start = interpreter.read
            session.send(f"dofile('{script}') return 'finished'\n")
            interpreter.read = session.wait_text("finished\n", start=start)
            printed = session.out.read_bytes()[start : interpreter.read].decode()
            assert printed == expected + "finished\n"
