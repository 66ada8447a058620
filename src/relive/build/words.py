"""Splitting command lines into words, the way a POSIX shell and the compilers' response files do it.

Two grammars, both without expansion:

* *shell*: what a ``command`` of compile_commands.json went through when the build ran it. POSIX sh 2.2: inside double
  quotes a backslash is special only before ``$ ` " \\`` and a newline. (`shlex` keeps the backslash before ``$`` and
  a backquote, and reads a character at a time: 3000 commands cost it more than a second.)
* *response*: the content of an ``@file``. libiberty's `buildargv` and LLVM's `TokenizeGNUCommandLine` agree: a
  backslash takes the next character literally, in either kind of quotes as well.

Knows nothing of what the words mean."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable

ReadText = Callable[[str], str | None]
"""Content of a text file, None when it cannot be read."""

_BLANK = " \t\r\n"
_PLAIN = re.compile(r"[^ \t\r\n]+")
_SHELL_WORD = re.compile(r"""(?:[^ \t\r\n'"\\]+|'[^']*'|"(?:[^"\\]|\\.)*"|\\.)+""", re.DOTALL)
_SHELL_PIECE = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^'"\\]+)""", re.DOTALL)
_SHELL_ESCAPE = re.compile(r'\\([$`"\\\n])')
_RESPONSE_WORD = re.compile(r"""(?:[^ \t\r\n'"\\]+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\\.)+""", re.DOTALL)
_RESPONSE_PIECE = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^'"\\]+)""", re.DOTALL)
_RESPONSE_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def split_shell(text: str) -> list[str]:
    """Words of a shell command without operators, variables and comments; ValueError for an unclosed quote."""
    if "'" not in text and '"' not in text and "\\" not in text:
        return _PLAIN.findall(text)
    return [_unquote_shell(word) for word in _words(_SHELL_WORD, text)]


def split_response(text: str) -> list[str]:
    """Words of a response file; ValueError for an unclosed quote."""
    if "'" not in text and '"' not in text and "\\" not in text:
        return _PLAIN.findall(text)
    return [_unquote_response(word) for word in _words(_RESPONSE_WORD, text)]


def expand_responses(words: Iterable[str], directory: str, read: ReadText) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Replaces each ``@file`` by the words in it, recursively: (words, paths of the files that were read).

    Names are relative to ``directory``, nested ones too, as gcc has it. A file that cannot be read, that names itself
    or that is not a list of words stays as it is written, which is also what libiberty does."""
    expanded: list[str] = []
    files: list[str] = []

    def add(words: Iterable[str], above: tuple[str, ...]) -> None:
        for word in words:
            if not word.startswith("@") or len(word) == 1:
                expanded.append(word)
                continue
            path = posixpath.normpath(posixpath.join(directory, word[1:]))
            text = None if path in above else read(path)
            try:
                inner = None if text is None else split_response(text)
            except ValueError:
                inner = None
            if inner is None:
                expanded.append(word)
                continue
            files.append(path)
            add(inner, (*above, path))

    add(words, ())
    return tuple(expanded), tuple(dict.fromkeys(files))


def _words(pattern: re.Pattern[str], text: str) -> list[str]:
    """Raw words; what the pattern cannot take is a quote or backslash that nothing closes."""
    words: list[str] = []
    end = 0
    for match in pattern.finditer(text):
        if text[end : match.start()].strip(_BLANK):
            raise ValueError("no closing quote")
        words.append(match.group())
        end = match.end()
    if text[end:].strip(_BLANK):
        raise ValueError("no closing quote")
    # A backslash before a newline outside quotes joins two lines: alone it is no word at all.
    return [word for word in words if word != "\\\n"]


def _unquote_shell(word: str) -> str:
    if "'" not in word and '"' not in word and "\\" not in word:
        return word
    parts: list[str] = []
    for single, double, escaped, plain in _SHELL_PIECE.findall(word):
        if double:
            parts.append(_SHELL_ESCAPE.sub(lambda m: "" if m[1] == "\n" else m[1], double))
        elif escaped:
            parts.append("" if escaped == "\n" else escaped)
        else:
            parts.append(single or plain)
    return "".join(parts)


def _unquote_response(word: str) -> str:
    if "'" not in word and '"' not in word and "\\" not in word:
        return word
    parts: list[str] = []
    for single, double, escaped, plain in _RESPONSE_PIECE.findall(word):
        parts.append(_RESPONSE_ESCAPE.sub(r"\1", single or double) or escaped or plain)
    return "".join(parts)
