"""The story of a reload, against a real build and a made-up process: what is told, what is done, what is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from relive.errors import FormatError, TargetError
from relive.events import Reload
from relive.host.compiler import Superseded
from relive.host.target import Switch, SwitchResult, TlsPool
from relive.session import apply
from tests import fake_process, small
from tests.fake_process import Session

MAIN = '#include "h.h"\nint main(void) { return step(2) + other(1); }\n'
HEADER = "int step(int); int other(int); enum { N = %d };\n"
STEP = '#include "h.h"\nstatic int calls; int total = 1;\nstatic int inner(int x) { return x * %s; }\n%s'
STEP_F = "int step(int x) { calls++; total += inner(x); return total + N%s; }\n"
OTHER = '#include "h.h"\nint other(int x) { return x + N%s; }\n'
SOURCES = {"main.c": MAIN, "h.h": HEADER % 1, "step.c": STEP % (2, STEP_F % ""), "other.c": OTHER % ""}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path, SOURCES)


def codes(result: Reload) -> list[tuple[str, str]]:
    assert (result.status == "refused") == bool(result.refusals)
    return [(refusal.code, refusal.subject) for refusal in result.refusals]


def changed(more: str = " + 1", factor: object = 2) -> dict[str, str]:
    """An edit of step()."""
    return {"step.c": STEP % (factor, STEP_F % more)}


def test_ready(session: Session) -> None:
    assert session.prepared.units == 3
    assert session.prepared.functions >= 4
    assert session.prepared.notices == ()
    status = session.engine.status()
    assert (status["generation"], status["functions"], status["patch_memory"]) == (0, {}, 0)
    assert session.engine.explain(None) == "nothing was reloaded yet"


def test_a_comment_changes_nothing(session: Session) -> None:
    result = session.save({"step.c": "// a comment\n\n" + STEP % (2, STEP_F % "")})
    assert (result.status, result.generation, result.functions) == ("unchanged", 0, ())
    assert session.touched() == []
    assert session.whole_memory() == session.start
    # The object with other lines is the baseline now; what follows is compared with it.
    assert session.save(changed()).functions == ("step",)


def test_an_edit_is_applied(session: Session) -> None:
    result = session.save(changed())
    assert (result.status, result.generation, result.functions) == ("applied", 1, ("step",))
    assert (result.mode, result.files) == ("body", (session.path("step.c"),))
    assert result.pause_us == 1.0
    assert result.timings_ms.compile > 0
    assert session.touched() == ["load", "switch"]
    memory = session.engine.status()["patch_memory"]
    assert isinstance(memory, int)
    assert memory > 0
    (base,) = (at for at in session.target.memory if at != session.target.modules()[0].low)
    destination = session.destination("step")
    assert destination is not None
    assert base <= destination < base + memory
    at = session.address("step") - session.target.modules()[0].low
    now = session.whole_memory()
    assert now[:at] + session.start[at : at + 5] + now[at + 5 :] == session.start, "nothing else was written"
    assert (session.workdir / "relive-1.so").is_file()
    assert session.engine.status()["functions"] == {"1": ["step"]}


def test_each_edit_is_compared_with_the_one_before(session: Session) -> None:
    session.save(changed())
    first = session.destination("step")
    result = session.save(changed(" + 1", 3))
    assert (result.functions, result.generation) == (("inner",), 2)
    assert session.destination("step") == first
    assert session.save(changed(" + 1", 3)).status == "unchanged"
    assert session.save(changed("", 2)).functions == ("inner", "step"), "back to the first source"
    assert session.destination("step") not in (None, first)


def test_a_header_reaches_all_its_units(session: Session) -> None:
    result = session.save({"h.h": HEADER % 7})
    assert (result.status, result.functions) == ("applied", ("other", "step"))
    assert result.generation == 1


def test_a_file_that_nobody_includes(session: Session) -> None:
    assert session.save({"notes.txt": "x"}).status == "unchanged"
    assert session.touched() == []


def test_a_failed_compilation_fails_the_reload(session: Session) -> None:
    result = session.save({"step.c": STEP % (2, "int step(int x) { return x + ; }"), "other.c": OTHER % " + 1"})
    assert (result.status, result.generation) == ("failed", 0)
    assert "step.c:4" in result.message
    assert session.touched() == []
    assert session.engine.status()["last"] == "failed"
    result = session.save(changed() | {"other.c": OTHER % " + 1"})
    assert (result.status, result.functions) == ("applied", ("other", "step"))


def test_a_refusal_leaves_everything_as_it_was(session: Session) -> None:
    text = (STEP % (2, STEP_F % " + 1")).replace("int total = 1;", "int total[2] = {1};").replace("total +", "*total +")
    result = session.save({"step.c": text})
    assert ("variable-resized", "total") in codes(result) or ("variable-retyped", "total") in codes(result)
    assert result.generation == 0
    assert session.touched() == []
    assert session.whole_memory() == session.start
    status = session.engine.status()
    assert status["queued"] == [session.path("step.c")]
    assert status["refusals"]
    assert session.save(changed()).status == "applied"
    assert session.engine.status()["queued"] == []


def test_an_undefined_name_is_refused(session: Session) -> None:
    result = session.save({"step.c": "int missing(void);\n" + STEP % (2, STEP_F % " + missing()")})
    assert codes(result) == [("undefined-symbol", "missing")]
    assert session.touched() == []


def test_a_dry_run_only_tells(session: Session) -> None:
    result = session.save(changed(), dry_run=True)
    assert (result.status, result.generation, result.functions) == ("applied", 0, ("step",))
    assert any("redirect step at" in note for note in result.notes)
    assert session.touched() == []
    assert session.engine.status()["generation"] == 0
    again = session.save(changed())
    assert (again.status, again.generation, again.functions) == ("applied", 1, ("step",))
    assert "redirect step" in session.engine.explain(None)
    assert "step.c" in session.engine.explain(session.path("step.c"))
    assert "generation 1" in session.engine.explain("step")
    assert "no function" in session.engine.explain("nothing_of_that_name")


def test_a_dry_run_that_changes_nothing_adopts_nothing(session: Session) -> None:
    comment = {"step.c": "// a comment\n" + STEP % (2, STEP_F % "")}
    assert session.save(comment, dry_run=True).status == "unchanged"
    assert session.save(comment).status == "unchanged"
    assert session.touched() == []


def test_a_superseded_reload_leaves_no_trace(session: Session) -> None:
    with pytest.raises(Superseded):
        session.save(changed(), cancelled=lambda: True)
    assert session.touched() == []
    assert session.save(changed()).functions == ("step",)


def test_an_identity_reload_replaces_every_function(session: Session) -> None:
    for generation in (1, 2):
        result = session.save({}, everything=True)
        assert (result.status, result.mode, result.generation) == ("applied", "all", generation)
        assert set(result.functions) == {"main", "step", "inner", "other"}
        assert all(session.destination(name) for name in ("main", "step", "other"))
    assert session.save(changed()).functions == ("step",)
    assert session.engine.undo(0).status == "undone"
    assert session.whole_memory() == session.start


def test_undo_and_undo_again(session: Session) -> None:
    session.save(changed(" + 1"))
    first = session.whole_memory()
    session.save(changed(" + 2"))
    result = session.engine.undo()
    assert (result.status, result.generation, result.functions) == ("undone", 1, ("step",))
    assert session.whole_memory() == first
    assert session.engine.undo().generation == 0
    assert session.whole_memory() == session.start
    session.touched()
    result = session.engine.undo()
    assert (result.status, result.generation) == ("unchanged", 0)
    assert result.notes
    assert session.touched() == []


def test_undo_to(session: Session) -> None:
    for number in (1, 2, 3):
        session.save(changed(f" + {number}") | ({"other.c": OTHER % " + 9"} if number == 2 else {}))
        if number == 1:
            first = session.whole_memory()
    assert session.engine.undo(3).status == "unchanged"
    result = session.engine.undo(1)
    assert (result.status, result.generation, set(result.functions)) == ("undone", 1, {"step", "other"})
    assert session.whole_memory() == first
    assert session.engine.undo(0).generation == 0
    assert session.whole_memory() == session.start


def test_after_undo_the_same_save_is_news(session: Session) -> None:
    session.save(changed())
    session.engine.undo()
    result = session.save(changed())
    assert (result.status, result.functions) == ("applied", ("step",))
    assert session.destination("step") is not None


def test_names_of_patch_files_are_never_used_twice(session: Session) -> None:
    for number in range(3):
        session.save(changed(f" + {number + 1}"))
        session.engine.undo()
    session.target.next_result = SwitchResult("mismatch", "live", 0, 1, 0, 0)
    session.save(changed(" + 5"))
    session.save(changed(" + 6"))
    names = session.patches()
    assert len(names) == len(set(names)) == 5
    assert session.engine.status()["generation"] == 1, "0 is the program as started, and one save lives"


@pytest.mark.parametrize("status", ["mismatch", "busy", "timeout"])
def test_a_switch_that_does_not_happen_changes_nothing(session: Session, status: str) -> None:
    session.save(changed(" + 1") | {"other.c": OTHER % " + 1"})
    before = session.whole_memory()
    session.target.next_result = SwitchResult(status, "stop", 0, 0x1234, 77, 0)  # type: ignore[arg-type]
    text = "int fresh = 3;\n" + STEP % (3, STEP_F % " + fresh")
    result = session.save({"step.c": text})
    assert [code for code, _ in codes(result)] == ["code-altered" if status == "mismatch" else "no-safe-moment"]
    assert result.generation == 1
    assert session.whole_memory() == before
    # Neither the names nor the baselines of what failed were taken over.
    result = session.save({"other.c": "extern int fresh;\n" + OTHER % " + fresh"})
    assert codes(result) == [("undefined-symbol", "fresh")]
    result = session.save({"step.c": text})
    assert (result.status, result.functions, result.generation) == ("applied", ("inner", "step"), 2)
    assert session.save({"other.c": "extern int fresh;\n" + OTHER % " + fresh"}).status == "applied"


def test_a_patch_that_cannot_be_loaded(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[str] = []

    def refuse(path: str, address: int, size: int) -> None:
        attempts.append(path)
        raise TargetError("the loader did not put the file at its addresses")

    with monkeypatch.context() as patched:
        patched.setattr(session.target, "load", refuse)
        with pytest.raises(TargetError):
            session.save(changed())
    assert len(attempts) == apply.LOAD_ATTEMPTS
    assert session.whole_memory() == session.start
    assert session.engine.status()["generation"] == 0
    result = session.save(changed())
    assert (result.status, result.generation, result.functions) == ("applied", 1, ("step",))


def test_an_undo_that_stops_half_way_tells_where_it_stands(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.save(changed(" + 1"))
    first = session.whole_memory()
    session.save(changed(" + 2"))
    real = session.target.switch
    results: list[SwitchResult | None] = [None, SwitchResult("timeout", "stop", 0, 0x1234, 77, 0)]

    def switch(wanted: Switch) -> SwitchResult:
        return results.pop(0) or real(wanted)

    with monkeypatch.context() as patched:
        patched.setattr(session.target, "switch", switch)
        result = session.engine.undo(0)
    assert codes(result)[0][0] == "no-safe-moment"
    assert session.whole_memory() == first
    assert result.generation == session.engine.status()["generation"] == 1
    assert session.engine.undo().generation == 0
    assert session.whole_memory() == session.start


def test_what_an_undone_generation_added_is_gone(session: Session) -> None:
    session.save({"step.c": "int fresh = 3;\n" + STEP % (2, STEP_F % " + fresh")})
    user = {"other.c": "extern int fresh;\n" + OTHER % " + fresh"}
    assert session.save(user, dry_run=True).status == "applied"
    session.engine.undo()
    assert codes(session.save(user)) == [("undefined-symbol", "fresh")]


def test_a_definition_that_others_need_is_not_removed(session: Session) -> None:
    result = session.save({"step.c": '#include "h.h"\nint total;\n'})
    assert codes(result) == [("removed-but-used", "step")]
    assert session.touched() == []
    # Together with the last user it may go.
    result = session.save({"step.c": "int total;\n", "main.c": '#include "h.h"\nint main(void) { return other(1); }\n'})
    assert (result.status, result.functions) == ("applied", ("main",))


BACK = "%s int step(int x) { %s; return x; }\nint main(void) { return step(1); }\n"


@pytest.mark.parametrize("linkage", ["static ", ""])
def test_what_left_the_source_and_comes_back(tmp_path: Path, linkage: str) -> None:
    session = Session(tmp_path, {"main.c": BACK % (f"{linkage}int n = 4;", "x += n")})
    home = session.address("n")

    def back(declaration: str, use: str) -> set[int]:
        """Takes it out, puts it back: the data that the newest code refers to."""
        assert session.save({"main.c": BACK % ("", "x++")}).status == "applied"
        assert session.save({"main.c": BACK % (linkage + declaration, use)}).status == "applied"
        newest = session.destination("step")
        assert newest is not None
        code = session.target.read(newest, 40)
        fields = (code[i : i + 4] for i in range(36))
        return {newest + i + 4 + int.from_bytes(field, "little", signed=True) for i, field in enumerate(fields)}

    assert home in back("int n = 5;", "x += n"), "the same variable: its value is still there"
    # A bigger one has memory of its own; the old one would not hold it.
    assert not {*range(home, home + 160)} & back("long n[20];", "n[0] = x")
    assert not {*range(home, home + 160)} & back("const int n = 6;", "x += n")
    session.engine.undo(0)
    assert session.whole_memory() == session.start


@pytest.mark.parametrize("linkage", ["static ", ""])
def test_a_function_that_left_the_source_and_comes_back_with_another_body(tmp_path: Path, linkage: str) -> None:
    text = linkage + "int helper(int x) { return x + %d; }"
    session = Session(tmp_path, {"main.c": BACK % (text % 1, "x = helper(x)")})
    assert session.save({"main.c": BACK % ("", "x++")}).functions == ("step",)
    result = session.save({"main.c": BACK % (text % 2, "x = helper(x)")})
    assert result.status == "applied"
    # A global is called at its home, by others as well; a static one is simply new.
    assert ("helper" in result.functions) == (not linkage)
    assert (session.destination("helper") is None) == bool(linkage)
    assert any("helper" in line for line in session.engine.explain(None).splitlines())
    assert session.save({"main.c": BACK % (text % 3, "x = helper(x)")}).functions == ("helper",)


def test_a_definition_may_move_to_another_file(session: Session) -> None:
    moved = STEP_F.replace("calls++; ", "").replace("inner(x)", "x") % ""
    edits = {"step.c": '#include "h.h"\nint total = 1;\n', "other.c": "extern int total;\n" + OTHER % "" + moved}
    result = session.save(edits)
    assert (result.status, result.functions) == ("applied", ("step",))
    assert session.destination("step") is not None


def test_a_new_signature_that_a_caller_does_not_know(tmp_path: Path) -> None:
    sources = {
        "main.c": "int level(int);\nint main(void) { return level(1); }\n",
        "level.c": "int level(int x) { return x; }\n",
    }
    session = Session(tmp_path, sources)
    result = session.save({"level.c": "long level(long x) { return x + 1; }\n"})
    assert codes(result) == [("signature-changed-elsewhere", "level")]
    both = {
        "main.c": "long level(long);\nint main(void) { return level(1) + 1; }\n",
        "level.c": "long level(long x) { return x + 1; }\n",
    }
    result = session.save(both)
    assert (result.status, result.functions) == ("applied", ("level", "main"))
    assert session.destination("level") is None, "old code goes on calling the old one"
    assert session.destination("main") is not None
    session.engine.undo()
    assert session.whole_memory() == session.start


# --- where the baseline comes from ------------------------------------------------------------------------------------


def _compile(root: Path, name: str, text: str) -> None:
    (root / "src" / name).write_text(text)
    rows = json.loads((root / "build" / "compile_commands.json").read_text())
    (row,) = (row for row in rows if row["file"].endswith(name))
    subprocess.run(row["command"], shell=True, cwd=root / "build", check=True)


def test_an_object_that_is_not_what_runs(tmp_path: Path) -> None:
    session = Session(tmp_path, SOURCES, prepare=lambda root: _compile(root, "step.c", changed(" + 4")["step.c"]))
    result = session.save(changed(" + 5"))
    assert [code for code, _ in codes(result)] == ["not-what-runs"]
    assert session.touched() == []
    assert session.save({"other.c": OTHER % " + 1"}).status == "applied", "the others can be reloaded"


def test_a_build_during_the_session_does_not_matter_once_the_objects_are_secured(session: Session) -> None:
    while session.engine.idle():
        pass
    _compile(session.root, "step.c", changed()["step.c"])
    assert session.save(changed()).functions == ("step",)


def test_an_object_that_was_rebuilt_before_anybody_looked(session: Session) -> None:
    _compile(session.root, "step.c", changed()["step.c"])
    assert codes(session.save(changed(" + 2"))) == [("no-baseline", "step.c")]


def test_a_missing_object_is_compiled_in_idle_time(tmp_path: Path) -> None:
    session = Session(tmp_path, SOURCES, prepare=lambda root: (root / "build" / "step.c.o").unlink())
    while session.engine.idle():
        pass
    assert session.save(changed()).functions == ("step",)


def test_an_object_of_the_linker_is_refused(tmp_path: Path) -> None:
    session = Session(tmp_path, SOURCES, flags=("-g", "-O0", "-flto", "-ffat-lto-objects"))
    assert [code for code, _ in codes(session.save(changed()))] == ["lto-object"]
    assert session.touched() == []


def test_a_broken_object(tmp_path: Path) -> None:
    def truncate(root: Path) -> None:
        path = root / "build" / "step.c.o"
        stamp = path.stat()
        path.write_bytes(path.read_bytes()[:600])
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    session = Session(tmp_path, SOURCES, prepare=truncate)
    assert [code for code, _ in codes(session.save(changed()))] == ["bad-object"]


# --- units that come into the database --------------------------------------------------------------------------------


def _add_unit(session: Session, name: str, text: str) -> None:
    path = session.root / "build" / "compile_commands.json"
    rows = json.loads(path.read_text())
    (row,) = (row for row in rows if row["file"].endswith("other.c"))
    rows.append({**row, "command": row["command"].replace("other.c", name), "file": f"../src/{name}"})
    session.write(name, text)
    path.write_text(json.dumps(rows))
    session.project.refresh_database()


NEW_UNIT = "int hidden; int fresh(int x) { return x + 40 + hidden; }\n"
USER = {"other.c": "int fresh(int);\n" + OTHER % " + fresh(2)"}


def test_a_new_unit_is_drawn_in_when_something_refers_to_it(session: Session) -> None:
    _add_unit(session, "fresh.c", NEW_UNIT)
    assert session.save({"fresh.c": NEW_UNIT}).status == "unchanged", "nobody uses it yet"
    assert session.touched() == []
    result = session.save(USER)
    assert (result.status, result.functions) == ("applied", ("other",))
    result = session.save({"fresh.c": NEW_UNIT.replace("40", "50")})
    assert (result.status, result.functions) == ("applied", ("fresh",))


def test_a_new_unit_and_its_user_in_one_save(session: Session) -> None:
    _add_unit(session, "fresh.c", NEW_UNIT)
    assert session.save({"fresh.c": NEW_UNIT} | USER).status == "applied"


@pytest.mark.parametrize("how", ["dry run", "refused", "not switched"])
def test_a_new_unit_is_still_there_after_a_reload_that_did_not_happen(session: Session, how: str) -> None:
    _add_unit(session, "fresh.c", NEW_UNIT)
    session.save({"fresh.c": NEW_UNIT})
    if how == "dry run":
        assert session.save(USER, dry_run=True).status == "applied"
    elif how == "refused":
        missing = {"other.c": "int fresh(int), missing(void);\n" + OTHER % " + fresh(2) + missing()"}
        assert codes(session.save(missing)) == [("undefined-symbol", "missing")]
    else:
        session.target.next_result = SwitchResult("timeout", "stop", 0, 1, 2, 0)
        assert session.save(USER).status == "refused"
    assert session.save(USER).status == "applied"


def test_a_new_unit_after_undo(session: Session) -> None:
    _add_unit(session, "fresh.c", NEW_UNIT)
    session.save({"fresh.c": NEW_UNIT} | USER)
    session.engine.undo()
    assert session.whole_memory() == session.start
    assert session.save(USER).status == "applied", "it need not be saved again"


def test_a_new_unit_is_drawn_in_as_it_was_last_saved(session: Session) -> None:
    _add_unit(session, "fresh.c", NEW_UNIT)
    session.save({"fresh.c": NEW_UNIT} | USER)
    session.save({"fresh.c": NEW_UNIT.replace("40", "50")})
    session.engine.undo(0)
    session.save(USER)
    assert session.save({"fresh.c": NEW_UNIT.replace("40", "50")}).status == "unchanged"


# --- order of what is done --------------------------------------------------------------------------------------------


def test_thread_locals_and_constructors_come_before_the_switch(tmp_path: Path) -> None:
    text = "int noted(); %sint step() { return 1%s; }\nint main() { return step(); }\n"
    session = Session(
        tmp_path, {"main.cpp": text % ("", "")}, compiler="g++", symbols={b"_Z5notedv": fake_process.LIBC}
    )
    new = text % ("static int made = noted(); thread_local int depth = 5; ", " + made + depth")
    result = session.save({"main.cpp": new})
    assert result.status == "applied"
    assert session.touched() == ["load", "tls_install", "call", "switch"]
    again = session.save({"main.cpp": new.replace("return 1", "return 2")})
    assert again.status == "applied"
    assert session.touched() == ["load", "switch"], "nothing is constructed twice"


def test_a_pool_that_is_not_the_first_of_its_block(session: Session) -> None:
    session.target.pool = TlsPool(tp_offset=-4000, size=4000, tls_module=2, module_offset=96)
    for number, at in ((1, 0), (2, 64)):
        text = "".join(f"__thread int fresh{n} = {n};\n" for n in range(1, number + 1))
        more = "".join(f" + fresh{n}" for n in range(1, number + 1))
        assert session.save({"step.c": text + STEP % (2, STEP_F % more)}).status == "applied"
        installed = [arguments for name, arguments in session.target.log if name == "tls_install"]
        assert installed[-1] == (at, number.to_bytes(4, "little"))
        assert len(installed) == number


def test_a_constant_is_stored_and_brought_back(tmp_path: Path) -> None:
    text = "const int table[3] = {1, 2, %d};\nint main(void) { return table[1]; }\n"
    session = Session(tmp_path, {"main.c": text % 3})
    result = session.save({"main.c": text % 4})
    assert (result.status, result.functions) == ("applied", ())
    assert session.touched() == ["switch"]
    assert session.target.read(session.address("table") + 8, 4) == (4).to_bytes(4, "little")
    session.engine.undo()
    assert session.whole_memory() == session.start


def test_kept_initialisers_are_told(session: Session) -> None:
    text = (STEP % (2, STEP_F % " + 1")).replace("total = 1", "total = 9")
    result = session.save({"step.c": text})
    assert result.status == "applied"
    assert any("total" in note and "live value stays" in note for note in result.notes)
    assert session.target.read(session.address("total"), 4) == (1).to_bytes(4, "little")


def test_functions_that_still_run_are_told(session: Session) -> None:
    session.target.active_answer = [(4711, 0)]
    result = session.save(changed())
    assert any("step" in note and "4711" in note for note in result.notes)


def test_debug_sections_follow_in_idle_time(session: Session) -> None:
    session.save(changed())
    path = session.workdir / "relive-1.so"
    assert b".debug_info" not in path.read_bytes()
    while session.engine.idle():
        pass
    assert b".debug_info" in path.read_bytes()


def test_undo_of_what_idle_time_moved_to_disk(session: Session) -> None:
    for number in range(1, 5):
        session.save(changed(f" + {number}"))
        while session.engine.idle():
            pass
    for number in (3, 2, 1, 0):
        assert session.engine.undo().generation == number
        assert session.save(changed(f" + {number}") if number else changed(""), dry_run=True).status == "unchanged"
    assert session.whole_memory() == session.start


def test_a_program_that_was_linked_anew_is_refused(tmp_path: Path) -> None:
    program = small.build(tmp_path / "one", {"main.c": "int main(void) { return 1; }\n"})
    target = fake_process.loaded(program)
    other = small.build(tmp_path / "two", {"main.c": "int main(void) { return 2; }\n"})
    shutil.copy(other, program)
    with pytest.raises(FormatError, match="linked anew"):
        fake_process.module_of(target)


def test_a_long_session(session: Session) -> None:
    edits = [changed(f" + {n}", n % 3 + 1) | ({"other.c": OTHER % f" + {n}"} if n % 2 else {}) for n in range(1, 9)]
    assert [session.save(edit).status for edit in edits] == ["applied"] * 8
    assert session.engine.status()["generation"] == 8
    assert session.engine.undo(0).generation == 0
    assert session.whole_memory() == session.start
