"""Project and watcher as the loop sees them: one thing that knows which files count now."""

from __future__ import annotations

from relive.host.project import Project
from relive.host.watch import Watcher


class ProjectInputs:
    """Implements `loop.Inputs`."""

    def __init__(self, project: Project, watcher: Watcher) -> None:
        self._project = project
        self._watcher = watcher

    def refresh(self, files: frozenset[str]) -> tuple[frozenset[str], str]:
        described = frozenset(file for file in files if self._project.describes_build(file))
        if not described:
            return files, ""
        change = self._project.refresh_database()
        sources = frozenset(unit.source for unit in (*change.added, *change.changed))
        counts = (("new", change.added), ("changed", change.changed), ("gone", change.removed))
        told = ", ".join(f"{len(units)} {what}" for what, units in counts if units)
        return (files - described) | sources, f"compile_commands.json: {told} units" if told else ""

    def follow(self, since_ns: int) -> None:
        self._watcher.add(self._project.inputs(), since_ns=since_ns)

    def poll(self) -> None:
        self._watcher.flush()
