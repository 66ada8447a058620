"""`relive build`: brings a linked program up to date without the linker."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from relive.cli import options
from relive.errors import FormatError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relive.host.project import Project
    from relive.session.config import Config
    from relive.session.quickbuild import Built


def parser() -> argparse.ArgumentParser:
    made = options.parser(
        "build",
        "Quick build: compile what was edited and put it into the linked program (or shared library) TARGET, without\n"
        "the linker. What that cannot do, the project's own build command does.",
        usage="[TARGET]",
        epilog="exit codes: 0 built, 1 error (does not compile), 3 nothing changed, 4 refused (with --no-fallback)",
    )
    made.add_argument(
        "target", nargs="?", metavar="TARGET", help="the file; default: the one that has the edited units"
    )
    made.add_argument("--build-dir", metavar="DIR", help="where compile_commands.json is")
    made.add_argument("--build-command", metavar="COMMAND", help="the project's own build; default: as it looks")
    made.add_argument("--no-fallback", action="store_true", help="do not run it: refuse what a quick build cannot do")
    made.add_argument("-n", "--dry-run", action="store_true", help="compile, and only tell what would be done")
    made.add_argument("-j", "--jobs", type=int, metavar="N", help="how many compilers at once")
    made.add_argument("--json", action="store_true", help="print the result as JSON")
    return made


def main(arguments: argparse.Namespace) -> int:
    from relive.host.compiler import CompilePool
    from relive.host.project import Project
    from relive.session import paths, quickbuild_targets
    from relive.session.quickbuild import QuickBuild

    chosen = options.settings(arguments)
    cache = paths.cache_dir()
    project = Project.open(arguments.target or "", build_dir=chosen.build_dir, start_dir=os.getcwd())
    program = quickbuild_targets.choose(project, arguments.target)
    if program is None:
        return _finish(arguments, chosen, project, Path(arguments.target or ""), _never_built(arguments.target))
    with tempfile.TemporaryDirectory(prefix="relive-build-") as work:
        pool = CompilePool(Path(work), chosen.jobs)
        try:
            built = QuickBuild(project, program, pool, cache).build(dry_run=arguments.dry_run)
        except FormatError as error:
            built = _not_possible(program, error)
    return _finish(arguments, chosen, project, program, built)


def _never_built(target: str | None) -> Built:
    from relive.errors import Refusal
    from relive.session.quickbuild import Built

    name = target or "the program"
    reason = "there is no linked file yet"
    return Built(target or "", "refused", refusals=(Refusal("never-built", name, reason, "build the project once"),))


def _not_possible(program: Path, error: FormatError) -> Built:
    from relive.errors import Refusal
    from relive.session.quickbuild import Built

    return Built(str(program), "refused", refusals=(Refusal("file-layout", program.name, str(error), error.hint),))


def _finish(arguments: argparse.Namespace, chosen: Config, project: Project, program: Path, built: Built) -> int:
    from relive.session import quickbuild_fallback

    record: dict[str, object] = asdict(built) | {"refusals": [refusal.as_dict() for refusal in built.refusals]}
    code = {"applied": 0, "unchanged": 3, "failed": 1, "refused": 4}[built.status]
    if not arguments.json:
        _tell(arguments, built)
    if built.status == "refused" and not arguments.no_fallback:
        given = arguments.build_command or str(chosen["build"])
        wanted = program if program.exists() else None
        command = quickbuild_fallback.build_command(project, wanted, arguments.target or "", given, chosen.jobs)
        record["command"] = str(command)
        if not arguments.quiet:
            print(f"{'would run' if arguments.dry_run else 'running'}: {command}", file=sys.stderr)
        code = 0
        if not arguments.dry_run:
            code = 1 if quickbuild_fallback.run(command, quiet=arguments.quiet) else 0
            record["status"] = "failed" if code else "linked"
    if arguments.json:
        print(json.dumps(record, ensure_ascii=False))
    return code


def _tell(arguments: argparse.Namespace, built: Built) -> None:
    from relive.ui.style import Style

    style = Style(sys.stderr, os.environ)
    sys.stderr.write(built.message)
    name = os.path.relpath(built.program)
    if built.status == "refused":
        for refusal in built.refusals:
            print(
                f"{style('yellow', 'no quick build:')} {refusal.subject}: {refusal.reason} [{refusal.code}]",
                file=sys.stderr,
            )
    elif arguments.quiet:
        return
    elif built.status == "unchanged":
        print(f"{name} is up to date", file=sys.stderr)
    elif built.status == "failed":
        print(f"{style('red', 'not built:')} {name} is as it was", file=sys.stderr)
    else:
        shown = ", ".join(built.functions[:6]) + (
            f" and {len(built.functions) - 6} more" if len(built.functions) > 6 else ""
        )
        total = sum(built.timings_ms.values())
        would = "would change" if arguments.dry_run else "built"
        print(f"{style('green', would)} {name} in {total:.0f} ms: {shown or 'as it was linked'}", file=sys.stderr)
    if arguments.verbose:
        steps = ", ".join(f"{step} {ms:.1f}" for step, ms in built.timings_ms.items())
        print(f"  ms: {steps}", file=sys.stderr)
