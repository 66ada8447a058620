"""What the scanner says about a component: its kind, its flags, its row."""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np


class Kind(IntEnum):
    FUNCTION = 0
    """With a body, or ``= default`` outside of its class."""
    CLASS = 1
    """class, struct, union with a body and nothing declared by it."""
    ENUM = 2
    ALIAS = 3
    """typedef, using, namespace A = B."""
    VARIABLE = 4
    DECLARATION = 5
    """Prototypes, forward declarations, static_assert, friends, concepts, extern template, = delete."""
    NAMESPACE = 6
    LINKAGE = 7
    """``extern "C" {``"""
    ASM = 8
    OTHER = 9
    """Explicit instantiations, and what is not understood (UNCERTAIN)."""


class Flag(IntFlag):
    TEMPLATE = 1 << 0
    """Also functions with ``auto`` parameters."""
    INLINE = 1 << 1
    STATIC = 1 << 2
    CONSTEXPR = 1 << 3
    """constexpr, consteval, constinit."""
    EXTERN = 1 << 4
    ALWAYS_INLINE = 1 << 5
    """always_inline, gnu_inline."""
    AUTO_RETURN = 1 << 6
    MEMBER = 1 << 7
    """Inside of a class body (friends, too)."""
    QUALIFIED = 1 << 8
    """Out of line: ``int S::f() {``."""
    KNR = 1 << 9
    UNCERTAIN = 1 << 10
    """The scanner is not sure of kind or extent."""
    KEEP = 1 << 11
    """The body must stay for what comes later to compile."""
    SYSTEM = 1 << 12
    FRIEND = 1 << 13
    DEFAULTS = 1 << 14
    """A parameter has a default argument."""
    ATTRIBUTED = 1 << 15
    SPECIALISED = 1 << 16
    """``template<>``"""
    INSTANTIATION = 1 << 17
    """``template class X<int>;``"""
    DEFAULTED = 1 << 18
    """``X::X() = default;``"""


# The rows of scan.h, field by field.
COMPONENT = np.dtype(
    [(name, "u4") for name in ("start", "end", "name", "name_end", "qualified", "qualified_end")]
    + [(name, "u4") for name in ("body", "body_end", "strip", "flags", "line", "last_line")]
    + [("parent", "i4"), ("file", "i4"), ("kind", "u1"), ("depth", "u1"), ("pad", "u2")]
)
"""`start`, `end`: bytes of the text. `name`: the last identifier of the declarator (operators: ``operator+``), and
`qualified` as it is written; both empty (0, 0) where there is none. `body` is the ``{`` of a function, a class, a
namespace, `body_end` past its ``}``; both 0 without. `strip`: where the text of a declaration would end (before the
body, the initialisers of a constructor, ``try``). `line`, `last_line` count from 1 in `file`, the index of its name.
`parent`: the NAMESPACE, LINKAGE or CLASS around, or -1; `depth` counts them."""

MARKER = np.dtype([(name, "u4") for name in ("start", "end", "name", "name_end", "line", "system")])
DIRECTIVE = np.dtype([(name, "u4") for name in ("start", "end", "name", "name_end", "kind")])
DEFINE, UNDEF, PRAGMA = 1, 2, 3
