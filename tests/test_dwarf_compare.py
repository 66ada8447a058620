"""What two objects of one unit say about a type, and how that is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relive.dwarf.compare import compare_types, compare_units, explain_layout
from relive.dwarf.model import TypeChange
from relive.dwarf.tables import TypeTable
from tests.dwarf_objects import C_COMPILERS, CXX_COMPILERS, read_object

ENTITY = """
struct Base { virtual void tick(); int id; }; void Base::tick() {}
enum Color { RED, GREEN };
struct Entity : Base { float x, y; Color color; void tick() override; static int count; int health() const; };
void Entity::tick() {} int Entity::health() const { return id; } int Entity::count = 0;
struct Team { Entity leader; Entity *others; } team; struct Far { Team *t; } far;
"""


def changes(folder: Path, compiler: str, old: str, new: str) -> dict[str, TypeChange]:
    before, after = read_object(folder, compiler, old), read_object(folder, compiler, new)
    return {change.name: change for change in compare_types(before, after)}


def edited(folder: Path, compiler: str, old: str, new: str) -> dict[str, TypeChange]:
    assert old in ENTITY
    return changes(folder, compiler, ENTITY, ENTITY.replace(old, new))


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("static int count;", "static int count, other;"),
        ("int health() const;", "int health() const; void added(); template <class T> void more(T);"),
        ("struct Entity : Base {", "class Entity : public Base { public: struct Nested { int n; };"),
        ("float x, y;", "\n\n\ntypedef float real; real x, y;"),
        ("struct Far", "struct New { int n; } brand_new; struct Far"),
        ("struct Far { Team *t; } far;", ""),
        ("int id; }", "int id; friend struct Entity; }"),
    ],
)
def test_what_does_not_matter_to_objects(tmp_path: Path, compiler: str, old: str, new: str) -> None:
    assert edited(tmp_path, compiler, old, new) == {}


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_a_field_is_added(tmp_path: Path, compiler: str) -> None:
    found = edited(tmp_path, compiler, "Color color;", "Color color; double armor = 12.5;")
    assert set(found) == {"Entity", "Team"}
    entity = found["Entity"]
    assert entity.explanation == "size 24 → 32: field `armor` (double) added at 24"
    assert (entity.layout_changed, entity.vtable_changed, entity.objects_unchanged) == (True, False, False)
    assert (entity.old_size, entity.new_size) == (24, 32)
    assert "24 armor: double" in entity.new_layout
    assert found["Team"].explanation.startswith("size 32 → 40")


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
@pytest.mark.parametrize(
    ("old", "new", "explanation"),
    [
        ("float x, y;", "float y, x;", "field `x` moved from 12 to 16, field `y` moved from 16 to 12"),
        ("float x, y;", "float x; int y;", "field `y` is int instead of float"),
        ("float x, y;", "float x, height;", "field `y` renamed to `height`"),
        ("float x, y;", "float x;", "field `y` (float) removed, 1 field moved"),
        (
            "Entity : Base {",
            "Mixin { char m[8]; };\nstruct Entity : Base, Mixin {",
            "size 24 → 32: base `Mixin` added at 12",
        ),
        ("Color color;", "Color color : 8;", "field `color` is Color:8 instead of Color, 1 field moved"),
    ],
)
def test_explanations(tmp_path: Path, compiler: str, old: str, new: str, explanation: str) -> None:
    assert edited(tmp_path, compiler, old, new)["Entity"].explanation.startswith(explanation)


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_a_virtual_function_is_added(tmp_path: Path, compiler: str) -> None:
    more = "virtual void early(); virtual void tick(); int id; }; void Base::early() {}"
    found = edited(tmp_path, compiler, "virtual void tick(); int id; };", more)
    assert set(found) == {"Base", "Entity"}
    assert not found["Base"].layout_changed
    assert found["Base"].vtable_changed
    assert "virtual `_ZN4Base5earlyEv` added in slot 0" in found["Base"].explanation
    assert "moved from slot 0 to 1" in found["Entity"].explanation


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_the_key_function_goes_to_another_unit(tmp_path: Path, compiler: str) -> None:
    """gcc describes a class only where its key function is; then neither unit alone has it before and after."""
    old, new = "struct K { virtual void a(); };", "struct K { virtual void b(); virtual void a(); };"
    uses = "K *make(); void use(K *k) { k->a(); }"
    old_a, new_a = (read_object(tmp_path, compiler, f"{head} {uses} void K::a() {{}}") for head in (old, new))
    old_b = read_object(tmp_path, compiler, f"{old} {uses}")
    new_b = read_object(tmp_path, compiler, f"{new} {uses} void K::b() {{}}")
    (change,) = compare_units([(old_a, new_a), (old_b, new_b)])
    assert change.name == "K"
    assert change.vtable_changed
    assert compare_units([(old_a, old_a), (new_b, new_b)]) == ()


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_a_class_becomes_polymorphic(tmp_path: Path, compiler: str) -> None:
    found = changes(tmp_path, compiler, "struct A { long n; } a;", "struct A { virtual void f() {} long n; }; A a;")
    assert found["A"].explanation.startswith("size 8 → 16: now has a vtable pointer")


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_enumerators(tmp_path: Path, compiler: str) -> None:
    added = edited(tmp_path, compiler, "RED, GREEN", "RED, GREEN, BLUE")["Color"]
    assert added.objects_unchanged
    assert added.explanation == "enumerator `BLUE` = 2 added"
    shifted = edited(tmp_path, compiler, "RED, GREEN", "BLACK, RED, GREEN")["Color"]
    assert not shifted.objects_unchanged
    assert "enumerator `RED` is 1 instead of 0" in shifted.explanation


@pytest.mark.parametrize("compiler", C_COMPILERS)
def test_types_of_one_name_change_only_where_they_differ(tmp_path: Path, compiler: str) -> None:
    source = """int f(void) { { struct s { int a; } x = {1}; f(); (void)x; }
                              { struct s { long b; } y = {2}; (void)y; } return 0; }
    typedef struct { int n; } anonymous; anonymous a;"""
    assert changes(tmp_path, compiler, source, source) == {}
    found = changes(tmp_path, compiler, source, source.replace("long b", "long b, c"))
    (change,) = found.values()
    assert change.display == "f()::s"
    assert change.explanation == "size 8 → 16: field `c` (long int) added at 8".replace(
        "long int", "long" if compiler == "clang" else "long int"
    )
    assert list(changes(tmp_path, compiler, source, source.replace("int n;", "int n, m;"))) == ["anonymous"]


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_captures_of_a_lambda(tmp_path: Path, compiler: str) -> None:
    source = "int f(int a, int b) { auto l = [a] { return a; }; return l() + b; }"
    (change,) = changes(
        tmp_path, compiler, source, source.replace("[a] { return a;", "[a, b] { return a + b;")
    ).values()
    assert change.is_lambda
    assert change.display == "f()::<lambda>"
    assert "size 4 → 8" in change.explanation


def test_tables_do_not_depend_on_order_or_copies() -> None:
    names = np.array([5, 3, 5, 9, 5], np.uint64)
    layouts = np.array([1, 2, 7, 4, 1], np.uint64)
    vtables = np.zeros(5, np.uint64)
    table = TypeTable.of(names, layouts, vtables)
    assert table.names.tolist() == [3, 5, 9]
    again = TypeTable.of(names[::-1][:-1], layouts[::-1][:-1], vtables[:-1])
    assert table.differing(again).tolist() == []
    layouts[3] = 40
    assert table.differing(TypeTable.of(names, layouts, vtables)).tolist() == [9]
    empty = TypeTable.of(names[:0], layouts[:0], vtables[:0])
    assert table.differing(empty).tolist() == empty.differing(table).tolist() == []


def test_explanation_names_the_first_few() -> None:
    old = "struct size 8\n0 a: int\n"
    new = "struct size 48\n" + "".join(f"{8 * i} f{i}: long\n" for i in range(6))
    assert explain_layout(old, new) == (
        "size 8 → 48: field `a` (int) removed, field `f0` (long) added at 0, field `f1` (long) added at 8, "
        "field `f2` (long) added at 16, 3 more"
    )
