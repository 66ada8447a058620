"""Relocatable objects of real compilers, against pyelftools; broken ones give FormatError and nothing else."""

from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection
from hypothesis import given, settings
from hypothesis import strategies as st

from relive.diff.atoms import Atoms, Interner
from relive.elf import constants as c
from relive.elf.object import ElfObject
from relive.errors import FormatError
from tests.diff_objects import OURS, compile_unit

SOURCE = r"""
extern "C" int outside(int); int zeros[10]; static int counter = 3; thread_local int mine = 4; int common;
template <class T> T twice(T x) { return x + x; } struct Base { virtual ~Base() {} virtual int f() { return 1; } };
int first(int x) { try { return outside(x) + twice(x); } catch (int) { return counter++; } }
const char *second(int x) { static const char *names[] = {"one", "two"}; return names[x]; }
Base *third() { return new Base; } long fourth() { return twice(4L) + mine + zeros[3]; }
"""
FLAVOURS = {
    "gcc": ("g++", "-O0"),
    "sections": ("g++", "-O2", "-g", *OURS),
    "clang": ("clang++", "-O1", "-g", "-fPIC"),
    "addrsig": ("clang++", "-O0", "-faddrsig", *OURS),
    "large": ("g++", "-O1", "-mcmodel=large"),
}


@pytest.fixture(params=FLAVOURS)
def data(request: pytest.FixtureRequest) -> bytes:
    compiler, *flags = FLAVOURS[request.param]
    return compile_unit(compiler, SOURCE, *flags)


def test_sections_as_pyelftools_reads_them(data: bytes) -> None:
    obj = ElfObject.parse(data, "u.o")
    elf = ELFFile(io.BytesIO(data))
    assert len(obj.sections) == elf.num_sections() == len(obj.section_names)
    for index, section in enumerate(elf.iter_sections()):
        assert obj.section_names[index] == section.name
        for ours in ("offset", "size", "flags", "link", "info", "addralign", "entsize"):
            assert int(obj.sections[ours][index]) == section.header[f"sh_{ours}"]
        stored = section.header["sh_type"] not in ("SHT_NOBITS", "SHT_NULL")
        assert obj.content(index) == (section.data() if stored else b"")
    assert obj.section_index(".text") == obj.section_names.index(".text")
    assert obj.section_index(".nothing") is None


def test_symbols_as_pyelftools_reads_them(data: bytes) -> None:
    obj = ElfObject.parse(data, "u.o")
    table = ELFFile(io.BytesIO(data)).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    assert len(obj.symbols) == table.num_symbols() == len(obj.symbol_names) == len(obj.symbol_sections)
    special = {"SHN_UNDEF": c.SHN_UNDEF, "SHN_ABS": c.SHN_ABS, "SHN_COMMON": c.SHN_COMMON}
    for index, symbol in enumerate(table.iter_symbols()):
        if symbol["st_info"]["type"] != "STT_SECTION":
            assert obj.symbol_names[index].decode() == symbol.name
        assert (int(obj.symbols["value"][index]), int(obj.symbols["size"][index])) == (
            symbol["st_value"], symbol["st_size"],
        )  # fmt: skip
        place = symbol["st_shndx"]
        assert int(obj.symbol_sections[index]) == special.get(place, place)


def test_relocations_are_all_there_and_sorted(data: bytes) -> None:
    obj = ElfObject.parse(data, "u.o")
    rows = obj.relocations()
    keys = list(zip(rows["section"].tolist(), rows["offset"].tolist(), strict=True))
    assert keys == sorted(keys)
    expected = []
    elf = ELFFile(io.BytesIO(data))
    for section in elf.iter_sections():
        if not isinstance(section, RelocationSection):
            continue
        target = section["sh_info"]
        entries = [
            (target, r["r_info_sym"], r["r_info_type"], r["r_offset"], r["r_addend"])
            for r in section.iter_relocations()
        ]
        raw = obj.relocations_of(target)
        fields = ("symbol", "type", "offset", "addend")
        assert [(target, *(int(r[f]) for f in fields)) for r in raw] == entries
        if elf.get_section(target)["sh_flags"] & c.SHF_ALLOC:
            expected += entries
    assert sorted(tuple(int(v) for v in row.tolist()) for row in rows) == sorted(expected)
    assert len(expected) > 20
    assert len(obj.relocations_of(obj.section_names.index(".comment"))) == 0


def test_unsorted_relocations_are_sorted() -> None:
    data = bytearray(compile_unit("gcc", "int a(int); int f(void) { return a(1) + a(2) + a(3); }", "-O0"))
    before = ElfObject.parse(bytes(data), "u.o")
    section = before.section_names.index(".rela.text")
    offset, size = int(before.sections["offset"][section]), int(before.sections["size"][section])
    entries = [bytes(data[at : at + 24]) for at in range(offset, offset + size, 24)]
    assert len(entries) == 3
    data[offset : offset + size] = b"".join(reversed(entries))
    after = ElfObject.parse(bytes(data), "u.o")
    assert after.relocations_of(1)["offset"].tolist() == before.relocations_of(1)["offset"].tolist()[::-1]
    assert after.relocations().tolist() == before.relocations().tolist()


def test_more_sections_than_sixteen_bits_say() -> None:
    many = "\n".join(f'.section .s{n},"a"; .globl g{n}; g{n}: .byte {n & 255}' for n in range(66000))
    data = compile_unit("gcc", f".text\n.quad g65990\n{many}\n", "-Wa,-W", name="unit.s")
    assert struct.unpack_from("<H", data, 60) == (0,)
    obj = ElfObject.parse(data, "u.o")
    assert len(obj.sections) > 66000
    assert len(set(obj.section_names)) == len(obj.section_names)
    for n in (0, 65200, 65300, 65535, 65999):
        row = obj.symbol_names.index(b"g%d" % n)
        section = int(obj.symbol_sections[row])
        assert obj.section_names[section] == f".s{n}"
        assert obj.content(section) == bytes([n & 255])
    (relocation,) = obj.relocations_of(1)
    assert obj.symbol_names[int(relocation["symbol"])] == b"g65990"


def test_the_empty_object() -> None:
    obj = ElfObject.empty("nothing")
    assert len(obj.relocations()) == 0
    assert obj.section_index(".text") is None
    assert Atoms(obj, Interner()).functions() == []


def test_an_object_without_symbols() -> None:
    obj = ElfObject.parse(compile_unit("gcc", "", "-O0"), "u.o")
    assert len(obj.relocations()) == 0
    assert Atoms(obj, Interner()).by_name == {}


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (0, b"!<arch>\n", "not an ELF file"),
        (0, b"BC\xc0\xde", "not an ELF file"),
        (4, b"\x01", "64-bit"),
        (5, b"\x02", "64-bit"),
        (16, b"\x02\x00", "relocatable"),
        (18, b"\xb7\x00", "machine 183"),
        (40, bytes(8), "section headers"),
        (40, b"\xff" * 8, "section headers"),
        (58, b"\x28\x00", "section headers"),
        (60, b"\xff\xfe", "section headers"),
        (62, b"\x00\xf0", "names"),
    ],
)
def test_broken_headers_are_named(offset: int, value: bytes, words: str) -> None:
    data = bytearray(compile_unit("gcc", "int f(void) { return 1; }", "-O0"))
    data[offset : offset + len(value)] = value
    with pytest.raises(FormatError, match=words):
        ElfObject.parse(bytes(data), "u.o")


def test_every_truncation_is_an_error() -> None:
    data = compile_unit("gcc", "int a(int); int f(void) { return a(1); }", "-O0")
    for size in range(len(data)):  # the section headers are last
        with pytest.raises(FormatError):
            ElfObject.parse(data[:size], "u.o")


def use(data: bytes) -> None:
    """All that is read of an object before anything is decided."""
    obj = ElfObject.parse(data, "u.o")
    obj.relocations()
    for index in range(len(obj.sections)):
        obj.content(index)
    Atoms(obj, Interner())


@settings(max_examples=400, deadline=None)
@given(draw=st.data())
def test_mutated_objects_give_format_errors_and_nothing_else(draw: st.DataObject) -> None:
    data = bytearray(compile_unit("gcc", "static int s; int a(int); int f(int x) { return a(x) + s++; }", "-O0"))
    table = struct.unpack_from("<Q", data, 40)[0]
    obj = ElfObject.parse(bytes(data), "u.o")
    interesting = [(0, 64), (table, len(data))]
    interesting += [
        (int(s["offset"]), int(s["offset"] + s["size"]))
        for s in obj.sections
        if s["type"] in (c.SHT_SYMTAB, c.SHT_RELA, c.SHT_STRTAB) and s["size"]
    ]
    for _ in range(draw.draw(st.integers(1, 4))):
        low, high = draw.draw(st.sampled_from(interesting))
        data[draw.draw(st.integers(low, high - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(FormatError), np.errstate(all="raise"):
        use(bytes(data[: draw.draw(st.integers(0, len(data)))] if draw.draw(st.booleans()) else data))
