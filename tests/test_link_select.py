"""What of a changed unit goes into the process, and what it is bound to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from relive.diff.atoms import Atoms
from relive.diff.compare import compare, everything_changed
from relive.link.model import LinkUnit, TlsPlace
from tests.link_objects import FAR, SECTIONS, Bench, codes, loads, placed, reborn, rehomed


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def names(entries: object) -> list[str]:
    assert isinstance(entries, list)
    return [entry.name.decode() for entry in entries]


COUNTER = """
extern int printf(const char *, ...);
static int hits; int total = 7; const int limit = 9;
static int twice(int x) { return 2 * x; }
int other(int x) { return x + hits; }
int step(int x) { hits += 1; total += twice(x); return other(x) + limit%s; }
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", [("-fPIE",), ("-fno-pie",), ("-fPIC",), ("-O2",)], ids=" ".join)
def test_only_the_changed_function_is_placed_and_bound_to_what_lives(
    bench: Bench, compiler: str, flags: tuple[str, ...]
) -> None:
    # Inlined calls make more functions change at -O2; none is placed without being redirected.
    unit = bench.unit(COUNTER % "", COUNTER % " + 1", *flags, compiler=compiler)
    selection = bench.prepare(unit).selection
    assert names(selection.redirects) == ["step"]
    assert placed(selection) == {"step"}
    assert selection.redirects[0].home == unit.live[b"step"]
    assert [*selection.in_place, *selection.moved, *selection.commons, *selection.externals] == []


def test_the_users_object_without_sections_is_no_other_program(bench: Bench) -> None:
    unit = bench.unit(COUNTER % "", COUNTER % " + 1", before=())
    assert placed(bench.prepare(unit).selection) == {"step"}


def test_an_unchanged_unit_needs_nothing(bench: Bench) -> None:
    prepared = bench.prepare(bench.unit(COUNTER % "", "\n\n" + COUNTER % "", "-g"))
    assert prepared.size == 0
    assert not prepared.selection.blocks
    patch = prepared.at(0, "nothing.so")
    assert (patch.file, patch.redirects, patch.stores) == (b"", (), ())


def test_new_functions_variables_and_strings_come_along(bench: Bench) -> None:
    old = "extern int puts(const char *); int step(void) { return 0; }"
    new = """extern int puts(const char *);
    static int fresh = 3, zeros[100]; static const char *words[] = {"one", "two"};
    static int helper(void) { static int calls; return puts(words[calls++ & 1]) + zeros[3]; }
    int step(void) { return helper() + fresh; }"""
    linked_names = placed(bench.prepare(bench.unit(old, new)).selection)
    assert {"step", "helper", "fresh", "zeros", "words"} < linked_names
    assert {name for name in linked_names if name.startswith("calls")}


def test_new_strong_globals_are_placed_even_if_nobody_mentions_them(bench: Bench) -> None:
    new = "int step(void) { return 0; } int api(void) { return 1; } int setting = 4; static int unused = 5;"
    selection = bench.prepare(bench.unit("int step(void) { return 0; }", new)).selection
    assert placed(selection) == {"api", "setting"}
    assert set(selection.definitions) == {b"api", b"setting"}


def test_a_reinitialised_variable_keeps_its_place(bench: Bench) -> None:
    text = "int lives = %s; int step(void) { return lives%s; }"
    unit = bench.unit(text % ("3", ""), text % ("5", " + 1"))
    linked = bench.link(unit)
    assert placed(linked.selection) == {"step"}
    assert linked.referred("step") == [unit.live[b"lives"]]


@pytest.mark.parametrize("mergeable", [False, True])
def test_a_constant_of_equal_size_is_rewritten_where_it_lives(bench: Bench, mergeable: bool) -> None:
    kind = "long" if mergeable else "int"
    text = f"const {kind} table[4] = {{1, 2, 3, %s}}; {kind} get(int i) {{ return table[i]; }}"
    unit = bench.unit(text % "4", text % "5")
    selection = bench.prepare(unit).selection
    assert names(selection.in_place) == ["table"]
    assert not selection.blocks
    patch = bench.prepare(unit).at(0, "none.so")
    (store,) = patch.stores
    assert store.address == unit.live[b"table"]
    assert store.content[-8 if mergeable else -4 :][0] == 5


def test_a_constant_that_grew_moves_and_takes_its_users_along(bench: Bench) -> None:
    text = """static const int table[] = {1, 2%s}; static const int *const where = table;
    int get(int i) { return table[i]; } int by_pointer(int i) { return where[i]; } int bystander(void) { return 1; }"""
    linked = bench.link(bench.unit(text % "", text % ", 3"))
    selection = linked.selection
    assert names(selection.moved) == ["table"]
    assert {"table", "get"} <= placed(selection)
    assert "bystander" not in placed(selection)
    assert linked.address("table") in linked.referred("get")
    # What points at it is a constant of the same size: its content changes where it lives.
    assert names(selection.in_place) == ["where"]
    (store,) = linked.patch.stores
    assert int.from_bytes(store.content, "little") == linked.address("table")


SHAPES = """
struct Shape { virtual int area(); virtual int edges();%s int n; };
int Shape::area() { return n%s; } int Shape::edges() { return 4; }%s
Shape *make() { return new Shape; } int user(Shape *s) { return s->area(); }
"""


def test_a_vtable_of_equal_size_is_not_touched_by_a_new_body(bench: Bench) -> None:
    unit = bench.unit(SHAPES % ("", "", ""), SHAPES % ("", " + 1", ""), compiler="g++")
    selection = bench.prepare(unit).selection
    assert names(selection.redirects) == ["_ZN5Shape4areaEv"]
    assert [*selection.in_place, *selection.moved] == []


def test_a_vtable_that_grew_moves_with_its_address_point(bench: Bench) -> None:
    more = " int Shape::sides() { return 2; }"
    unit = bench.unit(SHAPES % ("", "", ""), SHAPES % (" virtual int sides();", "", more), compiler="g++")
    linked = bench.link(unit)
    assert names(linked.selection.moved) == ["_ZTV5Shape"]
    table = linked.address("_ZTV5Shape")
    assert linked.patch.pointers == ((linked.home("_ZTV5Shape") + 16, table + 16),)
    slots = [linked.word(table + 8 * i) for i in range(5)]
    assert slots == [
        0,
        linked.home("_ZTI5Shape"),
        linked.home("_ZN5Shape4areaEv"),
        linked.home("_ZN5Shape5edgesEv"),
        linked.address("_ZN5Shape5sidesEv"),
    ]
    # Constructors store the address point: they are replaced.
    assert "_ZN5ShapeC2Ev" in placed(linked.selection)


def test_secondary_vtables_have_their_own_address_points(bench: Bench) -> None:
    text = """struct A { virtual int a(); }; struct B { virtual int b(); }; struct C : A, B { int a(); int b();%s };
    int A::a() { return 1; } int B::b() { return 2; } int C::a() { return 3; } int C::b() { return 4; }%s
    C *make() { return new C; }"""
    unit = bench.unit(text % ("", ""), text % (" virtual int c();", " int C::c() { return 5; }"), compiler="g++")
    linked = bench.link(unit)
    old, new = linked.home("_ZTV1C"), linked.address("_ZTV1C")
    assert linked.patch.pointers == ((old + 16, new + 16), (old + 48, new + 56))


def test_commons(bench: Bench) -> None:
    old = "int known; int step(void) { return known; }"
    new = "int known; int fresh[8]; int step(void) { return known + fresh[1] + 1; }"
    unit = bench.unit(old, new, "-fcommon")
    bench.process.names[b"known"] = 0x5555_5555_9000  # a common has no atom: the linker finds it by name
    linked = bench.link(unit)
    assert linked.selection.commons == {b"fresh": (32, 32)} or linked.selection.commons == {b"fresh": (32, 16)}
    fresh = linked.address("fresh")
    assert fresh % 16 == 0
    assert linked.is_writable(fresh)
    assert set(linked.referred("step")) == {0x5555_5555_9000, fresh + 4}


def test_the_biggest_common_of_a_name_counts(bench: Bench) -> None:
    first = bench.unit("int f(void) { return 0; }", "char buffer[8]; int f(void) { return buffer[0]; }", "-fcommon")
    second = bench.unit("int g(void) { return 0; }", "char buffer[64]; int g(void) { return buffer[1]; }", "-fcommon")
    linked = bench.link(first, second)
    assert linked.selection.commons[b"buffer"][0] == 64
    assert [linked.referred("f"), linked.referred("g")] == [[linked.address("buffer")], [linked.address("buffer") + 1]]


def test_a_weak_name_that_nobody_defines_is_zero(bench: Bench) -> None:
    new = "__attribute__((weak)) int hook(void); int f(void) { return hook ? hook() : 2; }"
    linked = bench.link(bench.unit("int f(void) { return 1; }", new))
    slots = [at for at in linked.referred("f") if linked.patch.base <= at < linked.patch.base + linked.patch.size]
    assert [linked.word(at) for at in slots[:1]] == [0]


def test_an_undefined_name_is_refused(bench: Bench) -> None:
    unit = bench.unit("int f(void) { return 1; }", "int missing(void); int f(void) { return missing(); }")
    assert codes(bench.prepare(unit)) == [("undefined-symbol", "missing")]
    bench.process.outside[b"missing"] = 0x5555_5555_8000
    assert codes(bench.prepare(unit)) == []


def test_a_name_that_another_changed_unit_defines_is_not_undefined(bench: Bench) -> None:
    first = bench.unit("int f(void) { return 1; }", "int fresh(void); int f(void) { return fresh(); }")
    second = bench.unit("int g(void) { return 1; }", "int g(void) { return 1; } int fresh(void) { return 5; }")
    linked = bench.link(first, second)
    assert linked.referred("f") == [linked.functions["fresh"]]


TEMPLATE = """template <class T> T grow(T x) { static int calls; calls++; return x + %s; }
int %s(int x) { return grow(x)%s; }"""


def test_a_function_of_two_units_is_placed_once(bench: Bench) -> None:
    first = bench.unit("int f(int x) { return x; }", TEMPLATE % (1, "f", ""), compiler="g++")
    second = bench.unit("int g(int x) { return x; }", TEMPLATE % (1, "g", ""), compiler="g++")
    linked = bench.link(first, second)
    assert sorted(linked.functions) == ["_Z1fi", "_Z1gi", "_Z4growIiET_S0_"]
    grow = linked.functions["_Z4growIiET_S0_"]
    assert linked.referred("_Z1fi") == linked.referred("_Z1gi") == [grow]
    statics = [b for b in linked.selection.blocks if b.size == 4]
    assert len(statics) == 1, "and its static, too"


def test_a_living_function_of_two_units_is_redirected_once(bench: Bench) -> None:
    units = [bench.unit(TEMPLATE % (1, n, ""), TEMPLATE % (2, n, ""), compiler="g++") for n in "fg"]
    linked = bench.link(*units)
    assert names(linked.selection.redirects) == ["_Z4growIiET_S0_"]
    assert len(linked.patch.functions) == 1
    (calls,) = (n for n in units[0].live if b"calls" in n)
    assert linked.referred("_Z4growIiET_S0_").count(linked.home(calls.decode())) >= 1


def test_a_strong_definition_comes_before_a_weak_one(bench: Bench) -> None:
    weak = "int g(void); int f(void) { return %s; } __attribute__((weak)) int fresh(void) { return 1; }"
    first = bench.unit("int f(void) { return 0; }", weak % "fresh()")
    second = bench.unit("int g(void) { return 0; }", "int g(void) { return 0; } int fresh(void) { return 2; }")
    linked = bench.link(first, second)
    assert linked.selection.definitions[b"fresh"][0] == 1
    assert linked.referred("f") == [linked.address("fresh", 1)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("int a[4];", "int a[5];"),
        ("int a[4] = {1};", "int a[2] = {1};"),
        ("int a[4];", "const int a[4] = {1};"),
        ("const int a[4] = {1};", "int a[4] = {1};"),
    ],
)
def test_variables_of_another_size_or_kind_are_refused(bench: Bench, old: str, new: str) -> None:
    assert codes(bench.prepare(bench.unit(old, new))) == [("variable-resized", "a")]


def test_a_folded_function_is_refused(bench: Bench) -> None:
    unit = bench.unit("int f(void) { return 1; }", "int f(void) { return 2; }")
    assert codes(bench.prepare(replace(unit, folded=frozenset({b"f"})))) == [("function-folded", "f")]


def test_a_changed_resolver_is_refused(bench: Bench) -> None:
    text = """static int a(void) { return 1; } static int b(void) { return 2; }
    static int (*resolve(void))(void) { return %s; } int chosen(void) __attribute__((ifunc("resolve")));
    int f(void) { return chosen(); }"""
    (found,) = codes(bench.prepare(bench.unit(text % "a", text % "b")))
    assert found[0] == "ifunc-changed"


def test_a_new_entry_of_a_section_that_is_walked_over_is_refused(bench: Bench) -> None:
    text = 'int f(void) { return 1; } __attribute__((section("plugins"), used)) int first = 1;%s'
    more = ' __attribute__((section("plugins"), used)) int second = 2;'
    bench.process.names[b"__start_plugins"] = 0x5555_5555_9000
    unit = bench.unit(text % "", text % more)
    assert codes(bench.prepare(unit)) == [("section-array-grows", "second")]
    del bench.process.names[b"__start_plugins"]
    assert codes(bench.prepare(unit)) == []


def test_nameless_variables_of_assembly_are_refused(bench: Bench) -> None:
    text = """.text
    .globl f
    .type f, @function
f:  movl .data+4(%%rip), %%eax
    addl $%d, %%eax
    ret
    .size f, .-f
    .data
    .long 1, 2
"""
    unit = bench.unit(text % 1, text % 2, suffix=".s", source="unit.s")
    assert [code for code, _ in codes(bench.prepare(unit))] == ["anonymous-variable"]


def test_functions_of_one_section_are_replaced_together(bench: Bench) -> None:
    text = "int a(int x) { return x%s; } int b(int x) { return a(x) + 1; }"
    selection = bench.prepare(bench.unit(text % "", text % " + 5", after=())).selection
    assert set(names(selection.redirects)) == {"a", "b"}
    assert len(selection.blocks) == 1


def test_a_function_that_moved_here_from_another_file(bench: Bench) -> None:
    bench.unit("int moved(void) { return 1; }", "")
    unit = bench.unit("int f(void) { return 1; }", "int f(void) { return 1; } int moved(void) { return 2; }")
    selection = bench.prepare(unit).selection
    assert [(r.name, r.home) for r in selection.redirects] == [(b"moved", bench.process.names[b"moved"])]


def test_a_variable_that_moved_here_stays_where_it_lives(bench: Bench) -> None:
    bench.unit("int moved = 3;", "")
    linked = bench.link(bench.unit("int f(void) { return 1; }", "int moved = 3; int f(void) { return moved; }"))
    assert placed(linked.selection) == {"f"}
    assert linked.referred("f") == [bench.process.names[b"moved"]]


def test_a_variable_that_grew_while_it_moved_is_refused(bench: Bench) -> None:
    first = bench.unit("int moved = 3; int f(void) { return moved; }", "int f(void) { return 1; }")
    second = bench.unit("int g(void) { return 1; }", "long moved[20]; int g(void) { return moved[19] = 1; }")
    assert codes(bench.prepare(first, second)) == [("variable-resized", "moved")]


def test_a_constant_that_moved_is_rewritten_where_it_lives(bench: Bench) -> None:
    first = bench.unit("const int moved[2] = {1, 2}; int f(void) { return moved[0]; }", "int f(void) { return 1; }")
    new = "int g(void) { return 1; } const int moved[2] = {1, 7};"
    linked = bench.link(first, bench.unit("int g(void) { return 1; }", new))
    (store,) = linked.patch.stores
    assert (store.address, store.content[4]) == (linked.home("moved"), 7)


def test_a_table_of_labels_belongs_to_its_function(bench: Bench) -> None:
    text = """int run(const char *p) { static void *ops[] = {&&a, &&b}; int n = 0; goto *ops[*p & 1];
    a: n += %d; b: return n; }"""
    linked = bench.link(bench.unit(text % 1, text % 2))
    (table,) = [b for b in linked.selection.blocks if b.size == 16]
    start = linked.patch.base + linked.prepared.layout.blocks[linked.selection.blocks.index(table)]
    low, size = linked.functions["run"], linked.sizes["run"]
    assert all(low < linked.word(start + 8 * i) < low + size for i in range(2))


SWITCH = """int g(int); int f(int x) { switch (x) { case 0: return g(1); case 1: return g(5); case 2: return g(9);
    case 3: return g(11); case 4: return g(12); case 5: return g(%d); default: return 0; } } int h(int x) {
    switch (x) { case 0: return g(3); case 1: return g(6); case 2: return g(10); case 3: return g(14);
    case 4: return g(2); case 5: return g(8); default: return 1; } }"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", [("-fPIE",), ("-fno-pie",)], ids=" ".join)
def test_a_switch_table_leads_into_the_new_code(bench: Bench, compiler: str, flags: tuple[str, ...]) -> None:
    bench.process.outside[b"g"] = 0x5555_5555_8000 if flags == ("-fPIE",) else 0x410000
    if flags == ("-fno-pie",):
        bench.process.low, bench.process.high = 0x400000, 0x500000
    unit = bench.unit(SWITCH % 15, SWITCH % 16, *flags, compiler=compiler)
    prepared = bench.prepare(unit)
    assert prepared.refusals == ()
    base = 0x600000 if flags == ("-fno-pie",) else 0x5555_5600_0000
    patch = prepared.at(base, "patch.so")
    ((name, start, size),) = patch.functions
    assert name == b"f"
    table = next(i for i, b in enumerate(prepared.selection.blocks) if ".rodata" in section_name(unit, b.section))
    at = base + prepared.layout.blocks[table]
    content = next(c[at - low :] for _, low, c in loads(patch.file) if low <= at < low + len(c))
    if flags == ("-fPIE",):
        entries = [at + int.from_bytes(content[4 * i : 4 * i + 4], "little", signed=True) for i in range(6)]
    else:
        entries = [int.from_bytes(content[8 * i : 8 * i + 8], "little") for i in range(6)]
    assert all(start <= entry < start + size for entry in entries)


def section_name(unit: LinkUnit, section: int) -> str:
    return unit.new.object.section_names[section]


def test_an_identity_reload_replaces_every_function_and_no_variable(bench: Bench) -> None:
    unit = bench.unit(COUNTER % "", COUNTER % "")
    unit = replace(unit, comparison=everything_changed(unit.comparison.old, unit.new))
    selection = bench.prepare(unit).selection
    assert set(names(selection.redirects)) == placed(selection) == {"twice", "other", "step"}


def test_a_new_identity_leaves_the_old_function_alone(bench: Bench) -> None:
    text = "%s level(%s x) { return x; } static int user(void) { return (int)level(1); } int f(void) { return user(); }"
    unit = reborn(bench.unit(text % ("int", "int"), text % ("long", "long")), "level")
    linked = bench.link(unit)
    assert names(linked.selection.reborn) == ["level"]
    assert "level" not in names(linked.selection.redirects)
    # Callers change although their code may be the same.
    assert "user" in names(linked.selection.redirects)
    assert linked.functions["level"] in linked.referred("user")
    assert linked.address("level") == linked.functions["level"], "from now on it lives there"


def test_a_new_home_is_an_entry_of_its_own(bench: Bench) -> None:
    text = "int spin(int x) { return x%s; } int user(void) { return spin(2)%s; }"
    linked = bench.link(rehomed(bench.unit(text % ("", ""), text % (" + 1", " + 1")), "spin"))
    ((redirect, entry),) = linked.patch.rehomed
    assert (redirect.name, redirect.home) == (b"spin", linked.home("spin"))
    assert linked.referred("user") == [entry]
    assert linked.disassemble(entry, 5)[0].split()[:2] == ["jmp", f"{linked.functions['spin']:x}"]
    assert linked.address("spin") == entry
    assert names(linked.selection.redirects) == ["user"]


def test_far_calls_get_stubs_and_far_data_marks_the_unit(bench: Bench) -> None:
    bench.process.outside |= {b"puts": FAR, b"environ_like": FAR + 0x1000}
    old = "int f(void) { return 1; } int g(void) { return 1; }"
    calls = "int puts(const char *); int f(void) { return puts(0); } int g(void) { return puts(0) + 1; }"
    linked = bench.link(bench.unit(old, calls))
    assert linked.prepared.references.far == set()
    (stub,) = linked.referred("f")
    assert linked.referred("g") == [stub], "one stub for all"
    (jump,) = linked.disassemble(stub, 6)
    slot = int(jump.split("#")[1].split()[0], 16)
    assert jump.startswith("jmp *")
    assert linked.word(slot) == FAR
    data = "extern int environ_like; int f(void) { return environ_like; } int g(void) { return 1; }"
    assert bench.prepare(bench.unit(old, data)).references.far == {0}
    through_got = bench.link(bench.unit(old, data, "-fPIC"))
    assert through_got.prepared.references.far == set()
    assert through_got.word(through_got.referred("f")[0]) == FAR + 0x1000


def test_new_thread_locals_are_in_the_pool(bench: Bench) -> None:
    text = "__thread int depth = 1;%s int f(void) { return depth%s; }"
    unit = bench.unit(
        text % ("", ""), text % (" __thread long fresh = 5; static __thread int zero;", " + fresh + zero")
    )
    linked = bench.link(unit, pool=TlsPlace(9, 128, -2048))
    assert linked.prepared.tls_size >= 12
    assert {"fresh", "zero"} <= placed(linked.selection)
    assert "depth" not in placed(linked.selection)
    places = linked.patch.addresses[0]
    fresh, zero = places[b"fresh"], places[b"zero"]
    assert isinstance(fresh, TlsPlace)
    assert isinstance(zero, TlsPlace)
    assert {fresh.module, zero.module} == {9}
    assert fresh.tp_offset is not None
    assert fresh.offset - 128 == fresh.tp_offset + 2048
    images = dict(linked.patch.tls_images)
    assert images[fresh.offset] == (5).to_bytes(8, "little")
    assert images[zero.offset] == bytes(4)


def test_renames_keep_statics_apart(bench: Bench) -> None:
    # The new object's `n.1` is the old one's `n.0`: bound through the session's name, not through its own.
    text = "int f(void) { static int n; return n++%s; }"
    old, new = bench.compile(text % "", *SECTIONS), bench.compile(text % " + 1", *SECTIONS)
    (own,) = (n for n in Atoms(new, bench.intern).by_name if n.startswith(b"n."))
    before = Atoms(old, bench.intern)
    unit = LinkUnit("unit.c", compare(before, Atoms(new, bench.intern, {own: b"n.7"})), {**bench.live(before)})
    linked = bench.link(unit)
    (fresh,) = linked.patch.addresses[0]
    assert fresh == b"n.7", "another variable than the living one"
    assert placed(linked.selection) == {"f", "n.7"}
