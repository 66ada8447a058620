"""What is read of components: names, hashes, what they use and declare. From real preprocessed text."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from relive.host.native import scanner_library
from relive.session.paths import cache_dir
from relive.source.forms import AMBIENT, ATTACHED, MACRO, Form, name_hash, scope_hash
from relive.source.library import Scanner
from relive.source.model import Kind
from relive.source.vertices import UnitForms, read_unit
from relive.source.words import condition_words, read_words, tokens


def read(folder: Path, main: str, **files: str) -> UnitForms:
    """The forms of a unit. Files are named by what Python allows: ``a_h`` is a.h."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    compiler = "gcc" if main.endswith(".c") else "g++"
    done = subprocess.run([compiler, "-std=gnu++20" if compiler == "g++" else "-std=gnu17", "-E", "-dD", main],
                          cwd=folder, check=True, capture_output=True)  # fmt: skip
    unit = Scanner(scanner_library(cache_dir())).parse(done.stdout, main)

    def ours(name: str) -> str | None:
        return str(folder / name) if (folder / name).is_file() else None

    return read_unit(unit, ours=ours, raw=lambda path: Path(path).read_bytes(), stamp=lambda path: b"")


def cxx(folder: Path, text: str) -> Form:
    (form,) = read(folder, "a.cpp", a_cpp=text).forms
    return form


def row(form: Form, name: str, kind: int | None = None) -> int:
    (found,) = (i for i, n in enumerate(form.names) if n == name and kind in (None, int(form.table["kind"][i])))
    return found


def has(form: Form, field: str, name: str, word: str) -> bool:
    return name_hash(word.encode()) in getattr(form, field)[row(form, name)].tolist()


def hashes(form: Form, name: str) -> tuple[int, int]:
    at = form.table[row(form, name)]
    return int(at["content"]), int(at["interface"])


FUNCTION = "struct S { int x; };\nint f(S s, int n = 2) {\n  return s.x + n;\n}\n"


@pytest.mark.parametrize(
    "same",
    [
        FUNCTION.replace("return s.x", "return  /* why */ s.x"),
        FUNCTION.replace("{\n  return", "{\n\n// lines\n  return"),
        "\n\n// moved\n" + FUNCTION,
        FUNCTION.replace("s.x + n", "s.x + N").replace("struct S", "#define N n\nstruct S"),
    ],
)
def test_what_the_compiler_does_not_see_is_no_edit(tmp_path: Path, same: str) -> None:
    assert hashes(cxx(tmp_path, FUNCTION), "f") == hashes(cxx(tmp_path, same), "f")


@pytest.mark.parametrize(
    ("new", "interface"),
    [
        (FUNCTION.replace("+ n", "- n"), False),
        (FUNCTION.replace("+ n", '+ "a  b"[n]'), False),
        (FUNCTION.replace("= 2", "= 3"), True),
        (FUNCTION.replace("int f", "static int f"), True),
        (FUNCTION.replace("int f", "long f"), True),
    ],
)
def test_bodies_and_interfaces_are_told_apart(tmp_path: Path, new: str, interface: bool) -> None:
    content, shown = hashes(cxx(tmp_path, FUNCTION), "f")
    new_content, new_shown = hashes(cxx(tmp_path, new), "f")
    assert content != new_content
    assert (shown != new_shown) == interface


def test_white_space_in_strings_counts() -> None:
    assert read_words(tokens(b'f("a b")')).digest != read_words(tokens(b'f("a  b")')).digest
    assert read_words(tokens(b"f( a ,b )")).digest == read_words(tokens(b"f(a, b)")).digest


@pytest.mark.parametrize(
    "text",
    [
        "template <class T> int f(T x) { return BODY; }",
        "constexpr int f(int x) { return BODY; }",
        "auto f(int x) { return BODY; }",
        "const int f = BODY;",
        "int f[] = {BODY};",
        "template <class T> struct f { int g() { return BODY; } };",
        "struct f { constexpr int g() { return BODY; } };",
    ],
)
def test_what_others_may_know_is_interface(tmp_path: Path, text: str) -> None:
    one, two = (cxx(tmp_path, text.replace("BODY", body)) for body in ("1", "2"))
    assert hashes(one, "f")[1] != hashes(two, "f")[1]


@pytest.mark.parametrize("text", ["int f = BODY;", "static long f = BODY;", "struct f { int g() { return BODY; } };"])
def test_what_others_do_not_know_is_not(tmp_path: Path, text: str) -> None:
    one, two = (cxx(tmp_path, text.replace("BODY", body)) for body in ("1", "2"))
    assert hashes(one, "f")[1] == hashes(two, "f")[1]


def test_members_in_a_class_are_vertices_of_their_own(tmp_path: Path) -> None:
    form = cxx(tmp_path, "namespace n { struct C { int a() { return b(); } int b(); struct D { void c() {} }; }; }\n")
    assert form.names == ("n::C", "n::C::a", "n::C::c")
    assert form.table["owner"].tolist() == [-1, 0, 0]
    assert has(form, "members", "n::C", "a")
    assert has(form, "members", "n::C", "b")
    assert has(form, "declares", "n::C", "C")
    assert not has(form, "declares", "n::C", "b")
    assert has(form, "body", "n::C::a", "b")


def test_names_and_scopes(tmp_path: Path) -> None:
    form = cxx(
        tmp_path,
        """
        extern "C" { int in_c(void); }
        namespace a::b { int deep(); namespace { int hidden; } inline namespace v { int versioned; } }
        int a::b::deep() { return 1; }
        enum { ONE, TWO }; enum class Color { RED };
        typedef struct { int x; } Plain;
        using Other = Plain;
        """,
    )
    assert form.names[:4] == ("in_c", "a::b::deep", "a::b::(anonymous namespace)::hidden", "a::b::v::versioned")
    assert has(form, "declares", "(unnamed)", "TWO")
    assert has(form, "declares", "Color", "Color")
    assert has(form, "declares", "Plain", "Plain")
    assert has(form, "uses", "Other", "Plain")
    definition = form.table["kind"].tolist().index(Kind.FUNCTION)
    assert form.names[definition] == "a::b::deep"
    assert form.declares[definition].tolist() == [], "the one in the namespace does"
    assert has(form, "declares", "Other", "Other")


def test_scopes_without_inline_and_anonymous_namespaces(tmp_path: Path) -> None:
    form = cxx(
        tmp_path,
        """
        namespace a { inline namespace v { struct one {}; } namespace v { struct two {}; } }
        namespace a { namespace { struct three {}; } }
        namespace a::b { struct four {}; }
        struct five {};
        """,
    )
    paths = [(b"a",), (b"a",), (b"a",), (b"a", b"b"), ()]
    assert form.table["scope"].tolist() == [scope_hash(path) for path in paths]
    assert form.table["space"].tolist() == [name_hash(path[-1]) if path else 0 for path in paths]
    assert sorted(form.scopes[3].tolist()) == sorted(scope_hash(path) for path in ((), (b"a",), (b"a", b"b")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("using fp = int (*)(int);", "fp"),
        ("template <class T> using Pointer = T *;", "Pointer"),
        ("namespace n { int b; }\nusing n::b;", "b"),
        ("struct P { int x, y; };\nauto [first, second] = P{1, 2};", "first second"),
        ("static union { int as_int; float as_float; };", "as_int as_float"),
        ("typedef int (*fp)(int), *ip;", "fp ip"),
        ("struct S { int x; } s, *ps;", "S s ps"),
        ('int operator""_km(unsigned long long x);', "_km"),
        ("namespace n { }\nnamespace alias = n;", "alias"),
        ("class Later;", "Later"),
        ("enum Small : char;", "Small"),
        ("template <class T> concept Any = true;", "Any"),
        ("extern int one, *two;", "one two"),
        ("struct Outer { struct Inner; };\nstruct Outer::Inner { int x; };", "Inner"),
    ],
)
def test_everything_that_has_a_name_declares_it(tmp_path: Path, text: str, words: str) -> None:
    form = cxx(tmp_path, text + "\n")
    last = form.declares[len(form) - 1].tolist()
    assert {name_hash(word.encode()) for word in words.split()} <= set(last)


@pytest.mark.parametrize(
    "text", ['static_assert(sizeof(int) == 4, "");', "namespace n {}\nusing namespace n;", 'asm("nop");']
)
def test_what_has_no_name_declares_none(tmp_path: Path, text: str) -> None:
    form = cxx(tmp_path, text + "\n")
    assert form.declares[len(form) - 1].tolist() == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("struct S { Type name; };", "name"),
        ("struct S { const Type *const *name; };", "name"),
        ("struct S { int other; struct Type *name; };", "name"),
        ("int f(Type name, unsigned other);", "name"),
        ("int f(Type name = Type(), int other = 5);", "other"),
        ("typedef struct { Type name[3]; } S;", "name"),
    ],
)
def test_names_of_fields_and_parameters_are_no_uses(tmp_path: Path, text: str, name: str) -> None:
    form = cxx(tmp_path, "struct Type {};\n" + text + "\n")
    last = form.uses[len(form) - 1].tolist()
    assert name_hash(name.encode()) not in last
    assert name_hash(b"Type") in last


@pytest.mark.parametrize(
    "text",
    [
        "struct S { Type(name); };",
        "struct S { int x = y * name; };",
        "struct S { int x[3 * name]; };",
        "struct S { int x : name; };",
        "struct S { enum { A, B = name }; };",
        "struct S { struct name *next; };",
        "struct S { friend class name; };",
        "struct S { int x[sizeof(name)], name2; const name z; };",
        "int f(int = name);",
        "int f(const name);",
        "int f(name, int);",
        "int f(int x = y * name);",
        "int f(decltype(y * name));",
        "template <class T> auto f(T x) { return name; }",
        "struct S : name { };",
        "enum E { A = name };",
    ],
)
def test_everything_else_is_a_use(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.cpp").write_text(text + "\n")
    data = b'# 1 "a.cpp"\n' + text.encode() + b"\n"
    unit = Scanner(scanner_library(cache_dir())).parse(data, "a.cpp")
    (form,) = read_unit(unit, ours=lambda name: name, raw=lambda path: b"", stamp=lambda path: b"").forms
    assert name_hash(b"name") in form.uses[0].tolist()


def test_a_literal_names_its_operator() -> None:
    names = read_words(tokens(b'5_km + 1.5_m + "s"_text + 0x1F + 1\'000 + 1e5')).names
    assert names == {name_hash(word) for word in (b"_km", b"_m", b"_text")}


def test_inner_structures_of_c_reach_the_outside(tmp_path: Path) -> None:
    text = "struct outer { struct inner { int i; } in; enum { FIRST } e; };\nint f(struct inner *p) { return FIRST; }\n"
    (form,) = read(tmp_path, "a.c", a_c=text).forms
    assert has(form, "declares", "outer", "inner")
    assert has(form, "declares", "outer", "FIRST")
    assert not has(form, "declares", "outer", "in")


def test_members_that_are_selected_are_no_names(tmp_path: Path) -> None:
    (form,) = read(
        tmp_path,
        "a.c",
        a_c="struct s { int one, two; };\nint f(struct s *p) { struct s q = {.one = 1}; return p->two + q.one; }\n",
    ).forms
    assert has(form, "selects", "f", "one")
    assert has(form, "selects", "f", "two")
    assert not has(form, "body", "f", "two")


def test_tokens_that_look_like_others() -> None:
    words = read_words(
        tokens(b"f(args...); x = 1.e5f; y.Base::go(); std::move(z); R\"x(not ) a word)x\"; g<A>::h; 'w';")
    )
    names = {name_hash(word) for word in (b"f", b"args", b"x", b"y", b"Base", b"go", b"z", b"g", b"A", b"h")}
    assert words.names == names
    assert words.selected == frozenset()


def test_macros_are_found_in_the_source(tmp_path: Path) -> None:
    forms = read(
        tmp_path,
        "a.c",
        a_h="#define LIMIT 4\n#define TWICE(x) ((x) * LIMIT)\n#define NOT_USED 1\n",
        a_c="""\
#include "a.h"
int f(void) {
#ifdef DEBUG
  g();
#endif
  return TWICE(1);
}
#if LIMIT > 3
int h;
#endif
""",
    ).forms
    source = next(form for form in forms if form.file.endswith("a.c"))
    header = next(form for form in forms if form.file.endswith("a.h"))
    assert has(source, "macros", "f", "TWICE")
    assert has(source, "macros", "f", "DEBUG"), "to be defined it would change the function"
    assert not has(source, "macros", "f", "NOT_USED")
    assert {name_hash(b"LIMIT"), name_hash(b"DEBUG")} == set(source.conditions.tolist())
    assert header.names == ("LIMIT", "TWICE", "NOT_USED")
    assert set(header.table["kind"].tolist()) == {MACRO}
    assert header.table["line"].tolist() == [1, 2, 3]
    assert has(header, "macros", "TWICE", "LIMIT")


def test_conditions_over_several_lines() -> None:
    text = b"#if defined A && \\\n   B // C\n#endif\n  #  elif D\nint E;\n#define F\n"
    assert condition_words(text) >= {b"A", b"B", b"D"}
    assert not condition_words(text) & {b"E", b"F"}


def test_what_is_used_without_being_named(tmp_path: Path) -> None:
    form = cxx(
        tmp_path,
        """
        #include <functional>
        struct X { int v; };
        bool operator==(const X &a, const X &b) { return a.v == b.v; }
        template <> struct std::hash<X> { int operator()(const X &x) const { return x.v; } };
        X *begin(X &x) { return &x; }
        using namespace std;
        int plain(X x) { return x.v; }
        """,
    )
    roles = dict(zip(form.names, form.table["role"].tolist(), strict=True))
    assert {name for name, role in roles.items() if role & ATTACHED} == {"operator==", "std::hash", "begin"}
    assert [name for name, role in roles.items() if role & AMBIENT] == ["(unnamed)"]


def test_a_header_is_the_same_whatever_came_before(tmp_path: Path) -> None:
    header = '#pragma once\n#include "b.h"\nstruct A { B b; };\n'
    files = {"a_h": header, "b_h": "#pragma once\nstruct B {};\n"}
    first = read(tmp_path, "a.cpp", **files, a_cpp='#include "a.h"\n')
    second = read(tmp_path, "a.cpp", **files, a_cpp='#include <stddef.h>\n#include "b.h"\n\n\n#include "a.h"\n')
    digests = [
        {form.file: form.digest for form in found.forms if form.file.endswith(".h")} for found in (first, second)
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 2


@pytest.mark.parametrize("before", ["#define TYPE long\n", "namespace n {\n"])
def test_a_header_that_means_something_else_is_another_form(tmp_path: Path, before: str) -> None:
    header = "#ifndef TYPE\n#define TYPE int\n#endif\nstruct A { TYPE x; };\n"
    after = "}\n" if "{" in before else ""
    found = [
        next(form for form in read(tmp_path, "a.cpp", a_h=header, a_cpp=f'{text}#include "a.h"\n{end}').forms)
        for text, end in (("", ""), (before, after))
    ]
    assert found[0].digest != found[1].digest


def test_a_file_that_is_included_twice(tmp_path: Path) -> None:
    forms = read(
        tmp_path,
        "a.c",
        list_h="ITEM(one)\nITEM(two)\n",
        a_c="""\
#define ITEM(x) int x;
#include "list.h"
#undef ITEM
#define ITEM(x) int get_##x(void) { return x; }
#include "list.h"
""",
    )
    listed = next(form for form in forms.forms if form.file.endswith("list.h"))
    assert listed.names == ("one", "two", "get_one", "get_two")
    assert [(run.first, run.count) for run in forms.runs if run.form == listed.digest] == [(0, 2), (2, 2)]
