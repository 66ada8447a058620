"""Small linked programs for the tests of the ELF readers: one set of sources, every linker, PIE or not."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

LINKERS = ("bfd", "gold", "lld", "mold")

A_CPP = r"""
#include <iostream>
#include <stdio.h>
static int counter = 5;
static int helper(int x) { return x + counter++; }
namespace { int only_in_a(int y) { return helper(y) * 2; } }
thread_local int per_thread = 3;
int zeros[100];
const int constants[4] = {11, 22, 33, 44};
__attribute__((visibility("hidden"))) int hidden_function(int x) { return only_in_a(x) + per_thread; }
inline int inline_static() { static int s = 9; return s++; }
template <class T> T twice(T t) { return t + t; }
int in_b(int);
int main(int argc, char **) {
  std::cout << hidden_function(argc) << twice(argc) << inline_static() << in_b(constants[argc & 3]) << zeros[3];
  fprintf(stdout, "%s\n", "x");
}
"""
B_CPP = r"""
#include <cstring>
extern char **environ;
static int counter = 7;
static int helper(int x) { return x - counter++; }
static int implementation(int x) { return x; }
extern "C" {
static int (*resolve(void))(int) { return implementation; }
int selected(int) __attribute__((ifunc("resolve")));
int aliased(int x) { return x; }
int alias_of(int) __attribute__((alias("aliased")));
}
int in_b(int x) { return helper(x) + selected(2) + (int)strlen(environ[0]); }
"""


@dataclass(frozen=True)
class Program:
    path: Path
    linker: str
    pie: bool

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def build_programs(directory: Path) -> list[Program]:
    """The sources above, linked eight ways."""
    (directory / "a.cpp").write_text(A_CPP)
    (directory / "b.cpp").write_text(B_CPP)
    programs = []
    for pie in (True, False):
        mode = "pie" if pie else "nopie"
        compile_flag = "-fPIE" if pie else "-fno-pie"
        for unit in "ab":
            run("g++", "-g", "-O0", compile_flag, "-c", f"{unit}.cpp", "-o", f"{unit}-{mode}.o", cwd=directory)
        for linker in LINKERS:
            out = directory / f"program-{linker}-{mode}"
            link = ["g++", "-pie" if pie else "-no-pie", f"-fuse-ld={linker}", "-Wl,--build-id"]
            run(*link, f"a-{mode}.o", f"b-{mode}.o", "-o", out, cwd=directory)
            programs.append(Program(out, linker, pie))
    return programs
