"""Mangled names for people, by the C++ runtime's own demangler (`__cxa_demangle` of libstdc++ or libc++abi).

Source: Itanium C++ ABI, section 3.4. Where no C++ runtime is installed, names stay as they are."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache, lru_cache


@cache
def _demangler() -> ctypes.CDLL | None:
    for name in ("libstdc++.so.6", "libc++abi.so.1"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        function = library.__cxa_demangle
        function.restype = ctypes.c_void_p
        function.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
        return library
    return None


@lru_cache(maxsize=65536)
def demangle(name: bytes) -> str:
    """`_ZN1S1fEi` → `S::f(int)`; what is not mangled comes back unchanged."""
    plain, _, number = name.partition(b"#")
    library = _demangler() if plain.startswith(b"_Z") else None
    text = None
    if library is not None:
        status = ctypes.c_int(0)
        result = library.__cxa_demangle(plain, None, None, ctypes.byref(status))
        if result and status.value == 0:
            text = ctypes.string_at(result)
            ctypes.CDLL(None).free(ctypes.c_void_p(result))
    text = plain if text is None else text
    shown = text.decode("utf-8", "replace")
    return f"{shown}#{number.decode()}" if number else shown


def qualified_name(name: bytes) -> str:
    """The demangled name without parameters and return type: `ns::Class::method`."""
    text = demangle(name)
    if not name.startswith(b"_Z"):
        return text
    end = _parameters(text)
    if end is None:
        return text
    head = text[:end]
    depth = 0
    for i in range(len(head) - 1, -1, -1):
        if head[i] in ">)]}":
            depth += 1
        elif head[i] in "<([{":
            depth -= 1
        elif head[i] == " " and depth == 0 and not head[:i].endswith("operator") and "operator" not in head[i - 9 : i]:
            return head[i + 1 :]
    return head


def _parameters(text: str) -> int | None:
    """Where the parameter list starts: the last top-level parenthesis that opens."""
    close = text.rfind(")")
    if close < 0:
        return None
    depth = 0
    for i in range(close, -1, -1):
        if text[i] == ")":
            depth += 1
        elif text[i] == "(":
            depth -= 1
            if depth == 0:
                return i if not text.startswith("(anonymous namespace)", i) else None
    return None
