"""How an object is cut into atoms, and what its references mean: with the real compilers, with and without sections."""

from __future__ import annotations

import numpy as np
import pytest

from relive.diff.atoms import SELF, Atoms, Interner, Kind, is_clone, is_label
from relive.elf import constants as c
from relive.elf.object import ElfObject
from tests.diff_objects import COMPILERS, OURS, atoms, atoms_of, compile_unit, kind_of

SOURCE = r"""
extern int outside(int); extern int puts(const char *); extern int elsewhere;
int global = 3; static int counter; int zeros[8]; const int constant = 7; static const int table[5] = {1, 2, 3, 4, 5};
const char *const words[] = {"alpha", "beta"}; const char *mutable_words[] = {"gamma", "delta"};
_Thread_local int per_thread = 4; _Thread_local int cold; int common;
__attribute__((noinline)) static int helper(int x) { return x + counter++; }
int read(void) { return counter; }
int first(int x) { counter = 5; return helper(x) + table[x] + elsewhere; }
void second(void) { puts("hello"); puts("world"); }
int choose(int s) { switch (s) { case 0: return outside(1); case 1: return outside(22); case 2: return 17;
  case 3: return outside(s); case 4: return 99; case 5: return 12; default: return -1; } }
long factorial(long n) { return n < 2 ? 1 : n * factorial(n - 1); }
int jump(int x) { static const void *const labels[] = {&&a, &&b, &&c}; goto *labels[x]; a: return 1;
  b: return outside(2); c: return 3; }
__attribute__((constructor)) static void before(void) { outside(3); }
"""
VARIANTS = [
    (cc, flags) for cc in COMPILERS["c"] for flags in ("-O0", "-O0 " + " ".join(OURS), "-O2 -fno-inline", "-Os")
]


@pytest.fixture(params=VARIANTS, ids=" ".join)
def cut(request: pytest.FixtureRequest) -> Atoms:
    compiler, flags = request.param
    return atoms(compiler, SOURCE, *flags.split())


def test_atoms_tile_their_sections(cut: Atoms) -> None:
    for section in np.unique(cut.section).tolist():
        rows = np.flatnonzero(cut.section == section)
        assert (cut.start[rows] < cut.end[rows]).all()
        assert (cut.start[rows][1:] >= cut.end[rows][:-1]).all()
        assert cut.start[rows][0] == 0
        assert cut.end[rows][-1] == cut.object.sections["size"][section]
        assert (np.diff(rows) == 1).all()


def test_every_symbol_is_an_atom(cut: Atoms) -> None:
    obj = cut.object
    kinds = obj.symbols["info"] & 15
    for index in np.flatnonzero(np.isin(kinds, [c.STT_FUNC, c.STT_OBJECT, c.STT_TLS])).tolist():
        name, section = obj.symbol_names[index], int(obj.symbol_sections[index])
        if not 0 < section < len(obj.sections) or is_clone(name) or is_label(name):
            continue
        atom = cut.by_name[name]
        assert (int(cut.section[atom]), int(cut.start[atom])) == (section, int(obj.symbols["value"][index]))
        assert cut.size(atom) == int(obj.symbols["size"][index])
        assert cut.is_global[atom] == (obj.symbols["info"][index] >> 4 != c.STB_LOCAL)
        found = cut.locate(np.array([section] * 2), np.array([cut.start[atom], cut.end[atom] - 1]))
        assert found.tolist() == [atom, atom]


def test_kinds(cut: Atoms) -> None:
    wanted = {
        "global": Kind.DATA, "zeros": Kind.DATA, "mutable_words": Kind.DATA, "counter": Kind.DATA, "common": Kind.DATA,
        "constant": Kind.CONST, "words": Kind.CONST, "per_thread": Kind.TLS, "cold": Kind.TLS,
        "first": Kind.TEXT, "helper": Kind.TEXT, "before": Kind.TEXT,
    }  # fmt: skip
    assert {name: kind_of(cut, name) for name in wanted} == wanted
    assert Kind.INIT in cut.kind.tolist()
    assert len(cut.functions()) == 8
    assert {cut.names[a] for a in cut.variables()} >= {b"global", b"words", b"per_thread"}


def test_content_is_what_the_source_says(cut: Atoms) -> None:
    for name, value in ((b"global", 3), (b"constant", 7), (b"per_thread", 4)):
        assert cut.content(cut.by_name[name]) == value.to_bytes(4, "little")
    for name in (b"zeros", b"cold", b"counter"):
        assert not any(cut.content(cut.by_name[name]))


def targets(cut: Atoms, name: str) -> list[tuple[bytes | None, int]]:
    """(name of the target's atom or symbol, true offset in it) of the references of an atom."""
    result: list[tuple[bytes | None, int]] = []
    for row in cut.row_range(cut.by_name[name.encode()]):
        delta = int(cut.rows["delta"][row]) + int(cut.bias[row])
        if cut.row_is_local[row]:
            result.append((cut.names[int(cut.target[row])], delta))
        else:
            result.append((cut.object.symbol_names[int(cut.relocations["symbol"][row])], delta))
    return result


def test_references_by_section_mean_the_right_variable(cut: Atoms) -> None:
    found = targets(cut, "first")
    assert (b"counter", 0) in found, "the store of an immediate, whose displacement is not last"
    assert (b"elsewhere", 0) in found
    assert {name for name, _ in found} <= {b"counter", b"elsewhere", b"helper", b"table"}
    strings = [int(cut.target[row]) for row in cut.row_range(cut.by_name[b"second"]) if cut.row_is_local[row]]
    assert {cut.content(atom).rstrip(b"\0") for atom in strings} == {b"hello", b"world"}
    assert all(cut.names[atom] is None for atom in strings)


def test_tables_of_pointers(cut: Atoms) -> None:
    rows = cut.row_range(cut.by_name[b"words"])
    assert [cut.content(int(cut.target[row])).rstrip(b"\0") for row in rows] == [b"alpha", b"beta"]
    assert cut.rows["offset"][rows.start : rows.stop].tolist() == [0, 8]


def test_a_function_that_calls_itself_refers_to_itself() -> None:
    for compiler in COMPILERS["c"]:
        cut = atoms(compiler, SOURCE, "-O0", "-fPIC", *OURS)
        atom = cut.by_name[b"factorial"]
        for row in cut.row_range(atom):  # clang calls itself without one
            assert not cut.row_is_local[row], "a global name may be another's"
        source = "static long f(long n) { return n < 2 ? 1 : n * f(n - 1); } long g(long n) { return f(n); }"
        static = atoms(compiler, source, "-O0", *OURS)
        own = [int(static.rows["target"][row]) for row in static.row_range(static.by_name[b"f"])]
        assert own in ([], [SELF])


def test_switch_tables_are_anonymous_and_belong_to_their_function() -> None:
    for compiler in COMPILERS["c"]:
        user, ours = atoms(compiler, SOURCE, "-O2"), atoms(compiler, SOURCE, "-O2", *OURS)
        for cut in (user, ours):
            rows = cut.row_range(cut.by_name[b"choose"])
            tables = {int(cut.target[r]) for r in rows if cut.row_is_local[r]} - {cut.by_name[b"choose"]}
            assert len(tables) == 1
            (table,) = tables
            assert cut.names[table] is None
            assert cut.size(table) >= 4 * 6
            entries = {int(cut.target[row]) for row in cut.row_range(table)}
            assert entries == {cut.by_name[b"choose"]}
            assert not cut.holds_labels(table)


def test_label_tables_are_recognised(cut: Atoms) -> None:
    labels = [a for a in range(len(cut.names)) if cut.holds_labels(a)]
    assert len(labels) == 1
    name = cut.names[labels[0]]
    assert name is not None
    assert b"labels" in name


def test_identity_does_not_depend_on_the_place() -> None:
    interner = Interner()
    for compiler in COMPILERS["c"]:
        one = atoms_of(compile_unit(compiler, SOURCE, "-O0"), interner)
        more = "int in_front[50] = {1}; int before_it(void) { return 3; }"
        two = atoms_of(compile_unit(compiler, more + SOURCE, "-O0", *OURS), interner)
        for name, atom in one.by_name.items():
            if b"labels" in name:
                continue  # numbered
            other = two.by_name[name]
            assert one.identity(atom) == two.identity(other)
            assert one.content(atom).rstrip(b"\0") == two.content(other).rstrip(b"\0") or name in LOCAL_CALLS
            if name not in LOCAL_CALLS:
                assert one.row_bytes(atom) == two.row_bytes(other), name


LOCAL_CALLS = {b"first"}
"""Without -ffunction-sections the assembler resolves the call of a static function."""


def test_interner() -> None:
    interner = Interner()
    first, second = interner(b"a"), interner((b"a", 1))
    assert SELF not in (first, second)
    assert first != second
    assert interner(b"a") == first
    assert interner((b"a", 1)) == second


@pytest.mark.parametrize(
    ("name", "clone", "label"),
    [
        (b"f", False, False),
        (b"_ZN3foo4partEv", False, False),
        (b"f.part.0", True, False),
        (b"f.isra.0", True, False),
        (b"f.constprop.3", True, False),
        (b"f.constprop.0.cold", True, False),
        (b"f.cold", True, False),
        (b"f.part.0.isra.1", True, False),
        (b"f.llvm.123456", True, False),
        (b"count.0", False, False),
        (b"f.count", False, False),
        (b".L.str", False, True),
        (b".L.str.4", False, True),
        (b".Lswitch.table.f", False, True),
        (b"GCC_except_table7", False, True),
        (b"CSWTCH.12", False, True),
        (b"__func__.3", False, True),
        (b"__PRETTY_FUNCTION__.0", False, True),
        (b"switch.table.f", False, True),
        (b"cold", False, False),
        (b"partial.0", False, False),
    ],
)
def test_names_that_compilers_make_up(name: bytes, clone: bool, label: bool) -> None:
    assert (is_clone(name), is_label(name)) == (clone, label)


def test_locate_is_nearest_within_the_section() -> None:
    cut = atoms("gcc", "int a[4] = {1}; int b[4] = {2}; static int z;", "-O0")
    section = int(cut.section[cut.by_name[b"a"]])
    asked = [0, 15, 16, 31, 32, 1000, -4]
    found = cut.locate(np.full(len(asked), section), np.array(asked))
    a, b = cut.by_name[b"a"], cut.by_name[b"b"]
    assert found.tolist() == [a, a, b, b, b, b, a]
    assert cut.locate(np.array([9999]), np.array([0])).tolist() == [-1]
    nothing = Atoms(ElfObject.empty("new"), Interner())
    assert nothing.locate(np.array([1, 2]), np.array([0, 0])).tolist() == [-1, -1]


def test_aliases_constructors_and_unique_names() -> None:
    source = """struct S { S(); ~S(); int x; }; S::S() : x(1) {} S::~S() {} int f(int x) { return x; }
    extern "C" int g(int) __attribute__((alias("_Z1fi")));
    inline int h() { static int n; return n++; } int i() { return h(); }"""
    for compiler in COMPILERS["cpp"]:
        cut = atoms(compiler, source, "-O0")
        assert cut.by_name[b"g"] == cut.by_name[b"_Z1fi"]
        assert set(cut.own_names[cut.by_name[b"g"]]) == {b"g", b"_Z1fi"}
        if compiler == "g++":
            assert cut.by_name[b"_ZN1SC1Ev"] == cut.by_name[b"_ZN1SC2Ev"]
            assert cut.names[cut.by_name[b"_ZN1SC1Ev"]] == b"_ZN1SC1Ev"
        assert cut.is_global[cut.by_name[b"_ZZ1hvE1n"]]


def test_renames_are_session_names() -> None:
    obj = ElfObject.parse(compile_unit("gcc", "int f(void) { static int n = 1; return n++; }", "-O0"), "u.o")
    cut = Atoms(obj, Interner(), {b"n.0": b"n.7"})
    assert b"n.7" in cut.by_name
    assert b"n.0" not in cut.by_name
    assert cut.own_names[cut.by_name[b"n.7"]] == [b"n.7"]


def test_two_locals_of_one_name_are_numbered() -> None:
    source = """__asm__(".text; .type a,@function; a: ret; .size a, 1");
    __asm__(".globl keep; keep: nop");"""
    first = compile_unit("gcc", source, "-O0")
    assert atoms_of(first).by_name.keys() == {b"a", b"keep"}
    twice = """namespace { struct A { virtual void f() {} }; } void *g() { struct L { static int v() { return 1; } };
    return (void *)&L::v; } void *h() { struct L { static int v() { return 2; } }; return (void *)&L::v; }"""
    cut = atoms("g++", twice, "-O0")
    assert len({cut.by_name[n] for n in cut.by_name}) == len(cut.functions()) + len(cut.variables())


def test_is_ifunc() -> None:
    source = """static int one(int x) { return x; } static int (*resolve(void))(int) { return one; }
    int chosen(int) __attribute__((ifunc("resolve"))); int user(int x) { return chosen(x); }"""
    for compiler in COMPILERS["c"]:
        cut = atoms(compiler, source, "-O0")
        assert cut.is_ifunc(cut.by_name[b"chosen"])
        assert not cut.is_ifunc(cut.by_name[b"user"])


@pytest.mark.parametrize("flags", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_personality_rows_name_the_personality(compiler: str, flags: str) -> None:
    source = "int o(int); int f(int x) { try { return o(x); } catch (int) { return 1; } } int g(int x) { return x; }"
    cut = atoms(compiler, source, flags, "-fPIC")
    symbols = [int(cut.eh_relocations["symbol"][row]) for row in cut.personality_rows]
    found = {cut.object.symbol_names[s] for s in symbols}
    assert found in ({b"DW.ref.__gxx_personality_v0"}, {b"__gxx_personality_v0"})
    owners = [cut.names[f] for f, _ in cut.exception_pairs]
    assert [name for name in owners if name] == [b"_Z1fi"]  # gcc -O2: and one without a name, its cold part
