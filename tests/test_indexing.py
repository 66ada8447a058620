"""Indexing: what is read, in which order, and what is read again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from relive.host.graph_store import GraphStore, store_path
from relive.session import indexing
from relive.session.indexing import Background
from tests.source_units import Indexed, ctwik, edit, names, small

PROJECT = {
    "a.h": "#pragma once\nstruct a { int x; };\nint twice(int);\n",
    "b.h": "#pragma once\n#define SIZE 4\nint size(void);\n",
    "a.c": """
        #include "a.h"
        #include <stdio.h>
        int twice(int x) { return x * 2; }
        int main(void) { puts("a"); return twice(0); }
        """,
    "b.c": '#include "a.h"\n#include "b.h"\nint size(void) { return SIZE + twice(2); }\n',
}


def steps(found: Indexed) -> list[str]:
    """Sources of the units that are read, in order."""
    before = found.store.states()
    order = []
    while found.indexer.step():
        after = found.store.states()
        order += [Path(found.project.units[key].source).name for key in after if after[key] != before.get(key)]
        before = after
    return order


def test_system_headers_are_not_indexed(tmp_path: Path) -> None:
    with small(tmp_path, PROJECT) as found:
        graph = found.graph()
        assert graph.find("printf") == []
        assert {Path(graph.vertex(n).file).name for n in range(len(graph))} == {"a.h", "b.h", "a.c", "b.c"}


def test_the_unit_touched_last_comes_first(tmp_path: Path) -> None:
    with small(tmp_path, PROJECT) as found:
        for age, name in enumerate(("b.c", "a.c", "a.h", "b.h")):
            os.utime(found.path(name), (1000 - age, 1000 - age))
        found.indexer.look()
        assert found.indexer.progress == (0, 2)
        assert steps(found) == ["b.c", "a.c"]
        assert found.indexer.progress == (2, 2)
        os.utime(found.path("a.c"), (2000, 2000))
    with small(tmp_path / "other", PROJECT) as found:
        os.utime(found.path("a.c"), (time.time() + 5, time.time() + 5))
        found.indexer.look()
        assert steps(found) == ["a.c", "b.c"]


def test_nothing_is_read_twice(tmp_path: Path) -> None:
    with small(tmp_path, PROJECT) as found:
        steps(found)
        found.indexer.look()
        os.utime(found.path("a.h"))  # touched, not changed
        found.indexer.touched([found.path("a.h")])
        assert steps(found) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "units"),
    [
        ("a.c", "x * 2", "x * 3", ["a.c"]),
        ("a.h", "int x;", "int x, y;", ["a.c", "b.c"]),
        ("b.h", "4", "5", ["b.c"]),
    ],
)
def test_an_edit_is_read_again(tmp_path: Path, file: str, old: str, new: str, units: list[str]) -> None:
    with small(tmp_path, PROJECT) as found:
        steps(found)
        path = Path(found.path(file))
        path.write_text(path.read_text().replace(old, new))
        found.indexer.touched([str(path)])
        assert sorted(steps(found)) == units


def test_a_changed_macro_reaches_its_user(tmp_path: Path) -> None:
    with small(tmp_path, PROJECT) as found:
        graph = found.graph()
        sets = edit(graph, "SIZE", interface=True)
        assert names(graph, sets.affected) == ["SIZE", "size"]
        assert sets.doubts == ()


def test_other_flags_are_another_unit_text(tmp_path: Path) -> None:
    with small(tmp_path, PROJECT) as found:
        steps(found)
        database = tmp_path / "build" / "compile_commands.json"
        database.write_text(database.read_text().replace("-O0", "-O0 -DFAST"))
        found.project.refresh_database()
        found.indexer.look()
        assert sorted(steps(found)) == ["a.c", "b.c"]


def test_what_does_not_preprocess_keeps_what_there_was(tmp_path: Path) -> None:
    with small(tmp_path, PROJECT) as found:
        steps(found)
        path = Path(found.path("a.c"))
        good = path.read_text()
        path.write_text('#include "nowhere.h"\n' + good)
        found.indexer.touched([str(path)])
        assert steps(found) == []
        assert found.indexer.progress == (2, 2)
        assert found.graph().find("main") != []
        path.write_text(good + "int added;\n")
        found.indexer.touched([str(path)])
        assert steps(found) == ["a.c"]
        assert found.graph().find("added") != []


def test_a_unit_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    with small(tmp_path, PROJECT) as found:
        steps(found)
        Path(found.path("b.c")).unlink()
        found.project.refresh_database()
        found.indexer.look()
        assert found.graph().find("size", found.path("a.c")) == []
        assert len(found.store.states()) == 1


def test_a_store_that_is_full_takes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "LIMIT", 0)
    with small(tmp_path, PROJECT) as found:
        found.indexer.look()
        assert not found.indexer.step()
        assert found.store.states() == {}


def test_the_sample_project_is_the_document_s(tmp_path: Path) -> None:
    with ctwik(tmp_path) as found:
        graph = found.graph()
        five = ["Car", "Car::getPrice", "ModelDetails", "Product", "getModelDetails"]
        assert sorted(names(graph, edit(graph, "Car::getPrice").needed)) == five
        assert sorted(names(graph, edit(graph, "main").needed)) == ["Car", "Product", "main", "printf"]


def test_in_the_background(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with small(tmp_path, PROJECT) as found:
        background = Background(found.project.database, cache, tmp_path / "work")
        try:
            wait(background, (2, 2))
            path = Path(found.path("a.c"))
            path.write_text(path.read_text().replace("main", "start"))
            background.touched([str(path)])
            store_file = store_path(cache, found.project.database)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with GraphStore(store_file) as store:
                    if store.graph().find("start"):
                        break
                time.sleep(0.05)
            else:
                pytest.fail("the edit was not read")
            process = background._process
        finally:
            background.close()
        assert process is not None
        assert process.returncode == 0, "it ended by itself when its host went"


def test_a_background_that_cannot_work_fails_nobody(tmp_path: Path) -> None:
    background = Background(str(tmp_path / "nowhere" / "compile_commands.json"), tmp_path / "cache", tmp_path)
    assert not background.step()
    background.touched(["a.c"])
    background.database_changed()
    assert not background.step()
    background.close()
    background.close()
    assert background.progress == (0, 0)


def wait(background: Background, progress: tuple[int, int]) -> None:
    deadline = time.monotonic() + 60
    while background.progress != progress:
        background.step()
        assert time.monotonic() < deadline, background.progress
        time.sleep(0.02)
