"""Depfiles as compilers write them; gcc and clang themselves are the oracle for names that need escapes."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relive.build.depfile import depfile_candidates, parse_depfile

NAME = st.text(alphabet="ab/.+ $#:=é\u00a0", min_size=1, max_size=12).filter(
    lambda name: name.strip(" ") == name and not name.endswith(":")
)


def written(name: str) -> str:
    return name.replace(" ", "\\ ").replace("$", "$$").replace("#", "\\#")


@given(st.lists(NAME, min_size=1, max_size=6, unique=True), st.booleans())
def test_names_come_back(names: list[str], folded: bool) -> None:
    glue = " \\\n  " if folded else " "
    assert parse_depfile("out.o:" + glue + glue.join(map(written, names)) + "\n") == tuple(names)


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    parse_depfile(text)


def test_phony_rules_of_mp_add_nothing() -> None:
    assert parse_depfile("a.o: a.c \\\n a.h b.h\na.h:\nb.h:\n") == ("a.c", "a.h", "b.h")


def test_several_targets_and_rules() -> None:
    assert parse_depfile("a.o a.d : a.c x.h\nb.o: a.c y.h\n") == ("a.c", "x.h", "y.h")


def test_automake_dummy_and_comments() -> None:
    assert parse_depfile("# dummy\n") == ()
    assert parse_depfile("a.o: a.c # b.h\n") == ("a.c",)


def test_crlf_and_no_blank_after_the_colon() -> None:
    assert parse_depfile("a.o: a.c \\\r\n b.h\r\n") == ("a.c", "b.h")
    assert parse_depfile("a.o:a.c b.h\n") == ("a.c", "b.h")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_compilers_names(compiler: str, tmp_path: Path) -> None:
    names = ["with space.h", "hash#.h", "dollar$.h", "plain.h", "two  blanks.h", "colon:.h", "p%c.h", "ü.h"]
    for name in names:
        (tmp_path / name).write_text("")
    (tmp_path / "a b.c").write_text("".join(f'#include "{name}"\n' for name in names))
    subprocess.run([compiler, "-c", "a b.c", "-MD", "-MP", "-MF", "dep"], cwd=tmp_path, check=True)
    found = parse_depfile((tmp_path / "dep").read_text())
    assert [name for name in found if not name.startswith("/")] == ["a b.c", *names]


def test_candidates() -> None:
    assert "/b/.deps/x.Po" in depfile_candidates("/b/x.o", "/b/.deps/x.Tpo")
    assert depfile_candidates("/b/x.o", "/b/other.d")[0] == "/b/other.d"
    found = depfile_candidates("/b/CMakeFiles/a.dir/x.cpp.o", None)
    assert found[:2] == ("/b/CMakeFiles/a.dir/x.cpp.o.d", "/b/CMakeFiles/a.dir/x.cpp.d")
    assert depfile_candidates("", None) == ()
