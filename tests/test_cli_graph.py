"""`relive graph` on the sample project of the CTwik document and on small ones: the four formats, the three sets."""

from __future__ import annotations

import json
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from relive.cli.main import main
from tests.small import build
from tests.source_units import CTWIK

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ctwik") / "ctwik"
    shutil.copytree(CTWIK, folder)
    subprocess.run(["make", "-s"], cwd=folder, check=True)
    return folder


@pytest.fixture
def sample(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(built)
    return built


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    got = main(["graph", *arguments])
    out, err = capsys.readouterr()
    assert got == status, err
    return out if status == 0 else err


def sets(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in text.splitlines()[1:]:
        step, _, _, name, *_ = line.split()
        found.setdefault(step, set()).add(name)
    return found


def test_the_five_components_of_the_document(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "car.cpp", "--symbol", "Car::getPrice")
    assert sets(text) == {
        "L1": {"Car::getPrice"},
        "L3": {"ModelDetails", "getModelDetails", "Car", "Product"},
    }
    assert text.splitlines()[0] == "Car::getPrice: 1 edited, 1 to be compiled again, 5 needed for that"


def test_the_four_components_of_the_document(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sets(run(capsys, "main.cpp", "--symbol", "main")) == {"L1": {"main"}, "L3": {"printf", "Car", "Product"}}


def test_a_symbol_by_its_line(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "car.cpp", "--symbol", "6") == run(capsys, "car.cpp", "--symbol", "getPrice")


def test_an_edited_class_reaches_all_that_see_it(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = sets(run(capsys, "car.hpp", "--symbol", "Car"))
    methods = {f"Car::{name}" for name in ("getPrice", "method1", "method2", "method500", "method658", "method1000")}
    assert found["L2"] == methods | {"main"}


def test_edges_both_ways(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "model_details.hpp")
    _, functions = text.split("getModelDetails\n", 1)
    assert text.splitlines()[0] == "model_details.hpp"
    assert "needs     ModelDetails  model_details.hpp:3" in functions
    assert "needed by Car::getPrice  car.cpp:4" in functions


def test_as_json(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "main.cpp", "--symbol", "main", "--format", "json"))
    names = {vertex["id"]: vertex["name"] for vertex in found["vertices"]}
    edges = {(names[a], names[b]) for a, b in found["red"]}
    assert edges == {("main", "Car"), ("main", "printf"), ("Car", "Product")}
    assert sorted(map(tuple, found["blue"])) == sorted((b, a) for a, b in found["red"])
    assert [names[v] for v in found["sets"]["needed"]] == ["printf", "Product", "Car", "main"]
    assert found["sets"]["doubts"] == []
    assert json.loads(run(capsys, "main.cpp", "--symbol", "main", "--json")) == found


def test_as_dot(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "main.cpp", "--format", "dot")
    assert text.startswith('digraph "main.cpp" {')
    assert text.count("color=red") == text.count("color=blue") == 2


def test_as_svg(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ElementTree.fromstring(run(capsys, "car.cpp", "--symbol", "Car::getPrice", "--format", "svg"))
    boxes = [group.find(f"{SVG}rect") for group in root.findall(f"{SVG}g")]
    assert len(boxes) == 5
    paths = [path.get("class") for path in root.findall(f"{SVG}path")]
    assert paths.count("red") == paths.count("blue") == 5
    places = []
    for box in boxes:
        assert box is not None
        x, y, width, height = (float(box.get(name, "")) for name in ("x", "y", "width", "height"))
        assert x >= 0
        assert x + width <= float(root.get("width", ""))
        assert y + height <= float(root.get("height", ""))
        places.append((x, y, x + width, y + height))
    for a in places:
        for b in places:
            assert a is b or a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], "boxes overlap"


def test_the_picture_of_the_page(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = CTWIK.parent.parent / "docs"
    assert run(capsys, "car.cpp", "--symbol", "Car::getPrice") in (page / "graph.md").read_text()
    assert run(capsys, "main.cpp", "--symbol", "main") in (page / "graph.md").read_text()
    assert run(capsys, "car.cpp", "--symbol", "Car::getPrice", "--format", "svg") == (page / "ctwik.svg").read_text()


def test_a_symbol_that_is_not_there(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = run(capsys, "car.cpp", "--symbol", "Car::getPrize", status=2)
    assert "did you mean Car::getPrice" in words


def test_a_file_that_is_not_there(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no file nix.cpp" in run(capsys, "nix.cpp", status=2)


def test_a_file_of_nobody(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no unit" in run(capsys, "Makefile", status=2)


def test_an_edit_is_seen_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = {"a.c": "int one(void) { return 1; }\nint two(void) { return one(); }\n", "m.c": "int main(void) {}\n"}
    build(tmp_path, source)
    file = tmp_path / "src" / "a.c"
    assert "needs     one" in run(capsys, str(file))
    file.write_text(file.read_text().replace("return one()", "return 1"))
    assert "needs" not in run(capsys, str(file)).replace("needs\n", "")


def test_a_header_that_many_include(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = {f"u{n}.c": f'#include "h.h"\nint f{n}(void) {{ return twice({n}); }}\n' for n in range(7)}
    build(
        tmp_path, {"h.h": "int twice(int);\n", **sources, "m.c": "int main(void) {}\nint twice(int x) { return x; }\n"}
    )
    header = str(tmp_path / "src" / "h.h")
    assert main(["graph", header]) == 0
    out, err = capsys.readouterr()
    assert out.count("f") < 7 * 3
    assert "3 of 7 units are not read yet" in err
    assert main(["graph", header, "--all"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert all(f" f{n}  " in out for n in range(7))
