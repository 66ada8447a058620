"""Images from disk: the cache is an accelerator and nothing else, whatever state it is in."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from relive.elf.image import Image, StrippedError, SymbolTable
from relive.errors import FormatError
from relive.host import images
from relive.host.images import load_image
from tests.elf_programs import run

SOURCE = "static int hidden = 5;\nint twice(int x) { return 2 * x + hidden; }\nint main(void) { return twice(1); }\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return build(tmp_path, "program", SOURCE)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each index that had to be built."""
    seen: list[str] = []
    original = SymbolTable.build_index

    def build_index(self: SymbolTable) -> object:
        seen.append("built")
        return original(self)

    monkeypatch.setattr(SymbolTable, "build_index", build_index)
    return seen


def build(directory: Path, name: str, source: str, *flags: str) -> Path:
    (directory / f"{name}.c").write_text(source)
    run("gcc", "-g", "-O0", *flags, f"{name}.c", "-o", name, cwd=directory)
    return directory / name


def answers(image: Image) -> tuple[object, ...]:
    row = image.find_any(b"twice")[0]
    start = int(image.symbols.value[row])
    code = image.read(start, int(image.symbols.size[row]))
    return (row, start, code, image.find_any(b"hidden"), image.functions_at(start), image.symbol_covering(start + 3))


def index_files(cache: Path) -> list[Path]:
    return sorted((cache / "images").iterdir())


def test_cached_index_gives_the_same_answers(program: Path, cache: Path, builds: list[str]) -> None:
    cold = answers(load_image(program, cache))
    assert builds == ["built"]
    assert answers(load_image(str(program), cache)) == cold
    assert builds == ["built"]
    plain = Image.parse(program.read_bytes(), "plain")
    assert answers(plain) == cold


def test_a_copy_shares_the_index_and_another_program_does_not(
    program: Path, cache: Path, builds: list[str], tmp_path: Path
) -> None:
    load_image(program, cache)
    shutil.copy(program, tmp_path / "copy")
    load_image(tmp_path / "copy", cache)
    assert len(builds) == 1
    other = build(tmp_path, "other", SOURCE.replace("hidden", "veiled"))
    assert load_image(other, cache).find_any(b"veiled")
    assert len(builds) == 2


def test_stripping_locals_keeps_the_build_id_but_not_the_index(program: Path, cache: Path) -> None:
    before = load_image(program, cache)
    run("strip", "-x", program)
    after = load_image(program, cache)
    assert after.build_id == before.build_id
    assert before.find_any(b"hidden")
    assert not after.find_any(b"hidden")
    assert after.find_any(b"twice")


def test_fixed_build_id_is_not_trusted_alone(tmp_path: Path, cache: Path) -> None:
    flag = "-Wl,--build-id=0x0123456789abcdef0123456789abcdef01234567"
    first = build(tmp_path, "first", SOURCE, flag)
    second = build(tmp_path, "second", SOURCE.replace("twice", "thrce"), flag)
    assert load_image(first, cache).build_id == load_image(second, cache).build_id
    assert load_image(second, cache).find_any(b"thrce")
    assert load_image(first, cache).find_any(b"twice")


def test_without_build_id(tmp_path: Path, cache: Path, builds: list[str]) -> None:
    program = build(tmp_path, "program", SOURCE, "-Wl,--build-id=none")
    image = load_image(program, cache)
    assert image.build_id == b""
    load_image(program, cache)
    assert len(builds) == 1
    assert load_image(program, cache).find_any(b"twice")


@pytest.mark.parametrize("how", ["empty", "short", "noise", "one bit", "wrong length", "old version"])
def test_a_damaged_cache_file_is_built_again(program: Path, cache: Path, builds: list[str], how: str) -> None:
    expected = answers(load_image(program, cache))
    (file,) = index_files(cache)
    good = file.read_bytes()
    bad = {
        "empty": b"",
        "short": good[:40],
        "noise": os.urandom(len(good)),
        "one bit": good[:-9] + bytes([good[-9] ^ 1]) + good[-8:],
        "wrong length": good + b"\0",
        "old version": b"relive:0" + good[8:],
    }[how]
    file.write_bytes(bad)
    assert answers(load_image(program, cache)) == expected
    assert len(builds) == 2
    assert file.read_bytes() == good, "and mended"


def test_an_index_under_a_wrong_name_is_not_used(program: Path, cache: Path, tmp_path: Path) -> None:
    load_image(program, cache)
    (mine,) = index_files(cache)
    other = build(tmp_path, "other", SOURCE + "int more(void) { return 1; }\n")
    load_image(other, cache)
    theirs = next(f for f in index_files(cache) if f != mine)
    shutil.copy(theirs, mine)
    assert answers(load_image(program, cache)) == answers(Image.parse(program.read_bytes(), "x"))


def test_an_unusable_cache_directory_costs_only_time(program: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for cache in (tmp_path / "file", Path("/proc/nowhere"), Path("/dev/full")):
        assert load_image(program, cache).find_any(b"twice")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_read_only_cache_directory(program: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # permission bits do not stop root, under whom these tests may run
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    assert load_image(program, cache).find_any(b"twice")
    assert index_files(cache) == []


def test_a_full_disk_leaves_nothing_behind(program: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert load_image(program, cache).find_any(b"twice")
    assert index_files(cache) == []


def test_many_readers_and_writers_at_once(program: Path, cache: Path) -> None:
    expected = answers(load_image(program, cache))
    wrong = []

    def work() -> None:
        for _ in range(20):
            if answers(load_image(program, cache)) != expected:
                wrong.append(1)
            for file in index_files(cache):
                file.unlink(missing_ok=True)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    load_image(program, cache)
    assert [f.suffix for f in index_files(cache)] == [".index"]


def test_old_indexes_are_dropped(program: Path, cache: Path) -> None:
    directory = cache / "images"
    directory.mkdir(parents=True)
    for k in range(images._KEEP + 10):
        file = directory / f"{k}.index"
        file.touch()
        os.utime(file, (k, k))
    load_image(program, cache)
    names = {f.name for f in index_files(cache)}
    assert len(names) == images._KEEP
    assert f"{images._KEEP + 9}.index" in names
    assert "0.index" not in names


def test_the_image_survives_what_happens_to_the_file(program: Path, cache: Path) -> None:
    image = load_image(program, cache)
    expected = answers(image)
    with open(program, "r+b") as file:
        file.truncate(64)
    assert answers(image) == expected


def test_debug_sections_are_not_read(program: Path, cache: Path) -> None:
    image = load_image(program, cache)
    debug = image.elf.section_named(".debug_info")
    assert debug is not None
    assert program.read_bytes()[debug.offset : debug.offset + debug.size].strip(b"\0")
    assert bytes(image.elf.content(debug)) == bytes(debug.size), "what is not read stays zero"


def test_a_file_that_changes_while_it_is_read(program: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.preadv
    calls = []

    def changing(fd: int, buffers: list[memoryview], offset: int) -> int:
        calls.append(offset)
        os.utime(program, ns=(len(calls), len(calls)))
        return original(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", changing)
    with pytest.raises(FormatError, match="changes while it is read"):
        load_image(program, cache)


def test_a_file_that_shrinks_while_it_is_read(program: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    with pytest.raises(FormatError, match="changes while it is read"):
        load_image(program, cache)


def test_what_cannot_be_loaded_says_why(tmp_path: Path, cache: Path, program: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n" + "# long enough to be looked at\n" * 10)
    (tmp_path / "empty").touch()
    for path, words in (
        (tmp_path / "missing", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "script", "not an ELF file"),
        (tmp_path / "empty", "not an ELF file"),
        (Path("/dev/null"), "not an ELF file"),
    ):
        with pytest.raises(FormatError, match=words):
            load_image(path, cache)
    run("strip", program)
    with pytest.raises(StrippedError):
        load_image(program, cache)
    assert load_image(program, cache, allow_stripped=True).needed() == ["libc.so.6"]


def test_a_hundred_thousand_symbols(tmp_path: Path, cache: Path) -> None:
    count = 100_000
    lines = [".text"]

    def name_of(k: int) -> str:
        return f"_ZN7project6moduleIiE{k % 97}function_with_a_long_name_{k:07}EPKcRKSt6vectorIiSaIiEE"

    for k in range(count):
        name = name_of(k)
        lines += [*([f".globl {name}"] if k % 3 else []), f".type {name},@function", f"{name}: ret", f".size {name},1"]
    (tmp_path / "big.s").write_text("\n".join(lines) + '\n.section .note.GNU-stack,"",@progbits\n')
    subprocess.run(["as", "big.s", "-o", "big.o"], cwd=tmp_path, check=True)
    subprocess.run(["ld", "-shared", "big.o", "-o", "big.so"], cwd=tmp_path, check=True)
    for _ in range(2):
        image = load_image(tmp_path / "big.so", cache)
        assert len(image.symbols) > count
        for k in (0, 1, 49_999, 99_998, 99_999):
            wanted = name_of(k).encode()
            (row,) = image.find_any(wanted)
            assert image.symbols.name(row) == wanted
            assert image.symbol_covering(int(image.symbols.value[row])) == row
            assert image.find_global(wanted) == ([row] if k % 3 else [])
