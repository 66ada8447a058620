"""The written file: what ld.so, the unwinder, readelf and a debugger make of it. And it runs."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import multiprocessing
import re
from pathlib import Path

import pytest

from relive.arch import x86_64
from relive.link.model import Address
from tests.dwarf_objects import function, reader, variable
from tests.link_objects import BASE, FAR, Bench, Linked, Process, loads, rehomed, tool

PAGE = 4096


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


OLD = "static int kept = 4; int f(int x) { return kept; } int g(void) { return 2; }"
NEW = """static int kept = 4; int fresh = 9; char aligned[100] __attribute__((aligned(64))) = "x";
static int zeros[3000]; static const double ratio = 2.5; extern int far_away(int);
static int helper(int x) { return x + kept + zeros[x]; }
int f(int x) { return helper(x) + fresh + aligned[1] + (int)(ratio * x) + far_away(x); } int g(void) { return 3; }"""


def example(bench: Bench, *flags: str, debug_info: bool = False) -> Linked:
    bench.process.outside[b"far_away"] = FAR
    return bench.link(bench.unit(OLD, NEW, *flags), debug_info=debug_info)


def test_segments(bench: Bench) -> None:
    linked = example(bench)
    segments = loads(linked.patch.file)
    assert [flags for flags, _, _ in segments] == [4, 5, 6], "nothing is both writable and executable"
    assert segments[0][1] == BASE == linked.patch.base
    for (_, low, content), (_, following, _) in itertools.pairwise(segments):
        assert low + len(content) <= following
        assert following % PAGE == 0
    end = segments[-1][1] + len(segments[-1][2])
    assert end <= BASE + linked.patch.size
    assert linked.patch.size % PAGE == 0
    header = tool("readelf", "-hW", str(linked.path))
    assert re.search(r"Type: +DYN", header)
    assert "(SONAME)" in tool("readelf", "-dW", str(linked.path))
    assert "patch.so" in tool("readelf", "-dW", str(linked.path))


def test_content_and_places(bench: Bench) -> None:
    linked = example(bench)
    fresh, aligned, zeros = (linked.address(name) for name in ("fresh", "aligned", "zeros"))
    assert linked.read(fresh, 4) == (9).to_bytes(4, "little")
    assert linked.read(aligned, 2) == b"x\0"
    assert aligned % 64 == 0
    assert linked.read(zeros, 12000) == bytes(12000)
    assert all(linked.is_writable(at) for at in (fresh, aligned, zeros))
    assert len(linked.patch.file) < 20000, "zeros take no room in the file"
    code = linked.functions["f"]
    assert not linked.is_writable(code)
    assert code % 16 == 0
    assert {linked.functions["helper"], fresh, aligned + 1} <= set(linked.referred("f"))
    assert set(linked.referred("helper")) == {linked.home("kept"), zeros}


def test_symbols(bench: Bench) -> None:
    linked = example(bench)
    table = tool("readelf", "-sW", str(linked.path))
    found = {row[7]: (int(row[1], 16), int(row[2]), row[3], row[4]) for row in map(str.split, table.splitlines())
             if len(row) == 8 and row[0][:-1].isdigit() and row[3] != "FILE"}  # fmt: skip
    for name, address in linked.functions.items():
        assert found[name][:3] == (address, linked.sizes[name], "FUNC")
    assert (found["helper"][3], found["f"][3]) == ("LOCAL", "GLOBAL")
    assert found["zeros"][:3] == (linked.address("zeros"), 12000, "OBJECT")
    assert "kept" not in found, "what lives is not in the patch"
    dynamic = tool("readelf", "--dyn-syms", "-W", str(linked.path))
    assert set(re.findall(r"FUNC +GLOBAL +DEFAULT +\d+ (\w+)", dynamic)) == {"f", "g"}


def test_copies_of_one_name_in_several_units(bench: Bench) -> None:
    # In one section with a function that changed, all of them are placed; only the first unit's are referred to.
    attributes = '__attribute__((weak, section(".hot")))'
    weak = "".join(f"{attributes} int a_rather_long_name_{i}(int x) {{ return x + {i}%s; }}\n" for i in range(20))
    own = '__attribute__((section(".hot"))) int own_%s(void) { return a_rather_long_name_7(1)%s; }\n'
    units = [bench.unit((weak + own % (n, "%s")).replace("%s", ""), (weak + own % (n, "%s")).replace("%s", " + 1"))
             for n in "ab"]  # fmt: skip
    linked = bench.link(*units)
    assert len(linked.patch.functions) == 42
    assert len(linked.patch.redirects) == 22
    assert tool("readelf", "-sW", str(linked.path)).count("a_rather_long_name_7") >= 2
    homes = {linked.home("a_rather_long_name_7")}
    assert set(linked.referred("own_a")) == set(linked.referred("own_b")) == homes


def test_each_file_has_an_identity_of_its_own(bench: Bench) -> None:
    prepared = bench.prepare(bench.unit("int f(void) { return 1; }", "int f(void) { return 2; }"))
    notes = set()
    for name in ("relive-1.so", "relive-2.so"):
        (bench.folder / name).write_bytes(prepared.at(BASE, name).file)
        notes |= set(re.findall(r"Build ID: (\w+)", tool("readelf", "-nW", str(bench.folder / name))))
    assert len(notes) == 2


def test_the_base_only_moves_things(bench: Bench) -> None:
    prepared = bench.prepare(bench.unit(OLD, NEW.replace("far_away(x)", "x")))
    first, second = (prepared.at(base, "patch.so") for base in (BASE, BASE + 0x10_0000))
    assert [(n, a + 0x10_0000, s) for n, a, s in first.functions] == list(second.functions)
    kept = prepared.selection.units[0].live[b"kept"]
    for patch in (first, second):
        assert kept in Linked(prepared, patch, bench).referred("helper")


def test_every_function_has_room_for_a_jump(bench: Bench) -> None:
    text = '.globl f\n.section .text.f,"ax"\n.type f,@function\nf: %s\n.size f,.-f\n.globl g\n.section .text.g,"ax"\n'
    text += ".type g,@function\ng: %s\n.size g,.-g\n"
    linked = bench.link(bench.unit(text % ("ret", "ret"), text % ("nop", "leave"), suffix=".s"))
    (first, second) = sorted(linked.functions.values())
    assert second - first >= x86_64.REDIRECT_SIZE
    assert linked.read(first + 1, 5) == b"\xcc" * 5
    assert set(linked.sizes.values()) == {1}


THROWING = """struct Guard { int *p; ~Guard() { ++*p; } }; int hits;
int risky(int x) { if (x > 2) throw x; return x%s; }
int caught(int x) { Guard g{&hits}; try { return risky(x) + %d; } catch (int e) { return e * 10; } }
int quiet(int x) noexcept { return x + %d; }
int bystander(int x) { Guard g{&hits}; return risky(x); }
"""
RUNTIME = (b"__cxa_throw", b"__cxa_allocate_exception", b"__cxa_begin_catch", b"__cxa_end_catch", b"_Unwind_Resume",
           b"__gxx_personality_v0", b"_ZTIi", b"__stack_chk_fail", b"__cxa_rethrow")  # fmt: skip


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_unwind_records_of_exactly_the_placed_functions(bench: Bench, compiler: str) -> None:
    bench.process.outside |= {name: FAR + 64 * i for i, name in enumerate(RUNTIME)}
    unit = bench.unit(THROWING % ("", 1, 1), THROWING % (" + 1", 2, 2), "-fPIC", compiler=compiler)
    linked = bench.link(unit)
    assert set(linked.functions) == {"_Z5riskyi", "_Z6caughti", "_Z5quieti"}
    expected = {(start, start + linked.sizes[name]) for name, start in linked.functions.items()}
    assert linked.unwound() == expected
    header = tool("readelf", "-lW", str(linked.path))
    (address,) = (int(at, 16) for at in re.findall(r"GNU_EH_FRAME +0x\w+ (0x\w+)", header))
    count = int.from_bytes(linked.read(address + 8, 4), "little")
    table = [int.from_bytes(linked.read(address + 12 + 8 * i, 4), "little", signed=True) for i in range(count)]
    assert [address + at for at in table] == sorted(linked.functions.values()), "sorted, for a binary search"


def test_debug_information_tells_where_things_are(bench: Bench) -> None:
    linked = example(bench, "-g", debug_info=True)
    info = reader().read(linked.patch.file)
    for name in ("f", "g", "helper"):
        assert function(info, name).location.value == linked.functions[name]
    assert variable(info, "kept").location.value == linked.home("kept")
    assert variable(info, "fresh").location.value == linked.address("fresh")
    lines = tool("objdump", "-dlr", f"--start-address={linked.functions['g']:#x}", str(linked.path))
    assert "unit.c:" in lines


def test_debug_sections_can_follow_later(bench: Bench) -> None:
    linked = example(bench, "-g")
    plain, full = linked.patch.file, linked.prepared.with_debug_info()
    assert b".debug_info" not in plain
    assert b".debug_info" in full
    assert loads(plain) == loads(full) or all(
        a[:2] == b[:2] and a[2][64:] == b[2][64:] for a, b in zip(loads(plain), loads(full), strict=True)
    ), "only the ELF header, which nobody reads any more, may differ"


def test_without_anything_to_place_there_is_no_file(bench: Bench) -> None:
    text = "const int table[2] = {1, %d}; int f(void) { return 1; }"
    prepared = bench.prepare(bench.unit(text % 2, text % 3))
    assert prepared.size == 0
    patch = prepared.at(0, "nothing.so")
    assert (patch.file, len(patch.stores)) == (b"", 1)


def test_a_constant_that_needs_new_strings_brings_them(bench: Bench) -> None:
    text = 'const char *const names[2] = {"one", "%s"}; const char *f(int i) { return names[i]; }'
    linked = bench.link(bench.unit(text % "two", text % "zwei"))
    (store,) = linked.patch.stores
    assert store.address == linked.home("names")
    second = int.from_bytes(store.content[8:], "little")
    assert linked.read(second, 5) == b"zwei\0"
    assert linked.patch.functions == ()


def test_names_that_other_generations_bind_to(bench: Bench) -> None:
    text = "int spin(void) { return %d; } static int s(void) { return %d; } int u(void) { return spin() + s() + %d; }"
    new = text % (2, 2, 2) + " int fresh(void) { return 1; } int more;"
    linked = bench.link(rehomed(bench.unit(text % (1, 1, 1), new), "spin"))
    (addresses,) = linked.patch.addresses
    # A redirected function keeps its home; what is new, or has a new home, gets an address.
    assert set(addresses) == {b"spin", b"fresh", b"more"}
    assert addresses[b"fresh"] == linked.functions["fresh"]
    ((_, entry),) = linked.patch.rehomed
    assert addresses[b"spin"] == entry != linked.functions["spin"]
    assert {r.name for r, _ in linked.patch.redirects} == {b"s", b"u"}


# --- it runs ----------------------------------------------------------------------------------------------------------

RUNNING = """
#include <cstdio>
struct Shape { virtual int area() = 0; virtual ~Shape() {} };
struct Square : Shape { int n; Square(int x) : n(x) {} int area() override { return n * n; } };
static int calls; int (*stored)(int);
static int twice(int x) { return 2 * x; }
static int risky(int x) { if (x > 2) throw x; return x; }
extern "C" int entry(int x)
{
    char text[20];
    calls++;
    stored = twice;
    Square s(x);
    Shape *p = &s;
    int r = 0;
    try { r = risky(x); } catch (int e) { r = 100 * e; }
    switch (x) { case 0: r += 1; break; case 1: r += 2; break; case 2: r += 4; break; case 3: r += 8; break;
                 case 4: r += 16; break; case 5: r += 32; break; default: break; }
    return r + p->area() + stored(x) + std::snprintf(text, sizeof text, "%d!", x) * 1000;
}
extern "C" int called() { return calls; }
"""


class _Self(Process):
    """The process of the test itself."""

    def externals(self, names: object) -> dict[bytes, Address]:
        assert isinstance(names, list)
        everything = ctypes.CDLL(None)
        ctypes.CDLL("libstdc++.so.6", ctypes.RTLD_GLOBAL)
        library = ctypes.CDLL("libgcc_s.so.1", ctypes.RTLD_GLOBAL)
        found: dict[bytes, Address] = {}
        find = everything.dlsym
        find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
        for name in names:
            address = find(None, name)
            if address:
                found[name] = address
        assert library
        return found


def _run(folder: str, compiler: str, flags: tuple[str, ...]) -> None:
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    base = libc.mmap(None, 1 << 20, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    bench = Bench(Path(folder))
    bench.process = _Self(low=base - PAGE, high=base)
    prepared = bench.prepare(bench.unit("int old;", RUNNING, *flags, compiler=compiler))
    assert prepared.refusals == ()
    linked = Linked(prepared, prepared.at(base, "patch.so"), bench)
    assert libc.munmap(base, 1 << 20) == 0, "kept free until now"
    library = ctypes.CDLL(str(linked.path))
    assert ctypes.cast(library.entry, ctypes.c_void_p).value == linked.functions["entry"]
    for x in range(7):
        thrown = 100 * x if x > 2 else x
        added = (1, 2, 4, 8, 16, 32, 0)[x]
        assert library.entry(x) == thrown + added + x * x + 2 * x + 2000, x
    assert library.called() == 7


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("flags", [("-O0", "-fPIC"), ("-O2", "-fPIC"), ("-O1", "-fPIE", "-g")], ids=" ".join)
def test_it_runs(tmp_path: Path, compiler: str, flags: tuple[str, ...]) -> None:
    # In a process of its own: a mistake of the linker's would end it.
    child = multiprocessing.get_context("spawn").Process(target=_run, args=(str(tmp_path), compiler, flags))
    child.start()
    child.join()
    assert child.exitcode == 0
