"""openttd's dedicated server: the large C++17 program, 409 units; asked by console commands, answered in its log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs.driver import Event, Live, free_port, live
from tests.programs.fetch import Tree

pytestmark = [pytest.mark.program, pytest.mark.slow, pytest.mark.timeout(3600)]

# A small map without anything that comes by itself: no autosave, no pause for want of players.
CONFIG = """[gui]
autosave = off

[game_creation]
map_x = 6
map_y = 6

[difficulty]
max_no_competitors = 0

[network]
min_active_clients = 0
"""


@dataclass
class Server:
    """openttd under relive."""

    live: Live

    def ask(self, command: str, answer: str) -> str:
        """Sends a command and waits for a line that ``answer`` (a regular expression) is found in; what it found.

        One line at a time: openttd asks select() whether there is more, but reads with a buffer, and what is in there
        select() does not see."""
        start = self.live.out.stat().st_size
        self.live.send(command + "\n")

        def look() -> str | None:
            found = re.search(f"{answer}(?=.*\n)", self.live.out.read_bytes()[start:].decode(errors="replace"))
            return found[0] if found else None

        return self.live.wait(look, f"{answer!r} for {command}")


@contextmanager
def openttd(tree: Tree, folder: Path) -> Iterator[Server]:
    config = folder / "openttd.cfg"
    config.write_text(CONFIG)
    argv = [str(tree.executable), "-D", f"127.0.0.1:{free_port()}", "-x", "-c", str(config), "-G", "4242"]
    with live(tree, argv, folder, cwd=tree.build_dir, env={"HOME": str(folder)}) as session:
        server = Server(session)
        server.ask("getseed", "Generation Seed: 4242")
        yield server
        if not session.ended:
            # The same game, not one that began anew.
            server.ask("getseed", "Generation Seed: 4242")


def assert_applied(event: Event, *functions: str) -> None:
    assert event["status"] == "applied", event
    assert set(functions) <= {name.split("(")[0] for name in event["functions"]}, event["functions"]


def test_body_edits_then_undo(openttd_tree: Tree, tmp_path: Path) -> None:
    """A console command, registered by pointer and opened by a macro; the game's own time goes on."""
    with openttd(openttd_tree, tmp_path) as server:
        first = server.ask("getdate", r"Date: \d{4}-\d\d-\d\d").removeprefix("Date: ")
        event = server.live.save(
            """
--- src/console_cmds.cpp
-\tIConsolePrint(CC_DEFAULT, "Date: {:04d}-{:02d}-{:02d}", ymd.year, ymd.month + 1, ymd.day);
+\tIConsolePrint(CC_DEFAULT, "Day {:02d} of month {:02d} in {:04d}", ymd.day, ymd.month + 1, ymd.year);
"""
        )
        assert_applied(event, "ConGetDate")
        day, month, year = re.findall(r"\d+", server.ask("getdate", r"Day \d\d of month \d\d in \d{4}"))
        assert first <= f"{year}-{month}-{day}"
        event = server.live.save(
            """
--- src/console_cmds.cpp
-\tIConsolePrint(CC_DEFAULT, "Day {:02d} of month {:02d} in {:04d}", ymd.day, ymd.month + 1, ymd.year);
+\tIConsolePrint(CC_DEFAULT, "It is {}", ymd.year);
"""
        )
        assert_applied(event, "ConGetDate")
        server.ask("getdate", rf"It is {year[:2]}\d\d")
        assert server.live.relive("undo").returncode == 0
        server.ask("getdate", r"Day \d\d of month")
        assert server.live.relive("undo").returncode == 0
        server.ask("getdate", r"Date: \d{4}-")


def test_inline_function_of_a_header(openttd_tree: Tree, tmp_path: Path) -> None:
    """``LocalTimeToStruct::ToTimeStruct`` of walltime_func.h is one COMDAT function of four units."""
    with openttd(openttd_tree, tmp_path) as server:
        assert server.ask("getsysdate", r"System Date: \d{4}") != "System Date: 3001"
        event = server.live.save(
            """
--- src/walltime_func.h
 \t\tlocaltime_r(&time_since_epoch, &time);
 #endif
+\t\ttime.tm_year = 3001 - 1900;
"""
        )
        assert_applied(event, "LocalTimeToStruct::ToTimeStruct")
        server.ask("getsysdate", "System Date: 3001")
        assert server.live.relive("undo").returncode == 0
        server.ask("getsysdate", r"System Date: 2\d{3}")


def test_new_statics_keep_their_values(openttd_tree: Tree, tmp_path: Path) -> None:
    """A function-local static and a global with a constructor, both new, count on over the next reload."""
    with openttd(openttd_tree, tmp_path) as server:
        event = server.live.save(
            """
--- src/console_cmds.cpp
+static std::vector<int> _asked_dates{40};
+
 DEF_CONSOLE_CMD(ConGetDate)
 {
+\tstatic int asked = 100;
+\tasked++;
+\t_asked_dates.push_back(_asked_dates.back() + 1);
+\tIConsolePrint(CC_DEFAULT, "Asked {} {}", asked, _asked_dates.back());
"""
        )
        assert_applied(event, "ConGetDate")
        server.ask("getdate", "Asked 101 41")
        server.ask("getdate", "Asked 102 42")
        event = server.live.save(
            """
--- src/console_cmds.cpp
-\tIConsolePrint(CC_DEFAULT, "Asked {} {}", asked, _asked_dates.back());
+\tIConsolePrint(CC_DEFAULT, "Still {} {}", asked, _asked_dates.back());
"""
        )
        assert_applied(event, "ConGetDate")
        server.ask("getdate", "Still 103 43")


def test_end_by_itself(openttd_tree: Tree, tmp_path: Path) -> None:
    """`exit` on the console, after a reload: destructors and atexit run through; the status is openttd's own."""
    with openttd(openttd_tree, tmp_path) as server:
        event = server.live.save(
            """
--- src/console_cmds.cpp
-\tIConsolePrint(CC_DEFAULT, "Generation Seed: {}", _settings_game.game_creation.generation_seed);
+\tIConsolePrint(CC_DEFAULT, "Seed: {}", _settings_game.game_creation.generation_seed);
"""
        )
        assert_applied(event, "ConGetSeed")
        server.ask("getseed", "(?<!Generation )Seed: 4242")
        assert server.live.end(lambda: server.live.send("exit\n")) == 0
