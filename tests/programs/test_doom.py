"""chocolate-doom without a screen: a C game at 35 tics a second, with SDL's threads; it reports on stderr."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs.driver import Event, Live, live
from tests.programs.fetch import Tree

pytestmark = [pytest.mark.program, pytest.mark.slow, pytest.mark.timeout(1500)]


@contextmanager
def doom(tree: Tree, folder: Path) -> Iterator[Live]:
    argv = [str(tree.executable), "-iwad", "/usr/share/games/doom/freedoom1.wad", "-nosound", "-nomusic", "-nogui"]
    argv += ["-skill", "3", "-warp", "1", "1", "-window"]
    env = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "XDG_DATA_HOME": str(folder)}
    with live(tree, argv, folder, env=env) as session:
        yield session


TICKER = """
--- src/doom/p_tick.c
     // for par times
     leveltime++;\t
"""
ONE = TICKER + '+    fprintf(stderr, "@one %d\\n", leveltime);\n'


def assert_applied(event: Event, *functions: str) -> None:
    assert event["status"] == "applied", event
    assert set(functions) <= set(event["functions"]), event["functions"]


def last_tic(session: Live, mark: str) -> int:
    """Waits for ten lines ``@MARK TIC…`` in a row, one tic apart; the last tic."""

    def look() -> int | None:
        tics = [int(tic) for tic in re.findall(rf"^@{mark} (\d+)", session.err.read_text(errors="replace"), re.M)]
        return tics[-1] if len(tics) >= 10 and tics[-10:] == list(range(tics[-1] - 9, tics[-1] + 1)) else None

    return session.wait(look, f"ten lines @{mark}")


def test_body_edits_then_undo(doom_tree: Tree, tmp_path: Path) -> None:
    """P_Ticker tells the time of the level, which goes on over each reload; after undo it is silent."""
    with doom(doom_tree, tmp_path) as session:
        event = session.save(ONE)
        assert_applied(event)
        assert event["functions"] == ["P_Ticker"]
        first = last_tic(session, "one")
        event = session.save(
            """
--- src/doom/p_tick.c
-    fprintf(stderr, "@one %d\\n", leveltime);
+    fprintf(stderr, "@two %d\\n", leveltime);
"""
        )
        assert_applied(event, "P_Ticker")
        assert last_tic(session, "two") > first
        assert session.relive("undo").returncode == 0
        at = session.err.stat().st_size
        session.wait_text("@one", session.err, at)
        assert session.relive("undo").returncode == 0
        at = session.err.stat().st_size
        event = session.save(
            """
--- src/doom/p_tick.c
-    fprintf(stderr, "@two %d\\n", leveltime);
+    fprintf(stderr, "@three %d\\n", leveltime);
"""
        )
        assert_applied(event, "P_Ticker")
        last_tic(session, "three")
        assert "@one" not in session.err.read_text()[at:]


def test_header_macro(doom_tree: Tree, tmp_path: Path) -> None:
    """The player's eyes sink to a new VIEWHEIGHT, a macro of p_local.h."""
    eyes = TICKER + '+    fprintf(stderr, "@eyes %d\\n", players[consoleplayer].viewheight >> 16);\n'
    with doom(doom_tree, tmp_path) as session:
        assert_applied(session.save(eyes), "P_Ticker")
        session.wait_text("@eyes 41\n", session.err)
        event = session.save(
            """
--- src/doom/p_local.h
-#define VIEWHEIGHT\t\t(41*FRACUNIT)
+#define VIEWHEIGHT\t\t(30*FRACUNIT)
"""
        )
        assert_applied(event, "P_CalcHeight")
        session.wait_text("@eyes 30\n", session.err)


def test_new_static_and_new_global_of_two_units(doom_tree: Tree, tmp_path: Path) -> None:
    """A static that counts on over a later reload; a global that is new in two units."""
    with doom(doom_tree, tmp_path) as session:
        event = session.save(
            """
--- src/doom/p_tick.c
     // for par times
     leveltime++;\t
+    static int seen = 1000;
+    seen++;
+    fprintf(stderr, "@static %d %d\\n", leveltime, seen);
"""
        )
        assert_applied(event, "P_Ticker")
        last_tic(session, "static")
        event = session.save(
            """
--- src/doom/p_tick.c
-    fprintf(stderr, "@static %d %d\\n", leveltime, seen);
+    fprintf(stderr, "@still %d %d\\n", leveltime, seen);
"""
        )
        assert_applied(event, "P_Ticker")
        tic = last_tic(session, "still")
        lines = re.findall(r"^@(?:static|still) (\d+) (\d+)$", session.err.read_text(errors="replace"), re.M)
        # One step a tic from the first line to the last: neither the level nor the static began anew.
        assert len({int(seen) - int(at) for at, seen in lines}) == 1
        assert int(lines[0][1]) == 1001
        event = session.save(
            """
--- src/doom/p_local.h
 #define VIEWHEIGHT\t\t(41*FRACUNIT)
+extern int thinks;
--- src/doom/p_user.c
+int thinks = 5;
 void P_PlayerThink (player_t* player)
 {
+    thinks++;
--- src/doom/p_tick.c
-    fprintf(stderr, "@still %d %d\\n", leveltime, seen);
+    fprintf(stderr, "@global %d %d\\n", leveltime, thinks);
"""
        )
        assert_applied(event)
        assert last_tic(session, "global") > tic
        lines = re.findall(r"^@global (\d+) (\d+)$", session.err.read_text(errors="replace"), re.M)
        assert len({int(thinks) - int(at) for at, thinks in lines}) == 1
        assert 5 <= int(lines[0][1]) <= 7


def test_identity_reload_and_the_game_goes_on(doom_tree: Tree, tmp_path: Path) -> None:
    """All of the game replaced by itself, twice, while it runs; it has no test-suite that drives a running game."""
    with doom(doom_tree, tmp_path) as session:
        for _ in range(2):
            done = session.relive("reload", "--all")
            assert done.returncode == 0, done.stderr
            event = session.wait_reload()
            assert event["status"] == "applied"
            assert event["mode"] == "all"
            assert len(event["functions"]) > 1500
        assert_applied(session.save(ONE), "P_Ticker")
        tic = last_tic(session, "one")
        session.wait_text(f"@one {tic + 35}\n", session.err)
