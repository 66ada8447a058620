"""The C scanner as a library: preprocessed text in, `UnitText` out."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relive.source.model import COMPONENT, DIRECTIVE, MARKER
from relive.source.unit import UnitText

C_SUFFIXES = (".c", ".i")
"""Everything else is read as C++."""


class _Rows(ctypes.Structure):
    _fields_ = [("rows", ctypes.c_void_p), ("count", ctypes.c_uint64), ("size", ctypes.c_uint64)]


class Scanner:
    """The compiled scanner. `library`: the shared library made of `relive.source.SOURCES`. It keeps nothing between
    calls and does not hold Python up: several threads may use it at once."""

    def __init__(self, library: Path) -> None:
        lib = ctypes.CDLL(str(library))
        self._scan: Any = lib.relive_source_scan
        self._scan.restype, self._scan.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int)
        self._rows: Any = lib.relive_source_rows
        self._rows.restype, self._rows.argtypes = None, (ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Rows))
        self._close: Any = lib.relive_source_close
        self._close.restype, self._close.argtypes = None, (ctypes.c_void_p,)

    def parse(self, data: bytes, main: str, *, cplusplus: bool | None = None) -> UnitText:
        """The components of `data`, what ``cc -E -dD main`` wrote. The language follows the suffix of `main` unless it
        is given."""
        if cplusplus is None:
            cplusplus = not main.endswith(C_SUFFIXES)
        handle = self._scan(data, len(data), cplusplus)
        if not handle:
            raise MemoryError
        try:
            components = self._table(handle, 0, COMPONENT)
            markers = self._table(handle, 1, MARKER)
            directives = self._table(handle, 2, DIRECTIVE)
        finally:
            self._close(handle)
        return UnitText(data, main, cplusplus, components, markers, directives)

    def _table(self, handle: int, which: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        rows = _Rows()
        self._rows(handle, which, ctypes.byref(rows))
        assert rows.size == dtype.itemsize, f"row {which}: {rows.size} bytes in C, {dtype.itemsize} here"
        if rows.count == 0:
            return np.empty(0, dtype)
        return np.frombuffer(bytearray(ctypes.string_at(rows.rows, rows.count * rows.size)), dtype)
