"""A small project written by a test itself: sources, a build by the real compiler, compile_commands.json, depfiles."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.case import COMMON


def build(
    root: Path, sources: Mapping[str, str], *, compiler: str = "gcc", flags: Sequence[str] = ("-g", "-O0"),
    link: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Writes ``root/src``, builds in ``root/build``, returns the program there. ``flags`` go to every compilation; the
    units are those sources that end in .c or .cpp."""
    (root / "src").mkdir(parents=True)
    (root / "build").mkdir()
    rows = []
    for name, text in sources.items():
        (root / "src" / name).write_text(text)
    units = [name for name in sources if name.endswith((".c", ".cpp"))]
    for name in units:
        words = [compiler, *flags, f"-I{COMMON}", "-MD", "-MF", f"{name}.d", "-o", f"{name}.o", "-c", f"../src/{name}"]
        subprocess.run(words, cwd=root / "build", check=True)
        rows.append({"directory": str(root / "build"), "file": f"../src/{name}", "command": shlex.join(words)})
    (root / "build" / "compile_commands.json").write_text(json.dumps(rows))
    words = [compiler, "-o", "program", *(f"{name}.o" for name in units), *link]
    subprocess.run(words, cwd=root / "build", check=True)
    return root / "build" / "program"
