"""Macros at a place, and those that some words need."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relive.source.unit import UnitText
from tests.source_texts import COMPILERS, compile_text, component, parse, preprocess


def closure(unit: UnitText, words: str, name: str) -> list[str]:
    """Lines of the closure of `words` before the function `name`."""
    text, _ = unit.macro_closure(words.encode().split(), int(unit.components["start"][component(unit, name)]))
    return text.decode().splitlines()


def test_what_lives_changes_along_the_text() -> None:
    unit = parse("#define A 1\nint f() {}\n#undef A\nint g() {}\n#define A 2\n#define B\nint h() {}\n")
    starts = {name: int(unit.components["start"][component(unit, name)]) for name in "fgh"}
    assert dict(unit.macros_at(0)) == {}
    assert dict(unit.macros_at(starts["f"])) == {b"A": b"#define A 1"}
    assert dict(unit.macros_at(starts["g"])) == {}
    assert dict(unit.macros_at(starts["h"])) == {b"A": b"#define A 2", b"B": b"#define B"}
    assert len(unit.macros_at(starts["h"])) == 2
    assert b"C" not in unit.macros_at(starts["h"])


def test_a_closure_is_transitive_and_in_order() -> None:
    unit = parse("#define B C\n#define A(x) B + x\n#define C 3\n#define D A(1)\nint f() {}\n")
    assert closure(unit, "A y", "f") == ["#define B C", "#define A(x) B + x", "#define C 3"]
    assert closure(unit, "y", "f") == []
    _, words = unit.macro_closure([b"A", b"y"], len(unit.data))
    assert words == {b"A", b"y", b"B", b"x", b"C"}


def test_a_macro_of_itself_ends() -> None:
    unit = parse("#define A B\n#define B A\nint f() {}\n")
    assert closure(unit, "A", "f") == ["#define A B", "#define B A"]


@pytest.mark.parametrize(
    ("defines", "words", "needed"),
    [
        ("#define CAT(a, b) a##b\n#define ONETWO 12\n#define ONETHREE 13\n", "CAT ONE TWO", "ONETWO"),
        ("#define LOG(l) LOG_##l\n#define LOG_INFO 1\n#define LOG_WARN 2\n", "LOG INFO", "LOG_INFO"),
        ("#define NTH(n) item##n\n#define item3 1\n#define item4 1\n", "NTH 3", "item3"),
        ("#define CAT3(a, b, c) a##b##c\n#define XYZ 1\n#define XYW 1\n", "CAT3 X Y Z", "XYZ"),
        ("#define IN(a) a##_2\n#define OUT IN(V)\n#define V_2 9\n#define W_2 9\n", "OUT", "V_2"),
    ],
)
def test_pasted_names(defines: str, words: str, needed: str) -> None:
    unit = parse(defines + "int f() {}\n")
    found = [line.split("(")[0].split()[1] for line in closure(unit, words, "f")]
    assert needed in found
    others = {line.split("(")[0].split()[1] for line in defines.splitlines()} - {*words.split(), needed, "IN"}
    assert not others & set(found)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_compilers_own_macros_and_those_of_the_command_are_left_out(compiler: str) -> None:
    text = "#define MINE 1\n#undef linux\n#undef GIVEN\nint f() { return 1; }\n#define __linux__ 7\nint g() {}\n"
    unit = preprocess(compiler, text, "-DGIVEN=1", "-DOTHER=2", "-std=gnu++17")
    start = int(unit.components["start"][component(unit, "f")])
    assert {name: line for name, line in unit.macros_at(start).items() if not name.startswith(b"_")} == {
        b"MINE": b"#define MINE 1",
        b"linux": b"#undef linux",
        b"GIVEN": b"#undef GIVEN",
    }
    assert closure(unit, "OTHER GIVEN __GNUC__", "f") == ["#undef GIVEN"]
    assert closure(unit, "__linux__", "g") == ["#undef __linux__", "#define __linux__ 7"]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_raw_text_behind_its_closure_compiles_like_the_unit(compiler: str) -> None:
    raw = b'int f(void) { fprintf(stderr, "%d", errno); assert(INT_MAX > PAGE(3)); return EOF; }\n'
    text = (
        "#include <assert.h>\n#include <errno.h>\n#include <limits.h>\n#include <stdio.h>\n"
        "#define PAGE(n) (PAGE_##n * (1 << BITS))\n#define PAGE_3 3\n#define BITS 4\n" + raw.decode()
    )
    unit = preprocess(compiler, text, c=True)
    start = int(unit.components["start"][component(unit, "f")])
    words = [b"f", b"fprintf", b"stderr", b"errno", b"assert", b"INT_MAX", b"PAGE", b"3", b"EOF"]
    macros, seen = unit.macro_closure(words, start)
    assert b"__LINE__" in seen
    assert compile_text(compiler, unit.stripped(0, start) + macros + raw, "-Werror=implicit", c=True) == ""
    assert compile_text(compiler, unit.stripped(0, start) + raw, c=True) != ""


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ABCD"), st.sampled_from(["", "1", "A", "B C", "D##A"]), st.booleans()), max_size=20
    )
)
def test_any_history_is_answered_as_a_table_would(steps: list[tuple[str, str, bool]]) -> None:
    lines, tables, table = [], [], {}
    for name, value, define in steps:
        line = f"#define {name} {value}".rstrip() if define else f"#undef {name}"
        lines.append(line)
        if define:
            table[name.encode()] = line.encode()
        elif table.get(name.encode(), b"").startswith(b"#define"):
            del table[name.encode()]
        elif name.encode() not in {earlier.split()[1].encode() for earlier in lines[:-1]}:
            table[name.encode()] = line.encode()  # nobody defined it: the compiler's own
        tables.append(dict(table))
    text = "\n".join(lines) + "\n"
    unit = parse(text)
    offset = 0
    for line, expected in zip(lines, tables, strict=True):
        offset += len(line) + 1
        assert dict(unit.macros_at(offset)) == expected
