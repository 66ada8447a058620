"""Precompiled skeletons on disk: made in the background, found by their content, never stale.

A skeleton's key is everything that its meaning depends on: its text (which has all headers in it, preprocessed), the
command, the compiler's own identity, the environment variables that compilers read. If any of it changes the key is
another, and the old file is simply never asked for again. The least recently used ones go when the folder outgrows
its limit.

The text stays beside the precompiled form: where a compiler refuses that (gcc says nothing, and reads the text), the
result is the same and only slower."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from relive.build.command import compiler_index
from relive.build.parts import skeleton_command, skeleton_suffix
from relive.build.units import Unit
from relive.host.compiler import CompilePool, Part

LIMIT = 2 << 30
"""Bytes of all skeletons of a user; one of heavy C++ headers has 80 MB."""
_ENVIRONMENT = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "GCC_EXEC_PREFIX", "COMPILER_PATH", "PATH")
FOLDER = "skeletons"
"""In the cache."""
_NAME = "skeleton.h"


class SkeletonStore:
    """See the module. `folder` is made when the first skeleton is."""

    def __init__(self, folder: Path, pool: CompilePool, limit: int = LIMIT) -> None:
        self._folder = folder
        self._pool = pool
        self._limit = limit
        self._failed: set[str] = set()

    def key(self, unit: Unit, text: bytes) -> str:
        """Thirty-two hex digits."""
        arguments = unit.command.arguments
        digest = hashlib.blake2b(text, digest_size=16)
        parts = [*skeleton_command(arguments, unit.command.directory, unit.source, unit.language, text="", output="")]
        parts += [unit.command.directory, _identity(arguments[compiler_index(arguments)])]
        parts += [os.environ.get(name, "") for name in _ENVIRONMENT]
        digest.update("\0".join(parts).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def find(self, unit: Unit, key: str) -> str | None:
        """Path of the header whose precompiled form is ready (see `build.parts.extract_command`), or None."""
        header = self._folder / key / _NAME
        made = header.with_name(_NAME + skeleton_suffix(unit.command.arguments))
        try:
            os.utime(made.parent)
        except OSError:
            return None
        return str(header) if made.exists() else None

    def make(self, unit: Unit, key: str, text: bytes, *, cancelled: Callable[[], bool]) -> str | None:
        """Precompiles a skeleton with low priority; its header's path, or None when the compiler does not take it.
        Superseded as `CompilePool.compile`; OSError when the disk is full."""
        if key in self._failed:
            return None
        # clang remembers where the text was and looks whether it still is.
        folder = self._folder / key
        folder.mkdir(parents=True, exist_ok=True)
        header = folder / _NAME
        fresh = folder / f"{os.getpid()}.tmp"
        fresh.write_bytes(text)
        os.replace(fresh, header)

        def build(_text: str, _output: str, _depfile: str) -> tuple[str, ...]:
            arguments, directory = unit.command.arguments, unit.command.directory
            return skeleton_command(
                arguments, directory, unit.source, unit.language, text=str(header), output=str(fresh)
            )

        try:
            compiled = self._pool.parts([Part(unit, build, suffix="")], cancelled=cancelled, background=True)[0]
            if not compiled.ok or not fresh.exists():
                self._failed.add(key)
                shutil.rmtree(folder, ignore_errors=True)
                return None
            os.replace(fresh, str(header) + skeleton_suffix(unit.command.arguments))
        finally:
            fresh.unlink(missing_ok=True)
        self._sweep(keep=key)
        return self.find(unit, key)

    def _sweep(self, keep: str) -> None:
        entries = sorted(_entries(self._folder))
        total = sum(size for _, size, _ in entries)
        for _, size, folder in entries:
            if total <= self._limit:
                return
            if folder.name != keep:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size


def usage(folder: Path) -> tuple[int, int]:
    """(number of skeletons, their bytes)"""
    sizes = [size for _, size, _ in _entries(folder)]
    return len(sizes), sum(sizes)


def _entries(store: Path) -> list[tuple[float, int, Path]]:
    """(last use, bytes, folder)"""
    found = []
    with contextlib.suppress(OSError):
        for folder in store.iterdir():
            with contextlib.suppress(OSError):
                size = sum(file.stat().st_size for file in folder.iterdir())
                found.append((folder.stat().st_mtime, size, folder))
    return found


def _identity(compiler: str) -> str:
    path = shutil.which(compiler) or compiler
    try:
        status = os.stat(path)
    except OSError:
        return path
    return f"{os.path.realpath(path)} {status.st_size} {status.st_mtime_ns}"
