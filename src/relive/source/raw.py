"""Tokens of raw source lines: enough to see whether two texts differ by more than comments and white space."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(
    rb"""
      (?P<blank>(?:\s|\\\r?\n)+ | //(?:[^\\\n]|\\.)* | /\*.*?\*/)
    | (?P<raw>(?:u8|[uUL])?R"(?P<mark>[^\s()\\"]{0,16})\(.*?\)(?P=mark)"\w*)
    | (?P<text>(?:u8|[uUL])?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')\w*)
    | (?P<number>\.?\d(?:[eEpP][+-]|'?[\w.])*)
    | (?P<word>[A-Za-z_$\x80-\xff][\w$\x80-\xff]*)
    | (?P<sign>::|->|[^\s"'])
    """,
    re.VERBOSE | re.DOTALL,
)
_DIRECTIVE = re.compile(rb"(?:[^\\\n/]|\\\r?\n|\\.|//[^\n]*|/\*.*?\*/|/)*", re.DOTALL)
_COMMENT = re.compile(rb"//[^\n]*|/\*.*?\*/|\\\r?\n", re.DOTALL)
_AFTER_CLASS_NAME = frozenset({b"{", b"(", b")", b";", b"*", b"&", b"=", b"}", b","})
_PIECE = re.compile(rb"[\w$\x80-\xff]+")


class Token(NamedTuple):
    text: bytes
    """Of a directive the whole line, without comments, white space reduced."""
    line: int
    """Counted from 0 in the text."""
    is_word: bool


class UnreadableError(ValueError):
    """The text has a comment or literal that does not end, or begins inside of one."""


def tokens(text: bytes) -> list[Token]:
    result: list[Token] = []
    position, line, fresh = 0, 0, True
    while position < len(text):
        if fresh and text.startswith(b"#", position):
            end = directive_end(text, position)
            plain = b" ".join(_COMMENT.sub(b" ", text[position:end]).split())
            result.append(Token(b"#" + plain[1:].lstrip(), line, False))
            line += text.count(b"\n", position, end)
            position = end
            continue
        match = _TOKEN.match(text, position)
        if match is None or (match[0] == b"/" and text.startswith(b"/*", position)):
            raise UnreadableError(f"line {line + 1}")
        found = match[0]
        if match.lastgroup == "blank":
            fresh = fresh or (b"\n" in found and not found.startswith((b"/", b"\\")))
        else:
            result.append(Token(found, line, match.lastgroup in ("word", "number")))
            fresh = False
        line += found.count(b"\n")
        position = match.end()
    return result


def directive_end(text: bytes, start: int) -> int:
    match = _DIRECTIVE.match(text, start)
    assert match is not None
    return match.end()


def words(found: list[Token]) -> frozenset[bytes]:
    """Words and numbers, those in directives, too."""
    result = {token.text for token in found if token.is_word}
    for token in found:
        if token.text.startswith(b"#"):
            result.update(_PIECE.findall(token.text))
    return frozenset(result)


def has_types(found: list[Token]) -> bool:
    """Whether a function has a lambda or a class of its own (or something that looks like it)."""
    for k, token in enumerate(found[1:], 1):
        before = found[k - 1].text
        if token.text == b"[" and not found[k - 1].is_word and before not in (b")", b"]", b"[", b"operator"):
            return True
        if token.text == b"[" and before in (b"return", b"co_return", b"co_yield", b"co_await", b"case"):
            return True
        if before in (b"struct", b"class", b"union", b"enum"):
            head = next((t.text for t in found[k:] if t.text in _AFTER_CLASS_NAME), b"")
            if head == b"{":
                return True
    return False
