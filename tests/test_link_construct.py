"""Constructors of new variables run once; those of living variables never again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from relive.arch import x86_64
from relive.diff.atoms import Kind
from relive.link.construct import constructed, plan_construction
from relive.link.model import LinkUnit
from relive.session.initialisers import initialiser_blocks
from tests.dwarf_objects import reader
from tests.link_objects import FAR, Bench, codes, placed

CLASS = "struct Noted { int n; Noted(int); ~Noted(); };\n"
USE = "int use() { return 0%s; }\n"
GCC_LEAF = "_Z41__static_initialization_and_destruction_0ii"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    outside = (b"_ZN5NotedC1Ei", b"_ZN5NotedD1Ev", b"__cxa_atexit", b"__tls_get_addr", b"__cxa_thread_atexit")
    bench.process.outside |= {name: FAR + 16 * i for i, name in enumerate(outside)}
    bench.process.names[b"__dso_handle"] = 0x5555_5555_8000
    return bench


def unit(bench: Bench, old: str, new: str, compiler: str, *flags: str) -> LinkUnit:
    return bench.unit(CLASS + old, CLASS + new, *flags, compiler=compiler)


def called(bench: Bench, link_unit: LinkUnit) -> set[str]:
    """Names that the code that would run now refers to, besides the runtime's."""
    linked = bench.link(link_unit)
    atoms = link_unit.new
    found: set[str] = set()
    queue = [atom for _, atom in linked.selection.initialisers]
    seen: set[int] = set()
    while queue:
        atom = queue.pop()
        if atom in seen:
            continue
        seen.add(atom)
        for row in atoms.row_range(atom):
            target = int(atoms.target[row])
            name = atoms.names[target] if target >= 0 else atoms.object.symbol_names[atoms.relocations["symbol"][row]]
            found_atom = target if target >= 0 else atoms.by_name.get(name or b"", -1)
            if found_atom >= 0 and atoms.kind[found_atom] == Kind.TEXT:
                queue.append(found_atom)
            elif name is not None:
                found.add(name.decode())
    return found


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_nothing_new_constructs_nothing(bench: Bench, compiler: str) -> None:
    text = "Noted one(%s); Noted two(2);" + USE % " + one.n"
    for value in "15":
        one = unit(bench, text % "1", text % value, compiler)
        prepared = bench.prepare(one)
        assert prepared.refusals == ()
        assert prepared.selection.initialisers == []
        assert not any("init" in name.lower() for name in placed(prepared.selection))
        bench.process.names.clear()


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_all_variables_are_new(bench: Bench, compiler: str) -> None:
    one = unit(bench, USE % "", "Noted one(1); static Noted two(2);" + USE % " + one.n + two.n", compiler)
    linked = bench.link(one)
    assert linked.patch.initialisers
    assert all(at in linked.functions.values() for at in linked.patch.initialisers)
    assert {"one", "_ZL3two"} <= placed(linked.selection)
    assert {"one", "_ZL3two"} <= called(bench, one)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_a_registrar_that_nobody_mentions_is_constructed(bench: Bench, compiler: str) -> None:
    one = unit(bench, USE % "", "namespace { Noted registrar(1); }" + USE % "", compiler)
    linked = bench.link(one)
    assert linked.patch.initialisers
    assert "_ZN12_GLOBAL__N_19registrarE" in placed(linked.selection)


def test_clang_runs_only_what_is_new(bench: Bench) -> None:
    text = "Noted one(1);%s Noted two(2);" + USE % " + one.n"
    one = unit(bench, text % "", text % " Noted between(3);", "clang++")
    linked = bench.link(one)
    assert len(linked.patch.initialisers) == 1
    assert "between" in called(bench, one)
    assert not {"one", "two"} & called(bench, one)
    assert not {"one", "two"} & placed(linked.selection)


MIXED = "Noted one(1);\nNoted two(2);\n%s\n" + USE % " + one.n"


def test_gccs_one_function_of_old_and_new_is_refused_when_it_cannot_be_divided(bench: Bench) -> None:
    one = unit(bench, MIXED % "", MIXED % "Noted three(3);", "g++")
    assert codes(bench.prepare(one)) == [("initialisers-mixed", GCC_LEAF)]


def test_gccs_one_function_divided(bench: Bench) -> None:
    one = unit(bench, MIXED % "", MIXED % "Noted three(3);", "g++", "-g")
    leaf = one.new.by_name[GCC_LEAF.encode()]
    assert constructed(one.new, leaf) == {b"one", b"two", b"three"}
    blocks = initialiser_blocks(reader().read(one.new.object.data), one.new, leaf, {b"three"})
    assert blocks is not None
    linked = bench.link(replace(one, initialiser_blocks={GCC_LEAF.encode(): blocks}))
    skips = linked.selection.skips[(0, leaf)]
    assert len(skips) == 2
    start = linked.functions[GCC_LEAF]
    for low, high in skips:
        (jump,) = linked.disassemble(start + low, 5)
        assert jump.split()[0] == "jmp"
        assert jump.split()[1] == f"{start + high:x}"
        assert linked.read(start + low + 5, high - low - 5) == b"\x90" * (high - low - 5)
    reached = [at for at in linked.referred(GCC_LEAF) if at in (linked.home("one"), linked.home("two"))]
    assert reached == []
    assert linked.address("three") in linked.referred(GCC_LEAF)
    assert not {"one", "two"} & placed(linked.selection)


def test_blocks_of_other_variables_do_not_matter_to_a_plan(bench: Bench) -> None:
    one = unit(bench, MIXED % "", MIXED % "Noted three(3);", "g++")
    atoms = one.new
    new, live = {atoms.by_name[b"three"]}, {atoms.by_name[b"one"], atoms.by_name[b"two"]}
    plan = plan_construction(one, new, live)
    leaf = atoms.by_name[GCC_LEAF.encode()]
    assert (plan.mixed, plan.constructed) == ([leaf], new)
    assert plan_construction(one, set(), live).entries == []
    everything_new = plan_construction(one, new | live, set())
    assert everything_new.mixed == []
    assert everything_new.constructed == new | live


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_a_constant_initialiser_needs_no_constructor(bench: Bench, compiler: str) -> None:
    one = unit(bench, "Noted one(1);" + USE % "", "Noted one(1); int plain = 5;" + USE % " + plain", compiler)
    linked = bench.link(one)
    assert linked.patch.initialisers == ()
    assert "plain" in placed(linked.selection)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_statics_of_functions_are_constructed_by_their_function(bench: Bench, compiler: str) -> None:
    bench.process.outside |= {b"__cxa_guard_acquire": FAR + 256, b"__cxa_guard_release": FAR + 272}
    bench.process.outside |= {b"__cxa_guard_abort": FAR + 288, b"_Unwind_Resume": FAR + 304}
    bench.process.outside |= {b"__gxx_personality_v0": FAR + 320}
    new = "int use() { static Noted lazy(4); return lazy.n; }"
    linked = bench.link(unit(bench, USE % "", new, compiler))
    assert linked.patch.initialisers == ()
    assert {"_ZZ3usevE4lazy", "_ZGVZ3usevE4lazy"} <= placed(linked.selection)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_a_thread_local_behind_a_living_guard_is_refused(bench: Bench, compiler: str) -> None:
    old = "thread_local Noted one(1);" + USE % " + one.n"
    new = "thread_local Noted one(1); thread_local Noted two(2);" + USE % " + one.n + two.n"
    found = codes(bench.prepare(unit(bench, old, new, compiler)))
    assert {code for code, _ in found} == {"initialisers-mixed"}


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_the_first_thread_locals_bring_their_own_guard(bench: Bench, compiler: str) -> None:
    prepared = bench.prepare(unit(bench, USE % "", "thread_local Noted one(1);" + USE % " + one.n", compiler))
    assert prepared.refusals == ()
    assert {"one", "__tls_guard"} <= placed(prepared.selection)
    assert prepared.tls_size >= 5


def test_code_that_is_jumped_over() -> None:
    assert x86_64.jump_over(3) == b"\x90" * 3
    assert x86_64.jump_over(5) == b"\xe9\0\0\0\0"
    assert x86_64.jump_over(9) == b"\xe9\x04\0\0\0" + b"\x90" * 4
