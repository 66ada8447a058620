"""Compiles relive's own C (the agent, the DWARF reader) on first use and keeps the result.

No binary is shipped: the user's compiler makes a shared library for the user's machine, once. The file name carries a
hash of everything that could change the result (sources, headers beside them, flags, which compiler file it is), so a
library that is there is right, and nothing has to be looked at again. A finished library appears by rename: several
processes may compile the same one at once, the last one wins with equal content."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from relive import source
from relive.errors import BuildError, StorageError

BASE_FLAGS = ("-O2", "-g", "-fPIC", "-shared")
"""Always given, before the caller's own flags."""
FALLBACKS = ("cc", "gcc", "clang")

AGENT_SOURCES = Path(__file__).parent.parent / "agent"
AGENT_FLAGS = (
    "-std=c11",
    "-fvisibility=hidden",
    "-fno-stack-protector",  # handlers run in the program's threads at any moment
    "-Wl,-z,norelro",  # the image of new threads' TLS is written by the agent itself
    "-Wl,-z,now",  # no lazy binding inside a handler
    "-pthread",
)
ATTACHED_POOL = 512
"""Bytes of the TLS pool of an agent that comes later: what glibc keeps in reserve for libraries opened at run time."""


def agent_library(cache: Path, *, compiler: str = "cc", attached: bool = False) -> Path:
    """The agent for `launch.start`, or (attached) for `attach.attach`; compiled now if it is not in the cache."""
    flags = [*AGENT_FLAGS, *([f"-DRELIVE_TLS_POOL={ATTACHED_POOL}"] if attached else []), "-ldl"]
    name = "relive-agent-attached" if attached else "relive-agent"
    return compile_native(name, sorted(AGENT_SOURCES.glob("*.c")), compiler=compiler, flags=flags, cache=cache)


def scanner_library(cache: Path, *, compiler: str = "cc") -> Path:
    """The scanner for `relive.source.library.Scanner`; compiled now if it is not in the cache."""
    return compile_native("relive-source", source.SOURCES, compiler=compiler, flags=source.FLAGS, cache=cache)


def compile_native(
    name: str, sources: Sequence[Path], *, compiler: str = "cc", flags: Sequence[str] = (), cache: Path
) -> Path:
    """The shared library made of `sources`, from the cache or compiled now.

    `name` is the stem of the file, `compiler` a command line ("gcc", "ccache gcc"), `cache` a directory that is made
    when missing. Headers (``*.h``) beside the sources count as inputs. BuildError: no compiler, or it fails (its words
    are in the message); StorageError: the cache cannot be written."""
    command = find_compiler(compiler)
    target = cache / f"{name}-{_key(sources, command, flags)}.so"
    if target.exists():
        return target
    import tempfile  # with a finished library in the cache, the program is to start without waiting for this

    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{name}-", suffix=".so", dir=cache)
        os.close(handle)
    except OSError as error:
        raise StorageError(
            f"cannot write {cache}: {error.strerror}", "free some space, or set XDG_CACHE_HOME to a writable directory"
        ) from error
    try:
        _run([*command, *BASE_FLAGS, *flags, "-o", temporary, *map(str, sources)], name)
        os.chmod(temporary, 0o755)  # mkstemp makes 0600, a program of another user must be able to load it
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target


def find_compiler(compiler: str) -> list[str]:
    """`compiler` as an argument list with an absolute program path; plain "cc" falls back to gcc and clang."""
    words = shlex.split(compiler) or ["cc"]
    for candidate in FALLBACKS if words == ["cc"] else words[:1]:
        path = shutil.which(candidate)
        if path:
            return [path, *words[1:]]
    raise BuildError(f"no C compiler: {words[0]} was not found", "install gcc or clang (apt-get install gcc)")


def _key(sources: Sequence[Path], command: Sequence[str], flags: Sequence[str]) -> str:
    """Hash of everything the result depends on; the compiler by identity of its files, as asking it would cost 5 ms."""
    digest = hashlib.sha256()
    headers = sorted(header for folder in {source.parent for source in sources} for header in folder.glob("*.h"))
    for path in (*sources, *headers):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    for word in command:
        program = shutil.which(word)
        real = os.path.realpath(program) if program else word
        stat = os.stat(real) if program else None
        digest.update(f"{real}\0{(stat.st_size, stat.st_mtime_ns) if stat else ''}\0".encode())
    digest.update("\0".join((*BASE_FLAGS, *flags)).encode())
    return digest.hexdigest()[:20]


def _run(command: Sequence[str], name: str) -> None:
    """Runs the compiler; its output becomes the message when it fails."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        raise BuildError(f"cannot run {command[0]}: {error.strerror}", "check the compiler's installation") from error
    if done.returncode != 0:
        words = done.stdout.decode(errors="replace").strip()
        raise BuildError(
            f"{command[0]} could not compile relive's own {name} (status {done.returncode}):\n{words}",
            "gcc 9+ or clang 10+ with the headers of the C library is needed (apt-get install gcc libc6-dev)",
        )
