"""Refusal codes: every one that the code uses is explained, in the terminal and in docs/limitations.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relive.cli.main import main
from relive.session.codes import CODES, describe, document

ROOT = Path(__file__).parent.parent
USED = re.compile(r'(?:\bRefusal|\b_?refus(?:e|al))\([^"()]*"([a-z0-9]+(?:-[a-z0-9]+)*)"')


def test_the_page_is_made_of_the_codes() -> None:
    page = (ROOT / "docs" / "limitations.md").read_text()
    assert page == document(), "run: .venv/bin/python -m relive.session.codes > docs/limitations.md"


def test_every_code_that_is_used_is_explained() -> None:
    used = {
        code: path.name
        for path in (ROOT / "src" / "relive").rglob("*.py")
        for code in USED.findall(path.read_text())
        if path.name != "codes.py"
    }
    assert used.keys() <= CODES.keys()


@pytest.mark.parametrize("name", CODES)
def test_a_code_is_explained_without_a_session(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name]) == 0
    assert capsys.readouterr().out == describe(CODES[name]) + "\n"


@pytest.mark.parametrize("name", CODES)
def test_codes_are_stable_names_with_reason_and_way(name: str) -> None:
    code = CODES[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert code.title
    assert code.reason.endswith(".")
    assert code.way.endswith(".")
