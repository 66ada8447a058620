"""Macros that live at a place of the text, and which of them some words need.

The preprocessor writes each #define where it was (-dD). What happens to a name over the text is a short list; the state
at a place is found in it by bisection, so asking costs little, wherever one asks. Macros of the command line and of the
compiler itself are there anyway when the result is compiled, and are left out; an #undef of them is kept.

Not seen in preprocessed text, and so not here: #pragma push_macro and pop_macro."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from relive.source.model import DEFINE, UNDEF

WORD = re.compile(rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff]*")
_TOKEN = re.compile(rb"[\w$\x80-\xff]+")
_PREDEFINED = re.compile(rb"<(built-in|command[- ]line)>")


class Event(NamedTuple):
    offset: int
    line: bytes
    """The text of the directive; empty: from here on the macro is the compiler's own, or there is none."""
    live: bool


class Macros:
    """The history of all macros of one text."""

    def __init__(
        self, data: bytes, directives: Sequence[tuple[int, int, int, int, int]], predefined: Sequence[bool]
    ) -> None:
        """`directives`: (start, end, name, name_end, kind) in order; `predefined`: whether each is in a place of the
        compiler's own."""
        history: dict[bytes, list[Event]] = {}
        own: set[bytes] = set()
        for (start, end, name, name_end, kind), mine in zip(directives, predefined, strict=True):
            if kind not in (DEFINE, UNDEF):
                continue
            word = data[name:name_end]
            if mine:
                (own.add if kind == DEFINE else own.discard)(word)
                continue
            events = history.setdefault(word, [])
            if kind == DEFINE:
                line = data[start:end]
                events.append(Event(start, b"#undef " + word + b"\n" + line if word in own else line, True))
            elif word in own or not events or events[-1].line == b"#undef " + word:
                events.append(Event(start, b"#undef " + word, True))
            else:
                events.append(Event(start, b"", False))
        self._history = history
        self._names = sorted(history)

    def at(self, name: bytes, offset: int) -> Event | None:
        """The directive that made `name` what it is at `offset`; None when there is nothing to be written for it."""
        events = self._history.get(name)
        if events is None:
            return None
        i = len(events) - 1
        if events[i].offset >= offset:
            i = bisect_left(events, offset, key=lambda event: event.offset) - 1
        return events[i] if i >= 0 and events[i].live else None

    def closure(self, words: Iterable[bytes], offset: int) -> tuple[bytes, frozenset[bytes]]:
        """The directives that these words need, transitively, in order; and all words in them and in `words`.

        ## makes words that are written nowhere: all names are taken then that could be put together of words seen."""
        seen: set[bytes] = set()
        found: dict[bytes, Event] = {}
        pieces: set[bytes] = set()
        todo = list(words)
        pasting = False
        while todo:
            word = todo.pop()
            if word not in seen:
                seen.add(word)
                event = self.at(word, offset)
                if event is not None:
                    found[word] = event
                    body = event.line.partition(word)[2]
                    todo += WORD.findall(body)
                    pieces.update(_TOKEN.findall(body))
                    pasting = pasting or b"##" in body or b"%:%:" in body
            if not todo and pasting:
                todo = [name for name in self._pasted(seen | pieces) if name not in seen]
        lines = sorted(found.values())
        return b"".join(event.line + b"\n" for event in lines), frozenset(seen)

    def _pasted(self, pieces: set[bytes]) -> Iterator[bytes]:
        """Names of macros that are several of `pieces` in a row."""
        for piece in sorted(pieces):
            i = bisect_right(self._names, piece)
            while i < len(self._names) and self._names[i].startswith(piece):
                if _is_made_of(self._names[i][len(piece) :], pieces):
                    yield self._names[i]
                i += 1


def _is_made_of(word: bytes, pieces: set[bytes]) -> bool:
    """Whether `word` is one of `pieces`, or several in a row."""
    reached = [True] + [False] * len(word)
    for end in range(1, len(word) + 1):
        reached[end] = any(reached[start] and word[start:end] in pieces for start in range(end))
    return reached[-1]


class LiveMacros(Mapping[bytes, bytes]):
    """Those that live at one place: name → text of the directive."""

    def __init__(self, macros: Macros, offset: int) -> None:
        self._macros, self._offset = macros, offset

    def __getitem__(self, name: bytes) -> bytes:
        event = self._macros.at(name, self._offset)
        if event is None:
            raise KeyError(name)
        return event.line

    def __iter__(self) -> Iterator[bytes]:
        return (name for name in self._macros._names if self._macros.at(name, self._offset) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)
