"""Quick builds: the linked file is changed, and behaves like the file that a fresh build makes."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from relive.errors import FormatError, Refusal, StorageError
from relive.host.compiler import CompilePool
from relive.host.project import Project
from relive.session import quickbuild_file
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
    assert built.status == "applied", [f"{r.code} {r.subject}: {r.reason}" for r in built.refusals]
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


def refused(program: Path, cache: Path, work: Path) -> set[str]:
    before = program.read_bytes()
    built = quick(program, cache, work)
    assert built.status == "refused", built
    assert program.read_bytes() == before
    return {refusal.code for refusal in built.refusals}


REFUSALS = {
    "old_function_becomes_constructor": ("int x; void early(void) { x = 4; } int work(int n) { return n + x; }",
        "constructor-list",
        "int x; __attribute__((constructor)) void early(void) { x = 4; } int work(int n) { return n + x; }"),
    "section_array_shrinks": (
        "extern int __start_list[], __stop_list[]; __attribute__((section(\"list\"), used)) static int a = 1;\n"
        "__attribute__((section(\"list\"), used)) static int b = 2; int work(int n) {\n"
        "for (int *p = __start_list; p < __stop_list; p++) n += *p; return n; }", "section-array",
        "extern int __start_list[], __stop_list[]; __attribute__((section(\"list\"), used)) static int a = 1;\n"
        "int work(int n) { for (int *p = __start_list; p < __stop_list; p++) n += *p; return n; }"),
    "first_constructor": ("int work(int n) { return n; }", "constructor-list",
        "static int x; __attribute__((constructor)) static void early(void) { x = 4; }\n"
        "int work(int n) { return n + x; }"),
    "new_thread_local": ("int work(int n) { return n; }", "thread-local-in-file",
        "static __thread int t = 5; int work(int n) { return n + t++; }"),
    "name_of_no_library": ("int work(int n) { return n; }", "undefined-symbol",
        "double cbrt(double); int work(int n) { return (int)cbrt(n); }"),
    "removed_but_used": ("int work(int n) { return n; }", "still-used", "int wark(int n) { return n; }"),
    "defined_twice": ("int work(int n) { return n; }", "defined-twice",
        "int main(void) { return 4; } int work(int n) { return n; }"),
    "takes_over_a_library_function": ("int work(int n) { return n; }", "newly-defined",
        "int printf(const char *f, ...) { return !f; } int work(int n) { return n + 1; }"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_takes_a_linker_is_refused(case: str, tmp_path: Path, shared_cache: Path) -> None:
    before, code, after = REFUSALS[case]
    program = small.build(tmp_path / "p", {"main.c": programs.MAIN, "unit.c": before}, flags=("-g", "-fno-builtin"))
    edit(program, unit__c=after)
    assert code in refused(program, shared_cache, tmp_path / "work")


def test_wrapped_names_are_the_linkers_business(tmp_path: Path, shared_cache: Path) -> None:
    before = "#include <stdlib.h>\nint __wrap_abs(int n) { return n + 1000; } int work(int n) { return n; }"
    flags = ("-g", "-fno-builtin")
    sources = {"main.c": programs.MAIN, "unit.c": before}
    program = small.build(tmp_path / "p", sources, flags=flags, link=("-Wl,--wrap=abs",))
    edit(program, unit__c=before.replace("return n; }", "return abs(n); }"))
    assert refused(program, shared_cache, tmp_path / "work") == {"wrapped-name"}


@pytest.mark.skipif(not shutil.which("ld.gold"), reason="no gold")
def test_folded_functions_are_not_redirected(tmp_path: Path, shared_cache: Path) -> None:
    """--icf: two functions of different units are one piece of code."""
    other = "int twin(int n) { return n * 3 + 7; }"
    main = programs.MAIN.replace("work(argc + i)", "work(argc + i) + twin(i)").replace(
        "int work", "int twin(int);int work"
    )
    sources = {"main.c": main, "unit.c": other.replace("twin", "work"), "other.c": other}
    flags = ("-g", "-O1", "-ffunction-sections")
    program = small.build(tmp_path / "p", sources, flags=flags, link=("-fuse-ld=gold", "-Wl,--icf=all"))
    edit(program, unit__c="int work(int n) { return n * 4 + 7; }")
    assert refused(program, shared_cache, tmp_path / "work") == {"function-folded"}


def test_full_disk_leaves_the_old_program(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = small.build(tmp_path / "p", {"main.c": programs.MAIN, "unit.c": "int work(int n) { return n; }"})
    edit(program, unit__c="int work(int n) { return n + 1; }")
    before = program.read_bytes()

    def full(target: int, content: bytes, at: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(quickbuild_file, "_write", full)
        with pytest.raises(StorageError, match="No space left"):
            quick(program, shared_cache, tmp_path / "work")
    assert program.read_bytes() == before
    assert [p.name for p in program.parent.iterdir() if ".relive-" in p.name and p.is_file()] == []
    assert quick(program, shared_cache, tmp_path / "work").status == "applied"
    assert output(program) == "2\n3\n4\n[0]"


def test_object_that_was_not_linked_is_no_baseline(tmp_path: Path, shared_cache: Path) -> None:
    program = small.build(tmp_path / "p", {"main.c": programs.MAIN, "unit.c": "int work(int n) { return n; }"})
    edit(program, unit__c="int work(int n) { return n + 100; }")
    unit = program.parent / "unit.c.o"
    subprocess.run(
        ["gcc", "-g", "-O0", "-c", str(program.parent.parent / "src" / "unit.c"), "-o", str(unit)], check=True
    )
    edit(program, unit__c="int work(int n) { return n + 200; }")
    assert refused(program, shared_cache, tmp_path / "work") == {"not-what-runs"}


def test_unit_without_object_is_not_overlooked(tmp_path: Path, shared_cache: Path) -> None:
    program = small.build(tmp_path / "p", {"main.c": programs.MAIN, "unit.c": "int work(int n) { return n; }"})
    (program.parent / "unit.c.o").unlink()
    assert quick(program, shared_cache, tmp_path / "work").status == "unchanged"
    edit(program, unit__c="int work(int n) { return n + 1; }")
    assert refused(program, shared_cache, tmp_path / "work") == {"no-baseline"}


def test_many_units_are_a_full_builds_business(tmp_path: Path, shared_cache: Path) -> None:
    names = [f"u{n}.c" for n in range(5)]
    sources = {"main.c": programs.MAIN, "unit.c": "int work(int n) { return n; }"}
    program = small.build(tmp_path / "p", {**sources, **{name: f"int {name[:-2]} = 1;" for name in names}})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("relive.session.quickbuild.UNITS_LIMIT", 3)
        for name in names[:3]:
            edit(program, **{name.replace(".", "__"): f"int {name[:-2]} = 2;"})
            assert quick(program, shared_cache, tmp_path / "work").status == "applied"
        edit(program, u3__c="int u3 = 2;")
        assert refused(program, shared_cache, tmp_path / "work") == {"many-units"}


def test_error_leaves_the_file(tmp_path: Path, shared_cache: Path) -> None:
    program = small.build(tmp_path / "p", {"main.c": programs.MAIN, "unit.c": "int work(int n) { return n; }"})
    before = program.read_bytes()
    edit(program, unit__c="int work(int n) { return m; }")
    built = quick(program, shared_cache, tmp_path / "work")
    assert built.status == "failed"
    assert "m" in built.message
    assert program.read_bytes() == before


def test_running_program_keeps_its_file(tmp_path: Path, shared_cache: Path) -> None:
    main = '#include <stdio.h>\nint work(int); int main(void) { char b[9]; while (fgets(b, 9, stdin)) {\n'\
           'printf("%d\\n", work(1)); fflush(stdout); } return 0; }'  # fmt: skip
    program = small.build(tmp_path / "p", {"main.c": main, "unit.c": "int work(int n) { return n; }"})
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "1\n"
        inode = program.stat().st_ino
        edit(program, unit__c="int work(int n) { return n + 41; }")
        assert quick(program, shared_cache, tmp_path / "work").status == "applied"
        assert program.stat().st_ino != inode
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "1\n"
        process.stdin.close()
    done = subprocess.run([str(program)], input="\n", capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"


def test_program_is_older_than_its_objects(tmp_path: Path, shared_cache: Path) -> None:
    """Whatever happens to the sources: the next ninja or make links it anew."""
    program = small.build(tmp_path / "p", {"main.c": programs.MAIN, "unit.c": "int work(int n) { return n; }"})
    edit(program, unit__c="int work(int n) { return n + 1; }")
    objects = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in program.parent.glob("*.o")}
    assert quick(program, shared_cache, tmp_path / "work").status == "applied"
    assert program.stat().st_mtime_ns < objects[program.parent / "unit.c.o"][1]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in objects} == objects


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_shared_library(compiler: str, tmp_path: Path, shared_cache: Path) -> None:
    versions = [
        "#include <stdio.h>\nstatic int calls = 1; int tuned = 5; static const char *const names[] = {\"a\", \"b\"};\n"
        "int twice(int n) { return n * 2; }\n"
        "int work(int n) { puts(names[0]); return twice(n) + calls++ + tuned + names[n & 1][0]; }",
        "#include <string.h>\n#include <stdlib.h>\nstatic int calls = 100, more; int tuned = 7;\n"
        "static const char *const names[] = {\"x\", \"yz\"}; static int by(const void *a, const void *b) {\n"
        " return *(const int *)a - *(const int *)b; }\nint twice(int n) { return n * 3; }\n"
        "int work(int n) { int v[3] = {n, 2, 1}; qsort(v, 3, sizeof *v, by); more += v[0];\n"
        " return twice(n) + calls++ + tuned + names[n & 1][0] + (int)strlen(names[1]) + more; }",
    ]  # fmt: skip
    outputs = []
    for number in (0, 1):
        sources = {"unit.c": versions[0 if number == 0 else 1]}
        root = tmp_path / f"v{number}"
        library = small.build(root, sources, compiler=compiler, flags=("-g", "-O0", "-fPIC"), link=("-shared",))
        # A program that has a `twice` of its own: it comes before the library's.
        (root / "main.c").write_text(programs.MAIN + "int twice(int n) { return n * 1000; }")
        main = root / "build" / "main"
        subprocess.run(["gcc", "-rdynamic", "-o", str(main), str(root / "main.c"), str(library)], check=True)
        if number == 0:
            edit(library, unit__c=versions[1])
            built = quick(library, shared_cache, tmp_path / "work")
            assert built.status == "applied", [f"{r.code} {r.subject}: {r.reason}" for r in built.refusals]
        outputs.append(output(main))
    assert outputs[0] == outputs[1]
    done = subprocess.run(["readelf", "-aW", str(library)], capture_output=True, text=True, check=True)
    assert not done.stderr


def test_debugger_knows_new_and_old_code(tmp_path: Path, shared_cache: Path) -> None:
    before = "static int twice(int n) {\n    return n * 2;\n}\n\nint work(int n) {\n    return twice(n);\n}\n"
    after = "static int extra = 4;\n\n\n" + before.replace("twice(n);", "twice(n) + extra;")
    program = small.build(tmp_path / "p", {"main.c": programs.MAIN, "unit.c": before})
    edit(program, unit__c=after)
    assert quick(program, shared_cache, tmp_path / "work").status == "applied"
    commands = [
        "break unit.c:9",
        "break work",
        "run",
        "bt",
        "next",
        "continue",
        "break unit.c:5",
        "continue",
        "bt",
        "p extra",
    ]
    words = ["gdb", "-q", "-batch", "-nx", *(word for one in commands for word in ("-ex", one)), str(program)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    text = done.stdout
    assert "Breakpoint 1 at" in text
    assert "unit.c, line 9." in text
    assert "work (n=1) at ../src/unit.c:9" in text
    assert "twice (n=2) at ../src/unit.c:5" in text
    assert "in work (n=2) at ../src/unit.c:9" in text
    assert "$1 = 4" in text
    assert "(2 locations)" not in text


@pytest.mark.parametrize("link", [("-shared",), ("-rdynamic",)])
def test_new_exported_name_takes_a_linker(link: tuple[str, ...], tmp_path: Path, shared_cache: Path) -> None:
    before = '#include <stdio.h>\nint work(int n) { puts("w"); return n; }'
    flags = ("-g", "-O0", "-fPIC")
    program = small.build(tmp_path / "p", {"main.c": programs.MAIN, "unit.c": before}, flags=flags, link=link)
    edit(program, unit__c=before + "\nint fresh(int n) { return n; }")
    assert refused(program, shared_cache, tmp_path / "work") == {"new-export"}
    hidden = '\n__attribute__((visibility("hidden"))) int fresh(int n) { return n; }'
    edit(program, unit__c=before + hidden)
    assert quick(program, shared_cache, tmp_path / "work").status == "applied"
