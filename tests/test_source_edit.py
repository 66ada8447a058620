"""Which bodies differ between two versions of a file, and what is a doubt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relive.source.edit import BodyEdit, Doubt, find_edits, makes_types
from relive.source.unit import UnitText
from tests.source_texts import COMPILERS, compile_text, parse, preprocess

PLAIN = """#include <stdio.h>
#define TWICE(x) ((x) * 2)
#define BEGIN {
#define LONG(a) \\
    ((a) + 1)

/* about f */
int f(int a)
{
    // says a
    int b = TWICE(a);
    if (b) {
        puts("{");
    }
    return b;
}

static int table[] = {
    1, /* one */
    2,
};

int g(int a) { return a; }

int h(
    int a,
    int b)
{
#ifdef NOTHING
    if (a) {
#else
    if (b) {
#endif
        return LONG(a);
    }
#define LOCAL 3
    return LOCAL;
}

int macro(int a) BEGIN
    return a;
}

struct S {
    S(int a);
    int inside() {
        return 1;
    }
    int x, y;
};
S::S(int a)
    : x{a},
      y(2)
{
    x++;
}
template<class T>
T t(T a) {
    return a;
}
constexpr int c(int a) {
    return a + 1;
}
auto au() {
    return 1;
}
int last() {
    return __LINE__;
}
"""
C_PART = PLAIN[: PLAIN.index("int macro")]


def unit_of(text: str, *, c: bool = False) -> UnitText:
    return preprocess(COMPILERS[0], text, c=c)


@pytest.fixture(scope="module")
def unit() -> UnitText:
    return unit_of(PLAIN)


def edit(unit: UnitText, old: str, new: str, text: str = PLAIN) -> tuple[BodyEdit, ...] | Doubt:
    assert old in text
    return find_edits(unit, "unit.cpp", text.encode(), text.replace(old, new, 1).encode())


def names(unit: UnitText, found: tuple[BodyEdit, ...] | Doubt) -> list[str] | str:
    return found.code if isinstance(found, Doubt) else [unit.name(e.component).decode() for e in found]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("return b;", "return b + 1;", ["f"]),
        ("    return b;", "    int c = 1;\n    return b + c;\n", ["f"]),
        ("    if (b) {\n        puts(\"{\");\n    }\n", "", ["f"]),
        ("return b;\n}", "return b; }", []),
        ("return b;\n}", "return b + 1; }", ["f"]),
        ("{\n    // says a", "{ puts(\"x\");\n    // says a", ["f"]),
        ("{ return a; }", "{ return a + 1; }", ["g"]),
        ("{ return a; }", "{\n    return a + 1;\n}", ["g"]),
        ("LONG(a);", "LONG(b);", ["h"]),
        ("    return LOCAL;", "    return LOCAL + 1;", ["h"]),
        ("x{a}", "x{a + 1}", ["S"]),
        ("    x++;", "    x--;", ["S"]),
        ("    y(2)", "    y(2 + 1)", ["S"]),
        # nothing for the compiler
        ("// says a", "// says b", []),
        ("/* about f */", "/* about f,\n   and more */", []),
        ("/* one */", "// one", []),
        ("int table[] =", "int  table[]  =", []),
        ("    return b;", "\n\n    return b;", []),
        ("return LONG(a);", "return   LONG( a );", []),
        ("\n\n/* about", "\n/* about", []),
        # __LINE__ is another one
        ("int last() {", "int last() { // says\n", ["last"]),
        # doubts
        ("int f(int a)", "int f(long a)", "signature"),
        ("int g(int a) {", "int g(int a, int b) {", "signature"),
        ("x{a},", "x{a}, // {", []),
        ("    1, /* one */", "    7,", "outside-function"),
        ("/* about f */", "int extra;", "outside-function"),
        ("/* about f */", "", []),
        ("/* about f */", "/* about f", "unreadable"),
        ("((x) * 2)", "((x) * 3)", "outside-function"),
        ("((a) + 1)\n", "((a) + 1) \\\n", []),  # an empty line follows
        ("\n/* about f */", "\n/* about f */ #define X", "outside-function"),
        ("\n\n/* about", " \\\n/* about", []),
        ("/* about f */\n", "", []),
        ("int g(int a) {", "int extra(int a) { return a; }\nint g(int a) {", "outside-function"),
        ("int g(int a) { return a; }", "", "signature"),
        ("static int table", "extern int table[2];\nstatic int table", "outside-function"),
        ("};\n\nint g", "};\n#define X\n\nint g", "outside-function"),
        ("#define LOCAL 3", "#define LOCAL 4", "directive"),
        ("#ifdef NOTHING", "#if 0\n#else", "unbalanced"),
        ("return b;\n}", "return b;\n}\nint extra() { return 1; }", "outside-function"),
        ("    return b;", "    return b;\n}\nint extra() {\n    return 1;", "outside-function"),
        ("        puts(\"{\");", "        puts(\"{\"); }", "unbalanced"),
        ("    return b;", "#include \"x.h\"\n    return b;", "directive"),
        ("    return a;\n}\n\nstruct", "    return a + 1;\n}\n\nstruct", "macro-braces"),
        ("int x, y;", "int x, y, z;", "outside-function"),
        ("return a;\n}\nconstexpr", "return a + a;\n}\nconstexpr", "template"),
        ("return a + 1;\n}\nauto", "return a + 2;\n}\nauto", "constexpr"),
        ("return 1;\n}\nint last", "return 2;\n}\nint last", "auto-return"),
        ("        return 1;", "        return 2;", ["inside"]),
    ],
)  # fmt: skip
def test_edit(unit: UnitText, old: str, new: str, expected: list[str] | str) -> None:
    assert names(unit, edit(unit, old, new)) == expected


def test_an_edit_says_where_it_is(unit: UnitText) -> None:
    found = edit(unit, "    return b;", "    return b +\n        1;")
    assert isinstance(found, tuple)
    (one,) = found
    lines = PLAIN.split("\n")
    assert (one.line, one.old_line, one.old_last) == (8, 8, 16)
    assert (lines[one.old_line - 1], lines[one.old_last - 1]) == ("int f(int a)", "}")
    assert one.text.startswith(b"int f(int a)\n{")
    assert one.text.endswith(b"    return b +\n        1;\n}\n")
    assert one.words >= {b"TWICE", b"puts", b"1", b"return"}
    assert b"says" not in one.words


def test_two_edits_and_moved_lines(unit: UnitText) -> None:
    new = PLAIN.replace("/* about f */", "/* about\n f */").replace("return b;", "\n return b + 1;")
    new = new.replace("{ return a; }", "{ return a * 2; }").replace("    1, /* one */", "    1,")
    found = find_edits(unit, "unit.cpp", PLAIN.encode(), new.encode())
    assert names(unit, found) == ["f", "g"]
    assert isinstance(found, tuple)
    for one in found:
        assert new.encode().split(b"\n")[one.line - 1] + b"\n" == one.text.split(b"\n")[0] + b"\n"
        assert one.text in new.encode()


def test_the_same_text_and_a_file_of_another_unit(unit: UnitText) -> None:
    assert find_edits(unit, "unit.cpp", PLAIN.encode(), PLAIN.encode()) == ()
    assert names(unit, find_edits(unit, "other.h", b"a", b"b")) == "not-in-unit"


def test_functions_that_share_a_line() -> None:
    text = "int f() { return 1; } int g() { return 2; }\nint h() {\n    return 3;\n} int x;\n"
    unit = unit_of(text)
    assert names(unit, edit(unit, "return 1", "return 4", text)) == "outside-function"
    assert names(unit, edit(unit, "return 3", "return 4", text)) == "outside-function"


def test_raw_strings_and_continued_lines() -> None:
    text = 'const char *s = R"(\n\n// text\n)";\n'
    text += 'int f() {\n    const char *t = R"(\n    }\n)";\n    return *t + \\\n 1;\n}\n'
    unit = unit_of(text)
    assert names(unit, edit(unit, "// text", "// texts", text)) == "outside-function"
    assert names(unit, edit(unit, "\n\n//", "\n//", text)) == "outside-function"
    assert names(unit, edit(unit, "    }\n)", "   }\n)", text)) == ["f"]
    assert names(unit, edit(unit, "\\\n 1", "\\\n 2", text)) == ["f"]
    assert names(unit, edit(unit, "+ \\\n 1", "+ 1", text)) == []


def test_code_that_the_preprocessor_left_out() -> None:
    text = "#if 0\nint f() {\n    return 1;\n}\n#endif\nint g() {\n    return 1;\n}\n"
    unit = unit_of(text)
    assert names(unit, edit(unit, "return 1", "return 2", text)) == "outside-function"
    assert names(unit, edit(unit, "\nint f() {\n    return 1;\n}", "// gone", text)) == "outside-function"


def test_a_header_with_the_function() -> None:
    header, other = "int f() {\n    return 1;\n}\n", '# 1 "a.h" 1\nint f() {\n    return 1;\n}\n# 2 "unit.cpp" 2\n'
    unit = parse('# 1 "unit.cpp"\n' + other)
    found = find_edits(unit, "a.h", header.encode(), header.replace("1", "2").encode())
    assert names(unit, found) == ["f"]


LINES = C_PART.split("\n")


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, len(LINES) - 1),
    st.integers(0, 3),
    st.lists(
        st.sampled_from(
            ["", "    return 1;", "}", "{", "int z;", "// x", "/*", "*/", "int z(void) {", "#if 1", "#endif"]
        ),
        max_size=3,
    ),
)
def test_whatever_is_edited_an_answer_is_true(at: int, gone: int, lines: list[str]) -> None:
    """Oracle: the compiler. Where () or edits are the answer, the old unit with the new bodies put in its place must
    be the new unit, as far as the compiler takes the new file at all."""
    unit = _c_unit()
    new = "\n".join([*LINES[:at], *lines, *LINES[at + gone :]])
    found = find_edits(unit, "unit.c", C_PART.encode(), new.encode())
    if isinstance(found, Doubt) or compile_text(COMPILERS[0], new.encode(), c=True):
        return
    patched = C_PART.split("\n")
    for one in sorted(found, key=lambda edit: -edit.old_line):
        patched[one.old_line - 1 : one.old_last] = one.text.decode().removesuffix("\n").split("\n")
    assert _tokens("\n".join(patched)) == _tokens(new)


_UNITS: list[UnitText] = []


def _c_unit() -> UnitText:
    if not _UNITS:
        _UNITS.append(unit_of(C_PART, c=True))
    return _UNITS[0]


def _tokens(text: str) -> bytes:
    """What the compiler sees of the file itself."""
    unit = unit_of(text, c=True)
    file = unit.files.index("unit.c")
    rows = unit.components
    return b"\n".join(b" ".join(unit.text(i).split()) for i in range(len(rows)) if rows["file"][i] == file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int f() { return a[1] + b()[2]; }", False),
        ("int f() { int a[3] = {}; delete[] p; return x[0][1]; }", False),
        ("int f() { sort(a, [](int b) { return b; }); }", True),
        ("int f() { auto g = [&] { return 1; }; }", True),
        ("int f() { return [=] { return 1; }(); }", True),
        ("int f() { struct L { int a; }; }", True),
        ("struct S *f(struct T *t) { return t; }", False),
        ('int f() { " }', True),
    ],
)
def test_types_of_its_own(text: str, expected: bool) -> None:
    assert makes_types(text.encode()) == expected
