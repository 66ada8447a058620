"""What ninja itself would do for a target, asked with a dry run while our compiler runs: a generated source, a changed
flag, a build description that is out of date. Such steps are none of a quick build, and the project's build runs.

Knows only ninja: a dry run of make may run what it says (`+` lines, $(MAKE))."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection
from pathlib import Path

from relive.errors import Refusal
from relive.host.project import Project

_REASON = re.compile(
    r"^ninja explain: (?:(?:restat of )?output (.+?) older than most recent (?:input|dependency) "
    r"|command line changed for (.+)$|recorded mtime of (.+?) older than most recent input )",
    re.M,
)
"""Why a file is to be made anew. What only follows from another step is not looked at, nor steps whose output never
exists: many projects have one that runs with each build (a version number), and it usually changes nothing."""
_MANIFEST = re.compile(r"^ninja explain: .*\bbuild\.ninja\b", re.M)
_LINKED = re.compile(r"\.(a|so(\.[0-9.]+)?)$")


def other_steps(project: Project, program: Path, expected: Collection[str]) -> list[Refusal]:
    """Steps on the way to a program that are neither the compilation of one of the `expected` objects nor a link."""
    directory = ninja_directory(project)
    if directory is None:
        return []
    target = os.path.relpath(program, directory)
    words = ["ninja", "-C", directory, "-n", "-d", "explain", target]
    try:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except OSError:
        return []  # the tree was built by a ninja that is not here: what it would do cannot be asked
    if done.returncode:
        return []  # no target of that name: an installed copy
    said = done.stdout + done.stderr
    if _MANIFEST.search(said):
        reason = "the build description is out of date"
        return [Refusal("other-steps", "build.ninja", reason, "the project's own build renews it")]
    known = {os.path.realpath(path) for path in expected}
    found = []
    for name in dict.fromkeys(next(filter(None, names)) for names in _REASON.findall(said)):
        path = os.path.realpath(os.path.join(directory, name))
        if path in known or _LINKED.search(name) or path == os.path.realpath(program):
            continue
        reason = "ninja would make it anew, and it is no object of an edited unit (generated, or its flags changed)"
        found.append(Refusal("other-steps", name, reason, "the project's own build makes it"))
    return found


def ninja_directory(project: Project) -> str | None:
    """Where build.ninja is, if there is one."""
    places = [os.path.dirname(project.database), os.path.dirname(os.path.realpath(project.database))]
    places += [unit.command.directory for unit in project.units.values()]
    for place in dict.fromkeys(places):
        if os.path.isfile(os.path.join(place, "build.ninja")):
            return place
    return None
