"""`relive run` and its companions from outside: one small program, a real session, every verb. What becomes of each
kind of edit is the cases' subject; this is about the shell around it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import TIMEOUT, Live

PROGRAM = """\
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "step.h"

static volatile sig_atomic_t terms;
static void on_term(int number) { (void)number; terms++; }

int main(void)
{
    char line[100];
    while (fgets(line, sizeof line, stdin)) {
        if (!strncmp(line, "exit ", 5))
            return atoi(line + 5);
        if (!strncmp(line, "abort", 5))
            abort();
        if (!strncmp(line, "catch", 5))
            signal(SIGTERM, on_term);
        if (!strncmp(line, "terms", 5))
            printf("%d\\n.\\n", (int)terms);
        else
            printf("%d\\n.\\n", step());
        fflush(stdout);
    }
    return 0;
}
"""
STEP = """\
#include "step.h"
static int calls;
int step(void) { return ++calls + BASE; }
"""
FLAGS = ["-g", "-O0", "-MMD"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A built program of two units and a header, with its database."""
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "step.h").write_text("#define BASE 100\nint step(void);\n")
    (folder / "step.c").write_text(STEP)
    (folder / "main.c").write_text(PROGRAM)
    entries = []
    for name in ("main", "step"):
        words = ["gcc", *FLAGS, "-c", f"{name}.c", "-o", f"{name}.o"]
        subprocess.run(words, cwd=folder, check=True)
        entries.append({"directory": str(folder), "file": f"{name}.c", "arguments": words})
    subprocess.run(["gcc", "-g", "main.o", "step.o", "-o", "program"], cwd=folder, check=True)
    (folder / "compile_commands.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture
def live(project: Path, cache: Path) -> Iterator[Live]:
    with started(project, cache) as session:
        session.ready()
        yield session


def started(project: Path, cache: Path, *options: str, program: str = "./program") -> Live:
    return Live.run([program], cwd=project, folder=project, cache=cache, options=options)


def save(project: Path, *, base: int) -> None:
    """An edit of the body of `step`."""
    (project / "step.c").write_text(STEP.replace("BASE", str(base)))


def status_of(live: Live) -> int:
    return live.process.wait(TIMEOUT)


# ---- the program is what it would be without us ----------------------------------------------------------------------


def test_the_exit_status_is_the_programs(live: Live) -> None:
    live.send("exit 7\n")
    assert live.wait_event("exit")["status"] == 7
    assert status_of(live) == 7


def test_a_program_that_dies_of_a_signal_is_128_and_the_signal(live: Live) -> None:
    live.send("abort\n")
    assert live.wait_event("exit")["status"] == 128 + signal.SIGABRT
    assert status_of(live) == 128 + signal.SIGABRT


def test_sigterm_to_relive_is_handed_to_the_program(live: Live) -> None:
    live.ask("catch")
    live.process.send_signal(signal.SIGTERM)
    limit = time.monotonic() + TIMEOUT
    while live.ask("terms") == ("0",):
        assert time.monotonic() < limit
    assert live.finish()[1] == 0


def test_ctrl_c_belongs_to_the_program(project: Path, cache: Path) -> None:
    """The terminal sends SIGINT to relive as well; relive must outlive it."""
    with started(project, cache) as live:
        live.ready()
        live.process.send_signal(signal.SIGINT)
        assert live.ask() == ("101",)
        assert live.finish()[1] == 0


def test_the_program_starts_with_default_signals_and_its_own_arguments(project: Path, cache: Path) -> None:
    script = (
        "import signal, sys\n"
        "print([signal.getsignal(number) == signal.SIG_DFL for number in (1, 3, 10, 13, 15)])\n"
        "print(sys.argv)\n"
    )
    words = [sys.executable, "-c", script, "--", "-x", "a b"]
    with Live.run(words, cwd=project, folder=project, cache=cache) as live:
        assert live.read_line() == "[True, True, True, False, True]"  # 13: Python itself ignores SIGPIPE
        assert live.read_line() == "['-c', '--', '-x', 'a b']"
        assert status_of(live) == 0


def test_a_program_that_is_not_there_is_our_failure(project: Path, cache: Path) -> None:
    with started(project, cache, program="./nothing") as live:
        assert status_of(live) == 125
        assert "error:" in live.errors()
        assert "Traceback" not in live.errors()


def test_a_very_short_program(project: Path, cache: Path) -> None:
    with started(project, cache, program="/bin/false") as live:
        assert status_of(live) == 1
        assert "Traceback" not in live.errors()
        assert live.wait_event("exit")["status"] == 1


# ---- bad surroundings ------------------------------------------------------------------------------------------------


def test_without_a_database_the_program_runs_on_and_the_user_knows_what_to_do(project: Path, cache: Path) -> None:
    (project / "compile_commands.json").unlink()
    with started(project, cache) as live:
        notice = live.wait_event("notice")
        assert notice["message"].startswith("no reloads:")
        assert "compile_commands.json" in notice["message"]
        assert notice["hint"]
        assert live.ask() == ("101",)
        reload = live.command("reload")
        assert reload.returncode == 1
        assert "compile_commands.json" in reload.stderr
        assert json.loads(live.command("status", "--json").stdout)["watching"] is False
        assert live.finish()[1] == 0


def test_a_broken_database_is_named_with_its_line(project: Path, cache: Path) -> None:
    (project / "compile_commands.json").write_text('[\n{"directory": "/",\n]')
    with started(project, cache) as live:
        assert "compile_commands.json" in live.wait_event("notice")["message"]
        assert live.ask() == ("101",)
        assert live.finish()[1] == 0


def test_a_stripped_program_runs_on_without_reloads(project: Path, cache: Path) -> None:
    subprocess.run(["strip", "program"], cwd=project, check=True)
    with started(project, cache) as live:
        notice = live.wait_event("notice")
        assert "stripped" in notice["message"] or "symbol" in notice["message"]
        assert notice["hint"]
        assert live.ask() == ("101",)
        assert live.finish()[1] == 0


def test_a_cache_that_cannot_be_written_is_told_and_reloads_work(project: Path) -> None:
    (project / "file").write_text("")
    with started(project, project / "file") as live:
        assert "cache" in live.wait_event("notice")["message"]
        live.ready()
        save(project, base=500)
        assert live.next_reload()["status"] == "applied"
        assert live.ask() == ("501",)


def test_two_hosts_for_one_program_are_one_too_many(live: Live) -> None:
    second = live.command("attach", str(live.pid))
    assert second.returncode == 1
    assert "error:" in second.stderr
    assert "another relive" in second.stderr or "already" in second.stderr
    assert live.ask() == ("101",)


def test_a_compiler_that_is_gone_fails_the_reload_and_not_the_session(project: Path, cache: Path) -> None:
    database = project / "compile_commands.json"
    whole = database.read_text()
    with started(project, cache) as live:
        live.ready()
        database.write_text(whole.replace('"gcc"', '"/opt/gone/gcc"'))
        assert live.next_reload()["status"] == "failed"
        save(project, base=500)
        event = live.next_reload()
        assert event["status"] == "failed"
        assert "/opt/gone/gcc" in event["message"]
        assert live.ask() == ("101",)
        database.write_text(whole)
        assert live.next_reload()["status"] == "applied"
        assert live.ask() == ("502",)


def test_an_object_that_the_program_was_not_linked_from(project: Path, cache: Path) -> None:
    save(project, base=333)
    subprocess.run(["gcc", *FLAGS, "-c", "step.c", "-o", "step.o"], cwd=project, check=True)
    with started(project, cache) as live:
        live.ready()
        save(project, base=500)
        event = live.next_reload()
        assert event["status"] == "refused"
        assert event["refusals"][0]["code"] == "not-what-runs"
        assert live.ask() == ("101",)


def test_a_program_without_debug_information(project: Path, cache: Path) -> None:
    database = project / "compile_commands.json"
    database.write_text(database.read_text().replace('"-g", ', ""))
    for entry in json.loads(database.read_text()):
        subprocess.run(entry["arguments"], cwd=project, check=True)
    subprocess.run(["gcc", "main.o", "step.o", "-o", "program"], cwd=project, check=True)
    with started(project, cache) as live:
        live.ready()
        save(project, base=500)
        assert live.next_reload()["status"] == "applied"
        assert live.ask() == ("501",)


def test_a_program_that_is_killed_during_a_reload(live: Live, project: Path) -> None:
    save(project, base=500)
    live.wait_event("change")
    os.kill(live.pid, signal.SIGKILL)
    assert live.next_reload()["status"] in ("applied", "failed")
    assert live.wait_event("exit")["status"] == 128 + signal.SIGKILL
    assert status_of(live) == 128 + signal.SIGKILL
    assert len(live.reloads()) == 1
    assert "Traceback" not in live.errors()


def test_a_full_disk_fails_the_reload_until_there_is_room(live: Live, project: Path) -> None:
    """A limit on file sizes for relive and its compilers, as a disk that is full: no object can be written."""
    before = resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
    save(project, base=500)
    event = live.next_reload()
    assert event["status"] == "failed"
    assert "Traceback" not in event["message"]
    assert event["message"].strip()
    assert live.ask() == ("101",)
    resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, before)
    save(project, base=600)
    assert live.next_reload()["status"] == "applied"
    assert live.ask() == ("602",)


# ---- reloads, asked for and not --------------------------------------------------------------------------------------


def test_a_save_is_live_and_state_is_kept(live: Live, project: Path) -> None:
    assert live.ask() == ("101",)
    save(project, base=500)
    event = live.next_reload()
    assert (event["status"], event["generation"]) == ("applied", 1)
    assert live.ask() == ("502",)
    assert live.finish()[1] == 0


def test_a_mistake_is_told_in_the_compilers_words_and_mended(live: Live, project: Path) -> None:
    (project / "step.c").write_text(STEP.replace("return", "retrun"))
    event = live.next_reload()
    assert event["status"] == "failed"
    assert "step.c:3" in event["message"]
    assert event["message"] in (project / "stderr.txt").read_text()
    assert live.ask() == ("101",)
    assert json.loads(live.command("status", "--json").stdout)["queued"] == [str(project / "step.c")]
    save(project, base=500)
    assert live.next_reload()["status"] == "applied"
    assert live.ask() == ("502",)


def test_manual_waits_for_the_request_and_tells_the_outcome(project: Path, cache: Path) -> None:
    with started(project, cache, "--manual") as live:
        live.ready()
        assert live.command("reload").returncode == 3
        save(project, base=500)
        live.wait_event("change")
        assert live.ask() == ("101",)
        plan = live.command("reload", "-n", "--json")
        assert json.loads(plan.stdout)["functions"] == ["step"]
        assert live.ask() == ("102",)
        done = live.command("reload", "--json")
        assert done.returncode == 0
        assert json.loads(done.stdout)["status"] == "applied"
        assert live.ask() == ("503",)
        (project / "step.c").write_text("broken")
        assert live.command("reload").returncode == 1
        assert live.ask() == ("504",)


def test_a_save_right_before_the_request_is_part_of_it(project: Path, cache: Path) -> None:
    with started(project, cache, "--manual") as live:
        live.ready()
        for base in (200, 300, 400):
            save(project, base=base)
            assert live.command("reload").returncode == 0
            assert int(live.ask()[0]) // 100 * 100 == base


def test_sigusr1_to_relive_reloads(project: Path, cache: Path) -> None:
    with started(project, cache, "--manual") as live:
        live.ready()
        save(project, base=500)
        live.wait_event("change")
        live.process.send_signal(signal.SIGUSR1)
        assert live.next_reload()["status"] == "applied"
        assert live.ask() == ("501",)


def test_a_refused_change_is_4_and_is_explained(project: Path, cache: Path) -> None:
    with started(project, cache, "--manual") as live:
        live.ready()
        (project / "step.c").write_text(
            STEP.replace("static int calls;", "static int calls[9];").replace("++calls", "++calls[8]")
        )
        done = live.command("reload")
        assert done.returncode == 4
        assert "error: calls" in done.stderr
        assert "hint:" in done.stderr
        status = json.loads(live.command("status", "--json").stdout)
        assert status["refused"][0]["code"] in done.stderr
        assert "calls" in live.command("status").stdout
        assert live.ask() == ("101",)
        (project / "step.c").write_text(STEP)
        assert live.command("reload").returncode == 3


def test_undo_and_explain(live: Live, project: Path) -> None:
    save(project, base=500)
    assert live.next_reload()["status"] == "applied"
    assert "step" in live.command("explain").stdout
    assert live.command("explain", "step").returncode == 0
    undone = live.command("undo", "--json")
    assert undone.returncode == 0
    assert json.loads(undone.stdout)["generation"] == 0
    assert live.ask() == ("101",)


def test_reload_all_changes_nothing(live: Live) -> None:
    assert live.ask() == ("101",)
    done = live.command("reload", "--all", "--json")
    assert done.returncode == 0
    event = json.loads(done.stdout)
    assert (event["status"], event["mode"]) == ("applied", "all")
    assert "step" in event["functions"]
    assert live.ask() == ("102",)
    assert live.finish()[1] == 0


def test_restart_starts_anew_with_the_newest_code(project: Path, cache: Path) -> None:
    with started(project, cache, "--manual") as live:
        first = live.ready()["pid"]
        assert live.ask() == ("101",)
        save(project, base=500)
        done = live.command("restart", "--json")
        assert done.returncode == 0, done.stderr
        assert live.ready()["pid"] == json.loads(done.stdout)["pid"] != first
        assert live.next_reload()["status"] == "applied"
        assert live.ask() == ("501",)


def test_on_refused_restart(project: Path, cache: Path) -> None:
    with started(project, cache, "--on-refused", "restart") as live:
        first = live.ready()["pid"]
        (project / "step.c").write_text(
            STEP.replace("static int calls;", "static int calls[9];").replace("++calls", "++calls[8]")
        )
        assert live.next_reload()["status"] == "refused"
        assert live.ready()["pid"] != first


def test_what_was_edited_and_not_built_is_part_of_the_first_reload(project: Path, cache: Path) -> None:
    save(project, base=500)
    for name, seconds in (("step.o", 200), ("step.c", 100)):
        then = time.time_ns() - seconds * 10**9
        os.utime(project / name, ns=(then, then))
    with started(project, cache) as live:
        live.ready()
        assert "step.c" in live.wait_event("notice")["message"]
        assert live.ask() == ("101",)
        assert live.command("reload").returncode == 0
        assert live.ask() == ("502",)


def test_a_save_between_start_and_ready_is_a_save(project: Path, cache: Path) -> None:
    with started(project, cache) as live:
        assert live.ask() == ("101",), "it runs before relive is ready"
        save(project, base=500)
        live.ready()
        assert live.next_reload()["status"] == "applied"
        assert live.ask() == ("502",)


def test_events_on_stderr(project: Path, cache: Path) -> None:
    environ = os.environ | {"XDG_CACHE_HOME": str(cache), "XDG_RUNTIME_DIR": str(project)}
    (project).chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-m", "relive", "run", "-q", "--events", "-", "--", "/bin/sh", "-c", "exit 3"],
        cwd=project, env=environ, capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert json.loads(last)["event"] == "exit"


# ---- attach, Python --------------------------------------------------------------------------------------------------


def test_attach_and_leave(project: Path, cache: Path) -> None:
    with Live.attach(["./program"], cwd=project, folder=project, cache=cache) as live:
        live.ready()
        save(project, base=500)
        assert live.next_reload()["status"] == "applied"
        assert live.ask() == ("501",)
        assert live.command("restart").returncode == 2
        live.host.send_signal(signal.SIGINT)
        assert live.host.wait(TIMEOUT) == 130
        assert live.ask() == ("502",), "the program runs on with what was reloaded"


PYTHON = """
import relive
from relive.events import Exit
with relive.Session(manual=True) as session:
    ready = session.run(["./program"])
    assert ready.pid == session.pid
    assert session.reload().status == "unchanged"
    text = open("step.c").read()
    open("step.c", "w").write(text.replace("BASE", "500"))
    assert session.reload(dry_run=True).functions == ("step",)
    event = session.reload()
    assert (event.status, event.generation) == ("applied", 1), event
    assert session.status()["generation"] == 1
    assert "step" in session.explain()
    assert session.undo().generation == 0
assert [event for event in session if isinstance(event, Exit)]
assert session.exit_status is not None
print("fine")
"""


def test_the_python_session(project: Path, cache: Path) -> None:
    environ = os.environ | {"XDG_RUNTIME_DIR": str(project), "XDG_CACHE_HOME": str(cache)}
    process = subprocess.Popen(
        [sys.executable, "-c", PYTHON],
        cwd=project,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    # Its stdin is the program's as well and stays open until all is done.
    assert process.stdout.read() == "fine\n", process.stderr.read()
    process.stdin.close()
    assert process.wait(TIMEOUT) == 0


# ---- many files ----


def test_two_hundred_saves_one_after_the_other_end_in_the_final_state(tmp_path: Path, cache: Path) -> None:
    """A git checkout. How many events it takes depends on the machine; that nothing is lost does not."""
    folder = tmp_path / "many"
    folder.mkdir()
    names = [f"f{number}" for number in range(25)]
    (folder / "main.c").write_text(
        "#include <stdio.h>\n"
        + "".join(f"int {name}(void);\n" for name in names)
        + f"static int sum(void) {{ return {' + '.join(f'{name}()' for name in names)}; }}\n"
        + 'int main(void) { while (getchar() == 10) { printf("%d\\n", sum()); fflush(stdout); } return 0; }\n'
    )
    for name in names:
        (folder / f"{name}.c").write_text(f"int {name}(void) {{ return 1; }}\n")
    entries = [
        {
            "directory": str(folder),
            "file": f"{name}.c",
            "arguments": ["gcc", *FLAGS, "-c", f"{name}.c", "-o", f"{name}.o"],
        }
        for name in ("main", *names)
    ]
    (folder / "compile_commands.json").write_text(json.dumps(entries))
    subprocess.run(["gcc", *FLAGS, "-c", "main.c", *(f"{name}.c" for name in names)], cwd=folder, check=True)
    subprocess.run(["gcc", "main.o", *(f"{name}.o" for name in names), "-o", "program"], cwd=folder, check=True)
    with started(folder, cache) as live:
        live.ready()
        live.send("\n")
        assert live.read_line() == "25"
        for value in range(2, 10):
            for name in names:
                (folder / f"{name}.c").write_text(f"int {name}(void) {{ return {value}; }}\n")
        told: set[str] = set()
        answer = ""
        while answer != "225":
            event = live.next_reload()
            assert event["status"] in ("applied", "unchanged"), event
            told |= set(event["files"])
            live.send("\n")
            answer = live.read_line() or ""
        assert told == {str(folder / f"{name}.c") for name in names}
