"""Code that was not reloaded costs what it costs without relive: a hot loop of calls, timed by the program itself."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.programs.driver import Live, live

from benchmarks import page
from benchmarks.generate import project

ROUNDS = 11

MAIN = """#include <cstdio>
#include <ctime>
#include "calls.h"
static double cpu() { timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main() {
    char line[64];
    while (std::fgets(line, sizeof line, stdin)) {
        bool hot = line[0] == 'h';
        double start = cpu();
        unsigned sum = 0;
        for (unsigned n = 0; n < 20000000; n++) sum = hot ? step(sum, n) : other(sum, n);
        std::printf("%.3f %d %u\\n", (cpu() - start) * 1000, version(), sum);
        std::fflush(stdout);
    }
}
"""
CALLS = """#include "calls.h"
unsigned step(unsigned a, unsigned b) { return a * 31 + b; }
unsigned other(unsigned a, unsigned b) { return a * 31 + b + 0; }
int counted;
int version() { counted++; return 0; }
"""


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="relive-bench-") as name:
        header = "unsigned step(unsigned, unsigned);\nunsigned other(unsigned, unsigned);\nint version();\n"
        tree = project(
            Path(name) / "hot", "hot", {"main.cpp": MAIN, "calls.h": header, "calls.cpp": CALLS}, flags="-g -O2"
        )
        with (
            subprocess.Popen([tree.executable], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as plain,
            live(tree, [str(tree.executable)], Path(name)) as session,
        ):
            alone, before, after, patched = [], [], [], []
            for _ in range(ROUNDS):
                alone.append(_plain(plain, "h"))
                before.append(_live(session, "h", 0))
            tree.write("calls.cpp", CALLS.replace("return 0;", "return 1;").replace("b + 0", "b + 1"))
            assert session.wait_reload()["status"] == "applied"
            for _ in range(ROUNDS):
                alone.append(_plain(plain, "h"))
                after.append(_live(session, "h", 1))
                patched.append(_live(session, "o", 1))
            assert plain.stdin
            plain.stdin.close()
    base = page.median(alone)
    rows = [
        ["without relive", f"{base:.2f}", ""],
        ["under relive", f"{page.median(before):.2f}", f"{page.median(before) / base:.3f}"],
        [
            "under relive, after a reload of its neighbour",
            f"{page.median(after):.2f}",
            f"{page.median(after) / base:.3f}",
        ],
        ["a reloaded function (one jump more)", f"{page.median(patched):.2f}", f"{page.median(patched) / base:.3f}"],
    ]
    body = page.table(["20 million calls at -O2", "CPU ms", "ratio"], rows)
    page.write("Cost for code that was not reloaded", body + f"\n\nMedians of {ROUNDS}, in turn. Asked: none.")


def _plain(process: subprocess.Popen[str], kind: str) -> float:
    assert process.stdin
    assert process.stdout
    process.stdin.write(kind + "\n")
    process.stdin.flush()
    return float(process.stdout.readline().split()[0])


def _live(session: Live, kind: str, version: int) -> float:
    start = session.out.stat().st_size
    session.send(kind + "\n")
    end = session.wait_text("\n", start=start)
    words = session.out.read_bytes()[start:end].split()
    assert int(words[1]) == version
    return float(words[0])
