"""Objects for the tests of the diff room: tiny sources, compiled by the real compilers the way users and relive do."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

from relive.diff.atoms import Atoms, Interner, Kind
from relive.diff.compare import Comparison, compare
from relive.elf.object import ElfObject

OURS = ("-ffunction-sections", "-fdata-sections")
"""What relive adds to the user's own command."""
COMPILERS = {"c": ("gcc", "clang"), "cpp": ("g++", "clang++")}


@functools.cache
def compile_unit(compiler: str, source: str, *flags: str, name: str = "") -> bytes:
    """The object file of `source`; each combination is compiled once per process."""
    name = name or ("unit.cpp" if compiler.endswith("++") else "unit.c")
    with tempfile.TemporaryDirectory(prefix="relive-test-") as folder:
        (Path(folder) / name).write_text(source)
        command = [compiler, *flags, "-c", name, "-o", "unit.o"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return (Path(folder) / "unit.o").read_bytes()


def atoms_of(data: bytes, interner: Interner | None = None) -> Atoms:
    return Atoms(ElfObject.parse(data, "unit.o"), interner or Interner())


def atoms(compiler: str, source: str, *flags: str) -> Atoms:
    return atoms_of(compile_unit(compiler, source, *flags))


def comparison(old: bytes, new: bytes) -> Comparison:
    interner = Interner()
    return compare(atoms_of(old, interner), atoms_of(new, interner))


def names(comparison: Comparison, which: tuple[int, ...] | frozenset[int]) -> set[str]:
    return {(comparison.new.names[atom] or b"?").decode() for atom in which}


def summary(comparison: Comparison) -> dict[str, set[str]]:
    """What is not the same, by kind; empty when everything is."""
    result = {
        "changed": names(comparison, comparison.changed),
        "reinitialised": names(comparison, comparison.reinitialised),
        "resized": names(comparison, comparison.resized),
        "added": names(comparison, comparison.added),
        "removed": {name.decode() for name in comparison.removed},
    }
    return {kind: found for kind, found in result.items() if found}


def kind_of(atoms: Atoms, name: str) -> Kind:
    return Kind(int(atoms.kind[atoms.by_name[name.encode()]]))
