"""Precompiled skeletons on disk: found by content, bounded, never half made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relive.build.parts import extract_command
from relive.build.units import Unit
from relive.host import skeletons
from relive.host.compiler import CompilePool, Part, Superseded
from relive.host.project import Project
from relive.host.skeletons import SkeletonStore
from tests import small

TEXT = b"static int answer(void) { return 42; }\n"


def _never() -> bool:
    return False


@pytest.fixture(params=["gcc", "clang"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Unit:
    program = small.build(
        tmp_path, {"main.c": "int main(void) { return 0; }\n"}, compiler=request.param, flags=("-O0",), link=()
    )
    project = Project.open(str(program), build_dir=str(tmp_path / "build"), start_dir=str(tmp_path))
    (only,) = project.units.values()
    return only


@pytest.fixture
def pool(tmp_path: Path) -> CompilePool:
    return CompilePool(tmp_path / "work", 2)


def test_made_once_and_used(unit: Unit, pool: CompilePool, tmp_path: Path) -> None:
    store = SkeletonStore(tmp_path / "cache", pool)
    key = store.key(unit, TEXT)
    assert store.find(unit, key) is None
    header = store.make(unit, key, TEXT, cancelled=_never)
    assert header is not None
    assert header == store.find(unit, key)
    assert SkeletonStore(tmp_path / "cache", pool).find(unit, key) == header, "another host finds it"
    if "gcc" in unit.command.arguments[0]:
        Path(header).write_bytes(b"#error the text was read, not the precompiled form\n")

    def build(text: str, output: str, _depfile: str) -> tuple[str, ...]:
        return extract_command(
            unit.command.arguments, unit.command.directory, unit.source, "c", text=text, output=output, skeleton=header,
            extra=(),
        )  # fmt: skip

    (compiled,) = pool.parts([Part(unit, build, b"int f(void) { return answer(); }\n")])
    assert compiled.ok, compiled.diagnostics


def test_everything_that_matters_is_in_the_key(
    unit: Unit, pool: CompilePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SkeletonStore(tmp_path / "cache", pool)
    keys = {store.key(unit, TEXT), store.key(unit, TEXT + b"int more;\n")}
    monkeypatch.setenv("C_INCLUDE_PATH", "/elsewhere")
    keys.add(store.key(unit, TEXT))
    assert len(keys) == 3


def test_what_does_not_compile_is_not_tried_again(unit: Unit, pool: CompilePool, tmp_path: Path) -> None:
    store = SkeletonStore(tmp_path / "cache", pool)
    bad = b"int f( {\n"
    key = store.key(unit, bad)
    assert store.make(unit, key, bad, cancelled=_never) is None
    assert store.find(unit, key) is None
    assert store.make(unit, key, bad, cancelled=lambda: pytest.fail("a compiler was started")) is None
    assert skeletons.usage(tmp_path / "cache") == (0, 0)


def test_somebody_waits(unit: Unit, pool: CompilePool, tmp_path: Path) -> None:
    store = SkeletonStore(tmp_path / "cache", pool)
    key = store.key(unit, TEXT)
    with pytest.raises(Superseded):
        store.make(unit, key, TEXT, cancelled=lambda: True)
    assert store.find(unit, key) is None
    assert store.make(unit, key, TEXT, cancelled=_never) is not None


def test_the_least_recently_used_go(unit: Unit, pool: CompilePool, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    store = SkeletonStore(folder, pool, limit=1)
    texts = [TEXT + b"int number%d;\n" % n for n in range(3)]
    for text in texts:
        assert store.make(unit, store.key(unit, text), text, cancelled=_never) is not None
    assert os.listdir(folder) == [store.key(unit, texts[-1])], "the newest always stays"
    count, size = skeletons.usage(folder)
    assert count == 1
    assert size > 0
