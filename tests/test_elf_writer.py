"""Written shared objects are loaded by ld.so, called, unwound through, and read by readelf, objdump and gdb."""

from __future__ import annotations

import io
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section as ElfSection
from elftools.elf.sections import SymbolTableSection
from hypothesis import given
from hypothesis import strategies as st

from relive.elf import constants as c
from relive.elf.ehframe import Fde, build_eh_frame_hdr, parse_eh_frame
from relive.elf.gnuhash import gnu_hashes
from relive.elf.writer import PAGE, OutSection, OutSymbol, Segment, is_dynamic, plan_headers, write_shared_object
from tests.elf_programs import run

GLOBAL_FUNCTION = c.STB_GLOBAL << 4 | c.STT_FUNC
LOCAL_FUNCTION = c.STB_LOCAL << 4 | c.STT_FUNC
GLOBAL_OBJECT = c.STB_GLOBAL << 4 | c.STT_OBJECT
SONAME = "hot-1.so"
FREE = 0x7D0000000000
"""Far from where the kernel puts anything in a small program."""

RETURN_42 = b"\xb8\x2a\0\0\0\xc3"

LOADER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
extern "C" void thrower(void) { throw 7; }
extern "C" void stopper(void) { __builtin_trap(); }
int main(int argc, char **argv) {
  // a free range near this program, as the agent finds one
  char *low = (char *)((unsigned long)&main & ~0xfffffUL);
  void *base = mmap(low - 0x4000000, 0x400000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  munmap(base, 0x400000);
  printf("%p\n", base);
  fflush(stdout);
  char path[4096], name[4096];
  if (!fgets(path, sizeof path, stdin)) return 1;
  path[strcspn(path, "\n")] = 0;
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) { printf("%s\n", dlerror()); return 1; }
  struct link_map *map;
  dlinfo(handle, RTLD_DI_LINKMAP, &map);
  printf("l_addr %lx\n", (unsigned long)map->l_addr);
  while (fgets(name, sizeof name, stdin)) {
    name[strcspn(name, "\n")] = 0;
    void *f = dlsym(handle, name + 1);
    Dl_info info;
    if (!f || !dladdr(f, &info)) { printf("%s: missing\n", name); continue; }
    int result = -1;
    if (name[0] == 'c') result = ((int (*)(void))f)();
    if (name[0] == 'd') result = *(int *)f;
    if (name[0] == 's') ((void (*)(void (*)(void)))f)(stopper);
    if (name[0] == 't') {
      try { ((void (*)(void (*)(void)))f)(thrower); } catch (int thrown) { result = thrown; }
    }
    printf("%s %d %s %p %s\n", name + 1, result, info.dli_sname ? info.dli_sname : "-", info.dli_saddr, info.dli_fname);
  }
}
"""


@dataclass
class Patch:
    """A small linker for the tests: code at the start, then a data segment."""

    code: bytes
    functions: dict[bytes, int]
    """Name → offset in code."""
    local: dict[bytes, int] = field(default_factory=dict)
    variables: dict[bytes, int] = field(default_factory=dict)
    data: bytes = b""
    zeros: int = 0
    eh_frame: bytes = b""
    debug: bytes = b""

    def write(self, base: int) -> bytes:
        head = plan_headers(2, len(self.functions), len(SONAME) + 1 + sum(len(name) + 1 for name in self.functions))
        text = base + head
        image = bytes(head) + self.code
        image += bytes(-len(image) % 8)
        sections = [
            OutSection(".text", c.SHT_PROGBITS, c.SHF_ALLOC | c.SHF_EXECINSTR, text, b"", len(self.code), align=16)
        ]
        header = None
        if self.eh_frame:
            frames, at = bytearray(self.eh_frame), base + len(image)
            entries = []
            for fde in parse_eh_frame(self.eh_frame):
                if isinstance(fde, Fde):  # its only relocation: PC32 to the start of .text plus addend
                    addend = int.from_bytes(frames[fde.pc_begin : fde.pc_begin + 4], "little", signed=True)
                    distance = text + addend - (at + fde.pc_begin)
                    frames[fde.pc_begin : fde.pc_begin + 4] = distance.to_bytes(4, "little", signed=True)
                    entries.append((text + addend, at + fde.offset))
            sections.append(OutSection(".eh_frame", c.SHT_PROGBITS, c.SHF_ALLOC, at, b"", len(frames), align=8))
            image += bytes(frames) + bytes(8)  # zero terminator, alignment
            table = build_eh_frame_hdr(entries, base + len(image), at)
            header = (base + len(image), len(table))
            image += table
        segments = [Segment(base, image, len(image), c.PF_R | c.PF_X)]
        end = base + len(image)
        writable = (end + PAGE - 1) // PAGE * PAGE + end % PAGE // 16 * 16 + 16
        symbols = [OutSymbol(name, text + at, 6, GLOBAL_FUNCTION, 0) for name, at in self.functions.items()] + [
            OutSymbol(name, text + at, 6, LOCAL_FUNCTION, 0) for name, at in self.local.items()
        ]
        if self.data or self.zeros:
            flags = c.SHF_ALLOC | c.SHF_WRITE
            segments.append(Segment(writable, self.data, len(self.data) + self.zeros, c.PF_R | c.PF_W))
            data_index = len(sections)
            sections.append(OutSection(".data", c.SHT_PROGBITS, flags, writable, b"", len(self.data), align=16))
            sections.append(OutSection(".bss", c.SHT_NOBITS, flags, writable + len(self.data), b"", self.zeros))
            symbols += [
                OutSymbol(name, writable + at, 4, GLOBAL_OBJECT, data_index) for name, at in self.variables.items()
            ]
        if self.debug:
            sections.append(OutSection(".debug_str", c.SHT_PROGBITS, 0, 0, self.debug, len(self.debug)))
        symbols.append(OutSymbol(b"absolute", 0x1234, 0, c.STB_GLOBAL << 4, c.SHN_ABS))
        return write_shared_object(
            soname=SONAME, base=base, segments=segments, sections=sections, symbols=symbols,
            eh_frame_hdr=header, build_id=bytes(range(20)),
        )  # fmt: skip


SMALL = Patch(RETURN_42, {b"answer": 0}, {b"inner": 0}, {b"variable": 4}, (5).to_bytes(8, "big"), 9000, debug=b"text\0")


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("loader")
    (directory / "loader.cpp").write_text(LOADER)
    run("g++", "-g", "loader.cpp", "-o", "loader", "-ldl", cwd=directory)
    return directory / "loader"


def load(loader: Path, patch: Patch, requests: list[str], path: Path) -> tuple[int, list[list[str]]]:
    """Runs the loader with the patch written for the free range that it names; its answers."""
    with subprocess.Popen([loader], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        base = int(process.stdout.readline(), 16)
        path.write_bytes(patch.write(base))
        out, _ = process.communicate("\n".join([str(path), *requests]) + "\n")
    lines = [line.split() for line in out.splitlines()]
    assert process.returncode == 0, out
    assert lines[0] == ["l_addr", "0"]
    return base, lines[1:]


def read_without_warnings(path: Path) -> str:
    done = subprocess.run(["readelf", "-aW", path], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "arning" not in done.stdout
    return done.stdout


def test_loaded_at_its_own_addresses_and_called(loader: Path, tmp_path: Path) -> None:
    path = tmp_path / SONAME
    base, answers = load(loader, SMALL, ["canswer"], path)
    (called,) = answers
    assert called[:3] == ["answer", "42", "answer"]
    assert base < int(called[3], 16) < base + PAGE
    assert called[4] == str(path)


def test_readelf_and_objdump_have_nothing_to_say(tmp_path: Path) -> None:
    path = tmp_path / "s.so"
    for patch in (SMALL, Patch(RETURN_42, {}), Patch(RETURN_42, {b"f": 0}, eh_frame=assembled_eh_frame(tmp_path))):
        path.write_bytes(patch.write(0x7E0000000000))
        text = read_without_warnings(path)
        assert "000102030405060708090a0b0c0d0e0f10111213" in text
        assert "Error" not in text
        done = subprocess.run(["objdump", "-dx", path], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_pyelftools_reads_back_what_was_written(tmp_path: Path) -> None:
    base = 0x10000000
    elf = ELFFile(io.BytesIO(SMALL.write(base)))
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    found = {s.name: s.entry for s in table.iter_symbols()}
    assert content(elf, ".text") == RETURN_42
    assert found["answer"].st_value == found["inner"].st_value == section_named(elf, ".text").header.sh_addr
    assert elf.get_section(found["variable"].st_shndx).name == ".data"
    assert found["absolute"].st_shndx == "SHN_ABS"
    binds = [s.entry.st_info.bind for s in table.iter_symbols()]
    assert binds == sorted(binds, key=lambda b: b != "STB_LOCAL")
    assert table.header.sh_info == binds.count("STB_LOCAL")
    assert content(elf, ".debug_str") == b"text\0"
    dynamic = elf.get_section_by_name(".dynsym")
    assert isinstance(dynamic, SymbolTableSection)
    assert [s.name for s in dynamic.iter_symbols()] == ["", "answer"]
    for segment in elf.iter_segments():
        if segment.header.p_type == "PT_LOAD":
            assert segment.header.p_offset % PAGE == segment.header.p_vaddr % PAGE


def test_a_small_patch_is_small() -> None:
    assert len(Patch(RETURN_42, {b"answer": 0}).write(0x10000000)) < 2048


def test_data_and_zeros_are_writable_memory(loader: Path, tmp_path: Path) -> None:
    # mov rax, [rip+bss]; add the data word: reads both sides of the border between file bytes and zeros
    patch = Patch(RETURN_42, {b"answer": 0}, {}, {b"variable": 4}, (5).to_bytes(8, "big"), 20000)
    path = tmp_path / SONAME
    path.write_bytes(patch.write(FREE))
    variable = symbol_address(path, "variable")
    script = f"""
import ctypes
d = ctypes.CDLL({str(path)!r})
v = ctypes.c_int.from_address({variable})
z = (ctypes.c_char * 20000).from_address({variable + 4})
assert v.value == int.from_bytes((5).to_bytes(4, "big"), "little"), v.value
assert bytes(z) == bytes(20000)
v.value = 3; z[19999] = b"x"
print(d.answer(), v.value)
"""
    done = subprocess.run(["python3", "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["42", "3"], done.stderr


def section_named(elf: ELFFile, name: str) -> ElfSection:
    section = elf.get_section_by_name(name)
    assert section is not None, name
    return section


def content(elf: ELFFile, name: str) -> bytes:
    return bytes(section_named(elf, name).data())


def symbol_address(path: Path, name: str) -> int:
    table = ELFFile(io.BytesIO(path.read_bytes())).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    (symbol,) = table.get_symbol_by_name(name) or []
    return int(symbol.entry.st_value)


def test_a_thousand_functions_are_all_found(loader: Path, tmp_path: Path) -> None:
    count = 1000
    code = b"".join(b"\xb8" + n.to_bytes(4, "little") + b"\xc3" + b"\xcc" * 10 for n in range(count))
    functions = {f"_ZN3hot8functionILi{n}EEEv".encode(): 16 * n for n in range(count)}
    patch = Patch(code, functions, {b"local": 0})
    _, answers = load(loader, patch, ["c" + name.decode() for name in functions], tmp_path / SONAME)
    assert [a[1] for a in answers] == [str(n) for n in range(count)]
    assert [a[2] for a in answers] == [name.decode() for name in functions]
    read_without_warnings(tmp_path / SONAME)


CALLER = """
.text
.type call_it,@function
call_it:
.cfi_startproc
push %rbp
.cfi_def_cfa_offset 16
.cfi_offset 6, -16
mov %rsp, %rbp
.cfi_def_cfa_register 6
call *%rdi
pop %rbp
.cfi_def_cfa 7, 8
ret
.cfi_endproc
"""


def assembled(directory: Path) -> tuple[bytes, bytes]:
    """(.text, .eh_frame) of a function that calls its argument; `.eh_frame` with its relocation's addend filled in."""
    (directory / "caller.s").write_text(CALLER)
    run("as", "caller.s", "-o", "caller.o", cwd=directory)
    elf = ELFFile(io.BytesIO((directory / "caller.o").read_bytes()))
    return content(elf, ".text"), content(elf, ".eh_frame")


def assembled_eh_frame(directory: Path) -> bytes:
    return assembled(directory)[1]


def test_exceptions_pass_through_written_code(loader: Path, tmp_path: Path) -> None:
    code, eh_frame = assembled(tmp_path)
    patch = Patch(code, {b"call_it": 0}, eh_frame=eh_frame)
    _, answers = load(loader, patch, ["tcall_it", "tcall_it"], tmp_path / SONAME)
    assert [a[1] for a in answers] == ["7", "7"]


def test_gdb_knows_the_new_frames(loader: Path, tmp_path: Path) -> None:
    code, eh_frame = assembled(tmp_path)
    patch = Patch(code, {b"call_it": 0}, eh_frame=eh_frame)
    path = tmp_path / SONAME
    path.write_bytes(patch.write(FREE))
    requests = tmp_path / "requests"
    requests.write_text(f"{path}\nscall_it\n")
    gdb = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set auto-load safe-path /"]
    commands = [f"run < {requests}", f"info symbol {symbol_address(path, 'call_it') + 4}", "bt"]
    done = subprocess.run(
        [*gdb, *(word for command in commands for word in ("-ex", command)), loader],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert f"call_it + 4 in section .text of {path}" in done.stdout, done.stdout + done.stderr
    frames = re.findall(r"^#\d+ .*?(\w+) \(", done.stdout, re.MULTILINE)
    assert frames == ["stopper", "call_it", "main"]


def test_preconditions_are_assertions() -> None:
    page = Segment(0x10000, bytes(4096), 4096, 5)
    good = {
        "soname": "x", "base": 0x10000, "sections": [], "symbols": [], "eh_frame_hdr": None, "build_id": b"1",
    }  # fmt: skip
    assert write_shared_object(segments=[page], **good)  # type: ignore[arg-type]
    for segments in (
        [Segment(0x11000, bytes(4096), 4096, 5)],  # not at the base
        [Segment(0x10000, b"\x90" * 4096, 4096, 5)],  # no room for the headers
        [Segment(0x10000, bytes(64), 64, 5)],
        [page, Segment(0x10800, b"", 16, 6)],  # shares a page
        [page, Segment(0x20000, bytes(8), 4, 6)],
    ):
        with pytest.raises(AssertionError):
            write_shared_object(segments=segments, **good)  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        write_shared_object(
            segments=[page],
            **(good | {"sections": [OutSection(".text", 1, 6, 0x90000, b"", 4)]}),  # type: ignore[arg-type]
        )


@given(
    st.lists(st.binary(min_size=1, max_size=30).filter(lambda n: 0 not in n), max_size=12, unique=True),
    st.integers(1, 6),
)
def test_headers_fit_the_planned_room(names: list[bytes], segment_count: int) -> None:
    symbols = [OutSymbol(name, 0x10000, 1, GLOBAL_FUNCTION, c.SHN_UNDEF) for name in names]
    assert all(is_dynamic(s) for s in symbols)
    room = plan_headers(segment_count, len(names), 2 + sum(len(n) + 1 for n in names))
    segments = [Segment(0x10000, bytes(room), room, 5)]
    segments += [Segment(0x100000 * (k + 1), b"x", 1, 4) for k in range(1, segment_count)]
    write_shared_object(
        soname="x", base=0x10000, segments=segments, sections=[], symbols=symbols,
        eh_frame_hdr=(0x10000, 12), build_id=bytes(32),
    )  # fmt: skip


@given(st.lists(st.binary(max_size=300)))
def test_gnu_hash_of_many_names_at_once(names: list[bytes]) -> None:
    def one(name: bytes) -> int:
        value = 5381
        for byte in name:
            value = (value * 33 + byte) & 0xFFFFFFFF
        return value

    assert gnu_hashes(names).tolist() == [one(name) for name in names]
