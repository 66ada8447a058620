"""Commands for parts of a unit: nothing of the user's build is lost but what would be said or written twice."""

from __future__ import annotations

import pytest

from relive.build.parts import (
    extract_command,
    is_pic,
    preprocess_command,
    skeleton_command,
    skeleton_suffix,
    turns_warnings_into_errors,
)

GCC = (
    "ccache",
    "g++",
    "-std=c++17",
    "-DN=1",
    "-Iinc",
    "-include",
    "all.h",
    "-O0",
    "-g",
    "-Werror",
    "-c",
    "a.cpp",
    "-o",
    "a.o",
)
CLANG = (
    "clang++",
    "-Xclang",
    "-include-pch",
    "-Xclang",
    "x.pch",
    "-Xclang",
    "-include",
    "-Xclang",
    "x.h",
    "-c",
    "a.cpp",
)


def _extract(arguments: tuple[str, ...], skeleton: str | None) -> tuple[str, ...]:
    return extract_command(
        arguments,
        "/b",
        "/b/a.cpp",
        "c++",
        text="/w/t",
        output="/w/t.o",
        skeleton=skeleton,
        extra=("-ffunction-sections",),
    )


def test_preprocessing_keeps_macros_and_forced_includes() -> None:
    command = preprocess_command(GCC, "/b", "/b/a.cpp", output="/w/a.i", depfile="/w/a.d", forced={"all.h": "/w/all.h"})
    assert command[:2] == ("ccache", "g++")
    assert {"-E", "-dD", "a.cpp", "/w/all.h", "/w/a.i"} <= set(command)
    assert "-c" not in command
    assert "a.o" not in command


def test_a_skeleton_is_a_header() -> None:
    command = skeleton_command(GCC, "/b", "/b/a.cpp", "c++", text="/w/s.h", output="/w/s.h.gch")
    assert command[-3:] == ("-x", "c++-header", "/w/s.h")
    assert "-include" not in command
    assert "all.h" not in command
    assert "a.cpp" not in command
    assert "-DN=1" in command
    assert "-std=c++17" in command


def test_an_extract_stands_behind_its_skeleton() -> None:
    command = _extract(GCC, "/w/s.h")
    assert command[command.index("-include") + 1] == "/w/s.h"
    assert command.count("-include") == 1
    assert command[-3:] == ("-x", "c++", "/w/t")
    assert "-Werror" not in command
    assert "-Wno-error" in command
    assert "-w" not in command
    assert command[command.index("-iquote") + 1] == "/b"
    assert "-include" not in _extract(GCC, None)


def test_precompiled_headers_of_the_build_are_left_out() -> None:
    command = _extract(CLANG, "/w/s.h")
    assert command[command.index("-include-pch") + 1] == "/w/s.h.pch"
    assert "x.pch" not in command
    assert "x.h" not in command
    assert "-Xclang" not in command
    assert (skeleton_suffix(CLANG), skeleton_suffix(GCC)) == (".pch", ".gch")


@pytest.mark.parametrize(
    ("words", "pic"),
    [(("-fPIC",), True), (("-fPIC", "-fPIE"), False), ((), False), (("-fno-pic", "-fpic"), True), (("-fpie",), False)],
)
def test_code_of_a_library(words: tuple[str, ...], pic: bool) -> None:
    assert is_pic(("gcc", *words)) is pic


def test_warnings_as_errors() -> None:
    assert turns_warnings_into_errors(("gcc", "-Werror=unused"))
    assert turns_warnings_into_errors(("gcc", "-pedantic-errors"))
    assert not turns_warnings_into_errors(("gcc", "-Wall"))
