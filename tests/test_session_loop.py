"""The loop: what is told, what is merged, what stays queued; with an engine that does as the test says."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from relive.errors import BuildError, Refusal, ReliveError, TargetGone, UsageError
from relive.events import Change, Crash, Event, Exit, Notice, Ready, Reload
from relive.host.compiler import Superseded
from relive.host.watch import FilesChanged
from relive.session.loop import Loop
from relive.session.messages import Answer, Ended, ProgramExited, Queue, Request, RestartWanted, Stop

REFUSAL = Refusal("variable-resized", "scores", "it grew", "rename it", "/p/a.c", 3)
Step = Callable[["FakeEngine", frozenset[str], Callable[[], bool]], Reload]


@dataclass
class FakePrepared:
    units: int = 1
    functions: int = 1
    notices: tuple[Notice, ...] = ()


@dataclass
class FakeEngine:
    """Does one `step` a reload, in order; applies everything when there is none left."""

    steps: list[Step] = field(default_factory=list)
    asked: list[frozenset[str]] = field(default_factory=list)
    dry: list[frozenset[str]] = field(default_factory=list)
    generation: int = 0
    idle_slices: int = 0
    outbox: list[Event] = field(default_factory=list)

    def prepare(self) -> FakePrepared:
        return FakePrepared()

    def reload(
        self,
        files: frozenset[str],
        *,
        everything: bool = False,
        dry_run: bool = False,
        detected_at: float,
        cancelled: Callable[[], bool],
    ) -> Reload:
        assert 0 < detected_at <= time.monotonic()
        if dry_run:
            self.dry.append(files)
            return Reload(0.0, self.generation, "applied", files=tuple(sorted(files)), notes=("would",))
        self.asked.append(files)
        step = self.steps.pop(0) if self.steps else applied
        return step(self, files, cancelled)

    def undo(self, to: int | None = None) -> Reload:
        self.generation = self.generation - 1 if to is None else to
        return Reload(0.0, self.generation, "undone")

    def status(self) -> dict[str, object]:
        return {"generation": self.generation, "modules": []}

    def explain(self, what: str | None) -> str:
        return f"about {what}"

    def idle(self, cancelled: Callable[[], bool] = lambda: False) -> bool:
        self.idle_slices -= 1
        return self.idle_slices > 0


def applied(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
    engine.generation += 1
    return Reload(0.0, engine.generation, "applied", files=tuple(sorted(files)), functions=("f",))


def unchanged(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
    return Reload(0.0, engine.generation, "unchanged", files=tuple(sorted(files)))


def failed(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
    return Reload(0.0, engine.generation, "failed", files=tuple(sorted(files)), message="a.c:1:1: error: no\n")


def refused(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
    return Reload(0.0, engine.generation, "refused", files=tuple(sorted(files)), refusals=(REFUSAL,))


def raising(error: Exception) -> Step:
    def step(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
        raise error

    return step


@dataclass
class FakeInputs:
    messages: Queue
    database: str = "/p/compile_commands.json"
    adds: frozenset[str] = frozenset()
    broken: str = ""
    followed: int = 0
    unseen: list[str] = field(default_factory=list)

    def refresh(self, files: frozenset[str]) -> tuple[frozenset[str], str]:
        if self.database not in files:
            return files, ""
        if self.broken:
            raise BuildError(self.broken, "mend it")
        return (files - {self.database}) | self.adds, f"{len(self.adds)} new units"

    def follow(self, since_ns: int) -> None:
        self.followed += 1

    def poll(self) -> None:
        if self.unseen:
            self.messages.put(saved(*self.unseen))
            self.unseen.clear()


class Bench:
    """A loop whose messages are all put in before it runs (or by the engine, meanwhile): no timing at all."""

    def __init__(
        self,
        *steps: Step,
        manual: bool = False,
        on_refused: str = "keep",
        can_restart: bool = True,
        patience: float = 60.0,
    ) -> None:
        self.messages: Queue = queue.Queue()
        self.events: list[Event] = []
        self.answers: list[Answer | ReliveError] = []
        self.engine = FakeEngine(list(steps))
        self.inputs = FakeInputs(self.messages)
        self.loop = Loop(
            self.engine,
            self.inputs,
            self.messages,
            self.events.append,
            clock=lambda: 7.0,
            manual=manual,
            on_refused=on_refused,
            can_restart=can_restart,
            patience=patience,
        )

    def ask(self, command: str, **arguments: object) -> None:
        self.messages.put(Request(command, arguments, self.answers.append))  # type: ignore[arg-type]

    def last(self, status: int) -> Step:
        """A step during which the program ends; the loop sees that only after the reload."""

        def step(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
            self.messages.put(ProgramExited(status))
            return applied(engine, files, cancelled)

        return step

    def run(self) -> Ended | RestartWanted:
        self.messages.put(ProgramExited(0))
        return self.loop.run()

    @property
    def reloads(self) -> list[Reload]:
        return [event for event in self.events if isinstance(event, Reload)]


def saved(*files: str) -> FilesChanged:
    return FilesChanged(files=frozenset(files), detected_at_monotonic=time.monotonic())


def separately(bench: Bench, *messages: FilesChanged) -> None:
    """Saves that do not wait side by side: a request lies between them."""
    for message in messages:
        bench.messages.put(message)
        bench.ask("status")


def test_a_save_is_told_as_change_then_one_reload() -> None:
    bench = Bench()
    bench.messages.put(saved("/p/a.c"))
    assert bench.run() == Ended(0)
    assert [event.event for event in bench.events] == ["change", "reload", "exit"]
    assert bench.reloads[0].status == "applied"
    assert all(event.t == 7.0 for event in bench.events)


def test_the_programs_status_is_the_loops() -> None:
    bench = Bench()
    bench.messages.put(ProgramExited(3))
    assert bench.loop.run() == Ended(3)
    assert bench.events == [Exit(7.0, 3)]


def test_a_crash_is_told_before_the_exit_and_a_wish_is_no_crash() -> None:
    for status, told in ((139, [Crash(7.0, "SIGSEGV"), Exit(7.0, 139)]), (143, [Exit(7.0, 143)])):
        bench = Bench()
        bench.messages.put(ProgramExited(status))
        assert bench.loop.run() == Ended(status)
        assert bench.events == told


def test_saves_that_wait_together_are_one_reload() -> None:
    bench = Bench()
    bench.messages.put(saved("/p/a.c"))
    bench.messages.put(saved("/p/b.c", "/p/c.h"))
    bench.run()
    assert bench.engine.asked == [frozenset({"/p/a.c", "/p/b.c", "/p/c.h"})]


def test_a_save_during_compilation_supersedes_it_and_both_end_in_one_event() -> None:
    def overtaken(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
        assert not cancelled()
        bench.messages.put(saved("/p/b.c"))
        assert cancelled()
        raise Superseded

    bench = Bench(overtaken)
    bench.messages.put(saved("/p/a.c"))
    bench.engine.steps.append(bench.last(3))
    assert bench.loop.run() == Ended(3)
    assert bench.engine.asked == [frozenset({"/p/a.c"}), frozenset({"/p/a.c", "/p/b.c"})]
    assert [event.event for event in bench.events] == ["change", "change", "reload", "exit"]


def test_a_file_that_changes_all_the_time_does_not_starve_the_reload() -> None:
    def overtaken(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
        bench.messages.put(saved("/p/log.h"))
        if cancelled():
            raise Superseded
        return applied(engine, files, cancelled)

    bench = Bench(overtaken, overtaken, patience=0.0)
    bench.messages.put(saved("/p/a.c"))
    bench.engine.steps.append(bench.last(0))
    bench.loop.run()
    assert [reload.status for reload in bench.reloads] == ["applied", "applied"]
    assert len(bench.engine.asked) == 3


@pytest.mark.parametrize("first", [failed, refused, raising(BuildError("compiler gone", "install it"))])
def test_what_was_not_applied_stays_queued_for_the_next_reload(first: Step) -> None:
    bench = Bench(first)
    separately(bench, saved("/p/a.c"), saved("/p/b.c"))
    bench.run()
    assert bench.engine.asked == [frozenset({"/p/a.c"}), frozenset({"/p/a.c", "/p/b.c"})]
    queued = [answer.result["queued"] for answer in bench.answers if isinstance(answer, Answer)]
    assert queued == [["/p/a.c"], []]


def test_what_was_applied_or_means_the_same_is_not_compiled_again() -> None:
    bench = Bench(applied, unchanged)
    separately(bench, saved("/p/a.c"), saved("/p/b.c"), saved("/p/c.c"))
    bench.run()
    assert [set(files) for files in bench.engine.asked] == [{"/p/a.c"}, {"/p/b.c"}, {"/p/c.c"}]


def test_an_environment_error_ends_the_reload_and_not_the_session() -> None:
    bench = Bench(raising(BuildError("g++-9 is gone", "install it")), raising(OSError(28, "No space left on device")))
    separately(bench, saved("/p/a.c"), saved("/p/a.c"), saved("/p/a.c"))
    bench.run()
    assert [reload.status for reload in bench.reloads] == ["failed", "failed", "applied"]
    assert bench.reloads[0].message == "error: g++-9 is gone\nhint: install it"
    assert "No space left" in bench.reloads[1].message


def test_a_bug_ends_the_reload_with_its_traceback_and_not_the_session() -> None:
    bench = Bench(raising(AssertionError("never")))
    separately(bench, saved("/p/a.c"), saved("/p/a.c"))
    bench.run()
    assert [reload.status for reload in bench.reloads] == ["failed", "applied"]
    assert "AssertionError: never" in bench.reloads[0].message


def test_a_program_that_ends_during_a_reload_is_one_failed_reload_then_exit() -> None:
    def dies(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
        bench.messages.put(ProgramExited(137))
        raise TargetGone("gone")

    def dies_while_compiling(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
        bench.messages.put(ProgramExited(137))
        assert cancelled()
        raise Superseded

    for step in (dies, dies_while_compiling):
        bench = Bench(step)
        bench.messages.put(saved("/p/a.c"))
        assert bench.loop.run() == Ended(137)
        assert [event.event for event in bench.events] == ["change", "reload", "exit"]
        assert bench.reloads[0].status == "failed"


def test_manual_waits_to_be_asked_and_then_applies_everything_saved() -> None:
    bench = Bench(manual=True)
    separately(bench, saved("/p/a.c"), saved("/p/b.c"))
    bench.ask("reload")
    bench.run()
    assert bench.engine.asked == [frozenset({"/p/a.c", "/p/b.c"})]
    assert [event.event for event in bench.events] == ["change", "change", "reload", "exit"]


def test_manual_saves_do_not_disturb_a_running_reload() -> None:
    def busy(engine: FakeEngine, files: frozenset[str], cancelled: Callable[[], bool]) -> Reload:
        bench.messages.put(saved("/p/b.c"))
        assert not cancelled()
        return applied(engine, files, cancelled)

    bench = Bench(busy, manual=True)
    bench.messages.put(saved("/p/a.c"))
    bench.ask("reload")
    bench.messages.put(Stop())
    assert bench.loop.run() == Ended(None)
    assert bench.engine.asked == [frozenset({"/p/a.c"})]


def test_asking_includes_saves_that_the_watcher_has_not_reported_yet() -> None:
    bench = Bench()
    bench.inputs.unseen.append("/p/a.c")
    bench.ask("reload")
    bench.run()
    assert bench.engine.asked == [frozenset({"/p/a.c"})]


@pytest.mark.parametrize(("step", "code"), [(applied, 0), (unchanged, 3), (refused, 4), (failed, 1)])
def test_the_answer_of_a_reload_has_the_exit_code_of_its_outcome(step: Step, code: int) -> None:
    bench = Bench(step, manual=True)
    bench.messages.put(saved("/p/a.c"))
    bench.ask("reload")
    bench.run()
    (answer,) = bench.answers
    assert isinstance(answer, Answer)
    assert answer.exit == code
    assert answer.events == tuple(bench.reloads)


def test_a_dry_run_is_answered_and_not_told() -> None:
    bench = Bench(manual=True)
    bench.messages.put(saved("/p/a.c"))
    bench.ask("reload", dry_run=True)
    bench.run()
    assert bench.engine.dry == [frozenset({"/p/a.c"})]
    assert bench.engine.asked == []
    assert bench.reloads == []
    (answer,) = bench.answers
    assert isinstance(answer, Answer)
    assert isinstance(answer.events[0], Reload)


def test_undo_is_told_and_answered() -> None:
    bench = Bench()
    bench.messages.put(saved("/p/a.c"))
    bench.ask("undo", to=0)
    bench.run()
    assert [reload.status for reload in bench.reloads] == ["applied", "undone"]
    assert bench.reloads[1].generation == 0


def test_status_tells_queue_and_refusals_until_they_are_mended() -> None:
    bench = Bench(refused)
    separately(bench, saved("/p/a.c"), saved("/p/a.c"))
    bench.run()
    first, second = (answer.result for answer in bench.answers if isinstance(answer, Answer))
    assert first["refused"] == [REFUSAL.as_dict()]
    assert second["refused"] == []


def test_a_changed_database_brings_its_new_units_into_the_reload() -> None:
    bench = Bench()
    bench.inputs.adds = frozenset({"/p/new.c"})
    bench.messages.put(saved(bench.inputs.database))
    bench.run()
    assert bench.engine.asked == [frozenset({"/p/new.c"})]
    assert bench.reloads[0].notes == ("1 new units",)
    assert bench.inputs.followed == 1


def test_a_broken_database_is_told_and_the_session_goes_on() -> None:
    bench = Bench()
    bench.inputs.broken = "compile_commands.json:3: no comma"
    separately(bench, saved(bench.inputs.database))
    bench.inputs.broken = "compile_commands.json:3: no comma"
    bench.run()
    assert bench.reloads[0].status == "failed"
    assert "no comma" in bench.reloads[0].message


def test_on_refused_restart_asks_for_a_new_start() -> None:
    bench = Bench(refused, on_refused="restart")
    bench.messages.put(saved("/p/a.c"))
    assert isinstance(bench.loop.run(), RestartWanted)
    assert [event.event for event in bench.events] == ["change", "reload", "notice"]


def test_on_refused_ask_leaves_it_to_the_user() -> None:
    bench = Bench(refused, on_refused="ask")
    bench.messages.put(saved("/p/a.c"))
    assert bench.run() == Ended(0)
    (notice,) = (event for event in bench.events if isinstance(event, Notice))
    assert "relive restart" in notice.hint


def test_an_attached_program_is_not_restarted() -> None:
    bench = Bench(refused, on_refused="restart", can_restart=False)
    bench.messages.put(saved("/p/a.c"))
    bench.ask("restart")
    assert bench.run() == Ended(0)
    assert isinstance(bench.answers[0], UsageError)


def test_requests_after_the_end_are_refused_and_not_forgotten() -> None:
    bench = Bench()
    bench.messages.put(ProgramExited(0))
    bench.ask("status")
    bench.loop.run()
    assert isinstance(bench.answers[0], TargetGone)


def test_without_an_engine_the_loop_waits_for_the_program_and_says_why() -> None:
    messages: Queue = queue.Queue()
    events: list[Event] = []
    answers: list[Answer | ReliveError] = []
    reason = BuildError("no compile_commands.json", "cmake -DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    loop = Loop(None, None, messages, events.append, clock=lambda: 0.0, reason=reason)
    messages.put(Request("reload", {}, answers.append))
    messages.put(Request("status", {}, answers.append))
    messages.put(ProgramExited(5))
    assert loop.run() == Ended(5)
    assert answers[0] is reason
    assert isinstance(answers[1], Answer)
    assert answers[1].result["watching"] is False


def test_idle_work_is_done_in_slices_until_none_is_left_and_a_message_wins() -> None:
    bench = Bench()
    bench.engine.idle_slices = 10
    done = threading.Thread(target=bench.loop.run)
    done.start()
    while bench.engine.idle_slices > 0:
        time.sleep(0.001)
    bench.messages.put(ProgramExited(0))
    done.join(timeout=30)
    assert not done.is_alive()


def test_files_pending_from_the_start_are_part_of_the_first_reload() -> None:
    bench = Bench()
    bench.loop.add_pending(frozenset({"/p/stale.c"}))
    bench.messages.put(saved("/p/a.c"))
    bench.run()
    assert bench.engine.asked == [frozenset({"/p/stale.c", "/p/a.c"})]


def test_ready_is_told() -> None:
    bench = Bench()
    ready = Ready(1.0, 5, "/p/game", 1, 2, 3.0)
    bench.loop.ready(ready)
    assert bench.events == [ready]
    assert not any(isinstance(event, Change) for event in bench.events)
