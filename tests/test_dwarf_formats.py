"""The same unit told in every form that compilers offer must read the same; what we do not read says so."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from relive.dwarf.model import NoDebugInfoError
from relive.dwarf.reader import DebugInfo
from relive.errors import FormatError
from tests.dwarf_objects import C_COMPILERS, CXX_COMPILERS, compile_file, compile_object, layout, read_object, reader

SOURCE = """
#include <string>
#include <vector>
namespace n {
struct T { int a; struct In { double d; virtual void f(); } in; T *next; std::string s; virtual void go();
           static int st; enum class E { A, B } e; void m(); union { int u; float v; }; struct { int w; } sub; };
typedef struct { T *head; } List;
void T::In::f() {} void T::go() { static int x; x++; } void T::m() {} int T::st = 3; }
n::T t; n::T::In in; std::vector<n::T> v; n::List list;
"""

Told = tuple[Mapping[str, tuple[object, ...]], Mapping[str, tuple[object, ...]], Mapping[str, tuple[object, ...]]]


def told(info: DebugInfo) -> Told:
    """What must not depend on the form: our types, variables and functions without symbol numbers."""
    names = [
        name for name in info.types if name.startswith(("n::", "std::vector<n::T", "std::__cxx11::basic_string<char"))
    ]
    types = {
        name: (info.layout_text(i), info.vtable_text(i), info.type(i).deep_hash)
        for name in names
        for i in info.find_types(name)[:1]
        if "_Temporary_value" not in name and "_Guard" not in name and "__sv_wrapper" not in name
    }
    variables = {r.name: (r.type, r.type_hash, r.size, r.owner, r.file, r.line) for r in info.variables}
    functions = {r.linkage or r.name: (r.name, r.signature, r.size, r.file, r.line) for r in info.functions}
    return types, variables, functions


FORMS = {
    "dwarf-3": ["-gdwarf-3"],
    "dwarf-4": ["-gdwarf-4"],
    "dwarf64": ["-gdwarf64"],
    "zlib": ["-gz=zlib"],
    "type units 4": ["-gdwarf-4", "-fdebug-types-section"],
    "type units 5": ["-gdwarf-5", "-fdebug-types-section"],
    "fat lto": ["-flto", "-ffat-lto-objects"],
    "sections": ["-ffunction-sections", "-fdata-sections"],
}
ONLY_GCC = {"fat lto"}


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
@pytest.mark.parametrize("form", FORMS)
def test_all_forms_tell_the_same(tmp_path: Path, compiler: str, form: str) -> None:
    if compiler == "clang++" and form in ONLY_GCC:
        form = "dwarf-4"
    plain = read_object(tmp_path, compiler, SOURCE, "-gdwarf-5")
    other = read_object(tmp_path, compiler, SOURCE, *FORMS[form])
    expected, found = told(plain), told(other)
    assert expected[0].keys() == found[0].keys()
    for name in expected[0]:
        assert found[0][name] == expected[0][name], name
    assert found[1] == expected[1]
    assert found[2] == expected[2]
    assert layout(other, "n::List") == ["struct size 8", "0 head: n::T*"]


def test_old_style_compression(tmp_path: Path) -> None:
    """.zdebug_* sections, as binutils before 2.26 wrote them."""
    path = compile_file(tmp_path, CXX_COMPILERS[0], SOURCE, "-c")
    before = reader().read(path.read_bytes())
    subprocess.run(["objcopy", "--compress-debug-sections=zlib-gnu", path], check=True)
    data = path.read_bytes()
    assert ELFFile(io.BytesIO(data)).get_section_by_name(".zdebug_info") is not None
    assert told(reader().read(data)) == told(before)


def test_several_units_in_one_object(tmp_path: Path) -> None:
    """ld -r: the type is there twice, its table entry once; file-static variables keep apart by unit."""
    for name, text in {
        "a": "struct s { int x; }; static struct s v; int f(void) { return v.x; }",
        "b": "struct s { int x; }; static struct s v; int g(void) { return v.x; }",
    }.items():
        (tmp_path / f"{name}.c").write_text(text)
    subprocess.run([C_COMPILERS[0], "-g", "-c", "a.c", "b.c"], cwd=tmp_path, check=True)
    subprocess.run(["ld", "-r", "-o", "both.o", "a.o", "b.o"], cwd=tmp_path, check=True)
    info = reader().read((tmp_path / "both.o").read_bytes())
    assert [unit.name for unit in info.units] == ["a.c", "b.c"]
    assert list(info.types) == ["s"]
    assert [(record.name, record.unit) for record in info.variables] == [("v", 0), ("v", 1)]
    assert len({record.location for record in info.variables}) == 2


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_split_dwarf_is_refused_with_the_way_out(tmp_path: Path, compiler: str) -> None:
    for version in ("-gdwarf-4", "-gdwarf-5"):
        data = compile_object(tmp_path, compiler, "int x; int f(void) { return x; }", version, "-gsplit-dwarf")
        with pytest.raises(FormatError, match="split DWARF") as caught:
            reader().read(data)
        assert "-gsplit-dwarf" in caught.value.hint


def test_zstd_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """gcc 13 with -gz=zstd; written here by changing the compression header of a zlib section."""
    data = bytearray(compile_object(tmp_path, C_COMPILERS[0], "int x = 3;" + "int unused;" * 99, "-gz=zlib"))
    elf = ELFFile(io.BytesIO(bytes(data)))
    for section in elf.iter_sections():
        if section.name.startswith(".debug") and section["sh_flags"] & 0x800:
            data[section["sh_offset"]] = 2
    with pytest.raises(FormatError, match="zstd") as caught:
        reader().read(bytes(data))
    assert "-gz" in caught.value.hint


def test_no_debug_information(tmp_path: Path) -> None:
    (tmp_path / "plain.c").write_text("int x;")
    subprocess.run([C_COMPILERS[0], "-c", "plain.c"], cwd=tmp_path, check=True)
    with pytest.raises(NoDebugInfoError) as caught:
        reader().read((tmp_path / "plain.o").read_bytes())
    assert (caught.value.code, caught.value.hint) == ("no-debug-info", "compile with -g")


def test_assembler_source(tmp_path: Path) -> None:
    (tmp_path / "a.S").write_text(".text\n.globl f\n.type f, @function\nf: ret\n.size f, .-f\n")
    subprocess.run([C_COMPILERS[0], "-g", "-c", "a.S"], cwd=tmp_path, check=True)
    info = reader().read((tmp_path / "a.o").read_bytes())
    assert [unit.language for unit in info.units] == ["asm"]
    assert (len(info.types), info.variables) == (0, ())
    assert [function.name for function in info.functions] == ["f"]


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_line_tables_only(tmp_path: Path, compiler: str) -> None:
    info = read_object(tmp_path, compiler, "struct s { int a; } x; int f(void) { return x.a; }", "-g1")
    assert dict(info.types) == {}
    assert "f" in {record.name for record in info.functions} or compiler == "clang"


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"!<arch>\n" + bytes(99), bytes(200), b"\x7fELF\x01\x01\x01" + bytes(99)]
)
def test_not_an_object(data: bytes) -> None:
    with pytest.raises(FormatError):
        reader().read(data)


def test_memoryview_is_read_without_a_copy(tmp_path: Path) -> None:
    data = compile_object(tmp_path, C_COMPILERS[0], "struct s { int a; } x;")
    info = reader().read(memoryview(b"....." + data)[5:])
    del data
    assert "s" in info.types


def test_what_was_read_may_be_closed(tmp_path: Path) -> None:
    info = read_object(tmp_path, C_COMPILERS[0], "struct s { int a; } x;")
    table = info.type_table()
    info.close()
    assert len(table.names) == 1
    with pytest.raises(AssertionError, match="after close"):
        info.functions  # noqa: B018
