"""One Markdown page a machine, one section a benchmark; a run replaces the sections that it measured."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, numbers stand right."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def machine() -> str:
    """CPU model, cores and kernel: what makes numbers comparable."""
    models = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    model = re.sub(r"\((R|TM|tm)\)|CPU|Processor|@.*", "", models[0] if models else platform.machine())
    return f"{' '.join(model.split())}, {os.cpu_count()} cores, Linux {platform.release()}"


def path() -> Path:
    return RESULTS / (re.sub(r"[^a-z0-9.]+", "-", machine().lower()).strip("-") + ".md")


def write(title: str, body: str) -> None:
    """Puts the section ``title`` into this machine's page, in place of an older one of that name."""
    file = path()
    file.parent.mkdir(exist_ok=True)
    old = file.read_text() if file.exists() else ""
    sections: dict[str, str] = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", old, re.M))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    stamp = f"_{time.strftime('%Y-%m-%d')}, commit {commit or '?'}, {compiler}, Python {platform.python_version()}_"
    sections[title] = f"\n{body.strip()}\n\n{stamp}\n\n"
    text = f"# {machine()}\n\n" + "".join(f"## {name}\n{sections[name]}" for name in sorted(sections))
    file.write_text(text.rstrip("\n") + "\n")
    print(f"\n## {title}\n\n{body.strip()}\n", flush=True)
