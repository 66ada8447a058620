"""What has to be known of an executable before it runs: can an agent be preloaded, and what must come before it.

Only program headers and the dynamic section are read (gABI chapter 5): this stands between the user and the start."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from relive.errors import TargetError

_ELF64 = b"\x7fELF\x02\x01"
_X86_64 = 62
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5
_FIRST_IN_LINE = ("libasan.so", "libhwasan.so", "libtsan.so", "libclang_rt.asan", "libclang_rt.hwasan")
"""Sanitizers that refuse to run unless they are the first library."""


class ProgramFile(NamedTuple):
    """An executable. For a script, whose interpreter will be loaded, nothing is known."""

    path: str
    before_agent: tuple[str, ...] = ()
    """Libraries that must stand before the agent in LD_PRELOAD."""


def check_program(path: str) -> ProgramFile:
    """TargetError for a file into which no agent can be preloaded: static, of another machine, unreadable."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            if len(head) < 64 or head[:4] != _ELF64[:4]:
                return ProgramFile(path)
            (machine,) = struct.unpack_from("<H", head, 18)
            if (head[:6], machine) != (_ELF64, _X86_64):
                raise TargetError(f"{path} is not an x86-64 program", "relive reloads 64-bit x86 programs only")
            segments = _segments(file, head)
            if not any(kind == _PT_INTERP for kind, *_ in segments):
                raise TargetError(f"{path} is statically linked", "link it dynamically (without -static) to reload it")
            needed = _needed(file, segments)
    except OSError as error:
        raise TargetError(f"cannot read {path}: {error.strerror}", "relive needs to read the program") from error
    except struct.error as error:
        raise TargetError(f"{path} is not a whole program", "was its link interrupted? build it again") from error
    return ProgramFile(path, tuple(name for name in needed if name.startswith(_FIRST_IN_LINE)))


def _segments(file: BinaryIO, head: bytes) -> list[tuple[int, int, int, int]]:
    """(type, offset, vaddr, size in the file) of each program header."""
    (table,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    file.seek(table)
    rows = file.read(size * count)
    out = []
    for i in range(count):
        kind, _, offset, vaddr, _, filled = struct.unpack_from("<IIQQQQ", rows, i * size)
        out.append((kind, offset, vaddr, filled))
    return out


def _needed(file: BinaryIO, segments: list[tuple[int, int, int, int]]) -> list[str]:
    """Names of the shared libraries that the program asks for."""
    for kind, offset, _, size in segments:
        if kind == _PT_DYNAMIC:
            file.seek(offset)
            entries = list(struct.iter_unpack("<QQ", file.read(size // 16 * 16)))
            break
    else:
        return []
    strings = next((value for tag, value in entries if tag == _DT_STRTAB), None)
    names = []
    for tag, value in entries:
        if tag == _DT_NEEDED and strings is not None:
            at = next((o + strings - v for k, o, v, s in segments if k == _PT_LOAD and v <= strings < v + s), None)
            if at is not None:
                file.seek(at + value)
                names.append(file.read(256).split(b"\0")[0].decode(errors="replace"))
    return names
