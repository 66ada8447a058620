"""Depfiles: the make rules that compilers write to say which files a unit was made from.

The format is make's, as gcc's mkdeps.cc and clang's DependencyFile.cpp write it: ``target…: prerequisite…``, lines
joined by a backslash at their end, and in names ``\\ `` for a blank (backslashes before it doubled), ``\\#``, ``\\:``
and ``$$``. A file may hold several rules: ``-MP`` adds an empty one for each header, automake starts with a comment
(``# dummy``) until the first compile has run. All prerequisites of all rules are the unit's inputs.

Almost every depfile has no escape but the line joins, so that case is one `str.split`."""

from __future__ import annotations

import posixpath
import re

_COMMENT = re.compile(r"(?m)(?:^|(?<=[ \t]))#.*$")
_WORD = re.compile(r"(?:[^ \t\r\\$]+|\\.|\\|\$\$|\$)+")
_PIECE = re.compile(r"(\\+)(?= )|\\([#:])|\$\$")
_PLAIN = re.compile(r"[^ \t\r]+")


def parse_depfile(text: str) -> tuple[str, ...]:
    """Prerequisites in order of appearance, each once, as written (relative ones belong to the compiler's
    directory)."""
    text = text.replace("\r\n", "\n").replace("\\\n", " ")
    if "#" in text:
        text = _COMMENT.sub("", text)
    names: dict[str, None] = {}
    ascii_only = text.isascii()  # otherwise str.split would also split at U+00A0 and the like
    for line in text.split("\n"):
        plain = "\\" not in line and "$" not in line
        words = line.split() if plain and ascii_only else (_PLAIN if plain else _WORD).findall(line)
        start = _end_of_targets(words)
        if start is None:
            continue
        if words[start - 1][-1] != ":":  # `a.o:a.c`, written by hand: nothing separates them
            first = words[start - 1].split(":", 1)[1]
            words = [*words[:start], first, *words[start:]]
        names.update(dict.fromkeys(words[start:] if plain else map(_unescape, words[start:])))
    return tuple(names)


def depfile_candidates(object_path: str, named: str | None) -> tuple[str, ...]:
    """Where the build may have left the depfile of an object, most certain first (absolute paths).

    ``named`` is the command's own ``-MF``. automake writes ``.deps/x.Tpo`` and renames it to ``x.Po``."""
    candidates: list[str] = []
    if named:
        candidates.append(named)
        candidates.append(re.sub(r"\.Tp(l?o)$", r".P\1", named))
    if object_path:
        directory, name = posixpath.split(object_path)
        stem = re.sub(r"\.l?o$", "", name)
        candidates += [
            object_path + ".d",  # CMake's Makefiles
            posixpath.join(directory, stem + ".d"),  # gcc's own choice for -MD without -MF
            posixpath.join(directory, ".deps", stem + ".Po"),  # automake
            posixpath.join(directory, ".deps", stem + ".Plo"),  # automake with libtool
            posixpath.join(directory, ".deps", stem + ".d"),
            posixpath.join(directory, "." + stem + ".d"),
        ]
    return tuple(dict.fromkeys(candidates))


def _end_of_targets(words: list[str]) -> int | None:
    """Index of the first prerequisite; None for a line that is no rule. A colon counts where a blank follows it, since
    names may hold colons; only a line without such a one is split at its first colon."""
    for index, word in enumerate(words):
        if word[-1] == ":" and word[-2:] != "\\:":
            return index + 1
    for index, word in enumerate(words):
        if ":" in word and "=" not in word:
            return index + 1
    return None


def _unescape(word: str) -> str:
    if "\\" not in word and "$" not in word:
        return word

    def plain(match: re.Match[str]) -> str:
        if match[1]:  # 2n+1 backslashes before a blank stand for n backslashes and the blank
            return "\\" * (len(match[1]) // 2)
        return match[2] or "$"

    return _PIECE.sub(plain, word)
