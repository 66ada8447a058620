"""Components: what is found in a text, where it ends, what it is called."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relive.source.model import Flag, Kind
from tests.source_texts import COMPILERS, component, flags, outline, parse, preprocess, scanner

# One construct each, and the outline of what it must be. Bodies hold what would mislead a scanner that looked inside.
CPLUSPLUS = {
    "prototype": ("int f(int a, int b = 3);", ["DECLARATION f"]),
    "function": ("int f(int a) { if (a) { return 1; } return 2; }", ["FUNCTION f"]),
    "two-in-a-row": ("int f() { return 1; } int g() { return 2; }", ["FUNCTION f", "FUNCTION g"]),
    "semicolon-behind": ("int f() {}; int g();", ["FUNCTION f", "DECLARATION g"]),
    "member-out-of-line": ("int Car::getPrice(int a) const { return a; }", ["FUNCTION Car::getPrice"]),
    "qualified-result": ("std::string Work::f(int a) { return {}; }", ["FUNCTION Work::f"]),
    "template-result": ("std::map<int, std::vector<int>> f() { return {}; }", ["FUNCTION f"]),
    "class": ("class Car : public Base<int> { int x; };", ["CLASS Car", "  VARIABLE x"]),
    "class-members": (
        "struct S { S() : a{1}, b(2) {} ~S() {} int f() { return 1; } static int g(); int a, b; };",
        ["CLASS S", "  FUNCTION S", "  FUNCTION ~S", "  FUNCTION f", "  DECLARATION g", "  VARIABLE a"],
    ),
    "access-labels": ("class C { public: int f() {} private: int x; };", ["CLASS C", "  FUNCTION f", "  VARIABLE x"]),
    "final-class": ("struct S final : B { };", ["CLASS S"]),
    "attributed-class": (
        "struct __attribute__((packed)) alignas(8) [[nodiscard]] S { int x; };",
        ["CLASS S", "  VARIABLE x"],
    ),
    "nested-class": ("struct A { struct B { void f() {} }; };", ["CLASS A", "  CLASS B", "    FUNCTION f"]),
    "anonymous-union": (
        "struct A { union { int a; float b; }; };",
        ["CLASS A", "  CLASS", "    VARIABLE a", "    VARIABLE b"],
    ),
    "local-class": ("int f() { struct L { int g() { return 1; } }; return L().g(); }", ["FUNCTION f"]),
    "class-and-variable": ("struct S { int a; } x = { 1 };", ["VARIABLE x", "  VARIABLE a"]),
    "typedef-class": ("typedef struct { int a; } T;", ["ALIAS T", "  VARIABLE a"]),
    "result-is-struct": ("struct S *f(struct T t) { return 0; }", ["FUNCTION f"]),
    "forward": ("class A; struct B; enum class E : int;", ["DECLARATION A", "DECLARATION B", "DECLARATION E"]),
    "enum": ("enum class E : unsigned char { A = 1, B = A << 2 };", ["ENUM E"]),
    "enum-variable": ("enum { A, B } e;", ["VARIABLE e"]),
    "bit-field": ("struct S { unsigned a : 3, : 2, b : sizeof(int); };", ["CLASS S", "  VARIABLE a"]),
    "bit-field-default": ("struct S { int a : 3 = 1; int f() {} };", ["CLASS S", "  VARIABLE a", "  FUNCTION f"]),
    "namespaces": (
        "namespace A { namespace { int f() {} } inline namespace v1 { int x; } }",
        ["NAMESPACE A", "  NAMESPACE", "    FUNCTION f", "  NAMESPACE v1", "    VARIABLE x"],
    ),
    "nested-namespace": ("namespace A::B::inline C { int x; }", ["NAMESPACE A::B::inline C", "  VARIABLE x"]),
    "namespace-alias": ("namespace fs = std::filesystem; int x;", ["ALIAS fs", "VARIABLE x"]),
    "linkage": (
        'extern "C" { int f(); } extern "C" int g() { return 1; }',
        ["LINKAGE", "  DECLARATION f", "FUNCTION g"],
    ),
    "using": ("using A = int; using namespace std; using std::swap;", ["ALIAS", "ALIAS", "ALIAS"]),
    "template-function": ("template<class T, int N = (3 > 2)> T f(T a) { return a; }", ["FUNCTION f"]),
    "template-class": ("template<typename... T> struct X<T*...> : Y<T>... { T t; };", ["CLASS X", "  VARIABLE t"]),
    "template-default-lambda": ("template<auto F = [](int a) { return a; }> struct X { };", ["CLASS X"]),
    "less-in-template": (
        "enable_if<(sizeof(int) < 8), int> f() { return 1; } int g();",
        ["FUNCTION f", "DECLARATION g"],
    ),
    "specialisation": ("template<> int f<int>(int) { return 1; }", ["FUNCTION f"]),
    "explicit-instantiation": ("template class X<int>; extern template class X<long>;", ["OTHER", "DECLARATION"]),
    "deduction-guide": ("template<class T> X(T) -> X<T>;", ["DECLARATION X"]),
    "concept": (
        "template<class T> concept C = requires(T t) { t.f(); { t.g() } -> D<int>; }; int x;",
        ["DECLARATION C", "VARIABLE x"],
    ),
    "requires": (
        "template<class T> requires (sizeof(T) > 1) && C<T> || requires { typename T::x; } int f(T t) { }",
        ["FUNCTION f"],
    ),
    "trailing-requires": ("template<class T> int f(T) requires requires { T(); } { return 1; }", ["FUNCTION f"]),
    "static-assert": ('static_assert(sizeof(int) == 4, "{"); int x;', ["DECLARATION", "VARIABLE x"]),
    "operators": (
        "struct S { int operator()(int a) { return a; } bool operator<(S o) { return 1; } void operator[](int) {}"
        " S *operator->() { return this; } void *operator new[](unsigned long) {} auto operator<=>(S) const = default;"
        " S operator,(S) {} };",
        [
            "CLASS S",
            "  FUNCTION operator()",
            "  FUNCTION operator<",
            "  FUNCTION operator[]",
            "  FUNCTION operator->",
            "  FUNCTION operator new[]",
            "  DECLARATION operator<=>",
            "  FUNCTION operator,",
        ],
    ),
    "shift-operator": (
        "std::ostream &operator<<(std::ostream &o, X) { return o; } X operator>>(X, int) {}",
        ["FUNCTION operator<<", "FUNCTION operator>>"],
    ),
    "conversion": (
        "struct S { operator bool() const { return 1; } operator std::vector<int>() { return {}; } };",
        ["CLASS S", "  FUNCTION operator bool", "  FUNCTION operator std::vector<int>"],
    ),
    "literal-operator": (
        'int operator""_a(char c) { return c; } int operator "" _b(char c) { return c; }',
        ['FUNCTION operator""_a', 'FUNCTION operator "" _b'],
    ),
    "noexcept": (
        "int f() noexcept(noexcept(g())) { return 1; } int h() throw() { return 1; }",
        ["FUNCTION f", "FUNCTION h"],
    ),
    "trailing-type": ("auto f(int a) -> decltype(g<int>(a)) { return 1; }", ["FUNCTION f"]),
    "ref-qualifier": ("int S::f() const volatile && { return 1; }", ["FUNCTION S::f"]),
    "attribute-before-body": ("int f() __attribute__((noinline)) { return 1; }", ["FUNCTION f"]),
    "asm-label": ('int f() __asm__("g"); int x __asm__("y") = 1;', ["DECLARATION f", "VARIABLE x"]),
    "asm": ('asm("nop; }"); int x;', ["ASM", "VARIABLE x"]),
    "try-block": (
        "S::S(int a) try : x(a), y{a} { } catch (int) { } catch (...) { } int g() { return 1; }",
        ["FUNCTION S::S", "FUNCTION g"],
    ),
    "initialisers": (
        "S::S() : Base<int>{1}, ns::Other(2), x{[] { return 1; }()}, rest(a)... { f(); } int y;",
        ["FUNCTION S::S", "VARIABLE y"],
    ),
    "defaulted": (
        "S::~S() = default; struct T { T() = default; T(int) = delete; virtual void f() = 0; };",
        ["FUNCTION S::~S", "CLASS T", "  DECLARATION T", "  DECLARATION T", "  DECLARATION f"],
    ),
    "friend": (
        "struct S { friend class T; friend int f(S s) { return 1; } };",
        ["CLASS S", "  DECLARATION T", "  FUNCTION f"],
    ),
    "pointer-to-function": (
        "int (*fp)(int, int) = nullptr; void (*table[])(void) = { f, g };",
        ["VARIABLE fp", "VARIABLE table"],
    ),
    "returns-pointer-to-function": (
        "int (*f(int a))(char) { return fp; } X (*g())[3] { return 0; }",
        ["FUNCTION f", "FUNCTION g"],
    ),
    "name-in-parentheses": ("int (f)(int a) { return a; } int (g)(int);", ["FUNCTION f", "DECLARATION g"]),
    "member-pointer": ("int (S::*p)(int) = &S::f; int S::*q;", ["VARIABLE p", "VARIABLE q"]),
    "brace-variable": (
        "std::vector<int> v{1, 2, 3}; int x{}; S s(1, 2);",
        ["VARIABLE v", "VARIABLE x", "DECLARATION s"],
    ),
    "lambda-variable": ("auto l = [](int a) { return a; }; int f();", ["VARIABLE l", "DECLARATION f"]),
    "static-member": ("int S::count = 3; template<class T> T X<T>::y{};", ["VARIABLE S::count", "VARIABLE X<T>::y"]),
    "raw-string": ('const char *a = R"x(} ")" ; { )x"; int f() { return 1; }', ["VARIABLE a", "FUNCTION f"]),
    "digit-separator": (
        "int a = 1'000'000; char c = '\\''; int f() { return '{'; }",
        ["VARIABLE a", "VARIABLE c", "FUNCTION f"],
    ),
    "prefixed-literals": ("auto a = u8\"{\"; auto b = L'{'; int u8 = 1;", ["VARIABLE a", "VARIABLE b", "VARIABLE u8"]),
    "extension": (
        "__extension__ typedef long long ll; __extension__ int f() { return 1; }",
        ["ALIAS ll", "FUNCTION f"],
    ),
    "global-qualifier": ("struct X::A f() { return {}; } int ::g() { return 1; }", ["FUNCTION f", "FUNCTION ::g"]),
    "decltype-result": ("decltype(g(1)) f() { return 1; } typeof(x) h() { return 1; }", ["FUNCTION f", "FUNCTION h"]),
    "alternative-tokens": ("int f() <% return a<:1:>; %> int x;", ["FUNCTION f", "VARIABLE x"]),
    "spliced-line": ("int f() { return 1 \\\n + 2; }\nint x;", ["FUNCTION f", "VARIABLE x"]),
    "pragma-inside": (
        "int f(int a,\n#pragma GCC diagnostic push\n int b) { return 1; }\n#pragma pack(1)\nint x;",
        ["FUNCTION f", "VARIABLE x"],
    ),
    "thread-local": ("static thread_local int a = f(); constinit int b = 1;", ["VARIABLE a", "VARIABLE b"]),
    "structured-binding": ("auto [a, b] = f(); int x;", ["VARIABLE", "VARIABLE x"]),
    "several": ("int a = 1, *b, c(2), d[3];", ["VARIABLE a"]),
}

C = {
    "old-style": ("int f(a, b) int a; char *b; { return a; } int x;", ["FUNCTION f", "VARIABLE x"]),
    "implicit-int": ("main() { return 0; }", ["FUNCTION main"]),
    "words-of-cplusplus": (
        "int class, new, template; int f(int this) { return this; }",
        ["VARIABLE class", "FUNCTION f"],
    ),
    "designated": ("struct S x = { .a = 1, .b = { 2 } }; int y[] = { [3] = 1 };", ["VARIABLE x", "VARIABLE y"]),
    "statement-expression": (
        "int x = sizeof(({ int a; a; })); int f() { return ({ 1; }); }",
        ["VARIABLE x", "FUNCTION f"],
    ),
    "nested-function": ("int f() { int g() { return 1; } return g(); } int x;", ["FUNCTION f", "VARIABLE x"]),
    "enum-result": ("enum E { A } f(void) { return A; }", ["FUNCTION f"]),
    "attributes": ("static __inline __attribute__((__always_inline__)) int f(void) { return 1; }", ["FUNCTION f"]),
    "noreturn": (
        '_Noreturn void f(void) { for (;;); } _Static_assert(1, ""); _Alignas(8) int x;',
        ["FUNCTION f", "DECLARATION", "VARIABLE x"],
    ),
    "restrict": ("int f(char *restrict p, int (* __restrict q)(int)) { return 1; }", ["FUNCTION f"]),
    "bitfields": ("struct S { int a : 3; enum E b : 2; }; int x;", ["CLASS S", "VARIABLE x"]),
    "atomic": ("_Atomic(int) x; _Atomic(int) f(void) { return x; }", ["VARIABLE x", "FUNCTION f"]),
    "enum-base-like": ("struct S { int a; } f(void) { struct S s = { 1 }; return s; }", ["FUNCTION f"]),
}


@pytest.mark.parametrize("name", CPLUSPLUS)
def test_outline(name: str) -> None:
    text, expected = CPLUSPLUS[name]
    unit = parse(text)
    assert outline(unit) == expected
    assert not any(unit.components["flags"] & Flag.UNCERTAIN)


@pytest.mark.parametrize("name", C)
def test_outline_of_c(name: str) -> None:
    text, expected = C[name]
    unit = parse(text, c=True)
    assert outline(unit) == expected
    assert not any(unit.components["flags"] & Flag.UNCERTAIN)


@pytest.mark.parametrize("name", CPLUSPLUS)
def test_components_nest_and_cover_their_texts(name: str) -> None:
    rows = parse(CPLUSPLUS[name][0]).components
    assert list(rows["start"]) == sorted(rows["start"])
    for row in rows:
        assert row["start"] < row["end"]
        assert row["start"] <= row["strip"] <= row["end"]
        assert row["body"] <= row["body_end"] <= row["end"]
        if row["parent"] >= 0:
            parent = rows[row["parent"]]
            assert parent["body"] < row["start"]
            assert row["end"] < parent["body_end"]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("static inline int f() {}", "f", Flag.STATIC | Flag.INLINE),
        ("constexpr int f() {}", "f", Flag.CONSTEXPR | Flag.KEEP),
        ("consteval int f() {}", "f", Flag.CONSTEXPR | Flag.KEEP),
        ("auto f() { return 1; }", "f", Flag.AUTO_RETURN | Flag.KEEP),
        ("decltype(auto) f() { return 1; }", "f", Flag.AUTO_RETURN | Flag.KEEP),
        ("auto f() -> decltype(auto) { return 1; }", "f", Flag.AUTO_RETURN | Flag.KEEP),
        ("auto f() -> int { return 1; }", "f", Flag(0)),
        ("auto S::f() -> int { return 1; }", "f", Flag.QUALIFIED),
        ("int f(auto a) { return 1; }", "f", Flag.TEMPLATE),
        ("template<class T> int f(T a) { return 1; }", "f", Flag.TEMPLATE),
        ("template<> int f(int a) { return 1; }", "f", Flag.TEMPLATE | Flag.SPECIALISED),
        ("template<> template<class T> int A<int>::f(T) {}", "f", Flag.TEMPLATE | Flag.QUALIFIED),
        ('extern "C" int f() {}', "f", Flag.EXTERN),
        ("[[gnu::always_inline]] int f() {}", "f", Flag.ALWAYS_INLINE | Flag.KEEP | Flag.ATTRIBUTED),
        ("__attribute__((__gnu_inline__)) int f() {}", "f", Flag.ALWAYS_INLINE | Flag.KEEP | Flag.ATTRIBUTED),
        ('__attribute__((target_clones("avx2"))) int f() {}', "f", Flag.KEEP | Flag.ATTRIBUTED),
        ("int f(int a = 1) {}", "f", Flag.DEFAULTS),
        ("int f(X a = {}) {}", "f", Flag.DEFAULTS),
        ("int f(X a = [] { return 1; }) {}", "f", Flag.DEFAULTS | Flag.KEEP),
        ("int S::f(int a = 1) {}", "f", Flag.DEFAULTS | Flag.QUALIFIED | Flag.KEEP),
        ("S::S() = default;", "S", Flag.QUALIFIED | Flag.DEFAULTED),
    ],
)
def test_flags(text: str, name: str, expected: Flag) -> None:
    assert flags(parse(text), name) == expected


def test_flags_of_members() -> None:
    unit = parse("struct S { int f() {} friend int g() {} friend int h(S, int = 1) {} };")
    assert flags(unit, "f") == Flag.MEMBER
    assert flags(unit, "g") == Flag.MEMBER | Flag.FRIEND
    assert flags(unit, "h") == Flag.MEMBER | Flag.FRIEND | Flag.DEFAULTS | Flag.KEEP


def test_old_style_definitions_are_kept() -> None:
    assert flags(parse("int f(a) int a; { return a; }", c=True), "f") == Flag.KNR | Flag.KEEP


def test_a_declaration_ends_where_initialisers_or_try_begin() -> None:
    for text, declaration in (
        ("S::S(int a) : x(a) { }", "S::S(int a)"),
        ("S::S(int a) try : x(a) { } catch (...) { }", "S::S(int a)"),
        ("int f() const noexcept\n{ }", "int f() const noexcept"),
        ("auto f() -> int requires C<int> { }", "auto f() -> int requires C<int>"),
    ):
        unit = parse(text)
        assert unit.data[: unit.components["strip"][0]].decode().rstrip() == declaration


def test_places_follow_line_markers() -> None:
    unit = parse('# 1 "a.cpp"\nint x;\n# 1 "/usr/include/b.h" 1 3\n\nint f()\n{\n}\n# 7 "a.cpp" 2\nint y;\n')
    rows = unit.components
    x, f, y = component(unit, "x", Kind.VARIABLE), component(unit, "f"), component(unit, "y", Kind.VARIABLE)
    assert unit.files == ["a.cpp", "/usr/include/b.h"]
    assert [(unit.files[rows["file"][i]], rows["line"][i], rows["last_line"][i]) for i in (x, f, y)] == [
        ("a.cpp", 1, 1), ("/usr/include/b.h", 2, 4), ("a.cpp", 7, 7),
    ]  # fmt: skip
    assert [bool(rows["flags"][i] & Flag.SYSTEM) for i in (x, f, y)] == [False, True, False]
    assert all(unit.where(int(rows["start"][i])) == (rows["file"][i], rows["line"][i]) for i in (x, f, y))


def test_a_name_with_quotes_and_backslashes_in_a_marker() -> None:
    assert parse('# 1 "a\\\\b\\"c.cpp"\nint x;\n').files == ['a\\b"c.cpp']


@pytest.mark.parametrize("text", ["int f() { if (", "int f( {}", "struct S { int f() {", "= 3 { } )"])
def test_what_does_not_fit_is_marked(text: str) -> None:
    unit = parse(text)
    assert any(unit.components["flags"] & Flag.UNCERTAIN)
    assert unit.stripped(0, len(unit.data)).split() == text.encode().split()


def test_a_function_over_two_files_is_marked() -> None:
    unit = parse('# 1 "a.cpp"\nint f()\n# 1 "b.h" 1\n{ return 1; }\n# 3 "a.cpp" 2\n')
    assert flags(unit, "f") & Flag.UNCERTAIN


def test_function_at() -> None:
    unit = parse(
        '# 1 "a.cpp"\nstruct S {\n int f()\n {\n  return 1;\n }\n int g() { return 2; } int h() { return 3; }\n};\n'
    )
    assert [unit.function_at("a.cpp", line) for line in range(1, 8)] == [
        None, *[component(unit, "f")] * 4, None, None,
    ]  # fmt: skip
    assert unit.function_at("b.cpp", 3) is None
    assert unit.outermost(component(unit, "f")) == component(unit, "S", Kind.CLASS)


def test_a_file_that_is_included_twice_has_no_function_at() -> None:
    unit = parse('# 1 "a.h"\nint f() {\n}\n# 1 "a.h"\nint g() {\n}\n')
    assert unit.function_at("a.h", 1) is None


def test_what_is_around() -> None:
    unit = parse(
        'namespace A __attribute__((visibility("hidden"))) { inline namespace\nv1 { extern "C" { namespace {\n'
        "struct S { int f() { return 1; } };\nint g() { return 1; } } } } }"
    )
    for name in ("f", "g"):
        i = component(unit, name)
        assert unit.opening(i).decode() == (
            'namespace A __attribute__((visibility("hidden"))) { inline namespace v1 { extern "C" { namespace {'
        )
        assert unit.closing(i) == b"}}}}"
    assert unit.opening(component(unit, "A", Kind.NAMESPACE)) == b""


@pytest.mark.parametrize(
    ("text", "i", "names"),
    [
        ("namespace A { struct Car { int getPrice() {} }; }", 1, "A::Car"),
        ("namespace A { struct Car { int getPrice() {} }; }", 2, "A::Car::getPrice"),
        ("namespace A { int Car::getPrice() {} }", 1, "A::Car::getPrice"),
        ("namespace A::B::inline C { int f(); }", 1, "A::B::C::f"),
        ("namespace { int f(); }", 1, "(anonymous namespace)::f"),
        ("int a = g(1, 2), *b, c[3];", 0, "a b c"),
        ("std::map<int, long> a, b;", 0, "a b"),
        ("struct S { int a; } x, y;", 0, "x S y"),
        ("typedef struct S { int a; } T, *P;", 0, "T S P"),
        ("enum E { A, B = f(1, 2), C [[deprecated]] };", 0, "E A B C"),
        ("enum class E { A, B };", 0, "E"),
        ("template class X<int>;", 0, ""),
    ],
)
def test_declared_names(text: str, i: int, names: str) -> None:
    unit = parse(text)
    assert b" ".join(unit.declared(i)).decode() == names


@pytest.mark.parametrize("compiler", COMPILERS)
def test_library_headers_are_understood(compiler: str) -> None:
    headers = ("algorithm", "functional", "iostream", "map", "memory", "regex", "thread", "tuple", "variant", "vector")
    unit = preprocess(compiler, "".join(f"#include <{name}>\n" for name in headers), "-std=c++17")
    uncertain = [unit.text(i)[:80] for i in range(len(unit.components)) if unit.components["flags"][i] & Flag.UNCERTAIN]
    assert len(uncertain) <= 1  # integral_constant<bool, _R1::num < _R2::num>
    assert len(unit.components) > 5000


_TEXT = r"""struct class enum namespace template operator < > ( ) { } [ ] ; : :: , = -> ~ int f x R"( )" " ' # requires
    try catch auto decltype noexcept friend extern static asm using typedef concept __attribute__ (( )) [[ ]] ... &&
    default 1'0 <% %> <: :> static_assert const inline constexpr"""
_LINES = ["\\\n", "\n", '\n# 1 "a"\n', "\n#define x {\n", "\n#pragma x\n"]
WORDS = st.sampled_from([*_TEXT.split(), *_LINES])


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=60).map(" ".join), st.booleans())
def test_words_at_random_do_no_harm(text: str, c: bool) -> None:
    _check_sound(text.encode(), c)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_bytes_at_random_do_no_harm(text: bytes, c: bool) -> None:
    _check_sound(text, c)


def _check_sound(text: bytes, c: bool) -> None:
    unit = scanner().parse(text, "a.c" if c else "a.cpp")
    rows = unit.components
    for i in range(len(rows)):
        assert rows["start"][i] <= rows["end"][i] <= len(text)
        assert rows["parent"][i] < i
        assert rows["strip"][i] <= rows["end"][i]
        unit.declared(i), unit.opening(i), unit.where(int(rows["start"][i]))
    unit.stripped(0, len(text))
    unit.macros_at(len(text))


def test_deep_nesting_is_no_recursion_without_end() -> None:
    text = "namespace a { struct b { " * 5000
    assert len(parse(text).components) < 5000
