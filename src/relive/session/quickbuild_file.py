"""Writes the program anew beside the old one and gives it the name at the end: a program that runs keeps its file, a
full disk leaves the old one.

Most of the file is copied by the kernel (`copy_file_range`: shared blocks where the file system can share)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from relive.elf.inject import Rewrite
from relive.errors import StorageError
from relive.session.quickbuild_state import Stamp, stamp


def write_program(
    linked: Path, program: Path, change: Rewrite, *, older_than: int, before_rename: Callable[[Stamp], None]
) -> None:
    """Makes `program` of the linker's file and a change.

    `older_than`: time in ns; the file is dated before it, so that the next `ninja` or `make` links it anew, whatever
    happens to the sources until then. `before_rename` gets the stamp that the program is going to have."""
    temporary = program.with_name(f".{program.name}.relive-{os.getpid()}")
    try:
        with open(linked, "rb", buffering=0) as source, open(temporary, "xb", buffering=0) as target:
            status = os.fstat(source.fileno())
            os.ftruncate(target.fileno(), change.size)
            for to, start, size in change.copies:
                _copy(source.fileno(), target.fileno(), start, to, size)
            for at, content in change.writes:
                _write(target.fileno(), content, at)
            os.fchmod(target.fileno(), status.st_mode & 0o7777)
        date = min(status.st_mtime_ns, older_than - 1_000_000_000)
        _give_name(temporary, program, date, before_rename)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(
            f"{program} cannot be written: {error.strerror or error}", "the program is as it was; free space there"
        ) from error


def restore_program(linked: Path, program: Path, before_rename: Callable[[Stamp], None]) -> None:
    """Makes the program what the linker made; a copy, so that nobody writes into ours."""
    temporary = program.with_name(f".{program.name}.relive-{os.getpid()}")
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
    os.replace(temporary, program)


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
