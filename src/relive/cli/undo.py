"""`relive undo`: go back one reload, or to a generation."""

from __future__ import annotations

import argparse

from relive.cli import options


def parser() -> argparse.ArgumentParser:
    made = options.parser("undo", "Go back one reload, or to a generation. The files on disk stay as they are.")
    options.add_control(made)
    made.add_argument("--to", type=int, metavar="GENERATION", help="0: as started")
    return made


def main(arguments: argparse.Namespace) -> int:
    return options.show_reload(options.ask(arguments, "undo", to=arguments.to), arguments)
