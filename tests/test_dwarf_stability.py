"""A real unit with standard headers: an unrelated edit changes no type and no variable, although the compiler says more
or less about a type depending on what else the unit uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from relive.dwarf.compare import compare_units, same_type
from relive.dwarf.model import VariableRecord
from relive.dwarf.reader import DebugInfo
from tests.dwarf_objects import CXX_COMPILERS, read_object

HEAVY = """
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <vector>
namespace app {
struct Entity { virtual ~Entity(); virtual void update(float); std::string name; std::map<std::string, int> stats;
                std::vector<std::shared_ptr<Entity>> children; };
Entity::~Entity() {} void Entity::update(float) { for (auto &c : children) c->update(1); stats["a"]++; }
std::map<std::string, std::function<void(Entity &)>> handlers; static std::vector<std::string> log; std::regex pattern;
int run(int argc) { log.push_back("x"); handlers["x"] = [argc](Entity &e) { e.name = std::to_string(argc); };
  std::smatch found; return std::regex_search(log[0], found, pattern) ? (int)found.size() : 0; }
}
"""
LATER = """
#include <deque>
#include <set>
namespace app {
struct Later : Entity { void update(float) override { static int n; n++; } ~Later(); std::deque<int> a; };
int later() { Later l; std::set<std::string> s; s.insert("x"); Entity e = Entity(); l.update(2); std::string q = e.name;
  std::regex again; auto f = [&] { return q.size(); }; std::function<int()> ff = f; std::sort(log.begin(), log.end());
  std::cout << ff(); return (int)s.size(); } Later::~Later() {} }
"""


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_unrelated_edit_changes_nothing(tmp_path: Path, compiler: str, level: str) -> None:
    flags = ("-std=c++17", level)
    old = read_object(tmp_path, compiler, HEAVY, *flags)
    new = read_object(tmp_path, compiler, HEAVY + LATER, *flags)
    assert len(old.types) > 150
    assert [change.name for change in compare_units([(old, new)])] == []
    before, after = variables(old), variables(new)
    assert {"app::handlers", "app::log", "app::pattern"} <= set(before)
    for name, record in before.items():
        assert same_type(record, after[name]), name


def variables(info: DebugInfo) -> dict[str, VariableRecord]:
    return {record.name: record for record in info.variables if not record.owner}


@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_an_edit_deep_inside_reaches_those_who_hold_it(tmp_path: Path, compiler: str) -> None:
    old = read_object(tmp_path, compiler, HEAVY + "app::Entity held; app::Entity *pointed;", "-std=c++17")
    edited = HEAVY.replace("std::string name;", "std::string name, title;") + "app::Entity held; app::Entity *pointed;"
    new = read_object(tmp_path, compiler, edited, "-std=c++17")
    (change,) = compare_units([(old, new)])
    assert change.name == "app::Entity"
    assert "field `title`" in change.explanation
    before, after = variables(old), variables(new)
    differing = {name for name, record in before.items() if not same_type(record, after[name])}
    assert differing == {"held"}
