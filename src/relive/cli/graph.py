"""`relive graph`: the components of a file, what they need and what needs them; and what an edit of one would reach."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from relive.cli import options
from relive.errors import UsageError

TYPE_CHECKING = False  # see relive/__init__.py
if TYPE_CHECKING:
    from relive.build.units import Unit
    from relive.host.project import Project
    from relive.session.indexing import Indexer
    from relive.source.graph import Graph

AT_ONCE = 4
"""Units read now for a header that many include; the others are shown as far as the background has come."""


def parser() -> argparse.ArgumentParser:
    made = options.parser(
        "graph",
        "Show the components of FILE (functions, classes, variables, macros), what each needs (red edges) and what\n"
        "needs it (blue edges). With --symbol: what an edit of it reaches: L1 edited, L2 to be compiled again,\n"
        "L3 needed for that. Needs no running session, only compile_commands.json.",
        usage="FILE",
    )
    made.add_argument("file", metavar="FILE")
    made.add_argument("--symbol", metavar="S", help="a component: its name, qualified or not, or a line number of FILE")
    made.add_argument(
        "--edit",
        choices=("body", "interface"),
        help="what of the symbol is edited: its body (default for functions), or what others see of it",
    )
    made.add_argument("--format", choices=("text", "dot", "json", "svg"), default="text", help="default: text")
    made.add_argument("--all", action="store_true", help="read all units that include FILE first, however many")
    made.add_argument("--json", action="store_true", help="the same as --format json")
    made.add_argument("--build-dir", metavar="DIR", help="where compile_commands.json is")
    return made


def main(arguments: argparse.Namespace) -> int:
    # Past the import of numpy and all: this verb has no program that waits.
    from relive.host.compiler import CompilePool
    from relive.host.project import Project
    from relive.session import paths
    from relive.session.indexing import Indexer, open_store, scanner

    file = os.path.abspath(arguments.file)
    if not os.path.exists(file):
        raise UsageError(f"there is no file {arguments.file}", "give a source or header of the project")
    build_dir = arguments.build_dir or options.settings(arguments).build_dir
    project = Project.open(file, build_dir=build_dir, start_dir=os.path.dirname(file))
    cache = paths.cache_dir()
    with tempfile.TemporaryDirectory(prefix="relive-graph-") as workdir, open_store(cache, project) as store:
        pool = CompilePool(Path(workdir), 1)
        # Without depfiles of the build, nobody knows which units a header is part of.
        if not project.units_of(file):
            missing = project.missing_dependencies()
            for unit, text in zip(missing, pool.all_dependencies(missing), strict=True):
                project.update_dependencies(unit.key, text)
        indexer = Indexer(project, pool, store, lambda: scanner(cache))
        units = _users(project, file)
        _bring_up_to_date(units, indexer, everything=arguments.all)
        file = _known_name(project, file)
        wanted = {unit.key for unit in units}
        graph = store.graph(wanted)
    sys.stdout.write(_show(graph, file, arguments, os.getcwd()))
    return 0


def _users(project: Project, file: str) -> list[Unit]:
    """Units made from the file, its own before those that include it."""
    units = [unit for unit in project.units_of(file) if unit.language in ("c", "c++")]
    if not units:
        raise UsageError(
            f"no unit of {project.database} is made from {file}", "build the project so that its depfiles are there"
        )
    return sorted(units, key=lambda unit: (unit.source != file, unit.source))


def _bring_up_to_date(units: list[Unit], indexer: Indexer, *, everything: bool) -> None:
    old = [unit for unit in units if not indexer.is_current(unit)]
    now = old if everything else old[:AT_ONCE]
    failed = [unit for unit in now if not indexer.index(unit)]
    left = len(old) - len(now)
    if left:
        sys.stderr.write(f"note: {left} of {len(units)} units are not read yet or out of date; --all reads them now\n")
    for unit in failed:
        sys.stderr.write(f"note: {unit.source} does not preprocess; it is shown as it was, if at all\n")


def _known_name(project: Project, file: str) -> str:
    """The file as the project spells it (through a link, say)."""
    names = {path for unit in project.units_of(file) for path in project.inputs_of(unit.key)}
    if file in names:
        return file
    real = os.path.realpath(file)
    return next((name for name in sorted(names) if os.path.realpath(name) == real), file)


def _show(graph: Graph, file: str, arguments: argparse.Namespace, root: str) -> str:
    from relive.source import drawing
    from relive.source.graph import Edit

    if arguments.symbol:
        found = _symbol(graph, arguments.symbol, file)
        functions = [number for number in found if graph.vertex(number).kind == 0]
        interface = arguments.edit == "interface" or (arguments.edit is None and not functions)
        # A function that is declared and defined in the file: its body is in the definition.
        chosen = found if interface else functions or found
        sets = graph.sets([Edit(number, interface) for number in chosen])
        picture = drawing.picture_of_sets(graph, graph.vertex(chosen[0]).name, sets, root)
    else:
        picture = drawing.picture_of_file(graph, file, root)
    draw = {"text": drawing.as_text, "dot": drawing.as_dot, "json": drawing.as_json, "svg": drawing.as_svg}
    return draw["json" if arguments.json else arguments.format](picture)


def _symbol(graph: Graph, symbol: str, file: str) -> list[int]:
    found = graph.at(file, int(symbol))[:1] if symbol.isdigit() else graph.find(symbol, file)
    if found:
        return found
    import difflib

    names = sorted({graph.vertex(number).name for number in graph.of_file(file)})
    close = difflib.get_close_matches(symbol, names, 3, 0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"`relive graph {os.path.basename(file)}` lists them"
    raise UsageError(f"{os.path.basename(file)} has no component {symbol}", hint)
