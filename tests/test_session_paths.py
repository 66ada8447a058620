"""Directories: who may own the place of the sockets, and when a session's folder is swept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from relive.errors import StorageError
from relive.session import paths


def test_the_runtime_directory_is_ours_alone(tmp_path: Path) -> None:
    path = paths.runtime_dir({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert path == tmp_path / "relive"
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_wider_mode_of_our_own_directory_is_narrowed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o755)
    assert paths.private_dir(tmp_path / "d").stat().st_mode & 0o777 == 0o700


def test_a_link_or_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("")
    for name in ("link", "file"):
        with pytest.raises(StorageError) as caught:
            paths.private_dir(tmp_path / name)
        assert caught.value.hint


def test_somebody_elses_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(StorageError, match=f"owned by user {owner}"):
        paths.private_dir(tmp_path / "d")


def test_without_a_runtime_directory_of_ours_tmp_is_used() -> None:
    for environ in ({}, {"XDG_RUNTIME_DIR": "relative"}, {"XDG_RUNTIME_DIR": "/nonexistent"}):
        assert paths.runtime_dir(environ) == Path(f"/tmp/relive-{os.getuid()}")


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        paths.cache_dir({"XDG_CACHE_HOME": str(tmp_path / "file")})
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_relative_xdg_paths_are_ignored_as_the_specification_says(tmp_path: Path) -> None:
    assert paths.config_file({"XDG_CONFIG_HOME": "here", "HOME": str(tmp_path)}).parent == tmp_path / ".config/relive"


def test_folders_of_dead_sessions_are_swept_and_those_of_living_programs_kept(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    gone = dead.stdout.strip()
    for name, owner in (("a", gone), ("b", str(os.getpid()))):
        folder = tmp_path / "sessions" / f"{gone}-{name}"
        folder.mkdir(parents=True)
        (folder / "owner").write_text(owner)
        os.utime(folder, (0, 0))
    (tmp_path / "sessions" / f"{gone}-crashed-today").mkdir()
    ours = paths.session_dir(tmp_path, os.getpid())
    left = {folder.name for folder in (tmp_path / "sessions").iterdir()}
    assert left == {f"{gone}-b", f"{gone}-crashed-today", ours.name}
