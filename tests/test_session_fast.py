"""The fast way in a real small program: only the edited function is compiled, and the whole unit agrees afterwards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relive.events import Notice, Reload
from relive.session import verification
from tests.test_session_live import NAP, Session, session

C_UNIT = (
    '#include "shared.h"\n#define STEP %s\n'
    + NAP
    + """#include <string.h>
volatile int seen, rounds; int total = 5; static const char *const words[] = {"zero", "one"};
static int twice(int x) { return x * 2; }
static int helper(int (*f)(int), int x) { static int calls; calls++; return f(x) + %s; }
int step(void) { total++; return helper(twice, 10) + STEP + (int)strlen(words[1]) + shared(); }
int main(void) { for (;;) { seen = step(); rounds++; nap(); } }
"""
)
C_HEADER = "static inline int shared(void) { return %d; }\n"

CXX_HEADER = """#pragma once
#include <string>
#include <vector>
struct Shape {
    explicit Shape(int n) : sides(n) {}
    virtual ~Shape() {}
    virtual int area() const { return sides %s; }
    int sides;
};
inline int scaled(int x) { return x * %d; }
"""
CXX_UNIT = (
    '#include "shape.h"\n'
    + NAP
    + """extern "C" { extern volatile int seen, other; volatile int seen; }
namespace {
int hidden(int x) { return x + %s; }
struct Inner { int value() const { return hidden(1); } };
}
namespace outer { namespace inner {
int sum(const std::vector<int> &all) { int s = 0; for (int one : all) s += one; return s %s; }
} }
struct Local { int get() { return 3; } static int make(int n); };
int Local::make(int n) { return Local().get() * n; }
static int step(Shape *shape) {
    auto more = [shape](int n) { return n + shape->sides; };
    return more(outer::inner::sum({1, 2, 3})) + shape->area() + Inner().value() + scaled(2) + Local::make(1);
}
int main() { Shape *shape = new Shape(4); for (;;) { seen = step(shape); nap(); } }
"""
)
CXX_OTHER = (
    '#include "shape.h"\nextern "C" { extern volatile int other; volatile int other; }\n'
    "int use() { return scaled(1); }\n"
)


def _c(step: str = "1", extra: str = "0") -> str:
    return C_UNIT % (step, extra)


def _warm(one: Session) -> None:
    """All idle work."""
    while one.engine.idle():
        pass


def _verified(one: Session) -> None:
    """Idle work, and that it found nothing to say."""
    _warm(one)
    assert one.engine.outbox == [], one.engine.outbox


def _tier(one: Session) -> str:
    text = one.engine.explain(None)
    return text.split("alone, tier ")[1].split()[0] if "alone, tier " in text else text


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_tiers_of_a_c_unit(tmp_path: Path, compiler: str) -> None:
    """Cold: without anything precompiled. Then behind a skeleton. Statics, internal functions by address, constants and
    globals are those that live."""
    sources = {"main.c": _c(), "shared.h": C_HEADER % 1}
    with session(tmp_path, sources, "-O0", compiler=compiler) as one:
        one.becomes("seen", 20 + 1 + 3 + 1)
        result = one.save({"main.c": _c(extra="100")})
        assert (result.status, result.compiled, result.functions) == ("applied", "functions", ("helper",)), result
        assert _tier(one) == "plain"
        one.becomes("seen", 125)
        _verified(one)
        result = one.save({"main.c": _c(extra="200")})
        assert (result.status, result.compiled, _tier(one)) == ("applied", "functions", "prefix"), result
        one.becomes("seen", 225)
        _verified(one)
        edited = _c(extra="200").replace("return x * 2;", "return x * 3;")
        result = one.save({"main.c": edited})
        assert (result.status, result.compiled, _tier(one)) == ("applied", "functions", "includes"), result
        one.becomes("seen", 235)
        _verified(one)
        assert one.live.value("total") > 5
        one.engine.undo()
        one.becomes("seen", 225)
        # What runs is no longer what the source says: the whole unit is compiled.
        result = one.save({"main.c": edited.replace("* 3", "* 4")})
        assert (result.status, result.compiled) == ("applied", "unit"), result
        one.becomes("seen", 245)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_two_fast_reloads_before_verification(tmp_path: Path, compiler: str) -> None:
    """The second comes when nobody has compiled the whole unit yet; then both are verified at once, and the first edit
    is taken back."""
    with session(tmp_path, {"main.c": _c(), "shared.h": C_HEADER % 1}, "-O0", compiler=compiler) as one:
        one.becomes("seen", 25)
        first = _c(extra="100")
        second = first.replace("return x * 2;", "return x * 3;")
        assert one.save({"main.c": first}).compiled == "functions"
        assert one.save({"main.c": second}).compiled == "functions"
        one.becomes("seen", 135)
        third = _c().replace("return x * 2;", "return x * 3;")
        assert one.save({"main.c": third}).functions == ("helper",)
        one.becomes("seen", 35)
        _verified(one)
        assert one.save({"main.c": third + "\n/* nothing */\n"}).status == "unchanged"
        _verified(one)


def test_undo_of_fast_reloads_that_were_moved_to_disk(tmp_path: Path) -> None:
    """Each generation comes back, and what the whole unit is compared with then is what runs."""
    with session(tmp_path, {"main.c": _c(), "shared.h": C_HEADER % 1}, "-O0") as one:
        for extra in (100, 200, 300):
            assert one.save({"main.c": _c(extra=str(extra))}).compiled == "functions"
            if extra == 200:
                _verified(one)
        _verified(one)
        one.becomes("seen", 325)
        for extra in (200, 100):
            one.engine.undo()
            one.becomes("seen", 25 + extra)
        assert one.save({"main.c": _c(extra="100")}).status == "unchanged"
        assert one.save({"main.c": _c(extra="0")}).status == "applied"
        one.becomes("seen", 25)


def test_what_goes_the_sure_way(tmp_path: Path) -> None:
    """A macro, a new variable, a signature, several functions; and `explain` says why."""
    edits = {
        "a macro": _c(step="7"),
        "a variable": _c(step="7").replace("int total = 5;", "int total = 5, more = 6;"),
        "two functions": _c(step="8", extra="more").replace("int total = 5;", "int total = 5, more = 6;"),
    }
    with session(tmp_path, {"main.c": _c(), "shared.h": C_HEADER % 1}, "-O0") as one:
        for what, text in edits.items():
            result = one.save({"main.c": text})
            assert result.compiled == "unit" or result.status == "unchanged", (what, result)
            assert "whole: " in one.engine.explain(None), what
        one.becomes("seen", 20 + 8 + 3 + 1 + 6)
        status = one.engine.status()["fast"]
        assert isinstance(status, dict)
        assert status["whole_because"], status


def test_a_pragma_in_force(tmp_path: Path) -> None:
    """What a precompiled header forgets is no part of it: the function is compiled with its unit."""
    source = (
        NAP + '#pragma GCC push_options\n#pragma GCC optimize("O2")\n#pragma GCC pop_options\nvolatile int seen;\n%s'
    )
    source += "int step(void) {\nreturn %d; }\nint main(void) { for (;;) { seen = step(); nap(); } }\n"
    with session(tmp_path, {"main.c": source % ("", 1)}, "-O0") as one:
        one.becomes("seen", 1)
        assert one.save({"main.c": source % ("", 2)}).compiled == "functions"
        assert one.save({"main.c": source % ('#pragma GCC optimize("O1")\n', 2)}).compiled == "unit"
        result = one.save({"main.c": source % ('#pragma GCC optimize("O1")\n', 3)})
        assert (result.status, result.compiled) == ("applied", "unit"), result
        assert "pragma" in one.engine.explain(None)
        one.becomes("seen", 3)


def test_a_static_with_another_initialiser(tmp_path: Path) -> None:
    """The live value stays, and that is said."""
    source = NAP + "volatile int seen;\nint step(void) {\nstatic int kept = %d; return ++kept > 100 ? %d : 0; }\n"
    source += "int main(void) { for (;;) { seen = step(); nap(); } }\n"
    with session(tmp_path, {"main.c": source % (100, 7)}, "-O0") as one:
        one.becomes("seen", 7)
        result = one.save({"main.c": source % (5, 8)})
        assert (result.status, result.compiled) == ("applied", "functions"), (result, one.engine.explain(None))
        assert any("live value stays" in note for note in result.notes), result.notes
        one.becomes("seen", 8)
        _verified(one)


def test_another_command(tmp_path: Path) -> None:
    """compile_commands.json changed: the unit is compiled whole with what it says now, edited or not."""
    source = NAP + "volatile int seen;\nint step(void) {\nreturn N + %d; }\n"
    source += "int main(void) { for (;;) { seen = step(); nap(); } }\n"
    with session(tmp_path, {"main.c": source % 1}, "-O0", "-DN=10") as one:
        one.becomes("seen", 11)
        for number, text in ((20, source % 1), (30, source % 2)):
            database = Path(one.project.database)
            database.write_text(re.sub(r"-DN=\d+", f"-DN={number}", database.read_text()))
            one.project.refresh_database()
            result = one.save({"main.c": text})
            assert (result.status, result.compiled) == ("applied", "unit"), (result, one.engine.explain(None))
            one.becomes("seen", number + (1 if number == 20 else 2))
        result = one.save({"main.c": source % 3})
        assert (result.status, result.compiled) == ("applied", "functions"), (result, one.engine.explain(None))
        one.becomes("seen", 33)
        _verified(one)


def test_lines_that_moved(tmp_path: Path) -> None:
    """Functions further down that mention their own line are put right in idle time, without alarm."""
    source = NAP + (
        "volatile int seen, line;\nint first(void) {\n%s return 1;\n}\n"
        "int where(void) { return __LINE__; }\nint main(void) { for (;;) { seen = first(); line = where(); nap(); } }\n"
    )
    with session(tmp_path, {"main.c": source % ""}, "-O0") as one:
        one.becomes("seen", 1)
        before = one.live.value("line")
        result = one.save({"main.c": source % "\n\nif (seen < 0)\n"})
        assert (result.compiled, result.functions) == ("functions", ("first",)), result
        _warm(one)
        one.becomes("line", before + 3)
        assert [type(event) for event in one.engine.outbox] == [Reload], one.engine.outbox


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_cxx_unit(tmp_path: Path, compiler: str) -> None:
    """Anonymous namespaces, nested ones, templates' instances that live, lambdas; one unit throws nothing away."""
    sources = {"main.cpp": CXX_UNIT % ("0", ""), "other.cpp": CXX_OTHER, "shape.h": CXX_HEADER % ("* 10", 1)}
    base = 6 + 4 + 40 + 1 + 2 + 3
    with session(tmp_path, sources, "-O0", compiler=compiler) as one:
        one.becomes("seen", base)
        result = one.save({"main.cpp": CXX_UNIT % ("100", "")})
        assert (result.status, result.compiled) == ("applied", "functions"), (result, one.engine.explain(None))
        assert result.functions == ("(anonymous namespace)::hidden",), result
        one.becomes("seen", base + 100)
        _verified(one)
        result = one.save({"main.cpp": CXX_UNIT % ("100", "+ 1000")})
        assert (result.status, result.compiled) == ("applied", "functions"), (result, one.engine.explain(None))
        one.becomes("seen", base + 1100)
        _verified(one)
        text = (CXX_UNIT % ("100", "+ 1000")).replace("return n + shape->sides;", "return n + shape->sides + 5000;")
        result = one.save({"main.cpp": text})
        assert (result.status, result.compiled) == ("applied", "functions"), (result, one.engine.explain(None))
        one.becomes("seen", base + 6100)
        _verified(one)


def test_functions_of_a_header(tmp_path: Path) -> None:
    """An inline function is compiled once for both units; a member inside of its class, too. The whole units agree."""
    sources = {"main.cpp": CXX_UNIT % ("0", ""), "other.cpp": CXX_OTHER, "shape.h": CXX_HEADER % ("* 10", 1)}
    base = 6 + 4 + 40 + 1 + 2 + 3
    with session(tmp_path, sources, "-O0") as one:
        one.becomes("seen", base)
        result = one.save({"shape.h": CXX_HEADER % ("* 10", 50)})
        assert (result.status, result.compiled, result.functions) == ("applied", "functions", ("scaled",)), (
            result,
            one.engine.explain(None),
        )
        one.becomes("seen", base + 98)
        _verified(one)
        result = one.save({"shape.h": CXX_HEADER % ("* 11", 50)})
        assert (result.status, result.compiled, result.functions) == ("applied", "functions", ("Shape::area",)), (
            result,
            one.engine.explain(None),
        )
        one.becomes("seen", base + 102)
        _verified(one)
        # The other unit, compiled whole later, has the same function: nothing is left to do.
        result = one.save({"other.cpp": CXX_OTHER + "int fresh = 1;\n"})
        assert "scaled" not in result.functions, result
        one.becomes("seen", base + 102)


def test_a_static_function_of_a_header(tmp_path: Path) -> None:
    """Each unit has its own copy, and each gets its own new one."""
    other = '#include "shared.h"\nvolatile int second; int both(void) { second = shared(); return second; }\n'
    main = _c().replace("seen = step();", "seen = step(); both();").replace("int main", "int both(void);\nint main")
    with session(tmp_path, {"main.c": main, "other.c": other, "shared.h": C_HEADER % 1}, "-O0") as one:
        one.becomes("seen", 25)
        result = one.save({"shared.h": C_HEADER % 31})
        assert (result.status, result.compiled) == ("applied", "functions"), (result, one.engine.explain(None))
        one.becomes("seen", 55)
        one.becomes("second", 31)
        _verified(one)


def test_a_difference_is_told_and_put_right(tmp_path: Path) -> None:
    """The fast way took a function that is declared before; the whole unit knows a better overload further down."""
    source = (
        NAP
        + """extern "C" { extern volatile int seen; volatile int seen; }
struct Tag {}; template <class T> int pick(T) { return 1; }
template <class T> int ask(T t) { return pick(t); }
int step() { return %s; }
int pick(Tag) { return 2; }
int main() { for (;;) { seen = step() + pick(Tag()); nap(); } }
"""
    )
    with session(tmp_path, {"main.cpp": source % "5"}, "-O0") as one:
        one.becomes("seen", 7)
        result = one.save({"main.cpp": source % "ask(Tag()) + 10"})
        assert result.status == "applied", result
        _warm(one)
        one.becomes("seen", 14)
        assert result.compiled == "unit" or any(isinstance(event, Reload | Notice) for event in one.engine.outbox), (
            one.engine.outbox
        )


def test_warnings_that_are_errors(tmp_path: Path) -> None:
    """The build would fail: so does the reload, and clean edits still go the fast way."""
    source = NAP + "volatile int seen;\nint step(void) {\n%s return 1; }\n"
    source += "int main(void) { for (;;) { seen = step(); nap(); } }\n"
    with session(tmp_path, {"main.c": source % ""}, "-O0", "-Wall", "-Werror") as one:
        one.becomes("seen", 1)
        result = one.save({"main.c": source % "int unused;"})
        assert (result.status, result.compiled) == ("failed", "unit"), result
        assert "unused" in result.message
        result = one.save({"main.c": source % "int used = 5; if (used) return used;"})
        assert (result.status, result.compiled) == ("applied", "functions"), (result, one.engine.explain(None))
        one.becomes("seen", 5)
        _verified(one)


def test_a_whole_unit_that_does_not_compile(tmp_path: Path) -> None:
    """The function is fine, the build is not: a label that only the assembler of the whole unit finds twice."""
    source = NAP + "volatile int seen;\nint step(void) {\n%s return 1; }\n"
    source += '__asm__(".text\\n twice: nop");\nint main(void) { for (;;) { seen = step(); nap(); } }\n'
    with session(tmp_path, {"main.c": source % ""}, "-O0") as one:
        one.becomes("seen", 1)
        result = one.save({"main.c": source % 'seen = 0; __asm__("twice: nop");'})
        assert (result.status, result.compiled) == ("applied", "functions"), (result, one.engine.explain(None))
        _warm(one)
        (notice,) = one.engine.outbox
        assert isinstance(notice, Notice)
        assert "twice" in notice.message
        assert verification.DIFFERS not in notice.message


def test_without_the_fast_path(tmp_path: Path) -> None:
    with session(tmp_path, {"main.c": _c(), "shared.h": C_HEADER % 1}, "-O0", fast_path=False) as one:
        one.becomes("seen", 25)
        assert one.save({"main.c": _c(extra="100")}).compiled == "unit"
        one.becomes("seen", 125)
