"""Names that a component declares."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relive.source.model import Flag, Kind

if TYPE_CHECKING:
    from relive.source.unit import UnitText

_NOISE = re.compile(rb'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|^[ \t]*#.*$', re.MULTILINE)
_ATTRIBUTE = re.compile(rb"__attribute__\s*\(\(.*?\)\)|\[\[.*?\]\]|\balignas\s*\([^)]*\)", re.DOTALL)
_NAME = re.compile(rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff]*")
_OPENING, _CLOSING = b"([{", b")]}"


def names(unit: UnitText, i: int) -> tuple[bytes, ...]:
    """Of a class with declarators behind (``struct S {...} x;``) both; of an unscoped enum the enumerators, too."""
    row = unit.components[i]
    kind, flags = Kind(int(row["kind"])), int(row["flags"])
    scope = _scope(unit, i)
    found: list[bytes] = []
    if kind in (Kind.NAMESPACE, Kind.LINKAGE, Kind.ASM):
        return ()
    if flags & (Flag.FRIEND | Flag.INSTANTIATION):
        return ()
    if unit.name(i):
        found.append(unit.qualified(i) if flags & Flag.QUALIFIED else unit.name(i))
    body = int(row["body"])
    if kind in (Kind.CLASS, Kind.ENUM, Kind.ALIAS, Kind.VARIABLE) and body:
        head = unit.data[int(row["start"]) : body]
        found += _class_name(head)
        if re.search(rb"\benum\b(?!\s+(class|struct)\b)", head):
            found += _enumerators(unit.data[body + 1 : int(row["body_end"]) - 1])
    if kind in (Kind.VARIABLE, Kind.ALIAS, Kind.DECLARATION) and not unit.text(i).startswith(b"using"):
        found += _further_declarators(unit.text(i))
    return tuple(dict.fromkeys(scope + name.removeprefix(b"::") for name in found))


def _scope(unit: UnitText, i: int) -> bytes:
    result = b""
    for holder in unit.around(i):
        kind = unit.components["kind"][holder]
        if kind == Kind.NAMESPACE:
            name = re.sub(rb"\binline\b|\s+", b"", unit.qualified(holder))
            result += (name or b"(anonymous namespace)") + b"::"
        elif kind == Kind.CLASS and unit.name(holder):
            result += unit.name(holder) + b"::"
    return result


def _class_name(head: bytes) -> list[bytes]:
    plain = _ATTRIBUTE.sub(b" ", _NOISE.sub(b" ", head))
    match = re.search(rb"\b(?:class|struct|union|enum)\s+(?:(?:class|struct)\s+)?([A-Za-z_$][\w$:]*)", plain)
    return [match[1]] if match else []


def _pieces(text: bytes, separator: int) -> list[bytes]:
    """`text` at its top level, split; what is in brackets is left out."""
    result, depth, start, current = [], 0, 0, b""
    for i, c in enumerate(text):
        if c in _OPENING:
            if depth == 0:
                current += text[start:i]
            depth += 1
        elif c in _CLOSING:
            depth -= 1
            if depth == 0:
                start = i + 1
                current += b" () "
        elif depth == 0 and c == separator:
            result.append(current + text[start:i])
            current, start = b"", i + 1
    return [*result, current + (text[start:] if depth == 0 else b"")]


def _enumerators(body: bytes) -> list[bytes]:
    found = (_NAME.search(piece) for piece in _pieces(_ATTRIBUTE.sub(b" ", _NOISE.sub(b" ", body)), ord(",")))
    return [match[0] for match in found if match]


def _further_declarators(text: bytes) -> list[bytes]:
    """y and z of ``int x = 1, *y, z[3];``. Template arguments of the type have commas, too: those do not count."""
    plain = _ATTRIBUTE.sub(b" ", _NOISE.sub(b" ", text)).rstrip(b"; \n")
    while True:
        less = re.sub(rb"<[^<>;]*>", b" ", plain)
        if less == plain:
            break
        plain = less
    result = []
    for piece in _pieces(plain, ord(","))[1:]:
        match = _NAME.search(piece.split(b"=")[0])
        if match:
            result.append(match[0])
    return result
