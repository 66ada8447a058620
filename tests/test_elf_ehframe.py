"""Unwind tables of gcc, clang and gas, against readelf, pyelftools and the linker's own search table."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import pytest
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from hypothesis import given, settings
from hypothesis import strategies as st

from relive.elf.ehframe import DW_EH_PE_OMIT, Cie, Fde, build_eh_frame_hdr, encoded_size, parse_eh_frame
from relive.errors import FormatError
from tests.elf_programs import run

SOURCE = """
#include <stdexcept>
struct Guard { ~Guard(); };
void outside();
int with_cleanup() { Guard g; outside(); return 1; }
int with_catch() { try { outside(); } catch (const std::runtime_error &) { return 2; } return 3; }
int plain(int x) { return x + 1; }
template <class T> T generic(T t) { Guard g; outside(); return t; }
template long generic<long>(long);
"""


def section(elf: ELFFile, name: str) -> bytes:
    found = elf.get_section_by_name(name)
    assert found is not None
    return bytes(found.data())


@pytest.mark.parametrize(
    "flags", ["-O0 -fPIC", "-O2 -fno-pie", "-O1 -ffunction-sections -fcf-protection", "-Os -g -mcmodel=large"]
)
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_fields_are_exactly_where_relocations_sit(tmp_path: Path, compiler: str, flags: str) -> None:
    (tmp_path / "u.cpp").write_text(SOURCE)
    run(compiler, *flags.split(), "-c", "u.cpp", "-o", "u.o", cwd=tmp_path)
    elf = ELFFile(io.BytesIO((tmp_path / "u.o").read_bytes()))
    data = section(elf, ".eh_frame")
    records = parse_eh_frame(data)
    relocations = elf.get_section_by_name(".rela.eh_frame")
    assert isinstance(relocations, RelocationSection)
    wanted = {r.entry.r_offset for r in relocations.iter_relocations()}
    fdes = [r for r in records if isinstance(r, Fde)]
    cies = {r.offset: r for r in records if isinstance(r, Cie)}
    fields = {f.pc_begin for f in fdes} | {f.lsda for f in fdes if f.lsda is not None}
    fields |= {cie.personality for cie in cies.values() if cie.personality is not None}
    assert fields == wanted
    # the records tile the section
    assert [r.offset for r in records] == [0, *(r.offset + r.size for r in records[:-1])]
    assert records[-1].offset + records[-1].size == len(data)
    assert any(f.lsda for f in fdes)
    assert any(not f.lsda for f in fdes)
    for fde in fdes:
        assert int.from_bytes(data[fde.cie_pointer : fde.cie_pointer + 4], "little") == fde.cie_pointer - fde.cie
        assert fde.pc_size == encoded_size(cies[fde.cie].pc_encoding)
        assert (fde.lsda is None) == (cies[fde.cie].lsda_encoding == DW_EH_PE_OMIT)


def test_ranges_are_the_functions_sizes(tmp_path: Path) -> None:
    (tmp_path / "u.cpp").write_text(SOURCE)
    run("g++", "-O2", "-shared", "-fPIC", "-nostartfiles", "-nostdlib", "u.cpp", "-o", "u.so", cwd=tmp_path)
    elf = ELFFile(io.BytesIO((tmp_path / "u.so").read_bytes()))
    frames = elf.get_section_by_name(".eh_frame")
    assert frames is not None
    expected = {}
    for entry in elf.get_dwarf_info(relocate_dwarf_sections=False).EH_CFI_entries():
        if isinstance(entry, FDE):
            expected[entry.offset] = (entry.header["initial_location"], entry.header["address_range"])
    found = {}
    address = frames.header.sh_addr
    for fde in parse_eh_frame(bytes(frames.data())):
        if isinstance(fde, Fde):
            value = int.from_bytes(frames.data()[fde.pc_begin : fde.pc_begin + 4], "little", signed=True)
            found[fde.offset] = (address + fde.pc_begin + value, fde.pc_range)
    assert found == expected


def test_search_table_equals_the_linkers(tmp_path: Path) -> None:
    (tmp_path / "u.cpp").write_text(SOURCE + "int main() { return plain(3); }\nvoid outside() {}\nGuard::~Guard() {}\n")
    run("g++", "-O1", "u.cpp", "-o", "u", cwd=tmp_path)
    elf = ELFFile(io.BytesIO((tmp_path / "u").read_bytes()))
    header = elf.get_section_by_name(".eh_frame_hdr")
    frames = elf.get_section_by_name(".eh_frame")
    assert header is not None
    assert frames is not None
    start = frames.header.sh_addr
    data = bytes(frames.data())
    entries = [
        (start + f.pc_begin + struct.unpack_from("<i", data, f.pc_begin)[0], start + f.offset)
        for f in parse_eh_frame(data)
        if isinstance(f, Fde)
    ]
    assert build_eh_frame_hdr(entries[::-1], header.header.sh_addr, start) == bytes(header.data())


def test_search_table_of_nothing_and_of_too_far() -> None:
    assert build_eh_frame_hdr([], 0x1000, 0x2000) == b"\x01\x1b\x03\x3b" + struct.pack("<iI", 0xFFC, 0)
    for entries, frames in (([(1 << 33, 0x1000)], 0x1000), ([(0, 1 << 33)], 0x1000), ([], 1 << 40)):
        with pytest.raises(OverflowError):
            build_eh_frame_hdr(entries, 0x1000, frames)


def test_end_and_emptiness() -> None:
    assert parse_eh_frame(b"") == []
    assert parse_eh_frame(bytes(4)) == []
    assert parse_eh_frame(bytes(64)) == []


GOOD_CIE = struct.pack("<II", 16, 0) + b"\x01zR\0\x01\x78\x10\x01\x1b\0\0\0"
assert len(GOOD_CIE) == 20


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (struct.pack("<II", 100, 0), "does not fit"),
        (struct.pack("<I", 2) + b"\0\0", "does not fit"),
        (b"\xff" * 16, "64-bit"),
        (struct.pack("<III", 8, 4, 0), "has no CIE"),
        (struct.pack("<II", 4, 0), "ends too early"),
        (struct.pack("<II", 8, 0) + b"\x01abc", "ends too early"),
        (struct.pack("<II", 8, 0) + b"\x09\0\0\0", "version 9"),
        (GOOD_CIE.replace(b"zR", b"zX"), "augmentation"),
        (GOOD_CIE.replace(b"zR\0", b"eh\0"), "gcc 2"),
        (GOOD_CIE + struct.pack("<III", 8, 24, 0), "ends too early"),
        (GOOD_CIE.replace(b"\x1b", b"\x1f") + struct.pack("<IIII", 12, 24, 0, 0), "encoding 0x1f"),
    ],
)
def test_broken_tables_are_named(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        parse_eh_frame(data)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("eh")
    (directory / "u.cpp").write_text(SOURCE)
    run("g++", "-O1", "-c", "u.cpp", "-o", "u.o", cwd=directory)
    return section(ELFFile(io.BytesIO((directory / "u.o").read_bytes())), ".eh_frame")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_tables_give_format_errors_and_nothing_else(real: bytes, data: st.DataObject) -> None:
    mutated = bytearray(real)
    for _ in range(data.draw(st.integers(1, 5))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FormatError):
        for record in parse_eh_frame(bytes(mutated[: data.draw(st.integers(0, len(mutated)))])):
            assert 0 <= record.offset < record.offset + record.size <= len(mutated)
            if isinstance(record, Fde):
                assert record.pc_begin + 2 * record.pc_size <= record.offset + record.size
