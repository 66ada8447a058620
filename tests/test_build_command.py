"""Reading and rewriting compile commands."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relive.build.command import (
    compiler_index,
    explicit_output,
    forced_includes,
    include_directories,
    read_traits,
    rewrite,
    rewrite_for_dependencies,
)
from relive.errors import BuildError


def bent(command: str, file: str = "/p/a.c", **more: object) -> str:
    words = rewrite(shlex.split(command), "/p", file, output="/w/o", depfile="/w/d", **more)  # type: ignore[arg-type]
    assert words[-6:] == ("-c", "-MD", "-MF", "/w/d", "-o", "/w/o") or "--" in words
    return shlex.join(words[:-6] if "--" not in words else words)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("gcc -c a.c", "gcc a.c"),
        ("gcc -O2 -c -o x.o a.c -Wall", "gcc -O2 a.c -Wall"),
        ("gcc -ox.o a.c --output=y.o --output z.o -c", "gcc a.c"),
        ("gcc -MD -MMD -MP -MT x -MQ y -MF d -MTx -MFd -MG -c a.c", "gcc a.c"),
        ("clang -MJ frag.json -c a.c --serialize-diagnostics a.dia", "clang a.c"),
        ("gcc -Wp,-MMD,.a.d,-DX -Wp,-MD,x -c a.c", "gcc -Wp,-DX a.c"),
        ("gcc -Wa,-adhln=a.lst,--noexecstack -c a.c", "gcc -Wa,--noexecstack a.c"),
        ("gcc -save-temps=obj -save-temps -c a.c -pipe -Werror", "gcc a.c -pipe -Werror"),
        ("gcc -I o -D -o -include x.h -c a.c", "gcc -I o -D -o -include x.h a.c"),
        ("gcc -Xclang -o -c a.c", "gcc -Xclang -o a.c"),
        ("gcc -fdiagnostics-color=always -fdebug-prefix-map=/p=. -c a.c", None),
        ("gcc -gsplit-dwarf -g -c a.c", "gcc -gsplit-dwarf -g a.c -gno-split-dwarf"),
        ("gcc -Winvalid-pch -Werror -c a.c", "gcc -Winvalid-pch -Werror a.c -Wno-invalid-pch"),
        ("gcc a.c b.c lib.a x.o -lm -o prog", "gcc a.c -lm"),
        ("gcc -c /p/./x/../a.c", "gcc /p/./x/../a.c"),
        ("gcc -c link/a.c", "gcc link/a.c"),
        ("gcc -x c -c", "gcc -x c /p/a.c"),
        ("ccache gcc -c a.c -o a.o", "ccache gcc a.c"),
        ("env A=1 ccache gcc -c a.c", "env A=1 ccache gcc a.c"),
        ("cmake -E __run_co_compile --tidy=x --source=a.c -- gcc -c a.c", "gcc a.c"),
    ],
)
def test_rewriting(command: str, expected: str | None) -> None:
    expected = expected if expected is not None else command.replace(" -c", "")
    assert bent(command) == expected


def test_extra_flags_come_after_the_users() -> None:
    assert bent("gcc -O3 -fno-x -c a.c", extra=("-fx", "-O0")) == "gcc -O3 -fno-x a.c -fx -O0"


def test_options_stay_before_two_dashes() -> None:
    assert bent("clang -c -o a.o -- a.c") == "clang -c -MD -MF /w/d -o /w/o -- a.c"


def test_pure_assembly_gets_no_flags_that_clang_would_complain_of() -> None:
    words = rewrite(["clang", "-Werror", "-c", "a.s"], "/p", "/p/a.s", output="/w/o", depfile="/w/d", extra=("-fx",))
    assert words == ("clang", "-Werror", "a.s", "-c", "-o", "/w/o")


def test_forced_headers_are_replaced_by_name() -> None:
    assert bent("gcc -include x.h -include y.h -c a.c", forced={"x.h": "/w/f.h"}) == (
        "gcc -include /w/f.h -include y.h a.c"
    )


def test_cmakes_precompiled_header_for_clang_becomes_the_plain_one() -> None:
    command = "clang++ -Xclang -include-pch -Xclang p.hxx.pch -Xclang -include -Xclang p.hxx -c a.c"
    assert bent(command) == "clang++ -Xclang -include -Xclang p.hxx a.c"


def test_dependencies_without_compiling() -> None:
    words = rewrite_for_dependencies(shlex.split("gcc -MMD -O2 -c a.c -o a.o"), "/p", "/p/a.c", depfile="/w/d")
    assert words == ("gcc", "-O2", "a.c", "-w", "-M", "-MF", "/w/d")


@pytest.mark.parametrize(
    ("command", "index"),
    [
        ("gcc -c a.c", 0),
        ("/usr/lib/ccache/g++-12 -c a.c", 0),
        ("ccache gcc -c a.c", 1),
        ("/usr/bin/ccache base_dir=/x max_size=1 gcc -c a.c", 3),
        ("ccache distcc x86_64-linux-gnu-gcc-12 -c a.c", 2),
        ("sccache icecc clang++ a.c", 2),
        ("env -i -u B A=1 C=2 gcc -c a.c", 6),
        ("env -- gcc a.c", 2),
        ("nice -n 10 cc a.c", 3),
        ("taskset 0x3 cc a.c", 2),
        ("cmake -E env A=1 c++ a.c", 4),
        ("cmake -E time c++ a.c", 3),
        ("cmake -E __run_co_compile --launcher=ccache --tidy=x --source=a.c -- c++ a.c", 7),
        ("/opt/wrapper clang a.c", 1),
        ("my-own-compiler -c a.c", 0),
        ("ccache", 0),
    ],
)
def test_launchers(command: str, index: int) -> None:
    assert compiler_index(command.split()) == index


@pytest.mark.parametrize(
    "command",
    ["/bin/sh ./libtool --tag=CC --mode=compile gcc -c a.c", "libtool --mode=compile gcc a.c", "glibtool x gcc"],
)
def test_libtool_is_refused_with_a_way_out(command: str) -> None:
    with pytest.raises(BuildError, match="libtool") as caught:
        compiler_index(command.split())
    assert "bear" in caught.value.hint


@pytest.mark.parametrize(
    ("flags", "optimised"),
    [
        ("", False),
        ("-O0", False),
        ("-O", True),
        ("-O2 -O0", False),
        ("-O3 -O0 -Og", True),
        ("-Os", True),
        ("-Ofast", True),
    ],
)
def test_the_last_optimisation_level_counts(flags: str, optimised: bool) -> None:
    assert read_traits(f"gcc {flags} -c a.c".split(), "/p", "/p/a.c").optimised is optimised


@pytest.mark.parametrize(
    ("flags", "debug"),
    [
        ("", False),
        ("-g", True),
        ("-g3 -g0", False),
        ("-g0 -ggdb3", True),
        ("-g -ggdb0", False),
        ("-gdwarf-5", True),
        ("-gline-tables-only", True),
        ("-gno-column-info -gz=zlib -gsplit-dwarf -gstrict-dwarf", False),
        ("-g -gno-column-info", True),
    ],
)
def test_debug_information(flags: str, debug: bool) -> None:
    assert read_traits(f"gcc {flags} -c a.c".split(), "/p", "/p/a.c").debug is debug


@pytest.mark.parametrize(
    ("flags", "lto"),
    [
        ("", False),
        ("-flto", True),
        ("-flto=thin", True),
        ("-flto=auto -fno-lto", False),
        ("-fno-lto -flto", True),
        ("-flto-partition=none -ffat-lto-objects", False),
        ("-emit-llvm", True),
    ],
)
def test_link_time_optimisation(flags: str, lto: bool) -> None:
    assert read_traits(f"gcc {flags} -c a.c".split(), "/p", "/p/a.c").lto is lto


@pytest.mark.parametrize(
    ("command", "file", "language"),
    [
        ("gcc -c a.c", "a.c", "c"),
        ("g++ -c a.c", "a.c", "c++"),
        ("x86_64-linux-gnu-g++-12 -c a.c", "a.c", "c++"),
        ("gcc -c a.C", "a.C", "c++"),
        ("gcc -c a.cc", "a.cc", "c++"),
        ("gcc -x c++ -c a.c", "a.c", "c++"),
        ("gcc -xc++ a.inc -c", "a.inc", "c++"),
        ("g++ -x c a.c -x none -c", "a.c", "c"),
        ("gcc -c a.S", "a.S", "other"),
        ("gcc -x assembler-with-cpp -c a.c", "a.c", "other"),
        ("clang -c a.m", "a.m", "other"),
    ],
)
def test_languages(command: str, file: str, language: str) -> None:
    traits = read_traits(command.split(), "/p", f"/p/{file}")
    assert (traits.language, traits.not_a_compilation) == (language, "")


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("gcc -E a.c -o a.i", "a.c"),
        ("gcc -S a.c", "a.c"),
        ("gcc -M a.c", "a.c"),
        ("gcc -fsyntax-only a.c", "a.c"),
        ("g++ -x c++-header -c p.hxx", "p.hxx"),
        ("g++ p.hpp", "p.hpp"),
        ("nasm -f elf64 a.asm -o a.o", "a.asm"),
        ("nvcc -c a.cu", "a.cu"),
        ("gcc -c a.txt", "a.txt"),
    ],
)
def test_what_makes_no_object_is_no_unit(command: str, file: str) -> None:
    assert read_traits(command.split(), "/p", f"/p/{file}").not_a_compilation


@pytest.mark.parametrize("command", ["gcc -MMD -MF x.d -c a.c", "gcc -MFx.d -c a.c", "gcc -Wp,-MMD,x.d -c a.c"])
def test_the_commands_own_depfile(command: str) -> None:
    assert read_traits(command.split(), "/p", "/p/a.c").depfile == "x.d"


def test_include_directories_in_order() -> None:
    words = shlex.split("gcc -I inc -I/abs -iquote q -isystem sys -idirafter late -I../up -D -I -c a.c")
    assert include_directories(words, "/p/b") == ("/p/b/inc", "/abs", "/p/b/q", "/p/b/sys", "/p/b/late", "/p/up")


def test_forced_includes() -> None:
    words = shlex.split("gcc -include a.h --include=b.h -imacros c.h x.c")
    assert forced_includes(words) == ("a.h", "b.h")


TELLING = "-c -o -x -MF -MD -I -D -include -Xclang -- a.c b.c x.o -O2 -g -flto @r -Wp,-MD,x - -gsplit-dwarf"
WORDS = st.lists(st.sampled_from(shlex.split(TELLING)) | st.text(max_size=5), max_size=12)


@given(st.sampled_from(["gcc", "ccache", "env", "nice", "cmake", "weird"]), WORDS)
def test_any_words_are_bent_into_one_compilation(first: str, rest: list[str]) -> None:
    words = [first, *rest]
    explicit_output(words)
    read_traits(words, "/p", "/p/a.c")
    result = rewrite(words, "/p", "/p/a.c", output="/w/o", depfile="/w/d", extra=("-extra",))
    assert result.index("-extra") < result.index("/w/o")
    assert result[0] == first or "__run_co_compile" in words
    assert result.count("/w/o") == result.count("/w/d") == 1
