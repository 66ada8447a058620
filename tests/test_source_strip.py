"""Stripped text: what goes, what stays, that it compiles, and that lines stay where they are."""

from __future__ import annotations

import re

import pytest

from relive.source.model import Kind
from relive.source.unit import UnitText
from tests.source_texts import COMPILERS, compile_text, component, parse, preprocess, without_blanks


def strip(text: str, *, c: bool = False) -> str:
    unit = parse(text, c=c)
    return without_blanks(unit.stripped(0, len(unit.data)))


# (what is written, what is left of it); all in C++20
CASES = {
    "function": ("int f(int a) { return a; }", "int f(int a);"),
    "static-function": ("static int f() { return 1; }", "static int f();"),
    "constructor": ("struct S { S(int a) : x{a} { x++; } int x; };", "struct S { S(int a); int x; };"),
    "function-try-block": ("struct S { S() try { } catch (...) { } ~S() {} };", "struct S { S(); ~S(); };"),
    "virtual": (
        "struct S { virtual int f() const noexcept { return 1; } };",
        "struct S { virtual int f() const noexcept; };",
    ),
    "override-final": (
        "struct B { virtual void f() = 0; }; struct S final : B { void f() override final { } };",
        "struct B { virtual void f() = 0; }; struct S final : B { void f() override final; };",
    ),
    "out-of-line": (
        "struct S { S(); int f(); }; S::S() {} int S::f() { return 1; } int x;",
        "struct S { S(); int f(); }; int x;",
    ),
    "out-of-line-defaulted": (
        "struct S { S(); ~S(); }; S::S() = default; S::~S() = default;",
        "struct S { S(); ~S(); };",
    ),
    "out-of-line-default-argument": (
        "struct S { int f(int); }; int S::f(int a = 1) { return a; }",
        "struct S { int f(int); }; int S::f(int a = 1) { return a; }",
    ),
    "out-of-line-attribute": (
        "struct S { int f(); }; __attribute__((cold)) int S::f() { return 1; }",
        "struct S { int f(); }; __attribute__((cold)) int S::f() { return 1; }",
    ),
    "template": ("template<class T> T f(T a) { return a; }", "template<class T> T f(T a);"),
    "member-template": (
        "template<class T> struct S { template<class U> void f(); };"
        " template<class T> template<class U> void S<T>::f() {}",
        "template<class T> struct S { template<class U> void f(); };",
    ),
    "specialisation": (
        "template<class T> T f(T a); template<> int f<int>(int a) { return a; }",
        "template<class T> T f(T a); template<> int f<int>(int a);",
    ),
    "specialised-member": (
        "template<class T> struct S { void f(); }; template<> void S<int>::f() { }",
        "template<class T> struct S { void f(); }; template<> void S<int>::f();",
    ),
    "explicit-instantiation": (
        "template<class T> struct S { void f() { } }; template struct S<int>; extern template struct S<long>;",
        "template<class T> struct S { void f(); }; extern template struct S<long>;",
    ),
    "friend": (
        "struct S { friend bool operator==(S, S) { return true; } };",
        "struct S { friend bool operator==(S, S); };",
    ),
    "friend-default-argument": (
        "struct S { friend int f(S, int a = 1) { return a; } };",
        "struct S { friend int f(S, int a = 1) { return a; } };",
    ),
    "friend-attribute": (
        "struct S { [[nodiscard]] friend int f(S) { return 1; } };",
        "struct S { [[nodiscard]] friend int f(S) { return 1; } };",
    ),
    "constexpr": ("constexpr int f() { return 1; } int a[f()];", "constexpr int f() { return 1; } int a[f()];"),
    "constexpr-member": (
        "struct S { constexpr S(int a) : x(a) { } int x; constexpr int f() const { return x; } };",
        "struct S { constexpr S(int a) : x(a) { } int x; constexpr int f() const { return x; } };",
    ),
    "consteval": ("consteval int f() { return 1; }", "consteval int f() { return 1; }"),
    "auto": ("auto f() { return 1; } int x = f();", "auto f() { return 1; } int x = f();"),
    "trailing-type": ("auto f() -> int { return 1; }", "auto f() -> int;"),
    "auto-parameter": ("int f(auto a) { return 1; }", "int f(auto a);"),
    "concept": (
        "template<class T> concept C = requires(T t) { +t; };"
        " template<C T> requires (sizeof(T) > 1) int f(T) { return 1; }",
        "template<class T> concept C = requires(T t) { +t; }; template<C T> requires (sizeof(T) > 1) int f(T);",
    ),
    "trailing-requires": (
        "template<class T> struct S { int f() requires (sizeof(T) > 1) { return 1; } };",
        "template<class T> struct S { int f() requires (sizeof(T) > 1); };",
    ),
    "deduction-guide": (
        "template<class T> struct S { S(T) {} }; template<class T> S(T *) -> S<T>;",
        "template<class T> struct S { S(T); }; template<class T> S(T *) -> S<T>;",
    ),
    "always-inline": (
        "__attribute__((always_inline)) inline int f() { return 1; }",
        "__attribute__((always_inline)) inline int f() { return 1; }",
    ),
    "alias": (
        'extern "C" { int g() { return 1; } int f() __attribute__((weak)) __attribute__((alias("g"), nothrow)); }',
        'extern "C" { int g(); int f() __attribute__((weak)) ; }',
    ),
    "ifunc": (
        'extern "C" { int (*g())() { return 0; } [[gnu::ifunc("g")]] int f(); }',
        'extern "C" { int (*g())(); int f(); }',
    ),
    "attribute-of-the-name": ("int f [[noreturn]] (int) { for (;;); }", "int f [[noreturn]] (int);"),
    "lambda-variable": (
        "auto f = [](int a) { return a; }; int x = f(1);",
        "auto f = [](int a) { return a; }; int x = f(1);",
    ),
    "lambda-default-argument": (
        "int f(int a = [] { return 1; }()) { return a; }",
        "int f(int a = [] { return 1; }()) { return a; }",
    ),
    "variables": (
        "int a = 1; static const int b[] = {1, 2}; struct { int x; } c = {3}; int d{4}; thread_local int e = a;",
        "int a = 1; static const int b[] = {1, 2}; struct { int x; } c = {3}; int d{4}; thread_local int e = a;",
    ),
    "asm": ('asm(".globl zork"); int x;', "int x;"),
    "asm-label": ('int f(int) asm("g"); int f(int a) { return a; }', 'int f(int) asm("g"); int f(int a);'),
    "noexcept": ("int f() noexcept(noexcept(1 + 1)) { return 1; }", "int f() noexcept(noexcept(1 + 1));"),
    "conversion": ("struct S { operator int() const & { return 1; } };", "struct S { operator int() const &; };"),
    "literal": (
        'long operator""_a(unsigned long long a) { return a; } long x = 1_a;',
        'long operator""_a(unsigned long long a); long x = 1_a;',
    ),
    "nested-class": ("struct A { struct B { int f() { return 1; } } b; };", "struct A { struct B { int f(); } b; };"),
    "typedef-class": ("typedef struct { int f() { return 1; } } T;", "typedef struct { int f(); } T;"),
    "defaulted": (
        "struct S { S() = default; S(const S &) = delete; };",
        "struct S { S() = default; S(const S &) = delete; };",
    ),
    "function-pointer-result": ("int (*f(int a))(int) { return nullptr; }", "int (*f(int a))(int);"),
    "static-assert": ('static_assert(sizeof(int) == 4, "{");', 'static_assert(sizeof(int) == 4, "{");'),
    "pragma": (
        "\n#pragma pack(push, 1)\nstruct S { int a; };\n#pragma pack(pop)\n",
        "#pragma pack(push, 1) struct S { int a; }; #pragma pack(pop)",
    ),
    "directives": ("\n#define A {\nint x;\n#undef A\n", "int x;"),
}


@pytest.mark.parametrize("name", CASES)
def test_strip(name: str) -> None:
    text, expected = CASES[name]
    assert strip(text) == expected


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", CASES)
def test_what_is_left_compiles(name: str, compiler: str) -> None:
    text, _ = CASES[name]
    if compiler == "clang" and "requires" in name:
        pytest.skip("clang 14 and requires")
    assert compile_text(compiler, text.encode(), "-std=c++20") == ""
    unit = parse(text)
    assert compile_text(compiler, unit.stripped(0, len(unit.data)), "-std=c++20") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int f(a) int a; { return a; }", "int f(a) int a; { return a; }"),
        ("static inline int f(void) { return 1; }", "static inline int f(void);"),
        ("struct S x = { .a = 1 };", "struct S x = { .a = 1 };"),
        ("int f(void) { int g(void) { return 1; } return g(); }", "int f(void);"),
        ("int main() { return 0; }", "int main();"),
    ],
)
def test_strip_c(text: str, expected: str) -> None:
    assert strip(text, c=True) == expected


def test_bodies_to_keep() -> None:
    unit = parse("int f() { return 1; } struct S { int g() { return 1; } }; int h() { return 1; }")
    keep = frozenset({component(unit, "f"), component(unit, "S", Kind.CLASS)})
    stripped = unit.stripped(0, len(unit.data), keep)
    assert without_blanks(stripped) == "int f() { return 1; } struct S { int g() { return 1; } }; int h();"


def test_up_to_a_function_with_what_is_open_closed() -> None:
    unit = parse('namespace A { extern "C" { int f() { return 1; } int g() { return f(); } } }')
    g = component(unit, "g")
    prefix = unit.stripped(0, int(unit.components["start"][g])) + unit.closing(g)
    assert without_blanks(prefix) == 'namespace A { extern "C" { int f(); }}'
    whole = prefix + b"\n" + unit.opening(g) + unit.text(g) + unit.closing(g)
    assert compile_text(COMPILERS[0], whole) == ""


def _lines(unit: UnitText, text: bytes) -> dict[str, tuple[str, int]]:
    """Of each word like `v1` of a text: (file, line) as line markers say."""
    result: dict[str, tuple[str, int]] = {}
    file, line = "", 0
    for row in text.decode().split("\n"):
        match = re.match(r'# (\d+) "(.*?)"', row)
        if match:
            file, line = match[2], int(match[1]) - 1
        else:
            line += 1
        for word in re.findall(r"\bv\d+\b", row):
            result.setdefault(word, (file, line))
    return result


@pytest.mark.parametrize("blank", [0, 3, 30])
def test_lines_stay_true(blank: int) -> None:
    body = "{\n" + "  g();\n" * blank + "}"
    text = '# 1 "a.cpp"\n' + "".join(f"int v{n}(int a)\n{body} int S::f() {body}\n" for n in range(5))
    text += '# 1 "/usr/include/b.h" 1 3\nint v7() {\n# 50 "/usr/include/b.h" 3\n}\nint v8;\n'
    text += '# 9 "a.cpp" 2\nint v9;\n#define X\nint v10;'
    unit = parse(text)
    stripped = unit.stripped(0, len(unit.data))
    assert _lines(unit, stripped) == _lines(unit, unit.data)
    middle = int(unit.components["start"][component(unit, "v3")])
    rest = _lines(unit, unit.stripped(middle, len(unit.data)))
    assert rest == {word: place for word, place in _lines(unit, unit.data).items() if word in rest}
    assert b'" 3\n' in stripped[stripped.index(b"v7") :]  # what follows a removed body is still in a system header


HEADERS = (
    *("algorithm", "chrono", "functional", "iostream", "map", "memory", "mutex", "numeric", "random", "regex", "set"),
    *("sstream", "string", "thread", "tuple", "unordered_map", "variant", "vector"),
)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("standard", ["-std=c++11", "-std=c++17", "-std=c++20"])
def test_the_standard_library_stripped_compiles(compiler: str, standard: str) -> None:
    headers = [name for name in HEADERS if standard != "-std=c++11" or name != "variant"]
    if compiler == "clang" and standard == "-std=c++20":
        headers = ["vector", "map", "string"]
    text = "".join(f"#include <{name}>\n" for name in headers)
    text += 'int f() { std::vector<std::string> v{"a"}; std::map<int, std::string> m; return v.size() + m.size(); }\n'
    unit = preprocess(compiler, text, standard)
    f = component(unit, "f")
    prefix = unit.stripped(0, int(unit.components["start"][f]))
    assert len(prefix) < len(unit.data) * 0.9
    assert compile_text(compiler, prefix + unit.text(f), standard) == ""


@pytest.mark.parametrize("compiler", COMPILERS)
def test_templates_over_lambdas_and_local_classes_need_their_bodies(compiler: str) -> None:
    text = "#include <algorithm>\n#include <functional>\n#include <vector>\nnamespace { struct L { int a; }; }\n"
    text += """int f(std::vector<int> &v) {
        std::sort(v.begin(), v.end(), [](int a, int b) { return a > b; });
        struct In { int a; };
        std::vector<In> in; in.push_back(In{1});
        std::vector<L> l; l.push_back(L{1});
        std::function<int()> g = [&] { return v[0]; };
        return g();
    }"""
    unit = preprocess(compiler, text, "-std=c++17")
    f = component(unit, "f")
    end = int(unit.components["start"][f])
    assert compile_text(compiler, unit.stripped(0, end, templates=True) + unit.text(f), "-std=c++17") == ""
    assert compile_text(compiler, unit.stripped(0, end) + unit.text(f), "-std=c++17") != ""


def test_a_kept_body_with_a_lambda_keeps_what_may_take_it() -> None:
    text = """template<class F> int deep(F f) { return f(); } template<class F> int take(F f) { return deep(f); }
        template<class F> int other(F f) { return f(); }
        __attribute__((always_inline)) inline int g() { return take([] { return 1; }); }"""
    left = strip(text)
    assert "return deep(f)" in left
    assert "int deep(F f) { return f(); }" in left
    assert "int other(F f);" in left
    for compiler in COMPILERS:
        assert compile_text(compiler, left.encode()) == ""
