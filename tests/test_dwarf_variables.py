"""Variables: who they are, where they are, and when their type is another one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from relive.dwarf.compare import same_type
from relive.dwarf.model import Location
from relive.dwarf.reader import DebugInfo
from tests.dwarf_objects import C_COMPILERS, CXX_COMPILERS, compile_object, read_object, reader, variable

VERSIONS = ("-gdwarf-4", "-gdwarf-5")


def symbols_at(data: bytes, location: Location) -> set[str]:
    table = ELFFile(io.BytesIO(data)).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    return {
        symbol.name
        for symbol in table.iter_symbols()
        if (symbol["st_shndx"], symbol["st_value"]) == (location.section, location.value)
        and symbol["st_info"]["type"] in ("STT_OBJECT", "STT_TLS")
    }


@pytest.mark.parametrize("compiler", C_COMPILERS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_statics_of_one_name_are_told_apart(tmp_path: Path, compiler: str, version: str, level: str) -> None:
    """gcc calls them count.0, count.1, ... and renumbers them when one is inserted before."""
    source = """
    int f(int x) { static int count = 3; count += x; { static long count = 4; count *= 2; x += (int)count; }
                   { static char count; x += ++count; } return x + count; }
    static int __attribute__((noinline)) g(int x) { static int count = 9; return count += x; }
    int h(int x) { return g(x) + f(x); }"""
    data = compile_object(tmp_path, compiler, source, version, level)
    info = reader().read(data)
    in_f = [record for record in info.variables if record.owner == "f"]
    assert (in_f[0].plain, in_f[0].ordinal, in_f[0].type) == ("count", 0, "int")
    assert sorted(record.size for record in in_f) == [1, 4, 8]
    assert [record.ordinal for record in in_f] == [0, 1, 2]
    if compiler == "gcc":
        assert [record.block_path for record in in_f] == [(), (0,), (1,)]
    (in_g,) = [record for record in info.variables if record.owner == "g"]
    assert (in_g.name, in_g.ordinal, in_g.is_external) == ("g()::count", 0, False)
    for record in (*in_f, in_g):
        (name,) = symbols_at(data, record.location)
        assert "count" in name
    assert len({record.location for record in info.variables}) == 4


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_every_kind_of_variable(tmp_path: Path, compiler: str, version: str, level: str) -> None:
    source = """
    namespace n { int global = 1; static int internal = 2; struct S { static int member; }; int S::member = 3;
    template <class T> struct P { static T shared; }; template <class T> T P<T>::shared = T(4);
    inline int inlined = 5; thread_local int each = 6; }
    namespace { int hidden = 7; }
    extern "C" { int plain = 8; }
    extern const int table[]; const int table[] = {1, 2, 3};
    static thread_local int quiet = 9;
    inline int counter() { static int calls = 10; return ++calls; }
    int use() { return n::internal++ + n::P<int>::shared++ + n::inlined++ + n::each + hidden++ + quiet++ + counter(); }
    """
    data = compile_object(tmp_path, compiler, source, version, level, "-std=c++17")
    info = reader().read(data)
    records = {record.name.replace("<unnamed>", "counter"): record for record in info.variables}
    expected = {
        "n::global": "_ZN1n6globalE",
        "n::internal": "_ZN1nL8internalE",
        "n::S::member": "_ZN1n1S6memberE",
        "n::P<int>::shared": "_ZN1n1PIiE6sharedE",
        "n::inlined": "_ZN1n7inlinedE",
        "n::each": "_ZN1n4eachE",
        "(anonymous namespace)::hidden": "_ZN12_GLOBAL__N_16hiddenE",
        "plain": "plain",
        "table": "table",
        "quiet": "_ZL5quiet",
        "counter()::calls": "_ZZ7countervE5calls",
    }
    assert set(records) == set(expected)
    for name, symbol in expected.items():
        assert symbols_at(data, records[name].location) == {symbol}, name
        assert records[name].linkage in ("", symbol)
    assert {name for name, record in records.items() if record.is_tls} == {"n::each", "quiet"}
    assert {name for name, record in records.items() if record.is_const} == {"table"}
    assert {name for name, record in records.items() if record.is_member} == {"n::S::member", "n::P<int>::shared"}
    internal = {"n::internal", "(anonymous namespace)::hidden", "quiet"}
    assert {name for name, record in records.items() if not record.is_external} == internal
    assert records["counter()::calls"].owner in ("_Z7counterv", "<unnamed>")  # clang 14 -O2: inlined everywhere
    assert records["table"].size == 12
    assert records["n::S::member"].file == str(tmp_path / "unit.cpp")
    assert records["plain"].line == 6


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_statics_of_overloads_methods_and_lambdas(tmp_path: Path, compiler: str) -> None:
    source = """
    static int f(int x) { static int n; return n += x; }
    static int f(char x) { static int n; return n += x; }
    struct S { int m() { static int n; return ++n; } };
    int g(int x) {
        struct L { int m() { static int n; return ++n; } } l;
        auto a = [] { static int n; return ++n; }; auto b = [x] { static int n; return n += x; };
        return f(x) + f((char)x) + S().m() + l.m() + a() + b(); }"""
    info = read_object(tmp_path, compiler, source)
    assert len(info.variables) == 6
    assert len({(record.owner, record.block_path, record.plain) for record in info.variables}) == 6
    names = sorted(record.name for record in info.variables)
    assert names == ["S::m()::n", "f()::n", "f()::n", "g()::<lambda>()::n", "g()::<lambda>()::n", "g()::L::m()::n"]


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_extern_in_a_function_is_a_global(tmp_path: Path, compiler: str) -> None:
    info = read_object(tmp_path, compiler, "int f(void) { extern int shared; return ++shared; } int shared = 4;")
    record = variable(info, "shared")
    assert (record.owner, record.is_external) == ("", True)


def type_hash(info: DebugInfo, name: str) -> int:
    return variable(info, name).type_hash


@pytest.mark.parametrize("compiler", C_COMPILERS)
@pytest.mark.parametrize(
    ("edit", "differs"),
    [
        (("int deep;", "long deep;"), True),
        (("int deep;", "int deep, more;"), True),
        (("int deep;", "unsigned deep;"), True),
        (("typedef int num;", "typedef int number; typedef number num;"), False),
        (("struct node *next;", "struct other *next;"), True),
        (("int far;", "int far, farther;"), False),
        (("RED, GREEN", "RED, GREEN, BLUE"), False),
        (("[3]", "[4]"), True),
    ],
)
def test_type_hash_looks_through_everything_held_by_value(
    tmp_path: Path, compiler: str, edit: tuple[str, str], differs: bool
) -> None:
    source = """
    typedef int num; enum color { RED, GREEN }; struct far { int far; };
    struct inner { int deep; struct far *away; };
    struct node { struct node *next; struct inner in[3]; num n; enum color c; union { float f; struct inner i; }; };
    static struct node nodes[2]; struct node *use(void) { return nodes; }"""
    assert edit[0] in source
    old = read_object(tmp_path, compiler, source)
    new = read_object(tmp_path, compiler, source.replace(*edit, 1))
    assert (type_hash(old, "nodes") != type_hash(new, "nodes")) is differs
    assert same_type(variable(old, "nodes"), variable(new, "nodes")) is not differs


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_a_type_that_is_only_declared_is_compared_by_name(tmp_path: Path, compiler: str) -> None:
    """Its key function is elsewhere; when it comes to this unit the variable has still the same type."""
    source = "struct Key { Key(); virtual void k(); int x; }; struct Holder { Key key; } holder;"
    old = variable(read_object(tmp_path, compiler, source), "holder")
    new = variable(read_object(tmp_path, compiler, source + "void Key::k() {} Key::Key() {}"), "holder")
    assert not old.is_complete
    assert new.is_complete
    assert same_type(old, new)
    assert same_type(new, old)
    grown = source.replace("int x;", "int x, y, z;") + "void Key::k() {} Key::Key() {}"
    assert not same_type(new, variable(read_object(tmp_path, compiler, grown), "holder"))


def test_no_variable_where_the_optimiser_left_a_value(tmp_path: Path) -> None:
    """DW_OP_addr, DW_OP_stack_value says what a pointer would be, not where it is."""
    source = 'static const char *const text = "x"; static int cell; int *f(void) { static int *p = &cell; return p; }'
    info = read_object(tmp_path, C_COMPILERS[0], source, "-O2")
    assert {record.name for record in info.variables} <= {"cell"}
