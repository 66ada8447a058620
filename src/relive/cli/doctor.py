"""`relive doctor`: is this machine, this build, this program ready for reloads?"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from relive.cli import options
from relive.errors import ReliveError
from relive.session import checks, config, paths
from relive.ui.style import Style

MARKS = {"fine": ("green", "fine   "), "hint": ("yellow", "hint   "), "problem": ("red", "problem")}


def parser() -> argparse.ArgumentParser:
    made = options.parser(
        "doctor",
        "Check the machine, and with PROGRAM its file and its build. Each finding has a line that mends it.",
        usage="[PROGRAM]",
        epilog="exit codes: 0 no problem, 1 problems",
    )
    made.add_argument("program", nargs="?", metavar="PROGRAM", help="the executable")
    made.add_argument("--build-dir", metavar="DIR", help="where compile_commands.json is")
    made.add_argument("--config", action="store_true", help="print each setting's value and where it comes from")
    made.add_argument("--json", action="store_true", help="print the findings as JSON lines")
    return made


def main(arguments: argparse.Namespace) -> int:
    chosen = config.load(
        {"build-dir": arguments.build_dir},
        environ=os.environ,
        directory=Path.cwd(),
        user_file=paths.config_file(),
    )
    if arguments.config:
        _show_config(chosen, arguments.json)
        return 0
    findings = [*checks.machine(), *_of_program(arguments.program, chosen)]
    if arguments.json:
        for finding in findings:
            print(json.dumps(asdict(finding), ensure_ascii=False))
    else:
        _show(findings, quiet=arguments.quiet)
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def _of_program(program: str | None, chosen: config.Config) -> Iterable[checks.Finding]:
    if program is None:
        return
    yield from checks.program(program)
    from relive.host.project import Project  # numpy and all: only when there is a program to look at

    try:
        project = Project.open(os.path.realpath(program), build_dir=chosen.build_dir, start_dir=os.getcwd())
        yield from checks.build(project, program)
    except ReliveError as error:
        yield checks.Finding("database", "problem", str(error), error.hint)


def _show(findings: Iterable[checks.Finding], *, quiet: bool) -> None:
    style = Style(sys.stdout, os.environ)
    for finding in findings:
        if quiet and finding.level != "problem":
            continue
        colour, mark = MARKS[finding.level]
        print(f"{style(colour, mark)} {finding.check}: {finding.text}")
        if finding.mend:
            print(f"        → {finding.mend}")


def _show_config(chosen: config.Config, as_json: bool) -> None:
    for setting in config.SETTINGS:
        value = chosen.values[setting.name]
        if as_json:
            print(json.dumps({"setting": setting.name, "value": value.value, "origin": value.origin}))
        else:
            print(f"{setting.name:<11} {_shown(value.value):<10} {value.origin:<14} {setting.help}")


def _shown(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "(none)" if value == "" else str(value)
