"""Picks the verb, and turns errors into words and exit codes.

A verb's module is imported only when it is asked for: between `relive run` and the program's `main` there should be
nothing that the program does not need."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module

STARTED = time.monotonic()
"""Events count from here."""

VERBS = {
    "run": "start a program and keep it up to date with every save",
    "attach": "the same for a program that already runs",
    "reload": "apply what is saved now, and wait for the result",
    "undo": "go back one reload, or to a generation",
    "restart": "end the program and start it anew",
    "status": "what is live, queued, refused",
    "explain": "why something was reloaded or not; what a refusal code means",
    "build": "quick build: put what was edited into the linked program, without the linker",
    "graph": "components of a file, what they need and what needs them",
    "doctor": "check machine, build and program",
    "demo": "build a small program, run it, edit it live",
}
OWN_FAILURE = 125  # of verbs whose status is the program's; what env, timeout and docker use
PROGRAM_VERBS = ("run",)


def entry() -> None:
    """The `relive` command."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command; its exit code (see docs/howto.md)."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        from relive import __version__

        print(f"relive {__version__}")
        return 0
    verb = argv[0]
    if verb not in VERBS:
        _complain(f"there is no command `{verb}`", _nearest(verb))
        return 2
    try:
        return _run(verb, argv[1:])
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) is satisfied. Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(verb: str, argv: Sequence[str]) -> int:
    from relive.errors import ReliveError

    module = import_module(f"relive.cli.{verb}")
    try:
        arguments = module.parser().parse_args(argv)
        if arguments.directory:
            _enter(arguments.directory)
        status: int = module.main(arguments)
        return status
    except SystemExit as leaving:  # argparse: 0 after --help, 2 after a mistake
        status = leaving.code if isinstance(leaving.code, int) else 1
        return OWN_FAILURE if status and verb in PROGRAM_VERBS else status
    except ReliveError as error:
        _complain(str(error), error.hint)
        return OWN_FAILURE if verb in PROGRAM_VERBS else error.exit_code
    except Exception:
        if verb not in PROGRAM_VERBS:
            raise
        import traceback  # a bug of ours: shown as one, with the status that says whose failure it is

        traceback.print_exc()
        return OWN_FAILURE


def _enter(directory: str) -> None:
    from relive.errors import UsageError

    try:
        os.chdir(directory)
    except OSError as error:
        raise UsageError(f"-C {directory}: {error.strerror}", "give a directory that exists") from error


def _complain(message: str, hint: str) -> None:
    from relive.ui.style import Style

    style = Style(sys.stderr, os.environ)
    sys.stderr.write(f"{style('red', 'error:')} {message}\n")
    if hint:
        sys.stderr.write(f"{style('yellow', 'hint:')} {hint}\n")


def _nearest(verb: str) -> str:
    import difflib

    close = difflib.get_close_matches(verb, VERBS, 1)
    return f"did you mean `relive {close[0]}`?" if close else "`relive --help` lists them"


def _help() -> str:
    lines = "\n".join(f"  {verb:<9} {what}" for verb, what in VERBS.items())
    return f"""usage: relive COMMAND [OPTIONS]

Change C and C++ programs while they run: each saved edit is running code a blink later.

{lines}

`relive COMMAND --help` tells more. First steps: relive run -- PROGRAM, then edit and save.
Exit codes: 0 fine or applied, 1 error, 2 usage, 3 nothing changed, 4 refused, 130 interrupted;
`relive run`: the program's own status (128 + signal when it died of one), 125 when relive itself failed.
"""
