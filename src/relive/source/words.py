"""The words of a piece of preprocessed text: its tokens, and among them names, told apart by how they are used.

A name after ``.`` or ``->`` is a member of whatever stands before it. Everything behind ``std::`` is the library's.
Knows nothing of components."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from relive.source.forms import name_hash

_TOKEN = re.compile(
    rb'(?:u8|[uUL])?"(?:[^"\\\n]|\\.)*"'
    rb"|(?:u8|[uUL])?'(?:[^'\\\n]|\\.)+'"
    rb"|\.?[0-9](?:[eEpP][+-]|'[0-9A-Za-z]|[\w.])*"
    rb"|std\s*::\s*\w+(?:\s*::\s*\w+)*"
    rb"|\.\.\."
    rb"|(?:->|\.)\s*[A-Za-z_$]\w*+(?!\s*::)"
    rb"|[A-Za-z_$\x80-\xff][\w$\x80-\xff]*"
    rb"|[^\s\w]"
)
_RAW_STRING = re.compile(rb'\b(?:u8|[uUL])?R"([^()\\\s]{0,16})\(.*?\)\1"', re.DOTALL)
_DIRECTIVE = re.compile(rb"(?m)^[ \t]*#[ \t]*(?:\d|line\b|define\b|undef\b)[^\n]*$")
_NAME = re.compile(rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff]*")
_CONDITION = re.compile(rb"(?m)^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif|elifdef|elifndef)\b((?:[^\n\\]|\\[^\n]|\\\n)*)")
_SELECTED = re.compile(rb"(?:->|\.)\s*")

KEYWORDS = frozenset(
    b"""alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class
    compl concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default
    delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long
    mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public register
    reinterpret_cast requires restrict return short signed sizeof static static_assert static_cast struct switch this
    template thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t
    while xor xor_eq _Alignas _Alignof _Atomic _Bool _Complex _Generic _Noreturn _Static_assert _Thread_local
    __attribute__ __asm__ __asm __extension__ __inline __inline__ __restrict __restrict__ __const __volatile__
    __typeof__ typeof defined""".split()
)

_TYPE_WORDS = frozenset(b"int char bool float double void long short unsigned signed wchar_t _Bool".split())
_BEFORE_TYPE = frozenset(b"const volatile struct class union enum mutable static ::".split()) | {b":"}
_AFTER_DECLARATOR = frozenset((b";", b",", b")", b"=", b"["))


@dataclass(frozen=True, slots=True)
class Words:
    """Names (hashes) of some text, and a hash of all its tokens."""

    names: frozenset[int]
    selected: frozenset[int]
    digest: int


_PLAIN: dict[bytes, int] = {}
"""Token → hash of the name that it is, 0 for all others."""


def tokens(text: bytes) -> list[bytes]:
    """Tokens without white space, line markers and definitions of macros; ``.name`` is one token."""
    if b"#" in text:
        text = _DIRECTIVE.sub(b"", text)
    if b'R"' in text and (raw := _RAW_STRING.search(text)):
        return [*tokens(text[: raw.start()]), raw.group(), *tokens(text[raw.end() :])]
    return _TOKEN.findall(text)


def read_words(found: Iterable[bytes]) -> Words:
    """What `tokens` found, read."""
    found = list(found)
    names: set[int] = set()
    selected: set[int] = set()
    for token in set(found):
        value = _PLAIN.get(token)
        if value is None:
            value = _classify(token)
        if value > 0:
            names.add(value)
        elif value < 0:
            selected.add(-value)
    digest = hashlib.blake2b(b"\0".join(found), digest_size=8).digest()
    return Words(frozenset(names), frozenset(selected), int.from_bytes(digest, "little"))


def without_declared(found: list[bytes]) -> list[bytes]:
    """Tokens of a declaration without the names of its parameters and fields, where it is plain that they are just
    that: behind a type (``Type name``), and in a structure also behind ``Type *``. They are nothing that the
    declaration uses, and otherwise every field called ``size`` would lead to a function of that name."""
    kept: list[bytes] = []
    for i, token in enumerate(found):
        following = found[i + 1] if i + 1 < len(found) else b""
        if following in _AFTER_DECLARATOR and i and _is_name(token):
            before = found[i - 1]
            if before in _TYPE_WORDS or _is_name(before) or (following == b";" and _is_pointer_field(found, i)):
                continue
        kept.append(token)
    return kept


def _is_pointer_field(found: list[bytes], i: int) -> bool:
    """``; const Type *const *name ;``"""
    j = i - 1
    while j >= 0 and found[j] in (b"*", b"&", b"const"):
        j -= 1
    if j == i - 1 or j < 0 or not (_is_name(found[j]) or found[j] in _TYPE_WORDS):
        return False
    while j >= 0 and (_is_name(found[j]) or found[j] in _TYPE_WORDS or found[j] in _BEFORE_TYPE):
        j -= 1
    return j >= 0 and found[j] in (b";", b"{", b"}")


def _is_name(token: bytes) -> bool:
    value = _PLAIN.get(token)
    return (_classify(token) if value is None else value) > 0 and _NAME.match(token) is not None


def source_words(text: bytes) -> frozenset[bytes]:
    """Everything that looks like a name in source text, comments and strings included."""
    return frozenset(_NAME.findall(text)) - KEYWORDS


def condition_words(text: bytes) -> frozenset[bytes]:
    """Names in the conditional directives of source text."""
    return frozenset(word for line in _CONDITION.findall(text) for word in _NAME.findall(line)) - KEYWORDS


def _classify(token: bytes) -> int:
    """0: no name of ours; > 0: a name; < 0: a member, negated."""
    if len(_PLAIN) > 1 << 20:
        _PLAIN.clear()
    value = 0
    first = token[:1]
    if token[-1:] in b"\"'":
        value = 0
    elif first.isdigit() or (first == b"." and token[1:2].isdigit()):
        _, mark, suffix = token.partition(b"_")  # 5_km is a call of operator""_km
        value = name_hash(mark + suffix) if mark else 0
    elif first in b".-":
        name = _SELECTED.sub(b"", token, count=1)
        value = -name_hash(name) if _NAME.fullmatch(name) else 0
    elif _NAME.fullmatch(token) and token not in KEYWORDS:
        value = name_hash(token)
    _PLAIN[token] = value
    return value
