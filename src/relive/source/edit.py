"""Which functions have another body in a new version of a file, when nothing else changed.

The unit is the *old* version, preprocessed; the two raw texts are compared line by line. A difference must lie inside
of one function's lines, behind its signature, and leave its braces as they are; or make no difference to the compiler
(comments, white space). Anything else is a `Doubt`, and the whole unit is compiled."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from difflib import SequenceMatcher

from relive.source.model import Flag
from relive.source.raw import Token, UnreadableError, both_tokens, has_types, tokens, words
from relive.source.unit import UnitText

_MANY_LINES = 4000
"""A longer differing region is not compared line by line."""
_HASH = ord("#")
_OF_STRUCTURE = frozenset(b"#{};=")
_LINE_WORDS = frozenset({b"__LINE__", b"__builtin_LINE", b"source_location"})


@dataclass(frozen=True, slots=True)
class BodyEdit:
    component: int
    text: bytes
    """The new raw lines of the function, whole lines."""
    line: int
    """Of the first one, in the new file."""
    old_line: int
    old_last: int
    words: frozenset[bytes]
    """Words and numbers in `text`, for `UnitText.macro_closure`."""


@dataclass(frozen=True, slots=True)
class Doubt:
    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class _Hunk:
    """Lines [start, end) of the old file became [new_start, new_end) of the new one, from 0."""

    start: int
    end: int
    new_start: int
    new_end: int


class _DoubtError(Exception):
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.doubt = Doubt(reason, code)


def find_edits(unit: UnitText, file: str, old: bytes, new: bytes) -> tuple[BodyEdit, ...] | Doubt:
    """`file` as in `unit.files`. () when lines moved and nothing else happened; what stands further down is not looked
    at: that __LINE__ changes there is the caller's business."""
    try:
        return _find(unit, file, old, new)
    except _DoubtError as error:
        return error.doubt
    except UnreadableError as error:
        return Doubt(f"a comment or literal has no end ({error})", "unreadable")


def _find(unit: UnitText, file: str, old: bytes, new: bytes) -> tuple[BodyEdit, ...]:
    if old == new:
        return ()
    if file not in unit.files:
        raise _DoubtError("not-in-unit", f"{file} is not part of the unit")
    before, after = old.split(b"\n"), new.split(b"\n")
    hunks = _hunks(unit, file, old, new, before, after)
    touched: dict[int, list[_Hunk]] = {}
    for hunk in hunks:
        i = _function(unit, file, hunk)
        if i is None:
            _compare_outside(unit, file, hunk, hunks, before, after)
        else:
            touched.setdefault(i, []).append(hunk)
    edits = (_edit(unit, i, hunks, before, after) for i in sorted(touched))
    return tuple(edit for edit in edits if edit is not None)


def makes_types(text: bytes) -> bool:
    """Whether raw text of a function (perhaps) has lambdas or local classes: templates over them need their bodies."""
    try:
        return has_types(tokens(text))
    except UnreadableError:
        return True


# ---- lines ----


def _hunks(unit: UnitText, file: str, old: bytes, new: bytes, before: list[bytes], after: list[bytes]) -> list[_Hunk]:
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    start = old.count(b"\n", 0, head)
    rest = old.count(b"\n", len(old) - tail)
    end, new_end = len(before) - rest, len(after) - rest  # with the line in which the common tail begins
    while end > start and new_end > start and before[end - 1] == after[new_end - 1]:
        end, new_end = end - 1, new_end - 1
    while start < end and start < new_end and before[start] == after[start]:
        start += 1
    if start == end == new_end:
        return []
    whole = _Hunk(start, end, start, new_end)
    if _function(unit, file, whole) is not None or end - start + new_end - start > _MANY_LINES:
        return [whole]
    matcher = SequenceMatcher(None, before[start:end], after[start:new_end], autojunk=False)
    return [
        _Hunk(start + a, start + b, start + c, start + d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"
    ]


def _common(a: bytes, b: bytes) -> int:
    """Length of the common beginning."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _function(unit: UnitText, file: str, hunk: _Hunk) -> int | None:
    """The function whose lines hold the hunk; inserted lines must have lines of it on both sides."""
    inserted = hunk.start == hunk.end
    i = unit.function_at(file, hunk.start if inserted else hunk.start + 1)
    if i is None:
        return None
    last = int(unit.components["last_line"][i])
    return i if (hunk.start + 1 <= last if inserted else hunk.end <= last) else None


def _moved(hunks: list[_Hunk], line: int, *, behind: bool = True) -> int:
    """Where an old line (from 0, in no hunk or the first of one) is now: behind what was inserted right before it, or
    in front of it."""
    before = (h for h in hunks if h.end <= line and (behind or h.start < line))
    return line + sum((h.new_end - h.new_start) - (h.end - h.start) for h in before)


# ---- outside of functions ----


def _compare_outside(
    unit: UnitText, file: str, hunk: _Hunk, hunks: list[_Hunk], before: list[bytes], after: list[bytes]
) -> None:
    """Raises unless the hunk means nothing to the compiler. What is compared reaches from the end of a component to the
    beginning of another: there no comment and no string is open."""
    first, last = unit.lines_of(file)
    k = bisect_right(last, hunk.start)
    low = int(last[k - 1]) if k else 0  # lines from 0: the one after a component
    k = bisect_left(first, hunk.end + 1)
    high = int(first[k]) - 1 if k < len(first) else len(before)
    if any(h.start < low < h.end or h.start < high < h.end for h in hunks) or low > hunk.start:
        raise _DoubtError("outside-function", _place("code outside of functions changed", hunk))
    if low and (b"/*" in before[low - 1] or before[low - 1].endswith((b"\\", b"\\\r"))):
        raise _DoubtError("outside-function", _place("the lines behind a comment changed", hunk))
    was = before[low:high]
    now = after[_moved(hunks, low, behind=False) : _moved(hunks, high)]
    if _by_line(was) != _by_line(now):
        raise _DoubtError("outside-function", _place("something outside of function bodies changed", hunk))


def _by_line(lines: list[bytes]) -> list[list[bytes]]:
    result: dict[int, list[bytes]] = {}
    for token in tokens(b"\n".join(lines)):
        result.setdefault(token.line, []).append(token.text)
    return list(result.values())


def _place(what: str, hunk: _Hunk) -> str:
    return f"{what} (line {hunk.new_start + 1})"


# ---- inside of one ----

_REFUSED = (
    (Flag.TEMPLATE, "template", "it is a template"),
    (Flag.CONSTEXPR, "constexpr", "its value may be used at compile time"),
    (Flag.AUTO_RETURN, "auto-return", "its result type follows from its body"),
    (Flag.ALWAYS_INLINE, "always-inline", "it is inlined into its callers"),
)


def _edit(unit: UnitText, i: int, hunks: list[_Hunk], before: list[bytes], after: list[bytes]) -> BodyEdit | None:
    row = unit.components[i]
    name = unit.name(i).decode("utf-8", "replace")
    line, last = int(row["line"]), int(row["last_line"])
    start, end = _moved(hunks, line - 1), _moved(hunks, last - 1) + 1
    # A hunk at the very end of the function moves its last line with it.
    inner = [h for h in hunks if h.start <= last - 1 < h.end]
    if inner:
        end = inner[0].new_end + (last - inner[0].end)
    for h in hunks:
        if h.start < line - 1 < h.end:
            raise _DoubtError("outside-function", _place("lines before the function changed with it", h))
    text = b"\n".join(after[start:end]) + b"\n"
    was, now = both_tokens(before[line - 1 : last], after[start:end])
    result = BodyEdit(i, text, start + 1, line, last, words(now))
    if [token.text for token in was] == [token.text for token in now]:
        moved = end - start != last - line + 1 or [token.line for token in was] != [token.line for token in now]
        if not moved or not unit.macro_closure(result.words, int(row["start"]))[1] & _LINE_WORDS:
            return None
    _check_signature(unit, i, was, now, name)
    flags = int(row["flags"])
    classes = [int(unit.components["flags"][k]) for k in unit.around(i)]
    if any(flag & Flag.TEMPLATE for flag in classes):
        raise _DoubtError("template", f"{name}: it is part of a template")
    for flag, code, reason in _REFUSED:
        if flags & flag:
            raise _DoubtError(code, f"{name}: {reason}")
    if flags & Flag.KEEP and not flags & (Flag.KNR | Flag.QUALIFIED):
        raise _DoubtError("kept-body", f"{name}: an attribute or a default argument needs its body")
    return result


def _check_signature(unit: UnitText, i: int, was: list[Token], now: list[Token], name: str) -> None:
    row = unit.components[i]
    begin = _body_token(unit, i, was)
    if begin is None:
        raise _DoubtError("macro-braces", f"{name}: where its body begins is hidden in a macro")
    head = [token.text for token in was[: begin + 1]]
    if [token.text for token in now[: begin + 1]] != head:
        raise _DoubtError("signature", f"{name}: more than its body changed")
    if _directives(was) != _directives(now):
        raise _DoubtError("directive", f"{name}: #include, #define, #undef or #pragma in its body changed")
    if any(text.startswith((b"#include", b"#line", b"#import")) for text in _directives(now)):
        raise _DoubtError("include-in-body", f"{name}: its body includes a file")
    plain = int(row["strip"]) <= int(row["body"]) and was[begin].text == b"{"
    for found, what in ((was, "was"), (now, "is")):
        if not _closes_at_end(found[begin:] if plain else found[begin + 1 :], plain):
            raise _DoubtError("unbalanced", f"{name}: what its braces enclose {what} not clear")


def _body_token(unit: UnitText, i: int, found: list[Token]) -> int | None:
    """Index of the raw token at which the definition goes beyond the declaration: {, or : or try."""
    row = unit.components[i]
    data, start, strip, body = unit.data, int(row["start"]), int(row["strip"]), int(row["body"])
    if not body:
        return None
    rest = data[strip:body]
    offset = strip + len(rest) - len(rest.lstrip()) if rest.strip() and not rest.lstrip().startswith(b"#") else body
    mark = b"try" if data.startswith(b"try", offset) else data[offset : offset + 1]
    _, line = unit.where(offset)
    line -= int(row["line"])
    earlier = tokens(data[max(start, data.rfind(b"\n", 0, offset) + 1) : offset])
    count = sum(token.text == mark for token in earlier)
    there = [k for k, token in enumerate(found) if token.line == line and token.text == mark]
    return there[count] if count < len(there) else None


def _directives(found: list[Token]) -> list[bytes]:
    known = (b"#include", b"#define", b"#undef", b"#pragma", b"#line", b"#import", b"#embed")
    return [token.text for token in found if token.text[0] == _HASH and token.text.startswith(known)]


def _closes_at_end(found: list[Token], plain: bool) -> bool:
    """Whether the first brace of `found` is closed by its last token, and by none before. Of #if ... #else the first
    branch counts, and each other one must come out the same. Not plain: initialisers or try come first."""
    depth = 0
    stack: list[tuple[int, int | None]] = []
    last = len(found) - 1
    while last >= 0 and found[last].text == b";":
        last -= 1
    closed = -1
    for k, (text, _, _) in enumerate(found[: last + 1]):
        if text[0] not in _OF_STRUCTURE:
            continue
        if text == b"{":
            if plain and closed >= 0 and depth == 0:
                return False
            depth += 1
        elif text == b"}":
            depth -= 1
            closed = k
            if depth < 0 or (plain and depth == 0 and k != last):
                return False
        elif text.startswith((b"#if", b"#el", b"#endif")):
            if text.startswith(b"#if"):
                stack.append((depth, None))
                continue
            if not stack:
                return False
            before, wanted = stack.pop()
            if wanted is not None and depth != wanted:
                return False
            if text.startswith(b"#el"):
                stack.append((before, depth if wanted is None else wanted))
                depth = before
        elif not plain and depth == 0 and closed >= 0 and text in (b";", b"="):
            return False
    return depth == 0 and closed == last and not stack
