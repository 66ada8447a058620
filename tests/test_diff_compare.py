"""Old and new object of one unit: what relive compiles is the same as what the user compiled, and one edit is one
change. With the real compilers, because it is their habits that matter."""

from __future__ import annotations

import pytest

from relive.diff import lsda
from relive.diff.atoms import Atoms, Interner, Kind
from relive.diff.compare import compare, everything_changed
from relive.elf.object import ElfObject
from tests.diff_objects import COMPILERS, OURS, atoms_of, comparison, compile_unit, summary

C = r"""
extern int outside(int); extern int printf(const char *, ...); extern int puts(const char *);
extern void *memset(void *, int, unsigned long); extern unsigned long strlen(const char *);
int global = 3; static int counter; static int started = 7; int zeros[50]; static const int table[5] = {1, 2, 3, 4, 5};
static const char *names[] = {"zero", "one", "two"}; const char *const fixed[] = {"alpha", "beta"};
_Thread_local int spare[4]; _Thread_local int per_thread = 4; static _Thread_local int mine;
struct pair { int a; const char *b; } pairs[] = {{1, "hello"}, {2, "world"}, {3, "o"}};
static int helper(int x) { return x + counter++ + started; }
__attribute__((noinline)) static int second(int x) { return helper(x) * table[x & 3]; }
int state(int s) { switch (s) { case 0: return outside(1); case 1: return second(2) + 1; case 2: return 17;
  case 3: return outside(s); case 4: return 99; case 5: return global; case 6: return zeros[3]; default: return -1; } }
const char *word(int s) { switch (s) { case 0: return "a"; case 1: return "bb"; case 2: return "ccc";
  case 3: return "dddd"; case 4: return "ee"; default: return ""; } }
int number(int s) { switch (s) { case 0: return 5; case 1: return 77; case 2: return 3; case 3: return 1234;
  case 4: return 8; case 5: return 21; default: return 0; } }
void print(int x) { printf("%s %d %s\n", names[x], second(x), "hello"); puts("greeting" + 2); }
double real(double x) { return x * 3.25 + 1e10; } float single(float x) { return x * 2.5f; }
static int (*callbacks[])(int) = {helper, second, outside};
int call(int x) { return callbacks[x](x) + mine++ + per_thread; }
int compute(int x) { static void *labels[] = {&&a, &&b, &&c}; goto *labels[x]; a: return 1; b: return outside(2);
  c: return 3; }
long factorial(long n) { return n < 2 ? 1 : n * factorial(n - 1); }
int statics(void) { static int count = 3; static char buffer[20]; return count++ + buffer[2]; }
int loop(int n) { int s = 0; for (int i = 0; i < n; i++) s += table[i % 5] * outside(i); return s; }
const char *function(void) { return __func__; }
void fill(void) { counter = 5; started = 1000; zeros[2] = 100; memset(pairs, 0, sizeof pairs); }
void assign(int i, const char *s, int (*f)(int)) { names[i] = s; callbacks[i] = f; started = i; }
int wide(void) { return sizeof L"wide" + (int)L"strings"[outside(0)]; }
"""
CPP = r"""
int outside(int);
struct Failure { virtual ~Failure(); virtual const char *what() const; };
namespace {
int hidden = 4;
struct Local { virtual ~Local() {} virtual int f() { return hidden; } };
int only(int x) { return outside(x) + hidden; }
}
struct Base { virtual ~Base(); virtual int f(int); virtual const char *name() const { return "base"; } int x = 3; };
struct Derived : Base { int f(int) override; const char *name() const override { return "derived"; } };
Base::~Base() { hidden--; }
int Base::f(int y) { return y + x; }
int Derived::f(int y) { return Base::f(y) * 2; }
Base *make(int k) { if (k) return new Derived; return new Base; }
int guard(int x) {
  try { return outside(x); } catch (const Failure &e) { return e.what()[0]; }
  catch (int i) { return i; } catch (...) { throw; }
}
int guarded(int x) { try { return outside(x) + 1; } catch (const char *text) { return text[0]; } }
const char *text(int n) { return n ? "hello" : "goodbye"; }
template <class T> T twice(T t) { return t + t; }
int uses() { return twice(4) + only(3); }
inline int counted() { static int n = 0; return n++; }
int more() { Local l; return counted() + l.f(); }
void nothrow() noexcept { outside(3); }
int state(int s) { switch (s) { case 0: return outside(1); case 1: return only(2) + 1; case 2: return 17;
  case 3: return outside(s); case 4: return 99; case 5: throw 3; default: return -1; } }
int lambda(int x) { auto f = [x](int y) { return outside(x + y); }; return f(4); }
"""
STD = r"""
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>
std::string joined(int n) { std::string s = "hello"; for (int i = 0; i < n; i++) s += std::to_string(i); return s; }
int maps() {
  std::vector<int> v{1, 2, 3}; v.push_back(twice(4)); std::map<std::string, int> m{{"a", 1}, {"b", 2}}; int s = 0;
  for (auto &x : m) s += x.second;
  return s + v[2] + only(3);
}
std::string global = "a long string that does not fit into the small buffer";
static std::vector<int> list{1, 2, 3, 4};
int stored(int x) { auto f = [x](int y) { return outside(x + y); }; std::function<int(int)> g = f; return g(3) + f(4); }
std::string &lazy() { static std::string s = "made once"; return s; }
thread_local std::string tls = "per thread";
"""
FLAGS = ("-O0", "-O2", "-O2 -fPIC", "-Os", "-O0 -g -fcf-protection", "-O3 -fno-pie -march=haswell")


def same(compiler: str, source: str, flags: str) -> None:
    user = compile_unit(compiler, source, *flags.split())
    ours = compile_unit(compiler, source, *flags.split(), *OURS)
    for old, new in ((user, ours), (ours, user), (user, user), (ours, ours)):
        result = comparison(old, new)
        assert summary(result) == {}
        # nothing is forgotten: every named function and variable is in `same`
        assert result.same >= set(result.new.functions()) | set(result.new.variables())
        assert len(result.new.functions()) > 10
        assert set(result.counterpart) >= result.same


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("compiler", COMPILERS["c"])
def test_c_with_and_without_a_section_for_each(compiler: str, flags: str) -> None:
    same(compiler, C, flags)


@pytest.mark.parametrize("flags", ["-O0", "-O2", "-Os -g -fno-pie"])
@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_cpp_with_and_without_a_section_for_each(compiler: str, flags: str) -> None:
    same(compiler, CPP + STD, flags)


@pytest.mark.parametrize("compiler", COMPILERS["c"])
def test_a_tail_call_within_a_section_is_shorter_and_therefore_changed(compiler: str) -> None:
    # `jmp helper` takes 2 bytes where the assembler knows the distance: to be replaced without need is harmless.
    source = "int outside(int); __attribute__((noinline)) static int h(int x) { return outside(x) * 3; }"
    source += "int f(int x) { return h(x + 1); } int g(int x) { return outside(x + 2) + h(x) + 1; }"
    user, ours = compile_unit(compiler, source, "-O2"), compile_unit(compiler, source, "-O2", *OURS)
    assert summary(comparison(user, ours)) in ({}, {"changed": {"f"}})
    assert summary(comparison(ours, ours)) == {}


# --- one edit --------------------------------------------------------------------------------------------------------

EDITS_C: list[tuple[str, str, str, dict[str, set[str]]]] = [
    ("body", "return sizeof L\"wide\"", "return 1 + sizeof L\"wide\"", {"changed": {"wide"}}),
    ("number", "1e10", "2e10", {"changed": {"real"}}),
    ("single number", "2.5f", "2.75f", {"changed": {"single"}}),
    ("string", '"%s %d %s\\n"', '"%s %d %s!\\n"', {"changed": {"print"}}),
    ("string shortened", '"%s %d %s\\n"', '"%s %d\\n"', {"changed": {"print"}}),
    ("tail of a string", '"greeting" + 2', '"greeting" + 3', {"changed": {"print"}}),
    ("string with an offset", '"greeting"', '"greedier"', {"changed": {"print"}}),
    ("wide string", 'L"strings"', 'L"strinks"', {"changed": {"wide"}}),
    ("case", "case 4: return 99;", "case 4: return 98;", {"changed": {"state"}}),
    ("cases swapped", "case 2: return 17;\n  case 3: return outside(s);",
     "case 3: return 17;\n  case 2: return outside(s);", {"changed": {"state"}}),
    ("string of a switch", 'return "ccc"', 'return "cxc"', {"changed": {"word"}}),
    ("value of a switch", "return 1234;", "return 1235;", {"changed": {"number"}}),
    ("initialiser", "started = 7", "started = 8", {"reinitialised": {"started"}}),
    ("zero initialiser", "int global = 3", "int global = 0", {"reinitialised": {"global"}}),
    ("explicit zero", "int zeros[50]", "int zeros[50] = {0}", {}),
    ("string in a table", '"one"', '"eins"', {"reinitialised": {"names"}}),
    ("string in a constant table", '"beta"', '"gamma"', {"changed": {"fixed"}}),
    ("string in a struct", '"world"', '"earth"', {"reinitialised": {"pairs"}}),
    ("order of a table", '"zero", "one"', '"one", "zero"', {"reinitialised": {"names"}}),
    ("function in a table", "{helper, second, outside}", "{second, helper, outside}", {"reinitialised": {"callbacks"}}),
    ("grown", "int zeros[50]", "int zeros[60]", {"resized": {"zeros"}}),
    ("thread-local", "per_thread = 4", "per_thread = 5", {"reinitialised": {"per_thread"}}),
    ("thread-local grown", "int spare[4]", "int spare[6]", {"resized": {"spare"}}),
    ("store", "zeros[2] = 100", "zeros[3] = 100", {"changed": {"fill"}}),
    ("stored value", "started = 1000", "started = 1001", {"changed": {"fill"}}),
    ("other variable", "{ counter = 5;", "{ global = 5;", {"changed": {"fill"}}),
    ("name of a function", "*function(void)", "*funktion(void)", {"added": {"funktion"}, "removed": {"function"}}),
    ("added", "int global = 3;", "int global = 3; int extra(int x) { return x; }", {"added": {"extra"}}),
    ("removed", "float single(float x) { return x * 2.5f; }", "", {"removed": {"single"}}),
    ("label", "b: return outside(2);", "b: return outside(4);", {"changed": {"compute"}}),
    ("constant becomes mutable", "const char *const fixed[]", "const char *fixed[]", {"resized": {"fixed"}}),
    ("mutable becomes constant", "int global = 3", "extern const int global; const int global = 3",
     {"changed": {"state"}, "resized": {"global"}}),
]  # fmt: skip


@pytest.mark.parametrize("flags", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", COMPILERS["c"])
@pytest.mark.parametrize(("before", "after", "expected"), [e[1:] for e in EDITS_C], ids=[e[0] for e in EDITS_C])
def test_one_edit_in_c(compiler: str, flags: str, before: str, after: str, expected: dict[str, set[str]]) -> None:
    assert C.count(before) == 1
    user = compile_unit(compiler, C, *flags.split())
    ours = compile_unit(compiler, C.replace(before, after), *flags.split(), *OURS)
    assert summary(comparison(user, ours)) == expected


@pytest.mark.parametrize("flags", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", COMPILERS["c"])
def test_a_reference_into_a_string_does_not_cut_it(compiler: str, flags: str) -> None:
    source = """int puts(const char *); int f(void) { return puts("hello"); } int g(void) { return puts("hello" + 2); }
    int h(void) { return puts("other"); }"""
    old = compile_unit(compiler, source, flags)
    new = compile_unit(compiler, source.replace("hello", "hexxo"), flags, *OURS)
    assert summary(comparison(old, new)) == {"changed": {"f", "g"}}


@pytest.mark.parametrize("flags", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", COMPILERS["c"])
def test_a_table_of_labels_changes_its_function(compiler: str, flags: str) -> None:
    old = compile_unit(compiler, C, flags)
    new = compile_unit(compiler, C.replace("{&&a, &&b, &&c}", "{&&b, &&a, &&c}"), flags, *OURS)
    assert "compute" in summary(comparison(old, new))["changed"]
    everything = set().union(*summary(comparison(old, new)).values())
    assert {name for name in everything if "labels" not in name} == {"compute"}


@pytest.mark.parametrize("flags", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", COMPILERS["c"])
def test_clones_and_cold_parts_are_their_users(compiler: str, flags: str) -> None:
    source = r"""int outside(int); int printf(const char *, ...);
    static int __attribute__((noinline)) part(int x, int mode) {
      int s = 0; for (int i = 0; i < x; i++) s += outside(i * mode); return s; }
    int one(int x) { return part(x, 3) + 1; } int two(int x) { return part(x * 2, 3) + 2; }
    int error(int x) { if (__builtin_expect(x < 0, 0)) { printf("negative %d", x); __builtin_trap(); } return x * 2; }
    int third(int x) { return x + 3; }"""
    old = compile_unit(compiler, source, flags)
    assert summary(comparison(old, compile_unit(compiler, source, flags, *OURS))) == {}
    # `part.constprop.0` and `error.cold` have no names of their own: they are what their users mean
    body = compile_unit(compiler, source.replace("outside(i * mode)", "outside(i + mode)"), flags, *OURS)
    cold = compile_unit(compiler, source.replace("negative %d", "below zero %d"), flags, *OURS)
    clones = {"one", "two"} if any(b".constprop" in n for n in atoms_of(old).object.symbol_names) else {"part"}
    if compiler == "clang" and flags == "-O2":
        clones = {"part"}
    assert summary(comparison(old, body)) == {"changed": clones}
    assert summary(comparison(old, cold)) == {"changed": {"error"}}


# --- C++ -------------------------------------------------------------------------------------------------------------

EDITS_CPP: list[tuple[str, str, str, dict[str, set[str]]]] = [
    ("body", "return y + x;", "return y - x;", {"changed": {"_ZN4Base1fEi"}}),
    ("inline virtual", 'return "derived"', 'return "other"', {"changed": {"_ZNK7Derived4nameEv"}}),
    ("catch type", "catch (const char *text)", "catch (const signed char *text)", {"changed": {"_Z7guardedi"}}),
    ("catch order", "catch (int i)", "catch (long i)", {"changed": {"_Z5guardi"}}),
    ("caught and thrown", "catch (...) { throw; }", "catch (...) { return 7; }", {"changed": {"_Z5guardi"}}),
    ("thrown value", "throw 3;", "throw 4;", {"changed": {"_Z5statei"}}),
    ("string", '"hello"', '"hullo"', {"changed": {"_Z4texti"}}),
    ("template", "return t + t;", "return t + t + 1;", {"changed": {"_Z5twiceIiET_S0_"}}),
    ("in an unnamed namespace", "return outside(x) + hidden;", "return outside(x) - hidden;",
     {"changed": {"_ZN12_GLOBAL__N_14onlyEi"}}),
    ("lambda", "outside(x + y)", "outside(x - y)", {"changed": {"_ZZ6lambdaiENKUliE_clEi"}}),
    ("initialiser", "hidden = 4", "hidden = 5", {"reinitialised": {"_ZN12_GLOBAL__N_16hiddenE"}}),
    ("added virtual function's body only", "{ hidden--; }", "{ hidden++; }", {"changed": {"_ZN4BaseD1Ev"}}),
    ("function", "void nothrow() noexcept", "int extra(int x) { return x; }\nvoid nothrow() noexcept",
     {"added": {"_Z5extrai"}}),
    ("no longer noexcept", "void nothrow() noexcept", "void nothrow()", {"changed": {"_Z7nothrowv"}}),
]  # fmt: skip


@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
@pytest.mark.parametrize(("before", "after", "expected"), [e[1:] for e in EDITS_CPP], ids=[e[0] for e in EDITS_CPP])
def test_one_edit_in_cpp(compiler: str, before: str, after: str, expected: dict[str, set[str]]) -> None:
    assert CPP.count(before) == 1
    old = compile_unit(compiler, CPP, "-O0")
    new = compile_unit(compiler, CPP.replace(before, after), "-O0", *OURS)
    if compiler == "clang++":
        expected = {kind: {n.replace("UliE_", "3$_0") for n in names} for kind, names in expected.items()}
    assert without_types(summary(comparison(old, new))) == expected


def without_types(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Type information comes and goes with those who name it."""
    kept = {k: {n for n in names if not n.startswith(("_ZTI", "_ZTS", "DW.ref."))} for k, names in found.items()}
    return {kind: names for kind, names in kept.items() if names}


EXCEPTIONS = r"""
struct Error { int code; }; struct Worse : Error {}; struct Guard { ~Guard(); };
int outside(int);
int first(int x) { try { return outside(x); } catch (Error &e) { return e.code; } }
int second(int x) { Guard g; try { return outside(x + 1); } catch (Worse &) { return 2; } }
int third(int x) noexcept { Guard g; return outside(x + 2); }
template <class T> int generic(T x) { try { return outside(x); } catch (T) { return 3; } }
template int generic<short>(short); template int generic<long>(long);
"""


@pytest.mark.parametrize("flags", ["-O0", "-O2", "-O2 -fno-pie", "-Os -fPIC"])
@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_what_a_function_catches_is_part_of_it(compiler: str, flags: str) -> None:
    def edited(before: str, after: str) -> dict[str, set[str]]:
        old = compile_unit(compiler, EXCEPTIONS, *flags.split())
        new = compile_unit(compiler, EXCEPTIONS.replace(before, after), *flags.split(), *OURS)
        return without_types(summary(comparison(old, new)))

    assert edited("nothing", "") == {}
    # the code is the same in each of these: only the exception table differs
    assert edited("catch (Worse &)", "catch (Error &)") == {"changed": {"_Z6secondi"}}
    assert edited("catch (T)", "catch (T *)") == {"changed": {"_Z7genericIsEiT_", "_Z7genericIlEiT_"}}
    assert "_Z5thirdi" in edited("third(int x) noexcept", "third(int x)")["changed"]


@pytest.mark.parametrize("compiler", COMPILERS["cpp"])
def test_exception_tables_belong_to_functions(compiler: str) -> None:
    for more in ((), OURS):
        atoms = atoms_of(compile_unit(compiler, EXCEPTIONS, "-O1", *more))
        tables = atoms.exception_tables()
        owners = {(atoms.names[f] or b"").decode() for f in tables}
        assert owners == {"_Z5firsti", "_Z6secondi", "_Z5thirdi", "_Z7genericIsEiT_", "_Z7genericIlEiT_"}
        assert all(atoms.kind[t] == Kind.LSDA for t in tables.values())
        assert len({lsda.meaning(atoms, t) for t in tables.values()}) >= 4
        by_section = atoms.exception_tables_by_section
        assert sorted(t for each in by_section.values() for t in each) == sorted(tables.values())


CLONES = """int outside(int); int *store(int);
__attribute__((noinline)) static int inner(int x, int mode) {
  if (__builtin_expect(x < 0, 0)) *store(x) = 7;
  try { return outside(x * mode); } catch (int) { return 2; }
}
int g(int x) { return inner(x, 3) + outside(x); }
int h(int x) { return inner(x + 1, 3) * 2; }
"""


@pytest.mark.parametrize("flags", ["-O2", "-Os", "-O3 -fPIC"])
def test_what_a_clone_catches_is_part_of_its_users(flags: str) -> None:
    old = compile_unit("g++", CLONES, *flags.split())
    assert b"_ZL5innerii.constprop.0" in atoms_of(old).object.symbol_names
    assert summary(comparison(old, compile_unit("g++", CLONES, *flags.split(), *OURS))) == {}
    new = compile_unit("g++", CLONES.replace("catch (int)", "catch (short)"), *flags.split(), *OURS)
    assert without_types(summary(comparison(old, new))) == {"changed": {"_Z1gi", "_Z1hi"}}


# --- what is particular ----------------------------------------------------------------------------------------------


def test_everything_changed_leaves_variables_and_resolvers_alone() -> None:
    source = """int implementation(int x) { return x; } static int (*resolve(void))(int) { return implementation; }
    int selected(int) __attribute__((ifunc("resolve"))); int variable = 3; const int constant = 4;"""
    interner = Interner()
    old, new = (atoms_of(compile_unit("gcc", source, "-O0"), interner) for _ in range(2))
    everything = everything_changed(old, new)
    assert summary(everything) == {"changed": {"implementation"}}
    assert {new.names[a] for a in everything.same} >= {b"variable", b"constant"}


def test_nothing_and_something() -> None:
    interner = Interner()
    empty = Atoms(ElfObject.empty("new"), interner)
    full = atoms_of(compile_unit("gcc", "int f(void) { return 1; } int v = 3;", "-O0"), interner)
    assert summary(compare(empty, full)) == {"added": {"f", "v"}}
    assert summary(compare(full, empty)) == {"removed": {"f", "v"}}
    assert summary(compare(empty, empty)) == {}


def test_aliases_are_one_thing() -> None:
    source = """int f(int x) { return x; } int g(int) __attribute__((alias("f"))); int h(int x) { return g(x) + 1; }"""
    old = compile_unit("gcc", source, "-O0")
    assert summary(comparison(old, compile_unit("gcc", source, "-O0", *OURS))) == {}
    new = compile_unit("gcc", source.replace("{ return x; }", "{ return x + 1; }"), "-O0", *OURS)
    (name,) = summary(comparison(old, new))["changed"]
    assert name in ("f", "g")


def test_hand_written_assembly_without_sizes() -> None:
    source = """__asm__(".globl first, second; first: mov $1, %eax; ret; second: mov $2, %eax; ret");
    int third(void) { return 3; }"""
    old = compile_unit("gcc", source, "-O0")
    assert summary(comparison(old, compile_unit("gcc", source, "-O0", *OURS))) == {}
    new = compile_unit("gcc", source.replace("$2", "$5"), "-O0", *OURS)
    assert summary(comparison(old, new)) == {"changed": {"second"}}
