"""x86-64: what the linker and the comparer must know of the machine. One file an architecture.

**References.** Nearly every reference is a 32-bit displacement `S + A - P` in the last field of an instruction. The
processor adds the displacement to the address of the *next* instruction, so the addend carries minus the distance
from the field to the instruction's end: -4, or -5, -6, -8 when an immediate follows (`cmpb $1, x(%rip)`). To know
what a reference against a *section* means ("byte 0x24 of .bss": of which variable?) that distance must be known:
`bias`. Mistaking it for 4 is how other tools bind `x = 5` to the neighbour of x.

**Redirects.** A changed function's first version gets `e9 rel32` (jmp, 5 bytes) at its entry. The bytes 1 to 4 lie
inside the old code: no thread may have its PC there, no return address may point there, and no branch of the old code
may lead there (`for (;;)` as the whole body at -O0 starts its loop at +4). `entry_hazards` finds such branches.

**Stubs.** `ff 25 rel32` (jmp *slot(%rip)) reaches any address through a slot of ours.

Source: psABI 1.0 tables 4.9 to 4.12; Intel SDM volume 2, chapter 2 and appendix A."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from relive.elf import constants as c

REDIRECT_SIZE = 5
STUB_SIZE = 8
BREAKPOINT = b"\xcc"

PC_RELATIVE = frozenset(
    {
        c.R_X86_64_PC32,
        c.R_X86_64_PLT32,
        c.R_X86_64_PC64,
        c.R_X86_64_GOTPCREL,
        c.R_X86_64_GOTPCRELX,
        c.R_X86_64_REX_GOTPCRELX,
        c.R_X86_64_GOTTPOFF,
        c.R_X86_64_TLSGD,
        c.R_X86_64_TLSLD,
        c.R_X86_64_GOTPC32_TLSDESC,
        c.R_X86_64_GOTPC32,
        c.R_X86_64_PC16,
        c.R_X86_64_PC8,
    }
)

FIELD_SIZE = {
    c.R_X86_64_64: 8,
    c.R_X86_64_PC64: 8,
    c.R_X86_64_SIZE64: 8,
    c.R_X86_64_DTPOFF64: 8,
    c.R_X86_64_TPOFF64: 8,
    c.R_X86_64_GOTOFF64: 8,
    c.R_X86_64_16: 2,
    c.R_X86_64_PC16: 2,
    c.R_X86_64_8: 1,
    c.R_X86_64_PC8: 1,
    c.R_X86_64_NONE: 0,
    c.R_X86_64_TLSDESC_CALL: 0,
}
"""Bytes that a relocation writes where it is not four."""

LINKER_WRITES = {
    c.R_X86_64_GOTPCRELX: (-2, 4),
    c.R_X86_64_REX_GOTPCRELX: (-3, 4),
    c.R_X86_64_GOTPCREL: (-3, 4),
    c.R_X86_64_GOTTPOFF: (-3, 4),
    c.R_X86_64_TLSGD: (-4, 12),
    c.R_X86_64_TLSLD: (-3, 10),
    c.R_X86_64_GOTPC32_TLSDESC: (-3, 4),
    c.R_X86_64_TLSDESC_CALL: (0, 2),
}
"""Bytes around a relocated field, relative to it, that a linker may rewrite when it relaxes the instruction
(psABI 4.11 "Optimize GOTPCRELX", 5 "TLS"); elsewhere only the field."""

# One-byte opcodes and opcodes of the 0f map whose operand (modrm, rip-relative) is followed by an immediate. What has
# no one-byte form with a modrm (70 to 73, c2, c4) is of the 0f map however it is written (VEX, EVEX): it is in both.
_IMM8 = np.zeros(256, bool)
_IMM8[[0x80, 0x83, 0xC6, 0x6B, 0xC0, 0xC1, 0x70, 0x71, 0x72, 0x73, 0xC2, 0xC4]] = True
_IMM32 = np.zeros(256, bool)
_IMM32[[0x81, 0xC7, 0x69]] = True
_IMM8_0F = np.zeros(256, bool)
_IMM8_0F[[0x70, 0xC2, 0xC4, 0xC6, 0xBA, 0xA4, 0xAC, 0x71, 0x72, 0x73]] = True
_NOT_0F = np.zeros(256, bool)  # opcodes that take a memory operand only outside of the 0f map: 0f 80.. are jumps
_NOT_0F[[0x80, 0x81, 0x83, 0xF7]] = True
_BOTH = np.zeros(256, bool)  # without an immediate in the 0f map: xadd, punpckhwd, packssdw, psadbw
_BOTH[[0xC0, 0xC1, 0x69, 0x6B, 0xF6]] = True
_LOOK_BACK = 2048
"""Bytes that are disassembled at most to find the start of an instruction; x86 code synchronises within a few dozen."""


def displacement_bias(code: npt.NDArray[np.uint8], fields: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Distance in bytes from each 32-bit displacement field to the end of its instruction (4 plus the immediate).

    `code`: bytes of text sections; `fields`: offsets of the fields. Decides by the opcode before the field; a byte
    before it that is no rip-relative modrm (a call or jump) means that nothing follows. Where the bytes before the
    opcode may be a prefix, or the end of the instruction before (`c = 'f'; x = 5` is `.. 66` and `c7 05 ..`), the code
    since the field before is disassembled."""
    padded = np.concatenate([np.zeros(6, np.uint8), code])
    modrm, opcode, before, third, fourth, fifth = (padded[fields + 6 - n] for n in range(1, 7))
    memory = (modrm & 0xC7) == 0x05
    register = (modrm >> 3) & 7
    two_byte = (before == 0x0F) & ~_NOT_0F[opcode] & ~((opcode == 0xC7) & (register == 0))
    imm8 = np.where(two_byte, _IMM8_0F[opcode], _IMM8[opcode] | ((opcode == 0xF6) & (register < 2)))
    imm32 = ~two_byte & (_IMM32[opcode] | ((opcode == 0xF7) & (register < 2)))
    bias = 4 + np.where(imm8, 1, 0) + np.where(imm32, np.where(before == 0x66, 2, 4), 0)
    result: npt.NDArray[np.int64] = np.where(memory, bias, 4).astype(np.int64)
    vex = (third == 0xC5) & _BOTH[opcode] | (fourth == 0xC4) & ((third & 0x1F) - 1 < 3)
    evex = (fifth == 0x62) & ((third & 4) != 0)
    unsure = (
        (imm32 & ((before == 0x66) | (third == 0x66)))
        | ((before == 0x0F) & _BOTH[opcode])
        | ((third == 0x0F) & ((before == 0x38) | (before == 0x3A)))
        | vex
        | evex
    )
    if bool((unsure & memory).any()):
        _disassemble_unsure(code, fields, unsure & memory, result)
    return result


def _disassemble_unsure(
    code: npt.NDArray[np.uint8],
    fields: npt.NDArray[np.int64],
    unsure: npt.NDArray[np.bool_],
    bias: npt.NDArray[np.int64],
) -> None:
    """Corrects `bias` where `unsure`: the instruction of the field before ends where another one begins."""
    order = np.argsort(fields, kind="stable")
    for position in np.flatnonzero(unsure[order]).tolist():
        index = order[position]
        field = int(fields[index])
        previous = order[position - 1] if position else -1
        start = int(fields[previous] + bias[previous]) if position else 0
        start = max(start, field - _LOOK_BACK)
        for offset, length, _, _ in _disassemble(code[start : field + 8].tobytes()):
            end = start + offset + length
            if end > field:
                if end - field in (4, 5, 6, 8):
                    bias[index] = end - field
                break


def redirect(entry: int, destination: int) -> bytes:
    """The five bytes of `jmp destination` for the address `entry`; OverflowError beyond ±2 GB."""
    distance = destination - (entry + REDIRECT_SIZE)
    if not -(1 << 31) <= distance < 1 << 31:
        raise OverflowError(f"jump from {entry:#x} to {destination:#x} is beyond 2 GB")
    return b"\xe9" + struct.pack("<i", distance)


def jump_over(size: int) -> bytes:
    """`size` bytes of code that do nothing, quickly."""
    if size < REDIRECT_SIZE:
        return b"\x90" * size
    return redirect(0, size) + b"\x90" * (size - REDIRECT_SIZE)


def stub(address: int, slot: int) -> bytes:
    """Eight bytes at `address` that jump to where the 8-byte `slot` points: `jmp *slot(%rip)` and padding."""
    return b"\xff\x25" + struct.pack("<i", slot - (address + 6)) + b"\x66\x90"


def is_padding(code: bytes) -> bool:
    """Whether bytes behind a function are what assemblers and linkers fill gaps with (nops, int3, zeros)."""
    at = 0
    while at < len(code):
        for nop in _NOPS:
            if code.startswith(nop, at) or (nop.startswith(code[at:]) and len(code) - at < len(nop)):
                at += len(nop)
                break
        else:
            return False
    return True


_NOPS = (
    b"\x66\x2e\x0f\x1f\x84\0\0\0\0\0",
    b"\x2e\x0f\x1f\x84\0\0\0\0\0",
    b"\x0f\x1f\x84\0\0\0\0\0",
    b"\x0f\x1f\x80\0\0\0\0",
    b"\x66\x0f\x1f\x44\0\0",
    b"\x0f\x1f\x44\0\0",
    b"\x0f\x1f\x40\0",
    b"\x0f\x1f\0",
    b"\x66\x90",
    b"\x66",
    b"\x90",
    b"\xcc",
    b"\0",
)
"""Multi-byte nops, longest first (Intel SDM, NOP), the prefix 66 that lengthens them, int3, zeros."""


def fits(relocation: int, value: int) -> bool:
    """Whether the value of a relocation can be written into its field."""
    if relocation in (c.R_X86_64_32, c.R_X86_64_SIZE32):
        return 0 <= value < 1 << 32
    size = FIELD_SIZE.get(relocation, 4)
    if size == 8 or size == 0:
        return True
    bound = 1 << (8 * size - 1)
    return -bound <= value < (2 * bound if relocation in (c.R_X86_64_16, c.R_X86_64_8) else bound)


def entry_hazards(code: bytes, size: int = REDIRECT_SIZE) -> list[str]:
    """Why the first `size` bytes of a function must not be replaced while one of its frames is alive: branches and
    calls whose target or return address lies in [1, size). Empty for nearly every function.

    A cheap scan for all possible encodings comes first; only a hit is disassembled."""
    if not _may_branch_into(code, size) and not _may_call(code[:size]):
        return []
    found = []
    for offset, length, mnemonic, operand in _disassemble(code):
        if mnemonic.startswith("call") and 0 < offset + length < size:
            found.append(f"a call returns to +{offset + length}")
        elif mnemonic.startswith(("j", "loop", "xbegin")) and 0 < _destination(operand) < size:
            found.append(f"a branch at +{offset} leads to +{_destination(operand)}")
    return found


def end_of_guarded_body(code: bytes) -> int | None:
    """Where the straight-line body of gcc's `if (initialize_p && priority == N) { ... }` ends: at the jump to, or at,
    the target of its first conditional jump. None for code of another shape."""
    target = None
    for offset, _, mnemonic, operand in _disassemble(code):
        if target is None:
            if mnemonic == "jne" and _destination(operand) > 0:
                target = _destination(operand)
        elif offset == target or (mnemonic == "jmp" and _destination(operand) == target):
            return offset
    return None


def _destination(operand: str) -> int:
    """Where a direct branch leads; -1 for an indirect one. capstone writes numbers below ten without 0x."""
    return int(operand, 0) if operand[:1].isdigit() else -1


def _may_call(head: bytes) -> bool:
    return b"\xe8" in head or b"\xff" in head


def _may_branch_into(code: bytes, size: int) -> bool:
    """Whether any byte could be a rel8 or rel32 branch to [1, size): every position is tried as an opcode."""
    data = np.frombuffer(code, np.uint8)
    if len(data) < 2:
        return False
    short = np.flatnonzero(((data[:-1] & 0xF0) == 0x70) | (data[:-1] == 0xEB) | ((data[:-1] & 0xFC) == 0xE0))
    target = short + 2 + data[short + 1].view(np.int8).astype(np.int64)
    if bool(((target > 0) & (target < size)).any()):
        return True
    if len(data) < 6:
        return False
    near = np.flatnonzero((data[:-4] == 0xE9) | ((data[:-4] & 0xF0) == 0x80))
    if not len(near):
        return False
    fields = np.lib.stride_tricks.sliding_window_view(data, 4)[np.minimum(near + 1, len(data) - 4)]
    target = near + 5 + np.ascontiguousarray(fields).view("<i4").ravel().astype(np.int64)
    return bool(((target > 0) & (target < size)).any())


def clobbered(code: bytes) -> tuple[frozenset[str], bool]:
    """Caller-saved registers that a function itself writes, and whether it calls or jumps anywhere else.

    psABI 3.2.1: rax, rcx, rdx, rsi, rdi, r8 to r11 and all vector registers belong to the callee."""
    import capstone

    engine: Any = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.detail = True
    written: set[str] = set()
    leaves = False
    for instruction in engine.disasm(code, 0):
        _, registers = instruction.regs_access()
        written |= {_WHOLE.get(name, name) for name in map(instruction.reg_name, registers)}
        if instruction.mnemonic.startswith("call"):
            leaves = True
        elif instruction.mnemonic == "jmp":
            leaves = leaves or not 0 <= _destination(instruction.op_str) < len(code)
    return frozenset(w for w in written if w in _CALLER_SAVED or w.startswith("vec")), leaves


def _register_names() -> dict[str, str]:
    names: dict[str, str] = {}
    for letter in "acd":
        names |= dict.fromkeys((f"e{letter}x", f"{letter}x", f"{letter}l", f"{letter}h"), f"r{letter}x")
    for name in ("si", "di"):
        names |= dict.fromkeys((f"e{name}", name, f"{name}l"), f"r{name}")
    for number in range(8, 12):
        names |= dict.fromkeys((f"r{number}d", f"r{number}w", f"r{number}b"), f"r{number}")
    for number in range(32):
        names |= dict.fromkeys((f"{kind}mm{number}" for kind in "xyz"), f"vec{number}")
    return names


_WHOLE = _register_names()
_CALLER_SAVED = frozenset({"rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"})

_decoder: Callable[[bytes], list[tuple[int, int, str, str]]] | None = None


def instructions(code: bytes) -> list[tuple[int, int]]:
    """(offset, length) of the instructions of straight-line code."""
    return [(offset, length) for offset, length, _, _ in _disassemble(code)]


def _disassemble(code: bytes) -> list[tuple[int, int, str, str]]:
    """(offset, length, mnemonic, operands) of straight-line disassembly from offset 0, by capstone."""
    global _decoder
    if _decoder is None:
        import capstone  # costs 20 ms: only for the rare function that needs it

        engine: Any = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        _decoder = lambda data: list(engine.disasm_lite(data, 0))  # noqa: E731
    return _decoder(code)
