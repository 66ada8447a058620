"""The documents keep up with the code: files, links, commands and settings that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relive.cli.main import VERBS
from relive.session.config import SETTINGS

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "relive"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_file_of_the_design_exists() -> None:
    named = set(re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_*]*(?:\.py|\.c)?)`", (ROOT / "docs" / "design.md").read_text()))
    assert len(named) > 20
    for name in named:
        assert list(SOURCE.glob(name.rstrip("/"))), f"docs/design.md: there is no {name}"


def test_every_room_is_in_the_design() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    for room in SOURCE.iterdir():
        if (room / "__init__.py").exists() or room.name == "agent":
            assert f"{room.name}/" in text, f"docs/design.md says nothing of {room.name}/"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_exists(page: Path) -> None:
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL))
    for verb in re.findall(r"^relive (\w+)", blocks, re.MULTILINE) + re.findall(r"`relive (\w+)", page.read_text()):
        assert verb in VERBS, f"{page.name}: relive {verb}"


def test_every_setting_is_in_the_howto() -> None:
    text = (ROOT / "docs" / "howto.md").read_text()
    for setting in SETTINGS:
        assert re.search(rf"^{setting.name} = ", text, re.MULTILINE), setting.name


def test_the_packages_are_named_once() -> None:
    rows = [line.split() for line in (ROOT / "tools" / "debian-packages.txt").read_text().splitlines()]
    rows = [row for row in rows if row and not row[0].startswith("#")]
    assert len({row[0] for row in rows}) == len(rows)
    assert {row[1] for row in rows} == {"run", "test", "all"}
