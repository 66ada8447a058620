"""Every case in tests/cases, live against a cold build. Directives: tests/case.py; driver: tests/live.py.

The way of a case: start v1, k steps; then for each further version: save it, wait for the one `reload` event, k steps;
then identity reload (`relive reload --all`), k steps; then `relive undo --to 0`, k steps as v1; end of input, exit.
At each point the answers are those of the oracle, the number of `reload` events is exactly the number of saves and
requests, and the user's build tree is untouched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.case import (
    Built,
    Case,
    Run,
    Step,
    build,
    check_honest,
    combinations_of,
    load,
    names,
    overrides,
    replaced,
    run_fresh,
    save,
)  # fmt: skip
from tests.live import Live

EXIT_CODES = {"applied": 0, "unchanged": 3, "refused": 4, "failed": 1, "undone": 0}


def _parameters() -> list[Any]:
    rows = []
    for name in names():
        short, long = combinations_of(name)
        rows += [pytest.param(name, c, id=f"{name}-{c}") for c in short]
        rows += [pytest.param(name, c, id=f"{name}-{c}", marks=pytest.mark.slow) for c in long]
    return rows


@pytest.mark.parametrize(("name", "combination"), _parameters())
def test_case(name: str, combination: str, tmp_path: Path, shared_cache: Path) -> None:
    Player(load(name, combination), tmp_path, shared_cache).play()


class Player:
    """Plays one case; every assertion says at which point of the way it failed."""

    def __init__(self, case: Case, folder: Path, cache: Path) -> None:
        self.case = case
        self.folder = folder
        self.cache = cache
        self.k = case.steps
        phases = case.versions + (case.get("identity") != "no") + (case.get("undo") != "no")
        self.total = self.k * phases
        self.oracles: dict[int, Run] = {}
        self.done = 0
        self.reloads = 0
        self.notes: list[str] = []
        self.functions: list[str] = []

    def play(self) -> None:
        case = self.case
        first = build(case, 1, self.folder / "live")
        self.environment = dict(os.environ) | first.environment
        self.oracles[1] = run_fresh(first, self.total, self.environment)
        before = _snapshot(first.root / "build")
        with self._start(first) as live:
            assert self.start_lines == self.oracles[1].start, "start of the program"
            self._steps(live, "before any reload", list(self.oracles[1].steps[: self.k]))
            current = self._edits(live, first)
            if case.get("identity") != "no":
                self._identity(live, current)
            if case.get("undo") != "no":
                self._undo(live)
                current = 1
            self._end(live, current)
        words = case.get("notes").split()
        missing = [word for word in words if not any(word in note for note in self.notes)]
        assert not missing, f"wanted {missing} in the notes {self.notes}"
        if functions := case.get("functions").split():
            assert {_bare(name) for name in self.functions} == set(functions), f"changed functions: {self.functions}"
        after = _snapshot(first.root / "build")
        assert before == after, f"the build tree was written: {sorted(dict(before.items() ^ after.items()))}"

    def _start(self, first: Built) -> Live:
        options = {"cwd": first.root, "folder": self.folder, "cache": self.cache, "env": first.environment}
        program = [str(first.program)]

        def before(live: Live) -> None:
            self.start_lines = live.answer()

        if self.case.get("how") == "attach":
            live = Live.attach(program, before=before, **options)  # type: ignore[arg-type]
        else:
            live = Live.run(program, **options)  # type: ignore[arg-type]
            before(live)
        try:
            live.ready()
        except BaseException:
            live.close()
            raise
        return live

    # --- the edits --------------------------------------------------------------------------------------------------

    def _edits(self, live: Live, built: Built) -> int:
        """Saves v2, v3, … and checks each; returns the version that runs in the end."""
        case, current = self.case, 1
        how = case.get("save") or case.vary("rewrite", "rename")
        for version in range(2, case.versions + 1):
            files = save(case, built.root, version, how)
            if how == "burst" and version < case.versions:
                continue  # all versions are saved before anything is waited for
            allowed = frozenset({"applied"}) if how == "burst" else case.expects[version - 2]
            point = f"after the save of v{version}"
            if allowed == {"none"}:
                self._steps(live, point, self._expected(current))
                continue
            # Several files are several saves, and may end in several events; a touched one is no save.
            several = how in ("burst", "settle") or (files > 1 and how != "touch")
            event = self._settle(live) if several else self._next(live)
            status = self._check_status(event, allowed, point)
            if status == "applied":
                self.functions = event["functions"]
                old = list(self._oracle(current).steps[self.done : self.done + self.k])
                current = version
                check_honest(case, old, self._expected(current))
            self._steps(live, point, self._expected(current))
        return current

    def _next(self, live: Live) -> dict[str, Any]:
        event = live.next_reload()
        self.reloads += 1
        self.notes += [*event.get("notes", []), event.get("message", "")]
        return event

    def _settle(self, live: Live) -> dict[str, Any]:
        """The last event that says something, after a request (`relive reload`) that takes in all saves."""
        done = live.command("reload")
        events = live.reloads()
        assert events, f"no event: {done} {live.errors()}"
        while self.reloads < len(events):
            self._next(live)
        told = [e for e in events if e["status"] != "unchanged"]
        assert EXIT_CODES[events[-1]["status"]] == done.returncode, f"request {done}, but its event is {events[-1]}"
        return told[-1] if told else events[-1]

    def _check_status(self, event: dict[str, Any], allowed: frozenset[str], point: str) -> str:
        status = str(event["status"])
        refusals = event.get("refusals", [])
        words = {status} | {f"refused:{r['code']}" for r in refusals if status == "refused"}
        assert words & allowed, f"{point}: wanted {sorted(allowed)}, got {event}"
        if status == "refused":
            assert refusals, event
            assert all(r["code"] and r["subject"] and r["reason"] and r["hint"] for r in refusals), event
        if status == "failed":
            assert "error" in event["message"], f"{point}: the compiler's words are missing: {event}"
        return status

    # --- identity and undo ------------------------------------------------------------------------------------------

    def _identity(self, live: Live, current: int) -> None:
        done = live.command("reload", "--all")
        event = self._next(live)
        # What is on disk may be what was refused before; where a refusal is right for a case, it is here too.
        last = self.case.expects[-1]
        may_refuse = any(word.startswith("refused") for word in last)
        allowed = {"applied"} | ({"refused", "unchanged"} if may_refuse else set())
        assert event["status"] in allowed, f"identity reload: {done} {event}"
        assert done.returncode == EXIT_CODES[event["status"]], f"identity reload: {done} {event}"
        self._steps(live, "after the identity reload", self._expected(current))

    def _undo(self, live: Live) -> None:
        done = live.command("undo", "--to", "0")
        event = self._next(live)
        anything = any(e["status"] == "applied" for e in live.events if e["event"] == "reload")
        assert event["status"] == ("undone" if anything else "unchanged"), f"undo: {done} {event}"
        assert done.returncode == EXIT_CODES[event["status"]], f"undo: {done} {event}"
        steps = self.oracles[1].steps[self.done : self.done + self.k]
        self._steps(live, "after undo", replaced(steps, overrides(self.case.get("undone"))))

    # --- comparing --------------------------------------------------------------------------------------------------

    def _oracle(self, version: int) -> Run:
        if version not in self.oracles:
            built = build(self.case, version, self.folder / f"v{version}")
            self.oracles[version] = run_fresh(built, self.total, self.environment)
        return self.oracles[version]

    def _expected(self, version: int) -> list[Step]:
        steps = self._oracle(version).steps[self.done : self.done + self.k]
        return replaced(steps, overrides(self.case.get("then")), self.done - self.k)

    def _steps(self, live: Live, point: str, expected: list[Step]) -> None:
        seen = [live.ask() for _ in range(self.k)]
        self.done += self.k
        assert seen == expected, f"{point}: wanted {expected}, seen {seen}\n{live.errors()}"

    def _end(self, live: Live, current: int) -> None:
        lines, status = live.finish()
        oracle = self._oracle(current)
        code = oracle.status if oracle.status >= 0 or self.case.get("how") == "attach" else 128 - oracle.status
        wanted = f"wanted {oracle.exit} {code}, seen {lines} {status}"
        assert (lines, status) == (oracle.exit, code), f"at the exit: {wanted}\n{live.errors()}"
        found = [e["status"] for e in live.reloads()]
        assert len(found) == self.reloads, f"{self.reloads} saves and requests, but the events {found}"


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Name → size and time of each file, but for the database, which the case itself may write."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "compile_commands.json")
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in files}


def _bare(name: str) -> str:
    """``a::B<int>::f(int) const`` → ``f``."""
    return name.partition("(")[0].partition("<")[0].rpartition("::")[2].split()[-1]
