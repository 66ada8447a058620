"""`relive restart`: end the program and start it anew."""

from __future__ import annotations

import argparse
import json
import sys

from relive.cli import options


def parser() -> argparse.ArgumentParser:
    made = options.parser(
        "restart",
        "End the program and start it anew, with the newest code: the setting `build` is run first if there is one,\n"
        "and what is edited but not built is applied right after the start.",
    )
    options.add_control(made)
    return made


def main(arguments: argparse.Namespace) -> int:
    answer = options.ask(arguments, "restart")
    if arguments.json:
        print(json.dumps(answer["result"]))
    elif not arguments.quiet:
        sys.stderr.write(f"relive: started anew as process {answer['result']['pid']}\n")
    return int(answer["exit"])
