"""change.cpp of small projects: it compiles, holds what it should and nothing else, and lines stay true."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from relive.source.changes import edits
from relive.source.graph import Edit
from tests.source_units import change, compile_change, ctwik, edit, names, small


def defined(obj: Path) -> set[str]:
    """Functions and variables that an object defines, demangled."""
    done = subprocess.run(["nm", "-C", "--defined-only", str(obj)], check=True, capture_output=True, text=True)
    return {line.split(" ", 2)[2] for line in done.stdout.splitlines() if line.split()[1] in "TtDdBbRrVWw"}


def extract(
    tmp_path: Path, sources: dict[str, str], unit: str, symbol: str, *, compiler: str = "gcc"
) -> tuple[str, Path]:
    """The extract for an edited body, and its object."""
    with small(tmp_path, sources, compiler=compiler) as found:
        graph = found.graph()
        number = next(n for n in graph.find(symbol) if graph.vertex(n).kind == 0)
        text = change(found, found.unit(unit), graph.sets([Edit(number, False)]), graph)
        obj, words = compile_change(found, found.unit(unit), text)
        assert obj.exists(), words + text.decode()
        return text.decode(), obj


def test_the_sample_project_getprice(tmp_path: Path) -> None:
    with ctwik(tmp_path) as found:
        graph, unit = found.graph(), found.unit("car.cpp")
        sets = edit(graph, "Car::getPrice")
        assert sorted(names(graph, sets.needed)) == [
            "Car",
            "Car::getPrice",
            "ModelDetails",
            "Product",
            "getModelDetails",
        ]
        text = change(found, unit, sets, graph)
        obj, words = compile_change(found, unit, text)
        assert defined(obj) == {"Car::getPrice(int)"}, words
        assert b"method658" in text, "the class is whole"
        assert b"method658(int x) {" not in text


def test_the_sample_project_main(tmp_path: Path) -> None:
    with ctwik(tmp_path) as found:
        graph, unit = found.graph(), found.unit("main.cpp")
        sets = edit(graph, "main")
        assert names(graph, sets.needed) == ["printf", "Product", "Car", "main"]
        obj, words = compile_change(found, unit, change(found, unit, sets, graph))
        assert defined(obj) == {"main"}, words


CXX = {
    "shop.hpp": """
        #pragma once
        #include <string>
        #define NAME(x) x##_name
        namespace shop {
        namespace { int hidden = 3; }
        inline namespace v1 {
        struct Item {
            std::string NAME(item);
            int price = 1;
            int twice() { return price * 2; }
            bool operator<(const Item &o) const { return price < o.price; }
        };
        }
        enum Color { RED, GREEN };
        template <class T> T larger(T a, T b) { return a < b ? b : a; }
        constexpr int square(int x) { return x * x; }
        inline int discount(int x) { return x / 2 + hidden; }
        bool operator==(const Item &a, const Item &b);
        extern int counter;
        }
        """,
    "shop.cpp": """
        #include "shop.hpp"
        #include <vector>
        #include <cassert>
        namespace shop {
        int counter = 5;
        static const int limit = square(4);
        static int calls;
        int table[square(2)] = {1, 2};
        bool operator==(const Item &a, const Item &b) { return a.price == b.price; }
        static int helper(int x) { return x + limit; }
        int total(const std::vector<Item> &items) {
            int sum = 0;
            for (const Item &item : items) sum += item.price;
            ++calls;
            assert(sum >= 0);
            return helper(sum) + counter + table[0] + larger(sum, 1) + discount(RED);
        }
        bool same(const Item &a, const Item &b) { return a == b; }
        struct Unused { int x; };
        int unused(Unused u) { return u.x; }
        }
        int main() { return shop::total({}); }
        """,
}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_namespaces_templates_and_statics(tmp_path: Path, compiler: str) -> None:
    text, obj = extract(tmp_path, CXX, "shop.cpp", "shop::total", compiler=compiler)
    assert any("total" in name for name in defined(obj))
    assert not any(name.startswith(("shop::same", "shop::helper", "main")) for name in defined(obj))
    assert "extern int counter" in text
    assert "Unused" not in text
    assert "#include <vector>" in text
    assert "int table[square(2)] = {1, 2};" in text, "how long it is may matter to others"
    assert "limit" not in text, "only the body of a function that is not compiled needs it"


def test_an_operator_comes_with_its_type(tmp_path: Path) -> None:
    text, _ = extract(tmp_path, CXX, "shop.cpp", "shop::same")
    assert "operator==(const Item &a, const Item &b);" in text


def test_a_member_in_a_class_is_compiled_in_its_class(tmp_path: Path) -> None:
    text, _ = extract(tmp_path, CXX, "shop.cpp", "shop::v1::Item::twice")
    assert "{ return price * 2; }" in text
    assert "o.price;" not in text, "the bodies of the others are gone"


C = {
    "config.h": "#define _GNU_SOURCE 1\n#define UNIT(x) ((x) * 3)\n",
    "list.h": """
        #ifndef LIST_H
        #define LIST_H
        struct node;
        typedef struct list { struct node *first; } list;
        #pragma pack(push, 1)
        struct node { char c; int value; struct node *next; };
        #pragma pack(pop)
        enum { LIMIT = 7 };
        int walk(list *l);
        #endif
        """,
    "a.c": """
        #include "config.h"
        #include <string.h>
        #include <signal.h>
        #include "list.h"
        static int seen = 2;
        int sizes[] = {1, 2, 3};
        struct { int a, b; } pair;
        static int add(a, b) int a; int b; { return a + b; }
        #ifdef NEVER
        int walk(list *l) { return 0; }
        #else
        int walk(list *l)
        #endif
        {
            struct sigaction action;
            memset(&action, 0, sizeof action);
            action.sa_handler = SIG_IGN;
            int sum = sizeof sizes + pair.a + (strchrnul("a", 'b') != 0);
            for (struct node *n = l->first; n; n = n->next) sum += UNIT(n->value) + LIMIT;
            return add(sum, seen) + sizeof(struct node) + (action.sa_handler != 0);
        }
        int other(void) { return seen; }
        int main(void) { list l = {0}; return walk(&l); }
        """,
}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_c_with_everything_that_is_unpleasant(tmp_path: Path, compiler: str) -> None:
    text, obj = extract(tmp_path, C, "a.c", "walk", compiler=compiler)
    assert "walk" in defined(obj)
    assert "other" not in defined(obj)
    assert "_GNU_SOURCE" in text, "strchrnul would not be declared"
    # Completed further down, packed, and never named by the function: it is behind `list`.
    assert code(obj, "walk") == code(tmp_path / "build" / "a.c.o", "walk")


def test_lines_stay_true(tmp_path: Path) -> None:
    broken = {**C, "a.c": C["a.c"].replace("return add(sum, seen)", "return add(sum, seen) + nobody")}
    (tmp_path / "v1").mkdir()
    with small(tmp_path / "p", C) as found:
        graph, unit = found.graph(), found.unit("a.c")
        Path(unit.source).write_text(broken["a.c"])
        found.indexer.touched([unit.source])
        graph = found.graph()
        number = next(n for n in graph.find("walk") if graph.vertex(n).kind == 0)
        obj, words = compile_change(found, unit, change(found, unit, graph.sets([Edit(number, False)]), graph))
        line = broken["a.c"].split("\n").index(next(r for r in broken["a.c"].split("\n") if "nobody" in r)) + 1
        assert not obj.exists()
        assert re.search(rf"src/a\.c:{line}:\d+: error: .*nobody", words), words


LOCAL = """
    template <class T> auto twice(const T &x) -> decltype(x.get()) { return 2 * x.get(); }
    struct Box { template <class T> int put(T x) { return x.get(); } int plain() { return 1; } };
    int f(int n) { struct Local { int get() const { return 3; } }; return twice(Local()) + n + Box().put(Local()); }
    int main() { return f(1); }
    """


def test_a_template_over_a_local_type_needs_its_body(tmp_path: Path) -> None:
    with small(tmp_path, {"a.cpp": LOCAL}) as found:
        graph, unit = found.graph(), found.unit("a.cpp")
        sets = edit(graph, "f")
        obj, words = compile_change(found, unit, change(found, unit, sets, graph, templates=False))
        assert not obj.exists()
        assert "never defined" in words
        text = change(found, unit, sets, graph)
        obj, words = compile_change(found, unit, text)
        assert obj.exists(), words
        assert b"return 1" not in text


def test_an_edited_header_reaches_all_units(tmp_path: Path) -> None:
    header = "#pragma once\nstruct P { int x; };\ninline int get(P p) { return p.x; }\nint g(P p);\n"
    sources = {
        "p.hpp": header,
        "a.cpp": '#include "p.hpp"\nint g(P p) { return get(p); }\nint lonely() { return 1; }\n',
        "b.cpp": '#include "p.hpp"\nint main() { P p{}; return g(p); }\n',
    }
    with small(tmp_path, sources) as found:
        found.graph()
        (path,) = [path for path in found.project.inputs() if path.endswith("p.hpp")]
        old = found.store.forms_of(path)
        Path(path).write_text(header.replace("int x;", "int x, y;").replace("p.x", "p.x + 1"))
        found.indexer.touched([path])
        graph = found.graph()
        sets = graph.sets(edits(graph, old[0], found.store.forms_of(path)[0]))
        assert sorted(names(graph, sets.edited)) == ["P", "get"]
        assert sorted(names(graph, sets.affected)) == ["P", "g", "g", "get", "main"]
        for unit in found.project.units.values():
            obj, words = compile_change(found, unit, change(found, unit, sets, graph))
            assert obj.exists(), words
            assert "lonely()" not in defined(obj)


def code(obj: Path, function: str) -> list[str]:
    """Instructions and relocations of a function, without addresses."""
    done = subprocess.run(
        ["objdump", "-dr", "--no-show-raw-insn", f"--disassemble={function}", str(obj)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    lines = [line.split("\t", 1)[-1] for line in done.stdout.splitlines() if "\t" in line]
    plain = [re.sub(r"\s*[#<].*|\b[0-9a-f]+$", "", line).strip() for line in lines]
    # A static variable is called by its section, or by its name where it stands alone.
    return [line for line in plain if "R_X86_64" not in line]
