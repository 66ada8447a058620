"""Running compilers: real ones where they matter, shell scripts where a compiler has to misbehave."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from relive.build.database import parse_database
from relive.build.units import Unit, make_units
from relive.errors import StorageError
from relive.host.compiler import CompilePool, Superseded


def unit(root: Path, command: str, source: str = "a.c") -> Unit:
    text = json.dumps([{"directory": str(root), "file": source, "command": command}])
    (found,) = make_units(parse_database(text, str(root / "compile_commands.json")))[0].values()
    return found


def script(root: Path, body: str) -> str:
    """A compiler that does as it is told; ``$out`` is where its object belongs."""
    path = root / "fakecc"
    path.write_text(f'#!/bin/sh\nfor word; do [ "$last" = -o ] && out=$word; last=$word; done\n{body}\n')
    path.chmod(0o755)
    return str(path)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def gone(pid: int) -> bool:
    """Not running; a zombie that init has not yet collected counts as gone, ours would be a bug."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return fields[0] in "ZX" and int(fields[1]) != os.getpid()


@pytest.mark.parametrize("driver", ["gcc", "clang", "g++", "clang++"])
def test_the_object_is_the_users_and_the_users_tree_stays_untouched(tmp_path: Path, driver: str) -> None:
    root = tmp_path / "p"
    root.mkdir()
    (root / "a.h").write_text("#define A 7\n")
    (root / "a.c").write_text(
        '#include "a.h"\nint a(void) { return A; }\nconst char *where(void) { return __FILE__; }\n'
    )
    command = f"{driver} -g -O1 -MD -MP -MF a.d -c a.c -o a.o"
    subprocess.run(command.split(), cwd=root, check=True, capture_output=True)
    command += " -save-temps --serialize-diagnostics a.dia" if "clang" in driver else " -save-temps=obj -dumpdir x."
    before = tree(root)
    pool = CompilePool(tmp_path / "w", 2)
    (compiled,) = pool.compile([unit(root, command)])
    assert compiled.ok, compiled.diagnostics
    assert compiled.object == (root / "a.o").read_bytes()
    assert "a.h" in compiled.depfile
    assert tree(root) == before
    assert tree(tmp_path / "w") == {}


def test_extra_flags_win(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int a(void) { return 1; }\n")
    pool = CompilePool(tmp_path / "w", 1)
    (plain,) = pool.compile([unit(tmp_path, "gcc -c a.c")])
    (cut,) = pool.compile([unit(tmp_path, "gcc -c a.c")], extra_flags=["-ffunction-sections"])
    assert b".text.a\0" in cut.object
    assert b".text.a\0" not in plain.object
    assert "-ffunction-sections" in cut.command


@pytest.mark.parametrize("driver", ["gcc", "clang"])
def test_debug_information_comes_with_the_object(tmp_path: Path, driver: str) -> None:
    (tmp_path / "a.c").write_text("int a(void) { return 1; }\n")
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, f"{driver} -g -gsplit-dwarf -Werror -c a.c")])
    assert compiled.ok, compiled.diagnostics
    assert b".debug_info\0" in compiled.object
    assert b".dwo" not in compiled.object
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.c"]


@pytest.mark.parametrize("driver", ["gcc", "clang"])
@pytest.mark.parametrize("source", ["a.s", "a.S"])
def test_assembly(tmp_path: Path, driver: str, source: str) -> None:
    (tmp_path / source).write_text(".globl f\nf: ret\n")
    (compiled,) = CompilePool(tmp_path / "w", 1).compile(
        [unit(tmp_path, f"{driver} -Werror -c {source}", source)], extra_flags=["-ffunction-sections"]
    )
    assert compiled.ok, compiled.diagnostics
    assert ("a.S" in compiled.depfile) == (source == "a.S")


def test_what_options_put_beside_the_object_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int a(void) { return 1; }\n")
    command = "gcc -fstack-usage --coverage -fdump-tree-optimized -c a.c -o a.o"
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, command)])
    assert compiled.ok, compiled.diagnostics
    assert tree(tmp_path / "w") == {}
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.c"]


def test_a_launcher_stays_in_front(tmp_path: Path) -> None:
    (tmp_path / "ccache").write_text('#!/bin/sh\necho "$@" >> log\nexec "$@"\n')
    (tmp_path / "ccache").chmod(0o755)
    (tmp_path / "a.c").write_text("int a(void) { return A; }\n")
    launched = unit(tmp_path, f"A=1 {tmp_path}/ccache gcc -DA=1 -c a.c -o a.o")
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([launched])
    assert compiled.ok, compiled.diagnostics
    assert (tmp_path / "log").read_text().startswith("gcc -DA=1 a.c -c -MD")


def test_diagnostics_are_the_compilers_own_words(tmp_path: Path) -> None:
    (tmp_path / "bad.c").write_text("int a(void) { return b; }\n")
    (tmp_path / "warn.c").write_text("int a(void) { int unused; return 1; }\n")
    expected = subprocess.run(["gcc", "-c", "bad.c"], cwd=tmp_path, capture_output=True, text=True).stderr
    bad, warned = CompilePool(tmp_path / "w", 2).compile(
        [unit(tmp_path, "gcc -c bad.c", "bad.c"), unit(tmp_path, "gcc -Wall -c warn.c", "warn.c")]
    )
    assert (bad.ok, bad.object, bad.diagnostics) == (False, b"", expected)
    assert warned.ok
    assert "unused" in warned.diagnostics


def test_results_keep_the_order_of_units(tmp_path: Path) -> None:
    # the later the unit, the sooner it is ready
    cc = script(tmp_path, 'sleep 0.$(basename "$1" .c); echo "$1"; echo "$1" > "$out"')
    units = [unit(tmp_path, f"{cc} {name}.c", f"{name}.c") for name in ("3", "2", "1", "0")]
    results = CompilePool(tmp_path / "w", 4).compile(units)
    assert [result.diagnostics for result in results] == ["3.c\n", "2.c\n", "1.c\n", "0.c\n"]
    assert [result.object for result in results] == [b"3.c\n", b"2.c\n", b"1.c\n", b"0.c\n"]


def test_jobs_run_at_the_same_time_and_not_more(tmp_path: Path) -> None:
    # each of a pair waits for the other; a third one at the same time would find two marks
    body = """
    marks() { set -- "$PWD"/mark*; echo $#; }
    mkdir "$PWD/mark$1"; [ $(marks) -gt 2 ] && echo crowded
    i=0; while [ ! -e "$PWD/met" ] && [ $i -lt 3000 ]; do
        [ $(marks) -ge 2 ] && touch "$PWD/met"; sleep 0.01; i=$((i+1)); done
    [ -e "$PWD/met" ] || echo alone
    rmdir "$PWD/mark$1"; echo x > "$out" """
    cc = script(tmp_path, body)
    units = [unit(tmp_path, f"{cc} {number}.c", f"{number}.c") for number in range(6)]
    assert [result.diagnostics for result in CompilePool(tmp_path / "w", 2).compile(units)] == [""] * 6


def test_many_words_do_not_block(tmp_path: Path) -> None:
    cc = script(tmp_path, 'head -c 3000000 /dev/zero | tr "\\0" x; echo y > "$out"')
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, f"{cc} a.c")])
    assert compiled.ok
    assert compiled.diagnostics == "x" * 3_000_000


def test_a_daemon_that_keeps_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    cc = script(tmp_path, 'sleep 1000 & echo $! > daemon; echo words; echo x > "$out"')
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, f"{cc} a.c")])
    daemon = int((tmp_path / "daemon").read_text())
    assert (compiled.ok, compiled.diagnostics) == (True, "words\n")
    assert not gone(daemon)
    os.kill(daemon, signal.SIGKILL)


def test_a_compiler_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    cc = script(tmp_path, 'exec >&- 2>&-; sleep 0.1; echo x > "$out"')
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, f"{cc} a.c")])
    assert compiled.object == b"x\n"


def test_superseded_compilers_are_gone_with_their_children(tmp_path: Path) -> None:
    stubborn = script(
        tmp_path, "trap '' TERM; sleep 1000 & echo $$ $! > $1.pids.tmp; mv $1.pids.tmp $1.pids; wait; wait"
    )
    units = [unit(tmp_path, f"{stubborn} {name}.c", f"{name}.c") for name in "abc"]
    files = [tmp_path / "a.c.pids", tmp_path / "b.c.pids"]
    begun: list[float] = []

    def cancelled() -> bool:
        if all(file.exists() for file in files) and not begun:
            begun.append(time.monotonic())
        return bool(begun)

    with pytest.raises(Superseded):
        CompilePool(tmp_path / "w", 2).compile(units, cancelled=cancelled)
    pids = [int(word) for file in files for word in file.read_text().split()]
    assert len(pids) == 4
    until(lambda: all(map(gone, pids)))
    assert not (tmp_path / "c.c.pids").exists()
    assert tree(tmp_path / "w") == {}


def test_a_superseded_gcc_leaves_no_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    (tmp_path / "a.c").write_text("int x;\n" * 2_000_000)
    seen = threading.Event()

    def cancelled() -> bool:
        if any((tmp_path / "t").iterdir()):
            seen.set()
        return seen.is_set()

    with pytest.raises(Superseded):
        CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, "gcc -c a.c")], cancelled=cancelled)
    assert list((tmp_path / "t").iterdir()) == []


def test_nothing_is_started_when_already_superseded(tmp_path: Path) -> None:
    cc = script(tmp_path, "touch started")
    with pytest.raises(Superseded):
        CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, f"{cc} a.c")], cancelled=lambda: True)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("/gone/gcc-99 -c a.c", "the compiler /gone/gcc-99 of"),
        ("/gone/ccache gcc -c a.c", "the compiler launcher /gone/ccache of"),
        ("./notexecutable -c a.c", "Permission denied"),
    ],
)
def test_a_compiler_that_is_gone(tmp_path: Path, command: str, says: str) -> None:
    (tmp_path / "notexecutable").write_text("")
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, command)])
    assert not compiled.ok
    assert compiled.diagnostics.startswith("relive: ")
    assert says in compiled.diagnostics
    assert "install it" in compiled.diagnostics


def test_a_build_directory_that_is_gone(tmp_path: Path) -> None:
    text = json.dumps([{"directory": str(tmp_path / "gone"), "file": "../a.c", "command": "gcc -c ../a.c"}])
    (missing,) = make_units(parse_database(text, str(tmp_path / "x")))[0].values()
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([missing])
    assert not compiled.ok
    assert f"the build directory {tmp_path / 'gone'}" in compiled.diagnostics


def test_a_command_too_long_for_the_system(tmp_path: Path) -> None:
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, "gcc -c a.c -D" + "x" * 1_000_000)])
    assert not compiled.ok
    assert "response files" in compiled.diagnostics


def test_a_compiler_that_is_killed(tmp_path: Path) -> None:
    cc = script(tmp_path, "echo half a; kill -KILL $$")
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, f"{cc} a.c")])
    assert not compiled.ok
    assert compiled.diagnostics.startswith("half a\nrelive: ")
    assert "SIGKILL" in compiled.diagnostics


def test_a_compiler_that_writes_nothing(tmp_path: Path) -> None:
    cc = script(tmp_path, "exit 0")
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, f"{cc} a.c")])
    assert not compiled.ok
    assert "wrote no object" in compiled.diagnostics


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.statvfs", lambda path: SimpleNamespace(f_bavail=0, f_frsize=4096))
    cc = script(tmp_path, "echo 'as: cannot write'; exit 1")
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, f"{cc} a.c")])
    assert compiled.diagnostics.startswith("as: cannot write\nrelive: the disk of ")


def test_a_working_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        CompilePool(tmp_path / "file" / "w", 1)
    assert caught.value.hint


def test_two_threads_share_a_pool(tmp_path: Path) -> None:
    pool = CompilePool(tmp_path / "w", 2)
    for number in range(8):
        (tmp_path / f"{number}.c").write_text(f"int f(void) {{ return {number}; }}\n")
    results: dict[int, list[bytes]] = {}

    def work(which: int) -> None:
        units = [unit(tmp_path, f"gcc -c {number}.c", f"{number}.c") for number in range(which, 8, 2)]
        results[which] = [compiled.object for compiled in pool.compile(units)]

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    objects = results[0] + results[1]
    assert len(set(objects)) == 8
    assert b"" not in objects


def test_dependencies_come_from_the_preprocessor(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text('#include "a.h"\nint f( { syntax error\n')
    (tmp_path / "a.h").write_text("")
    pool = CompilePool(tmp_path / "w", 1)
    for driver in ("gcc", "clang"):
        text = pool.dependencies(unit(tmp_path, f"{driver} -MMD -MF x.d -c a.c -o a.o"))
        assert "a.c" in text
        assert "a.h" in text
        assert pool.all_dependencies([unit(tmp_path, f"{driver} -c a.c")] * 3) == [text] * 3
    assert not (tmp_path / "x.d").exists()
    assert tree(tmp_path / "w") == {}


def test_the_start_is_known_to_the_clock_of_files(tmp_path: Path) -> None:
    cc = script(tmp_path, 'echo x > "$out"; touch during')
    before = time.time_ns()
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit(tmp_path, f"{cc} a.c")])
    assert before <= compiled.started_ns <= time.time_ns()
    assert compiled.seconds > 0
