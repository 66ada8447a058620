"""The graph on disk: kept, shared, damaged, bounded."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from relive.errors import StorageError
from relive.host import graph_store
from relive.host.graph_store import GraphStore, store_path
from relive.source.forms import Form, Run
from tests.source_forms import class_, form, function, prototype, whole

HEADER = form("/p/h.hpp", class_("Car", "go"), prototype("drive", "Car"))
SOURCE = form("/p/a.cpp", function("drive", "Car"), function("main", body="drive"))
OTHER = form("/p/b.cpp", function("Car::go"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "graphs" / "project.sqlite"


def fill(store: GraphStore) -> None:
    assert store.put("a", "/p/a.cpp", b"state a", whole(HEADER, SOURCE), [HEADER, SOURCE])
    assert store.put("b", "/p/b.cpp", b"state b", whole(HEADER, OTHER), [OTHER])


def names(store: GraphStore) -> list[str]:
    graph = store.graph()
    return [graph.vertex(number).name for number in range(len(graph))]


ALL = sorted(["Car", "drive", "drive", "main", "Car::go"])


def test_a_graph_is_there_again(path: Path) -> None:
    with GraphStore(path) as store:
        fill(store)
        before = names(store)
    with GraphStore(path) as store:
        assert names(store) == before
        assert sorted(before) == ALL
        assert store.states() == {"a": b"state a", "b": b"state b"}
        assert store.units_of(["/p/h.hpp"]) == {"a", "b"}
        assert store.units_of(["/p/b.cpp"]) == {"b"}
        unit = store.unit("a")
        assert unit is not None
        assert unit.runs == whole(HEADER, SOURCE)


def test_a_header_is_kept_once(path: Path) -> None:
    with GraphStore(path) as store:
        fill(store)
        assert store.digests() == {HEADER.digest, SOURCE.digest, OTHER.digest}


def test_a_graph_of_some_units(path: Path) -> None:
    with GraphStore(path) as store:
        fill(store)
        graph = store.graph({"b"})
        assert graph.find("main") == []
        assert len(graph.find("Car::go")) == 1


def test_what_nobody_shows_goes(path: Path) -> None:
    edited = form("/p/b.cpp", function("Car::go", body="drive"))
    with GraphStore(path) as store:
        fill(store)
        assert store.put("b", "/p/b.cpp", b"state 2", whole(HEADER, edited), [edited])
        assert OTHER.digest not in store.digests()
        assert HEADER.digest in store.digests()
        assert store.forget_all_but({"b"}) == 1
        assert store.digests() == {HEADER.digest, edited.digest}
        assert store.states() == {"b": b"state 2"}


def test_a_unit_with_a_form_that_is_gone_is_not_taken(path: Path) -> None:
    with GraphStore(path) as store:
        assert not store.put("a", "/p/a.cpp", b"state", whole(HEADER, SOURCE), [SOURCE])
        assert store.states() == {}
        assert store.digests() == set()


def test_two_hosts_at_once(path: Path) -> None:
    with GraphStore(path) as one, GraphStore(path) as two:
        fill(one)
        fill(two)
        assert names(one) == names(two)
        two.forget_all_but({"a"})
        assert list(one.states()) == ["a"]


WRITER = """
    import sys
    from pathlib import Path
    from relive.host.graph_store import GraphStore
    from tests.source_forms import class_, form, function, whole

    header = form("/p/h.hpp", class_("Car"))
    with GraphStore(Path(sys.argv[1])) as store:
        for number in range(40):
            unit = f"{number % 8}"
            source = form(f"/p/{unit}.cpp", function(f"f{number}_{sys.argv[2] if number > 30 else 0}", body="Car"))
            known = store.digests()
            assert store.put(unit, source.file, b"x", whole(header, source), [header, source]), number
            store.forget_all_but({str(n) for n in range(8)})
    """


def test_several_processes_write(path: Path) -> None:
    here = Path(__file__).parent.parent
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    writers = [subprocess.Popen([*command, str(n)], cwd=here, stderr=subprocess.PIPE) for n in range(4)]
    for writer in writers:
        _, words = writer.communicate(timeout=120)
        assert writer.returncode == 0, words.decode()
    with GraphStore(path) as store:
        graph = store.graph()
        assert len(store.states()) == 8
        assert len(graph.find("Car")) == 1
        assert len(graph) == 9


@pytest.mark.parametrize("damage", ["empty", "text", "half", "middle", "version", "tables"])
def test_a_broken_file_is_made_anew(path: Path, damage: str) -> None:
    with GraphStore(path) as store:
        fill(store)
    if damage in ("version", "tables"):
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 999" if damage == "version" else "DROP TABLE shows")
        connection.close()
    else:
        data = path.read_bytes()
        middle = data[:4096] + os.urandom(8192) + data[12288:]
        path.write_bytes(
            {"empty": b"", "text": b"no database" * 50, "half": data[: len(data) // 2], "middle": middle}[damage]
        )
    with GraphStore(path) as store:
        fill(store)
        assert sorted(names(store)) == ALL


def test_a_file_that_breaks_while_it_is_open_is_made_anew(path: Path) -> None:
    with GraphStore(path) as store:
        fill(store)
        path.write_bytes(b"somebody else's" * 3000)
        assert store.digests() == set()
        fill(store)
        assert sorted(names(store)) == ALL


def test_a_damaged_form_takes_its_units_with_it(path: Path) -> None:
    with GraphStore(path) as store:
        fill(store)
        with sqlite3.connect(path) as connection:
            (data,) = connection.execute("SELECT data FROM forms WHERE digest = ?", (OTHER.digest,)).fetchone()
            connection.execute("UPDATE forms SET data = ? WHERE digest = ?", (data[:-1] + b"?", OTHER.digest))
        connection.close()
        assert sorted(names(store)) == sorted(["Car", "drive", "drive", "main"])
        assert set(store.states()) == {"a"}, "it is read again"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        GraphStore(tmp_path / "file" / "project.sqlite")


def test_content_decides_what_a_file_is(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.c"
    file.write_text("int a;")
    os.utime(file, (1, 1))
    with GraphStore(path) as store:
        first = store.digest_of(str(file))
        assert store.digest_of(str(file)) == first
        os.utime(file, (5, 5))
        assert store.digest_of(str(file)) == first
        file.write_text("int b;")
        assert store.digest_of(str(file)) != first
        file.unlink()
        assert store.digest_of(str(file)) == b""


def test_names_that_are_no_text(path: Path) -> None:
    odd = "/p/\udcff.cpp"
    one: Form = form(odd, function("f"))
    with GraphStore(path) as store:
        assert store.put("a", odd, b"s", (Run(one.digest, 0, 1),), [one])
        assert store.units_of([odd]) == {"a"}
        assert store.graph().of_file(odd) == [0]


def test_projects_used_long_ago_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_store, "PROJECTS", 3)
    for number in range(6):
        with GraphStore(store_path(tmp_path, f"/p{number}/compile_commands.json")) as store:
            fill(store)
        os.utime(store.path, (number, number))
    with GraphStore(store_path(tmp_path, "/p9/compile_commands.json")):
        pass
    left = {path.name for path in (tmp_path / "graphs").glob("*.sqlite")}
    wanted = {store_path(tmp_path, f"/p{n}/compile_commands.json").name for n in (9, 5, 4)}
    assert left == wanted
