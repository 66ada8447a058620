"""Functions with their code, and line rows, against the symbol table and readelf."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tests.dwarf_objects import C_COMPILERS, CXX_COMPILERS, compile_file, compile_object, function, read_object, reader

VERSIONS = ("-gdwarf-4", "-gdwarf-5")

SOURCE = """
#include <stdarg.h>
namespace shapes {
struct Base { virtual int area() const; virtual ~Base(); int side; };
struct Square : Base { Square(int s) { side = s; } int area() const override; template <class T> T scaled(T by); };
int Base::area() const { return 0; } Base::~Base() {}
int Square::area() const { return side * side; }
template <class T> T Square::scaled(T by) { return T(side) * by; }
}
static int helper(const char *text, ...) { return text[0]; }
[[noreturn]] void die(int code) { for (;;) asm volatile(""); }
inline int twice(int x) { return 2 * x; }
extern "C" int plain(int (*callback)(int), shapes::Square &square) {
    auto add = [&](int more) { return square.area() + more; };
    return callback(add(1)) + helper("x", 1) + twice((int)square.scaled(2.5));
}
int use() { shapes::Square square(2); return plain(twice, square); }
"""


def function_symbols(data: bytes) -> dict[tuple[int, int, int], set[str]]:
    table = ELFFile(io.BytesIO(data)).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    found: dict[tuple[int, int, int], set[str]] = {}
    for symbol in table.iter_symbols():
        if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF":
            found.setdefault((symbol["st_shndx"], symbol["st_value"], symbol["st_size"]), set()).add(symbol.name)
    return found


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("flags", [("-O0",), ("-O2",), ("-O0", "-ffunction-sections"), ("-O1", "-fPIC")])
def test_every_function_symbol_has_its_record(
    tmp_path: Path, compiler: str, version: str, flags: tuple[str, ...]
) -> None:
    data = compile_object(tmp_path, compiler, SOURCE, version, *flags)
    info = reader().read(data)
    symbols = function_symbols(data)
    described = {
        (part.location.section, part.location.value, part.size): record
        for record in info.functions
        for part in record.parts
    }
    assert set(described) == set(symbols)
    for place, record in described.items():
        if record.linkage:
            assert {name.split(".")[0] for name in symbols[place]} & {record.linkage, *symbols[place]}
        found = info.function_at(record.location.section, record.location.value)
        assert found == record


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_names_and_signatures(tmp_path: Path, compiler: str) -> None:
    info = read_object(tmp_path, compiler, SOURCE, "-O0")
    signatures = {record.name: record.signature for record in info.functions}
    assert signatures["shapes::Square::area"] == "int () const"
    assert signatures["shapes::Square::scaled<double>"] == "double (double)"
    assert signatures["shapes::Square::Square"] == "void (int)"
    assert signatures["helper"] == "int (const char*, ...)"
    assert signatures["plain"] == "int (int (*)(int), shapes::Square&)"
    assert signatures["plain()::<lambda>"] == "int (int) const"
    closure = function(info, "plain()::<lambda>")
    assert closure.is_lambda
    assert (closure.file, closure.line) == (str(tmp_path / "unit.cpp"), 14)
    assert function(info, "die").is_noreturn
    assert function(info, "plain").is_external
    assert not function(info, "helper").is_external
    assert function(info, "_ZNK6shapes6Square4areaEv").line == 7


@pytest.mark.parametrize("compiler", C_COMPILERS)
@pytest.mark.parametrize("version", VERSIONS)
def test_cold_part_belongs_to_its_function(tmp_path: Path, compiler: str, version: str) -> None:
    source = """
    extern int work(int); extern void report(const char *, int) __attribute__((cold));
    int check(int x) { if (__builtin_expect(x == 7, 0)) { report("seven", x); report("again", x); return work(x) + 1; }
                       return work(x); }"""
    flags = ("-O2", "-freorder-blocks-and-partition") if compiler == "gcc" else ("-O2", "-fsplit-machine-functions")
    info = read_object(tmp_path, compiler, source, version, *flags)
    record = function(info, "check")
    assert record.parts[0].location == record.location
    assert record.size == record.parts[0].size > 0
    if compiler == "gcc":
        assert len(record.parts) == 2
        assert record.parts[1].location.section != record.location.section


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_optimised_clones_keep_the_whole_signature(tmp_path: Path, compiler: str) -> None:
    source = """
    struct pair { int a, b; };
    static int __attribute__((noinline)) pick(struct pair *p, int unused, int fixed) { return p->a * fixed; }
    int use(struct pair *p) { return pick(p, 1, 3) + pick(p, 2, 3); }"""
    info = read_object(tmp_path, compiler, source, "-O2")
    assert function(info, "pick").signature == "int (pair*, int, int)"


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
@pytest.mark.parametrize("version", VERSIONS)
def test_lines_of_a_section(tmp_path: Path, compiler: str, version: str) -> None:
    source = (
        '#include "part.h"\nint first(int x)\n{\n  x += 2;\n  return part(x);\n}\nint second(int x) { return x; }\n'
    )
    (tmp_path / "part.h").write_text("inline int part(int x)\n{\n  return x * 3;\n}\n")
    data = compile_object(tmp_path, compiler, source, version, "-ffunction-sections")
    info = reader().read(data)
    first = function(info, "first")
    rows = info.lines(first.location.section)
    assert rows[0].offset == first.location.value
    assert rows[-1].is_end
    assert rows[-1].offset == first.location.value + first.size
    assert {row.file for row in rows} == {str(tmp_path / "unit.cpp")}
    assert [line for line in dict.fromkeys(row.line for row in rows) if line] == sorted(
        {2, 3, 4, 5, 6} & {row.line for row in rows}
    )
    part = info.lines(function(info, "part").location.section)
    assert {row.file for row in part} == {str(tmp_path / "part.h")}
    assert {row.line for row in part if not row.is_end} >= {3}
    assert info.lines(0) == ()


@pytest.mark.parametrize("compiler", C_COMPILERS)
@pytest.mark.parametrize("version", VERSIONS)
def test_lines_agree_with_readelf(tmp_path: Path, compiler: str, version: str) -> None:
    source = (
        "int g; int f(int x) {\n for (int i = 0; i < x; i++)\n  g += i;\n\n return g; }\nint h(void) { return f(3); }\n"
    )
    path = compile_file(tmp_path, compiler, source, version, "-O2", "-c")
    info = reader().read(path.read_bytes())
    section = function(info, "f").location.section
    ours = [(row.line, row.offset) for row in info.lines(section) if not row.is_end]
    text = subprocess.run(
        ["readelf", "--debug-dump=decodedline", path], capture_output=True, text=True, check=True
    ).stdout
    theirs = [
        (int(match[1]), int(match[2], 0))
        for match in re.finditer(r"^unit\.c +(\d+) +(0x[0-9a-f]+|0)\b", text, re.MULTILINE)
    ]
    assert ours == theirs


@pytest.mark.parametrize("compiler", C_COMPILERS)
@pytest.mark.parametrize("flags", [("-pie", "-fPIE"), ("-no-pie", "-fno-pie"), ("-shared", "-fPIC")])
def test_linked_files_have_addresses(tmp_path: Path, compiler: str, flags: tuple[str, ...]) -> None:
    source = "static int n = 4; int f(void) { static int n = 5; return ++n; }\nint main(void) { return f() + n++; }\n"
    path = compile_file(tmp_path, compiler, source, *flags)
    info = reader().read(path.read_bytes())
    assert not info.is_relocatable
    table = ELFFile(io.BytesIO(path.read_bytes())).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    symbols = {symbol.name: (symbol["st_value"], symbol["st_size"]) for symbol in table.iter_symbols()}
    for record in info.functions:
        assert (record.location.value, record.size) == symbols[record.name]
        assert (record.location.symbol, record.location.section) == (0, 0)
        rows = info.lines_between(record.location.value, record.location.value + record.size)
        assert rows[0].offset == record.location.value
        assert rows[0].line == record.line
    places = {record.name: record.location.value for record in info.variables}
    assert places["n"] == symbols["n"][0]
    assert places["f()::n"] in {value for name, (value, _) in symbols.items() if name in ("n.0", "n.1", "f.n")}


def test_units(tmp_path: Path) -> None:
    info = read_object(tmp_path, C_COMPILERS[0], "int x;", "-O1")
    (unit,) = info.units
    assert (unit.name, unit.comp_dir, unit.language) == ("unit.c", str(tmp_path), "c")
    assert "-O1" in unit.producer or "clang" in unit.producer
    (unit,) = read_object(tmp_path, CXX_COMPILERS[0], "int x;").units
    assert unit.language == "c++"
