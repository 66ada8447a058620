"""Images made by every linker, against pyelftools, readelf and objdump."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relive.elf import constants as c
from relive.elf.image import Image, StrippedError
from relive.errors import FormatError
from tests.elf_programs import LINKERS, Program, build_programs, run

VARIANTS = [(linker, pie) for pie in (True, False) for linker in LINKERS]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Program]:
    return {(p.linker, p.pie): p for p in build_programs(tmp_path_factory.mktemp("programs"))}


@pytest.fixture(params=VARIANTS, ids=lambda v: f"{v[0]}-{'pie' if v[1] else 'nopie'}")
def program(request: pytest.FixtureRequest, programs: dict[tuple[str, bool], Program]) -> Program:
    return programs[request.param]


@pytest.fixture
def image(program: Program) -> Image:
    return Image.parse(program.data, str(program.path))


@pytest.fixture
def oracle(program: Program) -> ELFFile:
    return ELFFile(io.BytesIO(program.data))


def names(image: Image, rows: list[int]) -> list[bytes]:
    return [image.symbols.name(row) for row in rows]


def the(rows: list[int]) -> int:
    (row,) = rows
    return row


def test_every_symbol_as_pyelftools_reads_it(image: Image, oracle: ELFFile) -> None:
    symbols = image.symbols
    table = oracle.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    expected = list(table.iter_symbols())
    assert len(symbols) == len(expected)
    for row, symbol in enumerate(expected):
        raw = symbols.raw_name(row).decode()
        entry = symbol.entry
        if symbols.type[row] != c.STT_SECTION:  # pyelftools gives those the section's name
            assert raw == symbol.name
        assert (int(symbols.value[row]), int(symbols.size[row])) == (entry.st_value, entry.st_size)
        assert (
            symbols.binding[row] == {"STB_LOCAL": 0, "STB_GLOBAL": 1, "STB_WEAK": 2, "STB_LOOS": 10}[entry.st_info.bind]
        )


def test_every_defined_name_is_found(image: Image) -> None:
    symbols = image.symbols
    entity = {c.STT_OBJECT, c.STT_FUNC, c.STT_TLS, c.STT_COMMON, c.STT_GNU_IFUNC}
    for row in range(1, len(symbols)):
        name = symbols.name(row)
        defined = name != b"" and symbols.shndx[row] != c.SHN_UNDEF
        assert (row in image.find_any(name)) == (defined and int(symbols.type[row]) in entity)
        unlisted = symbols.binding[row] == c.STB_LOCAL or symbols.type[row] in (c.STT_SECTION, c.STT_FILE)
        assert (row in image.find_global(name)) == (defined and not unlisted)
    assert image.find_any(b"no such name") == []
    assert image.find_any(b"") == []
    assert image.find_any(b"strlen") == [], "undefined: it lives in libc"


def test_notype_locals_are_never_bound(tmp_path: Path) -> None:
    (tmp_path / "n.s").write_text(
        '.data\n.globl g\nlabel: .quad 1\ng: .quad 2\n.section .note.GNU-stack,"",@progbits\n'
    )
    run("cc", "-shared", "-nostdlib", "n.s", "-o", "n.so", cwd=tmp_path)
    image = Image.parse((tmp_path / "n.so").read_bytes(), "n.so")
    assert image.find_any(b"label") == []
    assert image.find_any(b"g") == []
    assert len(image.find_global(b"g")) == 1


def test_same_static_in_two_files_is_told_apart_by_file_groups(image: Image) -> None:
    helpers = image.find_any(b"_ZL6helperi")
    assert len(helpers) == 2
    found = []
    for file, other in ((b"a.cpp", b"_ZN12_GLOBAL__N_19only_in_aEi"), (b"b.cpp", b"_ZL14implementationi")):
        (group,) = image.groups_named(file)
        inside = [row for row in helpers if group.first <= row < group.last]
        assert other in names(image, list(range(group.first, group.last)))
        found += inside
    assert sorted(found) == sorted(helpers)
    assert image.groups_named(b"c.cpp") == []
    groups = image.file_groups()
    assert all(a.last <= b.first for a, b in itertools.pairwise(groups))


def test_copied_variables_are_found_without_their_version(image: Image, program: Program) -> None:
    row = the(image.find_global(b"_ZSt4cout"))
    section = image.section_of(int(image.symbols.value[row]))
    assert section is not None
    assert section.type == c.SHT_NOBITS


def test_hidden_and_global_functions_are_found_by_any(image: Image) -> None:
    for name in (b"_Z15hidden_functioni", b"main", b"_Z5twiceIiET_S0_", b"_ZZ13inline_staticvE1s", b"per_thread"):
        assert len(image.find_any(name)) == 1, name


def test_content_of_initialised_and_zero_variables(image: Image) -> None:
    symbols = image.symbols
    row = the(image.find_any(b"_ZL9constants"))
    assert image.read(int(symbols.value[row]), int(symbols.size[row])) == b"".join(
        n.to_bytes(4, "little") for n in (11, 22, 33, 44)
    )
    row = the(image.find_any(b"zeros"))
    assert image.read(int(symbols.value[row]), 400) == bytes(400)
    with pytest.raises(FormatError):
        image.read(image.load_range[1] + 4096, 1)
    with pytest.raises(FormatError):
        image.read(int(symbols.value[row]), -1)


def test_content_and_section_of_every_allocated_section(image: Image, oracle: ELFFile) -> None:
    for section in oracle.iter_sections():
        header = section.header
        if header.sh_flags & c.SHF_ALLOC and header.sh_size and not header.sh_flags & c.SHF_TLS:
            found = image.section_of(header.sh_addr + header.sh_size - 1)
            assert found is not None
            assert found.name == section.name
            if header.sh_type != "SHT_NOBITS":
                assert image.read(header.sh_addr, header.sh_size) == section.data()
    assert image.section_of(image.load_range[1] + 4096) is None


def test_build_id_needed_tls_and_range(image: Image, program: Program) -> None:
    notes = run("readelf", "-n", program.path)
    assert f"Build ID: {image.build_id.hex()}\n" in notes
    assert image.needed() == re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", program.path))
    assert image.is_pie_or_so == program.pie
    (vaddr, memsz, align) = re.findall(
        r"^  TLS +0x\w+ (0x\w+) 0x\w+ 0x\w+ (0x\w+) \w+ +(0x\w+)", run("readelf", "-lW", program.path), re.MULTILINE
    )[0]
    assert image.tls == (int(vaddr, 16), int(memsz, 16), int(align, 16))
    low, high = image.load_range
    assert low % 4096 == high % 4096 == 0
    assert all(low <= s.vaddr and s.vaddr + s.memsz <= high for s in image.segments)


def test_functions_by_address(image: Image) -> None:
    symbols = image.symbols
    functions = [
        row for row in range(len(symbols)) if symbols.type[row] == c.STT_FUNC and symbols.shndx[row] != c.SHN_UNDEF
    ]
    for row in functions:
        start, size = int(symbols.value[row]), int(symbols.size[row])
        assert image.functions_at(start) == [r for r in functions if int(symbols.value[r]) == start]
        for address in {start, start + size // 2, start + size - 1} if size else ():
            found = image.symbol_covering(address)
            assert found is not None
            assert int(symbols.value[found]) <= address < int(symbols.value[found]) + int(symbols.size[found])
    assert {b"aliased", b"alias_of"} <= set(
        names(image, image.functions_at(int(symbols.value[the(image.find_any(b"aliased"))])))
    )
    for nowhere in (0, 1 << 63, 1 << 64, -1):
        assert image.symbol_covering(nowhere) is None
        assert image.functions_at(nowhere) == ([] if nowhere else image.functions_at(0))


def test_plt_stubs_as_objdump_names_them(image: Image, program: Program) -> None:
    text = run("objdump", "-d", program.path)
    expected = {
        int(address, 16): name.encode()
        for address, name in re.findall(r"^(\w+) <([\w.]+)(?:@|\$)plt(?:got)?>:$", text, re.MULTILINE)
    }
    found = image.plt_targets()
    assert len(expected) > 3
    assert {a: n for a, n in found.items() if a in expected} == expected
    # objdump cannot name the stub of our own IFUNC, we can; nothing else is left over
    assert set(found.values()) - set(expected.values()) <= {b"selected"}
    assert b"selected" in found.values()
    assert b"strlen" in found.values()


def test_got_slots_as_readelf_names_them(image: Image, program: Program) -> None:
    expected = {
        int(slot, 16): name.encode()
        for slot, name in re.findall(
            r"^(\w+) +\w+ R_X86_64_(?:GLOB_DAT|JUMP_SLOT)\w* .* ([\w.]+)(?:@\S+)? \+ 0$",
            run("readelf", "-rW", program.path),
            re.MULTILINE,
        )
    }
    own = {slot: name for slot, name in image.got_targets().items() if name == b"selected"}
    assert image.got_targets() == expected | own


@pytest.mark.parametrize("flags", [["-fcf-protection=full", "-Wl,-z,ibtplt"], ["-Wl,-z,now"], ["-Wl,-z,lazy"]])
@pytest.mark.parametrize("linker", LINKERS)
def test_plt_with_and_without_cet(tmp_path: Path, flags: list[str], linker: str) -> None:
    if "-z,ibtplt" in flags[-1]:
        flags = [flags[0], "-Wl,-z,ibtplt" if linker == "bfd" else "-Wl,-z,ibt" if linker == "mold" else "-Wl,-z,now"]
        if linker == "lld":
            flags[-1] = "-Wl,-z,force-ibt"
    (tmp_path / "p.c").write_text(
        "#include <stdlib.h>\n#include <stdio.h>\nvoid *keep = (void *)getenv;\n"
        "int main(int n, char **v) { puts(v[0]); return atoi(v[n - 1]) + (getenv(v[0]) != 0); }\n"
    )
    run("gcc", f"-fuse-ld={linker}", *flags, "p.c", "-o", "p", cwd=tmp_path)
    image = Image.parse((tmp_path / "p").read_bytes(), "p")
    targets = image.plt_targets()
    assert {b"puts", b"atoi", b"getenv"} <= set(targets.values())
    # every direct call of main into the PLT arrives at a stub we know
    text = run("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", tmp_path / "p")
    calls = [int(a, 16) for a in re.findall(r"call +([0-9a-f]+) ", text)]
    assert sorted(targets[a] for a in calls) == [b"atoi", b"getenv", b"puts"]


def test_c_library_versions_prefer_the_default(tmp_path: Path) -> None:
    (tmp_path / "v.c").write_text(
        'int old(void) { return 1; }\nint new(void) { return 2; }\n__asm__(".symver old,f@V1");\n'
        '__asm__(".symver new,f@@V2");\nint plain(void) { return 3; }\n'
    )
    (tmp_path / "v.map").write_text("V1 { global: plain; };\nV2 { } V1;\n")
    run("gcc", "-shared", "-fPIC", "v.c", "-Wl,--version-script=v.map", "-o", "v.so", cwd=tmp_path)
    image = Image.parse((tmp_path / "v.so").read_bytes(), "v.so")
    assert image.symbols.raw_name(the(image.find_global(b"f"))) == b"f@@V2"
    assert len(image.find_global(b"plain")) == 1


def test_stripped_is_refused_or_read_from_dynsym(tmp_path: Path) -> None:
    (tmp_path / "s.c").write_text("int exported(void) { return 1; }\nstatic int own(void) { return 2; }\n")
    run("gcc", "-shared", "-fPIC", "-s", "s.c", "-o", "s.so", cwd=tmp_path)
    data = (tmp_path / "s.so").read_bytes()
    with pytest.raises(StrippedError) as error:
        Image.parse(data, "s.so")
    assert error.value.code == "stripped"
    image = Image.parse(data, "s.so", allow_stripped=True)
    assert image.stripped
    assert len(image.find_global(b"exported")) == 1
    assert image.find_any(b"own") == []


def test_static_program(tmp_path: Path) -> None:
    (tmp_path / "s.c").write_text("#include <string.h>\nint main(int n, char **v) { return strlen(v[0]) + n; }\n")
    run("gcc", "-static", "-fno-builtin", "s.c", "-o", "s", cwd=tmp_path)
    image = Image.parse((tmp_path / "s").read_bytes(), "s")
    assert image.needed() == []
    assert len(image.find_any(b"main")) == 1
    assert b"strlen" in image.plt_targets().values(), "static programs call IFUNCs through a PLT too"


def test_library_of_clang(tmp_path: Path) -> None:
    (tmp_path / "l.c").write_text("static int s(void) { return 4; }\nint f(void) { return s(); }\n")
    clang = shutil.which("clang")
    assert clang, "clang is a test dependency"
    run(clang, "-O0", "-shared", "-fPIC", "l.c", "-o", "l.so", cwd=tmp_path)
    image = Image.parse((tmp_path / "l.so").read_bytes(), "l.so")
    (group,) = image.groups_named(b"l.c")
    assert group.first <= the(image.find_any(b"s")) < group.last


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "too short"),
        (b"\x7fELF", "too short"),
        (b"#!/bin/sh\necho this is a script and not an ELF file, but it is long enough to look\n", "not an ELF file"),
        (b"\x7fELF\x01\x01\x01" + bytes(100), "x86-64"),
    ],
)
def test_what_is_no_image_says_so(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        Image.parse(data, "x")


def test_objects_and_truncated_files_are_refused(program: Program) -> None:
    data = program.data
    with pytest.raises(FormatError, match="truncated"):
        Image.parse(data[: len(data) - 100], "x")
    unit = program.path.parent / f"a-{'pie' if program.pie else 'nopie'}.o"
    with pytest.raises(FormatError, match="not an executable"):
        Image.parse(unit.read_bytes(), "a.o")


# --- robustness ------------------------------------------------------------------------------------------------------


def exercise(data: bytes) -> None:
    """Every question an image answers, at symbols that it says it has."""
    image = Image.parse(data, "mutated", allow_stripped=True)
    questions = [image.needed, image.got_targets, image.plt_targets, image.file_groups]
    for question in questions:
        with contextlib.suppress(FormatError):
            question()
    symbols = image.symbols
    for row in range(min(len(symbols), 200)):
        name = symbols.name(row)
        image.find_any(name)
        image.find_global(name)
        image.groups_named(name)
        value = int(symbols.value[row])
        image.functions_at(value)
        image.symbol_covering(value + 1)
        image.section_of(value)
        with contextlib.suppress(FormatError):
            assert len(image.read(value, min(int(symbols.size[row]), 1 << 20))) <= 1 << 20


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("tiny")
    (directory / "t.c").write_text('int puts(const char *); int v = 3; int main(void) { return puts("") + v; }\n')
    subprocess.run(["gcc", "t.c", "-o", "t"], cwd=directory, check=True)
    return (directory / "t").read_bytes()


def header_ranges(data: bytes) -> Iterator[range]:
    yield range(1200)
    yield range(len(data) - 2200, len(data))
    for section in ELFFile(io.BytesIO(data)).iter_sections():
        if section.header.sh_type in ("SHT_SYMTAB", "SHT_DYNSYM", "SHT_RELA", "SHT_DYNAMIC", "SHT_STRTAB", "SHT_NOTE"):
            yield range(section.header.sh_offset, section.header.sh_offset + section.header.sh_size)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_images_give_format_errors_and_nothing_else(tiny: bytes, data: st.DataObject) -> None:
    ranges = list(header_ranges(tiny))
    mutated = bytearray(tiny)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.sampled_from(ranges).flatmap(lambda r: st.sampled_from(r)))
        mutated[at] = data.draw(st.sampled_from([0, 1, 2, 3, 0x7F, 0x80, 0xFF, mutated[at] ^ 1, mutated[at] ^ 0x80]))
    if data.draw(st.booleans()):
        del mutated[data.draw(st.integers(0, len(mutated))) :]
    with contextlib.suppress(FormatError):
        exercise(bytes(mutated))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_behind_a_good_start(tail: bytes) -> None:
    start = bytes.fromhex("7f454c4602010100") + bytes(8) + bytes.fromhex("03003e0001000000")
    with contextlib.suppress(FormatError):
        exercise(start + tail)
