"""Writes the program anew beside the old one and gives it the name at the end: a program that runs keeps its file, a
full disk leaves the old one.

Most of the file is copied by the kernel (`copy_file_range`: shared blocks where the file system can share)."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from relive.elf.inject import Rewrite, Skeleton
from relive.errors import StorageError
from relive.session.quickbuild_state import Stamp, stamp

_BIG = 32 << 20
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""linux/fs.h"""


class NewProgram:
    """The next version of a program's file, under another name until it is complete. What does not depend on the
    compiler's result is copied in a thread of its own."""

    def __init__(self, linked: Path, program: Path, frame: Skeleton) -> None:
        self._linked, self._program, self._frame = linked, program, frame
        self._temporary = _temporary(program)
        self._worker = ThreadPoolExecutor(1, "relive-copy")
        self._copied = self._worker.submit(self._copy_frame)

    def _copy_frame(self) -> None:
        with open(self._linked, "rb", buffering=0) as source, open(self._temporary, "xb", buffering=0) as target:
            for to, start, size in self._frame.copies:
                _copy(source.fileno(), target.fileno(), start, to, size)

    def finish(self, change: Rewrite, *, older_than: int, before_rename: Callable[[Stamp], None]) -> None:
        """Adds the rest and gives the file its name.

        `older_than`: time in ns; the file is dated before it, so that the next `ninja` or `make` links it anew,
        whatever happens to the sources until then. `before_rename` gets the stamp that the program is going to have.
        StorageError: the program is as it was."""
        try:
            self._copied.result()
            with open(self._linked, "rb", buffering=0) as source, open(self._temporary, "r+b", buffering=0) as target:
                status = os.fstat(source.fileno())
                os.ftruncate(target.fileno(), change.size)
                for to, start, size in change.copies:
                    _copy(source.fileno(), target.fileno(), start, to, size)
                for at, content in change.writes:
                    _write(target.fileno(), content, at)
                os.fchmod(target.fileno(), status.st_mode & 0o7777)
            date = min(status.st_mtime_ns, older_than - 1_000_000_000)
            _give_name(self._temporary, self._program, date, before_rename)
        except OSError as error:
            self.abandon()
            raise StorageError(
                f"{self._program} cannot be written: {error.strerror or error}",
                "the program is as it was; free space there",
            ) from error

    def abandon(self) -> None:
        """Nothing is left of it."""
        self._worker.shutdown(cancel_futures=True)
        with contextlib.suppress(OSError):
            self._temporary.unlink()


def restore_program(linked: Path, program: Path, before_rename: Callable[[Stamp], None]) -> None:
    """Makes the program what the linker made; a copy, so that nobody writes into ours."""
    temporary = _temporary(program)
    try:
        with open(linked, "rb", buffering=0) as source, open(temporary, "xb", buffering=0) as target:
            status = os.fstat(source.fileno())
            os.ftruncate(target.fileno(), status.st_size)
            _copy(source.fileno(), target.fileno(), 0, 0, status.st_size)
            os.fchmod(target.fileno(), status.st_mode & 0o7777)
        _give_name(temporary, program, status.st_mtime_ns, before_rename)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(f"{program} cannot be written: {error.strerror or error}", "free space there") from error


def _give_name(temporary: Path, program: Path, date: int, before_rename: Callable[[Stamp], None]) -> None:
    os.utime(temporary, ns=(date, date))
    made = stamp(temporary)
    assert made is not None
    before_rename(made)
    # Exchanged and not replaced: ext4 would first find room on the disk for all that was written (auto_da_alloc).
    if not _exchange(temporary, program):
        os.replace(temporary, program)
    else:
        _remove(temporary)


def _remove(path: Path) -> None:
    """Takes a file away; nobody waits until the pages of a big one are free."""
    if path.stat().st_size > _BIG:
        with contextlib.suppress(OSError):
            os.posix_spawn("/bin/rm", ["rm", "-f", str(path)], os.environ)
            return
    path.unlink()


def _exchange(first: Path, second: Path) -> bool:
    """Exchanges two names as one step; False where the file system cannot, or there is no second."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0)


def _temporary(program: Path) -> Path:
    return program.with_name(f".{program.name}.relive-{os.getpid()}")


def _copy(source: int, target: int, start: int, to: int, size: int) -> None:
    while size:
        try:
            done = os.copy_file_range(source, target, size, start, to)
        except OSError:  # across file systems of an old kernel, or a file system that cannot
            done = os.pwrite(target, os.pread(source, min(size, 1 << 20), start), to)
        if not done:
            raise OSError(0, "the linked file became shorter")
        start, to, size = start + done, to + done, size - done


def _write(target: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        done = os.pwrite(target, view, at)
        view, at = view[done:], at + done
