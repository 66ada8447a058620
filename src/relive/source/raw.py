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


def tokens(text: bytes, first: int = 0) -> list[Token]:
    """`first`: the number of the first line."""
    result: list[Token] = []
    position, line, fresh, end = 0, first, True, len(text)
    match_at, make = _TOKEN.match, tuple.__new__
    while position < end:
        if fresh and text.startswith(b"#", position):
            behind = directive_end(text, position)
            plain = b" ".join(_COMMENT.sub(b" ", text[position:behind]).split())
            result.append(Token(b"#" + plain[1:].lstrip(), line, False))
            line += text.count(b"\n", position, behind)
            position = behind
            continue
        match = match_at(text, position)
        if match is None:
            raise UnreadableError(f"line {line + 1}")
        found, kind = match[0], match.lastgroup
        position = match.end()
        if kind == "blank":
            if b"\n" in found:
                fresh = fresh or not found.startswith((b"/", b"\\"))
                line += found.count(b"\n")
            continue
        if found == b"/" and text.startswith(b"*", position):
            raise UnreadableError(f"line {line + 1}")
        result.append(make(Token, (found, line, kind == "word" or kind == "number")))  # a third of the time otherwise
        fresh = False
        if kind == "raw" or kind == "text":
            line += found.count(b"\n")
    return result


def both_tokens(old: list[bytes], new: list[bytes]) -> tuple[list[Token], list[Token]]:
    """Tokens of two versions of some lines. What the two have in common is read once; the line numbers of the second
    are not meant where they differ from the first."""
    head = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    rest = min(len(old), len(new)) - head
    backwards = zip(reversed(old), reversed(new), strict=False)
    tail = min(next((k for k, (a, b) in enumerate(backwards) if a != b), rest), rest)
    pieces = old[:head], old[head : len(old) - tail], new[head : len(new) - tail], old[len(old) - tail :]
    try:
        if any(piece and piece[-1].rstrip(b"\r").endswith(b"\\") for piece in pieces[:3]):
            raise UnreadableError
        first = 0, head, head, len(old) - tail
        before, was, now, behind = (tokens(b"\n".join([*p, b""]), k) for p, k in zip(pieces, first, strict=True))
    except UnreadableError:  # a comment or a literal goes over the places at which the lines were cut
        return tokens(b"\n".join([*old, b""])), tokens(b"\n".join([*new, b""]))
    return before + was + behind, before + now + behind


def directive_end(text: bytes, start: int) -> int:
    match = _DIRECTIVE.match(text, start)
    assert match is not None
    return match.end()


def words(found: list[Token]) -> frozenset[bytes]:
    """Words and numbers, those in directives, too."""
    result = {token.text for token in found if token.is_word}
    for token in found:
        if token.text[0] == 35:  # a directive
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
