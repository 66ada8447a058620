"""Options that several verbs share, and what they become: settings, faces, a session to talk to."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from relive.session import config, paths

TYPE_CHECKING = False  # see relive/__init__.py
if TYPE_CHECKING:  # only `run` and `attach` show events, and they start the program first
    from typing import Any

    from relive.events import Event


def parser(verb: str, description: str, *, usage: str = "", epilog: str = "") -> argparse.ArgumentParser:
    """A parser with what every command takes."""
    made = argparse.ArgumentParser(
        usage=f"relive {verb} [OPTIONS]" + (f" {usage}" if usage else ""),
        prog=f"relive {verb}",
        description=description,
        epilog=epilog,
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    made.add_argument("-C", dest="directory", metavar="DIR", help="act as if started in DIR")
    made.add_argument("-v", "--verbose", action="count", default=0, help="tell more")
    made.add_argument("-q", "--quiet", action="store_true", help="tell only what went wrong")
    return made


def add_session(made: argparse.ArgumentParser) -> None:
    """Options of the verbs that hold a session: run, attach."""
    made.add_argument("--build-dir", metavar="DIR", help=_help("build-dir"))
    made.add_argument("--manual", action="store_true", default=None, help=_help("manual"))
    made.add_argument("--events", metavar="FILE", help=_help("events"))
    made.add_argument(
        "--no-fast-path", dest="fast_path", action="store_false", default=None, help="compile whole units, always"
    )
    made.add_argument("--log", type=int, metavar="0|1|2", help=_help("log"))
    made.add_argument("--on-refused", metavar="keep|restart|ask", help=_help("on-refused"))
    made.add_argument("-j", "--jobs", type=int, metavar="N", help=_help("jobs"))
    made.add_argument("--ui", metavar="auto|plain", help=_help("ui"))


def add_control(made: argparse.ArgumentParser) -> None:
    """Options of the verbs that talk to a session: reload, undo, status, ..."""
    made.add_argument("--pid", type=int, metavar="PID", help="the program meant, where several are watched")
    made.add_argument("--json", action="store_true", help="print the result as JSON")


def settings(arguments: argparse.Namespace) -> config.Config:
    """All settings, the command line's first."""
    given = vars(arguments)
    names = [setting.name for setting in config.SETTINGS]
    options = {name: given.get(name.replace("-", "_")) for name in names}
    return config.load(options, environ=os.environ, directory=Path.cwd(), user_file=paths.config_file())


class Faces:
    """Everything that shows a session's events. The file for `--events` is opened at once: one that cannot be written
    is a reason not to start the program; the rest is imported with the first event, when the program runs."""

    def __init__(self, chosen: config.Config, arguments: argparse.Namespace) -> None:
        self._verbosity = -1 if arguments.quiet else max(arguments.verbose, chosen.log)
        self._plain: Callable[[Event], None] | None = None
        self._lines: Callable[[Event], None] | None = None
        if chosen.events:
            from relive.ui.jsonlines import JsonLines

            self._lines = JsonLines(chosen.events)

    def __call__(self, event: Event) -> None:
        if self._plain is None:
            from relive.ui.plain import Plain

            self._plain = Plain(sys.stderr, environ=os.environ, directory=os.getcwd(), verbosity=self._verbosity)
        self._plain(event)
        if self._lines is not None:
            self._lines(event)


def ask(arguments: argparse.Namespace, command: str, **request: object) -> dict[str, Any]:
    """Send one request to the session that is meant; its answer."""
    from relive.session import control

    peer = control.choose(paths.runtime_dir(), arguments.pid)
    return control.call(peer, command, request)


def show_reload(answer: dict[str, Any], arguments: argparse.Namespace) -> int:
    """Print what a reload came to: for people on stderr, with --json the event on stdout. The exit code."""
    from relive.ui.plain import Plain, reload_from_json

    face = Plain(
        sys.stderr,
        environ=os.environ,
        directory=os.getcwd(),
        verbosity=-1 if arguments.quiet else int(arguments.verbose),
    )
    for event in answer["events"]:
        if arguments.json:
            print(json.dumps(event, ensure_ascii=False))
        else:
            face(reload_from_json(event))
    return int(answer["exit"])


def _formatter(prog: str) -> argparse.HelpFormatter:
    # With a width: each argument that is added makes a formatter, and each would ask the terminal.
    columns = os.environ.get("COLUMNS", "")
    return argparse.RawDescriptionHelpFormatter(prog, width=int(columns) if columns.isdigit() else 100)


def _help(name: str) -> str:
    return next(setting.help for setting in config.SETTINGS if setting.name == name).replace("%", "%%")
