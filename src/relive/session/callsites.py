"""Everything that refers to a function, found in the process: for functions whose entry cannot take a jump (too short,
a loop that leads back into the first bytes, a debugger's breakpoint there).

Instructions with a 32-bit displacement to the function (call, jump, lea) are searched for in all code of the module and
of earlier patches, and checked by disassembly; pointers in read-only memory (vtables, GOT, tables) are searched for in
the modules' segments. Pointers in writable memory are the agent's business (`PointerRewrite`), under the stop."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from relive.arch import x86_64
from relive.elf import constants as c
from relive.host.target import CodePatch, DataStore, Target
from relive.session.modules import ModuleState


def referring_code(
    target: Target, modules: Sequence[ModuleState], patches: Sequence[tuple[int, int]], old: int, new: int
) -> list[CodePatch]:
    """Changes that make every instruction that refers to `old` refer to `new`. `patches`: (address, size) of loaded
    patches, whose code is searched as well."""
    result = []
    for module in modules:
        for header in module.image.elf.program_headers:
            if header.type == c.PT_LOAD and header.flags & c.PF_X and header.filesz:
                start = module.address(header.vaddr)
                code = target.read(start, header.filesz)
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
    found: list[int] = []
    for phase in range(4):
        words = np.frombuffer(code, "<i4", (len(code) - phase) // 4, phase).astype(np.int64)
        places = phase + 4 * np.arange(len(words), dtype=np.int64)
        found += places[words + places + (start + 4) == old].tolist()
    result = []
    for at in sorted(found):
        instruction = _instruction(code, at, start, module)
        if instruction is None:
            continue
        low, high = instruction
        if high != at + 4:
            continue
        changed = bytearray(code[low:high])
        distance = new - (start + at + 4)
        changed[at - low : at - low + 4] = struct.pack("<i", distance)
        result.append(CodePatch(start + low, code[low:high], bytes(changed)))
    return result


def _instruction(code: bytes, field: int, start: int, module: ModuleState | None) -> tuple[int, int] | None:
    """(first, last) offset of the instruction that ends with a displacement field; None when there is none."""
    if module is not None:
        row = module.image.symbol_covering(start + field - module.base)
        if row is not None:
            first = int(module.image.symbols.value[row]) + module.base - start
            for offset, length in x86_64.instructions(code[first : field + 16]):
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
