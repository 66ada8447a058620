"""The process that indexes in the background: ``python -m relive.session.index_worker DATABASE CACHE WORKDIR``.

Reads JSON lines on stdin (``{"touched": [files]}``, ``{"database": true}``), writes ``{"progress": [done, total]}`` on
stdout, ends when stdin does: with the host, however that ends. Its compilers have its low priority and go with it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from pathlib import Path
from typing import Any

from relive.errors import ReliveError
from relive.host.compiler import CompilePool, Superseded
from relive.host.project import Project
from relive.session.indexing import Indexer, open_store, scanner

NICE = 19


def main(database: str, cache: Path, workdir: Path) -> int:
    """Until stdin ends."""
    os.nice(NICE)
    lines = _Lines(sys.stdin.fileno())
    try:
        project = Project.open("", build_dir=os.path.dirname(database), start_dir=os.getcwd())
        pool = CompilePool(workdir / f"index-{os.getpid()}", 1)
        with open_store(cache, project) as store:
            indexer = Indexer(project, pool, store, lambda: scanner(cache))
            indexer.look()
            _say(indexer)
            while not lines.ended:
                try:
                    worked = indexer.step(lines.waiting)
                except Superseded:  # something was said, or it is over
                    worked = False
                for message in lines.read(wait=not worked):
                    _follow(message, project, indexer)
                _say(indexer)
    except (ReliveError, BrokenPipeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _follow(message: dict[str, Any], project: Project, indexer: Indexer) -> None:
    if message.get("database"):
        with contextlib.suppress(ReliveError):
            project.refresh_database()
        indexer.look()
    indexer.touched(message.get("touched", ()))


def _say(indexer: Indexer) -> None:
    sys.stdout.write(json.dumps({"progress": indexer.progress}) + "\n")
    sys.stdout.flush()


class _Lines:
    """What the host says, without waiting for it longer than asked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.ended = False

    def waiting(self) -> bool:
        """Whether there is something to read (its end, too)."""
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def read(self, *, wait: bool) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while not self.ended and (wait or self.waiting()):
            piece = os.read(self._descriptor, 65536)
            self.ended = not piece
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
            wait = wait and not found
        return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
