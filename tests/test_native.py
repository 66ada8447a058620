"""relive's own C is compiled once and found again; the environment's faults are told clearly."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from relive.errors import BuildError, StorageError
from relive.host.native import compile_native, find_compiler


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/value.h").write_text("#define VALUE 41\n")
    path = tmp_path / "src/answer.c"
    path.write_text(
        '#include "value.h"\n#ifndef MORE\n#define MORE 0\n#endif\nint answer(void) { return VALUE + MORE; }\n'
    )
    return path


def answer(library: Path) -> int:
    return int(ctypes.CDLL(str(library)).answer())


def test_result_is_cached_by_content_and_flags(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "deep/cache"
    first = compile_native("answer", [source], cache=cache)
    stamp = first.stat().st_mtime_ns
    assert answer(first) == 41
    assert compile_native("answer", [source], cache=cache) == first
    assert first.stat().st_mtime_ns == stamp
    more = compile_native("answer", [source], flags=["-DMORE=1"], cache=cache)
    assert answer(more) == 42
    (source.parent / "value.h").write_text("#define VALUE 7\n")
    changed = compile_native("answer", [source], cache=cache)
    assert changed not in (first, more)
    assert answer(changed) == 7
    assert [p for p in cache.iterdir() if p.name.startswith(".")] == []


def test_compilers_words_reach_the_user(source: Path, tmp_path: Path) -> None:
    source.write_text("int broken(\n")
    with pytest.raises(BuildError, match=r"answer\.c:1") as caught:
        compile_native("answer", [source], cache=tmp_path / "cache")
    assert caught.value.hint
    assert list((tmp_path / "cache").iterdir()) == []


def test_missing_compiler(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="nosuchcc"):
        compile_native("answer", [source], compiler="nosuchcc -m64", cache=tmp_path)


def test_compiler_line_with_launcher() -> None:
    words = find_compiler("env gcc -m64")
    assert os.path.isabs(words[0])
    assert words[1:] == ["gcc", "-m64"]


def test_cache_that_cannot_be_made(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        compile_native("answer", [source], cache=tmp_path / "file/cache")
    assert "XDG_CACHE_HOME" in caught.value.hint
