"""Which forced headers (``-include x.h``) of a command have a precompiled form beside them.

gcc and clang look for ``x.h.gch`` (a file, or a folder of variants) and clang for ``x.h.pch`` where ``x.h`` is found:
in the working directory first, then along the include path (gcc's manual, "Using Precompiled Headers")."""

from __future__ import annotations

import os

from relive.build.command import forced_includes, include_directories
from relive.build.database import CompileCommand


def precompiled_headers(command: CompileCommand) -> dict[str, str]:
    """Header as written in the command → path of its plain text."""
    found: dict[str, str] = {}
    if not any("-include" in word for word in command.arguments):
        return found
    for header in forced_includes(command.arguments):
        places = [os.path.join(command.directory, header)]
        if not os.path.isabs(header):
            directories = include_directories(command.arguments, command.directory)
            places += [os.path.join(directory, header) for directory in directories]
        plain = next((place for place in places if os.path.isfile(place)), None)
        if plain is not None and any(os.path.exists(plain + suffix) for suffix in (".gch", ".pch")):
            found[header] = plain
    return found
