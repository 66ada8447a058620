"""A linked file as the linker's scope: names are looked up as in a process, but nothing runs and nothing has moved.

Addresses are the file's. What another module defines stands for its row of `.dynsym` (see `link.inject`); rows are
added for names that one of the needed libraries defines, others nobody can find without the link line. In a shared
library the same goes for its own exported names, because another module's definition may come first."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

from relive.elf import constants as c
from relive.elf.dynamic import dynamic_entries
from relive.elf.headers import ElfFile, parse_elf, string_at
from relive.elf.image import Image
from relive.elf.inject_dynamic import NewImport, exported
from relive.elf.symbols import SymbolTable, read_symbols
from relive.host.target import Module, Target
from relive.link.inject import FileKind, LinkedDebug, import_address
from relive.link.model import Address, TlsPlace
from relive.session.modules import ModuleState

_SYSTEM = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib")
_WRAP = b"\0__wrap_"
_DF_SYMBOLIC = 2
_DF_1_PIE = 0x08000000


class _FileMemory:
    """Reads the file as if it were memory: all that looking for entries and callers needs of a target."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def read(self, address: int, size: int) -> bytes:
        return self._image.read(address, size)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self._image.read(address, size) for address, size in ranges]


class FileModule(ModuleState):
    """The module that a linked file would be at address 0."""

    def __init__(self, image: Image, cache: Path) -> None:
        entries = dict(dynamic_entries(image.elf))
        self.is_program = not image.is_pie_or_so or _is_program(image, entries)
        low, high = image.load_range
        tls_offset = None
        if image.tls is not None and self.is_program:
            _, size, align = image.tls
            tls_offset = -(-(-size // max(align, 1)) * max(align, 1))  # ELF TLS, variant II
        module = Module(image.path, 0, low, high, image.build_id, 1, tls_offset)
        self.memory = cast(Target, _FileMemory(image))
        super().__init__(module, image, self.memory, [], cache)
        self._symbolic = c.DT_SYMBOLIC in entries or bool(entries.get(c.DT_FLAGS, 0) & _DF_SYMBOLIC)
        tls_address = image.tls[0] if image.tls is not None else 0
        self._imports: dict[bytes, int] = {}
        self._new_imports: list[NewImport] = []
        self.kind = FileKind(image.is_pie_or_so, self.is_program, tls_address)

    def find(self, name: bytes) -> Address | None:
        row = self._visible(name)
        if row is None:
            return None
        symbols = self.image.symbols
        value, kind, section = int(symbols.value[row]), int(symbols.type[row]), int(symbols.shndx[row])
        if kind == c.STT_TLS:
            return self.tls(value)
        if kind == c.STT_GNU_IFUNC:
            return self._stubs.get(name)
        if section == c.SHN_ABS:
            return None  # does not move with the file; nobody's everyday case
        if not self.is_program and not self._symbolic:
            exported = self._rows.get(name)
            if exported is not None and self._dynamic.other[exported] & 3 != c.STV_PROTECTED:
                return import_address(exported)
        return value

    def externals(self, names: Sequence[bytes]) -> Mapping[bytes, Address]:
        result: dict[bytes, Address] = {}
        for name in names:
            row = self._rows.get(name)
            if row is None:
                continue
            if int(self._dynamic.type[row]) == c.STT_TLS:
                continue
            value = int(self._dynamic.value[row])
            # In a program at a fixed address a library's function may have its address in this file's PLT.
            result[name] = value if value and int(self._dynamic.shndx[row]) == c.SHN_UNDEF else import_address(row)
        if self._rows:
            for name in self._find_in_libraries([n for n in names if n not in self._rows]):
                result[name] = import_address(len(self._dynamic) + self._imports[name])
        return result

    @cached_property
    def debug(self) -> LinkedDebug:
        """The debug sections, if something can be appended to them."""
        return LinkedDebug(self._debug_sections())

    def _debug_sections(self) -> dict[str, memoryview]:
        """The debug sections, of which the image has no content: mapped, a quick build touches little of them. Empty
        when they are compressed, since then nothing can be appended."""
        sections = [s for s in self.image.sections if s.name.startswith(".debug_") and not s.flags & c.SHF_ALLOC]
        if not sections or any(s.flags & c.SHF_COMPRESSED for s in sections):
            return {}
        with open(self.path, "rb") as file:
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return {s.name: view[s.offset : s.offset + s.size] for s in sections}

    def imports(self) -> tuple[NewImport, ...]:
        """Names that new code imports and the linked file did not."""
        return tuple(self._new_imports)

    def _find_in_libraries(self, names: Sequence[bytes]) -> list[bytes]:
        """Notes those names that a library which the file needs defines; whether the project's link line has further
        libraries is not known."""
        missing = [name for name in names if name not in self._imports and name]
        for library, elf in self._libraries if missing else ():
            for name, found in exported(elf, missing).items():
                kind = c.STT_FUNC if found.type == c.STT_GNU_IFUNC else found.type
                if kind in (c.STT_FUNC, c.STT_OBJECT, c.STT_NOTYPE) and name not in self._imports:
                    self._imports[name] = len(self._new_imports)
                    self._new_imports.append(NewImport(name, kind, library, found.version))
            missing = [name for name in missing if name not in self._imports]
            if not missing:
                break
        return [name for name in names if name in self._imports]

    @cached_property
    def _libraries(self) -> list[tuple[bytes, ElfFile]]:
        found = []
        for name in self.image.needed():
            path = library_path(name, self._run_path)
            if path is None:
                continue
            elf = parse_elf(Path(path).read_bytes(), path)
            found.append((name.encode(), elf))
        return found

    @cached_property
    def _run_path(self) -> list[str]:
        entries = dynamic_entries(self.image.elf)
        named = dict(entries)
        strings = memoryview(self.image.elf.read(named[c.DT_STRTAB], named[c.DT_STRSZ]))
        raw = [string_at(strings, v).decode() for tag, v in entries if tag in (c.DT_RUNPATH, c.DT_RPATH)]
        origin = os.path.dirname(os.path.realpath(self.path))
        return [place.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for r in raw for place in r.split(":")]

    def thread_local(self, name: bytes) -> TlsPlace | None:
        return self.find_tls(name) if self.is_program else None

    def imported_or_exported(self, name: bytes) -> bool:
        """Whether the dynamic linker knows the name."""
        return name in self._rows

    @cached_property
    def wrapped(self) -> frozenset[bytes]:
        """Names that `--wrap` gave another meaning."""
        table = next(s for s in self.image.sections if s.type == c.SHT_SYMTAB)
        strings = bytes(self.image.elf.strings_of(table))
        found = []
        at = strings.find(_WRAP)
        while at >= 0:
            end = strings.index(b"\0", at + 1)
            found.append(strings[at + len(_WRAP) : end])
            at = strings.find(_WRAP, end)
        return frozenset(found)

    @cached_property
    def wanted(self) -> frozenset[bytes]:
        """Names that the file's objects refer to and nothing in it defines."""
        symbols = self.image.symbols
        rows = (symbols.shndx == c.SHN_UNDEF).nonzero()[0].tolist()
        return frozenset(symbols.name(row) for row in rows)

    @cached_property
    def _dynamic(self) -> SymbolTable:
        section = next(s for s in self.image.sections if s.type == c.SHT_DYNSYM)
        return read_symbols(self.image.elf, section)

    @cached_property
    def _rows(self) -> dict[bytes, int]:
        """Name → row of `.dynsym`."""
        if not any(s.type == c.SHT_DYNSYM for s in self.image.sections):
            return {}
        table = self._dynamic
        return {table.name(row): row for row in range(len(table) - 1, 0, -1)}

    @cached_property
    def _stubs(self) -> dict[bytes, int]:
        return {target: stub for stub, target in self.image.plt_targets().items()}


def library_path(name: str, run_path: Sequence[str]) -> str | None:
    """Where the loader finds a library, as far as that can be told without it."""
    for directory in (*run_path, *_SYSTEM):
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            return path
    return None


def _is_program(image: Image, entries: dict[int, int]) -> bool:
    if entries.get(c.DT_FLAGS_1, 0) & _DF_1_PIE:
        return True
    return any(h.type == c.PT_INTERP for h in image.elf.program_headers)
