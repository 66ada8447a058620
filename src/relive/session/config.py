"""Settings and where each came from.

One table (`SETTINGS`) says what exists; everything else follows from it: the command line's options, `RELIVE_*`
variables, the keys of `relive.toml` and of `[tool.relive]` in pyproject.toml, and `relive doctor --config`.
Order: command line > environment > project > user > default. The project's file is the nearest upward that has
something to say: `relive.toml` before `pyproject.toml` in the same directory.

Read before the program is started, so plain classes: each dataclass costs a start 0.7 ms.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from relive.errors import UsageError

TYPE_CHECKING = False  # see relive/__init__.py
if TYPE_CHECKING:
    from typing import Any


class Setting:
    """One thing that can be set; ``name`` as in files, ``build-dir``; options and variables are derived."""

    __slots__ = ("choices", "default", "help", "name")

    def __init__(self, name: str, default: str | int | bool, help: str, choices: tuple[str | int, ...] = ()) -> None:
        self.name = name
        self.default = default
        self.help = help
        self.choices = choices

    @property
    def option(self) -> str:
        return "--no-fast-path" if self.name == "fast-path" else f"--{self.name}"

    @property
    def variable(self) -> str:
        return "RELIVE_" + self.name.replace("-", "_").upper()


SETTINGS = (
    Setting("build-dir", "", "where compile_commands.json is; default: looked for as clangd does"),
    Setting("manual", False, "reload only on request: `relive reload`, or SIGUSR1 to relive"),
    Setting("events", "", "write events as JSON lines to this file; `-` is stderr"),
    Setting("fast-path", True, "compile only the changed functions where that is safe"),
    Setting("log", 0, "how much relive tells of its work: 0 nothing, 1 steps, 2 everything", (0, 1, 2)),
    Setting("on-refused", "keep", "when a change is refused: what happens to the program", ("keep", "restart", "ask")),
    Setting("jobs", 0, "how many compilers at once; 0: as many as there are processors"),
    Setting("ui", "auto", "how reloads are shown", ("auto", "plain")),
    Setting("build", "", "command that builds the program; run before `relive restart` starts it anew"),
)

_BY_NAME = {setting.name: setting for setting in SETTINGS}


class Value:
    """A setting's value and its origin: ``command line``, ``RELIVE_JOBS``, a file's path, or ``default``."""

    __slots__ = ("origin", "value")

    def __init__(self, value: str | int | bool, origin: str) -> None:
        self.value = value
        self.origin = origin


class Config:
    """All settings, each with its origin. Read them by the typed properties."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Value]) -> None:
        self.values = values

    def __getitem__(self, name: str) -> str | int | bool:
        return self.values[name].value

    @property
    def build_dir(self) -> str | None:
        return str(self["build-dir"]) or None

    @property
    def manual(self) -> bool:
        return bool(self["manual"])

    @property
    def events(self) -> str:
        return str(self["events"])

    @property
    def fast_path(self) -> bool:
        return bool(self["fast-path"])

    @property
    def log(self) -> int:
        return int(self["log"])

    @property
    def on_refused(self) -> str:
        return str(self["on-refused"])

    @property
    def jobs(self) -> int:
        """At least 1; the default is the number of processors that we may run on."""
        return int(self["jobs"]) or len(os.sched_getaffinity(0))

    @property
    def ui(self) -> str:
        return str(self["ui"])

    @property
    def build(self) -> str:
        return str(self["build"])


def load(
    options: Mapping[str, str | int | bool | None],
    *,
    environ: Mapping[str, str],
    directory: Path,
    user_file: Path,
) -> Config:
    """Settings for a session started in `directory`. `options`: what the command line gave, by setting name, None
    where it said nothing. `UsageError` names the file or variable and what is wrong with it."""
    values = {setting.name: Value(setting.default, "default") for setting in SETTINGS}
    if user_file.is_file():
        values |= _file_values(_toml(user_file), user_file)
    if project := _project_table(directory):
        path, table = project
        values |= _file_values(table, path)
    for setting in SETTINGS:
        if (text := environ.get(setting.variable)) is not None:
            value = _from_text(setting, text, setting.variable)
            values[setting.name] = Value(value, setting.variable)
    for name, given in options.items():
        if given is not None:
            setting = _BY_NAME[name]
            values[name] = Value(_checked(setting, given, setting.option), "command line")
    return Config(values)


def _project_table(directory: Path) -> tuple[Path, dict[str, Any]] | None:
    for folder in (directory, *directory.parents):
        own = folder / "relive.toml"
        if own.is_file():
            return own, _toml(own)
        shared = folder / "pyproject.toml"
        if shared.is_file() and "relive" in (tool := _toml(shared).get("tool", {})):
            return shared, tool["relive"]
    return None


def _toml(path: Path) -> dict[str, Any]:
    import tomllib  # here: `relive run` without a settings file starts the program sooner

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", "the file must be TOML: https://toml.io") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "mend its permissions or remove it") from error


def _file_values(table: dict[str, Any], path: Path) -> dict[str, Value]:
    values = {}
    for name, given in table.items():
        setting = _BY_NAME.get(name)
        if setting is None:
            import difflib

            close = difflib.get_close_matches(name, _BY_NAME, 1)
            hint = f"did you mean `{close[0]}`?" if close else "known settings: " + ", ".join(_BY_NAME)
            raise UsageError(f"{path}: there is no setting `{name}`", hint)
        value = _checked(setting, given, f"{path}: {name}")
        if name == "build-dir" and value:
            # A path in a file is meant from that file's folder, wherever relive was started.
            value = str(path.parent / str(value))
        values[name] = Value(value, str(path))
    return values


def _from_text(setting: Setting, text: str, where: str) -> str | int | bool:
    if isinstance(setting.default, bool):
        flags = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if text.lower() not in flags:
            raise UsageError(f"{where}={text}: not a yes or no", "use 1 or 0")
        return flags[text.lower()]
    if isinstance(setting.default, int):
        if not text.isdigit():
            raise UsageError(f"{where}={text}: not a number", f"{setting.name}: {setting.help}")
        return int(text) if not setting.choices else _checked(setting, int(text), where)
    return _checked(setting, text, where)


def _checked(setting: Setting, given: object, where: str) -> str | int | bool:
    kind = type(setting.default)
    if type(given) is not kind:
        names = {str: "a string", int: "a number", bool: "true or false"}
        raise UsageError(f"{where}: {given!r} is not {names[kind]}", f"{setting.name}: {setting.help}")
    assert isinstance(given, (str, int, bool))
    if setting.choices and given not in setting.choices:
        allowed = ", ".join(str(choice) for choice in setting.choices)
        raise UsageError(f"{where}: there is no `{given}`", f"{setting.name} is one of: {allowed}")
    if kind is int and given < 0:  # type: ignore[operator]
        raise UsageError(f"{where}: {given} is negative", f"{setting.name}: {setting.help}")
    return given
