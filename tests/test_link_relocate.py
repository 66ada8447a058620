"""The formulas: every kind of reference that compilers and assemblers make, in every model of thread-locals, checked by
what a disassembler reads from the written file."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from relive.arch import x86_64
from relive.elf import constants as c
from relive.errors import RefusedError
from relive.link.layout import Layout
from relive.link.model import Address, TlsPlace
from relive.link.relocate import Relocator, static_offset
from tests.link_objects import BASE, BLOCK, FAR, MODULE, SECTIONS, Bench, Linked, Process, codes


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def kinds(linked: Linked) -> set[int]:
    """Relocation types of the new object's code."""
    return {int(kind) for kind in linked.selection.units[0].new.relocations["type"]}


# --- plain references -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sections", [(), SECTIONS], ids=["one .bss", "sections"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_an_immediate_behind_the_displacement_does_not_shift_the_target(
    bench: Bench, compiler: str, sections: tuple[str, ...]
) -> None:
    # `movl $5, x(%rip)` is x-8 in the relocation: against .bss that looks like the neighbour.
    text = "static int a, x, b; static char c; static short d; int f(void) { %s }"
    old, new = text % "return a + x + b + c + d;", text % "a = 1; x = 5; b = 9; c = 3; d = 4; return 0;"
    unit = bench.unit(old, new, compiler=compiler, after=sections)
    linked = bench.link(unit)
    assert linked.referred("f") == [linked.home(name) for name in ("a", "x", "b", "c", "d")]


def test_offsets_into_a_variable(bench: Bench) -> None:
    text = "static volatile int before, a[10], after; int f(void) { return before + after + a[0] + a[%s] + %s; }"
    linked = bench.link(bench.unit(text % (3, 1), text % (7, 2), "-O1", after=()))
    a = linked.home("a")
    assert set(linked.referred("f")) == {linked.home("before"), linked.home("after"), a, a + 28}


def test_a_position_dependent_program(bench: Bench) -> None:
    bench.process.low, bench.process.high = 0x400000, 0x500000
    bench._next = 0x401000
    text = "static int n; static int h(int x) { return x; } int (*f(void))(int) { n += %d; return h; }"
    unit = bench.unit(text % 1, text % 2, "-fno-pie")
    prepared = bench.prepare(unit)
    patch = prepared.at(0x600000, "patch.so")
    linked = Linked(prepared, patch, bench)
    assert c.R_X86_64_32 in kinds(linked)
    # The pointer that a program compares is the home, not the new code.
    assert any(f"$0x{linked.home('h'):x}," in line for line in linked.code("f"))
    assert linked.home("n") in linked.referred("f")


def test_pointers_in_new_data(bench: Bench) -> None:
    new = """extern int far_away; static int old_one; static int g(int x) { return x; } static int *table[3] = {
    &old_one, &old_one + 1, 0}; int (*calls[])(int) = {g}; int *outside = &far_away + 2; int **f(void) { return table; }
    """
    bench.process.outside[b"far_away"] = FAR
    old = "static int old_one; int **f(void) { return (int **)&old_one; }"
    linked = bench.link(bench.unit(old, new))
    table = linked.address("table")
    home = linked.home("old_one")
    assert [linked.word(table + 8 * i) for i in range(3)] == [home, home + 4, 0]
    assert linked.word(linked.address("calls")) == linked.functions["g"]
    assert linked.word(linked.address("outside")) == FAR + 8


ASSEMBLY = """.globl f
.section .text.f,"ax",@progbits
.type f, @function
f:  nop
    %s
    ret
.size f, .-f
.section .data.x,"aw",@progbits
.globl x
.type x, @object
.size x, 24
x:  .quad 1, 2, 3
"""


def assembled(bench: Bench, line: str) -> Linked:
    return bench.link(bench.unit(ASSEMBLY % "", ASSEMBLY % line, suffix=".s"))


def field(linked: Linked, at: int, size: int) -> int:
    return int.from_bytes(linked.read(linked.functions["f"] + at, size), "little", signed=True)


def test_references_of_assembly(bench: Bench) -> None:
    linked = assembled(bench, "movabsq $x+8, %rax")
    assert field(linked, 3, 8) == linked.home("x") + 8
    linked = assembled(bench, ".quad x+4 - .")
    assert field(linked, 1, 8) == linked.home("x") + 4 - (linked.functions["f"] + 1)
    linked = assembled(bench, "movl $x@SIZE+1, %eax")
    assert field(linked, 2, 4) == 25
    linked = assembled(bench, "movabsq $x@SIZE, %rax")
    assert field(linked, 3, 8) == 24


def test_references_to_the_got_itself(bench: Bench) -> None:
    linked = assembled(
        bench, "leaq _GLOBAL_OFFSET_TABLE_(%rip), %rbx\n movabsq $x@GOTOFF, %rax\n movq x@GOTPCREL(%rip), %rcx"
    )
    start = linked.functions["f"]
    got = start + 8 + field(linked, 4, 4)
    assert got == BASE + linked.prepared.layout.got[0]
    assert got + field(linked, 10, 8) == linked.home("x")
    slot = start + 25 + field(linked, 21, 4)
    assert linked.word(slot) == linked.home("x")


@pytest.mark.parametrize("line", ["movabsq $x@GOT, %rax", "movabsq $x@PLTOFF, %rax"])
def test_the_large_code_model_is_refused(bench: Bench, line: str) -> None:
    unit = bench.unit(ASSEMBLY % "", ASSEMBLY % line, suffix=".s")
    assert [code for code, _ in codes(bench.prepare(unit))] == ["unsupported-relocation"]


@pytest.mark.parametrize("call", ["call far", "jmp far", "jne far", "call far@PLT", "call *far@GOTPCREL(%rip)"])
def test_calls_of_what_is_far(bench: Bench, call: str) -> None:
    bench.process.outside[b"far"] = FAR
    linked = assembled(bench, call)
    assert linked.prepared.references.far == set()
    (target,) = (
        int(part, 16) for line in linked.code("f") for part in line.replace("<", " ").split()
        if part.startswith("5555") or ("#" in line and part.startswith("0x5555"))
    )  # fmt: skip
    slot = target
    if "GOTPCREL" not in call:
        (jump,) = linked.disassemble(target, 6)
        slot = int(jump.split("#")[1].split()[0], 16)
    assert linked.word(slot) == FAR


def test_a_field_that_does_not_fit_is_a_bug() -> None:
    relocator = Relocator(BASE, Layout(), Process(), lambda target: 0)
    content = bytearray(8)
    relocator.write(c.R_X86_64_PC32, content, 2, -2)
    assert content == b"\0\0\xfe\xff\xff\xff\0\0"
    relocator.write(c.R_X86_64_64, content, 0, 0xFFFF_FFFF_8000_0000)
    assert content == b"\0\0\0\x80\xff\xff\xff\xff"
    for kind, value in (
        (c.R_X86_64_PC32, 1 << 31),
        (c.R_X86_64_32S, 1 << 31),
        (c.R_X86_64_32, -1),
        (c.R_X86_64_32, 1 << 32),
        (c.R_X86_64_PC8, 128),
    ):
        assert not x86_64.fits(kind, value)
        with pytest.raises(AssertionError, match="out of range"):
            relocator.write(kind, content, 0, value)


# --- thread-locals ----------------------------------------------------------------------------------------------------

VARIABLES = "__thread int here = 1; static volatile __thread long mine[2];"
USES = "%s int f(void) { return here + (int)mine[1] + %d; }"


def displacements(linked: Linked, function: str) -> list[int]:
    """Fields of the thread-local references, in order, as they stand in the code."""
    new = linked.selection.units[0].new
    atom = new.by_name[function.encode()]
    found = []
    for row in new.row_range(atom):
        if int(new.relocations["type"][row]) in (c.R_X86_64_TPOFF32, c.R_X86_64_DTPOFF32):
            at = linked.functions[function] + int(new.rows["offset"][row])
            found.append(int.from_bytes(linked.read(at, 4), "little", signed=True))
    return found


def pairs(linked: Linked) -> dict[int, tuple[int, int]]:
    """Address of each argument of `__tls_get_addr` → (module, offset)."""
    keys = [(key, BASE + at) for key, at in linked.prepared.layout.slots.items()]
    return {at: (linked.word(at), linked.word(at + 8)) for key, at in keys if isinstance(key, tuple) and key[0] == "gd"}


def tls(linked: Linked, name: str) -> TlsPlace:
    place = linked.selection.units[0].live[name.encode()]
    assert isinstance(place, TlsPlace)
    return place


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_local_exec(bench: Bench, compiler: str) -> None:
    linked = bench.link(bench.unit(USES % (VARIABLES, 1), USES % (VARIABLES, 2), "-fPIE", compiler=compiler))
    assert c.R_X86_64_TPOFF32 in kinds(linked)
    here, mine = tls(linked, "here"), tls(linked, "mine")
    assert sorted(displacements(linked, "f")) == sorted([BLOCK + here.offset, BLOCK + mine.offset + 8])


def test_initial_exec(bench: Bench) -> None:
    place = TlsPlace(4, 16, -1008)
    bench.process.thread_locals[b"theirs"] = place
    bench.process.outside[b"theirs"] = 0x7FFF_0000_0000  # what dlsym answers: one thread's copy
    old = "int f(void) { return 1; }"
    linked = bench.link(bench.unit(old, "extern __thread int theirs; int f(void) { return theirs; }", "-fPIE"))
    assert c.R_X86_64_GOTTPOFF in kinds(linked)
    (slot,) = linked.referred("f")
    assert linked.word(slot) == -1008


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_global_dynamic(bench: Bench, compiler: str) -> None:
    bench.process.outside[b"__tls_get_addr"] = FAR
    unit = bench.unit(USES % (VARIABLES, 1), USES % (VARIABLES, 2), "-fPIC", compiler=compiler)
    linked = bench.link(unit)
    assert c.R_X86_64_TLSGD in kinds(linked)
    found = pairs(linked)
    assert (MODULE, tls(linked, "here").offset) in found.values()
    assert found.keys() <= set(linked.referred("f"))


def test_local_dynamic(bench: Bench) -> None:
    bench.process.outside[b"__tls_get_addr"] = FAR
    text = "static volatile __thread int a, b, c; int f(void) { a = 1; b = 2; c = 3; return a + b + c + %d; }"
    linked = bench.link(bench.unit(text % 1, text % 2, "-fPIC", "-O1"))
    assert {c.R_X86_64_TLSLD, c.R_X86_64_DTPOFF32} <= kinds(linked)
    pair = BASE + linked.prepared.layout.slots[("ld",)]
    assert (linked.word(pair), linked.word(pair + 8)) == (MODULE, 0)
    offsets = {tls(linked, name).offset for name in "abc"}
    assert set(displacements(linked, "f")) == offsets


def test_descriptors_become_initial_exec(bench: Bench) -> None:
    unit = bench.unit(USES % (VARIABLES, 1), USES % (VARIABLES, 2), "-fPIC", "-mtls-dialect=gnu2", "-O1")
    linked = bench.link(unit)
    assert c.R_X86_64_GOTPC32_TLSDESC in kinds(linked)
    code = linked.code("f")
    assert not any(line.startswith("call") or (line.startswith("lea") and "%rip" in line) for line in code), code
    slots = [at for at in linked.referred("f") if at >= BASE]
    mine = [BLOCK + tls(linked, name).offset for name in ("here", "mine")]
    assert {linked.word(slot) for slot in slots} & set(mine)


def test_a_descriptor_of_the_modules_whole_block(bench: Bench) -> None:
    text = "static volatile __thread int a, b, c; int f(void) { a = 1; b = 2; c = 3; return a + b + c + %d; }"
    linked = bench.link(bench.unit(text % 1, text % 2, "-fPIC", "-mtls-dialect=gnu2", "-O1"))
    assert b"_TLS_MODULE_BASE_" in linked.selection.units[0].new.object.symbol_names
    (slot,) = (at for at in linked.referred("f") if at >= BASE)
    assert linked.word(slot) == BLOCK
    assert set(displacements(linked, "f")) == {tls(linked, name).offset for name in "abc"}


def test_a_new_thread_local_in_every_model(bench: Bench) -> None:
    bench.process.outside[b"__tls_get_addr"] = FAR
    old = "int f(void) { return 1; }"
    pool = TlsPlace(9, 64, -4096)
    new = "static __thread int fresh = 7; int f(void) { return fresh; }"
    linked = bench.link(bench.unit(old, new, "-fPIE"), pool=pool)
    assert displacements(linked, "f") == [-4096]
    linked = bench.link(bench.unit(old, new.replace("static ", ""), "-fPIC"), pool=pool)
    assert list(pairs(linked).values()) == [(9, 64)]
    # Local-dynamic: the code adds to the home module's block, which is as far from the pool in every thread.
    both = "static volatile __thread int a = 7, b = 8; int f(void) { a++; b++; return a + b; }"
    linked = bench.link(bench.unit(old, both, "-fPIC", "-O1"), pool=pool)
    assert c.R_X86_64_TLSLD in kinds(linked)
    assert set(displacements(linked, "f")) == {-4096 - BLOCK, -4092 - BLOCK}
    bench.process.tls_offset = None
    with pytest.raises(RefusedError) as error:
        bench.link(bench.unit(old, both, "-fPIC", "-O1"), pool=pool)
    assert [r.code for r in error.value.refusals] == ["tls-dynamic"]


def test_a_library_without_static_thread_locals(bench: Bench) -> None:
    bench.process.thread_locals[b"theirs"] = TlsPlace(4, 16, None)
    bench.process.outside[b"__tls_get_addr"] = FAR
    old = "int f(void) { return 1; }"
    new = "extern __thread int theirs; int f(void) { return theirs; }"
    linked = bench.link(bench.unit(old, new, "-fPIC"))
    assert list(pairs(linked).values()) == [(4, 16)]
    with pytest.raises(RefusedError):
        bench.link(bench.unit(old, new, "-fPIE"))
    with pytest.raises(RefusedError):
        static_offset(TlsPlace(4, 16, None))


def test_an_undefined_thread_local_is_refused(bench: Bench) -> None:
    bench.process.outside[b"theirs"] = 0x7FFF_0000_0000
    new = "extern __thread int theirs; int f(void) { return theirs; }"
    assert codes(bench.prepare(bench.unit("int f(void) { return 1; }", new))) == [("undefined-symbol", "theirs")]


@pytest.mark.parametrize("flags", [("-fPIE",), ("-fPIC",)], ids=" ".join)
def test_a_weak_thread_local_that_nobody_defines(bench: Bench, flags: tuple[str, ...]) -> None:
    bench.process.outside[b"__tls_get_addr"] = FAR
    new = "extern __thread int hook __attribute__((weak)); int f(void) { return &hook ? hook : 0; }"
    linked = bench.link(bench.unit("int f(void) { return 1; }", new, *flags))
    assert {linked.word(BASE + at) for key, at in linked.prepared.layout.slots.items() if key != ("got", FAR)} <= {
        0,
        FAR,
    }


def test_slots() -> None:
    places: dict[object, Address] = {b"code": 0x1234, b"tls": TlsPlace(3, 40, -88), b"nothing": 0}
    relocator = Relocator(BASE, Layout(), Process(), lambda target: places[target])
    assert relocator.slot(("got", b"code")) == struct.pack("<Q", 0x1234)
    assert relocator.slot(("gd", b"tls")) == struct.pack("<QQ", 3, 40)
    assert relocator.slot(("tp", b"tls")) == struct.pack("<q", -88)
    assert relocator.slot(("ld",)) == struct.pack("<QQ", MODULE, 0)
    assert (relocator.slot(("tp", b"nothing")), relocator.slot(("gd", b"nothing"))) == (bytes(8), bytes(16))
