"""Splitting shell commands and response files. Oracles: `sh`, `shlex` where it agrees with sh, gcc's own @file."""

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relive.build.words import expand_responses, split_response, split_shell

TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
# sh and shlex disagree on \$ and \` in double quotes; shlex also has no line continuation.
AWKWARD = st.text(alphabet="ab '\"\\\t=-/", max_size=30)


@given(st.lists(TEXT, max_size=8))
def test_what_shlex_quotes_is_split_back(words: list[str]) -> None:
    assert split_shell(" ".join(map(shlex.quote, words))) == words


@given(AWKWARD)
def test_agrees_with_shlex_on_every_input(text: str) -> None:
    try:
        expected = shlex.split(text)
    except ValueError:
        with pytest.raises(ValueError):
            split_shell(text)
    else:
        assert split_shell(text) == expected


@pytest.mark.parametrize(
    "line",
    [
        r'-DA="\$HOME" -DB="\`x\`" -DC="\q"',
        r"-DSTR=\"a\ b\" 'it'\''s'",
        "-DA=1 \\\n -DB=2",
        '"joined \\\nlines"',
        r"-DX='\"' '' \\",
        "-I'/a b'/c\"d e\"f",
    ],
)
def test_agrees_with_sh(line: str) -> None:
    printed = subprocess.run(["sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout.decode()
    assert split_shell(line) == printed.split("\0")[:-1]


def test_a_no_break_space_is_no_blank() -> None:
    assert split_shell("-I/a\u00a0b -c") == ["-I/a\u00a0b", "-c"]


@pytest.mark.parametrize("text", ["'", 'a "b', "x\\", 'a"\\"'])
def test_unclosed_quotes_are_told(text: str) -> None:
    with pytest.raises(ValueError, match="quote"):
        split_shell(text)


@given(st.lists(TEXT, max_size=6))
def test_response_files_are_split_back(words: list[str]) -> None:
    def quote(word: str) -> str:  # as libiberty's writeargv does
        if not word:
            return '""'
        return "".join("\\" + c if c in " \t\n\r\v\f\\'\"" else c for c in word)

    # writeargv escapes blanks that we do not split at, which must come back all the same
    assert split_response("\n".join(map(quote, words))) == words


def test_response_quotes_know_backslashes_in_either_kind() -> None:
    assert split_response(r"""'a\'b' "c\"d" e\ f""") == ["a'b", 'c"d', "e f"]


def test_response_files_nest_and_end() -> None:
    files = {"/b/one": "-DA @two", "/b/two": "-DB @one @/abs/three", "/abs/three": "-DC @gone"}
    words, read = expand_responses(["cc", "@one", "@", "-c"], "/b", files.get)
    assert words == ("cc", "-DA", "-DB", "@one", "-DC", "@gone", "@", "-c")
    assert read == ("/b/one", "/b/two", "/abs/three")


def test_gcc_reads_response_files_alike(tmp_path: Path) -> None:
    (tmp_path / "flags").write_text(r"""-DA='x\'y' "-DB=1 2" -DC=\ z @more""")
    (tmp_path / "more").write_text("-DD")
    words, _ = expand_responses(["@flags"], str(tmp_path), lambda path: Path(path).read_text())
    shown = subprocess.run(
        ["gcc", "@flags", "-E", "-dM", "-x", "c", "/dev/null"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    again = subprocess.run(
        ["gcc", *words, "-E", "-dM", "-x", "c", "/dev/null"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert shown == again
    assert "#define B 1 2" in shown
