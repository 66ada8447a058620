"""Finding the build of a program and the inputs of its units, on trees that the tests write and real builds make."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from relive.build.database import parse_database
from relive.build.units import Unit, make_units
from relive.errors import BuildError
from relive.host.compiler import CompilePool
from relive.host.project import Project, find_database


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def database(root: Path, *entries: Mapping[str, object], name: str = "compile_commands.json") -> None:
    write(root, {name: json.dumps([{"directory": str(root)} | dict(entry) for entry in entries])})


def entry(source: str, flags: str = "", output: str | None = None) -> dict[str, object]:
    output = output or source.rsplit(".", 1)[0] + ".o"
    return {"file": source, "command": f"gcc {flags} -c {source} -o {output}"}


def opened(root: Path, program: str = "prog") -> Project:
    return Project.open(str(root / program), build_dir=None, start_dir="/")


def sources(project: Project, path: Path) -> list[str]:
    return sorted(os.path.basename(unit.source) for unit in project.units_of(str(path)))


def only(project: Project) -> Unit:
    (unit,) = project.units.values()
    return unit


def test_database_is_found_around_the_program_then_around_the_start(tmp_path: Path) -> None:
    write(tmp_path, {"p/build/bin/prog": "", "q/src/x": "", "q/build/compile_commands.json": "[]"})

    def find(program: str, start: str, build_dir: str | None = None) -> str:
        found = find_database(program, build_dir=build_dir, start_dir=str(tmp_path / start))
        return os.path.relpath(found, tmp_path)

    assert find(str(tmp_path / "p/build/bin/prog"), "q/src") == "q/build/compile_commands.json"
    write(tmp_path, {"p/build/compile_commands.json": "[]"})
    assert find(str(tmp_path / "p/build/bin/prog"), "q/src") == "p/build/compile_commands.json"
    assert find("../build/bin/prog", "p/src") == "p/build/compile_commands.json"
    write(tmp_path, {"p/build/bin/compile_commands.json": "[]"})
    assert find(str(tmp_path / "p/build/bin/prog"), "q/src") == "p/build/bin/compile_commands.json"
    assert find("sh", "q/src") == "q/build/compile_commands.json"  # a program in PATH
    assert find("x", "p", "../q/build") == "q/build/compile_commands.json"
    assert find("x", "p", "../q/build/compile_commands.json") == "q/build/compile_commands.json"


def test_no_database_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no compile_commands\.json") as caught:
        opened(tmp_path)
    assert "bear" in caught.value.hint
    with pytest.raises(BuildError, match="/out/"):
        Project.open("x", build_dir="out", start_dir=str(tmp_path))


def test_a_stale_database_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"a.c": ""})
    database(tmp_path, entry("a.c"), entry("gone.c"), entry("too.c"))
    project = opened(tmp_path)
    assert [unit.source for unit in project.units.values()] == [str(tmp_path / "a.c")]
    assert "2 sources that are gone" in project.notes[0].message
    database(tmp_path, entry("gone.c"))
    with pytest.raises(BuildError, match="gone"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("depfile", "output", "flags"),
    [
        ("a.o.d", "a.o", ""),
        ("a.d", "a.o", "-MD"),
        ("deps/x.d", "a.o", "-MD -MF deps/x.d"),
        (".deps/a.Po", "a.o", ""),
        (".deps/a.Po", "a.o", "-MD -MF .deps/a.Tpo"),
        ("obj/.deps/prog-a.Po", "obj/prog-a.o", ""),
    ],
)
def test_depfiles_that_builds_leave(tmp_path: Path, depfile: str, output: str, flags: str) -> None:
    write(
        tmp_path,
        {"a.c": "", "a.h": "", "inc/b.h": "", depfile: "a.o: a.c a.h \\\n ./inc/../inc/b.h /usr/include/stdio.h\n"},
    )
    database(tmp_path, entry("a.c", flags, output))
    project = opened(tmp_path)
    assert sources(project, tmp_path / "a.h") == sources(project, tmp_path / "inc/b.h") == ["a.c"]
    assert project.missing_dependencies() == ()
    assert project.inputs() == {str(tmp_path / name) for name in ("a.c", "a.h", "inc/b.h", "compile_commands.json")}


def test_a_foreign_depfile_is_not_believed(tmp_path: Path) -> None:
    write(tmp_path, {"a.c": "", "a.d": "other.o: other.c a.h\n"})
    database(tmp_path, entry("a.c"))
    assert opened(tmp_path).missing_dependencies() == (only(opened(tmp_path)),)


def test_assembly_without_preprocessing_needs_no_depfile(tmp_path: Path) -> None:
    write(tmp_path, {"a.s": "", "b.S": ""})
    database(tmp_path, entry("a.s"), entry("b.S"))
    assert [os.path.basename(unit.source) for unit in opened(tmp_path).missing_dependencies()] == ["b.S"]


def test_system_headers_count_only_in_a_system_project() -> None:
    text = json.dumps([{"directory": "/usr/share/game/build", "file": "../a.c", "command": "cc -c ../a.c"}])
    units, _ = make_units(parse_database(text, "/usr/share/game/build/compile_commands.json"))
    key = next(iter(units))
    names = [
        "../a.c",
        "x.h",
        "../inc.h",
        "/usr/include/stdio.h",
        "/opt/gcc/lib/gcc/x86_64/12/include/stddef.h",
        "/o/own.h",
    ]
    project = Project("/usr/share/game/build/compile_commands.json", units, {key: names})
    assert project.inputs_of(key) == {
        "/usr/share/game/a.c",
        "/usr/share/game/build/x.h",
        "/usr/share/game/inc.h",
        "/o/own.h",
    }


def test_update_dependencies_replaces_what_the_build_said(tmp_path: Path) -> None:
    write(tmp_path, {"a.c": "", "a.h": "", "b.h": "", "a.d": "a.o: a.c a.h"})
    database(tmp_path, entry("a.c"))
    project = opened(tmp_path)
    assert project.update_dependencies(only(project).key, "x: a.c b.h") == {str(tmp_path / "b.h")}
    assert sources(project, tmp_path / "b.h") == ["a.c"]
    assert sources(project, tmp_path / "a.h") == []
    assert str(tmp_path / "a.h") not in project.inputs()
    assert str(tmp_path / "b.h") in project.inputs()
    assert project.update_dependencies("no such unit", "x: y") == frozenset()


def test_a_failed_lookup_is_asked_only_once(tmp_path: Path) -> None:
    write(tmp_path, {"a.c": '#include "gone.h"\n'})
    database(tmp_path, entry("a.c"))
    project = opened(tmp_path)
    text = CompilePool(tmp_path / "w", 1).dependencies(only(project))
    assert text == ""
    project.update_dependencies(only(project).key, text)
    assert project.missing_dependencies() == ()
    assert project.inputs_of(only(project).key) == {str(tmp_path / "a.c")}


@pytest.mark.parametrize("compiler", ["gcc", "clang", "g++", "LC_ALL=de_DE.UTF-8 gcc -fno-diagnostics-show-caret"])
def test_a_header_that_is_not_there_yet_is_waited_for(tmp_path: Path, compiler: str) -> None:
    write(tmp_path, {"src/a.c": '#include "new/one.h"\nint x;\n', "src/old.h": ""})
    database(tmp_path, {"file": "src/a.c", "command": f"{compiler} -Iinc -I/usr/include -c src/a.c"})
    project = opened(tmp_path)
    unit = only(project)
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit])
    assert not compiled.ok
    awaited = project.note_failure(unit.key, compiled.diagnostics)
    assert awaited == {str(tmp_path / "src/new/one.h"), str(tmp_path / "inc/new/one.h")}
    assert awaited <= project.inputs()
    assert sources(project, tmp_path / "inc/new/one.h") == ["a.c"]

    write(tmp_path, {"inc/new/one.h": ""})
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([unit])
    assert project.update_dependencies(unit.key, compiled.depfile) == frozenset()
    assert sources(project, tmp_path / "inc/new/one.h") == ["a.c"]
    assert str(tmp_path / "src/new/one.h") not in project.inputs()


def test_other_errors_wait_for_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"a.c": "int f( {\n"})
    database(tmp_path, entry("a.c"))
    project = opened(tmp_path)
    (compiled,) = CompilePool(tmp_path / "w", 1).compile([only(project)])
    assert project.note_failure(only(project).key, compiled.diagnostics) == frozenset()


def test_links_lead_to_the_same_units(tmp_path: Path) -> None:
    write(tmp_path, {"real/a.c": "", "real/a.h": "", "a.d": "a.o: real/a.c real/a.h"})
    (tmp_path / "link").symlink_to("real")
    database(tmp_path, entry("real/a.c", output="a.o"))
    assert sources(opened(tmp_path), tmp_path / "link/a.h") == ["a.c"]


def test_refreshing_the_database(tmp_path: Path) -> None:
    write(tmp_path, {"a.c": "", "b.c": "", "c.c": "", "c.d": "c.o: c.c c.h", "a.d": "a.o: a.c a.h"})
    database(tmp_path, entry("a.c"), entry("b.c"))
    project = opened(tmp_path)
    assert project.describes_build(project.database)
    assert project.refresh_database() == type(project.refresh_database())()

    database(tmp_path, entry("a.c", "-DX"), entry("c.c"))
    change = project.refresh_database()
    assert [os.path.basename(unit.source) for unit in change.added] == ["c.c"]
    assert [os.path.basename(unit.source) for unit in change.removed] == ["b.c"]
    assert [unit.command.arguments[1] for unit in change.changed] == ["-DX"]
    assert sources(project, tmp_path / "c.h") == ["c.c"]
    assert sources(project, tmp_path / "a.h") == ["a.c"]
    assert sources(project, tmp_path / "b.c") == []
    assert str(tmp_path / "b.c") not in project.inputs()


@pytest.mark.parametrize("text", ["", "[{", None])
def test_a_broken_refresh_leaves_everything_as_it_was(tmp_path: Path, text: str | None) -> None:
    write(tmp_path, {"a.c": ""})
    database(tmp_path, entry("a.c"))
    project = opened(tmp_path)
    before = dict(project.units)
    if text is None:
        (tmp_path / "compile_commands.json").unlink()
    else:
        write(tmp_path, {"compile_commands.json": text})
    with pytest.raises(BuildError):
        project.refresh_database()
    assert project.units == before
    assert sources(project, tmp_path / "a.c") == ["a.c"]


def test_response_files_describe_the_build(tmp_path: Path) -> None:
    write(tmp_path, {"a.c": "", "flags.rsp": "-DA"})
    database(tmp_path, entry("a.c", "@flags.rsp"))
    project = opened(tmp_path)
    assert str(tmp_path / "flags.rsp") in project.inputs()
    assert project.describes_build(str(tmp_path / "flags.rsp"))
    write(tmp_path, {"flags.rsp": "-DB"})
    (changed,) = project.refresh_database().changed
    assert "-DB" in changed.command.arguments


def test_edited_but_not_built_is_stale(tmp_path: Path) -> None:
    write(tmp_path, {"a.c": "", "b.c": "", "c.c": "", "h.h": "", "a.o": "", "b.o": "", "a.d": "a.o: a.c h.h"})
    database(tmp_path, entry("a.c"), entry("b.c"), entry("c.c"))
    for name, seconds in {"a.c": 10, "b.c": 10, "c.c": 99, "h.h": 10, "a.o": 20, "b.o": 20}.items():
        os.utime(tmp_path / name, (seconds, seconds))
    project = opened(tmp_path)
    assert project.stale() == ()
    os.utime(tmp_path / "h.h", (30, 30))
    assert [os.path.basename(unit.source) for unit in project.stale()] == ["a.c"]


def test_an_executable_is_not_taken_for_an_object(tmp_path: Path) -> None:
    write(tmp_path, {"a.c": "int main(void) { return 0; }\n"})
    subprocess.run(["gcc", "a.c", "-o", "prog"], cwd=tmp_path, check=True)
    database(tmp_path, {"file": "a.c", "arguments": ["gcc", "-c", "-o", "prog", "a.c"]})
    assert only(opened(tmp_path)).object == ""
    subprocess.run(["gcc", "-c", "a.c", "-o", "prog"], cwd=tmp_path, check=True)
    assert only(opened(tmp_path)).object == str(tmp_path / "prog")


CMAKE = """\
cmake_minimum_required(VERSION 3.16)
project(p C CXX)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
add_executable(app main.cpp "with space.c")
add_subdirectory(sub)
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("generator", ["Ninja", "Unix Makefiles"])
def test_a_cmake_build_with_a_precompiled_header(tmp_path: Path, generator: str, compiler: str) -> None:
    write(
        tmp_path,
        {
            "CMakeLists.txt": CMAKE,
            "main.cpp": '#include "sub/hdr.h"\nint main() { return hdr(); }\n',
            "with space.c": "int space(void) { return 1; }\n",
            "sub/CMakeLists.txt": 'add_library(pch STATIC four.cpp)\ntarget_precompile_headers(pch PRIVATE "hdr.h")\n',
            "sub/hdr.h": '#include "inner.h"\n',
            "sub/inner.h": "inline int hdr() { return 3; }\n",
            "sub/four.cpp": "int four() { return hdr(); }\n",
        },
    )
    cxx = {"gcc": "g++", "clang": "clang++"}[compiler]
    choice = [f"-DCMAKE_C_COMPILER={compiler}", f"-DCMAKE_CXX_COMPILER={cxx}"]
    subprocess.run(
        ["cmake", "-G", generator, *choice, "-B", "build", "."], cwd=tmp_path, check=True, capture_output=True
    )
    subprocess.run(["cmake", "--build", "build"], cwd=tmp_path, check=True, capture_output=True)
    project = opened(tmp_path, "build/app")
    assert project.database == str(tmp_path / "build/compile_commands.json")
    assert project.stale() == ()
    pool = CompilePool(tmp_path / "w", 2)
    # gcc's depfiles are silent about what is in a precompiled header, clang's are not
    hidden = project.missing_dependencies()
    assert [os.path.basename(unit.source) for unit in hidden] == (["four.cpp"] if compiler == "gcc" else [])
    for unit, text in zip(hidden, pool.all_dependencies(hidden), strict=True):
        project.update_dependencies(unit.key, text)
    assert sources(project, tmp_path / "sub/inner.h") == ["four.cpp", "main.cpp"]

    # the user's objects, byte for byte; and never a stale precompiled header
    for compiled in pool.compile(list(project.units.values())):
        assert compiled.ok, compiled.diagnostics
        assert compiled.object == Path(compiled.unit.object).read_bytes()
    (four,) = (unit for unit in project.units.values() if unit.source.endswith("four.cpp"))
    write(tmp_path, {"sub/inner.h": "inline int hdr() { return 4; }\n"})
    (compiled,) = pool.compile([four])
    assert compiled.ok, compiled.diagnostics
    assert compiled.object != Path(four.object).read_bytes()


def test_three_thousand_units_with_long_depfiles(tmp_path: Path) -> None:
    """Not a benchmark: no time is asserted; it shows that nothing is quadratic and that all inputs are found."""
    headers = [f"h{number}.h" for number in range(100)]
    write(tmp_path, {f"s/{number}.c": "" for number in range(3000)})
    write(tmp_path, {f"s/{number}.o.d": f"x: s/{number}.c " + " \\\n ".join(headers) for number in range(3000)})
    database(tmp_path, *(entry(f"s/{number}.c", "-DX=1 -Iinc") for number in range(3000)))
    project = opened(tmp_path)
    assert len(project.units_of(str(tmp_path / "h7.h"))) == 3000
    assert len(project.inputs()) == 3101
