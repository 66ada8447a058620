"""`relive attach`: keep a program up to date that already runs."""

from __future__ import annotations

import argparse

from relive.cli import main as top
from relive.cli import options, signals
from relive.session.hosting import Host


def parser() -> argparse.ArgumentParser:
    made = options.parser(
        "attach",
        "Keep the running program PID up to date with every save, until it ends.\n"
        "Ctrl-C ends relive; the program runs on with what was reloaded.",
        usage="PID",
        epilog="`relive doctor` tells whether this machine allows it (ptrace).",
    )
    options.add_session(made)
    made.add_argument("pid", type=int, metavar="PID", help="the program's process id")
    return made


def main(arguments: argparse.Namespace) -> int:
    chosen = options.settings(arguments)
    host = Host(chosen, options.Faces(chosen, arguments), started=top.STARTED)
    interrupted = signals.while_attached(host)
    status = host.attach(arguments.pid)
    return 130 if interrupted() else status
