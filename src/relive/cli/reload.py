"""`relive reload`: apply what is saved now and wait for the result."""

from __future__ import annotations

import argparse

from relive.cli import options


def parser() -> argparse.ArgumentParser:
    made = options.parser(
        "reload",
        "Apply what is saved now, and wait for the result.",
        epilog="exit codes: 0 applied, 1 does not compile, 3 nothing changed, 4 refused",
    )
    options.add_control(made)
    made.add_argument("--all", action="store_true", help="recompile and replace every function of every unit")
    made.add_argument("-n", "--dry-run", action="store_true", help="only tell what would be done")
    return made


def main(arguments: argparse.Namespace) -> int:
    answer = options.ask(arguments, "reload", all=arguments.all, dry_run=arguments.dry_run)
    (event,) = answer["events"]
    if arguments.dry_run and event["status"] == "applied" and not arguments.json:
        print("would be applied:", *event["notes"], sep="\n")
        return int(answer["exit"])
    return options.show_reload(answer, arguments)
