"""Names that compilers number are no identity: function-local statics by function and plain name, lambdas by body."""

from __future__ import annotations

from pathlib import Path

import pytest

from relive.diff.atoms import Atoms, Interner
from relive.diff.closures import Lambdas, match_lambdas
from relive.diff.compare import compare
from relive.diff.identity import Static, has_numbered, local_variables, rename_statics
from relive.elf.object import ElfObject
from tests.diff_objects import COMPILERS, OURS, compile_unit, names, summary
from tests.dwarf_objects import reader


def static(symbol: str, plain: str, owner: str = "f", path: tuple[int, ...] = (), ordinal: int = 0, type_: str = "int",
           ) -> Static:  # fmt: skip
    return Static(symbol.encode(), owner, path, plain, ordinal, type_)


def renamed(
    old: list[Static], new: list[Static], taken: set[str] | None = None
) -> tuple[dict[str, str], tuple[str, ...]]:
    names = {s.symbol for s in old} if taken is None else {name.encode() for name in taken}
    pairs, ambiguous = rename_statics(old, new, names)
    return {a.decode(): b.decode() for a, b in pairs.items()}, tuple(s.symbol.decode() for s in ambiguous)


# --- statics, the rules ----------------------------------------------------------------------------------------------


def test_what_did_not_move_is_not_renamed() -> None:
    assert renamed([static("n.0", "n")], [static("n.0", "n")]) == ({}, ())
    assert renamed([], []) == ({}, ())
    assert renamed([static("n.0", "n")], []) == ({}, ())


def test_a_new_one_in_front_shifts_the_others() -> None:
    old = [static("n.0", "n", "f"), static("n.1", "n", "g")]
    new = [static("n.0", "n", "e"), static("n.1", "n", "f"), static("n.2", "n", "g")]
    pairs, ambiguous = renamed(old, new)
    assert ambiguous == ()
    assert pairs["n.1"] == "n.0"
    assert pairs["n.2"] == "n.1"
    assert pairs["n.0"] not in {"n.0", "n.1", "n.2"}, "what is new has a name that nothing old has"


def test_a_removed_one_gives_its_number_away() -> None:
    old = [static("n.0", "n", "e"), static("n.1", "n", "f")]
    assert renamed(old, [static("n.0", "n", "f")]) == ({"n.0": "n.1"}, ())


def test_swapped_functions() -> None:
    old = [static("n.0", "n", "f"), static("n.1", "n", "g")]
    new = [static("n.0", "n", "g"), static("n.1", "n", "f")]
    assert renamed(old, new) == ({"n.0": "n.1", "n.1": "n.0"}, ())


def test_several_of_one_name_by_order_if_their_number_is_the_same() -> None:
    old = [static("n.0", "n", path=(0,)), static("n.1", "n", path=(1,))]
    new = [static("n.4", "n", path=(1,)), static("n.3", "n", path=(0,))]
    assert renamed(old, new) == ({"n.3": "n.0", "n.4": "n.1"}, ())


def test_several_of_one_name_else_by_type_else_not_at_all() -> None:
    old = [static("n.0", "n", path=(0,)), static("n.1", "n", path=(1,), type_="long")]
    new = [
        static("n.0", "n", path=(0,), type_="double"),
        static("n.1", "n", path=(1,)),
        static("n.2", "n", path=(2,), type_="long"),
    ]
    pairs, ambiguous = renamed(old, new)
    assert ambiguous == ()
    assert pairs["n.1"] == "n.0"
    assert pairs["n.2"] == "n.1"
    assert pairs["n.0"] not in {"n.0", "n.1"}
    twins = [static(f"n.{i}", "n", path=(i,)) for i in range(3)]
    _, ambiguous = renamed(twins[:2], twins)
    assert ambiguous == ("n.0", "n.1", "n.2")


def test_a_new_name_that_an_old_variable_has() -> None:
    pairs, _ = renamed([], [static("n.0", "n", "g")], {"n.0", "other"})
    assert set(pairs) == {"n.0"}
    assert pairs["n.0"] not in {"n.0", "other"}
    assert renamed([], [static("n.5", "n", "g")], {"n.0"}) == ({}, ())


# --- statics, of real compilers --------------------------------------------------------------------------------------

STATICS = """
int f(void) { static int count = 1; return count++; }
int g(void) { static int count = 2; static int other; return count++ + other++; }
int h(int x) { if (x) { static int count = 3; return count++; } static int count = 4; return count++; }
"""
IN_FRONT = "int e(void) { static int count = 100; return count++; }\n"


def statics_of(data: bytes) -> tuple[ElfObject, list[Static]]:
    obj = ElfObject.parse(data, "u.o")
    places = local_variables(obj)
    found = []
    for v in reader().read(data).variables:
        symbol = places.get((v.location.section, v.location.value))
        if v.owner and symbol is not None:
            found.append(Static(symbol, v.owner, v.block_path, v.plain, v.ordinal, v.type))
    return obj, found


def values(obj: ElfObject, statics: list[Static]) -> dict[bytes, int]:
    """Symbol → its initial value, which tells in this test which variable it is."""
    result = {}
    for s in statics:
        row = obj.symbol_names.index(s.symbol)
        section, at = int(obj.symbol_sections[row]), int(obj.symbols["value"][row])
        result[s.symbol] = int.from_bytes(obj.content(section)[at : at + 4], "little")
    return result


@pytest.mark.parametrize("flags", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", [*COMPILERS["c"], *COMPILERS["cpp"]])
def test_renumbered_statics_are_found_again(compiler: str, flags: str) -> None:
    edited = (IN_FRONT + STATICS).replace(
        "int g(void)", "int between(void) { static int other = 50; return other++; }\nint g(void)"
    )
    old, before = statics_of(compile_unit(compiler, STATICS, flags, "-g"))
    new, after = statics_of(compile_unit(compiler, edited, flags, "-g", *OURS))
    assert len(before) == 5
    assert len(after) == 7
    assert has_numbered(old)
    pairs, ambiguous = rename_statics(before, after, set(old.symbol_names))
    assert ambiguous == ()
    first, second = values(old, before), values(new, after)
    for symbol, value in second.items():
        name = pairs.get(symbol, symbol)
        if value in (50, 100):
            assert name not in first
        else:
            assert first[name] == value


@pytest.mark.parametrize("compiler", COMPILERS["c"])
def test_the_renamed_objects_compare(compiler: str) -> None:
    old, before = statics_of(compile_unit(compiler, STATICS, "-O0", "-g"))
    new, after = statics_of(compile_unit(compiler, IN_FRONT + STATICS, "-O0", "-g", *OURS))
    pairs, _ = rename_statics(before, after, set(old.symbol_names))
    interner = Interner()
    result = compare(Atoms(old, interner), Atoms(new, interner, pairs))
    assert set(summary(result)) == {"added"}
    assert "e" in names(result, result.added)
    assert len(result.added) == 2


def test_has_numbered() -> None:
    assert not has_numbered(
        ElfObject.parse(compile_unit("gcc", "static int plain; int f(void) { return plain++; }"), "u")
    )
    assert not has_numbered(ElfObject.parse(compile_unit("gcc", "int count; int f(void) { return 1; }"), "u"))
    twice = "int f(int x) { if (x) { static int n; return n++; } static int n; return n--; }"
    for compiler in (*COMPILERS["c"], *COMPILERS["cpp"]):
        assert has_numbered(ElfObject.parse(compile_unit(compiler, twice), "u"))
    once = "int f() { static int n; return n++; }"
    for compiler in ("gcc", *COMPILERS["cpp"]):
        assert has_numbered(ElfObject.parse(compile_unit(compiler, once), "u"))
    # clang writes `f.n`, which is not shifted by anything
    assert not has_numbered(ElfObject.parse(compile_unit("clang", once), "u"))


# --- lambdas ---------------------------------------------------------------------------------------------------------

LAMBDAS = """
int outside(int);
struct Stored { int (*call)(int); };
int first(int x) { auto a = [x](int y) { return outside(x + y); }; return a(1); }
int step(int x) {
  auto a = [x](int y) { return outside(x + y); };
  auto b = [x](int y) { return outside(x - y) * 2; };
  auto c = [x](int y) { return outside(y) + x * 7; };
  return a(1) + b(2) + c(3);
}
"""


def lambdas(compiler: str, before: str, after: str, flags: str = "-O0", changed: set[bytes] | None = None
            ) -> tuple[Atoms, Atoms, Lambdas]:  # fmt: skip
    interner = Interner()
    old = Atoms(ElfObject.parse(compile_unit(compiler, before, flags), "u.o"), interner)
    new = Atoms(ElfObject.parse(compile_unit(compiler, after, flags, *OURS), "u.o"), interner)
    return old, new, match_lambdas(old, new, changed or set())


def bodies(atoms: Atoms, renames: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
    """Name of each operator() in a function `step` → its code."""
    renames = renames or {}
    return {
        renames.get(name, name): atoms.content(atom)
        for name, atom in atoms.by_name.items()
        if b"4step" in name and b"clEi" in name
    }


@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_lambdas_that_did_not_move(compiler: str) -> None:
    old, new, result = lambdas(compiler, LAMBDAS, LAMBDAS)
    assert result == Lambdas({}, ())
    assert bodies(old) == bodies(new)
    assert len(bodies(old)) == 3


INSERTED = "  auto z = [x](int y) { return outside(x * y) + 100; };\n  auto b ="


@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_an_inserted_lambda_is_new_and_the_others_stay(compiler: str) -> None:
    after = LAMBDAS.replace("  auto b =", INSERTED).replace("return a(1) + b(2)", "return z(4) + a(1) + b(2)")
    old, new, result = lambdas(compiler, LAMBDAS, after)
    found = bodies(new, result.renames)
    assert len(found) == 4
    before = bodies(old)
    assert {name: code for name, code in found.items() if name in before} == before
    (fresh,) = set(found) - set(before)
    assert b"new" in fresh
    assert len(result.told) == 1
    assert "step" in result.told[0]


@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_a_lambda_in_another_function_shifts_nothing(compiler: str) -> None:
    after = LAMBDAS.replace("return a(1);", "auto q = [x](int y) { return x - y; }; return a(1) + q(2);")
    old, new, result = lambdas(compiler, LAMBDAS, after)
    assert bodies(new, result.renames) == bodies(old)


@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_swapped_lambdas_keep_their_bodies(compiler: str) -> None:
    lines = LAMBDAS.splitlines()
    a, b = (next(i for i, line in enumerate(lines) if line.startswith(f"  auto {n} ")) for n in "ab")
    lines[a], lines[b] = lines[b], lines[a]
    old, new, result = lambdas(compiler, LAMBDAS, "\n".join(lines))
    assert result.renames or compiler == "clang++"  # clang numbers them in the order of their use
    assert bodies(new, result.renames) == bodies(old)


@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_a_removed_lambda_gives_its_number_away(compiler: str) -> None:
    after = LAMBDAS.replace("  auto a = [x](int y) { return outside(x + y); };\n", "").replace("a(1) + b(2)", "b(2)")
    old, new, result = lambdas(compiler, LAMBDAS, after)
    found = bodies(new, result.renames)
    assert len(found) == 2
    assert found.items() <= bodies(old).items()


@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_one_edited_lambda_keeps_its_place(compiler: str) -> None:
    old, new, result = lambdas(compiler, LAMBDAS, LAMBDAS.replace("x * 7", "x * 8"))
    assert result == Lambdas({}, ())
    before, after = bodies(old), bodies(new)
    assert set(before) == set(after)
    assert sum(before[name] != after[name] for name in before) == 1


@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_other_captures_make_a_new_lambda(compiler: str) -> None:
    after = LAMBDAS.replace("auto c = [x](int y) { return outside(y) + x * 7; }",
                            "auto c = [x, &a](int y) { return outside(y) + a(x); }")  # fmt: skip
    _, new, _ = lambdas(compiler, LAMBDAS, after)
    (changed,) = [n for n, code in bodies(new).items() if n not in bodies(lambdas(compiler, LAMBDAS, LAMBDAS)[0])
                  or code != bodies(lambdas(compiler, LAMBDAS, LAMBDAS)[0])[n]]  # fmt: skip
    old, new, result = lambdas(compiler, LAMBDAS, after, changed={changed})
    assert b"new" in result.renames[changed]
    assert len(set(bodies(new, result.renames)) & set(bodies(old))) == 2


def test_lambdas_of_nothing(tmp_path: Path) -> None:
    empty = Atoms(ElfObject.empty("new"), Interner())
    assert match_lambdas(empty, empty, set()) == Lambdas({}, ())
