"""gcc's one initialiser of a unit, cut into blocks: each variable has its own, or nobody trusts the reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from relive.diff.atoms import Atoms, Interner
from relive.dwarf.reader import DebugInfo
from relive.elf.object import ElfObject
from relive.session import initialisers
from relive.session.initialisers import Block, initialiser_blocks
from tests.dwarf_objects import compile_object, reader

LEAF = b"_Z41__static_initialization_and_destruction_0ii"
CLASS = """struct Noted { int n; Noted(int); Noted(int, const char *); ~Noted(); };
struct Plain { int n; Plain(int); };
int compute(int);
"""
AFTER = "int use() { return 0; }\n"


class Cut:
    """The blocks of a source's initialiser, when `new` are its new variables."""

    def __init__(self, folder: Path, source: str, *new: str, flags: tuple[str, ...] = ("-O0",)) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        data = compile_object(folder, "g++", CLASS + source + AFTER, "-c", *flags)
        self.atoms = Atoms(ElfObject.parse(data, "unit.cpp"), Interner())
        self.leaf = self.atoms.by_name[LEAF]
        self.new = {name.encode() for name in new}
        self.blocks = initialiser_blocks(reader().read(data), self.atoms, self.leaf, self.new)

    @property
    def found(self) -> tuple[Block, ...]:
        assert self.blocks is not None
        return self.blocks

    @property
    def names(self) -> list[str | None]:
        """The new variable of each block."""
        return [name.decode() if name is not None else None for _, _, name in self.found]

    def mentioned(self, kept: bool) -> set[str]:
        """What the blocks refer to that stay (`kept`), or that are jumped over."""
        names = set()
        start = int(self.atoms.start[self.leaf])
        for row in self.atoms.row_range(self.leaf):
            at = int(self.atoms.relocations["offset"][row]) - start
            for low, high, name in self.found:
                if low <= at < high and (name is not None) == kept:
                    target = int(self.atoms.target[row])
                    symbol = self.atoms.object.symbol_names[int(self.atoms.relocations["symbol"][row])]
                    names.add((self.atoms.names[target] if target >= 0 else symbol) or b"?")
        return {name.decode() for name in names if name is not None}

    def check(self) -> None:
        """Blocks follow each other without gaps; new variables are in theirs and nowhere else."""
        for (_, end, _), (start, _, _) in zip(self.found, self.found[1:], strict=False):
            assert end == start
        wanted = {name.decode() for name in self.new}
        assert wanted <= self.mentioned(kept=True)
        assert not wanted & self.mentioned(kept=False)
        assert {name for _, _, name in self.found if name is not None} == self.new


def test_one_line_each(tmp_path: Path) -> None:
    for new in (("a",), ("b",), ("c",), ("a", "c"), ("a", "b", "c")):
        cut = Cut(tmp_path, "Noted a(1);\nNoted b(2);\nNoted c(3);\n", *new)
        assert cut.names == [name if name in new else None for name in "abc"]
        cut.check()


def test_kinds_of_variables(tmp_path: Path) -> None:
    source = """int number = compute(1);
static int hidden = compute(2);
namespace { Noted nameless(3); }
Plain plain(4);
static Noted several[2] = {5, 6};
const int constant = compute(7);
Noted &reference = *new Noted(8);
struct Holder { static Noted member; };
Noted Holder::member(9);
"""
    everything = ("number", "_ZL6hidden", "_ZN12_GLOBAL__N_18namelessE", "plain", "_ZN6Holder6memberE", "_ZL8constant")
    for name in everything:
        cut = Cut(tmp_path, source, name)
        cut.check()
        assert cut.names.count(name) == 1


def test_a_member_whose_declaration_is_on_the_same_line_of_another_file(tmp_path: Path) -> None:
    # gcc says of the definition only what differs from the declaration.
    lines = CLASS.count("\n")
    (tmp_path / "h.h").write_text("\n" * (lines + 2) + "struct Holder { static Noted member; };\n")
    source = '#include "h.h"\nNoted before(1);\nNoted Holder::member(9);\nNoted last(2);\n'
    for name in ("before", "_ZN6Holder6memberE", "last"):
        cut = Cut(tmp_path, source, name)
        cut.check()
        assert len(cut.found) == 3


def test_a_variable_without_a_line_spoils_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its constructor would be taken for part of the block before, and run again with that.
    source = "Noted a(1);\nNoted b(2);\nNoted c(3);\n"
    assert Cut(tmp_path, source, "a").names == ["a", None, None]
    real = initialisers._definitions

    def without_b(info: DebugInfo, atoms: Atoms) -> dict[str, list[tuple[int, frozenset[bytes]]]]:
        return {file: [row for row in rows if row[1] != {b"b"}] for file, rows in real(info, atoms).items()}

    monkeypatch.setattr(initialisers, "_definitions", without_b)
    assert Cut(tmp_path, source, "a").blocks is None


def test_a_definition_over_several_lines(tmp_path: Path) -> None:
    source = """Noted first(
    compute(1)
    + compute(2));
Noted
    second(
        compute(3),
        "text"
    );

Noted third(3);
"""
    for name in ("first", "second", "third"):
        cut = Cut(tmp_path, source, name)
        cut.check()
        assert cut.names == [n if n == name else None for n in ("first", "second", "third")]


def test_several_on_one_line(tmp_path: Path) -> None:
    cut = Cut(tmp_path, "Noted before(0);\nNoted a(1), b(2), c(3);\nNoted after(4);\n", "b")
    assert cut.names == [None, None, "b", None, None]
    cut.check()
    cut = Cut(tmp_path, "Noted a(1); Noted b(compute(2)); Noted c(3);\n", "a", "c")
    assert cut.names == ["a", None, "c"]
    cut.check()


def test_several_on_one_line_that_are_all_old(tmp_path: Path) -> None:
    cut = Cut(tmp_path, "Noted a(1), b(2);\nNoted c(3);\n", "c")
    assert cut.names == [None, "c"]
    cut.check()


def test_several_on_one_line_without_destructors_cannot_be_told_apart(tmp_path: Path) -> None:
    assert Cut(tmp_path, "Plain a(1), b(2);\n", "b").blocks is None
    assert Cut(tmp_path, "Plain a(1); Noted b(2);\n", "b").blocks is None


def test_variables_of_a_macro(tmp_path: Path) -> None:
    source = "#define MAKE(name) Noted name##_one(1); \\\n    Noted name##_two(2);\nMAKE(x)\nMAKE(y)\n"
    cut = Cut(tmp_path, source, "y_two")
    assert cut.names == [None, None, "y_two"]
    cut.check()


@pytest.mark.parametrize("order", ["before", "between", "behind"])
def test_variables_of_a_header(tmp_path: Path, order: str) -> None:
    folder = tmp_path
    (folder / "h.h").write_text("#pragma once\nstatic Noted of_header(7);\nstatic Noted too(8);\n")
    include = '#include "h.h"\n'
    source = {
        "before": include + "Noted a(1);\nNoted b(2);\n",
        "between": "Noted a(1);\n" + include + "Noted b(2);\n",
        "behind": "Noted a(1);\nNoted b(2);\n" + include,
    }[order]
    for new in ("b", "_ZL9of_header"):
        cut = Cut(folder, source, new)
        cut.check()
        assert len(cut.found) == 4


def test_inline_variables_of_a_header_are_guarded(tmp_path: Path) -> None:
    (tmp_path / "h.h").write_text("#pragma once\ninline Noted shared(7);\n")
    cut = Cut(tmp_path, '#include "h.h"\nNoted a(1);\nNoted b(2);\n', "b", flags=("-O0", "-std=c++17"))
    if cut.blocks is not None:
        cut.check()
        assert "_ZGV6shared" not in cut.mentioned(kept=True)


def test_lambdas_and_calls_with_temporaries(tmp_path: Path) -> None:
    source = """template <class F> int call(F f) { return f(1); }
int a = call([](int x) { return x + compute(x); });
Noted b(call([](int x) {
    return x * 2;
}));
int c = Noted(5).n + Noted(6).n;
int d = compute(9);
"""
    for name in "abcd":
        cut = Cut(tmp_path, source, name)
        cut.check()


def test_a_template_that_is_instantiated_later(tmp_path: Path) -> None:
    source = """template <class T> struct Registry { static Noted entry; static int touch() { return entry.n; } };
template <class T> Noted Registry<T>::entry(4);
Noted a(1);
int b = Registry<int>::touch();
Noted c(3);
"""
    cut = Cut(tmp_path, source, "c")
    if cut.blocks is not None:
        cut.check()


def test_what_is_not_read_is_not_trusted(tmp_path: Path) -> None:
    source = "Noted a(1);\nNoted b(2);\n"
    # A name that is no variable here, and code that an optimiser has mixed.
    assert Cut(tmp_path, source, "b", "nowhere").blocks is None
    with pytest.raises(KeyError):
        Cut(tmp_path, source, "b", flags=("-O2",))
