"""Settings: order, origins, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from relive.errors import UsageError
from relive.session.config import SETTINGS, Config, load


def loaded(tmp_path: Path, environ: dict[str, str] | None = None, **options: str | int | bool | None) -> Config:
    (tmp_path / "p" / "sub").mkdir(parents=True, exist_ok=True)
    return load(
        {name.replace("_", "-"): value for name, value in options.items()},
        environ=environ or {},
        directory=tmp_path / "p" / "sub",
        user_file=tmp_path / "user.toml",
    )


def test_defaults(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert (config.manual, config.on_refused, config.ui, config.fast_path) == (False, "keep", "auto", True)
    assert config.build_dir is None
    assert config.jobs >= 1
    assert {value.origin for value in config.values.values()} == {"default"}


def test_command_line_beats_environment_beats_project_beats_user(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "user.toml").write_text("jobs = 1\nlog = 1\nmanual = true\non-refused = 'ask'\n")
    (tmp_path / "p" / "relive.toml").write_text("jobs = 2\nlog = 2\nmanual = false\n")
    config = loaded(tmp_path, {"RELIVE_JOBS": "3", "RELIVE_LOG": "0"}, jobs=4, ui=None)
    assert (config.jobs, config.log, config.manual, config.on_refused) == (4, 0, False, "ask")
    origins = {name: config.values[name].origin for name in ("jobs", "log", "manual", "on-refused", "ui")}
    assert origins == {
        "jobs": "command line",
        "log": "RELIVE_LOG",
        "manual": str(tmp_path / "p" / "relive.toml"),
        "on-refused": str(tmp_path / "user.toml"),
        "ui": "default",
    }


def test_the_nearest_file_upward_wins_and_pyproject_counts_only_with_a_table(tmp_path: Path) -> None:
    sub = tmp_path / "p" / "sub"
    sub.mkdir(parents=True)
    (tmp_path / "p" / "pyproject.toml").write_text("[tool.relive]\njobs = 5\n")
    (sub / "pyproject.toml").write_text("[tool.other]\njobs = 6\n")
    assert loaded(tmp_path).jobs == 5
    (sub / "relive.toml").write_text("jobs = 7\n")
    assert loaded(tmp_path).jobs == 7


def test_a_build_dir_in_a_file_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "relive.toml").write_text("build-dir = 'out'\n")
    assert loaded(tmp_path).build_dir == str(tmp_path / "p" / "out")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("jobs = 'two'", "not a number"),
        ("jobs = true", "not a number"),
        ("jobs = -1", "negative"),
        ("on-refused = 'explode'", "there is no `explode`"),
        ("job = 1", "there is no setting `job`"),
        ("jobs = \nlog = 1", "line 1"),
        ("manual = 'yes'", "not true or false"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_the_file(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "relive.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path)
    assert told in str(caught.value)
    assert "relive.toml" in str(caught.value)
    assert caught.value.hint


def test_a_misspelt_setting_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "relive.toml").write_text("on-refuse = 'ask'")
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path)
    assert caught.value.hint == "did you mean `on-refused`?"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"RELIVE_MANUAL": "perhaps"}, "not a yes or no"),
        ({"RELIVE_JOBS": "many"}, "not a number"),
        ({"RELIVE_UI": "live"}, "there is no `live`"),
        ({"RELIVE_LOG": "7"}, "there is no `7`"),
    ],
)
def test_a_mistake_in_the_environment_is_named_with_the_variable(
    tmp_path: Path, environ: dict[str, str], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, environ)
    assert told in str(caught.value)
    assert next(iter(environ)) in str(caught.value)


def test_a_face_that_does_not_exist_yet_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, ui="dashboard")
    assert "--ui" in str(caught.value)
    assert "auto, plain" in caught.value.hint


def test_every_setting_has_words() -> None:
    for setting in SETTINGS:
        assert setting.help
        assert setting.variable.startswith("RELIVE_")
