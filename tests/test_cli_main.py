"""The command line without a session: help, mistakes, exit codes, and no traceback ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from relive.cli.main import VERBS


def relive(
    *words: str, cwd: Path, env: dict[str, str] | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """`relive WORDS` in a process of its own, with private directories below `cwd`."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("RELIVE_", "XDG_"))}
    runtime = cwd / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    variables |= {
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(cwd / "cfg"),
        "XDG_CACHE_HOME": str(cwd / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "relive", *words],
        cwd=cwd,
        env=variables | (env or {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_its_options(tmp_path: Path, verb: str) -> None:
    done = relive(verb, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: relive {verb} [OPTIONS]")
    assert "-C DIR" in done.stdout


def test_help_lists_every_verb_and_the_exit_codes(tmp_path: Path) -> None:
    done = relive("--help", cwd=tmp_path)
    assert done.returncode == 0
    for verb in VERBS:
        assert f"  {verb} " in done.stdout
    assert "125" in done.stdout


def test_no_command_is_usage(tmp_path: Path) -> None:
    assert relive(cwd=tmp_path).returncode == 2


def test_version(tmp_path: Path) -> None:
    assert relive("--version", cwd=tmp_path).stdout.startswith("relive 0.")


def test_a_misspelt_command_is_recognised(tmp_path: Path) -> None:
    done = relive("relaod", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: there is no command `relaod`\nhint: did you mean `relive reload`?\n"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("undo", "--to", "x"), 2, "invalid int value"),
        (("reload", "--frob"), 2, "unrecognized arguments"),
        (("status", "-C", "/nonexistent"), 2, "-C /nonexistent"),
        (("status",), 1, "no relive runs"),
        (("reload", "--pid", "1"), 1, "no relive watches process 1"),
        (("run",), 125, "no program to run"),
        (("run", "--frob", "--", "true"), 125, "unrecognized arguments"),
        (("run", "--ui", "live", "--", "true"), 125, "ui is one of: auto, plain"),
        (("run", "--ui", "dashboard", "--", "true"), 125, "there is no `dashboard`"),
        (("run", "--on-refused", "panic", "--", "true"), 125, "keep, restart, ask"),
        (("run", "--log", "9", "--", "true"), 125, "0, 1, 2"),
        (("run", "-C", "/nonexistent", "--", "true"), 125, "-C /nonexistent"),
        (("run", "--events", "/nonexistent/f", "--", "true"), 125, "--events /nonexistent/f"),
    ],
)
def test_mistakes_have_words_and_their_exit_code(
    tmp_path: Path, words: tuple[str, ...], status: int, told: str
) -> None:
    done = relive(*words, cwd=tmp_path)
    assert done.returncode == status
    assert told in done.stderr
    assert "error:" in done.stderr


def test_a_broken_settings_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "relive.toml").write_text("jobs = [")
    done = relive("run", "--", "true", cwd=tmp_path)
    assert done.returncode == 125
    assert "relive.toml" in done.stderr
    assert "hint:" in done.stderr


def test_a_foreign_runtime_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "run" / "relive").symlink_to(tmp_path)
    done = relive("status", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot be trusted" in done.stderr
