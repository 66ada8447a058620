"""`relive run`: start a program and keep it up to date until it ends."""

from __future__ import annotations

import argparse

from relive.cli import main as top
from relive.cli import options, signals
from relive.errors import UsageError
from relive.session.hosting import Host


def parser() -> argparse.ArgumentParser:
    made = options.parser(
        "run",
        "Start PROGRAM and keep it up to date with every save, until it ends.\n"
        "Its input, output, terminal, signals and exit status are its own.",
        usage="-- PROGRAM [ARG...]",
        epilog="SIGUSR1 to relive reloads now. Example: relive run --manual -- build/game --level 3",
    )
    options.add_session(made)
    made.add_argument("program", nargs=argparse.REMAINDER, metavar="-- PROGRAM [ARG...]", help="the program to run")
    return made


def main(arguments: argparse.Namespace) -> int:
    program = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
    if not program:
        raise UsageError("no program to run", "relive run [OPTIONS] -- PROGRAM [ARG...]")
    chosen = options.settings(arguments)
    host = Host(chosen, options.Faces(chosen, arguments), started=top.STARTED)
    signals.while_running(host)
    return host.run(program)
