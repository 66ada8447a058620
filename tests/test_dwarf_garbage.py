"""Damaged input gives FormatError, never a crash, and nothing leaks; an independent reader agrees on what is right."""

from __future__ import annotations

import contextlib
import io
import re
import resource
import subprocess
from pathlib import Path

import pytest
from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relive.dwarf import SOURCES
from relive.errors import FormatError
from tests.dwarf_objects import C_COMPILERS, CXX_COMPILERS, compile_object, reader

SOURCE = """
namespace n { struct V { virtual void f(); long v; };
  struct S : virtual V { int a; unsigned b : 3; union { int c; float d; };
  template <class T> T get(T t) { static T kept; return kept += t; } S *next; int (*call)(S *, ...); }; void V::f() {} }
enum class E : char { A, B = 3 }; n::S s; E e; thread_local int each; typedef struct { int x[4]; } list; list l;
int f(int x) { static int n; { static long n; n += x; } auto g = [&](int y) { return x + y; };
  return g(n) + s.get(x) + each; }
"""


def everything(data: bytes) -> int:
    """Asks for all there is; the sum of what was found."""
    info = reader().read(data)
    texts = [info.layout_text(i) + info.vtable_text(i) for i in range(len(info.type_rows))]
    sections = {record.location.section for record in info.functions}
    rows = [info.lines(section) for section in sections] if info.is_relocatable else []
    return len(texts) + len(info.types) + len(info.declared) + len(info.variables) + len(info.units) + len(rows)


@pytest.fixture(scope="module", params=[(compiler, version) for compiler in CXX_COMPILERS for version in ("4", "5")])
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    compiler, version = request.param
    return compile_object(tmp_path_factory.mktemp("sample"), compiler, SOURCE, f"-gdwarf-{version}")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(min_value=0), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 40),
)
def test_mutated_debug_sections(sample: bytes, edits: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(sample)
    places = [
        (section["sh_offset"], section["sh_size"])
        for section in ELFFile(io.BytesIO(sample)).iter_sections()
        if section.name.startswith((".debug", ".rela.debug")) and section["sh_size"]
    ]
    size = sum(length for _, length in places)
    for at, value in edits:
        left = at % size
        for offset, length in places:
            if left < length:
                data[offset + left] = value
                break
            left -= length
    if cut == 0:
        del data[edits[0][0] % len(data) :]
    with contextlib.suppress(FormatError):
        everything(bytes(data))


def test_under_sanitizers(tmp_path: Path) -> None:
    """The reader and a mutator in C, with address and undefined behaviour sanitizers (which also look for leaks)."""
    driver = Path(__file__).parent / "dwarf_fuzz.c"
    flags = ["-g", "-O1", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    command = ["gcc", *flags, "-fno-sanitize-recover=undefined", "-o", "fuzz", str(driver), *map(str, SOURCES)]
    subprocess.run(command, cwd=tmp_path, check=True)
    samples = []
    for compiler in CXX_COMPILERS:
        for number, extra in enumerate((["-gdwarf-4"], ["-gdwarf-5", "-O2"], ["-fdebug-types-section"])):
            samples.append(tmp_path / f"{compiler}{number}.o")
            samples[-1].write_bytes(compile_object(tmp_path, compiler, SOURCE, *extra))
    done = subprocess.run(
        ["./fuzz", "400", *map(str, samples)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "readable" in done.stdout


def test_warnings_of_both_compilers(tmp_path: Path) -> None:
    for compiler in C_COMPILERS:
        flags = ["-std=gnu11", "-O2", "-fsyntax-only", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
        subprocess.run([compiler, *flags, *map(str, SOURCES)], check=True)


def test_memory_stays_flat(sample: bytes) -> None:
    for _ in range(100):
        everything(sample)
    before = resident()
    for _ in range(900):
        everything(sample)
    grown = resident() - before
    assert grown < 4 << 20, f"{grown} bytes more after 900 reads of {len(sample)} bytes"


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def strings(die: DIE, name: str) -> str:
    value = die.attributes.get(name)
    return value.value.decode() if value else ""


def test_pyelftools_agrees(tmp_path: Path) -> None:
    """Sizes and members of all structs of a small object, read by somebody else (who cannot relocate thread-locals)."""
    data = compile_object(tmp_path, CXX_COMPILERS[0], SOURCE.replace("thread_local ", ""), "-gdwarf-4")
    dwarf = ELFFile(io.BytesIO(data)).get_dwarf_info()
    theirs: dict[str, tuple[int, list[tuple[str, int]]]] = {}
    for unit in dwarf.iter_CUs():
        for die in unit.iter_DIEs():
            if die.tag not in ("DW_TAG_structure_type", "DW_TAG_class_type") or "DW_AT_name" not in die.attributes:
                continue
            members = [
                (strings(kid, "DW_AT_name"), kid.attributes["DW_AT_data_member_location"].value)
                for kid in die.iter_children()
                if kid.tag == "DW_TAG_member"
                and "DW_AT_data_member_location" in kid.attributes
                and "DW_AT_name" in kid.attributes
            ]
            theirs[strings(die, "DW_AT_name")] = die.attributes["DW_AT_byte_size"].value, members
    info = reader().read(data)
    assert set(theirs) == {"V", "S"}
    for name, (size, members) in theirs.items():
        (index,) = info.find_types(f"n::{name}")
        text = info.layout_text(index)
        assert info.type(index).size == size
        for member, offset in members:
            shown = "vptr" if member.startswith("_vptr") else f"{member}:"
            assert re.search(rf"^{offset}(\.0)? {shown}", text, re.MULTILINE)
