"""`relive build` as a command: which file, exit codes, JSON, and the project's own build for all else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from relive.cli.main import main
from tests import quick_programs as programs
from tests import small

FIRST = {"main.c": programs.MAIN, "unit.c": "int work(int n) { return n; }"}


@pytest.fixture(autouse=True)
def _own_cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_cache))


def output(program: Path) -> str:
    return subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout


def ninja_project(root: Path) -> Path:
    """The same sources, built by ninja in the source directory; the program."""
    root.mkdir()
    for name, text in FIRST.items():
        (root / name).write_text(text)
    (root / "build.ninja").write_text(
        "rule cc\n  command = gcc -g -MMD -MF $out.d -c $in -o $out\n  depfile = $out.d\n  deps = gcc\n"
        "rule link\n  command = gcc $in -o $out\nrule copy\n  command = cp $in $out\n"
        "build table.h: copy table.txt\nbuild main.o: cc main.c\nbuild unit.o: cc unit.c | table.h\n"
        "build program: link main.o unit.o\ndefault program\n"
    )
    (root / "table.txt").write_text("3\n")
    subprocess.run(["ninja"], cwd=root, check=True, capture_output=True)
    database = subprocess.run(["ninja", "-t", "compdb", "cc"], cwd=root, check=True, capture_output=True).stdout
    (root / "compile_commands.json").write_bytes(database)
    return root / "program"


def test_exit_codes_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = small.build(tmp_path / "p", FIRST)
    source = tmp_path / "p" / "src" / "unit.c"
    words = ["build", str(program), "--no-fallback", "--json"]
    assert main(words) == 3
    assert json.loads(capsys.readouterr().out)["status"] == "unchanged"
    source.write_text("int work(int n) { return n + 10; }")
    assert main([*words, "-n"]) == 0
    assert output(program) == "1\n2\n3\n"
    assert not (program.parent / ".program.relive-build").exists()
    capsys.readouterr()
    assert main(words) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["status"] == "applied"
    assert record["functions"] == ["work"]
    assert record["units"] == [str(source)]
    assert output(program) == "11\n12\n13\n"
    source.write_text("int work(int n) { return n + ; }")
    assert main(words) == 1
    assert "error:" in json.loads(capsys.readouterr().out)["message"]
    source.write_text("int cbrt(int); int work(int n) { return cbrt(n); }")
    assert main(words) == 4
    assert json.loads(capsys.readouterr().out)["refusals"][0]["code"] == "undefined-symbol"
    assert output(program) == "11\n12\n13\n"


def test_only_program_with_the_edited_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = small.build(tmp_path / "p", FIRST)
    other = program.with_name("other")
    objects = [str(program.parent / f"{name}.o") for name in FIRST]
    main_only = tmp_path / "alone.c"
    main_only.write_text('int work(int n) { return n; }\n#include "' + str(tmp_path / "p" / "src" / "main.c") + '"\n')
    subprocess.run(["gcc", "-o", str(other), str(main_only)], check=True)
    (tmp_path / "p" / "src" / "unit.c").write_text("int work(int n) { return n + 10; }")
    assert main(["-C", "x"]) == 2
    assert main(["build", "-C", str(program.parent), "--no-fallback"]) == 0
    assert output(program) == "11\n12\n13\n"
    subprocess.run(["gcc", "-o", str(program.with_name("second")), *objects], check=True)
    assert main(["build", "-C", str(program.parent), "--no-fallback"]) == 2
    said = capsys.readouterr().err
    assert "program" in said
    assert "second" in said


@pytest.mark.skipif(not shutil.which("ninja"), reason="no ninja")
def test_ninja_links_what_a_quick_build_changed(tmp_path: Path) -> None:
    program = ninja_project(tmp_path / "p")
    source = program.with_name("unit.c")
    old, was = source.read_text(), source.stat()
    source.write_text("int work(int n) { return n + 10; }")
    assert main(["build", str(program), "--no-fallback"]) == 0
    assert output(program) == "11\n12\n13\n"
    # The edit is taken back with its old date: for ninja nothing happened, but for the program's date.
    source.write_text(old)
    os.utime(source, ns=(was.st_atime_ns, was.st_mtime_ns))
    done = subprocess.run(["ninja"], cwd=program.parent, capture_output=True, text=True, check=True)
    assert "gcc main.o unit.o -o program" in done.stdout
    assert output(program) == "1\n2\n3\n"
    assert main(["build", str(program), "--no-fallback"]) == 3
    source.write_text("int work(int n) { return n + 20; }")
    assert main(["build", str(program), "--no-fallback"]) == 0
    assert output(program) == "21\n22\n23\n"
    subprocess.run(["ninja"], cwd=program.parent, capture_output=True, text=True, check=True)
    assert output(program) == "21\n22\n23\n"
    assert "no work to do" in subprocess.run(["ninja"], cwd=program.parent, capture_output=True, text=True).stdout


@pytest.mark.skipif(not shutil.which("ninja"), reason="no ninja")
def test_generated_header_is_the_builds_own_business(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = ninja_project(tmp_path / "p")
    unit = program.with_name("unit.c")
    unit.write_text('enum { K =\n#include "table.h"\n};\nint work(int n) { return n * K; }')
    assert main(["build", str(program), "--no-fallback"]) == 0
    program.with_name("table.txt").write_text("7\n")
    assert main(["build", str(program), "--no-fallback"]) == 4
    assert "table.h" in capsys.readouterr().err
    assert main(["build", str(program)]) == 0
    assert output(program) == "7\n14\n21\n"


@pytest.mark.skipif(not shutil.which("ninja"), reason="no ninja")
def test_fallback_runs_the_projects_own_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = ninja_project(tmp_path / "p")
    program.with_name("unit.c").write_text(
        "static int x; __attribute__((constructor)) static void early(void) { x = 4; }\n"
        "int work(int n) { return n + x; }"
    )
    assert main(["build", str(program), "--json"]) == 0
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record["status"] == "linked"
    assert record["refusals"][0]["code"] == "constructor-list"
    assert record["command"].startswith("ninja -C")
    assert output(program) == "5\n6\n7\n"
    assert main(["build", str(program)]) == 3
    program.unlink()
    assert main(["build", str(program)]) == 0
    assert output(program) == "5\n6\n7\n"


def test_given_build_command(tmp_path: Path) -> None:
    program = small.build(tmp_path / "p", FIRST)
    unit = tmp_path / "p" / "src" / "unit.c"
    unit.write_text("static __thread int t = 5; int work(int n) { return n + t; }")
    command = f"cd {program.parent} && gcc -g -c -o unit.c.o ../src/unit.c && gcc -o program main.c.o unit.c.o"
    assert main(["build", str(program), "--build-command", command]) == 0
    assert output(program) == "6\n7\n8\n"
    unit.write_text("int work(int n) { return n + }")
    time.sleep(0.01)
    assert main(["build", str(program), "--build-command", command]) == 1


def test_stripped_program_is_built_by_the_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = small.build(tmp_path / "p", FIRST)
    subprocess.run(["strip", str(program)], check=True)
    (tmp_path / "p" / "src" / "unit.c").write_text("int work(int n) { return n + 10; }")
    assert main(["build", str(program), "--no-fallback"]) == 4
    assert "stripped" in capsys.readouterr().err
