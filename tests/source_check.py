"""Holds the scanner against real programs: ``python -m tests.source_check PROGRAM|FOLDER [--clang] [--functions N]``.

For each unit of the compilation database: (1) functions found in project files against those in the debug information
of an object compiled now; (2) the whole text stripped must compile; (3) N functions, edited, each compiled behind the
stripped text before it, must come out as code. Prints what failed and why."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shlex
import subprocess
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import perf_counter

from relive.dwarf.model import NoDebugInfoError
from relive.dwarf.reader import DebugInfo
from relive.host.native import scanner_library
from relive.source.edit import BodyEdit, find_edits, makes_types
from relive.source.library import Scanner
from relive.source.model import Flag, Kind
from relive.source.unit import UnitText
from tests.dwarf_objects import reader

PROGRAMS = Path.home() / ".cache/relive-tests"


@cache
def scanner() -> Scanner:
    return Scanner(scanner_library(Path(tempfile.gettempdir()) / f"relive-test-native-{os.getuid()}"))


@dataclass
class Unit:
    """One command of a database, without what names inputs and outputs."""

    source: str
    folder: str
    compiler: str
    flags: list[str]

    def run(self, *more: str, text: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [self.compiler, *self.flags, "-w", *more]
        return subprocess.run(command, cwd=self.folder, input=text, capture_output=True, check=False)

    @property
    def language(self) -> str:
        return "c" if self.source.endswith(".c") else "c++"


@dataclass
class Report:
    unit: str
    functions: int = 0
    missed: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    uncertain: list[str] = field(default_factory=list)
    strip: str = ""
    doubts: Counter[str] = field(default_factory=Counter)
    extracts: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    size: int = 0


def units_of(folder: Path, clang: bool) -> list[Unit]:
    database = next(p for p in (folder / "compile_commands.json", folder / "build/compile_commands.json") if p.exists())
    return [unit_of(entry, clang) for entry in json.loads(database.read_text())]


def unit_of(entry: dict[str, str], clang: bool) -> Unit:
    words = entry.get("arguments") or shlex.split(entry["command"])
    assert isinstance(words, list)
    cplusplus = words[0].endswith("++") or not entry["file"].endswith(".c")
    flags: list[str] = []
    i = 1
    while i < len(words):
        word = words[i]
        if word in ("-o", "-include", "-imacros", "-MF", "-MT", "-MQ"):
            if word.startswith("-i"):
                flags += words[i : i + 2]
            i += 2
            continue
        i += 1
        same = os.path.basename(word) == os.path.basename(entry["file"])  # ninja and make spell it differently
        if word in ("-c", "-MD", "-MMD", "-MP", "-Werror", "-pedantic-errors") or same:
            continue
        if clang and word.startswith(("-fstack-clash-protection", "-fno-ipa-ra", "-flifetime-dse")):
            continue
        flags.append(word)
    compiler = ("clang++" if cplusplus else "clang") if clang else ("g++" if cplusplus else "gcc")
    return Unit(os.path.join(entry["directory"], entry["file"]), entry["directory"], compiler, flags)


def without_includes(unit: Unit) -> Unit:
    """For preprocessed text: what -include brings is in it."""
    flags = [w for i, w in enumerate(unit.flags) if w != "-include" and (i == 0 or unit.flags[i - 1] != "-include")]
    return Unit(unit.source, unit.folder, unit.compiler, flags)


def preprocess(unit: Unit) -> bytes:
    done = unit.run("-E", "-dD", unit.source)
    done.check_returncode()
    return done.stdout


def check(unit: Unit, functions: int, seed: int) -> Report:
    report = Report(unit.source)
    try:
        data = preprocess(unit)
    except subprocess.CalledProcessError as error:
        report.doubts[f"does not compile: {first_error(error.stderr)}"] += 1
        return report
    report.size = len(data)
    began = perf_counter()
    text = scanner().parse(data, unit.source)
    report.seconds["scan"] = perf_counter() - began
    began = perf_counter()
    text.prepare()
    report.seconds["prepare"] = perf_counter() - began
    rows = text.components
    for i in range(len(rows)):
        if rows["flags"][i] & Flag.UNCERTAIN:
            file, line = text.where(int(rows["start"][i]))
            report.uncertain.append(f"{text.files[file]}:{line}: {text.text(i)[:100]!r}")
    project = {n for n, name in enumerate(text.files) if not name.startswith(("/usr/", "<"))}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "unit.o"
        done = unit.run("-c", "-g", "-O0", unit.source, "-o", str(output))
        if done.returncode:
            report.doubts[f"does not compile: {first_error(done.stderr)}"] += 1
            return report
        with contextlib.suppress(NoDebugInfoError):  # nothing but macros
            compare_functions(unit, text, project, reader().read(output.read_bytes()), report)
        began = perf_counter()
        whole = text.stripped(0, len(data))
        report.seconds["strip"] = perf_counter() - began
        plain = without_includes(unit)
        done = plain.run("-fsyntax-only", "-x", unit.language, "-", text=whole)
        if done.returncode:
            report.strip = first_error(done.stderr)
        mine = [i for i in range(len(rows)) if rows["kind"][i] == Kind.FUNCTION and int(rows["file"][i]) in project]
        random.Random(seed).shuffle(mine)
        for i in mine:
            if report.extracts == functions:
                break
            check_extract(plain, text, i, Path(folder), report)
    return report


def compare_functions(unit: Unit, text: UnitText, project: set[int], info: DebugInfo, report: Report) -> None:
    rows = text.components
    places: dict[str, list[tuple[int, int, int]]] = {}
    for i in range(len(rows)):
        if rows["kind"][i] == Kind.FUNCTION and int(rows["file"][i]) in project:
            file = real(unit, text.files[int(rows["file"][i])])
            places.setdefault(file, []).append((int(rows["line"][i]), int(rows["last_line"][i]), i))
    seen: set[int] = set()
    for function in info.functions:
        if function.is_artificial or function.is_lambda or not function.file:
            continue
        file = real(unit, function.file)
        if file not in places and not any(real(unit, text.files[n]) == file for n in project):
            continue
        holding = [i for first, last, i in places.get(file, []) if first <= function.line <= last]
        report.functions += 1
        if not holding and "operator=" not in function.name:
            report.missed.append(f"{file}:{function.line} {function.name}")
        seen.update(holding)
    silent = Flag.STATIC | Flag.INLINE | Flag.TEMPLATE | Flag.MEMBER | Flag.CONSTEXPR | Flag.ALWAYS_INLINE
    for found in places.values():
        for first, _, i in found:
            if i not in seen and not int(rows["flags"][i]) & silent and not in_template(text, i):
                report.surplus.append(f"{text.files[int(rows['file'][i])]}:{first} {text.qualified(i).decode()}")


def in_template(text: UnitText, i: int) -> bool:
    around = [k for k in text.around(i) if text.components["flags"][k] & Flag.TEMPLATE]
    anonymous = [k for k in text.around(i) if text.components["kind"][k] == Kind.NAMESPACE and not text.name(k)]
    return bool(around or anonymous)


def real(unit: Unit, file: str) -> str:
    return os.path.normpath(os.path.join(unit.folder, file))


def check_extract(unit: Unit, text: UnitText, i: int, folder: Path, report: Report) -> None:
    """A semicolon more before the last brace of function `i`, compiled behind the stripped text before it."""
    row = text.components[i]
    file, last = text.files[int(row["file"])], int(row["last_line"])
    old = Path(real(unit, file)).read_bytes()
    lines = old.split(b"\n")
    head, brace, tail = lines[last - 1].rpartition(b"}")
    if not brace:
        report.doubts["no brace in the last line"] += 1
        return
    new = b"\n".join([*lines[: last - 1], head + b";}" + tail, *lines[last:]])
    began = perf_counter()
    edits = find_edits(text, file, old, new)
    if not isinstance(edits, tuple):
        report.doubts[edits.code] += 1
        return
    name = text.name(i).decode()
    place = f"{file}:{int(row['line'])} {name}"
    if [edit.component for edit in edits] != [i]:
        report.failed.append(f"{place}: find_edits says {edits}")
        return
    outer = text.outermost(i)
    if outer != i and (text.components["kind"][outer] != Kind.CLASS or "clang" in unit.compiler):
        report.doubts["in something that is no plain class"] += 1
        return
    function = extract(text, edits[0], new, file)
    report.seconds["edit"] = max(perf_counter() - began, report.seconds.get("edit", 0))
    report.extracts += 1
    start = int(text.components["start"][outer])
    before = text.stripped(0, start, templates=makes_types(function), direct="-fPIC" not in unit.flags)
    whole = before + text.closing(i) + b"\n" + function
    output = folder / "function.o"
    more = [] if "clang" in unit.compiler else ["-fkeep-inline-functions"]
    done = unit.run("-c", "-g", "-O0", "-x", unit.language, "-", "-o", str(output), *more, text=whole)
    if done.returncode:
        report.failed.append(f"{place}: {first_error(done.stderr)}")
        return
    if name.startswith("operator"):
        return
    found = {symbol: size for symbol, size in sizes_of(output).items() if name.lstrip("~") in symbol}
    if not found:
        report.failed.append(f"{place}: not in the object")
    for symbol, size in sizes_of(folder / "unit.o").items():
        if found.get(symbol, size) != size and b"__LINE__" not in text.macro_closure(edits[0].words, start)[1]:
            report.failed.append(f"{place}: {symbol} has {found[symbol]} bytes instead of {size}")


def sizes_of(path: Path) -> dict[str, int]:
    """Functions of an object."""
    lines = subprocess.run(["nm", "-S", str(path)], capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split() for line in lines]
    return {row[3]: int(row[1], 16) for row in rows if len(row) == 4 and row[2] in "TtWw"}


def extract(text: UnitText, edit: BodyEdit, new: bytes, file: str) -> bytes:
    """The new text of the function, or of the class that it is defined in."""
    rows, i, outer = text.components, edit.component, text.outermost(edit.component)
    source, line, words = edit.text, edit.line, edit.words
    if outer != i:
        line = int(rows["line"][outer])
        source = b"\n".join(new.split(b"\n")[line - 1 : int(rows["last_line"][outer])]) + b"\n"
        words = frozenset(re.findall(rb"\w+", source))
    macros, _ = text.macro_closure(words, int(rows["start"][outer]))
    local = (outer == i and rows["flags"][i] & (Flag.STATIC | Flag.INLINE)) or b"namespace {" in text.opening(i)
    used = b"__attribute__((used))\n" if local and outer == i else b""
    place = b'\n# %d "%s"\n' % (line, file.encode())
    return text.opening(i) + b"\n" + macros + used + place + source + text.closing(i) + b"\n"


def first_error(output: bytes) -> str:
    found = [line for line in output.decode("utf-8", "replace").splitlines() if "error:" in line]
    return " | ".join(found[:3]) or output.decode("utf-8", "replace")[-300:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--clang", action="store_true")
    parser.add_argument("--functions", type=int, default=3)
    parser.add_argument("--only", default="", help="part of the names of the units")
    parser.add_argument("--sample", type=int, default=0, help="so many units, at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    folder = Path(options.program) if "/" in options.program else PROGRAMS / options.program / "tree"
    units = [unit for unit in units_of(folder, options.clang) if options.only in unit.source]
    units = [unit for unit in units if unit.source.endswith((".c", ".cc", ".cpp", ".cxx"))]
    if options.sample and options.sample < len(units):
        units = random.Random(options.seed).sample(units, options.sample)
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda unit: check(unit, options.functions, options.seed), units))
    for r in reports:
        told = [f"missed {m}" for m in r.missed] + [f"surplus {s}" for s in r.surplus] + r.failed
        told += [f"stripped: {r.strip}"] if r.strip else []
        told += [f"uncertain {u}" for u in r.uncertain]
        if told or options.verbose:
            print(r.unit, {k: f"{1000 * v:.1f} ms" for k, v in r.seconds.items()}, r.size, *told[:20], sep="\n    ")
    doubts: Counter[str] = sum((r.doubts for r in reports), Counter())
    slowest = {
        k: f"{1000 * max(r.seconds.get(k, 0) for r in reports):.1f} ms" for k in ("scan", "prepare", "strip", "edit")
    }
    print(
        f"{len(reports)} units: {sum(r.functions for r in reports)} functions, {sum(len(r.missed) for r in reports)} "
        f"missed, {sum(len(r.surplus) for r in reports)} surplus, {sum(len(r.uncertain) for r in reports)} uncertain; "
        f"stripped compile: {sum(not r.strip for r in reports)}; extracts: {sum(r.extracts for r in reports)}, "
        f"failed {sum(len(r.failed) for r in reports)}; doubts {dict(doubts)}; slowest {slowest}"
    )


if __name__ == "__main__":
    main()
