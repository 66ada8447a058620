"""The doctor: each ailment is found in a program or machine that has it, and has a line that mends it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from relive.cli.main import main
from relive.host.project import Project
from relive.session import checks


def compiled(folder: Path, *flags: str, source: str = "int main(void) { return 0; }\n", objects: str = "") -> Path:
    """A program, built in two steps as a build system would, with its compile_commands.json."""
    (folder / "main.c").write_text(source)
    steps = [["gcc", *flags, "-c", "main.c", "-o", "main.o"], ["gcc", *flags, "main.o", "-o", "program"]]
    for step in steps:
        subprocess.run(step, cwd=folder, check=True)
    entry = {"directory": str(folder), "file": "main.c", "arguments": steps[0]}
    (folder / "compile_commands.json").write_text(json.dumps([entry]))
    return folder / "program"


def levels(findings: list[checks.Finding]) -> dict[str, str]:
    for finding in findings:
        assert finding.level == "fine" or finding.mend, f"{finding.check} is not fine and nothing mends it"
    return {finding.check: finding.level for finding in findings}


def looked_at(program: Path) -> dict[str, str]:
    project = Project.open(str(program), build_dir=None, start_dir=str(program.parent))
    return levels([*checks.program(str(program)), *checks.build(project, str(program))])


def test_a_good_program_is_fine(tmp_path: Path) -> None:
    found = looked_at(compiled(tmp_path, "-g", "-O0"))
    assert set(found.values()) == {"fine"}
    assert {"program", "linkage", "symbols", "debug", "database", "built"} <= found.keys()


def test_stripped(tmp_path: Path) -> None:
    found = looked_at(compiled(tmp_path, "-s"))
    assert found["symbols"] == "problem"
    assert found["debug flags"] == "hint"


def test_static(tmp_path: Path) -> None:
    assert looked_at(compiled(tmp_path, "-g", "-static"))["linkage"] == "problem"


def test_lto(tmp_path: Path) -> None:
    assert looked_at(compiled(tmp_path, "-g", "-flto"))["lto"] == "problem"


def test_optimised_without_ipa_ra(tmp_path: Path) -> None:
    assert looked_at(compiled(tmp_path, "-g", "-O2"))["optimisation"] == "hint"
    assert "optimisation" not in looked_at(compiled(tmp_path, "-g", "-O2", "-fno-ipa-ra"))


def test_edited_and_not_built(tmp_path: Path) -> None:
    program = compiled(tmp_path, "-g")
    now = os.stat(program).st_mtime_ns
    os.utime(tmp_path / "main.c", ns=(now + 10**9, now + 10**9))
    assert looked_at(program)["built"] == "hint"


def test_compiled_after_it_was_linked(tmp_path: Path) -> None:
    program = compiled(tmp_path, "-g")
    now = os.stat(program).st_mtime_ns
    os.utime(tmp_path / "main.o", ns=(now + 10**9, now + 10**9))
    assert looked_at(program)["linked"] == "problem"


def test_a_compiler_that_is_gone(tmp_path: Path) -> None:
    program = compiled(tmp_path, "-g")
    database = tmp_path / "compile_commands.json"
    database.write_text(database.read_text().replace('"gcc"', '"/opt/gone/bin/gcc"'))
    assert looked_at(program)["compiler of units"] == "problem"


def test_folding_linkers_are_seen_in_the_build_files(tmp_path: Path) -> None:
    program = compiled(tmp_path, "-g")
    (tmp_path / "build.ninja").write_text("  LINK_FLAGS = -fuse-ld=lld -Wl,--icf=all -Wl,--gc-sections\n")
    found = looked_at(program)
    assert found["icf"] == "hint"
    assert found["gc-sections"] == "hint"


@pytest.mark.parametrize("content", [b"#!/bin/sh\nexec game\n", b"\x7fELF", b""])
def test_what_is_no_program(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "game").write_bytes(content)
    (finding,) = checks.program(str(tmp_path / "game"))
    assert finding.level == "problem"
    assert finding.mend


def test_the_machine_has_every_check() -> None:
    found = levels(list(checks.machine()))
    assert found.keys() == {
        "machine",
        "compiler",
        "ptrace",
        "membarrier",
        "cache",
        "runtime",
        "skeletons",
        "inotify",
        "debugger",
    }


@pytest.mark.parametrize(("watches", "level"), [("100", "hint"), ("200000", "fine")])
def test_inotify_limits(tmp_path: Path, watches: str, level: str) -> None:
    limits = tmp_path / "sys/fs/inotify"
    limits.mkdir(parents=True)
    (limits / "max_user_watches").write_text(watches)
    (limits / "max_user_instances").write_text("128")
    assert levels(list(checks.machine(tmp_path)))["inotify"] == level


def test_ptrace_that_nobody_may_use(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/yama").mkdir(parents=True)
    (tmp_path / "sys/kernel/yama/ptrace_scope").write_text("3\n")
    assert levels(list(checks.machine(tmp_path)))["ptrace"] == "hint"


def test_exit_code_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", str(compiled(tmp_path, "-g"))]) == 0
    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(set(finding) == {"check", "level", "text", "mend"} for finding in findings)
    assert main(["doctor", "-q", str(compiled(tmp_path, "-s"))]) == 1
    text = capsys.readouterr().out
    assert text.startswith("problem symbols: stripped")
    assert "→" in text


def test_without_a_database_the_program_is_looked_at_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = compiled(tmp_path, "-g")
    (tmp_path / "compile_commands.json").unlink()
    assert main(["doctor", "--json", str(program)]) == 1
    findings = {found["check"]: found for found in map(json.loads, capsys.readouterr().out.splitlines())}
    assert findings["symbols"]["level"] == "fine"
    assert findings["database"]["level"] == "problem"
    assert "compile_commands.json" in findings["database"]["text"]


def test_config_tells_values_and_origins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELIVE_JOBS", "3")
    (tmp_path / "relive.toml").write_text("manual = true\n")
    assert main(["doctor", "--config", "--json"]) == 0
    told = {line["setting"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert told["jobs"] == {"setting": "jobs", "value": 3, "origin": "RELIVE_JOBS"}
    assert told["manual"]["origin"] == str(tmp_path / "relive.toml")
    assert told["ui"]["origin"] == "default"
