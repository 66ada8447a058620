"""The C half of the diff room against its twin in Python: the same atoms, names, references and verdicts."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relive.diff import columns, library
from relive.diff.atoms import Atoms, Interner
from relive.diff.closures import match_lambdas
from relive.diff.compare import Comparison, compare
from relive.elf.object import ElfObject, Names
from relive.errors import FormatError
from tests.diff_objects import COMPILERS, OURS, compile_unit
from tests.native import diff_calls

C_SOURCE = r"""
extern int outside(int); extern int puts(const char *); extern int elsewhere;
int global = 3; static int counter; int zeros[8]; const int constant = 7; static const int table[5] = {1, 2, 3, 4, 5};
const char *const words[] = {"alpha", "beta", "héllo"}; const char *mutable_words[] = {"gamma", "delta"};
_Thread_local int per_thread = 4; int common; const char long_text[] = "some text\n"; const short mixed[] = {1, -1, 2};
__attribute__((noinline)) static int helper(int x) { return x + counter++ + %d; }
int first(int x) { counter = 5; return helper(x) + table[x] + elsewhere; }
void second(void) { puts("hello"); puts("wörld"); puts("hello" + 2); puts(words[1]); puts(__func__); }
int choose(int s) { switch (s) { case 0: return outside(1); case 1: return outside(22); case 2: return 17;
  case 3: return outside(s); case 4: return 99; case 5: return 12; default: return -1; } }
int jump(int x) { static const void *const labels[] = {&&a, &&b, &&c}; goto *labels[x]; a: return 1;
  b: return outside(2); c: return 3; }
int statics(void) { static int n = 1; { static int n = 2; n++; } return n++ + mixed[1]; }
__attribute__((cold)) void bad(int); int split(int x) { if (x > 100) { bad(x); bad(x + 1); } return outside(x); }
double ratio(double x) { return x * 3.25 + (x > 1e9 ? 7.5f : 2.0); }
__attribute__((constructor)) static void before(void) { outside(3); }
"""
CPP_SOURCE = r"""
#include <algorithm>
#include <functional>
#include <string>
#include <vector>
struct Base { virtual ~Base() {} virtual int f() { return 1; } };
struct More : Base { int f() override { return %d; } };
namespace { int hidden = 3; std::string text = "text"; }
static std::vector<int> numbers{3, 1, 2};
int sorted(int by) { std::sort(numbers.begin(), numbers.end(), [by](int l, int r) { return l + by > r; });
  auto twice = [](int x) { return x * 2; }; return twice(numbers[0]) + hidden; }
std::function<int(int)> stored = [](int x) { return x + int(text.size()); };
int guarded(int x) { try { return stored(x) + sorted(x); } catch (const std::exception &e) { return e.what()[0]; } }
Base *make() { return new More; } template <class T> T twice(T x) { static T kept; kept += x; return kept; }
int use(int x) { return twice(x) + int(twice(2.5)) + make()->f(); }
"""
VARIANTS = [
    (compiler, suffix, flags)
    for suffix, compilers in COMPILERS.items()
    for compiler in compilers
    for flags in ("-O0", "-O0 " + " ".join(OURS), "-O2 " + " ".join(OURS), "-O2")
]
COLUMNS = (
    *("kinds", "symbol_is_local", "relocations", "eh_relocations", "eh_target", "bias", "table_entry", "place"),
    *("target", "row_is_local", "section", "start", "end", "symbol", "kind", "is_global", "first", "last"),
)


def source(suffix: str, version: int) -> str:
    text = C_SOURCE if suffix == "c" else CPP_SOURCE
    return text.replace("%d", str(version))


def both(data: bytes, renames: Mapping[bytes, bytes] | None = None) -> tuple[Atoms, Atoms]:
    obj = ElfObject.parse(data, "unit.o")
    return Atoms(obj, Interner(), renames), Atoms(obj, Interner(diff_calls()), renames)


def assert_equal(python: Atoms, native: Atoms) -> None:
    for name in COLUMNS:
        one, other = getattr(python, name), getattr(native, name)
        assert one.dtype == other.dtype, name
        assert np.array_equal(one, other), name
    assert python.names == native.names
    assert list(python.by_name.items()) == list(native.by_name.items())
    assert dict(python.aliases) == dict(native.aliases)
    assert dict(python.own_names) == dict(native.own_names)
    for name in ("atom", "symbol", "flags"):
        assert np.array_equal(python.alias_rows[name], native.alias_rows[name])
    for name in ("offset", "type", "delta"):
        assert np.array_equal(python.rows[name], native.rows[name])
    # The numbers of targets differ; what they stand for does not.
    there: dict[int, int] = {}
    back: dict[int, int] = {}
    for one, other in zip(python.rows["target"].tolist(), native.rows["target"].tolist(), strict=True):
        assert there.setdefault(one, other) == other
        assert back.setdefault(other, one) == one
        assert python.intern.texts()[one] == native.intern.texts()[other]


@pytest.mark.parametrize(("compiler", "suffix", "flags"), VARIANTS, ids=" ".join)
def test_the_same_columns(compiler: str, suffix: str, flags: str) -> None:
    python, native = both(compile_unit(compiler, source(suffix, 1), "-g", *flags.split()))
    assert_equal(python, native)
    given = columns._native(native.object, native.intern, {})
    assert given is not None, "C gave it up"


@pytest.mark.parametrize(("compiler", "suffix", "flags"), VARIANTS, ids=" ".join)
def test_the_same_verdicts(compiler: str, suffix: str, flags: str) -> None:
    old = compile_unit(compiler, source(suffix, 1), "-g", *flags.split())
    new = compile_unit(compiler, source(suffix, 2), "-g", *flags.split()[:1], *OURS)
    verdicts = [compared(old, new, interner) for interner in (Interner(), Interner(diff_calls()))]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0]["changed"], "the sources differ"


def compared(old: bytes, new: bytes, interner: Interner) -> dict[str, object]:
    before, after = (Atoms(ElfObject.parse(data, "unit.o"), interner) for data in (old, new))
    comparison = compare(before, after)
    lambdas = match_lambdas(before, after, {n for n in after.by_name if b"ENKUl" in n and n.endswith(b"E_clEi")})
    return {**facts(comparison), "renames": dict(lambdas.renames), "told": lambdas.told}


def facts(comparison: Comparison) -> dict[str, object]:
    return {
        "same": comparison.same,
        "changed": comparison.changed,
        "reinitialised": comparison.reinitialised,
        "resized": comparison.resized,
        "added": comparison.added,
        "removed": comparison.removed,
        "counterpart": list(comparison.counterpart.items()),
    }


def test_renames() -> None:
    data = compile_unit("gcc", source("c", 1), "-O0")
    renames = {name: b"other" for name in ElfObject.parse(data, "u.o").symbol_names if name.startswith(b"n.")}
    assert len(renames) == 2
    python, native = both(data, renames)
    assert_equal(python, native)
    assert {b"other", b"other#1"} <= native.by_name.keys()


def test_names_that_are_not_those_of_the_file() -> None:
    obj = ElfObject.parse(compile_unit("gcc", source("c", 1), "-O0"), "u.o")
    assert isinstance(obj.symbol_names, Names)
    index = obj.symbol_names.index(b"outside")
    other = replace(obj, symbol_names=obj.symbol_names.with_names({index: b"_ZL7outsidei"}))
    assert other.symbol_names[index] == b"_ZL7outsidei" == list(other.symbol_names)[index]
    assert [n for n in other.symbol_names if n != b"_ZL7outsidei"] == [n for n in obj.symbol_names if n != b"outside"]
    python, native = (Atoms(other, interner) for interner in (Interner(), Interner(diff_calls())))
    assert columns._native(other, native.intern, {}) is not None
    assert_equal(python, native)
    assert native.intern(b"_ZL7outsidei") in native.rows["target"].tolist()


def test_resolved_references_are_no_difference() -> None:
    """The call of a static function has no relocation where both are in one section."""
    old, new = (compile_unit("gcc", source("c", 1), "-O0", *flags) for flags in ((), OURS))
    interner = Interner(diff_calls())
    comparison = compare(*(Atoms(ElfObject.parse(data, "unit.o"), interner) for data in (old, new)))
    first = comparison.new.by_name[b"first"]
    assert first in comparison.same
    assert comparison.old.content(comparison.old.by_name[b"first"]) != comparison.new.content(first)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_damaged_objects(edits: list[tuple[int, int]], tables: bool) -> None:
    """Damage in the headers, the symbols, the relocations: both say the same, or both refuse."""
    data = bytearray(compile_unit("gcc", source("c", 1), "-O0", *OURS))
    obj = ElfObject.parse(bytes(data), "u.o")
    places = [int(h["offset"]) for h in obj.sections if int(h["type"]) in (2, 4)] if tables else []
    for at, value in edits:
        low = places[at % len(places)] if places else len(data) - 64 * len(obj.sections)
        data[(low + at % 4096) % len(data)] = value
    with contextlib.suppress(FormatError):
        broken = ElfObject.parse(bytes(data), "u.o")
        answers: list[Atoms | str] = []
        for interner in (Interner(), Interner(diff_calls())):
            try:
                answers.append(Atoms(broken, interner))
            except FormatError as error:
                answers.append(str(error))
        one, other = answers
        if isinstance(one, Atoms) and isinstance(other, Atoms):
            assert_equal(one, other)
        else:
            assert one == other


def test_warnings_of_both_compilers() -> None:
    for compiler in COMPILERS["c"]:
        flags = ["-std=gnu11", "-O2", "-fsyntax-only", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
        subprocess.run([compiler, *flags, *map(str, library.SOURCES)], check=True)
