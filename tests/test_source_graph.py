"""The dependency graph on components written by hand: which edges there are, and what an edit reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from relive.source.changes import compare_forms, removed
from relive.source.forms import AMBIENT, DamagedError, Form, Run, from_bytes, to_bytes
from relive.source.graph import Edit, Graph, Sets
from relive.source.model import Flag, Kind
from relive.source.shares import shares
from tests.source_forms import Part, attached, class_, form, function, inline_member, macro, prototype, whole

# The sample project of the CTwik document.
DETAILS = form(
    "model_details.hpp", class_("ModelDetails", "cost margin bestPrice"), prototype("getModelDetails", "ModelDetails")
)
DETAILS_CPP = form(
    "model_details.cpp",
    function("ModelDetails::bestPrice", body="cost margin"),
    function("getModelDetails", "ModelDetails model", "m"),
)
PRODUCT = form("product.hpp", class_("Product", "aa"))
CAR = form("car.hpp", class_("Car", "getPrice method1 method658 method1000", "Product"))
CAR_CPP = form(
    "car.cpp",
    function("Car::getPrice", "model", "ModelDetails m getModelDetails discount", selects="bestPrice"),
    function("Car::method1", "x"),
    function("Car::method658", "x"),
    function("Car::method1000", "x"),
)
MAIN = form(
    "main.cpp", prototype("printf", "__format"), function("main", "", "Car c printf", selects="method658 getPrice")
)
SAMPLE = {
    "car.cpp": whole(DETAILS, PRODUCT, CAR, CAR_CPP),
    "main.cpp": (Run(MAIN.digest, 0, 1), *whole(PRODUCT, CAR), Run(MAIN.digest, 1, 1)),
    "model_details.cpp": whole(DETAILS, DETAILS_CPP),
}


@pytest.fixture
def sample() -> Graph:
    return Graph([DETAILS, DETAILS_CPP, PRODUCT, CAR, CAR_CPP, MAIN], SAMPLE)


def names(graph: Graph, numbers: Iterable[int]) -> list[str]:
    return [graph.vertex(number).name for number in numbers]


def one(graph: Graph, name: str) -> int:
    (number,) = graph.find(name)
    return number


def reach(graph: Graph, name: str, *, interface: bool = False, through_bodies: bool = False) -> Sets:
    return graph.sets([Edit(one(graph, name), interface)], through_bodies=through_bodies)


def test_getprice_edited_needs_five_components(sample: Graph) -> None:
    sets = reach(sample, "Car::getPrice")
    assert names(sample, sets.edited) == names(sample, sets.affected) == ["Car::getPrice"]
    assert names(sample, sets.needed) == ["ModelDetails", "getModelDetails", "Product", "Car", "Car::getPrice"]
    assert sets.doubts == ()


def test_main_edited_needs_four_components(sample: Graph) -> None:
    assert names(sample, reach(sample, "main").needed) == ["printf", "Product", "Car", "main"]


def test_main_depends_on_the_declaration_of_a_method_only(sample: Graph) -> None:
    method = one(sample, "Car::method658")
    assert sample.blue(method) == frozenset()
    assert method not in sample.red(one(sample, "main"))
    assert names(sample, sample.red(method)) == ["Car"]


def test_an_edited_class_reaches_its_users_in_all_units(sample: Graph) -> None:
    sets = reach(sample, "Product", interface=True)
    methods = [f"Car::{name}" for name in ("getPrice", "method1", "method658", "method1000")]
    assert names(sample, sets.affected) == ["Product", "Car", *methods, "main"]


def test_a_new_signature_reaches_callers_and_stops_at_their_bodies(sample: Graph) -> None:
    numbers = sample.find("getModelDetails", "model_details.hpp")
    sets = sample.sets([Edit(numbers[0], True)])
    assert names(sample, sets.affected) == ["getModelDetails", "Car::getPrice", "getModelDetails"]


def test_blue_is_the_inverse_of_red(sample: Graph) -> None:
    for number in range(len(sample)):
        for other in sample.red(number, members=False):
            assert number in sample.blue(other)
        for other in sample.blue(number):
            assert number in sample.red(other)


def test_what_comes_later_is_not_needed() -> None:
    file = form("a.c", function("early", body="late"), function("late", body="early"))
    graph = Graph([file], {"a": whole(file)})
    assert graph.red(one(graph, "early")) == frozenset()
    assert names(graph, graph.red(one(graph, "late"))) == ["early"]


def test_a_header_after_the_use_is_not_needed() -> None:
    source = form("a.c", function("early", body="late"), function("user", body="late"))
    header = form("late.h", prototype("late"))
    graph = Graph([source, header], {"a": (Run(source.digest, 0, 1), *whole(header), Run(source.digest, 1, 1))})
    assert names(graph, graph.red(one(graph, "user"))) == ["late"]


def test_a_structure_that_is_completed_later_is_needed() -> None:
    first = form("world.h", prototype("Player"), class_("World", "players", "Player"))
    second = form("player.h", class_("Player", "name"))
    source = form("a.cpp", function("greet", body="World", selects="players name"))
    graph = Graph([first, second, source], {"a": whole(first, second, source)})
    assert names(graph, reach(graph, "greet").needed) == ["Player", "World", "Player", "greet"]


def test_what_is_completed_after_the_edit_is_not_needed() -> None:
    first = form("world.h", prototype("Player"), class_("World", "players", "Player"))
    source = form("a.cpp", function("greet", body="World"), class_("Player", "name"))
    graph = Graph([first, source], {"a": whole(first, source)})
    assert names(graph, reach(graph, "greet").needed) == ["Player", "World", "greet"]


def test_units_do_not_see_each_other() -> None:
    first, second = form("a.c", function("helper")), form("b.c", function("user", body="helper"))
    graph = Graph([first, second], {"a": whole(first), "b": whole(second)})
    assert graph.red(one(graph, "user")) == frozenset()


def test_a_changed_class_reaches_through_what_shows_it() -> None:
    header = form(
        "h.hpp", class_("Key", "turn"), class_("Lock", "key", "Key"), prototype("front", "Lock"), prototype("other")
    )
    source = form("a.cpp", function("open", body="front", selects="key turn"), function("shut", body="other"))
    graph = Graph([header, source], {"a": whole(header, source)})
    affected = names(graph, reach(graph, "Key", interface=True).affected)
    assert affected == ["Key", "Lock", "front", "open"], "open names neither Key nor Lock, but turns a key"


def test_a_selected_member_leads_to_the_classes_behind_other_edges() -> None:
    header = form(
        "h.hpp",
        class_("Key", "turn"),
        class_("Lock", "key", "Key"),
        prototype("front", "Lock"),
        class_("Wheel", "turn"),
    )
    source = form("a.cpp", function("open", body="front", selects="key turn"))
    graph = Graph([header, source], {"a": whole(header, source)})
    assert sorted(names(graph, graph.red(one(graph, "open")))) == ["Key", "Lock", "front"], "no wheel is turned"


def test_members_inside_of_a_class_are_edited_alone() -> None:
    header = form(
        "h.hpp",
        prototype("log"),
        class_("Car", "go stop"),
        inline_member("Car::go", 1, "log"),
        inline_member("Car::stop", 1),
    )
    source = form("a.cpp", function("drive", body="Car", selects="go"))
    graph = Graph([header, source], {"a": whole(header, source)})
    assert names(graph, reach(graph, "Car::go").needed) == ["log", "Car", "Car::go"]
    assert names(graph, reach(graph, "Car", interface=True).affected) == ["Car", "Car::go", "Car::stop", "drive"]


def test_an_inlining_compiler_shows_bodies_to_callers() -> None:
    file = form(
        "a.c", function("low"), function("middle", body="low"), function("high", body="middle"), function("else")
    )
    graph = Graph([file], {"a": whole(file)})
    assert names(graph, reach(graph, "low").affected) == ["low"]
    assert names(graph, reach(graph, "low", through_bodies=True).affected) == ["low", "middle", "high"]


def test_a_macro_is_found_in_the_source_text() -> None:
    header = form("h.h", macro("LIMIT"), macro("TWICE", "LIMIT"))
    source = form("a.c", function("f", macros="TWICE"), function("g"))
    graph = Graph([header, source], {"a": whole(header, source)})
    assert names(graph, reach(graph, "LIMIT", interface=True).affected) == ["LIMIT", "TWICE", "f"]
    assert names(graph, reach(graph, "f").needed) == ["LIMIT", "TWICE", "f"]


def test_a_macro_that_decides_what_is_compiled_is_a_doubt() -> None:
    header = form("h.h", macro("WITH_SOUND"), macro("VOLUME"))
    source = form("a.c", function("f"), conditions="WITH_SOUND")
    graph = Graph([header, source], {"a": whole(header, source)})
    assert reach(graph, "VOLUME", interface=True).doubts == ()
    (doubt,) = reach(graph, "WITH_SOUND", interface=True).doubts
    assert "a.c" in doubt


def test_an_operator_comes_with_the_types_it_is_about() -> None:
    header = form("h.hpp", class_("Money"), attached("operator+", "Money a b"), class_("Other"))
    source = form("a.cpp", function("pay", body="Money sum"), function("rest", body="Other"))
    graph = Graph([header, source], {"a": whole(header, source)})
    assert names(graph, reach(graph, "pay").needed) == ["Money", "operator+", "pay"]
    assert "pay" in names(graph, reach(graph, "operator+", interface=True).affected)
    assert "rest" not in names(graph, reach(graph, "operator+", interface=True).affected)


def test_a_name_in_two_namespaces_is_both() -> None:
    header = form("h.hpp", prototype("north::go"), prototype("south::go"))
    source = form("a.cpp", function("travel", body="go"))
    graph = Graph([header, source], {"a": whole(header, source)})
    assert names(graph, sorted(graph.red(one(graph, "travel")))) == ["north::go", "south::go"]


def in_(scope: str, part: Part) -> Part:
    return replace(part, name=f"{scope}::{part.name}", declares=part.name, scope=scope)


def using(words: str) -> Part:
    return Part("(unnamed)", Kind.ALIAS, words, declares="", role=AMBIENT)


def test_what_an_operator_gives_back_reaches_who_calls_it_and_what_it_takes_does_not() -> None:
    header = form(
        "h.hpp",
        *(class_("Money"), class_("Sum"), class_("Rate"), attached("operator+", "Sum Money Rate", "Sum")),
        prototype("price", "Money"),
    )
    source = form("a.cpp", function("total", body="price", selects="digits"))
    graph = Graph([header, source], {"a": whole(header, source)})
    assert "total" in names(graph, reach(graph, "Sum", interface=True).affected)
    assert "total" not in names(graph, reach(graph, "Rate", interface=True).affected)
    assert "total" in names(graph, reach(graph, "operator+", interface=True).affected)


@pytest.mark.parametrize(
    ("user", "needs"),
    [
        (function("f", body="type"), False),
        (function("f", body="align type"), True),
        (in_("fmt::align", function("f", body="type")), True),
        (in_("fmt::align::inner", function("f", body="type")), True),
        (in_("fmt", function("f", body="type")), False),
        (in_("other::align", function("f", body="type")), False),
        (macro("f", "type"), True),
    ],
)
def test_a_type_is_found_in_its_namespace_or_by_its_name(user: Part, needs: bool) -> None:
    header = form("h.hpp", in_("fmt::align", class_("type")))
    source = form("a.cpp", user)
    graph = Graph([header, source], {"a": whole(header, source)})
    number = graph.of_file("a.cpp")[0]
    assert names(graph, graph.red(number)) == (["fmt::align::type"] if needs else [])


@pytest.mark.parametrize("words", ["fmt align", "short fmt align"])
def test_a_using_directive_or_an_alias_opens_a_namespace(words: str) -> None:
    header = form("h.hpp", in_("fmt::align", class_("type")), using(words))
    source = form("a.cpp", function("f", body="short type"))
    graph = Graph([header, source], {"a": whole(header, source)})
    assert "fmt::align::type" in names(graph, graph.red(one(graph, "f")))


def test_a_member_is_at_home_where_its_class_is() -> None:
    header = form("h.hpp", in_("shop", class_("Car")), in_("shop", class_("Price")))
    source = form("a.cpp", function("Car::go", body="Price"))
    graph = Graph([header, source], {"a": whole(header, source)})
    assert "shop::Price" in names(graph, graph.red(one(graph, "Car::go")))


def test_a_function_may_be_found_through_its_arguments() -> None:
    header = form("h.hpp", in_("shop", prototype("pay")))
    source = form("a.cpp", function("f", body="pay"))
    graph = Graph([header, source], {"a": whole(header, source)})
    assert names(graph, graph.red(one(graph, "f"))) == ["shop::pay"]


def test_overloads_are_told_apart_by_ordinal() -> None:
    file = form("a.cpp", function("f", "int"), function("f", "double"))
    graph = Graph([file], {"a": whole(file)})
    assert [graph.vertex(v).ordinal for v in graph.find("f")] == [0, 1]


def test_a_header_seen_differently_is_one_vertex_with_all_edges() -> None:
    plain = form("h.h", class_("Base"), class_("Thing", "", ""))
    derived = form("h.h", class_("Base"), class_("Thing", "", "Base"))
    sources = form("a.c", function("f", body="Thing")), form("b.c", function("g", body="Thing"))
    graph = Graph([plain, derived, *sources], {"a": whole(plain, sources[0]), "b": whole(derived, sources[1])})
    assert names(graph, graph.red(one(graph, "Thing"))) == ["Base"]
    assert names(graph, reach(graph, "Base", interface=True).affected) == ["Base", "Thing", "f", "g"]


def test_the_order_of_several_units_compiles() -> None:
    one_h, two_h = form("one.h", class_("One")), form("two.h", class_("Two"), class_("Three", "", "Two"))
    a = form("a.cpp", function("f", body="One Three"))
    b = form("b.cpp", function("g", body="Three One"))
    units = {"a": whole(one_h, two_h, a), "b": whole(two_h, one_h, b)}
    graph = Graph([one_h, two_h, a, b], units)
    order = graph.sets([Edit(one(graph, "f"), False), Edit(one(graph, "g"), False)]).needed
    for place, number in enumerate(order):
        assert set(order[place:]).isdisjoint(graph.red(number)), names(graph, order)
    assert len(order) == 5


@pytest.mark.parametrize("body", ["Car d", "Car c printf puts"])
def test_a_new_body_is_an_edit_without_interface(body: str) -> None:
    edited = form("main.cpp", prototype("printf", "__format"), function("main", "", body))
    ((vertex, interface),) = compare_forms(MAIN, edited)
    assert vertex[1:] == ("main", 0)
    assert not interface


def test_a_new_signature_is_an_edit_of_the_interface() -> None:
    edited = form("main.cpp", prototype("printf", "__format args"), function("main", "", "Car c printf"))
    assert {(vertex[1], interface) for vertex, interface in compare_forms(MAIN, edited)} == {
        ("printf", True),
        ("main", False),
    }


def test_an_overload_in_between_edits_no_other() -> None:
    old = form("a.cpp", function("f", "int"), function("f", "double"))
    new = form("a.cpp", function("f", "int"), function("f", "char"), function("f", "double"))
    assert [vertex for vertex, _ in compare_forms(old, new)] == [(0, "f", 1)]
    assert removed(old, new) == ()
    assert removed(new, old) == ((0, "f", 1),)


def test_a_form_survives_the_shelf() -> None:
    back = from_bytes(to_bytes(CAR_CPP))
    assert (back.file, back.digest, back.names) == (CAR_CPP.file, CAR_CPP.digest, CAR_CPP.names)
    assert (back.table == CAR_CPP.table).all()
    assert [list(back.body[row]) for row in range(4)] == [list(CAR_CPP.body[row]) for row in range(4)]
    empty = from_bytes(to_bytes(form("empty.h")))
    assert len(empty) == 0


@pytest.mark.parametrize("place", [0, 9, 40, -1])
def test_a_damaged_form_is_noticed(place: int) -> None:
    data = bytearray(to_bytes(CAR_CPP))
    data[place] ^= 4
    with pytest.raises(DamagedError):
        from_bytes(bytes(data))
    with pytest.raises(DamagedError):
        from_bytes(bytes(data[:20]))


def test_an_empty_graph_answers() -> None:
    forms: list[Form] = []
    assert Graph(forms, {}).find("f") == []


def test_each_unit_compiles_its_share() -> None:
    header = form(
        "h.h",
        class_("P"),
        function("inlined", "P"),
        replace(function("own_copy", "P"), flags=int(Flag.STATIC)),
        replace(function("generic", "P"), flags=int(Flag.TEMPLATE)),
    )
    sources = [form(f"{name}.cpp", function(f"use_{name}", body="P")) for name in "abc"]
    graph = Graph([header, *sources], {name: whole(header, s) for name, s in zip("abc", sources, strict=True)})
    found = shares(graph, reach(graph, "P", interface=True).affected)
    assert {unit: names(graph, numbers) for unit, numbers in found.items()} == {
        "a": ["inlined", "own_copy", "use_a"],
        "b": ["own_copy", "use_b"],
        "c": ["own_copy", "use_c"],
    }


def test_an_inline_function_is_compiled_once() -> None:
    header = form("h.h", function("inlined", body="x"))
    sources = [form(f"{name}.cpp", function(f"use_{name}", body="inlined")) for name in "abc"]
    graph = Graph([header, *sources], {name: whole(header, s) for name, s in zip("abc", sources, strict=True)})
    found = shares(graph, reach(graph, "inlined").affected)
    assert [names(graph, numbers) for numbers in found.values()] == [["inlined"]]
