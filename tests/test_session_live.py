"""The engine and a real small program: what the made-up process of `test_session_pipeline` cannot show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relive.events import Reload
from relive.host.compiler import CompilePool
from relive.host.project import Project
from relive.session.pipeline import Engine
from tests import small
from tests.agent_programs import Live, running, wait_for
from tests.fake_process import CACHE


class Session:
    """A running program under an engine."""

    def __init__(self, root: Path, live: Live, program: Path, workdir: Path, fast_path: bool) -> None:
        self.live = live
        self._src = root / "src"
        self.project = Project.open(str(program), build_dir=str(root / "build"), start_dir=str(root))
        pool = CompilePool(workdir, 2)
        self.engine = Engine(self.project, live.target, pool, cache=CACHE, workdir=workdir, fast_path=fast_path)
        self.engine.prepare()

    def save(self, edits: dict[str, str], *, everything: bool = False) -> Reload:
        for name, text in edits.items():
            (self._src / name).write_text(text)
        files = frozenset(str(self._src / name) for name in edits)
        return self.engine.reload(files, everything=everything, detected_at=time.monotonic(), cancelled=lambda: False)

    def becomes(self, name: str, value: int) -> None:
        wait_for(lambda: self.live.value(name) == value, f"{name} == {value}")


@contextmanager
def session(
    tmp_path: Path, sources: dict[str, str], *flags: str, compiler: str = "gcc", fast_path: bool = True
) -> Iterator[Session]:
    root = tmp_path / "project"
    program = small.build(root, sources, compiler=compiler, flags=("-g", *flags), link=("-pthread", "-lstdc++"))
    workdir = tmp_path / "work"
    workdir.mkdir()
    with running(program, tmp_path) as live:
        yield Session(root, live, program, workdir, fast_path)


NAP = """#include <time.h>
static void nap(void) { struct timespec t = {0, 1000000}; nanosleep(&t, 0); }
"""
SPIN = """__attribute__((naked)) int spin(void)
{ __asm__("movl $1, %%ecx\\n1: decl %%ecx\\n je 2f\\n jmp spin + 2\\n2: movl $%d, %%eax\\n ret"); }
"""
USERS = (
    NAP
    + """extern int spin(void); int (*const table[])(void) = {spin}; int (*pointer)(void) = spin;
volatile int by_call, by_table, by_pointer, rounds;
int main(void) { for (;;) { by_call = spin(); by_table = table[0](); by_pointer = pointer(); rounds++; nap(); } }
"""
)


def test_a_function_with_a_new_home(tmp_path: Path) -> None:
    with session(tmp_path, {"spin.c": SPIN % 1, "main.c": USERS}, "-O0") as one:
        one.becomes("by_call", 1)
        for value in (2, 3):
            result = one.save({"spin.c": SPIN % value})
            assert (result.status, result.functions) == ("applied", ("spin",)), result
            for name in ("by_call", "by_table", "by_pointer"):
                one.becomes(name, value)
        assert one.engine.undo(0).generation == 0
        for name in ("by_call", "by_table", "by_pointer"):
            one.becomes(name, 1)


STEP = (
    NAP
    + """volatile int seen; int total; static int kept = 5;
int step(void) { total++; return kept%s; }
int main(void) { for (;;) { seen = step(); nap(); } }
"""
)


def test_edit_undo_and_identity(tmp_path: Path) -> None:
    with session(tmp_path, {"main.c": STEP % ""}, "-O1") as one:
        one.becomes("seen", 5)
        assert one.save({"main.c": STEP % " + 10"}).status == "applied"
        one.becomes("seen", 15)
        before = one.live.value("total")
        assert one.save({}, everything=True).mode == "all"
        assert one.save({"main.c": STEP % " + 20"}).status == "applied"
        one.becomes("seen", 25)
        assert one.live.value("total") >= before, "what lives goes on"
        assert one.engine.undo(1).generation == 1
        one.becomes("seen", 15)
        one.engine.undo()
        one.becomes("seen", 5)
        assert one.engine.undo().status == "unchanged"


WEAK = (
    NAP
    + """volatile int seen; __attribute__((weak)) int hook(void);
int step(void) { return %s; }
int main(void) { for (;;) { seen = step(); nap(); } }
"""
)


def test_a_weak_hook_that_nobody_defines(tmp_path: Path) -> None:
    with session(tmp_path, {"main.c": WEAK % "1"}, "-O0") as one:
        one.becomes("seen", 1)
        assert one.save({"main.c": WEAK % "hook ? hook() : 2"}).status == "applied"
        one.becomes("seen", 2)


def test_a_constructor_of_a_new_variable_among_living_ones(tmp_path: Path) -> None:
    text = """#include <time.h>
volatile int made, seen;
struct Noted { int n; Noted(int x) : n(x) { made = made + 1; } ~Noted() {} };
struct Holder { static Noted member; };
Noted first(1);
%s
Noted Holder::member(3);
int step() { return first.n + Holder::member.n%s; }
int main() { for (;;) { seen = step(); timespec t = {0, 1000000}; nanosleep(&t, nullptr); } }
"""
    with session(tmp_path, {"main.cpp": text % ("", "")}, "-O0", compiler="g++") as one:
        one.becomes("seen", 4)
        assert one.live.value("made") == 2
        result = one.save({"main.cpp": text % ("Noted fresh(10);", " + fresh.n")})
        assert result.status == "applied", result
        one.becomes("seen", 14)
        assert one.live.value("made") == 3, "only the new one was constructed"
