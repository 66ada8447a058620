"""The check of `source_check` on relive's own C and on the example: what is found, stripped, and compiled alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.source_check import Unit, check
from tests.source_texts import COMPILERS

ROOT = Path(__file__).parent.parent
SOURCES = (
    "src/relive/agent/switch.c",
    "src/relive/dwarf/index.c",
    "src/relive/source/tokens.c",
    "examples/pond/pond.cpp",
)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_real_unit(source: str, compiler: str) -> None:
    path = ROOT / source
    cplusplus = path.suffix == ".cpp"
    program = {"gcc": "g++", "clang": "clang++"}[compiler] if cplusplus else compiler
    flags = ["-std=c++20"] if cplusplus else ["-std=gnu11", "-Isrc/relive/dwarf"]
    report = check(Unit(str(path), str(ROOT), program, flags), functions=3, seed=1)
    assert report.functions >= 3
    assert report.missed == []
    assert report.surplus == []
    assert report.strip == ""
    assert report.failed == []
    assert report.extracts > 0
