"""Everything that refers to a function, found in the process: for functions whose entry cannot take a jump (too short,
a loop that leads back into the first bytes, a debugger's breakpoint there).

Instructions with a 32-bit displacement to the function (call, jump, lea) are searched for in all code of the module and
of earlier patches, and checked by disassembly; pointers in read-only memory (vtables, GOT, tables) are searched for in
the modules' segments. Pointers in writable memory are the agent's business (`PointerRewrite`), under the stop. In a
program that is not position-independent, code may also hold the address itself, as an immediate of 32 bits.

A jump of two bytes (the assembler makes it of a tail call to a neighbour) cannot be led elsewhere: refused."""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence

import numpy as np

from relive.arch import x86_64
from relive.elf import constants as c
from relive.errors import Refusal, RefusedError
from relive.host.target import CodePatch, DataStore, Target
from relive.session.modules import ModuleState


def referring_code(
    target: Target,
    modules: Sequence[ModuleState],
    patches: Sequence[tuple[int, int]],
    old: int,
    new: int,
    replaced: Collection[int] = (),
) -> list[CodePatch]:
    """Changes that make every instruction that refers to `old` refer to `new`. `patches`: (address, size) of loaded
    patches, whose code is searched as well; `replaced`: entries of functions that are redirected now. RefusedError:
    an instruction that is too short for it."""
    result = []
    for module in modules:
        for header in module.image.elf.program_headers:
            if header.type == c.PT_LOAD and header.flags & c.PF_X and header.filesz:
                start = module.address(header.vaddr)
                code = target.read(start, header.filesz)
                _refuse_short_jumps(code, start, old, module, replaced)
                result += _patches(code, start, old, new, module)
    for start, size in patches:
        result += _patches(target.read(start, size), start, old, new, None)
    return result


def referring_data(
    target: Target, modules: Sequence[ModuleState], patches: Sequence[tuple[int, int]], old: int, new: int
) -> list[DataStore]:
    """Changes of pointers in memory that the program itself cannot write."""
    ranges = [(start, size) for start, size in patches]
    for module in modules:
        relro = [h for h in module.image.elf.program_headers if h.type == c.PT_GNU_RELRO]
        ranges += [(module.address(h.vaddr), h.memsz) for h in relro]
        for header in module.image.elf.program_headers:
            if header.type == c.PT_LOAD and not header.flags & (c.PF_W | c.PF_X):
                ranges.append((module.address(header.vaddr), header.filesz))
    result = []
    before, after = struct.pack("<Q", old), struct.pack("<Q", new)
    for start, size in ranges:
        low = (start + 7) // 8 * 8
        size = (size - (low - start)) // 8 * 8
        if size <= 0:
            continue
        words = np.frombuffer(target.read(low, size), "<u8")
        result += [DataStore(low + 8 * int(i), before, after) for i in np.flatnonzero(words == np.uint64(old))]
    return list(dict.fromkeys(result))


def _patches(code: bytes, start: int, old: int, new: int, module: ModuleState | None) -> list[CodePatch]:
    if len(code) < 8:
        return []
    relative: list[int] = []
    absolute: list[int] = []
    for phase in range(4):
        words = np.frombuffer(code, "<i4", (len(code) - phase) // 4, phase).astype(np.int64)
        places = phase + 4 * np.arange(len(words), dtype=np.int64)
        relative += places[words + places + (start + 4) == old].tolist()
        if max(old, new) < 1 << 31:
            absolute += places[words == old].tolist()
    result = []
    for at in sorted(relative + absolute):
        instruction = _instruction(code, at, start, module)
        if instruction is None:
            continue
        low, high = instruction
        if high != at + 4 or not (_is_immediate if at in absolute else _is_displacement)(code[low:at]):
            continue
        changed = bytearray(code[low:high])
        value = new if at in absolute else new - (start + at + 4)
        changed[at - low : at - low + 4] = struct.pack("<i", value)
        result.append(CodePatch(start + low, code[low:high], bytes(changed)))
    return result


_PREFIXES = b"\x66\xf2\xf3" + bytes(range(0x40, 0x50))


def _is_displacement(head: bytes) -> bool:
    """Whether these first bytes of an instruction are followed by its last field, a displacement from its end: a call,
    a jump, or a rip-relative operand of an instruction without immediate (SDM volume 2, tables A-2 and A-3)."""
    opcode = head.lstrip(_PREFIXES)
    if opcode in (b"\xe8", b"\xe9") or (len(opcode) == 2 and opcode[0] == 0x0F and opcode[1] & 0xF0 == 0x80):
        return True
    return len(opcode) > 1 and opcode[-1] & 0xC7 == 5 and opcode[0] not in (0x69, 0x81, 0xC7, 0xF7)


def _is_immediate(head: bytes) -> bool:
    """Whether these first bytes of an instruction are followed by an immediate that may be an address: mov, push, cmp
    (SDM volume 2, table A-2)."""
    opcode = head.lstrip(_PREFIXES)
    if opcode[:1] in (b"\xc7", b"\x81"):
        return len(opcode) > 1 and opcode[1] & 0xC7 != 5
    return len(opcode) == 1 and (opcode[0] & 0xF8 == 0xB8 or opcode[0] in (0x68, 0x3D))


def _refuse_short_jumps(code: bytes, start: int, old: int, module: ModuleState, replaced: Collection[int]) -> None:
    image = module.image
    for at in range(max(old - start - 129, 0), min(old - start + 127, len(code) - 1)):
        opcode = code[at]
        if not (opcode == 0xEB or opcode & 0xF0 == 0x70 or opcode & 0xFC == 0xE0):
            continue
        if start + at + 2 + int.from_bytes(code[at + 1 : at + 2], "little", signed=True) != old:
            continue
        row = image.symbol_covering(start + at - module.base)
        home = module.address(int(image.symbols.value[row])) if row is not None else old
        if home == old or home in replaced:
            continue  # the function's own loop; code that nobody will enter any more
        entry = code[home - start : home - start + x86_64.REDIRECT_SIZE]
        if row is None or (entry[:1] == b"\xe9" and entry != image.read(home - module.base, len(entry))):
            continue  # replaced before
        if _instruction(code, at + 1, start, module) == (at, at + 2):
            caller = image.symbols.name(row).decode("utf-8", "replace")
            raise RefusedError(
                (
                    Refusal(
                        "entry-not-patchable", f"{old:#x}",
                        f"its entry takes no jump, and a jump of two bytes in {caller} leads to it",
                        "change that function in the same save, or restart the program",
                    ),
                )
            )  # fmt: skip


def _instruction(code: bytes, field: int, start: int, module: ModuleState | None) -> tuple[int, int] | None:
    """(first, last) offset of the instruction that holds a field; None when there is none. Boundaries are those of the
    code as it was linked: the first bytes of a function may be a jump by now."""
    if module is not None:
        row = module.image.symbol_covering(start + field - module.base)
        if row is not None:
            value = int(module.image.symbols.value[row])
            first = value + module.base - start
            for offset, length in x86_64.instructions(module.image.read(value, min(field + 16, len(code)) - first)):
                if first + offset <= field < first + offset + length:
                    return first + offset, first + offset + length
            return None
    before = code[max(field - 3, 0) : field]
    if before[-1:] in (b"\xe8", b"\xe9"):
        return field - 1, field + 4
    if before[-2:-1] == b"\x0f" and before[-1] & 0xF0 == 0x80:
        return field - 2, field + 4
    if before[-2:-1] == b"\x8d" and before[-1] & 0xC7 == 5:
        return field - 3, field + 4
    return None
