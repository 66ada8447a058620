"""Where a unit lives in a linked program: every linker, PIE or not, units of one name, statics of one name. What is
found is compared with what the program itself says of its addresses."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from relive.diff.atoms import Atoms, Interner
from relive.diff.locate import Location, locate
from relive.elf.image import Image
from relive.elf.object import ElfObject
from tests.diff_objects import OURS
from tests.elf_programs import LINKERS, run

UTIL = r"""
#include <stdio.h>
static int counter = %(start)d; static _Thread_local int mine; static const int table[3] = {%(start)d, 2, 3};
static int pad%(start)d[%(start)d];
__attribute__((noinline)) static int helper(int x) { return x %(operator)s counter++ + mine++ + table[x & 1]; }
int public%(start)d(int x) { static int calls; pad%(start)d[0] = x; return helper(x) + ++calls; }
int unused%(start)d(int x) { return x * 1234; }
void report%(start)d(void) {
  printf("%(path)s counter %%p\n%(path)s helper %%p\n%(path)s table %%p\n%(path)s public%(start)d %%p\n",
         (void *)&counter, (void *)helper, (void *)table, (void *)public%(start)d);
}
"""
MAIN = r"""
#include <stdio.h>
extern char __ehdr_start[];
static int counter = 9;
int public3(int), public5(int); void report3(void), report5(void); int only_statics(void);
int main(int argc, char **argv) {
  printf("main counter %p\nbase - %p\n", (void *)&counter, (void *)__ehdr_start);
  report3(); report5();
  return public3(argc) + public5(argc) == 12345;
}
"""


@dataclass(frozen=True)
class Built:
    folder: Path
    image: Image
    said: dict[tuple[str, str], int]
    """(unit, name) → link-time address, as the running program prints it."""

    def locate(self, unit: str) -> Location | None:
        return locate(atoms_of(self.folder / f"{unit}.o"), self.image)


def atoms_of(path: Path) -> Atoms:
    return Atoms(ElfObject.parse(path.read_bytes(), path.name), Interner())


def write_sources(folder: Path) -> None:
    (folder / "one").mkdir(parents=True)
    (folder / "two").mkdir()
    (folder / "one" / "util.c").write_text(UTIL % {"start": 3, "operator": "+", "path": "one/util"})
    (folder / "two" / "util.c").write_text(UTIL % {"start": 5, "operator": "-", "path": "two/util"})
    (folder / "main.c").write_text(MAIN)


def build(folder: Path, linker: str, compiler: str, flags: tuple[str, ...], link: tuple[str, ...]) -> Built:
    write_sources(folder)
    for unit in ("one/util", "two/util", "main"):
        run(compiler, *flags, "-c", f"{unit}.c", "-o", f"{unit}.o", cwd=folder)
    objects = ["main.o", "one/util.o", "two/util.o"]
    run("gcc", f"-fuse-ld={linker}", *link, *objects, "-o", "program", cwd=folder)
    image = Image.parse((folder / "program").read_bytes(), "program")
    words = [line.split() for line in run(folder / "program").splitlines()]
    found = {(unit, name): int(address, 16) for unit, name, address in words}
    base = found.pop(("base", "-")) - image.load_range[0]
    return Built(folder, image, {key: address - base for key, address in found.items()})


WAYS = {
    "pie-O0": ("gcc", ("-O0", "-fPIE"), ("-pie",)),
    "nopie-O2": ("gcc", ("-O2", "-fno-pie"), ("-no-pie",)),
    "sections-gc": ("gcc", ("-O1", "-fPIE", *OURS), ("-pie", "-Wl,--gc-sections")),
    "clang": ("clang", ("-O1", "-fPIE", "-g"), ("-pie",)),
}


@pytest.fixture(params=[(linker, way) for linker in LINKERS for way in WAYS], ids="-".join, scope="module")
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    linker, way = request.param
    compiler, flags, link = WAYS[way]
    return build(tmp_path_factory.mktemp("locate") / "p", linker, compiler, flags, link)


def test_every_name_is_where_the_program_says(built: Built) -> None:
    checked = 0
    for unit in ("main", "one/util", "two/util"):
        location = built.locate(unit)
        assert location is not None
        assert location.differing == ()
        assert not location.ambiguous
        for (where, name), address in built.said.items():
            if where == unit:
                assert location.addresses[name.encode()] == address, (unit, name)
                checked += 1
    assert checked == 9


def test_statics_of_one_name_are_not_mixed_up(built: Built) -> None:
    one, two, main = (built.locate(unit) for unit in ("one/util", "two/util", "main"))
    assert one is not None
    assert two is not None
    assert main is not None
    assert len({location.addresses[b"counter"] for location in (one, two, main)}) == 3
    assert one.addresses[b"helper"] != two.addresses[b"helper"]
    assert {one.addresses[b"mine"], two.addresses[b"mine"]} == {0, 4}, "offsets in the thread-local template"
    assert not {n for n in one.addresses if n.endswith(b"5")}
    statics = [n for n in one.addresses if n.startswith((b"calls.", b"public3.calls"))]
    assert len(statics) == 1


def test_what_the_linker_dropped_is_missing(built: Built) -> None:
    location = built.locate("one/util")
    assert location is not None
    kept = built.image.find_any(b"unused3") != []
    assert (b"unused3" in location.addresses) == kept


def test_another_object_is_not_part_of_the_program(built: Built, tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text("static int counter; int elsewhere(int x) { return x + counter++; }")
    run("gcc", "-O0", "-c", "other.c", "-o", "other.o", cwd=tmp_path)
    assert locate(atoms_of(tmp_path / "other.o"), built.image) is None


def test_an_object_newer_than_the_program_differs(built: Built, tmp_path: Path) -> None:
    write_sources(tmp_path / "p")
    source = tmp_path / "p" / "one" / "util.c"
    command = _command_of(built)
    for before, after, name in (
        ("x * 1234", "x * 1235", b"unused3"),
        ("return x +", "return x -", b"helper"),
        ("return x +", "return x * 3 +", b"helper"),
        ("return helper(x)", "return 7 + helper(x)", b"public3"),
    ):
        source.write_text((UTIL % {"start": 3, "operator": "+", "path": "one/util"}).replace(before, after))
        run(*command, "-c", "util.c", "-o", "util.o", cwd=source.parent)
        location = locate(atoms_of(source.parent / "util.o"), built.image)
        assert location is not None
        kept = built.image.find_any(name) != []
        assert (name in location.differing) == kept


def _command_of(built: Built) -> tuple[str, ...]:
    """The compiler and flags that made the program: they are told by its objects' sections."""
    comment = (built.folder / "main.o").read_bytes()
    obj = ElfObject.parse(comment, "main.o")
    if b"clang" in obj.content(obj.section_names.index(".comment")):
        return ("clang", *WAYS["clang"][1])
    if ".text.main" in obj.section_names or ".text.startup.main" in obj.section_names:
        return ("gcc", *WAYS["sections-gc"][1])
    return ("gcc", *WAYS["pie-O0" if built.image.is_pie_or_so else "nopie-O2"][1])


# --- particular units, with the default linker -----------------------------------------------------------------------


def link_units(
    folder: Path, units: dict[str, str], *flags: str, compiler: str = "gcc", link: tuple[str, ...] = ()
) -> Image:
    """Compiles and links sources by path; objects lie beside them."""
    objects = []
    for path, text in units.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        output = Path(path).with_suffix(".o")
        subprocess.run(
            [compiler, *flags, "-c", Path(path).name, "-o", output.name], cwd=(folder / path).parent, check=True
        )
        objects.append(str(output))
    run(compiler, *link, *objects, "-o", "program", cwd=folder)
    return Image.parse((folder / "program").read_bytes(), "program")


REGISTERED = """static int value = %d; static void before(void) __attribute__((constructor));
static void before(void) { value += %d; }"""


def test_a_unit_of_nothing_but_statics(tmp_path: Path) -> None:
    units = {"a/reg.c": REGISTERED % (1, 2), "b/reg.c": REGISTERED % (1, 3), "main.c": "int main(void) { return 0; }"}
    image = link_units(tmp_path, units, "-O0")
    one, two = (locate(atoms_of(tmp_path / f"{d}/reg.o"), image) for d in "ab")
    assert one is not None
    assert two is not None
    assert not one.ambiguous
    assert not two.ambiguous
    assert one.addresses[b"before"] != two.addresses[b"before"]
    assert one.differing == two.differing == ()


def test_units_that_cannot_be_told_apart_are_ambiguous(tmp_path: Path) -> None:
    units = {"a/reg.c": REGISTERED % (1, 2), "b/reg.c": REGISTERED % (1, 2), "main.c": "int main(void) { return 0; }"}
    image = link_units(tmp_path, units, "-O0")
    for directory in "ab":
        location = locate(atoms_of(tmp_path / f"{directory}/reg.o"), image)
        assert location is not None
        assert location.ambiguous


INLINE = """
template <class T> struct Box { static int count; __attribute__((noinline)) int get(T x) { return ++count + x; } };
template <class T> int Box<T>::count = 4;
inline __attribute__((noinline)) int shared(int x) { static int seen; return x + seen++; }
"""


def test_weak_functions_live_where_the_linker_kept_them(tmp_path: Path) -> None:
    units = {
        "a.cpp": INLINE + "int a(int x) { return Box<int>().get(x) + shared(x); }",
        "b.cpp": INLINE + "int b(int x) { return shared(x) + Box<int>().get(x); }",
        "main.cpp": "int a(int); int b(int); int main() { return a(1) + b(2); }",
    }
    image = link_units(tmp_path, units, "-O0", compiler="g++")
    a, b = (locate(atoms_of(tmp_path / f"{unit}.o"), image) for unit in "ab")
    assert a is not None
    assert b is not None
    for name in (b"_Z6sharedi", b"_ZN3BoxIiE3getEi", b"_ZN3BoxIiE5countE", b"_ZZ6sharediE4seen"):
        (row,) = image.find_any(name)
        assert a.addresses[name] == b.addresses[name] == int(image.symbols.value[row])
    assert b"_Z1ai" in a.addresses
    assert b"_Z1bi" not in a.addresses
    assert a.differing == b.differing == ()


def test_a_unit_of_nothing_but_templates(tmp_path: Path) -> None:
    units = {
        "t.cpp": INLINE + "template struct Box<long>;",
        "main.cpp": INLINE + "extern template struct Box<long>; int main() { return Box<long>().get(3); }",
    }
    image = link_units(tmp_path, units, "-O0", compiler="g++")
    location = locate(atoms_of(tmp_path / "t.o"), image)
    assert location is not None
    assert b"_ZN3BoxIlE3getEl" in location.addresses


def test_hidden_functions_that_became_local(tmp_path: Path) -> None:
    units = {
        "a.c": '__attribute__((visibility("hidden"))) int inner(int x) { return x + 1; }'
        "int a(int x) { return inner(x); }",
        "main.c": "int a(int); int main(void) { return a(3); }",
    }
    for linker in LINKERS:
        image = link_units(tmp_path, units, "-O0", "-fPIC", link=("-shared", f"-fuse-ld={linker}"))
        location = locate(atoms_of(tmp_path / "a.o"), image)
        assert location is not None
        (row,) = image.find_any(b"inner")
        assert location.addresses[b"inner"] == int(image.symbols.value[row])


def test_a_variable_of_another_size_was_not_linked_from_this(tmp_path: Path) -> None:
    image = link_units(tmp_path, {"a.c": "int array[4] = {1}; int main(void) { return array[1]; }"}, "-O0")
    (tmp_path / "a.c").write_text("int array[5] = {1}; int main(void) { return array[1]; }")
    run("gcc", "-O0", "-c", "a.c", "-o", "a.o", cwd=tmp_path)
    location = locate(atoms_of(tmp_path / "a.o"), image)
    assert location is not None
    assert b"array" in location.differing


def test_a_librarys_variable_copied_into_the_program_places_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "lib.c").write_text(
        "int exported = 5; int neighbour = 6; int get(void) { return exported + neighbour; }"
    )
    run("gcc", "-O0", "-fPIC", "-c", "lib.c", "-o", "lib.o", cwd=tmp_path)
    run("gcc", "-shared", "lib.o", "-o", "libl.so", cwd=tmp_path)
    main = "extern int exported; int get(void); int main(void) { return exported + get(); }"
    link = ("-no-pie", "-L.", "-ll", "-Wl,-rpath,.")
    (tmp_path / "main.c").write_text(main)
    run("gcc", "-O0", "-fno-pie", "-c", "main.c", "-o", "main.o", cwd=tmp_path)
    run("gcc", *link[:1], "main.o", *link[1:], "-o", "program", cwd=tmp_path)
    program = Image.parse((tmp_path / "program").read_bytes(), "program")
    library = Image.parse((tmp_path / "libl.so").read_bytes(), "libl.so")
    assert program.copied
    assert locate(atoms_of(tmp_path / "lib.o"), program) is None
    found = locate(atoms_of(tmp_path / "lib.o"), library)
    assert found is not None
    assert {b"exported", b"neighbour", b"get"} <= set(found.addresses)


def test_an_empty_object_is_nowhere(tmp_path: Path) -> None:
    image = link_units(tmp_path, {"main.c": "int main(void) { return 0; }", "empty.c": "typedef int nothing;"}, "-O0")
    assert locate(atoms_of(tmp_path / "empty.o"), image) is None
    assert locate(Atoms(ElfObject.empty("new"), Interner()), image) is None


@pytest.mark.parametrize("linker", LINKERS)
def test_a_static_ifunc_is_called_through_a_stub(tmp_path: Path, linker: str) -> None:
    source = """static int plain(int x) { return x + %d; } static int (*resolve(void))(int) { return plain; }
    static int chosen(int) __attribute__((ifunc("resolve"))); int public%d(int x) { return chosen(x) + 1; }"""
    units = {
        "a/same.c": source % (1, 1),
        "b/same.c": source % (2, 2),
        "main.c": "int public1(int), public2(int); int main(void) { return public1(0) + public2(0); }",
    }
    image = link_units(tmp_path, units, "-O0", *OURS, link=(f"-fuse-ld={linker}",))
    one, two = (locate(atoms_of(tmp_path / f"{d}/same.o"), image) for d in "ab")
    assert one is not None
    assert two is not None
    assert one.differing == two.differing == ()
    assert not one.ambiguous
    assert not two.ambiguous
    assert one.addresses[b"resolve"] != two.addresses[b"resolve"]
