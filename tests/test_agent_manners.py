"""The program cannot tell that it has an agent: environment, descriptors, children, signals, sleeps, its end."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from relive.errors import TargetError, TargetGone
from relive.host.launch import start
from relive.host.native import agent_library
from relive.host.target import PointerRewrite, Switch
from tests.agent_programs import CACHE, Live, agent, build, running, socket_directory, status_of, wait_for

FUNCTIONS = r"""
NOINLINE int f(void) { __asm__ volatile("nop; nop; nop; nop; nop"); return 1; }
NOINLINE int f2(void) { return 2; }
NOINLINE int f3(void) { return 3; }
"""


def flip(live: Live, times: int, *, stop: bool = False) -> None:
    """Sends f to f2 and f3 in turns, then back to itself."""
    original = live.target.read(live.address("f"), 5)
    for n in range(times):
        patch = live.jump("f", "f3" if n % 2 else "f2")
        assert live.target.switch(Switch(code=(patch,), stop=stop, timeout_ms=60_000)).status == "done"
    patch = live.jump("f", None, original)
    assert live.target.switch(Switch(code=(patch,), stop=stop, timeout_ms=60_000)).status == "done"


ENVIRONMENT = r"""
extern char **environ;
_Atomic int strangers, first_fd, child_strangers, count, order;
char preload[256];
static int strange(const char *s)
{
    return !!strstr(s, "relive") || !strncmp(s, "RELIVE", 6) || !strncmp(s, "LD_USE", 6);
}
int main(int argc, char **argv, char **envp)
{
    (void)argc, (void)argv;
    for (char **e = envp; *e; e++, count++) strangers += strange(*e) || environ[e - envp] != *e;
    if (getenv("LD_PRELOAD")) snprintf(preload, sizeof preload, "%s", getenv("LD_PRELOAD"));
    first_fd = open("/dev/null", O_RDONLY);
    FILE *child = popen("env; ls /proc/self/fd", "r");
    char line[4096];
    while (fgets(line, sizeof line, child)) child_strangers += strange(line);
    pclose(child);
    ready = 1;
    while (!finish) nap(1000000);
    return 3;
}
"""


def test_environment_and_first_descriptor(tmp_path: Path) -> None:
    program = build(tmp_path, ENVIRONMENT)
    with running(program, tmp_path, env={"PATH": os.environ["PATH"], "A": "1", "Z": "2"}, cwd=Path("/")) as live:
        live.wait_ready()
        assert (live.value("strangers"), live.value("child_strangers"), live.value("count")) == (0, 0, 3)
        assert live.value("first_fd") == 3
        assert live.target.read(live.address("preload"), 1) == b"\0"
        live.set("finish", 1)
        assert status_of(live.launched) == 3


def test_users_own_preload_is_kept(tmp_path: Path) -> None:
    other = build(tmp_path, "int other(void) { return 1; }", "-shared", "-fPIC", name="libother.so")
    program = build(tmp_path, ENVIRONMENT)
    with running(program, tmp_path, env={"PATH": os.environ["PATH"], "LD_PRELOAD": f"{other}"}, cwd=Path("/")) as live:
        live.wait_ready()
        assert live.target.read(live.address("preload"), 256).split(b"\0")[0] == bytes(other)
        assert any(module.path == str(other) for module in live.modules)


SLEEPERS = (
    FUNCTIONS
    + r"""
_Atomic int errors;
static int fds[2], quiet[2], epoll;
static void *sleeper(void *how)
{
    struct epoll_event event;
    struct pollfd poll_fd = {quiet[0], POLLIN, 0};
    char byte;
    for (long n = 0; !finish; n++) {
        struct timespec t = {0, 3000000};
        struct timeval tv = {0, 3000};
        long result = 0;
        errno = 0;
        switch ((long)how) {
        case 0: result = nanosleep(&t, 0); break;
        case 1: result = poll(&poll_fd, 1, 3); break;
        case 2: result = epoll_wait(epoll, &event, 1, 3); break;
        case 3: result = select(0, 0, 0, 0, &tv); break;
        case 4: result = usleep(3000); break;
        case 5: result = read(fds[0], &byte, 1) == 1 ? 0 : -1; break;
        case 6: result = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0); break;
        case 7: result = ppoll(&poll_fd, 0, &t, 0); break;
        }
        if (result || errno) errors++;
        if (!n) ready++;
    }
    return 0;
}
int main(void)
{
    if (pipe(fds) || pipe(quiet)) abort();
    epoll = epoll_create1(0);
    pthread_t t[8];
    for (long i = 0; i < 8; i++) t[i] = thread(sleeper, (void *)i);
    while (!finish) { nap(2000000); if (write(fds[1], "x", 1) != 1) abort(); f(); }
    for (int i = 0; i < 8; i++) { pthread_join(t[i], 0); }
    return errors;
}
"""
)


@pytest.mark.parametrize("stop", [False, True], ids=["live", "stop"])
def test_sleepers_get_no_eintr(tmp_path: Path, stop: bool) -> None:
    """Eight kinds of waiting, over and over, while 50 switches are made."""
    with running(build(tmp_path, SLEEPERS), tmp_path) as live:
        live.wait_ready(8)
        flip(live, 50, stop=stop)
        assert live.value("errors") == 0
        live.set("finish", 1)
        assert status_of(live.launched) == 0


LONG_SLEEP = (
    FUNCTIONS
    + r"""
_Atomic int result = -2;
_Atomic long slept;
int main(void)
{
    struct timespec t = {1, 500000000}, a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    ready = 1;
    result = nanosleep(&t, 0);
    clock_gettime(CLOCK_MONOTONIC, &b);
    slept = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
    ready = 2;
    while (!finish) nap(1000000);
    return f();
}
"""
)


def test_one_long_sleep_over_many_stops(tmp_path: Path) -> None:
    """It ends when it should: not with EINTR, not early, and not late by the time already slept."""
    with running(build(tmp_path, LONG_SLEEP), tmp_path) as live:
        live.wait_ready()
        flip(live, 100, stop=True)
        live.wait_ready(2)
        assert live.value("result") == 0
        assert live.value("slept", 8) >= 1500
        live.set("finish", 1)
        assert status_of(live.launched) == 1


BLOCKER = (
    FUNCTIONS
    + r"""
_Atomic long calls;
static void *deaf(void *u)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, 0);
    ready++;
    while (!finish) { f(); calls++; }
    return u;
}
int main(void) { pthread_t t = thread(deaf, 0); pthread_join(t, 0); return 4; }
"""
)


def test_thread_that_blocks_all_signals(tmp_path: Path) -> None:
    with running(build(tmp_path, BLOCKER), tmp_path) as live:
        live.wait_ready()
        patch = live.jump("f", "f2")
        result = live.target.switch(Switch(code=(patch,), timeout_ms=60_000))
        assert (result.status, result.mode) == ("done", "stop")
        flip(live, 20)
        live.set("finish", 1)
        assert status_of(live.launched) == 4


OWN_TRAPS = (
    FUNCTIONS
    + r"""
_Atomic long raised, caught, bad;
static void on_trap(int n, siginfo_t *i, void *c)
{
    (void)n;
    caught++;
    if (i->si_code > 0 && ((unsigned char *)((ucontext_t *)c)->uc_mcontext.gregs[REG_RIP])[-1] != 0xcc) bad++;
}
static void *raiser(void *u)
{
    ready++;
    while (!finish) {
        raised++; __asm__ volatile("int3");
        raised++; raise(SIGTRAP);
        f();
    }
    return u;
}
int main(void)
{
    struct sigaction a = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO}, now;
    sigaction(SIGTRAP, &a, 0);
    sigaction(SIGTRAP, 0, &a);
    pthread_t t[2] = {thread(raiser, 0), thread(raiser, 0)};
    for (int i = 0; i < 2; i++) pthread_join(t[i], 0);
    do {
        nap(1000000);
        sigaction(SIGTRAP, 0, &now); /* ours is back a moment after the switch */
    } while (!finish || now.sa_sigaction != on_trap);
    return now.sa_flags != a.sa_flags ? 91 : bad ? 92 : raised != caught ? 93 : 6;
}
"""
)


def test_program_with_its_own_traps(tmp_path: Path) -> None:
    """Every trap of its own reaches its handler, and the handler is there afterwards."""
    with running(build(tmp_path, OWN_TRAPS), tmp_path) as live:
        live.wait_ready(2)
        flip(live, 100)
        live.set("finish", 1)
        assert status_of(live.launched) == 6


FORKER = (
    FUNCTIONS
    + r"""
_Atomic int forks, bad;
static int descriptors(void) { int n = 0; for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) != -1; return n; }
int main(void)
{
    int own = descriptors();
    while (!finish) {
        pid_t child = fork();
        if (!child) {
            int value = 0;
            for (int i = 0; i < 2000; i++) value = f();
            if (descriptors() != own) _exit(42);
            _exit(value >= 1 && value <= 3 ? 40 : 41);
        }
        int status;
        if (waitpid(child, &status, 0) != child || status != 40 << 8) bad++;
        f();
        forks++;
        ready = 1;
    }
    return bad ? 1 : 8;
}
"""
)


def test_forks_during_switches(tmp_path: Path) -> None:
    """Children run on with a whole version of the code, without any descriptor or thread of ours."""
    with running(build(tmp_path, FORKER), tmp_path) as live:
        live.wait_ready()
        seen = live.value("forks")
        while live.value("forks") < seen + 50:
            flip(live, 10)
            flip(live, 4, stop=True)
        assert live.value("bad") == 0
        live.set("finish", 1)
        assert status_of(live.launched) == 8


def test_program_that_closes_every_descriptor(tmp_path: Path) -> None:
    source = (
        FUNCTIONS
        + "int main(void) { for (int i = 0; i < 70000; i++) close(i); ready = 1; for (;;) { f(); nap(1000); } }"
    )
    with running(build(tmp_path, source), tmp_path) as live:
        live.wait_ready()
        flip(live, 5)


def test_program_that_changes_its_user(tmp_path: Path) -> None:
    """setuid goes through every thread by glibc's own signal 33, also while we use it."""
    source = (
        FUNCTIONS
        + r"""
    _Atomic int changes;
    static void *other(void *u) { for (;;) { f(); nap(100000); } return u; }
    int main(void)
    {
        thread(other, 0);
        while (!finish) { if (setresuid(-1, getuid(), -1)) abort(); changes++; ready = 1; }
        return 2;
    }
    """
    )
    with running(build(tmp_path, source), tmp_path) as live:
        live.wait_ready()
        seen = live.value("changes")
        flip(live, 50, stop=True)
        flip(live, 50)
        wait_for(lambda: live.value("changes") > seen + 20, "changes")
        live.set("finish", 1)
        assert status_of(live.launched) == 2


COMING_AND_GOING = (
    FUNCTIONS
    + r"""
_Atomic long born;
static _Atomic int wrong;
static void *brief(void *u) { int v = f(); if (v < 1 || v > 3) wrong++; return u; }
static void *parent(void *u)
{
    while (!finish) {
        pthread_t t;
        pthread_attr_t a;
        pthread_attr_init(&a);
        pthread_attr_setstacksize(&a, PTHREAD_STACK_MIN);
        if (!pthread_create(&t, &a, brief, 0)) { born++; ready = 1; pthread_join(t, 0); }
    }
    return u;
}
int main(void)
{
    pthread_t t[3];
    for (int i = 0; i < 3; i++) t[i] = thread(parent, 0);
    for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
    return wrong ? 1 : 11;
}
"""
)


@pytest.mark.parametrize("stop", [False, True], ids=["live", "stop"])
def test_threads_that_come_and_go(tmp_path: Path, stop: bool) -> None:
    """With the smallest stacks there are."""
    with running(build(tmp_path, COMING_AND_GOING), tmp_path) as live:
        live.wait_ready()
        flip(live, 60, stop=stop)
        live.set("finish", 1)
        assert status_of(live.launched) == 11


ALTERNATE = (
    FUNCTIONS
    + r"""
_Atomic int wrong;
static char room[65536];
static void on_usr1(int n)
{
    (void)n;
    ready = 1;
    while (!finish) { int v = f(); if (v < 1 || v > 3) wrong++; }
}
int main(void)
{
    stack_t s = {.ss_sp = room, .ss_size = sizeof room};
    struct sigaction a = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK};
    sigaltstack(&s, 0);
    sigaction(SIGUSR1, &a, 0);
    raise(SIGUSR1);
    return wrong ? 1 : 12;
}
"""
)


@pytest.mark.parametrize("stop", [False, True], ids=["live", "stop"])
def test_thread_on_an_alternate_signal_stack(tmp_path: Path, stop: bool) -> None:
    with running(build(tmp_path, ALTERNATE), tmp_path) as live:
        live.wait_ready()
        flip(live, 30, stop=stop)
        live.set("finish", 1)
        assert status_of(live.launched) == 12


def test_end_by_the_last_thread(tmp_path: Path) -> None:
    """Main ends by pthread_exit; with the last thread of the program ends the process, by its exit functions."""
    source = r"""
    static char *name;
    static void at_end(void) { FILE *f = fopen(name, "w"); fputs("ended", f); fclose(f); }
    static void *other(void *u) { ready = 1; while (!finish) nap(1000000); return u; }
    int main(int c, char **v) { (void)c; name = v[1]; atexit(at_end); thread(other, 0); pthread_exit(0); }
    """
    with running(build(tmp_path, source), tmp_path, str(tmp_path / "mark")) as live:
        live.wait_ready()
        live.set("finish", 1)
        assert status_of(live.launched) == 0
        assert (tmp_path / "mark").read_text() == "ended"


def test_exec_ends_the_session(tmp_path: Path) -> None:
    source = 'int main(int c, char **v) { (void)c; while (!finish) nap(1000); execlp("sleep", v[0], "60", (char *)0); }'
    with running(build(tmp_path, source), tmp_path) as live:
        live.set("finish", 1)
        wait_for(lambda: is_gone(live), "exec")


def is_gone(live: Live) -> bool:
    try:
        live.target.modules()
    except TargetGone:
        return True
    return False


def test_program_that_was_killed(tmp_path: Path) -> None:
    source = FUNCTIONS + "int main(void) { ready = 1; for (;;) f(); }"
    with running(build(tmp_path, source), tmp_path) as live:
        live.wait_ready()
        patch = live.jump("f", "f2")
        os.kill(live.target.pid, 9)
        with pytest.raises(TargetGone):
            live.target.switch(Switch(code=(patch,)))
        with pytest.raises(TargetGone):
            live.target.read(patch.address, 1)


def test_host_that_was_killed_leaves_the_program_alone(tmp_path: Path) -> None:
    source = FUNCTIONS + "int main(void) { ready = 1; while (!finish) { f(); nap(100000); } return 17; }"
    with running(build(tmp_path, source), tmp_path) as live:
        live.wait_ready()
        flip(live, 3)
        live.target._connection.close()  # as the kernel does for a host that dies
        live.set("finish", 1)
        assert status_of(live.launched) == 17


def test_debugger_makes_it_a_full_stop(tmp_path: Path) -> None:
    """With gdb attached an int3 would stop in gdb."""
    source = FUNCTIONS + "int main(void) { ready = 1; while (!finish) { f(); nap(100000); } return f(); }"
    with running(build(tmp_path, source), tmp_path) as live:
        live.wait_ready()
        gdb = ["gdb", "-q", "-nx", "-batch", "-p", str(live.target.pid), "-ex", "continue"]
        with subprocess.Popen(gdb, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
            assert run.stdout
            wait_for(lambda: traced_and_running(live.target.pid), "gdb continues")
            result = live.target.switch(Switch(code=(live.jump("f", "f2"),), timeout_ms=60_000))
            assert (result.status, result.mode) == ("done", "stop")
            live.set("finish", 1)
            assert status_of(live.launched) == 2
            assert b"exited with code 02" in run.stdout.read()


def traced_and_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return "TracerPid:\t0" not in status and "\nState:\tt" not in status and "\nState:\tT" not in status


def test_programs_that_cannot_be_started(tmp_path: Path) -> None:
    door = socket_directory(tmp_path)
    (tmp_path / "data").write_text("x")
    static = build(tmp_path, "int main(void) { return 0; }", "-static", name="static")
    foreign = tmp_path / "foreign"
    foreign.write_bytes(static.read_bytes()[:18] + b"\xb7\x00" + static.read_bytes()[20:])
    foreign.chmod(0o755)
    for words, message in [
        ([], "no program"),
        (["nosuchprogram"], "no such program"),
        ([str(tmp_path / "nosuch")], "no such program"),
        ([str(tmp_path / "data")], "not executable"),
        ([str(tmp_path)], "directory"),
        ([str(static)], "statically linked"),
        ([str(foreign)], "not an x86-64 program"),
    ]:
        with pytest.raises(TargetError, match=message) as caught:
            start(words, agent=agent(), socket_dir=door)
        assert caught.value.hint
    assert list(door.iterdir()) == []


def test_program_that_ends_at_once_and_one_that_never_connects(tmp_path: Path) -> None:
    launched = start(["false"], agent=agent(), socket_dir=socket_directory(tmp_path))
    with contextlib.suppress(TargetGone):
        launched.wait_agent(60).close()  # it may be quick enough to be met alive
    assert os.waitstatus_to_exitcode(launched.wait()) == 1
    launched.close()
    empty = build(tmp_path, "int main(void) { return 0; }", "-shared", "-fPIC", name="empty.so")
    launched = start(["sleep", "60"], agent=empty, socket_dir=socket_directory(tmp_path))
    with pytest.raises(TargetError, match="did not come up"):
        launched.wait_agent(0.3)
    os.kill(launched.pid, 9)
    assert os.waitstatus_to_exitcode(launched.wait()) == -9
    launched.close()


def test_agent_in_a_directory_with_a_space(tmp_path: Path) -> None:
    """LD_PRELOAD is split at spaces."""
    odd = tmp_path / "a b:c"
    odd.mkdir()
    library = odd / agent().name
    library.write_bytes(agent().read_bytes())
    launched = start(["sleep", "60"], agent=library, socket_dir=socket_directory(tmp_path))
    target = launched.wait_agent(60)
    assert target.modules()[0].path.endswith("sleep")
    os.kill(launched.pid, 9)
    launched.wait()
    target.close()
    launched.close()


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_sanitizer_comes_before_the_agent(tmp_path: Path, sanitizer: str) -> None:
    """gcc's sanitizers refuse to run behind another preloaded library; the environment is as clean as ever."""
    program = build(tmp_path, ENVIRONMENT + FUNCTIONS, f"-fsanitize={sanitizer}")
    with running(program, tmp_path, env={"PATH": os.environ["PATH"], "A": "1"}, cwd=Path("/")) as live:
        live.wait_ready()
        assert (live.value("strangers"), live.value("child_strangers"), live.value("count")) == (0, 0, 2)
        assert live.target.read(live.address("preload"), 1) == b"\0"
        flip(live, 5)
        live.set("finish", 1)
        assert status_of(live.launched) == 3


def test_agent_built_by_clang(tmp_path: Path) -> None:
    source = FUNCTIONS + "int main(void) { ready = 1; while (!finish) f(); return 21; }"
    library = agent_library(CACHE, compiler="clang")
    launched = start([str(build(tmp_path, source))], agent=library, socket_dir=socket_directory(tmp_path))
    live = Live(tmp_path / "program", launched.wait_agent(60), launched)
    live.wait_ready()
    flip(live, 20)
    flip(live, 5, stop=True)
    live.target.tls_install(0, b"12345678")
    live.set("finish", 1)
    assert status_of(launched) == 21
    live.target.close()
    launched.close()


IO_WORKERS = (
    FUNCTIONS
    + r"""
#include <linux/io_uring.h>
int main(void)
{
    /* A read that the kernel hands to a worker thread of its own, which is listed among ours, and waits there. */
    struct io_uring_params p = {0};
    int fds[2], ring = (int)syscall(SYS_io_uring_setup, 4, &p);
    if (pipe(fds)) abort();
    if (ring >= 0) {
        static char byte;
        char *sq = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
        struct io_uring_sqe *e;
        e = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
        *e = (struct io_uring_sqe){.opcode = IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = fds[0],
                                   .addr = (unsigned long)&byte, .len = 1};
        *(unsigned *)(sq + p.sq_off.array) = 0;
        ++*(unsigned *)(sq + p.sq_off.tail);
        if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, 0, 0) != 1) abort();
    }
    nap(20000000);
    ready = 1;
    while (!finish) f();
    return 22;
}
"""
)


def test_kernel_workers_are_left_alone(tmp_path: Path) -> None:
    """io_uring's threads are listed like ours, but answer no signal."""
    with running(build(tmp_path, IO_WORKERS), tmp_path) as live:
        live.wait_ready()
        flip(live, 10)
        flip(live, 10, stop=True)
        live.target.tls_install(0, b"1234")
        live.set("finish", 1)
        assert status_of(live.launched) == 22


NOBODY = (
    FUNCTIONS
    + r"""
#include <sys/prctl.h>
static char old_table[64], new_table[64];
void *old_word = old_table, *new_word = new_table, *object = old_table;
_Atomic int errors;
_Atomic long slept;
static void *sleeper(void *u)
{
    struct timespec t = {0, 700000000}, a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    ready++;
    errors += nanosleep(&t, 0) != 0;
    clock_gettime(CLOCK_MONOTONIC, &b);
    slept = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
    ready++;
    return u;
}
int main(void)
{
    if (getuid() == 0 && setresuid(65534, 65534, 65534)) abort();
    prctl(PR_SET_DUMPABLE, 0);
    pthread_t t = thread(sleeper, 0);
    while (!finish) { f(); nap(100000); }
    pthread_join(t, 0);
    return errors;
}
"""
)


def test_program_that_gives_up_its_rights(tmp_path: Path) -> None:
    """Its own /proc entries are closed to it then; sleeps must not suffer from what we do not see."""
    with running(build(tmp_path, NOBODY), tmp_path) as live:
        live.wait_ready()
        flip(live, 20)
        flip(live, 20, stop=True)
        rewrite = PointerRewrite(live.value("old_word", 8), live.value("new_word", 8))
        assert live.target.switch(Switch(rewrites=(rewrite,), timeout_ms=60_000)).rewritten >= 2
        assert live.value("object", 8) == rewrite.new
        live.wait_ready(2)
        assert live.value("errors") == 0
        assert live.value("slept", 8) >= 700
        assert live.target.modules()[0].path == str(tmp_path / "program")
