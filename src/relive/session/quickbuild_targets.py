"""Which linked file a quick build is for: what the user names, or the only one that has the edited units."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from relive.build.units import Unit
from relive.elf import constants as c
from relive.elf.headers import parse_elf
from relive.errors import FormatError, UsageError
from relive.host.project import Project

_ENTRIES_LIMIT = 50_000
"""Directory entries looked at before giving up: a build tree with more needs a TARGET."""


def choose(project: Project, target: str | None) -> Path | None:
    """The file; None when nothing is linked yet. UsageError with the candidates when it is not clear which."""
    roots = _roots(project)
    if target:
        return _named(target, roots)
    files = [path for path in linked_files(roots) if _may_have(path, project.units.values())]
    if not files:
        return None
    stale = _edited(project)
    having = [path for path in files if _may_have(path, stale) or _is_ours(path)] if stale else files
    if len(having) == 1:
        return having[0]
    names = ", ".join(sorted(os.path.relpath(path) for path in having or files))
    which = "have the edited units" if stale else "are linked"
    raise UsageError(f"several files {which}: {names}", "name the one that is meant: relive build TARGET")


def _edited(project: Project) -> list[Unit]:
    """Units whose sources are newer than their objects."""
    return list(project.stale())


def _is_ours(path: Path) -> bool:
    """Whether quick builds were made of a file: what was taken back there is to be found out, too."""
    return (path.parent / f".{path.name}.relive-build" / "state.json").exists()


def _roots(project: Project) -> list[Path]:
    found = [os.path.dirname(project.database), os.path.dirname(os.path.realpath(project.database))]
    found += [unit.command.directory for unit in project.units.values()]
    found += [os.path.dirname(unit.object) for unit in project.units.values() if unit.object]
    return [Path(directory) for directory in dict.fromkeys(found)]


def _named(target: str, roots: list[Path]) -> Path | None:
    for directory in (Path.cwd(), *roots):
        path = directory / target
        if path.is_file():
            return path.resolve()
    matching = [path for path in linked_files(roots) if path.name == os.path.basename(target)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        names = ", ".join(sorted(os.path.relpath(path) for path in matching))
        raise UsageError(f"several files are called {target}: {names}", "give the path of the one that is meant")
    return None


def linked_files(roots: list[Path]) -> list[Path]:
    """Executables and shared libraries with symbols below the directories of a build."""
    found: dict[Path, None] = {}
    seen: set[str] = set()
    for path in _walk(roots, seen):
        if _is_linked(path):
            found[Path(os.path.realpath(path))] = None
    return list(found)


def _walk(roots: list[Path], seen: set[str]) -> Iterator[str]:
    left = _ENTRIES_LIMIT
    for root in roots:
        for directory, names, files in os.walk(root):
            real = os.path.realpath(directory)
            if real in seen:
                names[:] = []
                continue
            seen.add(real)
            names[:] = [name for name in names if not name.startswith(".")]
            left -= len(files)
            if left < 0:
                raise UsageError("the build tree is too large to be searched", "name the file: relive build TARGET")
            for name in files:
                if not name.startswith(".") and not name.endswith((".o", ".a", ".c", ".h", ".cpp", ".cc", ".d", ".py")):
                    yield os.path.join(directory, name)


def _is_linked(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(18)
    except OSError:
        return False
    kind = int.from_bytes(head[16:18], "little")
    return head[:4] == c.ELFMAG and kind in (c.ET_EXEC, c.ET_DYN)


def _may_have(path: Path, units: Iterable[Unit]) -> bool:
    """Whether the names of source files in a file's symbol table are those of units."""
    try:
        with open(path, "rb") as file:
            elf = parse_elf(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), str(path))
    except (OSError, ValueError, FormatError):
        return False
    table = next((s for s in elf.sections if s.type == c.SHT_SYMTAB), None)
    if table is None:
        return False
    strings = bytes(elf.strings_of(table))
    names = {os.path.basename(unit.source).encode() for unit in units}
    return any(b"\0" + name + b"\0" in strings for name in names)
