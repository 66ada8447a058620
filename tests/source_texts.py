"""Tiny units for the tests of the source room: preprocessed by the compilers that are installed, or written as such."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from relive.host.native import scanner_library
from relive.source.library import Scanner
from relive.source.model import Flag, Kind
from relive.source.unit import UnitText

COMPILERS = tuple(name for name in ("gcc", "clang") if shutil.which(name))


@functools.cache
def scanner() -> Scanner:
    return Scanner(scanner_library(Path(tempfile.gettempdir()) / f"relive-test-native-{os.getuid()}"))


def parse(text: str, *, c: bool = False) -> UnitText:
    """`text` as if the preprocessor had written it."""
    return scanner().parse(text.encode(), "unit.c" if c else "unit.cpp")


def preprocess(compiler: str, text: str, *flags: str, c: bool = False) -> UnitText:
    """`text`, the content of the file ``unit.cpp`` or ``unit.c``, preprocessed."""
    with tempfile.TemporaryDirectory() as folder:
        name = "unit.c" if c else "unit.cpp"
        Path(folder, name).write_text(text)
        command = [compiler, *flags, "-w", "-E", "-dD", name]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return scanner().parse(done.stdout, name)


def compile_text(compiler: str, text: bytes, *flags: str, c: bool = False) -> str:
    """What the compiler says against a text: "" when it compiles."""
    command = [compiler, *flags, "-w", "-fsyntax-only", "-x", "c" if c else "c++", "-"]
    return subprocess.run(command, input=text, capture_output=True, check=False).stderr.decode()


def outline(unit: UnitText) -> list[str]:
    """One line a component: kind, qualified name, indented by depth."""
    rows = unit.components
    return [
        "  " * int(rows["depth"][i]) + f"{Kind(int(rows['kind'][i])).name} {unit.qualified(i).decode()}".rstrip()
        for i in range(len(rows))
    ]


def component(unit: UnitText, name: str, kind: Kind = Kind.FUNCTION) -> int:
    """The only component of this kind and (last) name."""
    rows = unit.components
    (found,) = [i for i in range(len(rows)) if rows["kind"][i] == kind and unit.name(i).decode() == name]
    return found


def flags(unit: UnitText, name: str, kind: Kind = Kind.FUNCTION) -> Flag:
    return Flag(int(unit.components["flags"][component(unit, name, kind)]))


def without_blanks(text: bytes) -> str:
    return b" ".join(text.split()).decode()
