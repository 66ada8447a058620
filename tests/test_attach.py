"""Coming into a program that already runs, without it noticing; and every reason why it cannot be done."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relive.errors import AttachError, TargetGone
from relive.host.attach import attach
from relive.host.target import LocalTarget, Switch
from tests.agent_programs import Live, agent, build, running, socket_directory, threads_of, wait_for

PROGRAM = r"""
_Atomic int wrong, rounds, errors, mode;
NOINLINE int f(void) { __asm__ volatile("nop; nop; nop; nop; nop"); return 1; }
NOINLINE int f2(void) { return 2; }
_Atomic int last;
static void wait_in(int how)
{
    int fds[2], epoll = epoll_create1(0), result = 0;
    if (pipe(fds)) abort();
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event);
    struct pollfd poll_fd = {fds[0], POLLIN, 0};
    struct timespec t = {0, 50000000};
    ready = 1;
    while (!finish) {
        switch (how) {
        case 0: result = nanosleep(&t, 0); break;
        case 1: result = poll(&poll_fd, 1, 50) ; break;
        case 2: result = epoll_wait(epoll, &event, 1, 50); break;
        case 3: { struct timeval tv = {0, 50000}; result = select(0, 0, 0, 0, &tv); break; }
        }
        if (result) errors++;
        last = f();
        rounds++;
    }
}
int main(int argc, char **argv) { (void)argc; wait_in(atoi(argv[1])); return 5; }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("attach"), PROGRAM)


@contextlib.contextmanager
def process(*words: str | Path, **kwargs: object) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stdin
        child.stdin.close()


def attached(pid: int, tmp_path: Path) -> LocalTarget:
    return attach(pid, agent(attached=True), socket_dir=socket_directory(tmp_path), timeout=60)


def asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_text().split()[0].isdigit()


@pytest.mark.parametrize("how", range(4), ids=["nanosleep", "poll", "epoll_wait", "select"])
def test_attach_switch_and_no_error_in_the_sleeper(program: Path, tmp_path: Path, how: int) -> None:
    with process(program, str(how)) as child, contextlib.ExitStack() as stack:
        wait_for(lambda: asleep(child.pid), "sleep")
        target = attached(child.pid, tmp_path)
        stack.callback(target.close)
        live = Live(program, target)
        assert live.exe.path == str(program)
        assert all("relive-agent" not in module.path for module in live.modules)
        for _ in range(3):
            original = target.read(live.address("f"), 5)
            assert target.switch(Switch(code=(live.jump("f", "f2"),), timeout_ms=60_000)).status == "done"
            wait_for(lambda: live.value("last") == 2, "new code")
            back = live.jump("f", None, original)
            assert target.switch(Switch(code=(back,), stop=True, timeout_ms=60_000)).status == "done"
            wait_for(lambda: live.value("last") == 1, "old code")
        assert live.value("errors") == 0
        pool = target.tls_pool()
        assert pool.size == 512
        live.set("finish", 1)
        assert child.wait(60) == 5


def attached_again(pid: int, folder: Path) -> LocalTarget:
    """Attaches once the agent has noticed that its former host is gone; until then it names that host."""
    found: list[LocalTarget] = []

    def free() -> bool:
        try:
            found.append(attached(pid, folder))
        except AttachError as error:
            if "at work" not in str(error):
                raise
        return bool(found)

    wait_for(free, "agent to notice the end of its host")
    return found[0]


def test_attach_again_after_the_host_has_gone(program: Path, tmp_path: Path) -> None:
    """The agent stays; the next host finds it and tells it where to connect. Also after `run`."""
    with process(program, "0") as child:
        wait_for(lambda: asleep(child.pid), "sleep")
        before = len(threads_of(child.pid))
        for _ in range(3):
            target = attached_again(child.pid, tmp_path)
            assert target.modules()
            target.close()
        assert len(threads_of(child.pid)) == before + 2
    with running(program, tmp_path, "0") as live:
        live.wait_ready()
        live.target.close()
        wait_for(lambda: len(list(socket_directory(tmp_path).iterdir())) == 0, "closed door")
        again = attached_again(live.target.pid, tmp_path)
        assert again.tls_pool().size == 4096  # the preloaded agent
        again.close()


def test_second_host_is_told_who_is_there(program: Path, tmp_path: Path) -> None:
    with running(program, tmp_path, "0") as live:
        live.wait_ready()
        with pytest.raises(AttachError, match=f"process {os.getpid()}"):
            attached(live.target.pid, tmp_path)
        assert live.target.modules()


def test_many_threads_and_a_busy_main(tmp_path: Path) -> None:
    """A thread that can be borrowed is found; the busy ones run on."""
    source = r"""
    _Atomic long turns;
    static void *sleeper(void *u) { for (;;) nap(20000000); return u; }
    static void *spinner(void *u) { for (;;) turns++; return u; }
    int main(void) { for (int i = 0; i < 8; i++) thread(sleeper, 0); thread(spinner, 0); ready = 1; spinner(0); }
    """
    program = build(tmp_path, source)
    with process(program) as child:
        wait_for(lambda: len(threads_of(child.pid)) == 10, "threads")
        live = Live(program, attached(child.pid, tmp_path))
        seen = live.value("turns", 8)
        wait_for(lambda: live.value("turns", 8) > seen, "turns")
        live.target.close()


def test_nobody_to_borrow(tmp_path: Path) -> None:
    program = build(tmp_path, "int main(void) { for (volatile int i = 0;; i++) ; }")
    with process(program) as child, pytest.raises(AttachError, match="none can be borrowed"):
        attach(child.pid, agent(attached=True), socket_dir=socket_directory(tmp_path), timeout=0.3)
    assert child.returncode == -signal.SIGKILL


def test_static_program(tmp_path: Path) -> None:
    program = build(tmp_path, "int main(void) { for (;;) pause(); }", "-static")
    with process(program) as child:
        wait_for(lambda: os.readlink(f"/proc/{child.pid}/exe") == str(program), "exec")
        with pytest.raises(AttachError, match="statically linked") as caught:
            attached(child.pid, tmp_path)
        assert str(program) in str(caught.value)


def test_no_such_process(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(AttachError, match="no process"):
        attached(child.pid, tmp_path)


def test_stopped_process(program: Path, tmp_path: Path) -> None:
    with process(program, "0") as child:
        wait_for(lambda: asleep(child.pid), "sleep")
        child.send_signal(signal.SIGSTOP)
        wait_for(lambda: " T " in Path(f"/proc/{child.pid}/stat").read_text(), "stop")
        with pytest.raises(AttachError, match="stopped") as caught:
            attached(child.pid, tmp_path)
        assert "kill -CONT" in caught.value.hint


TRACER = """
import ctypes, sys, time
libc = ctypes.CDLL(None)
assert libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0
print("tracing", flush=True)
sys.stdin.read()
"""


def test_process_under_a_debugger(program: Path, tmp_path: Path) -> None:
    with process(program, "0") as child:
        wait_for(lambda: asleep(child.pid), "sleep")
        words = [sys.executable, "-c", TRACER, str(child.pid)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tracer:
            assert tracer.stdout
            assert tracer.stdout.readline() == b"tracing\n"
            with pytest.raises(AttachError, match=f"debugger .process {tracer.pid}"):
                attached(child.pid, tmp_path)
            tracer.communicate(b"")


def test_no_permission(program: Path, tmp_path: Path) -> None:
    """Another user's process: as root, by becoming nobody; else, that of root with number 1."""
    if os.getuid() != 0:
        with pytest.raises(AttachError, match="no permission"):
            attached(1, tmp_path)
        return
    with process(program, "0") as child:
        wait_for(lambda: asleep(child.pid), "sleep")
        script = (
            "import encodings.ascii, os, sys\nfrom pathlib import Path\nfrom relive.host.attach import attach\n"
            "from relive.errors import AttachError\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "directory = Path(sys.argv[2])\n"
            "try: attach(int(sys.argv[1]), directory, socket_dir=directory, timeout=5)\n"
            "except AttachError as error: print(error, error.hint)\n"
        )
        directory = Path(f"/tmp/relive-nobody-{os.getpid()}")
        directory.mkdir(mode=0o700)
        os.chown(directory, 65534, 65534)
        try:
            done = subprocess.run(
                [sys.executable, "-c", script, str(child.pid), str(directory)], capture_output=True, text=True
            )
        finally:
            directory.rmdir()
        assert "no permission" in done.stdout, done
        assert "CAP_SYS_PTRACE" in done.stdout or "ptrace_scope" in done.stdout


def test_agent_that_cannot_be_loaded(program: Path, tmp_path: Path) -> None:
    """The loader's own words reach the user, the program runs on."""
    broken = tmp_path / "relive-agent-broken.so"
    broken.write_bytes(b"not a library")
    with process(program, "0") as child:
        wait_for(lambda: asleep(child.pid), "sleep")
        with pytest.raises(AttachError, match=r"file too short|invalid ELF header"):
            attach(child.pid, broken, socket_dir=socket_directory(tmp_path), timeout=30)
        live = Live(program, attached(child.pid, tmp_path))
        seen = live.value("rounds")
        wait_for(lambda: live.value("rounds") > seen, "rounds")
        assert live.value("errors") == 0
        live.target.close()


def ask_for_ever(target: LocalTarget) -> None:
    while True:
        target.modules()


def test_death_while_talking(program: Path, tmp_path: Path) -> None:
    with process(program, "0") as child:
        wait_for(lambda: asleep(child.pid), "sleep")
        target = attached(child.pid, tmp_path)
        threading.Timer(0.05, child.kill).start()
        with pytest.raises(TargetGone, match="has ended"):
            ask_for_ever(target)
        target.close()


FORKED = r"""
NOINLINE int f(void) { __asm__ volatile("nop; nop; nop; nop; nop"); return 1; }
NOINLINE int f2(void) { return 2; }
_Atomic int last, child;
static void *worker(void *u) { for (;;) { last = f(); nap(1000000); } return u; }
int main(void)
{
    thread(worker, 0);
    for (int i = 0; i < 3; i++) nap(10000000);
    int pid = fork();
    if (pid) child = pid;
    else { thread(worker, 0); f(); }
    ready = 1;
    for (;;) nap(5000000);
}
"""


def test_child_of_a_watched_program(tmp_path: Path) -> None:
    """After fork the child runs unwatched; it can be attached like any program, through the agent it has inherited."""
    program = build(tmp_path, FORKED)
    with running(program, tmp_path) as live:
        wait_for(lambda: live.value("child") != 0, "fork")
        pid = live.value("child")
        try:
            assert len(threads_of(pid)) <= 2  # main and its worker: none of the agent's
            child = Live(program, attached(pid, tmp_path))
            for one, other in ((child, live), (live, child)):
                patch = one.jump("f", "f2")
                assert one.target.switch(Switch(code=(patch,), timeout_ms=60_000)).status == "done"
                wait_for(lambda one=one: one.value("last") == 2, "new code")  # type: ignore[misc]
                if one is child:
                    assert other.value("last") == 1
            assert child.target.switch(Switch(stop=True, timeout_ms=60_000)).status == "done"
            child.target.close()
        finally:
            os.kill(pid, signal.SIGKILL)
