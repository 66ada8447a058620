"""Objects for the tests of the dwarf room: tiny sources, compiled by every compiler that is installed.

The reader itself is compiled once per machine into a directory that all test processes share."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from relive.dwarf import FLAGS, SOURCES
from relive.dwarf.model import FunctionRecord, VariableRecord
from relive.dwarf.reader import DebugInfo, Reader
from relive.host.native import compile_native

C_COMPILERS = tuple(name for name in ("gcc", "clang") if shutil.which(name))
CXX_COMPILERS = tuple(name for name in ("g++", "clang++") if shutil.which(name))


@functools.cache
def reader() -> Reader:
    cache = Path(tempfile.gettempdir()) / f"relive-test-native-{os.getuid()}"
    return Reader(compile_native("dwarf", SOURCES, flags=FLAGS, cache=cache))


def compile_object(folder: Path, compiler: str, source: str, *flags: str) -> bytes:
    """The object file of `source` (C for gcc and clang, C++ for the others), with -g."""
    return (folder / compile_file(folder, compiler, source, "-c", *flags)).read_bytes()


def compile_file(folder: Path, compiler: str, source: str, *flags: str) -> Path:
    suffix = ".cpp" if compiler.endswith("++") else ".c"
    path, output = folder / f"unit{suffix}", folder / "output"
    path.write_text(source)
    command = [compiler, "-g", *flags, "-o", str(output), path.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output


def read_object(folder: Path, compiler: str, source: str, *flags: str) -> DebugInfo:
    return reader().read(compile_object(folder, compiler, source, *flags))


def layout(info: DebugInfo, name: str) -> list[str]:
    """Lines of the layout text of the only type of this name."""
    (index,) = info.find_types(name)
    return info.layout_text(index).splitlines()


def variable(info: DebugInfo, name: str) -> VariableRecord:
    (found,) = [record for record in info.variables if record.name == name]
    return found


def function(info: DebugInfo, name: str) -> FunctionRecord:
    (found,) = [record for record in info.functions if name in (record.name, record.linkage)]
    return found
