"""A case: a folder of tiny sources in several versions, and what a correct hot reload of them must look like.

``tests/cases/<phenomenon>/v1`` holds the whole program, ``v2``, ``v3``… only the files that differ (a file ``DELETED``
lists those that are gone). Directives stand in ``//`` comments, one a line, at the top of ``v1/main.c`` or
``v1/main.cpp``:

==================  ==================================================================================================
``case``            one sentence: the phenomenon
``expect``          one word per reload: ``applied`` ``unchanged`` ``failed`` ``refused:CODE`` ``none`` (no event), with
                    ``|`` between alternatives; default ``applied``. When it is not applied the old output must go on
``also``            combinations beside gcc-O0 that belong to the short run, e.g. ``gcc-O2 clang-O0``
``never``           combinations that make no sense for the case
``flags`` ``link``  more words for each compilation, and for the end of the link command
``lib``             ``libx.so a.c b.c``: a shared library that the program links; ``dlopen``: one that it opens itself
``copies``          ``unit.c 20``: the file is a template, ``@N@`` is 0…19, each copy is a unit
``entries``         ``unit.c: -DA | -DB``: the same source compiled several times
``depfiles``        ``no``: the build writes none
``steps``           requests per phase, default 2
``save``            ``rewrite`` ``rename`` ``touch`` ``burst`` (all versions at once, only the last counts) ``settle``
                    (the save may end in several events, as any save of several files may; the last one counts);
                    default: ``rewrite`` or ``rename``, by name
``how``             ``run`` (default) or ``attach``
``then``            ``name=v,v,…``: what the line ``name=`` shows after the first reload, step by step, where a live
                    program must differ from a fresh one because its state went on
``undone``          the same after undo; ``undo: no``: the case does not try undo, ``identity: no``: nor identity reload
``notes``           words that must be found in the notes of a `reload` event
``functions``       exactly these functions are in the last `applied` event (bare names, any order)
``environment``     ``NAME=value`` words added to the environment
==================  ==================================================================================================

A key may be limited to a combination: ``expect@O2: refused``, ``then@gcc-O2: …``; the last one that fits counts.

The oracle is a cold build: after the reload, step n of the live program must print what step n of a fresh build of the
new version prints, but for the lines that ``then`` names. A case whose expectation equals the old version's output
could not fail and is an error of the case (`check_honest`). ``python -m tests.case`` runs the oracles alone."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

CASES = Path(__file__).parent / "cases"
COMMON = CASES / "common"
SUFFIXES = (".c", ".cpp", ".cc", ".S")
COMPILERS = {"gcc": ("gcc", "g++"), "clang": ("clang", "clang++")}
COMBINATIONS = ("gcc-O0", "gcc-O2", "clang-O0", "clang-O2")
DRIVER_TIMEOUT = 120.0
"""Seconds; far beyond what any case needs, because no test may depend on timing."""

Step = tuple[str, ...]
"""The lines of one answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """One phenomenon with one compiler at one optimisation level."""

    name: str
    combination: str
    directives: dict[str, str]

    @property
    def path(self) -> Path:
        return CASES / self.name

    @property
    def versions(self) -> int:
        return sum(1 for entry in self.path.iterdir() if entry.name.startswith("v") and entry.name[1:].isdigit())

    @property
    def steps(self) -> int:
        return int(self.directives.get("steps", "2"))

    def get(self, key: str, default: str = "") -> str:
        return self.directives.get(key, default)

    @property
    def expects(self) -> list[frozenset[str]]:
        """The statuses allowed for each reload."""
        words = self.get("expect", "applied").split()
        words += [words[-1]] * (self.versions - 1 - len(words))
        return [frozenset(word.split("|")) for word in words]

    def vary(self, *choices: str) -> str:
        """One of the choices, always the same for a case: spreads what does not matter over the cases."""
        return choices[zlib.crc32(self.name.encode()) % len(choices)]


def read_directives(path: Path, combination: str) -> dict[str, str]:
    """The directives of a case that hold for a combination such as ``gcc-O2``."""
    main = next(p for p in (path / "v1" / "main.c", path / "v1" / "main.cpp") if p.exists())
    parts = {combination, *combination.split("-")}
    general: dict[str, str] = {}
    limited: dict[str, str] = {}
    for line in main.read_text().splitlines():
        if not line.startswith("// ") or ": " not in line:
            continue
        key, value = line[3:].split(": ", 1)
        key, _, limit = key.strip().partition("@")
        if limit in parts:
            limited[key] = value.strip()
        elif not limit:
            general[key] = f"{general.get(key, '')} {value.strip()}".strip()
    return general | limited


def names() -> list[str]:
    """All cases, in order."""
    return sorted(p.name for p in CASES.iterdir() if (p / "v1").is_dir())


def combinations_of(name: str) -> tuple[list[str], list[str]]:
    """Of a case: the combinations of the short run, and those that only the long run adds."""
    short: list[str] = []
    long: list[str] = []
    for combination in COMBINATIONS:
        directives = read_directives(CASES / name, combination)
        if combination in directives.get("never", "").split():
            continue
        first = next(c for c in COMBINATIONS if c not in directives.get("never", "").split())
        wanted = combination == first or combination in directives.get("also", "").split()
        (short if wanted else long).append(combination)
    return short, long


def load(name: str, combination: str) -> Case:
    """Reads a case; ``combination`` is ``compiler-Olevel``."""
    return Case(name, combination, read_directives(CASES / name, combination))


# --- sources --------------------------------------------------------------------------------------------------------


def sources_of(case: Case, version: int) -> dict[str, bytes]:
    """Relative path → content of every file of a version: the overlay of v1…vN with its templates expanded."""
    files: dict[str, bytes] = {}
    for number in range(1, version + 1):
        folder = case.path / f"v{number}"
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            files[str(path.relative_to(folder))] = path.read_bytes()
        for gone in files.pop("DELETED", b"").decode().split():
            del files[gone]
    if template := case.get("copies"):
        name, count = template.split()
        text = files.pop(name)
        stem, _, suffix = name.rpartition(".")
        for number in range(int(count)):
            files[f"{stem}_{number}.{suffix}"] = text.replace(b"@N@", str(number).encode())
    return files


def save(case: Case, root: Path, version: int, how: str) -> int:
    """Brings ``root`` (the folder above ``src``) to a version, the way an editor does (``rewrite``, ``rename``): new
    files come first, then the database that names them, then the edits. Returns how many were written or removed."""
    old, new = sources_of(case, version - 1), sources_of(case, version)
    written = [name for name in new if old.get(name) != new[name] or how == "touch"]
    _write(root / "src", {name: new[name] for name in written if name not in old}, how)
    for name in old.keys() - new.keys():
        (root / "src" / name).unlink()
    if {name for name in old if name.endswith(SUFFIXES)} != {name for name in new if name.endswith(SUFFIXES)}:
        write_database(case, root, commands_of(case, root, new))
    _write(root / "src", {name: new[name] for name in written if name in old}, how)
    return len(written) + len(old.keys() - new.keys())


def _write(root: Path, files: dict[str, bytes], how: str) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if how == "rename":
            beside = path.with_name(f".{path.name}.tmp")
            beside.write_bytes(content)
            beside.replace(path)
        else:
            path.write_bytes(content)


# --- build ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """One compilation: a row of compile_commands.json."""

    arguments: tuple[str, ...]
    file: str
    output: str


@dataclass(frozen=True, slots=True)
class Built:
    """A build tree: ``root/src`` sources, ``root/build`` everything that the build made."""

    root: Path
    program: Path
    environment: dict[str, str] = field(default_factory=dict)


def commands_of(case: Case, root: Path, files: dict[str, bytes]) -> list[Command]:
    """The compilations of a version, in the manner of CMake; run in ``root/build``."""
    compiler, level = case.combination.split("-")
    libraries = _libraries(case)
    in_library = {source for sources in libraries.values() for source in sources}
    entry_file, _, entry_flags = case.get("entries").partition(": ")
    commands = []
    for name in sorted(files):
        if not name.endswith(SUFFIXES):
            continue
        flags = shlex.split(case.get("flags"))
        is_c = name.endswith((".c", ".S"))
        if not is_c and not any(flag.startswith("-std=") for flag in flags):
            flags.append("-std=c++17")
        if name in in_library:
            flags.append("-fPIC")
        source = case.vary(str(root / "src" / name), f"../src/{name}")
        variants = entry_flags.split("|") if name == entry_file else [""]
        for number, variant in enumerate(variants):
            output = f"obj/{name}{f'.{number}' if variant else ''}.o"
            words = [COMPILERS[compiler][not is_c], "-g", f"-{level}", *flags, *variant.split()]
            words += ["-I", str(COMMON), "-I../src"]
            if case.get("depfiles") != "no":
                words += ["-MD", "-MT", output, "-MF", f"{output}.d"]
            commands.append(Command((*words, "-o", output, "-c", source), source, output))
    return commands


def _libraries(case: Case) -> dict[str, list[str]]:
    """Name of each shared library of the case → its sources."""
    result = {}
    for key in ("lib", "dlopen"):
        words = case.get(key).split()
        if words:
            result[words[0]] = words[1:]
    return result


def write_database(case: Case, root: Path, commands: list[Command]) -> None:
    """compile_commands.json, in one of the forms that build systems write."""
    rows: list[dict[str, object]] = []
    for command in commands:
        row: dict[str, object] = {"directory": str(root / "build")}
        if case.vary("arguments", "command") == "arguments" and not case.name.startswith("c"):
            row |= {"arguments": list(command.arguments)}
        else:
            row |= {"command": shlex.join(command.arguments)}
        row |= {"file": command.file}
        if len({c.file for c in commands}) < len(commands) or case.vary("a", "b", "c") == "a":
            row |= {"output": command.output}
        rows.append(row)
    (root / "build" / "compile_commands.json").write_text(json.dumps(rows, indent=1))


def build(case: Case, version: int, root: Path) -> Built:
    """A cold build of one version in a new folder; AssertionError with the compiler's words when the case is broken."""
    files = sources_of(case, version)
    (root / "build").mkdir(parents=True)
    for name, content in files.items():
        path = root / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    commands = commands_of(case, root, files)
    for command in commands:
        (root / "build" / command.output).parent.mkdir(parents=True, exist_ok=True)
        _run(command.arguments, root / "build")
    driver = COMPILERS[case.combination.split("-")[0]][any(n.endswith((".cpp", ".cc")) for n in files)]
    libraries = _libraries(case)
    home = {source: library for library, sources in libraries.items() for source in sources}
    objects: dict[str, list[str]] = {name: [] for name in ("", *libraries)}
    for command in commands:
        objects[home.get(command.file.rpartition("/src/")[2], "")].append(command.output)
    for library in libraries:
        _run((driver, "-shared", "-o", library, *objects[library]), root / "build")
    linked = case.get("lib").split()[:1]
    flags = [word for word in shlex.split(case.get("flags")) if word in ("-fno-pie", "-static")]
    words = [driver, *(["-no-pie"] if "-fno-pie" in flags else []), "-o", "program", *objects[""], *linked]
    _run((*words, *shlex.split(case.get("link")), "-Wl,-rpath,$ORIGIN"), root / "build")
    write_database(case, root, commands)
    environment = dict(word.split("=", 1) for word in case.get("environment").split())
    return Built(root, root / "build" / "program", environment)


def _run(words: tuple[str, ...], directory: Path) -> None:
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"


# --- oracle ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """What a program printed: at its start, for each step, at its exit; and its status (negative: signal)."""

    start: Step
    steps: tuple[Step, ...]
    exit: Step
    status: int


def run_fresh(built: Built, steps: int, environment: dict[str, str]) -> Run:
    """The oracle: the program alone, without relive, for a number of steps."""
    done = subprocess.run(
        [str(built.program)], cwd=built.root, input="step\n" * steps, capture_output=True, text=True, check=False,
        timeout=DRIVER_TIMEOUT, env=environment | built.environment,
    )  # fmt: skip
    answers: list[list[str]] = [[]]
    for line in done.stdout.splitlines():
        if line == ".":
            answers.append([])
        else:
            answers[-1].append(line)
    assert len(answers) == steps + 2, f"{built.program} ended early with {done.returncode}:\n{done.stdout}{done.stderr}"
    return Run(tuple(answers[0]), tuple(map(tuple, answers[1:-1])), tuple(answers[-1]), done.returncode)


def overrides(text: str) -> dict[str, list[str]]:
    """``count=13,23 name=a,b`` → name → values."""
    return {name: values.split(",") for name, _, values in (word.partition("=") for word in text.split())}


def replaced(steps: tuple[Step, ...], values: dict[str, list[str]], first: int = 0) -> list[Step]:
    """The steps with the values of some lines replaced; ``first`` = how many values were used up before."""
    result = []
    for number, step in enumerate(steps, first):
        lines = []
        for line in step:
            name, equals, _ = line.partition("=")
            if equals and name in values:
                assert number < len(values[name]), f"`{name}` has no value for step {number + 1}"
                line = f"{name}={values[name][number]}"
            lines.append(line)
        result.append(tuple(lines))
    return result


def check_honest(case: Case, old: list[Step], new: list[Step]) -> None:
    """A case that cannot fail is worthless."""
    assert old != new, f"case {case.name}: the expectation after the reload equals what the old version prints: {new}"


def main(arguments: list[str]) -> int:
    """``python -m tests.case [NAME…] [COMBINATION…]``: builds and runs the oracles alone, shows what is expected."""
    wanted = [a for a in arguments if a not in COMBINATIONS] or names()
    chosen = [a for a in arguments if a in COMBINATIONS]
    bad = 0
    for name in wanted:
        short, long = combinations_of(name)
        for combination in short if not chosen else [c for c in chosen if c in short + long]:
            case = load(name, combination)
            with tempfile.TemporaryDirectory() as folder:
                try:
                    _show(case, Path(folder), dict(os.environ), verbose=len(wanted) < 4)
                except (AssertionError, StopIteration) as error:
                    bad += 1
                    print(f"BAD {name}-{combination}: {error}")
    print(f"{len(wanted)} cases, {bad} bad")
    return 1 if bad else 0


def _show(case: Case, folder: Path, environment: dict[str, str], *, verbose: bool) -> None:
    total = case.steps * (case.versions + 2)
    runs: list[Run] = []
    for version in range(1, case.versions + 1):
        if version > 1 and case.expects[version - 2] <= {"failed", "refused"}:
            runs.append(runs[-1])  # need not even link
            continue
        runs.append(run_fresh(build(case, version, folder / f"v{version}"), total, environment))
    then = overrides(case.get("then"))
    k = case.steps
    for number, (old, new) in enumerate(itertools.pairwise(runs), 1):
        if case.expects[number - 1] <= {"unchanged", "none", "failed", "refused"}:
            continue
        low, high = number * k, (number + 1) * k
        expected = replaced(new.steps[low:high], then, (number - 1) * k)
        check_honest(case, list(old.steps[low:high]), expected)
        if verbose:
            print(case.name, case.combination, "\n  before", old.steps[low - k : low])
            print("  after ", expected, "exit", new.exit, new.status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
