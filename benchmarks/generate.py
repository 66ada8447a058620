"""Programs made for measuring: a unit of 1000 methods under heavy standard headers, threads, many symbols.

Each is a small project with ninja, depfiles and compile_commands.json, wrapped as a `Tree` so that the driver of the
tests can start and edit it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.programs.fetch import Tree
from tests.programs.recipes import Recipe, Step

HEAVY = (
    *("algorithm", "chrono", "cstdio", "functional", "iostream", "map", "memory", "mutex", "numeric", "regex"),
    *("set", "sstream", "string", "thread", "tuple", "unordered_map", "variant", "vector"),
)


def project(folder: Path, name: str, sources: dict[str, str], *, flags: str = "-g -O0") -> Tree:
    """Writes and builds a project of C++ units; ``sources`` maps file names to texts."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in sources.items():
        (folder / file).write_text(text)
    units = [file for file in sources if file.endswith(".cpp")]
    command = f"g++ -std=c++17 {flags} -MD -MF $out.d -c $in -o $out"
    ninja = [f"rule cc\n  command = {command}\n  depfile = $out.d\n  deps = gcc"]
    ninja += ["rule link\n  command = g++ -pthread $in -o $out"]
    ninja += [f"build {unit}.o: cc {folder}/{unit}" for unit in units]
    ninja += [f"build {name}: link {' '.join(unit + '.o' for unit in units)}", ""]
    (folder / "build.ninja").write_text("\n".join(ninja))
    subprocess.run(["ninja", "-C", str(folder), "--quiet"], check=True)
    database = subprocess.run(["ninja", "-C", str(folder), "-t", "compdb", "cc"], capture_output=True, text=True)
    (folder / "compile_commands.json").write_text(json.dumps(json.loads(database.stdout)))
    recipe = Recipe(name, "", (), ".", name, Step(("ninja", "--quiet")))
    return Tree(recipe, folder, folder / ".originals")


def methods(count: int = 1000) -> dict[str, str]:
    """One class, ``count`` methods that use containers and strings; main calls number 500 for each line of stdin."""
    declarations = "\n".join(f"    std::string method{n}(int);" for n in range(count))
    bodies = "\n".join(_method(n) for n in range(count))
    heavy = "\n".join(f"#include <{header}>" for header in HEAVY)
    return {
        "work.h": f"#pragma once\n{heavy}\nclass Work {{\npublic:\n{declarations}\n"
        "    std::vector<int> numbers{3, 1, 2};\n    std::map<std::string, int> names;\n};\n",
        "work.cpp": f'#include "work.h"\n{bodies}\n',
        "main.cpp": '#include "work.h"\nint main() {\n    Work work;\n    std::string line;\n'
        "    while (std::getline(std::cin, line)) std::cout << work.method500(1) << std::endl;\n}\n",
    }


def _method(n: int) -> str:
    kinds = (
        "    std::sort(numbers.begin(), numbers.end(), [](int l, int r) { return l > r; });\n    a += numbers.front();",
        f'    names["key{n}"] += a;\n    for (auto &[key, value] : names) a += value > 0 ? 1 : 0;',
        "    a = std::accumulate(numbers.begin(), numbers.end(), a);\n    if (a % 2) a = a / 2;",
        "    std::ostringstream text;\n    text << a;\n    a += int(text.str().size());",
    )
    tail = '    return "answer 0";' if n == 500 else f'    return std::to_string(a) + " of {n}";'
    return f"std::string Work::method{n}(int a) {{\n{kinds[n % 4]}\n{tail}\n}}\n"


def threads(functions: int) -> dict[str, str]:
    """``argv[1]`` threads that call ``functions`` functions in turn, resting between rounds; each function says its
    version. main answers each line of stdin: the sum over one round, and the longest gap in its own spinning thread."""
    bodies = "\n".join(f"int step{n}(int a) {{ return a + 0; }}" for n in range(functions))
    calls = " ".join(f"sum = step{n}(sum);" for n in range(functions))
    return {
        "steps.h": "".join(f"int step{n}(int);\n" for n in range(functions)),
        "steps.cpp": f'#include "steps.h"\n{bodies}\n',
        "main.cpp": f"""#include "steps.h"
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>
using Clock = std::chrono::steady_clock;
static std::atomic<long> longest;
static int round_of_steps() {{ int sum = 0; {calls} return sum; }}
static void rest() {{ for (;;) {{ round_of_steps(); std::this_thread::sleep_for(std::chrono::milliseconds(1)); }} }}
static void spin() {{
    auto last = Clock::now();
    for (;;) {{
        round_of_steps();
        auto now = Clock::now();
        long gap = std::chrono::duration_cast<std::chrono::nanoseconds>(now - last).count();
        if (gap > longest) longest = gap;
        last = now;
    }}
}}
int main(int, char **argv) {{
    int count = std::atoi(argv[1]);
    std::vector<std::thread> all;
    all.emplace_back(spin);
    for (int n = 1; n < count; n++) all.emplace_back(rest);
    char line[64];
    while (std::fgets(line, sizeof line, stdin)) {{
        std::printf("%d %ld\\n", round_of_steps(), longest.exchange(0));
        std::fflush(stdout);
    }}
    std::_Exit(0);
}}
""",
    }


def symbols(folder: Path, count: int) -> Path:
    """An executable with ``count`` global functions."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f".globl symbol_number_{n}\n.type symbol_number_{n},@function\nsymbol_number_{n}: ret\n"
             f".size symbol_number_{n},1" for n in range(count)]  # fmt: skip
    (folder / "many.s").write_text(".text\n" + "\n".join(lines) + '\n.section .note.GNU-stack,"",@progbits\n')
    (folder / "main.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-g", "-o", "many", "main.c", "many.s"], cwd=folder, check=True)
    return folder / "many"
