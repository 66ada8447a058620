"""Threads that hammer changed functions while they are reloaded again and again: no crash, no torn state, no thread
that sees an older version after a newer one, no system call that is interrupted.

The program asserts its own invariants while it runs and tells on request; see `tests/live.py` for the driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import small
from tests.live import Live

MAIN = r"""
#include "case.h"
#include "work.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* What each thread saw: rounds, an older version after a newer one, wrong sums, interrupted sleeps. */
static struct { _Atomic long rounds; _Atomic int version, backwards, wrong, interrupted; char pad[64]; } seen[THREADS];

static void *worker(void *data) {
    long me = (long)data;
    for (;;) {
        int before = seen[me].version, middle = second(1), now = first(me);
        if (now < middle || middle < before) seen[me].backwards++;
        if (deep(5) != 15) seen[me].wrong++;
        seen[me].version = now;
        if (me % 4 == 3) {
            struct timespec short_time = {0, 200000};
            if (nanosleep(&short_time, NULL) != 0 && errno == EINTR) seen[me].interrupted++;
        }
        seen[me].rounds++;
    }
    return NULL;
}

void step(void) {
    static long before[THREADS];
    int backwards = 0, wrong = 0, interrupted = 0, lowest = 1 << 30;
    for (int i = 0; i < THREADS; i++) before[i] = seen[i].rounds;
    for (int i = 0; i < THREADS; i++) {
        while (seen[i].rounds < before[i] + 2) sched_yield();
        backwards += seen[i].backwards;
        wrong += seen[i].wrong;
        interrupted += seen[i].interrupted;
        if (seen[i].version < lowest) lowest = seen[i].version;
    }
    printf("version=%d backwards=%d wrong=%d interrupted=%d\n", lowest, backwards, wrong, interrupted);
}

int main(void) {
    if (nice(5) == -1) puts("nice"); /* the threads eat the whole machine; relive and its compiler should get some */
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 18);
    for (long i = 0; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &small, worker, (void *)i) != 0) abort();
    }
    while (case_next()) step();
    return 0;
}
"""

HEADER = "int first(long who);\nint second(int x);\nint deep(int n);\n"

WORK = r"""
#include "work.h"
#include <stdlib.h>
static long calls;
static int version(void) { return @V@; }
int first(long who) { calls += who & 1; return version(); }
int second(int x) { return x * @V@; }
int deep(int n) {
    char *memory = malloc(16 + @V@ % 64);
    memory[0] = (char)n;
    int sum = n == 0 ? 0 : memory[0] + deep(n - 1);
    free(memory);
    return sum + 0 * @V@;
}
"""


def _build(root: Path, compiler: str, level: str, threads: int) -> Path:
    sources = {"main.c": MAIN, "work.h": HEADER, "work.c": WORK.replace("@V@", "1")}
    flags = ("-g", level, f"-DTHREADS={threads}", "-pthread")
    return small.build(root, sources, compiler=compiler, flags=flags, link=("-pthread",))


def _hammer(root: Path, cache: Path, compiler: str, level: str, *, threads: int, reloads: int) -> None:
    program = _build(root, compiler, level, threads)
    with Live.run([str(program)], cwd=root, folder=root, cache=cache) as live:
        live.answer()
        live.ready()
        live.ask()
        interrupted = 0
        for version in range(2, reloads + 2):
            (root / "src" / "work.c").write_text(WORK.replace("@V@", str(version)))
            event = live.next_reload()
            assert event["status"] == "applied", event
            (line,) = live.ask()
            numbers = dict(word.split("=") for word in line.split())
            assert int(numbers["version"]) == version, line
            assert (numbers["backwards"], numbers["wrong"]) == ("0", "0"), line
            interrupted = int(numbers["interrupted"])
        assert interrupted == 0, f"{interrupted} sleeps of the program were interrupted"
        lines, status = live.finish()
        assert (lines, status) == ((), 0), live.errors()
        assert len(live.reloads()) == reloads


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("compiler", "level"), [("gcc", "-O0"), ("clang", "-O2")])
def test_thirty_threads_and_sixty_reloads(tmp_path: Path, shared_cache: Path, compiler: str, level: str) -> None:
    _hammer(tmp_path, shared_cache, compiler, level, threads=30, reloads=60)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("compiler", "level", "reloads"),
    [("gcc", "-O0", 500), ("gcc", "-O2", 60), ("clang", "-O0", 60), ("clang", "-O2", 60)],
)
def test_hundred_threads(tmp_path: Path, shared_cache: Path, compiler: str, level: str, reloads: int) -> None:
    """500 reloads take a quarter of an hour on two processors, of which the threads leave little."""
    _hammer(tmp_path, shared_cache, compiler, level, threads=100, reloads=reloads)
