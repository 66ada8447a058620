"""Memory of the program and of the host over 200 reloads of one function: it must stay flat but for live patches."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from tests.programs.driver import live

from benchmarks import page
from benchmarks.generate import project, threads

RELOADS = 200
SAMPLES = (1, 20, 50, 100, 150, 200)


def run() -> None:
    rows = []
    with tempfile.TemporaryDirectory(prefix="relive-bench-") as name:
        tree = project(Path(name) / "threads", "threads", threads(10))
        with live(tree, [str(tree.executable), "4"], Path(name)) as session:
            for number in range(1, RELOADS + 1):
                session.catch_up()
                text = "".join(f"int step{n}(int a) {{ return a + {number if n == 3 else 0}; }}\n" for n in range(10))
                tree.write("steps.cpp", f'#include "steps.h"\n{text}')
                event = session.wait_reload()
                assert event["status"] == "applied", event
                if number in SAMPLES:
                    program, host = session.ready["pid"], session.process.pid
                    rows.append([number, _rss(program), _maps(program), _rss(host), _descriptors(host)])
                    print(rows[-1], flush=True)
    head = ["reloads", "program RSS kB", "its mappings", "host RSS kB", "host's open files"]
    first, last = rows[1], rows[-1]
    span = RELOADS - SAMPLES[1]
    body = page.table(head, rows) + (
        f"\n\nFrom reload {SAMPLES[1]} to {RELOADS}: program {(last[1] - first[1]) / span:+.1f} kB a reload, host "
        f"{(last[3] - first[3]) / span:+.1f} kB a reload. Asked: flat but for live patches."
    )
    page.write("Memory over 200 reloads", body)


def _rss(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found
    return int(found[1])


def _maps(pid: int) -> int:
    return Path(f"/proc/{pid}/maps").read_text().count("\n")


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
