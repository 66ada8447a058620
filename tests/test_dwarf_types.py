"""Names, spellings and layouts of types, by every installed compiler, in DWARF 4 and 5."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dwarf_objects import C_COMPILERS, CXX_COMPILERS, layout, read_object, variable

VERSIONS = ("-gdwarf-4", "-gdwarf-5")


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_class_with_bases_and_vtable(tmp_path: Path, compiler: str, version: str, level: str) -> None:
    source = """
    namespace game {
    struct Thing { virtual void update(float); virtual int id() const; int key; };
    struct Mixin { double weight; };
    class Enemy : public Thing, private Mixin {
    public:
        void update(float) override; virtual void die(); static int count; int helper();
        static int shared() { return 3; }
    private: char tag[3]; alignas(32) float health;
    };
    void Thing::update(float) {} int Thing::id() const { return key; }
    void Enemy::update(float) {} void Enemy::die() {} int Enemy::count = 1;
    Enemy enemy; }"""
    info = read_object(tmp_path, compiler, source, version, level)
    record = info.types["game::Enemy"]
    assert (record.kind, record.size, record.is_local, record.is_lambda) == ("class", 64, False, False)
    assert record.file == str(tmp_path / "unit.cpp")
    assert record.line == 5
    lines = layout(info, "game::Enemy")
    assert lines[0].startswith("struct size 64")
    assert lines[1:] == ["0 base game::Thing", "16 base game::Mixin", "24 tag: char[3]", "32 health: float align 32"]
    assert layout(info, "game::Thing") == ["struct size 16", "0 vptr", "8 key: int"]
    slots = info.vtable_text(info.find_types("game::Enemy")[0]).splitlines()
    assert slots == ["0 _ZN4game5Enemy6updateEf", "2 _ZN4game5Enemy3dieEv"]
    assert record.vtable_hash != 0
    assert info.types["game::Mixin"].vtable_hash == 0


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
@pytest.mark.parametrize("version", VERSIONS)
def test_virtual_bases_are_told_apart_by_their_place_in_the_vtable(tmp_path: Path, compiler: str, version: str) -> None:
    source = """struct A { int a; }; struct B { int b; };
    struct V : virtual A, virtual B { virtual void f(); int v; }; void V::f() {} V v;"""
    lines = layout(read_object(tmp_path, compiler, source, version), "V")
    assert [line for line in lines if line.startswith("virtual")] == [
        "virtual base at vtable -24 A",
        "virtual base at vtable -32 B",
    ]


@pytest.mark.parametrize("compiler", C_COMPILERS)
@pytest.mark.parametrize("version", ["-gdwarf-3", "-gdwarf-4", "-gdwarf-5"])
def test_bit_fields_and_nested_anonymous_members(tmp_path: Path, compiler: str, version: str) -> None:
    source = """
    struct packet {
        unsigned kind : 3; unsigned flags : 7; long wide : 40;
        union { int number; struct { short low, high; }; float real; };
        struct { int x, y; } at[2];
        char tail[];
    } *p, q;"""
    assert layout(read_object(tmp_path, compiler, source, version), "packet") == [
        "struct size 32",
        "0.0 kind: unsigned int:3",
        "0.3 flags: unsigned int:7",
        f"1.2 wide: {'long' if compiler == 'clang' else 'long int'}:40",
        "8 number: int",
        "8 low: short" if compiler == "clang" else "8 low: short int",
        "10 high: short" if compiler == "clang" else "10 high: short int",
        "8 real: float",
        "12 at: struct(8) { 0 x: int; 4 y: int; }[2]",
        "28 tail: char[]",
    ]


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_typedefs_do_not_matter_but_name_what_has_no_name(tmp_path: Path, compiler: str) -> None:
    source = """
    typedef int id_t_; typedef id_t_ my_id; typedef struct { my_id id; } item; typedef item thing;
    typedef enum { A } letter;
    typedef const thing *list; struct box { thing t; list l; letter e; void (*call)(my_id, list, ...); } box;"""
    info = read_object(tmp_path, compiler, source)
    assert layout(info, "item") == ["struct size 4", "0 id: int"]
    assert "thing" not in info.types
    assert layout(info, "letter")[1:] == ["A = 0"]
    assert layout(info, "box") == [
        "struct size 32",
        "0 t: item",
        "8 l: const item*",
        "16 e: letter",
        "24 call: void (*)(int, const item*, ...)",
    ]


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
@pytest.mark.parametrize(
    ("declaration", "spelling"),
    [
        ("int *const volatile x = 0;", "int* const volatile"),
        ("extern int *const x[2]; int *const x[2] = {};", "int* const[2]"),
        ("extern int const x[2]; int const x[2] = {};", "const int[2]"),
        ("int (*x)(char, double);", "int (*)(char, double)"),
        ("int (*(*x)(int))[3];", "int (*(*)(int))[3]"),
        ("int x[2][3];", "int[2][3]"),
        ("int (*x[4])();", "int (*[4])()"),
        ("struct S; int S::*x;", "int S::*"),
        ("struct S; void (S::*x)(int) const;", "void (S::*)(int) const"),
        ("struct S; S &&y(); extern S *const *x; S *const *x;", "S* const*"),
        ("extern int z; int &x = z;", "int&"),
        ("decltype(nullptr) x;", "decltype(nullptr)"),
        ("char16_t x; ", "char16_t"),
        ("unsigned char x;", "unsigned char"),
        ("long double x;", "long double"),
        ("namespace a { template <class T> struct P { T *t; }; } a::P<int> x;", "a::P<int>"),
    ],
)
def test_spelling(tmp_path: Path, compiler: str, declaration: str, spelling: str) -> None:
    info = read_object(tmp_path, compiler, declaration)
    assert variable(info, "x").type.replace("volatile const", "const volatile") == spelling


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_base_types_are_known_by_encoding_and_size(tmp_path: Path, compiler: str) -> None:
    info = read_object(tmp_path, compiler, "char x;", "-funsigned-char")
    assert variable(info, "x").type == "char{encoding 8, 1 bytes}"
    assert variable(read_object(tmp_path, compiler, "char x;"), "x").type == "char"


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_enumerations(tmp_path: Path, compiler: str) -> None:
    source = "enum Color { RED, BLUE = 7, NONE = -1 } c; enum class Small : unsigned char { A = 200 } s;"
    info = read_object(tmp_path, compiler, source)
    assert info.types["Color"].kind == "enum"
    assert layout(info, "Color") == ["enum size 4 int", "RED = 0", "BLUE = 7", "NONE = -1"]
    assert layout(info, "Small") == ["enum size 1 unsigned char", "A = 200"]


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_local_types_are_named_by_their_function(tmp_path: Path, compiler: str) -> None:
    source = """
    namespace { struct Hidden { int h; } hidden; }
    namespace n { int draw(int x) {
        struct Item { int a; struct Inner { char c; } i; } item{x, {}};
        if (x) { struct Deep { long d; } deep{x}; item.a += (int)deep.d; }
        auto add = [x](int y) { return x + y; }; auto twice = [&] { return add(x); };
        return item.a + add(1) + twice() + hidden.h; } }"""
    info = read_object(tmp_path, compiler, source)
    item = info.types["_ZN1n4drawEi::Item"]
    assert item.is_local
    assert item.display == "n::draw()::Item"
    assert info.types["_ZN1n4drawEi::Item::Inner"].is_local
    (deep,) = [record for record in info.types.values() if record.display == "n::draw()::Deep"]
    assert deep.name in ("_ZN1n4drawEi[0]::Deep", "_ZN1n4drawEi::Deep"), "clang has no block around types"
    closures = {record.name: record for record in info.types.values() if record.is_lambda}
    assert list(closures) == ["_ZN1n4drawEi::<lambda#1>", "_ZN1n4drawEi::<lambda#2>"]
    assert {record.display for record in closures.values()} == {"n::draw()::<lambda>"}
    assert closures["_ZN1n4drawEi::<lambda#1>"].size == 4
    hidden = info.types["(anonymous namespace)::Hidden"]
    assert hidden.is_anonymous_namespace
    assert not hidden.is_local


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_nested_class_defined_outside(tmp_path: Path, compiler: str) -> None:
    source = "namespace n { struct A { struct B; B *b; }; } struct n::A::B { int x; }; n::A a; n::A::B b;"
    info = read_object(tmp_path, compiler, source)
    assert layout(info, "n::A::B") == ["struct size 4", "0 x: int"]
    assert layout(info, "n::A") == ["struct size 8", "0 b: n::A::B*"]


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_declared_types_are_no_definitions(tmp_path: Path, compiler: str) -> None:
    source = """struct Key { virtual void k(); int x; }; struct Other; Other *other; extern Key *key; Key *key;
    struct D { int d; } d;"""
    info = read_object(tmp_path, compiler, source)
    assert "Other" in info.declared
    assert "Key" in info.declared, "its key function is elsewhere"
    assert set(info.types) == {"D"}


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_same_name_in_two_functions(tmp_path: Path, compiler: str) -> None:
    source = """int f(void) { struct s { int a; } x = {1}; return x.a; }
    int g(void) { struct s { long a; } x = {1}; return (int)x.a; }"""
    info = read_object(tmp_path, compiler, source)
    assert info.types["f::s"].size == 4
    assert info.types["g::s"].size == 8


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_implicit_virtual_functions_do_not_count(tmp_path: Path, compiler: str) -> None:
    """gcc describes an implicit destructor only in units that use it."""
    source = "struct B { virtual ~B() {} }; struct D : B { int d; virtual void f() {} };"
    unused = read_object(tmp_path, compiler, source + "D *make() { return new D; }")
    used = read_object(tmp_path, compiler, source + "D *make() { return new D; } void end(D *d) { d->~D(); }")
    assert unused.types["D"].vtable_hash == used.types["D"].vtable_hash != 0


def test_mapping_behaves(tmp_path: Path) -> None:
    info = read_object(tmp_path, C_COMPILERS[0], "struct a { int x; } a; struct b { int y; } b;")
    assert len(info.types) == 2
    assert set(info.types) == {"a", "b"}
    assert "c" not in info.types
    with pytest.raises(KeyError):
        info.types["c"]
    assert info.find_types("c") == ()
