"""How long threads are held by a reload: 1, 10 and 100 threads; one and several changed functions.

One thread spins and keeps the longest gap between two of its rounds, the others call and rest. `pause_us` is relive's
own number (the longest that any thread was held); the gap is what the program itself saw, scheduling included, beside
the gap while nothing but the compiler ran."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.programs.driver import Live, live

from benchmarks import page
from benchmarks.generate import project, threads

ROUNDS = 9


def run() -> None:
    rows = []
    with tempfile.TemporaryDirectory(prefix="relive-bench-") as name:
        tree = project(Path(name) / "threads", "threads", threads(10))
        compiler = ["g++", "-std=c++17", "-g", "-O0", "-c", "steps.cpp", "-o", "/dev/null"]
        for count in (1, 10, 100):
            for functions in (1, 10):
                work = Path(tempfile.mkdtemp(dir=name))
                with live(tree, [str(tree.executable), str(count)], work) as session:
                    pauses, gaps, quiet = [], [], []
                    for number in range(1, ROUNDS + 1):
                        _ask(session)
                        subprocess.run(compiler, cwd=tree.root, check=True)
                        quiet.append(_ask(session)[1] / 1000)
                        session.catch_up()
                        text = "".join(
                            f"int step{n}(int a) {{ return a + {number if n < functions else 0}; }}\n"
                            for n in range(10)
                        )
                        tree.write("steps.cpp", f'#include "steps.h"\n{text}')
                        event = session.wait_reload()
                        assert event["status"] == "applied", event
                        answer, gap = _ask(session)
                        assert answer == number * functions, (answer, number, functions)
                        pauses.append(event["pause_us"])
                        gaps.append(gap / 1000)
                rows.append(
                    [
                        *(f"{count} threads", functions, f"**{page.median(pauses):.0f}**", f"{max(pauses):.0f}"),
                        *(f"{page.median(gaps):.0f}", f"{page.median(quiet):.0f}"),
                    ]
                )
                print(rows[-1], flush=True)
    head = ["program", "functions", "`pause_us` median", "highest", "longest gap seen inside µs"]
    head.append("while the compiler runs alone µs")
    page.write("Pause", page.table(head, rows) + f"\n\n{ROUNDS} reloads each. Asked: ≤ 200 for one function, "
               "≤ 1000 for several with 1 thread, ≤ 3000 with 100.")  # fmt: skip


def _ask(session: Live) -> tuple[int, int]:
    """The program's sum over one round, and the longest gap (ns) since it was asked last."""
    start = session.out.stat().st_size
    session.send("x\n")
    end = session.wait_text("\n", start=start)
    answer, gap = session.out.read_bytes()[start:end].split()
    return int(answer), int(gap)
