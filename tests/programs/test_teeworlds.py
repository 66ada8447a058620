"""teeworlds' server: C++, virtual functions, 50 ticks a second; answers read from its external console."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs.driver import Event, Live, connect, free_port, live
from tests.programs.fetch import Tree

pytestmark = [pytest.mark.program, pytest.mark.timeout(1500)]


@dataclass
class Server:
    """teeworlds under relive, and one external console."""

    live: Live
    console: socket.socket
    rest: bytes = b""

    def ask(self, command: str) -> list[str]:
        """The lines that the console shows for a command. The end is a command of ours that is not known."""
        self.console.sendall(f"{command}\nend-of-answer\n".encode())
        lines: list[str] = []
        while True:
            line = self.line()
            if "No such command: end-of-answer" in line:
                return lines
            lines.append(line.partition(": ")[2])

    def line(self) -> str:
        while b"\n" not in self.rest:
            more = self.console.recv(4096)
            assert more, "teeworlds closed the console"
            self.rest += more.replace(b"\0", b"")
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode().rstrip("\r")

    def wait_line(self, text: str) -> None:
        while text not in self.line():
            pass


@contextmanager
def teeworlds(tree: Tree, folder: Path) -> Iterator[Server]:
    port, econ = free_port(), free_port()
    commands = f"sv_port {port};sv_register 0;ec_port {econ};ec_password x;ec_bindaddr 127.0.0.1;ec_output_level 0"
    argv = [str(tree.executable), f"{commands};sv_map dm1;sv_gametype mod;bindaddr 127.0.0.1"]
    with live(tree, argv, folder, cwd=tree.build_dir) as session, connect(session, econ) as console:
        server = Server(session, console)
        server.wait_line("Enter password")
        console.sendall(b"x\n")
        server.wait_line("Authentication successful")
        server.ask("tune gravity 0.75")
        yield server
        if not session.ended:
            assert any("gravity 0.75" in line or "gravity 1.5" in line for line in server.ask("tunes"))


def assert_applied(event: Event, *functions: str) -> None:
    assert event["status"] == "applied", event
    names = {name.split("(")[0] for name in event["functions"]}
    assert set(functions) <= names, event["functions"]


def test_body_edit_then_undo(teeworlds_tree: Tree, tmp_path: Path) -> None:
    """A static member function, called through a pointer that the console keeps."""
    with teeworlds(teeworlds_tree, tmp_path) as server:
        assert server.ask("tune gravity 0.75")[-1] == "gravity changed to 0.75"
        event = server.live.save(
            """
--- src/game/server/gamecontext.cpp
-\t\tstr_format(aBuf, sizeof(aBuf), "%s changed to %.2f", pParamName, NewValue);
+\t\tstr_format(aBuf, sizeof(aBuf), "%s is now %.3f", pParamName, NewValue);
"""
        )
        assert_applied(event, "CGameContext::ConTuneParam")
        assert len(event["functions"]) == 1
        assert server.ask("tune gravity 0.75")[-1] == "gravity is now 0.750"
        assert server.live.relive("undo").returncode == 0
        assert server.ask("tune gravity 0.75")[-1] == "gravity changed to 0.75"


def test_inline_member_of_a_header(teeworlds_tree: Tree, tmp_path: Path) -> None:
    """``CTuneParam::operator float`` of gamecore.h is one COMDAT function of many units."""
    with teeworlds(teeworlds_tree, tmp_path) as server:
        assert "gravity 0.75" in server.ask("tunes")
        event = server.live.save(
            """
--- src/game/gamecore.h
-\toperator float() const { return m_Value/100.0f; }
+\toperator float() const { return m_Value/50.0f; }
"""
        )
        assert_applied(event, "CTuneParam::operator float")
        assert "gravity 1.50" in server.ask("tunes")
        assert server.live.relive("undo").returncode == 0
        assert "gravity 0.75" in server.ask("tunes")


def test_new_virtual_function(teeworlds_tree: Tree, tmp_path: Path) -> None:
    """The base class gets a virtual function, the derived class of the living game controller overrides it."""
    with teeworlds(teeworlds_tree, tmp_path) as server:
        event = server.live.save(
            """
--- src/game/server/gamecontroller.h
 \tvirtual void RegisterChatCommands(CCommandManager *pManager);
+\tvirtual const char *Motto() const { return "none"; }
--- src/game/server/gamemodes/mod.h
 \tvirtual void Tick();
+\tvirtual const char *Motto() const;
--- src/game/server/gamemodes/mod.cpp
 #include "mod.h"
+
+const char *CGameControllerMOD::Motto() const { return m_pGameType[0] == 'M' ? "each for himself" : "?"; }
--- src/game/server/gamecontext.cpp
 void CGameContext::ConTunes(IConsole::IResult *pResult, void *pUserData)
 {
 \tCGameContext *pSelf = (CGameContext *)pUserData;
+\tconst char *pMotto = pSelf->m_pController->Motto();
+\tpSelf->Console()->Print(IConsole::OUTPUT_LEVEL_STANDARD, "motto", pMotto);
"""
        )
        assert_applied(event)
        assert "each for himself" in server.ask("tunes")
        assert server.live.relive("undo", "--to", "0").returncode == 0
        assert "each for himself" not in server.ask("tunes")


def test_new_static_and_new_global_with_constructor(teeworlds_tree: Tree, tmp_path: Path) -> None:
    """A function-local static with a guard, and a global object of a new class: each constructed once."""
    with teeworlds(teeworlds_tree, tmp_path) as server:
        event = server.live.save(
            """
--- src/game/server/gamecontext.cpp
+struct CCounter
+{
+\tint m_Value;
+\tCCounter(int Start) { m_Value = Start + random_int()%1; }
+\tint Next() { return ++m_Value; }
+};
+static CCounter gs_Counter(40);
+
 void CGameContext::ConTunes(IConsole::IResult *pResult, void *pUserData)
 {
 \tCGameContext *pSelf = (CGameContext *)pUserData;
 \tchar aBuf[256];
+\tstatic CCounter s_Local(100);
+\tstr_format(aBuf, sizeof(aBuf), "count %d %d", gs_Counter.Next(), s_Local.Next());
+\tpSelf->Console()->Print(IConsole::OUTPUT_LEVEL_STANDARD, "count", aBuf);
"""
        )
        assert_applied(event, "CGameContext::ConTunes")
        assert "count 41 101" in server.ask("tunes")
        assert "count 42 102" in server.ask("tunes")
        event = server.live.save(
            """
--- src/game/server/gamecontext.cpp
-\tstr_format(aBuf, sizeof(aBuf), "count %d %d", gs_Counter.Next(), s_Local.Next());
+\tstr_format(aBuf, sizeof(aBuf), "counted %d %d", gs_Counter.Next(), s_Local.Next());
"""
        )
        assert_applied(event)
        assert "counted 43 103" in server.ask("tunes")


def test_signature_over_a_header(teeworlds_tree: Tree, tmp_path: Path) -> None:
    """A member function gets a parameter: its declaration, its definition and its caller, in three files."""
    with teeworlds(teeworlds_tree, tmp_path) as server:
        event = server.live.save(
            """
--- src/game/gamecore.h
-\tbool Set(const char *pName, float Value);
+\tbool Set(const char *pName, float Value, float Factor);
--- src/game/gamecore.cpp
-bool CTuningParams::Set(const char *pName, float Value)
+bool CTuningParams::Set(const char *pName, float Value, float Factor)
@@
-\t\t\treturn Set(i, Value);
+\t\t\treturn Set(i, Value * Factor);
--- src/game/server/gamecontext.cpp
-\tif(pSelf->Tuning()->Set(pParamName, NewValue))
+\tif(pSelf->Tuning()->Set(pParamName, NewValue, 2.0f))
"""
        )
        assert_applied(event)
        server.ask("tune gravity 0.75")
        assert "gravity 1.50" in server.ask("tunes")


def test_identity_reload_and_the_game_goes_on(teeworlds_tree: Tree, tmp_path: Path) -> None:
    """Every function replaced by itself, twice; the map is loaded anew, the console and the game go on."""
    with teeworlds(teeworlds_tree, tmp_path) as server:
        for _ in range(2):
            done = server.live.relive("reload", "--all")
            assert done.returncode == 0, done.stderr
            event = server.live.wait_reload()
            assert event["status"] == "applied"
            assert event["mode"] == "all"
            assert len(event["functions"]) > 1000
        assert server.ask("sv_name after")[-1:] != ["No such command"]
        assert server.ask("sv_name")[-1] == "Value: after"
        server.ask("reload")
        server.ask("restart 1")
        server.ask("tune gravity 0.75")


def test_end_by_itself_and_by_a_signal(teeworlds_tree: Tree, tmp_path: Path) -> None:
    """relive's exit status is the program's own; SIGTERM kills this server, which has no handler."""
    ended: list[int] = []
    for number, how in enumerate(("shutdown", "SIGTERM")):
        folder = tmp_path / str(number)
        folder.mkdir()
        with teeworlds(teeworlds_tree, folder) as server:
            end = (lambda: server.console.sendall(b"shutdown\n")) if how == "shutdown" else None
            ended.append(server.live.end(end))
    assert ended == [0, 128 + 15]
