"""Small projects for tests of the dependency graph: written, built, read; and the extracts of their edits compiled."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relive.build.parts import extract_command
from relive.build.units import Unit
from relive.host.compiler import CompilePool
from relive.host.graph_store import GraphStore
from relive.host.project import Project
from relive.session.indexing import Indexer, scanner
from relive.session.paths import cache_dir
from relive.source.extract import change_text, places_of
from relive.source.graph import Edit, Graph, Sets
from relive.source.places import places
from tests.small import build

CTWIK = Path(__file__).parent.parent / "examples" / "ctwik"


@dataclass
class Indexed:
    """A project, its store and its indexer."""

    root: Path
    project: Project
    store: GraphStore
    indexer: Indexer

    def unit(self, name: str) -> Unit:
        return next(unit for unit in self.project.units.values() if Path(unit.source).name == name)

    def path(self, name: str) -> str:
        return next(path for path in sorted(self.project.inputs()) if Path(path).name == name)

    def graph(self) -> Graph:
        """Of everything, brought up to date."""
        while self.indexer.step():
            pass
        return self.store.graph()


@contextmanager
def indexed(root: Path, build_dir: Path) -> Iterator[Indexed]:
    """The project built in ``build_dir``, with a store and a work folder below ``root``."""
    project = Project.open("", build_dir=str(build_dir), start_dir=str(build_dir))
    pool = CompilePool(root / "work", 1)
    with GraphStore(root / "graphs" / "project.sqlite") as store:
        indexer = Indexer(project, pool, store, lambda: scanner(cache_dir()))
        indexer.look()
        yield Indexed(root, project, store, indexer)


@contextmanager
def small(root: Path, sources: Mapping[str, str], *, compiler: str = "gcc") -> Iterator[Indexed]:
    """A project of these sources."""
    if any(name.endswith(".cpp") for name in sources):
        compiler = {"gcc": "g++", "clang": "clang++"}[compiler]
    program = build(root, sources, compiler=compiler)
    with indexed(root, program.parent) as found:
        yield found


@contextmanager
def ctwik(root: Path) -> Iterator[Indexed]:
    """The sample project of the CTwik document."""
    shutil.copytree(CTWIK, root / "ctwik")
    subprocess.run(["make", "-s"], cwd=root / "ctwik", check=True)
    with indexed(root, root / "ctwik") as found:
        yield found


def names(graph: Graph, numbers: object) -> list[str]:
    assert isinstance(numbers, (tuple, list, set, frozenset))
    return [graph.vertex(number).name for number in numbers]


def edit(graph: Graph, name: str, *, interface: bool = False, file: str | None = None) -> Sets:
    """What an edit of the only component called so reaches."""
    found = graph.find(name, file)
    assert len(found) == 1, (name, found)
    return graph.sets([Edit(found[0], interface)])


def change(found: Indexed, unit: Unit, sets: Sets, graph: Graph, *, templates: bool | None = None) -> bytes:
    """The text of change.cpp for one unit."""
    text = found.indexer.read(unit)
    assert text is not None
    ours = found.indexer.ours(unit)
    where = places(text, ours=ours)
    affected = places_of([graph.row_in(number, unit.key) for number in sets.affected], where)
    needed = places_of([graph.row_in(number, unit.key) for number in sets.needed], where)
    return change_text(text, affected, needed, ours=ours, raw=lambda path: Path(path).read_bytes(), templates=templates)


def compile_change(found: Indexed, unit: Unit, text: bytes) -> tuple[Path, str]:
    """The object made of an extract (which need not be there), and what the compiler said."""
    source = found.root / ("change.c" if unit.language == "c" else "change.cpp")
    output = source.with_suffix(".o")
    output.unlink(missing_ok=True)
    source.write_bytes(text)
    command = extract_command(
        unit.command.arguments, unit.command.directory, unit.source, unit.language,
        text=str(source), output=str(output), skeleton=None, extra=(),
    )  # fmt: skip
    done = subprocess.run(command, cwd=unit.command.directory, capture_output=True, text=True)
    return output, done.stderr
