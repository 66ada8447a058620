"""The C half of the diff room as a library: its functions, its structures, the columns that it makes (atoms.h).

The calls hold Python's lock (`PyDLL`): they take a few milliseconds, and an `Interner` has no locks of its own."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from relive.elf.object import RELOCATION_DTYPE

_HERE = Path(__file__).parent

SOURCES: tuple[Path, ...] = tuple(_HERE / f"{name}.c" for name in ("interner", "sections", "cut", "columns", "equal"))
"""The C files, for ``compile_native("diff", SOURCES, flags=FLAGS, cache=...)``."""
FLAGS: tuple[str, ...] = ("-std=gnu11", "-O2")

ROW_DTYPE = np.dtype([("offset", "<u4"), ("type", "<u4"), ("target", "<i8"), ("delta", "<i8")])
ALIAS_DTYPE = np.dtype([("id", "<i8"), ("atom", "<i8"), ("symbol", "<i8"), ("flags", "<i8")])
ENTRY_DTYPE = np.dtype([("text", "<u8"), ("size", "<u8"), ("tag", "<u4"), ("hash", "<u4")])
OK, ODD, NO_MEMORY, TRUNCATED, NO_SYMBOL, OUTSIDE, UNSURE = range(7)
"""Results of `atoms`. ODD: not as compilers write it, Python decides; UNSURE: instructions must be disassembled."""

COLUMNS: tuple[tuple[str, np.dtype[Any]], ...] = tuple(
    (name, np.dtype(kind))
    for name, kind in (
        ("kinds", "u1"),
        ("symbol_is_local", "?"),
        ("relocations", RELOCATION_DTYPE),
        ("eh_relocations", RELOCATION_DTYPE),
        ("eh_target", "<i8"),
        ("bias", "<i8"),
        ("table_entry", "?"),
        ("place", "<i8"),
        ("target", "<i8"),
        ("row_is_local", "?"),
        ("rows", ROW_DTYPE),
        ("section", "<i8"),
        ("start", "<i8"),
        ("end", "<i8"),
        ("symbol", "<i8"),
        ("kind", "u1"),
        ("is_global", "?"),
        ("first", "<i8"),
        ("last", "<i8"),
        ("label", "<i8"),
        ("content_id", "<i8"),
        ("aliases", ALIAS_DTYPE),
    )
)
"""Columns of one object by their number in `column`; what they hold: see `columns.Columns`."""
PENDING_COLUMN, ALL_COLUMN = 22, 23


class Text(ctypes.Structure):
    _fields_ = [("p", ctypes.c_void_p), ("n", ctypes.c_uint64)]


Printable = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64)


class Input(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("sections", ctypes.c_void_p),
        ("section_count", ctypes.c_uint64),
        ("symbols", ctypes.c_void_p),
        ("symbol_count", ctypes.c_uint64),
        ("where", ctypes.c_void_p),
        ("names", Text),
        ("section_names", Text),
        ("relative", ctypes.c_void_p),
        ("decode", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("printable", Printable),
        ("rename_count", ctypes.c_uint64),
        ("renamed", ctypes.c_void_p),
        ("new_names", ctypes.c_void_p),
        ("respelled_count", ctypes.c_uint64),
        ("respelled", ctypes.c_void_p),
        ("spellings", ctypes.c_void_p),
    ]


class Side(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        *[(name, ctypes.c_void_p) for name in ("low", "high", "section", "start", "end", "first", "last")],
        *[(name, ctypes.c_void_p) for name in ("label", "content_id", "by_number")],
        ("number_count", ctypes.c_uint64),
        ("row_local", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
    ]


def load(library: Path) -> dict[str, Any]:
    """The exported functions by name, without their prefix `relive_diff_`."""
    lib = ctypes.PyDLL(str(library))
    handle, u64, u32, number = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int
    count = ctypes.POINTER(u64)
    signatures: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "interner": (handle, ()),
        "interner_free": (None, (handle,)),
        "name": (u32, (handle, ctypes.c_char_p, u64)),
        "content": (u32, (handle, u32, ctypes.c_char_p, u64, ctypes.c_char_p, u64)),
        "reserve": (u32, (handle,)),
        "entries": (handle, (handle, count)),
        "atoms": (number, (ctypes.POINTER(Input), handle, ctypes.POINTER(handle))),
        "free": (None, (handle,)),
        "column": (handle, (handle, number, count)),
        "resolved": (None, (ctypes.POINTER(Side), ctypes.POINTER(Side), handle, handle, u64, handle)),
        "equal": (None, (ctypes.POINTER(Side), ctypes.POINTER(Side), handle, handle, u64, handle)),
    }
    calls: dict[str, Any] = {}
    for name, (result, arguments) in signatures.items():
        call = getattr(lib, f"relive_diff_{name}")
        call.restype, call.argtypes = result, arguments
        calls[name] = call
    return calls
