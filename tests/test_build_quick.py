"""Quick builds: the linked file is changed, and behaves like the file that a fresh build makes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from relive.errors import FormatError, Refusal
from relive.host.compiler import CompilePool
from relive.host.project import Project
from relive.session.quickbuild import Built, QuickBuild
from tests import quick_programs as programs
from tests import small

MODES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "gcc-pie": ("gcc", ("-g", "-O0"), ()),
    "gcc-nopie": ("gcc", ("-g", "-O0", "-fno-pie"), ("-no-pie",)),
    "gcc-O2": ("gcc", ("-g", "-O2"), ()),
    "clang-pie": ("clang", ("-g", "-O0"), ("-fuse-ld=lld",) if shutil.which("ld.lld") else ()),
}


def cxx(mode: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    compiler, flags, link = MODES[mode]
    return {"gcc": "g++", "clang": "clang++"}[compiler], flags, link


def output(program: Path) -> str:
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=20)
    return f"{done.stdout}{done.stderr}[{done.returncode}]"


def quick(program: Path, cache: Path, work: Path, **options: bool) -> Built:
    project = Project.open(str(program), build_dir=None, start_dir=str(program.parent))
    try:
        return QuickBuild(project, program, CompilePool(work, 2), cache).build(**options)
    except FormatError as error:
        return Built(str(program), "refused", refusals=(Refusal("format", program.name, str(error), ""),))


def edit(program: Path, **sources: str) -> None:
    for name, text in sources.items():
        (program.parent.parent / "src" / name.replace("__", ".")).write_text(text)


def check(program: Path) -> None:
    """What binutils and the loader say of the file."""
    done = subprocess.run(["readelf", "-aW", str(program)], capture_output=True, text=True)
    assert done.returncode == 0
    assert not done.stderr, done.stderr
    for tool in ("strip", "objcopy"):
        copy = program.with_name(f"{program.name}.{tool}")
        done = subprocess.run([tool, str(program), "-o", str(copy)][: 4] if tool == "strip"
                              else [tool, str(program), str(copy)], capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        assert output(copy) == output(program), f"{tool} broke the file"
        copy.unlink()


def fresh(root: Path, sources: dict[str, str], mode: tuple[str, Sequence[str], Sequence[str]]) -> str:
    return output(small.build(root, sources, compiler=mode[0], flags=mode[1], link=mode[2]))


def run_case(
    tmp_path: Path, cache: Path, mode: tuple[str, tuple[str, ...], tuple[str, ...]],
    main: tuple[str, str], unit: str, versions: tuple[str, str],
) -> None:  # fmt: skip
    before, after = versions
    sources = {main[0]: main[1], unit: before}
    program = small.build(tmp_path / "p", sources, compiler=mode[0], flags=mode[1], link=mode[2])
    was = output(program)
    edit(program, **{unit.replace(".", "__"): after})
    built = quick(program, cache, tmp_path / "work")
    assert built.status == "applied", built
    wanted = fresh(tmp_path / "fresh", {main[0]: main[1], unit: after}, mode)
    assert output(program) == wanted
    if versions[0] != versions[1] and was != wanted:
        check(program)
    assert quick(program, cache, tmp_path / "work").status == "unchanged"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", programs.C_CASES)
def test_c_edit(case: str, mode: str, tmp_path: Path, shared_cache: Path) -> None:
    run_case(
        tmp_path, shared_cache, MODES[mode], ("main.c", programs.MAIN), "unit.c", programs.C_CASES[case]
    )  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", programs.CXX_CASES)
def test_cxx_edit(case: str, mode: str, tmp_path: Path, shared_cache: Path) -> None:
    run_case(
        tmp_path, shared_cache, cxx(mode), ("main.cpp", programs.CXX_MAIN), "unit.cpp", programs.CXX_CASES[case]
    )  # fmt: skip


def test_second_edit_goes_on_from_the_first(tmp_path: Path, shared_cache: Path) -> None:
    program = small.build(
        tmp_path / "p",
        {"main.c": programs.MAIN, "unit.c": "int other(int); int work(int n) { return other(n); }",
         "other.c": "static int k = 1; int other(int n) { return n + k; }"},
    )  # fmt: skip
    for number in (2, 3):
        edit(program, other__c=f"static int k = {number}; static int m; int other(int n) {{ m++; return n * 10 + k; }}")
        built = quick(program, shared_cache, tmp_path / "work")
        assert built.status == "applied"
        assert [os.path.basename(u) for u in built.units] == ["other.c"]
        assert output(program).splitlines()[0] == str(10 + number)
    edit(program, unit__c="int other(int); int work(int n) { return other(n) + 1000; }")
    assert [os.path.basename(u) for u in quick(program, shared_cache, tmp_path / "work").units] == ["unit.c"]
    assert output(program).splitlines()[0] == "1013"


def test_edit_taken_back_gives_the_linked_file(tmp_path: Path, shared_cache: Path) -> None:
    first = "int work(int n) { return n; }"
    program = small.build(tmp_path / "p", {"main.c": programs.MAIN, "unit.c": first})
    linked, date = program.read_bytes(), program.stat().st_mtime_ns
    edit(program, unit__c="int work(int n) { return n + 5; }")
    assert quick(program, shared_cache, tmp_path / "work").status == "applied"
    assert program.read_bytes() != linked
    edit(program, unit__c=first)
    assert quick(program, shared_cache, tmp_path / "work").status == "applied"
    assert program.read_bytes() == linked
    assert program.stat().st_mtime_ns == date
