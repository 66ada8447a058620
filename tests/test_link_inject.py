"""File surgery by itself: linked files of several linkers, tables that grow, what cannot be done."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from relive.elf import constants as c
from relive.elf.headers import ElfFile, parse_elf
from relive.elf.image import Image
from relive.elf.inject import Addition, NewSymbol, Skeleton, apply, free_address, rewrite, skeleton
from relive.elf.inject_dynamic import NewImport, exported, grow
from relive.errors import FormatError
from tests import quick_programs as programs
from tests import small
from tests.test_build_quick import edit, output, quick

LINKERS = [name for name in ("bfd", "gold", "lld", "mold") if shutil.which(f"ld.{name}")]
PAGE = 4096
RETURN_42 = b"\xb8\x2a\x00\x00\x00\xc3"


def linked(folder: Path, *flags: str, source: str = "int main(void) { return 7; }\n") -> Path:
    (folder / "main.c").write_text(source)
    program = folder / "program"
    subprocess.run(["gcc", "-g", *flags, "-o", str(program), str(folder / "main.c")], check=True)
    return program


def returning_42(elf: ElfFile, image: Image, **more: object) -> Addition:
    """main jumps to new code that returns 42."""
    (row,) = image.find_any(b"main")
    home, base = int(image.symbols.value[row]), free_address(elf)
    jump = b"\xe9" + struct.pack("<i", base - home - 5)
    return Addition(
        data_base=base, data=b"", data_memory=0, code_base=base, code=RETURN_42,
        parts=((".relive.text", base, len(RETURN_42)),), stores=((home, jump),), identity=b"x" * 20,
        renewed={row: (base, len(RETURN_42))}, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def written(program: Path, addition: Addition, elf: ElfFile, frame: Skeleton | None = None) -> Path:
    frame = frame or skeleton(elf, {})
    new = program.with_name("new")
    new.write_bytes(apply(program.read_bytes(), frame, rewrite(elf, addition, frame)))
    new.chmod(0o755)
    return new


def status(program: Path) -> int:
    return subprocess.run([str(program)], check=False).returncode


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("flags", [(), ("-no-pie", "-fno-pie"), ("-static",), ("-static-pie",)], ids=" ".join)
def test_new_code_in_files_of_all_linkers(linker: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    if linker == "gold" and "-static-pie" in flags:
        pytest.skip("gold cannot link it")
    program = linked(tmp_path, f"-fuse-ld={linker}", *flags)
    image = Image.parse(program.read_bytes(), "program")
    new = written(program, returning_42(image.elf, image), image.elf)
    assert status(new) == 42
    again = Image.parse(new.read_bytes(), "new")
    assert again.read(free_address(image.elf), 6) == RETURN_42
    (row,) = again.find_any(b"main")
    assert int(again.symbols.value[row]) == free_address(image.elf)
    assert not image.build_id or again.build_id != image.build_id
    assert len(again.build_id) == len(image.build_id)
    stripped, copied = tmp_path / "stripped", tmp_path / "copied"
    for words in (["strip", str(new), "-o", str(stripped)], ["objcopy", str(new), str(copied)]):
        assert not subprocess.run(words, capture_output=True, text=True, check=True).stderr
    assert status(stripped) == status(copied) == 42


@pytest.mark.parametrize("linker", LINKERS)
def test_whole_way_with_all_linkers(linker: str, tmp_path: Path, shared_cache: Path) -> None:
    before, after = programs.CXX_CASES["throw_through"]
    outputs = []
    for number, text in enumerate((before, after)):
        sources = {"main.cpp": programs.CXX_MAIN, "unit.cpp": text}
        program = small.build(tmp_path / str(number), sources, compiler="g++", link=(f"-fuse-ld={linker}",))
        if number == 0:
            edit(program, unit__cpp=after)
            built = quick(program, shared_cache, tmp_path / "work")
            assert built.status == "applied", [f"{r.subject}: {r.reason}" for r in built.refusals]
        outputs.append(output(program))
    assert outputs[0] == outputs[1]


def test_room_that_was_too_small_moves_a_section(tmp_path: Path) -> None:
    program = linked(tmp_path)
    image = Image.parse(program.read_bytes(), "program")
    long = NewSymbol(b"n" * 5000, free_address(image.elf), 1, c.STB_LOCAL << 4 | c.STT_FUNC)
    addition = returning_42(image.elf, image, symbols=(long,), debug={".debug_str": b"word\0" * 900})
    new = written(program, addition, image.elf)
    again = Image.parse(new.read_bytes(), "new")
    assert status(new) == 42
    assert len(again.find_any(long.name)) == 1
    strings = again.elf.section_named(".debug_str")
    was = image.elf.section_named(".debug_str")
    assert strings is not None
    assert was is not None
    assert bytes(again.elf.content(strings)) == bytes(image.elf.content(was)) + b"word\0" * 900


def test_local_symbols_stay_in_front(tmp_path: Path) -> None:
    program = linked(tmp_path)
    image = Image.parse(program.read_bytes(), "program")
    base = free_address(image.elf)
    symbols = tuple(NewSymbol(b"local%d" % n, base, 1, c.STB_LOCAL << 4 | c.STT_FUNC) for n in range(40))
    symbols += (NewSymbol(b"visible", base, 1, c.STB_GLOBAL << 4 | c.STT_FUNC),)
    new = written(program, returning_42(image.elf, image, symbols=symbols), image.elf)
    again = Image.parse(new.read_bytes(), "new")
    bindings = again.symbols.binding.tolist()
    assert all(binding == c.STB_LOCAL for binding in bindings[: again.symbols.first_global])
    assert all(binding != c.STB_LOCAL for binding in bindings[again.symbols.first_global :])
    names = sorted(again.symbols.name(row) for row in range(len(again.symbols)))
    before = [image.symbols.name(row) for row in range(len(image.symbols))]
    assert names == sorted([*before, *(s.name for s in symbols)])


def test_import_gets_the_version_that_the_library_gives(tmp_path: Path) -> None:
    program = linked(tmp_path)
    libc = Path(subprocess.run(["gcc", "-print-file-name=libc.so.6"], capture_output=True, text=True).stdout.strip())
    found = exported(parse_elf(libc.read_bytes(), "libc"), [b"puts", b"memcpy", b"pthread_create", b"no_such_name"])
    assert set(found) == {b"puts", b"memcpy", b"pthread_create"}
    assert found[b"memcpy"].version == b"GLIBC_2.14"
    image = Image.parse(program.read_bytes(), "program")
    imports = tuple(NewImport(n, c.STT_FUNC, b"libc.so.6", e.version) for n, e in found.items())
    new = written(program, returning_42(image.elf, image, imports=imports), image.elf)
    assert status(new) == 42
    told = subprocess.run(["readelf", "-W", "--dyn-syms", str(new)], capture_output=True, text=True, check=True)
    for name, one in found.items():
        assert f"{name.decode()}@{one.version.decode()}" in told.stdout
    assert not told.stderr
    assert subprocess.run(["readelf", "-VW", str(new)], capture_output=True, text=True, check=True).stderr == ""


def test_static_program_imports_nothing(tmp_path: Path) -> None:
    image = Image.parse(linked(tmp_path, "-static").read_bytes(), "program")
    with pytest.raises(FormatError, match="imports nothing"):
        grow(image.elf, [NewImport(b"puts", c.STT_FUNC, b"libc.so.6", b"GLIBC_2.2.5")])


def test_emitted_relocations_would_go_stale(tmp_path: Path) -> None:
    image = Image.parse(linked(tmp_path, "-Wl,--emit-relocs").read_bytes(), "program")
    with pytest.raises(FormatError, match="emit-relocs"):
        rewrite(image.elf, returning_42(image.elf, image))


def test_zero_initialised_memory_has_no_bytes_to_change(tmp_path: Path) -> None:
    image = Image.parse(linked(tmp_path, source="int z[100]; int main(void) { return z[0]; }").read_bytes(), "program")
    (row,) = image.find_any(b"z")
    addition = returning_42(image.elf, image)
    stores = (*addition.stores, (int(image.symbols.value[row]), b"\1"))
    with pytest.raises(FormatError, match="zero-initialised"):
        rewrite(image.elf, replace(addition, stores=stores))
