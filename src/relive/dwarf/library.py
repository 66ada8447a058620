"""The C reader as a library: its functions, its structures, the rows of its tables as numpy types (reader.h)."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

# The rows of reader.h, field by field.
TEXT = np.dtype([("p", "u8"), ("n", "u8")])
LOCATION = [("addend", "i8"), ("value", "u8"), ("symbol", "u4"), ("section", "u4")]
TYPE = np.dtype(
    [("name", TEXT), ("show", TEXT), ("spell", TEXT)]
    + [(name, "u8") for name in ("name_hash", "layout", "vtable", "contained", "size")]
    + [(name, "u4") for name in ("type", "unit", "tag", "flags", "file", "line")]
)
VARIABLE = np.dtype(
    [(name, TEXT) for name in ("plain", "show", "linkage", "owner", "path", "type")]
    + [("type_hash", "u8"), ("size", "u8"), *LOCATION]
    + [(name, "u4") for name in ("unit", "flags", "file", "line", "ordinal", "pad")]
)
FUNCTION = np.dtype(
    [("show", TEXT), ("linkage", TEXT), ("signature", TEXT), ("size", "u8"), *LOCATION]
    + [(name, "u4") for name in ("unit", "flags", "file", "line", "first_part", "parts")]
)
PART = np.dtype([*LOCATION, ("size", "u8")])
UNIT = np.dtype(
    [("name", TEXT), ("comp_dir", TEXT), ("producer", TEXT)]
    + [(name, "u4") for name in ("language", "version", "type_unit", "pad")]
)
LINE = np.dtype([("offset", "u8"), ("file", "u4"), ("line", "u4"), ("column", "u4"), ("flags", "u4")])
TABLES = {"types": 0, "variables": 1, "functions": 2, "parts": 3, "units": 4, "files": 5, "lines": 6}


class Rows(ctypes.Structure):
    _fields_ = [("rows", ctypes.c_void_p), ("count", ctypes.c_uint64), ("size", ctypes.c_uint64)]


class Text(ctypes.Structure):
    _fields_ = [("p", ctypes.c_void_p), ("n", ctypes.c_uint64)]


class Packed(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("packed", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("unpacked", ctypes.c_void_p),
        ("kind", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    ]


def load(library: Path) -> dict[str, Any]:
    """The exported functions by name, without their prefix `relive_dwarf_`."""
    lib = ctypes.CDLL(str(library))
    handle, u64, u32, number = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int
    signatures: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "create": (handle, ()),
        "close": (None, (handle,)),
        "error": (ctypes.c_char_p, (handle,)),
        "hint": (ctypes.c_char_p, (handle,)),
        "error_kind": (u32, (handle,)),
        "hash": (u64, (ctypes.c_char_p, u64)),
        "entries": (u64, (handle,)),
        "relocatable": (number, (handle,)),
        "open": (number, (handle, handle, u64)),
        "packed": (number, (handle, u64, ctypes.POINTER(Packed))),
        "unpacked": (None, (handle, u64, handle)),
        "index": (number, (handle,)),
        "table": (number, (handle, number, ctypes.POINTER(Rows))),
        "text": (number, (handle, u32, number, ctypes.POINTER(Text))),
        "lines": (number, (handle, u32, u64, u64)),
    }
    calls: dict[str, Any] = {}
    for name, (result, arguments) in signatures.items():
        call = getattr(lib, f"relive_dwarf_{name}")
        call.restype, call.argtypes = result, arguments
        calls[name] = call
    return calls
