"""The example and `relive demo`: what a newcomer sees first must work, with CMake and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relive.cli import demo
from relive.cli.demo import EDITS
from relive.host.project import Project
from relive.ui.style import Style
from tests.live import TIMEOUT

POND = Path(__file__).parent.parent / "examples" / "pond"


def test_the_demo_ends_by_itself_and_proves_its_point(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    environ = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "relive", "demo"], env=environ, capture_output=True, text=True, timeout=2 * TIMEOUT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  yes  ") == 4
    for edit in EDITS:
        assert edit.title in done.stdout
    assert "Traceback" not in done.stderr
    assert "has no member named" in done.stderr, "the compiler's words are shown"
    assert "[layout-changed]" in done.stderr


def test_the_example_is_a_project_without_cmake_too(tmp_path: Path) -> None:
    shutil.copytree(POND, tmp_path / "pond")
    subprocess.run(["make", "-s"], cwd=tmp_path / "pond", check=True)
    project = Project.open(str(tmp_path / "pond" / "pond"), build_dir=None, start_dir=str(tmp_path))
    assert sorted(Path(unit.source).name for unit in project.units.values()) == ["main.cpp", "pond.cpp", "report.cpp"]
    assert len(project.units_of(str(tmp_path / "pond" / "pond.hpp"))) == 3
    assert project.stale() == ()


def test_the_demo_builds_without_cmake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "cmake" else which(name))
    shutil.copytree(POND, tmp_path / "pond")
    program = demo._build(tmp_path / "pond", Style(sys.stdout, {"NO_COLOR": "1"}))
    assert program == "./pond", "with a slash, or it would be looked for in PATH"
    assert (tmp_path / "pond" / program).is_file()
    assert (tmp_path / "pond" / "compile_commands.json").is_file()


def test_every_edit_of_the_demo_fits_the_example_after_those_before_it(tmp_path: Path) -> None:
    texts = {path.name: path.read_text() for path in POND.iterdir()}
    for edit in EDITS:
        for name, old, new in edit.changes:
            assert texts[name].count(old) == 1, f"{edit.title}: {old!r} is not there once"
            texts[name] = texts[name].replace(old, new)
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["make", "-s"], cwd=tmp_path, check=True)
