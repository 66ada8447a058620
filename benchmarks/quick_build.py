"""Quick builds beside linkers: the time from the compiler's end to the finished program file, and what ld, lld and mold
need for the same program in the same run.

Each round edits one function body, then runs `relive build` as a user would. "after compile" is what it does when the
compiler has ended (compare, link, inject, write); "whole" is the command from start to end. The linkers get the build's
own link command with another `-fuse-ld`, and write elsewhere. Medians."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.programs.fetch import Tree, checkout

from benchmarks import page
from benchmarks.generate import methods, project

ROUNDS = 7
LINKERS = {"ld": "bfd", "lld": "lld", "mold": "mold"}
STEPS = ("compare", "link", "inject", "write")

EDITS = {
    "redis": ("src/server.c", r"void pingCommand\(client \*c\) \{"),
    "teeworlds": ("src/game/server/gamecontext.cpp", r"void CGameContext::OnTick\(\)\s*\{"),
    "openttd": ("src/town_cmd.cpp", r"void OnTick_Town\(\)\s*\{"),
    "methods": ("work.cpp", r"std::string Work::method500\(int a\) \{"),
}
"""Program → the file that is edited, and where a statement goes in."""


@dataclass(frozen=True, slots=True)
class Round:
    """One quick build, in milliseconds."""

    whole: float
    steps: dict[str, float]

    @property
    def after_compile(self) -> float:
        return sum(self.steps.get(step, 0.0) for step in STEPS)


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="relive-bench-") as name:
        rows = [_row(project(Path(name) / "methods", "methods", methods()), "methods")]
        for program in ("redis", "teeworlds", "openttd"):
            with checkout(program) as tree:
                rows.append(_row(tree, program))
    head = ("program", "file", "**after compile**", *STEPS, "whole", *LINKERS, "ld ÷ after compile")
    page.write(
        "Quick build: a body edit in the linked file",
        page.table(head, rows)
        + f"\n\nMilliseconds, medians of {ROUNDS}. Asked: after compile ≤ 200, openttd included.",
    )


def _row(tree: Tree, program: str) -> list[str]:
    file, pattern = EDITS[program]
    try:
        linkers = {name: links(tree.build_dir, tree.executable, option) for name, option in LINKERS.items()}
        rounds = quick_builds(tree, file, pattern)
    finally:
        forget(tree)
    after = page.median(one.after_compile for one in rounds)
    steps = [f"{page.median(one.steps.get(step, 0.0) for one in rounds):.0f}" for step in STEPS]
    times = [f"{page.median(found):.0f}" if found else "-" for found in linkers.values()]
    ratio = f"{page.median(linkers['ld']) / after:.1f} ×" if linkers["ld"] else "-"
    size = f"{tree.executable.stat().st_size / 1e6:.0f} MB"
    whole = f"{page.median(one.whole for one in rounds):.0f}"
    row = [program, size, f"**{after:.0f}**", *steps, whole, *times, ratio]
    print(row, flush=True)
    return row


def quick_builds(tree: Tree, file: str, pattern: str, rounds: int = ROUNDS) -> list[Round]:
    """Edits a function again and again, each time with a quick build. RuntimeError when one is none."""
    text = (tree.root / file).read_text(errors="surrogateescape")
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"{file} has nothing like {pattern}")
    result = []
    for number in range(rounds + 1):
        statement = f" volatile int relive_probe __attribute__((unused)) = {number + 1};"
        tree.write(file, text[: found.end()] + statement + text[found.end() :])
        words = [sys.executable, "-m", "relive", "build", "--json", "--no-fallback", str(tree.executable)]
        start = time.monotonic()
        done = subprocess.run(words, cwd=tree.build_dir, capture_output=True, text=True)
        whole = (time.monotonic() - start) * 1000
        record = json.loads(done.stdout) if done.stdout else {}
        if record.get("status") != "applied":
            raise RuntimeError(f"{tree.executable}: {record or done.stderr}")
        if number:  # the first one fills the caches
            result.append(Round(whole, record["timings_ms"]))
    return result


def links(build_dir: Path, program: Path, linker: str, rounds: int = ROUNDS) -> list[float]:
    """Milliseconds of the build's own link command with another linker; empty when that is not known."""
    if not (build_dir / "build.ninja").exists() or (linker != "bfd" and not shutil.which(f"ld.{linker}")):
        return []
    target = os.path.relpath(program, build_dir)
    words = ["ninja", "-C", str(build_dir), "-t", "commands", target]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    command = told.splitlines()[-1]
    times = []
    with tempfile.TemporaryDirectory(dir=program.parent, prefix=".relive-link-") as scratch:
        changed = re.sub(rf"-o {re.escape(target)}(?=\s|$)", f"-o {scratch}/linked -fuse-ld={linker}", command)
        assert changed != command, command
        for _ in range(rounds):
            start = time.monotonic()
            subprocess.run(changed, shell=True, cwd=build_dir, check=True, capture_output=True)
            times.append((time.monotonic() - start) * 1000)
    return times


def forget(tree: Tree) -> None:
    """Puts the sources back; the program, dated before its objects, is linked anew by its own build."""
    paths = tree.restore_all()
    for path in paths:
        (tree.root / path).touch()
    shutil.rmtree(tree.executable.with_name(f".{tree.executable.name}.relive-build"), ignore_errors=True)
    tree.rebuild()
