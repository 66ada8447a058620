"""Loads linked images from disk for `elf.image`, and keeps their symbol indexes in a cache.

Theory of operation, two parts.

*The bytes.* A build may rewrite a program or library while we hold it; a file mapping that shrinks kills the host with
SIGBUS, and one that changes gives half of each. So the parts that matter (headers, loaded segments, symbol and string
tables; not the debug sections, which are most of the file) are read into anonymous memory laid out like the file. The
rest of that memory is never touched and costs nothing.

*The index.* Built in 0.3 µs a symbol, loaded in a tenth of that; kept under a key made of the build-id (without one:
path, size and time stamp), of where the tables lie, and of samples all over them, because `strip` and fixed build-ids
leave the build-id unchanged. A checksum guards the content: a damaged index would make living symbols seem
missing. Any trouble with the cache (read-only, full, foreign, corrupt) means only that the index is built again. Files
appear by rename, so writers do not meet. Read whole instead of mapped, since the checksum has to see it all anyway.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np

from relive.elf import constants as c
from relive.elf.headers import ElfFile, parse_elf
from relive.elf.image import Image, SymbolIndex
from relive.elf.strings import NameIndex
from relive.errors import FormatError

_MAGIC = b"relive:1"
"""Changes whenever the layout below, the hash function, or the choice of symbols changes."""
_HEAD = struct.Struct("<8s32sIII12x")
"""Magic, key, names, functions, CRC-32 of the rest; 64 bytes, because numpy copies unaligned columns at each lookup."""
_KEEP = 64
"""Indexes kept; every build of a program leaves one (12 bytes a symbol)."""
_WINDOWS = 256
_WINDOW = 64
_MAP_NORESERVE = 0x4000
_RETRIES = 3


class _ChangedError(Exception):
    """The file changed under the reader."""


def load_image(path: str | Path, cache: Path, *, allow_stripped: bool = False) -> Image:
    """Reads a linked ELF file with its indexes ready.

    `cache`: a directory, made when needed; it may be unusable. FormatError: the file cannot be read or is not a linked
    x86-64 ELF file; StrippedError when it has no symbols (see `Image.parse`).
    """
    name = os.fspath(path)
    data, status = _read(name)
    image = Image.parse(data, name, allow_stripped=allow_stripped)
    key = _key(image, status)
    file = cache / "images" / f"{key.hex()}.index"
    index = _load_index(file, key, len(image.symbols))
    if index is None:
        _store_index(file, key, image.index)
    else:
        image.index = index
    return image


# --- the bytes --------------------------------------------------------------------------------------------------------


def _read(path: str) -> tuple[mmap.mmap, os.stat_result]:
    try:
        for _ in range(_RETRIES):
            with open(path, "rb", buffering=0) as file, contextlib.suppress(_ChangedError):
                status = os.fstat(file.fileno())
                data = _copy_parts(file.fileno(), path, status)
                after = os.fstat(file.fileno())
                if (after.st_mtime_ns, after.st_size) == (status.st_mtime_ns, status.st_size):
                    return data, status
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}") from error
    raise FormatError(f"{path}: changes while it is read", "wait until the build has finished")


def _copy_parts(fd: int, path: str, status: os.stat_result) -> mmap.mmap:
    size = status.st_size
    if not stat.S_ISREG(status.st_mode) or size < c.EHDR_SIZE:
        raise FormatError(f"{path}: not an ELF file")
    data = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    _fill(fd, data, 0, min(size, 4096))
    (headers_at,) = struct.unpack_from("<Q", data, 40)
    if data[:4] == c.ELFMAG and headers_at < size:
        # section headers are the last thing that every linker writes; program headers follow the file header
        _fill(fd, data, headers_at, size)
    elf = parse_elf(data, path)
    for start, stop in _parts(elf):
        _fill(fd, data, start, stop)
    return data


def _parts(elf: ElfFile) -> list[tuple[int, int]]:
    """What `Image` reads, as file ranges."""
    parts = [(h.offset, h.offset + h.filesz) for h in elf.program_headers if h.type in (c.PT_LOAD, c.PT_NOTE)]
    wanted = (c.SHT_SYMTAB, c.SHT_DYNSYM, c.SHT_STRTAB)
    parts += [(s.offset, s.offset + s.size) for s in elf.sections if s.type in wanted]
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(parts):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _fill(fd: int, data: mmap.mmap, start: int, stop: int) -> None:
    with memoryview(data) as view:
        while start < stop:
            got = os.preadv(fd, [view[start:stop]], start)
            if not got:
                raise _ChangedError
            start += got


# --- the index --------------------------------------------------------------------------------------------------------


def _key(image: Image, status: os.stat_result) -> bytes:
    identity = image.build_id
    if not identity:
        identity = f"{os.path.abspath(image.path)}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="replace")
    digest = hashlib.blake2b(_MAGIC + identity, digest_size=32)
    for section in image.sections:
        if section.type in (c.SHT_SYMTAB, c.SHT_DYNSYM, c.SHT_STRTAB):
            digest.update(struct.pack("<IQQ", section.type, section.offset, section.size))
            content = image.elf.content(section)
            for start in range(0, len(content), max(_WINDOW, len(content) // _WINDOWS)):
                digest.update(content[start : start + _WINDOW])
    digest.update(bytes(image.elf.data[:4096]))
    return digest.digest()


def _load_index(file: Path, key: bytes, symbols: int) -> SymbolIndex | None:
    try:
        content = file.read_bytes()
        magic, stored_key, names, functions, checksum = _HEAD.unpack_from(content)
        if (magic, stored_key) != (_MAGIC, key) or len(content) != _HEAD.size + 12 * names + 4 * functions:
            return None
        if zlib.crc32(memoryview(content)[_HEAD.size :]) != checksum:
            return None
    except (OSError, struct.error):
        return None
    hashes = np.frombuffer(content, "<u8", names, _HEAD.size)
    rows = np.frombuffer(content, "<u4", names, _HEAD.size + 8 * names)
    by_address = np.frombuffer(content, "<u4", functions, _HEAD.size + 12 * names)
    if any(len(column) and int(column.max()) >= symbols for column in (rows, by_address)):
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # so that pruning drops what is not used
    return SymbolIndex(NameIndex(hashes, rows), by_address)


def _store_index(file: Path, key: bytes, index: SymbolIndex) -> None:
    columns = (index.names.hashes.astype("<u8"), index.names.rows.astype("<u4"), index.functions.astype("<u4"))
    content = b"".join(column.tobytes() for column in columns)
    head = _HEAD.pack(_MAGIC, key, len(index.names.rows), len(index.functions), zlib.crc32(content))
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(prefix="new-", suffix=".tmp", dir=file.parent)
        with open(fd, "wb") as out:
            out.write(head)
            out.write(content)
        os.replace(temporary, file)
        temporary = None
        _prune(file.parent)
    except OSError:
        pass  # the cache saves time and nothing else
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _prune(directory: Path) -> None:
    """Drops the indexes used longest ago, and what killed writers left behind."""
    files = []
    for entry in os.scandir(directory):
        with contextlib.suppress(OSError):  # another host prunes too
            files.append((entry.stat().st_mtime, entry.path))
    for _, path in sorted(files, reverse=True)[_KEEP:]:
        with contextlib.suppress(OSError):
            os.unlink(path)
