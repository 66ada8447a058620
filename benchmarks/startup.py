"""What `relive run` costs before the program's main, and how long the host needs to know a program's symbols."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from tests.programs.driver import relive

from benchmarks import page
from benchmarks.generate import project, symbols
from relive.host.images import load_image

ROUNDS = 11

MAIN = """#include <cstdio>
#include <ctime>
int main() {
    timespec wall, cpu;
    clock_gettime(CLOCK_MONOTONIC, &wall);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    std::printf("%.6f %.6f\\n", wall.tv_sec + wall.tv_nsec / 1e9, cpu.tv_sec + cpu.tv_nsec / 1e9);
}
"""


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="relive-bench-") as name:
        folder = Path(name)
        tree = project(folder / "start", "start", {"main.cpp": MAIN})
        plain = [str(tree.executable)]
        under = [*relive(), "run", "--build-dir", str(tree.build_dir), "--events", str(folder / "events"), "--", *plain]
        python = [*relive()[:1], "-c", f"import os; os.execv({plain[0]!r}, {plain!r})"]
        kinds = {"alone": plain, "by a Python that does nothing": python, "under relive": under}
        walls: dict[str, list[float]] = {kind: [] for kind in kinds}
        cpus: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):
            for kind, argv in kinds.items():
                start = time.monotonic()
                done = subprocess.run(argv, cwd=tree.root, capture_output=True, text=True, check=True)
                wall, cpu = map(float, done.stdout.split())
                walls[kind].append((wall - start) * 1000)
                cpus[kind].append(cpu * 1000)
        rows = [[kind, f"{page.median(walls[kind]):.1f}", f"{page.median(cpus[kind]):.2f}"] for kind in kinds]
        cost = page.median(walls["under relive"]) - page.median(walls["alone"])
        inside = page.median(cpus["under relive"]) - page.median(cpus["alone"])
        body = page.table(["program started", "until main, ms", "of that the program's own CPU, ms"], rows)
        body += (
            f"\n\nCost of `relive run` before main: **{cost:.0f} ms** (Python's own start included), the agent's part "
            f"of it on the program's own CPU clock {inside:.1f} ms. Asked: ≤ 50 ms.\n\n"
        )
        body += _index(folder)
    page.write("Start", body)


def _index(folder: Path) -> str:
    executable = symbols(folder / "many", 100_000)
    cold: list[float] = []
    warm: list[float] = []
    for number in range(7):
        cache = folder / f"cache{number}"
        os.makedirs(cache)
        for times in (cold, warm):
            start = time.monotonic()
            image = load_image(str(executable), cache)
            found = image.find_global(b"symbol_number_77777")
            times.append((time.monotonic() - start) * 1000)
            assert len(found) == 1
    return (
        f"Index of 100 000 symbols and one look-up: **{page.median(cold):.0f} ms** cold, {page.median(warm):.0f} ms "
        "from the cache. Asked: ≤ 300 ms."
    )
