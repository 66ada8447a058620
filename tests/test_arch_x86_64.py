"""What relive knows of x86-64, against capstone and objdump over code that real compilers made."""

from __future__ import annotations

import io
import itertools
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import capstone
import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from relive.arch import x86_64
from relive.elf import constants as c
from relive.elf.object import ElfObject
from tests.elf_programs import run

# --- the distance from a displacement to the end of its instruction --------------------------------------------------

MEMORY_C = r"""
#include <immintrin.h>
#include <stdint.h>
static volatile char c8; static volatile short s16; static volatile int i32; static volatile long l64;
static volatile unsigned char table[16]; static int array[64]; static double d; static float f; static _Bool flag;
static int (*callback)(int);
int outside(int); extern int elsewhere; extern _Thread_local int per_thread; static _Thread_local int mine;
struct bits { unsigned a : 3, b : 9, c : 20; } bits;
void stores(void) { c8 = 1; s16 = 1000; i32 = 100000; l64 = -5; table[3] = 7; elsewhere = 3; flag = 1; d = 0; }
int compares(void) { return (c8 == 1) + (s16 == 1000) + (i32 == 100000) + (l64 == 5) + (table[2] == 9) + (i32 == 3); }
int tests(void) { return (c8 & 4 ? 1 : 0) + (s16 & 0x400 ? 2 : 0) + (i32 & 0x10000 ? 3 : 0) + (l64 & 0x100 ? 4 : 0); }
void arithmetic(void) { c8 += 3; s16 += 1000; i32 += 77; i32 -= 70000; l64 ^= 3; c8 |= 1; s16 &= 0xf0f; l64 -= 1; }
void shifts(void) { i32 <<= 3; l64 >>= 7; s16 >>= 1; c8 <<= 2; i32 = i32 * 100; l64 = l64 * 100000; s16 = s16 * 9; }
void unary(void) { i32 = -i32; l64 = ~l64; c8 = -c8; i32++; c8--; s16 = ~s16; }
void divides(int x) { array[0] = x / i32; array[1] = x % s16; l64 = l64 / 3; }
int calls(int x) { return outside(x) + callback(x) + per_thread + mine + elsewhere; }
void bitfields(unsigned x) { bits.a = x; bits.b = 300; bits.c = 5; }
double reals(double x) { d += x; f = (float)d * 2.5f; return d < 1.5 ? -d : d + f; }
__m128i shuffle(__m128i x) { extern __m128i v; return _mm_add_epi32(_mm_shuffle_epi32(v, 0x1b), x); }
__m128 shuffles(__m128 x) { extern __m128 w; return _mm_shuffle_ps(x, w, 0x44); }
__m128d shuffled(__m128d x) { extern __m128d w2; return _mm_shuffle_pd(x, w2, 1); }
__m128 compared(__m128 x) { extern __m128 w; return _mm_cmplt_ps(x, w); }
__m128i inserted(__m128i x) { return _mm_insert_epi16(x, s16, 3); }
__m128i low(void) { extern __m128i v; return _mm_shufflelo_epi16(v, 0x1b); }
void loops(int n) { for (int i = 0; i < n; i++) array[i & 63] = array[(i + 1) & 63] * 3 + i32; }
int bit(void) { extern long word; return (word >> 9) & 1; }
void set(void) { extern long word; word |= 1L << 40; word &= ~(1L << 50); word ^= 1L << 60; }
int swap(int x) { return __sync_lock_test_and_set(&i32, x) + __sync_fetch_and_add(&l64, 4); }
long shifted(int n) { extern long word; return (word << n) + (word >> n); }
int cas(int x) { return __sync_bool_compare_and_swap(&i32, 1, x); }
"""
SSE4_C = r"""
__m128i aligned(__m128i x) { extern __m128i v; return _mm_alignr_epi8(x, v, 5); }
__m128d rounded(void) { extern __m128d w2; return _mm_round_pd(w2, 3); }
__m128i blended(__m128i x) { extern __m128i v; return _mm_blend_epi16(x, v, 0x55); }
__m128i put(__m128i x) { return _mm_insert_epi32(x, i32, 2); }
__m128 dot(__m128 x) { extern __m128 w; return _mm_dp_ps(x, w, 0x71); }
__m128i bytes(__m128i x) { extern __m128i v; return _mm_shuffle_epi8(x, v); }
int text(__m128i x) { extern __m128i v; return _mm_cmpistri(x, v, 0x0c); }
"""
AVX2_C = r"""
__m256i wide(__m256i x) { extern __m256i y; return _mm256_add_epi32(_mm256_shuffle_epi32(y, 0x4e), x); }
__m256i permuted(void) { extern __m256i y; return _mm256_permute4x64_epi64(y, 0x1b); }
__m256i joined(__m256i x) { extern __m128i v; return _mm256_inserti128_si256(x, v, 1); }
__m256d blend(__m256d a, __m256d b) { extern __m256d m; return _mm256_blendv_pd(a, b, m); }
__m256 chosen(__m256 a) { extern __m256 z; return _mm256_blend_ps(a, z, 0x5a); }
__m256 cmp(__m256 a) { extern __m256 z; return _mm256_cmp_ps(a, z, 17); }
__m256 shuffle256(__m256 a) { extern __m256 z; return _mm256_shuffle_ps(a, z, 0x1b); }
__m256d fused(__m256d a, __m256d b) { extern __m256d m; return _mm256_fmadd_pd(a, m, b); }
void away(__m256i x) { extern __m128i v; v = _mm256_extracti128_si256(x, 1); }
unsigned turned(void) { extern unsigned u; return (u << 7) | (u >> 25); }
"""
FLAVOURS = {
    "O0": (MEMORY_C, ["-O0"]),
    "O2": (MEMORY_C, ["-O2"]),
    "Os": (MEMORY_C, ["-Os", "-fPIC"]),
    "sections": (MEMORY_C, ["-O2", "-ffunction-sections", "-fno-pie"]),
    "sse4-O0": (MEMORY_C + SSE4_C, ["-O0", "-msse4.2"]),
    "sse4": (MEMORY_C + SSE4_C, ["-O2", "-msse4.2"]),
    "avx2": (MEMORY_C + SSE4_C + AVX2_C, ["-O2", "-mavx2", "-mfma", "-mbmi2"]),
    "avx2-O3": (MEMORY_C + SSE4_C + AVX2_C, ["-O3", "-march=haswell", "-fPIC"]),
}


def compile_c(folder: Path, compiler: str, source: str, *flags: str) -> ElfObject:
    (folder / "u.c").write_text(source)
    run(compiler, *flags, "-c", "u.c", "-o", "u.o", cwd=folder)
    return ElfObject.parse((folder / "u.o").read_bytes(), "u.o")


def function(obj: ElfObject, name: str) -> bytes:
    """The code of a function."""
    row = obj.symbol_names.index(name.encode())
    start, size = int(obj.symbols["value"][row]), int(obj.symbols["size"][row])
    return obj.content(int(obj.symbol_sections[row]))[start : start + size]


def ends(code: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of the instructions, by capstone."""
    engine: Any = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    at = 0
    for offset, size, _, _ in engine.disasm_lite(code, 0):
        assert offset == at, "capstone stopped"
        yield offset, offset + size
        at = offset + size
    assert at == len(code), f"capstone stopped at {at:#x} of {len(code):#x}: {code[at : at + 16].hex()}"


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_bias_is_the_distance_to_the_end_of_the_instruction(tmp_path: Path, compiler: str, flavour: str) -> None:
    source, flags = FLAVOURS[flavour]
    obj = compile_c(tmp_path, compiler, source, *flags)
    seen: dict[int, int] = {}
    for index, header in enumerate(obj.sections):
        if not header["flags"] & c.SHF_EXECINSTR:
            continue
        code = obj.content(index)
        rows = obj.relocations_of(index)
        fields = np.sort(rows["offset"][np.isin(rows["type"], list(x86_64.PC_RELATIVE))].astype(np.int64))
        found = x86_64.displacement_bias(np.frombuffer(code, np.uint8), fields)
        instructions = list(ends(code))
        starts = [start for start, _ in instructions]
        for field, bias in zip(fields.tolist(), found.tolist(), strict=True):
            start, end = instructions[int(np.searchsorted(starts, field, side="right")) - 1]
            assert bias == end - field, f"{code[start:end].hex()} at {obj.section_names[index]}+{start:#x}"
            seen[bias] = seen.get(bias, 0) + 1
    # gcc avoids 16-bit immediates where it optimises for speed
    assert {4, 5, 8, *({6} if flavour in ("O0", "Os") else ())} <= set(seen), seen


@pytest.mark.parametrize(
    ("code", "field", "bias"),
    [
        ("803d00000000 07", 2, 5),  # cmpb $7, x(%rip)
        ("c6 05 00000000 01", 2, 5),  # movb
        ("66 c7 05 00000000 e803", 3, 6),  # movw
        ("c7 05 00000000 05000000", 2, 8),  # movl
        ("48 c7 05 00000000 05000000", 3, 8),  # movq
        ("81 3d 00000000 a0860100", 2, 8),  # cmpl imm32
        ("66 81 3d 00000000 e803", 3, 6),  # cmpw imm16
        ("83 3d 00000000 03", 2, 5),  # cmpl imm8
        ("f6 05 00000000 04", 2, 5),  # testb
        ("f7 05 00000000 00000100", 2, 8),  # testl
        ("f6 1d 00000000", 2, 4),  # negb: no immediate
        ("f7 1d 00000000", 2, 4),  # negl
        ("69 05 00000000 e8030000", 2, 8),  # imul imm32
        ("6b 05 00000000 64", 2, 5),  # imul imm8
        ("c1 25 00000000 03", 2, 5),  # shl imm8
        ("d1 25 00000000", 2, 4),  # shl 1
        ("0f ba 25 00000000 09", 3, 5),  # bt imm8
        ("66 0f 70 05 00000000 1b", 4, 5),  # pshufd
        ("0f c2 05 00000000 01", 3, 5),  # cmpltps
        ("66 0f 3a 0f 05 00000000 05", 5, 5),  # palignr
        ("c5 f9 70 05 00000000 1b", 4, 5),  # vpshufd (two-byte VEX)
        ("c4 e3 fd 00 05 00000000 1b", 5, 5),  # vpermq (VEX map 3)
        ("c4 e2 7d 18 05 00000000", 5, 4),  # vbroadcastss (VEX map 2)
        ("8b 05 00000000", 2, 4),  # movl
        ("48 8d 3d 00000000", 3, 4),  # lea
        ("e8 00000000", 1, 4),  # call
        ("0f 84 00000000", 2, 4),  # je
        ("0f 81 00000000", 2, 4),  # jno: not the opcode 81
        ("ff 15 00000000", 2, 4),  # call *x(%rip)
        ("0f b6 05 00000000", 3, 4),  # movzbl
        ("0f af 05 00000000", 3, 4),  # imul without immediate
        ("e9 00000000", 1, 4),  # jmp
        ("c7 f8 00000000", 2, 4),  # xbegin
        ("c5 f9 69 05 00000000", 4, 4),  # vpunpckhwd, not imul
        ("c5 f9 6b 05 00000000", 4, 4),  # vpackssdw
        ("c5 f9 f6 05 00000000", 4, 4),  # vpsadbw, not testb
        ("c4 e2 79 f7 05 00000000", 5, 4),  # shlx, not testl
        ("c4 e3 7b f0 05 00000000 07", 5, 5),  # rorx
        ("f0 0f c1 05 00000000", 4, 4),  # lock xadd, not a shift
        ("66 f0 0f c1 05 00000000", 5, 4),  # lock xadd of 16 bits
        ("66 44 69 0d 00000000 e803", 4, 6),  # imul imm16 to r9w
        ("66 f0 81 05 00000000 e803", 4, 6),  # lock add imm16
        ("66 0f 38 f6 05 00000000", 5, 4),  # adcx
        ("0f c7 0d 00000000", 3, 4),  # cmpxchg8b
        ("62 f1 7d 48 70 05 00000000 1b", 6, 5),  # vpshufd zmm (EVEX)
        ("62 f2 fd 48 1f 05 00000000", 6, 4),  # vpabsq zmm
        ("62 f3 fd 48 3f 05 00000000 04", 6, 5),  # vpcmpq: immediate (EVEX map 3)
    ],
)
def test_bias_by_hand(code: str, field: int, bias: int) -> None:
    data = bytes.fromhex(code)
    assert list(ends(data)) == [(0, len(data))], "the table itself is wrong"
    assert len(data) - field == bias, "the table itself is wrong"
    # The instruction before may end in what looks like a prefix of this one.
    for tail in ("90909090", "66660f66", "c50f0f38", "c4e30f3a", "c4e2790f", "c5f9c5f9", "62f1fc48", "c5c5c566"):
        before = bytes.fromhex("c705 00000000" + tail)
        array = np.frombuffer(before + data, np.uint8)
        fields = np.array([2, len(before) + field], np.int64)
        assert x86_64.displacement_bias(array, fields).tolist() == [8, bias]
        alone = np.array([len(before) + field], np.int64)
        assert x86_64.displacement_bias(array, alone).tolist() == [bias]
        assert x86_64.displacement_bias(array, fields[::-1]).tolist() == [bias, 8]


def test_the_end_of_one_instruction_is_no_prefix_of_the_next(tmp_path: Path) -> None:
    source = "static volatile char c; static volatile int i;"
    source += "void f(void) { c = 'f'; i = 5; c = 15; i = 6; c = 15; i *= 300; }"
    for compiler in ("gcc", "clang"):
        obj = compile_c(tmp_path, compiler, source, "-Os")
        code = obj.content(int(obj.symbol_sections[obj.symbol_names.index(b"f")]))
        rows = obj.relocations_of(obj.section_names.index(".text"))
        fields = np.sort(rows["offset"].astype(np.int64))
        found = x86_64.displacement_bias(np.frombuffer(code, np.uint8), fields)
        by_end = [end for _, end in ends(code)]
        wanted = [by_end[int(np.searchsorted(by_end, field, side="right"))] - field for field in fields.tolist()]
        assert found.tolist() == wanted


@settings(max_examples=100, deadline=None)
@given(code=st.binary(min_size=0, max_size=64), data=st.data())
def test_bias_of_garbage_is_a_bias(code: bytes, data: st.DataObject) -> None:
    fields = np.array(data.draw(st.lists(st.integers(0, max(0, len(code) - 4)), max_size=5)), np.int64)
    found = x86_64.displacement_bias(np.frombuffer(code, np.uint8), fields)
    assert set(found.tolist()) <= {4, 5, 6, 8}


# --- what relive writes ----------------------------------------------------------------------------------------------


def one(code: bytes, address: int) -> tuple[str, str]:
    engine: Any = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    _, _, mnemonic, operand = next(engine.disasm_lite(code, address))
    return mnemonic, operand


@pytest.mark.parametrize("distance", [5, 0x1000, -0x1000, (1 << 31) + 4, -(1 << 31) + 5])
def test_redirect_jumps_there(distance: int) -> None:
    entry = 0x5555_5555_0000
    code = x86_64.redirect(entry, entry + distance)
    assert len(code) == x86_64.REDIRECT_SIZE
    assert one(code, entry) == ("jmp", hex(entry + distance))


@pytest.mark.parametrize("distance", [(1 << 31) + 5, -(1 << 31) + 4, 1 << 40])
def test_redirect_does_not_wrap(distance: int) -> None:
    with pytest.raises(OverflowError):
        x86_64.redirect(1 << 44, (1 << 44) + distance)


def test_stub_jumps_through_its_slot() -> None:
    code = x86_64.stub(0x40_0000, 0x40_1234)
    assert len(code) == x86_64.STUB_SIZE
    assert list(ends(code)) == [(0, 6), (6, 8)]
    assert one(code, 0x40_0000) == ("jmp", f"qword ptr [rip + {0x1234 - 6:#x}]")


@pytest.mark.parametrize("size", [0, 1, 4, 5, 6, 9, 200])
def test_jump_over_ends_behind_itself(size: int) -> None:
    code = x86_64.jump_over(size)
    assert len(code) == size
    if size >= x86_64.REDIRECT_SIZE:
        assert one(code, 0x1000) == ("jmp", hex(0x1000 + size))
    assert x86_64.is_padding(code if size < x86_64.REDIRECT_SIZE else code[x86_64.REDIRECT_SIZE :])


BOUNDS = [sign * 2**bits + off for bits in (0, 7, 8, 15, 16, 31, 32) for sign in (1, -1) for off in (-1, 0, 1)]


@pytest.mark.parametrize("kind", sorted({*x86_64.PC_RELATIVE, *x86_64.FIELD_SIZE, c.R_X86_64_32, c.R_X86_64_32S}))
def test_fits_is_what_the_field_can_say(kind: int) -> None:
    letter = {0: "q", 1: "b", 2: "h", 4: "i", 8: "q"}[x86_64.FIELD_SIZE.get(kind, 4)]
    letters = {c.R_X86_64_32: "I", c.R_X86_64_SIZE32: "I", c.R_X86_64_16: "Hh", c.R_X86_64_8: "Bb"}.get(kind, letter)

    def packs(letter: str, value: int) -> bool:
        try:
            return bool(struct.pack("<" + letter, value))
        except struct.error:
            return False

    for value in BOUNDS:
        assert x86_64.fits(kind, value) == any(packs(letter, value) for letter in letters), value


# --- what lies between functions -------------------------------------------------------------------------------------


def test_gaps_between_functions_are_padding(tmp_path: Path) -> None:
    source = "\n".join(f"int f{n}(int x) {{ return x {'+ x * x' * n}; }}" for n in range(24))
    for compiler, flags in (("gcc", "-O2"), ("clang", "-O2"), ("gcc", "-O2 -falign-functions=64")):
        obj = compile_c(tmp_path, compiler, source, *flags.split())
        code = obj.content(obj.section_names.index(".text"))
        rows = [i for i, name in enumerate(obj.symbol_names) if re.fullmatch(rb"f\d+", name)]
        spans = sorted((int(obj.symbols["value"][i]), int(obj.symbols["size"][i])) for i in rows)
        gaps = [code[a + n : b] for (a, n), (b, _) in itertools.pairwise(spans)]
        assert len({len(gap) for gap in gaps}) > 5
        assert all(x86_64.is_padding(gap) for gap in gaps)
        assert not any(x86_64.is_padding(code[a : a + n]) for a, n in spans)


def test_padding_may_be_cut_off_but_not_code() -> None:
    assert x86_64.is_padding(b"")
    assert x86_64.is_padding(bytes.fromhex("66662e0f1f840000000000 0f1f4000 cc cc 00"))
    assert x86_64.is_padding(bytes.fromhex("0f1f84"))
    for code in ("c3", "90c3", "0f0b", "55", "0f1f4000e9"):
        assert not x86_64.is_padding(bytes.fromhex(code))


# --- entries that cannot take a jump ---------------------------------------------------------------------------------

ENTRY_C = r"""
extern volatile int x; int outside(int);
void forever(void) { for (;;) x++; }
void wait(void) { while (x) ; }
int plain(int n) { int s = 0; for (int i = 0; i < n; i++) s += outside(i); return s; }
int recursive(int n) { return n ? recursive(n - 1) + 1 : 0; }
int choose(int n) { switch (n) { case 1: return outside(3); case 2: return 7; case 3: return outside(9);
    case 4: return 1; case 5: return outside(2); default: return x; } }
void empty(void) {}
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_loop_that_is_the_whole_body_begins_in_the_entry(tmp_path: Path, compiler: str) -> None:
    obj = compile_c(tmp_path, compiler, ENTRY_C, "-O0", "-fcf-protection=none")
    if compiler == "gcc":  # clang jumps to the loop first
        (hazard,) = x86_64.entry_hazards(function(obj, "forever"))
        assert re.fullmatch(r"a branch at \+\d+ leads to \+4", hazard)
    for name in ("plain", "recursive", "choose", "empty"):
        assert x86_64.entry_hazards(function(obj, name)) == []


@pytest.mark.parametrize("flags", ["-O0", "-O2", "-Os -fPIC", "-O3 -fcf-protection"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_hazards_are_what_objdump_shows(tmp_path: Path, compiler: str, flags: str) -> None:
    obj = compile_c(tmp_path, compiler, ENTRY_C, *flags.split(), "-fno-asynchronous-unwind-tables")
    wanted: dict[str, int] = {}
    start, name = 0, ""
    for line in run("objdump", "-d", "--no-show-raw-insn", tmp_path / "u.o").splitlines():
        if head := re.fullmatch(r"([0-9a-f]+) <(\w+)>:", line):
            start, name = int(head[1], 16), head[2]
            wanted[name] = 0
        elif branch := re.match(r"\s*[0-9a-f]+:\s+j\w+\s+([0-9a-f]+)", line):
            wanted[name] += 0 < int(branch[1], 16) - start < x86_64.REDIRECT_SIZE
    names = [n for n in ("forever", "wait", "plain", "recursive", "choose", "empty") if n in wanted]
    assert len(names) == 6
    # A jump whose field is relocated (a tail call) leads to the address behind itself here as well as there.
    assert {n: len(x86_64.entry_hazards(function(obj, n))) for n in names} == {n: wanted[n] for n in names}


@pytest.mark.parametrize(
    ("assembly", "hazards"),
    [
        ("push %rax; call *%rbx; pop %rax; ret", ["a call returns to +3"]),
        ("call *%rax; ret", ["a call returns to +2"]),
        ("call outside; ret", []),  # returns to +5: behind the jump
        ("push %rbp; mov %rsp, %rbp; 1: jmp 1b", ["a branch at +4 leads to +4"]),
        ("nop; 1: dec %edi; jnz 1b; ret", ["a branch at +3 leads to +1"]),
        ("nop; 1: .fill 200, 1, 0x90; jnz 1b; ret", ["a branch at +201 leads to +1"]),
        ("nop; 1: .fill 200, 1, 0x90; jmp 1b; ret", ["a branch at +201 leads to +1"]),
        ("nop; 1: .fill 20, 1, 0x90; loop 1b; ret", ["a branch at +21 leads to +1"]),
        ("nop; 1: .fill 20, 1, 0x90; jrcxz 1b; ret", ["a branch at +21 leads to +1"]),
        ("1: dec %edi; jnz 1b; ret", []),  # to the entry itself: through the redirect
        ("push %rbp; mov %rsp, %rbp; nop; 1: jmp 1b", []),
        ("mov $0xfeeb, %eax; ret", []),  # looks like a branch to +3, and is an immediate
        ("ret", []),
    ],
)
def test_hazards_by_hand(tmp_path: Path, assembly: str, hazards: list[str]) -> None:
    obj = compile_c(
        tmp_path, "gcc", f'void outside(void); __asm__(".globl f; .type f,@function; f: {assembly}; .size f, .-f");'
    )
    assert x86_64.entry_hazards(function(obj, "f")) == hazards


# --- the shape of gcc's initialisers ---------------------------------------------------------------------------------


def test_end_of_guarded_body(tmp_path: Path) -> None:
    (tmp_path / "u.cpp").write_text("int outside(int); int a = outside(1); int b = outside(2);")
    run("g++", "-O0", "-c", "u.cpp", "-o", "u.o", cwd=tmp_path)
    obj = ElfObject.parse((tmp_path / "u.o").read_bytes(), "u.o")
    code = function(obj, "_Z41__static_initialization_and_destruction_0ii")
    end = x86_64.end_of_guarded_body(code)
    assert end is not None
    section = obj.section_names.index(".text")
    inside = [int(offset) for offset in obj.relocations_of(section)["offset"]]
    assert max(o for o in inside if o < len(code)) < end  # both calls and stores are before it
    assert end in dict(ends(code))
    assert x86_64.end_of_guarded_body(bytes.fromhex("554889e5b8010000005dc3")) is None
    assert x86_64.end_of_guarded_body(b"") is None


# --- registers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assembly", "registers", "leaves"),
    [
        ("ret", set(), False),
        ("mov %edi, %eax; ret", {"rax"}, False),
        ("movb $1, %cl; xorw %dx, %dx; ret", {"rcx", "rdx"}, False),
        ("mov $1, %r11d; movb $1, %r8b; ret", {"r11", "r8"}, False),
        ("push %rbx; mov %rdi, %rbx; pop %rbx; ret", set(), False),  # rbx belongs to the caller: saved and restored
        ("addsd %xmm1, %xmm7; ret", {"vec7"}, False),
        ("vaddps %ymm1, %ymm2, %ymm15; ret", {"vec15"}, False),
        ("imulq %rsi; ret", {"rax", "rdx"}, False),
        ("call outside; ret", set(), True),
        ("jmp *%rax", set(), True),
        ("1: dec %edi; jnz 1b; jmp 2f; nop; 2: ret", {"rdi"}, False),
    ],
)
def test_clobbered(tmp_path: Path, assembly: str, registers: set[str], leaves: bool) -> None:
    obj = compile_c(tmp_path, "gcc", f'__asm__("f: {assembly}; .size f, .-f; .type f,@function");')
    assert x86_64.clobbered(function(obj, "f")) == (frozenset(registers), leaves)


def test_instructions_are_objdumps(tmp_path: Path) -> None:
    obj = compile_c(tmp_path, "gcc", ENTRY_C, "-O2")
    section = obj.section_names.index(".text")
    shown = subprocess.run(["objdump", "-d", "-w", tmp_path / "u.o"], capture_output=True, text=True, check=True).stdout
    wanted = [int(m[1], 16) for m in re.finditer(r"^\s+([0-9a-f]+):\t", shown, re.M)]
    assert [offset for offset, _ in x86_64.instructions(obj.content(section)) if offset in set(wanted)] == wanted


# --- what linkers rewrite --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linker", ["bfd", "gold", "lld", "mold"])
@pytest.mark.parametrize("pie", [True, False])
def test_linkers_write_only_where_it_says(tmp_path: Path, linker: str, pie: bool) -> None:
    flags = ["-O2", "-fPIC" if pie else "-fno-pie", "-ftls-model=global-dynamic"]
    more = "int outside(int x) { return x; } int elsewhere; long word; _Thread_local int per_thread; int *at(void) {"
    more += " return &elsewhere; } int main(void) { return calls(3) + *at(); } __m128i v; __m128 w; __m128d w2; "
    obj = compile_c(tmp_path, "gcc", MEMORY_C + more, *flags)
    mode = "-pie" if pie else "-no-pie"
    run("gcc", mode, f"-fuse-ld={linker}", "u.o", "-o", "u", cwd=tmp_path)
    elf = ELFFile(io.BytesIO((tmp_path / "u").read_bytes()))
    symbols = {s.name: s for s in elf.get_section_by_name(".symtab").iter_symbols()}  # type: ignore[union-attr]
    text = elf.get_section_by_name(".text")
    assert text is not None
    section = obj.section_names.index(".text")
    row = obj.symbol_names.index(b"calls")
    base = symbols["calls"]["st_value"] - int(obj.symbols["value"][row]) - text["sh_addr"]
    before = obj.content(section)
    after = bytes(text.data())[base : base + len(before)]
    allowed = set()
    for rela in obj.relocations_of(section):
        low, high = x86_64.LINKER_WRITES.get(int(rela["type"]), (0, x86_64.FIELD_SIZE.get(int(rela["type"]), 4)))
        allowed |= set(range(int(rela["offset"]) + low, int(rela["offset"]) + high))
    written = {i for i in range(len(before)) if before[i] != after[i]}
    assert written
    assert written <= allowed
    kinds = set(obj.relocations_of(section)["type"].tolist())
    assert not pie or {c.R_X86_64_TLSGD, c.R_X86_64_REX_GOTPCRELX} <= kinds
