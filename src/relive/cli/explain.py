"""`relive explain`: why something was reloaded or not, and what a refusal code means."""

from __future__ import annotations

import argparse
import json
import os
import sys

from relive.cli import options
from relive.session import codes


def parser() -> argparse.ArgumentParser:
    made = options.parser(
        "explain",
        "Tell why SYMBOL or FILE was reloaded, how, or why not; or what a refusal CODE means.\n"
        "Without an argument: the last reload. A code needs no running session.",
        usage="[SYMBOL|FILE|CODE]",
        epilog="codes: " + ", ".join(sorted(codes.CODES)),
    )
    options.add_control(made)
    made.add_argument("what", nargs="?", metavar="SYMBOL|FILE|CODE")
    return made


def main(arguments: argparse.Namespace) -> int:
    what = arguments.what
    code = codes.CODES.get(what) if what else None
    if code is not None:
        text = codes.describe(code)
    else:
        # The session may have been started elsewhere: files go there with their full path.
        if what and os.path.exists(what):
            what = os.path.abspath(what)
        text = str(options.ask(arguments, "explain", what=what)["result"]["text"])
    if arguments.json:
        print(json.dumps({"what": arguments.what, "text": text}, ensure_ascii=False))
    else:
        sys.stdout.write(text.rstrip("\n") + "\n")
    return 0
