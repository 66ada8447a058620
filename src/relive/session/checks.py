"""What `relive doctor` looks at: the machine, the build, the program. Each check gives one `Finding`, and each finding
that is not fine has a line that mends it. Nothing is changed by looking."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from relive.elf import constants as elf
from relive.elf.headers import ElfFile, parse_elf
from relive.errors import ReliveError
from relive.host import skeletons
from relive.session import paths

if TYPE_CHECKING:
    from relive.build.units import Unit
    from relive.host.project import Project

Level = Literal["fine", "hint", "problem"]
"""A problem stops reloads (or one verb); a hint makes them better."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `mend`: what to do; empty when all is fine."""

    check: str
    level: Level
    text: str
    mend: str = ""


def machine(proc: Path = Path("/proc")) -> Iterator[Finding]:
    """The kernel, the tools, our directories. `proc`: another root for tests."""
    if platform.machine() == "x86_64" and platform.system() == "Linux":
        yield Finding("machine", "fine", f"Linux {platform.release()} on x86-64")
    else:
        mend = "use a Linux x86-64 machine"
        yield Finding("machine", "problem", f"{platform.system()} on {platform.machine()} is not supported", mend)
    found = [name for name in ("cc", "gcc", "clang") if shutil.which(name)]
    if found:
        yield Finding("compiler", "fine", ", ".join(found))
    else:
        yield Finding("compiler", "problem", "no C compiler for relive's agent", "apt-get install gcc libc6-dev")
    yield _ptrace(proc)
    yield _membarrier()
    for name, make in (("cache", paths.cache_dir), ("runtime", paths.runtime_dir)):
        try:
            yield Finding(name, "fine", str(make()))
        except ReliveError as error:
            yield Finding(name, "problem", str(error), error.hint)
    yield from _skeletons()
    yield _inotify(proc)
    if shutil.which("gdb"):
        yield Finding("debugger", "fine", "gdb")
    else:
        yield Finding("debugger", "hint", "no gdb; it would know the new code", "apt-get install gdb")


def _skeletons() -> Iterator[Finding]:
    try:
        folder = paths.cache_dir() / skeletons.FOLDER
    except ReliveError:
        return
    count, size = skeletons.usage(folder)
    yield Finding("skeletons", "fine", f"{count} of {size >> 20} MB, at most {skeletons.LIMIT >> 20} MB, in {folder}")


def program(path: str) -> Iterator[Finding]:
    """The executable file: can it be reloaded at all?"""
    try:
        file = parse_elf(Path(path).read_bytes(), path)
    except OSError as error:
        yield Finding("program", "problem", f"{path}: {error.strerror}", "give the path of the executable")
        return
    except ReliveError as error:
        yield Finding("program", "problem", str(error), error.hint or "give the ELF executable, not a script around it")
        return
    kind = "position independent" if file.type == elf.ET_DYN else "at a fixed address"
    yield Finding("program", "fine", f"{path}: ELF x86-64, {kind}")
    if any(header.type == elf.PT_INTERP for header in file.program_headers):
        yield Finding("linkage", "fine", "dynamically linked")
    else:
        yield Finding("linkage", "problem", "statically linked: the agent cannot be loaded", "link without -static")
    yield from _symbols(file)


def build(project: Project, program_path: str) -> Iterator[Finding]:
    """The build description against the program."""
    units = list(project.units.values())
    yield Finding("database", "fine", f"{project.database}: {len(units)} units")
    yield from _freshness(project, units, program_path)
    yield from _flags(units)
    yield from _link_flags(Path(project.database).parent)


def _ptrace(proc: Path) -> Finding:
    try:
        scope = (proc / "sys/kernel/yama/ptrace_scope").read_text().strip()
    except OSError:
        return Finding("ptrace", "fine", "allowed (no Yama)")
    if scope == "0" or (os.geteuid() == 0 and scope != "3"):
        return Finding("ptrace", "fine", f"allowed (ptrace_scope {scope})")
    mend = "sudo sysctl kernel.yama.ptrace_scope=0, or use `relive run`, which needs no ptrace"
    if scope == "3":
        mend = "use `relive run`, which needs no ptrace (3 cannot be changed without a reboot)"
    return Finding("ptrace", "hint", f"`relive attach` is not allowed (ptrace_scope {scope})", mend)


def _membarrier() -> Finding:
    # membarrier(2): MEMBARRIER_CMD_QUERY is 0, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE is 1 << 5 (Linux 4.16).
    commands = ctypes.CDLL(None, use_errno=True).syscall(324, 0, 0, 0)
    if commands > 0 and commands & (1 << 5):
        return Finding("membarrier", "fine", "SYNC_CORE: code is switched without stopping threads")
    mend = "use Linux 4.16 or later, or allow membarrier(2) in the container's seccomp profile"
    return Finding("membarrier", "hint", "no SYNC_CORE: every switch stops all threads for a moment", mend)


def _inotify(proc: Path) -> Finding:
    limits = {}
    for name, enough in (("max_user_watches", 8192), ("max_user_instances", 64)):
        try:
            limits[name] = int((proc / "sys/fs/inotify" / name).read_text())
        except (OSError, ValueError):
            return Finding(
                "inotify", "hint", "no inotify: saves are found by polling", "mount /proc, use a Linux kernel"
            )
        if limits[name] < enough:
            text = f"fs.inotify.{name} is {limits[name]}: saves may be found by polling"
            return Finding("inotify", "hint", text, f"sudo sysctl fs.inotify.{name}={enough * 8}")
    return Finding("inotify", "fine", f"{limits['max_user_watches']} watches")


def _symbols(file: ElfFile) -> Iterator[Finding]:
    if file.section_named(".symtab"):
        yield Finding("symbols", "fine", "has a symbol table")
    else:
        mend = "link without -s and do not strip it"
        yield Finding("symbols", "problem", "stripped: nothing in it can be found by name", mend)
    if file.section_named(".debug_info") or file.section_named(".zdebug_info"):
        yield Finding("debug", "fine", "has debug information")
    else:
        yield Finding("debug", "hint", "no debug information: changed types are not recognised", "compile with -g")
    if any(s.name.startswith(".gnu.lto_") for s in file.sections):
        yield Finding("lto", "problem", "link-time optimised: functions are not as the units have them", "no -flto")


def _freshness(project: Project, units: Sequence[Unit], program_path: str) -> Iterator[Finding]:
    stale = project.stale()
    if stale:
        text = f"edited after they were built: {_names(unit.source for unit in stale)}"
        yield Finding("built", "hint", text, "build, or let the first reload apply them")
    else:
        yield Finding("built", "fine", "no source is newer than its object")
    linked = _modified(program_path)
    newer = [unit.object for unit in units if unit.object and linked and (_modified(unit.object) or 0) > linked]
    if newer:
        text = f"compiled after the program was linked: {_names(newer)}"
        yield Finding("linked", "problem", text, "build again, so that program and objects belong together")
    missing = [unit.object for unit in units if unit.object and not os.path.exists(unit.object)]
    if missing:
        text = f"{len(missing)} objects are not there (other targets, or cleaned): {_names(missing)}"
        yield Finding("objects", "hint", text, "nothing, if the program does not need them; relive compiles its own")


def _flags(units: Sequence[Unit]) -> Iterator[Finding]:
    compilers = sorted({_compiler(unit.command.arguments) for unit in units})
    for name in compilers:
        if name and not shutil.which(name):
            yield Finding("compiler of units", "problem", f"{name} is not there", f"install {name}, or configure anew")
    lto = [unit.source for unit in units if unit.lto]
    if lto:
        yield Finding("lto", "problem", f"compiled with -flto: {_names(lto)}", "build without -flto")
    optimised = [u.source for u in units if u.optimised and "-fno-ipa-ra" not in u.command.arguments]
    if optimised:
        text = f"optimised without -fno-ipa-ra: {_names(optimised)}; callers may rely on registers of the old code"
        yield Finding("optimisation", "hint", text, "add -fno-ipa-ra, or build with -O0 or -Og")
    plain = [unit.source for unit in units if not unit.debug]
    if plain:
        yield Finding("debug flags", "hint", f"compiled without -g: {_names(plain)}", "add -g")


def _link_flags(directory: Path) -> Iterator[Finding]:
    """Linker options that fold or drop code, as far as ninja's and CMake's files tell."""
    text = ""
    for file in (directory / "build.ninja", *directory.glob("CMakeFiles/*/link.txt")):
        if file.is_file():
            text += file.read_text(errors="replace")
    if re.search(r"--icf[= ](all|safe)", text):
        mend = "link with -Wl,--icf=none"
        yield Finding("icf", "hint", "the linker folds equal functions: one entry, several functions", mend)
    if "--gc-sections" in text:
        mend = "link without -Wl,--gc-sections"
        yield Finding("gc-sections", "hint", "the linker drops unused code; an edit that uses it brings it back", mend)


def _compiler(arguments: Sequence[str]) -> str:
    # Launchers (ccache, distcc) come first; if the first word is there, the rest is the launcher's business.
    return arguments[0] if arguments else ""


def _modified(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def _names(files: Iterator[str] | Sequence[str]) -> str:
    names = sorted({os.path.basename(file) for file in files})
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
