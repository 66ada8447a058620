"""A linked program in the memory of a `FakeTarget`: everything of a session but the process itself."""

from __future__ import annotations

import itertools
import os
import struct
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from relive.elf.image import Image
from relive.events import Reload
from relive.host.compiler import CompilePool
from relive.host.fake import FakeTarget
from relive.host.project import Project
from relive.host.target import Module
from relive.session.modules import ModuleState, load_module
from relive.session.pipeline import Engine
from tests import small

CACHE = Path(tempfile.gettempdir()) / f"relive-test-native-{os.getuid()}"
PIE = 0x5555_5555_4000
LIBC = 0x7FFF_F7C0_0000
_pids = itertools.count(5_000_000)  # above what a kernel gives to processes


def loaded(program: Path, symbols: Mapping[bytes, int] | None = None, *, base: int | None = None) -> FakeTarget:
    """The program as ld.so would have placed it, relocations applied."""
    data = program.read_bytes()
    image = Image.parse(data, str(program))
    if base is None:
        base = PIE if image.is_pie_or_so else 0
    low, high = image.load_range
    memory = bytearray(high - low)
    for header in image.elf.program_headers:
        if header.type == 1:
            memory[header.vaddr - low : header.vaddr - low + header.filesz] = image.read(header.vaddr, header.filesz)
    symbols = dict(symbols or {})
    with program.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if isinstance(section, RelocationSection) and section["sh_flags"] & 2:
                table = ELFFile(file).get_section(section["sh_link"])
                assert isinstance(table, SymbolTableSection)
                for row in section.iter_relocations():
                    symbol = table.get_symbol(row["r_info_sym"]) if row["r_info_sym"] else None
                    value = base + row["r_addend"]
                    if symbol is not None:
                        known = (
                            base + symbol["st_value"] if symbol["st_value"] else symbols.get(symbol.name.encode(), 0)
                        )
                        value = known + row["r_addend"]
                    if row["r_info_type"] in (1, 6, 7, 8):
                        struct.pack_into("<Q", memory, row["r_offset"] - low, value)
    tls = image.tls
    offset = None if tls is None else -(-(-tls[1] // tls[2]) * tls[2])
    module = Module(str(program), base, base + low, base + high, image.build_id, int(tls is not None), offset)
    return FakeTarget(modules=[module], memory={base + low: bytes(memory)}, symbols=symbols, pid=next(_pids))


def module_of(target: FakeTarget) -> ModuleState:
    """The program's module as the engine sees it."""
    modules: list[ModuleState] = []
    modules.append(load_module(target.modules()[0], target, modules, CACHE))
    return modules[0]


class Session:
    """A small project, its program in a fake target, and an engine."""

    def __init__(
        self,
        root: Path,
        sources: Mapping[str, str],
        *,
        compiler: str = "gcc",
        flags: Sequence[str] = ("-g", "-O0"),
        link: Sequence[str] = (),
        symbols: Mapping[bytes, int] | None = None,
        prepare: Callable[[Path], None] | None = None,
    ) -> None:
        """`prepare`: something to be done between the build and the start of the session."""
        self.root = root / "project"
        self.program = small.build(self.root, sources, compiler=compiler, flags=flags, link=link)
        if prepare is not None:
            prepare(self.root)
        self.target = loaded(self.program, symbols)
        self.start = self.whole_memory()
        workdir = root / "work"
        workdir.mkdir()
        self.workdir = workdir
        self.project = Project.open(str(self.program), build_dir=str(self.root / "build"), start_dir=str(self.root))
        pool = CompilePool(workdir, 2)
        self.engine = Engine(self.project, self.target, pool, cache=CACHE, workdir=workdir)
        self.prepared = self.engine.prepare()
        self._image = Image.parse(self.program.read_bytes(), str(self.program))

    def path(self, name: str) -> str:
        return str(self.root / "src" / name)

    def write(self, name: str, text: str) -> str:
        (self.root / "src" / name).write_text(text)
        return self.path(name)

    def save(
        self,
        edits: Mapping[str, str],
        *,
        everything: bool = False,
        dry_run: bool = False,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Reload:
        """Writes files and reloads them."""
        files = frozenset(self.write(name, text) for name, text in edits.items())
        return self.engine.reload(
            files, everything=everything, dry_run=dry_run, detected_at=time.monotonic(), cancelled=cancelled
        )

    def address(self, name: str) -> int:
        """Where a global of the program was linked to."""
        (row,) = self._image.find_any(name.encode())
        return self.target.modules()[0].base + int(self._image.symbols.value[row])

    def whole_memory(self) -> bytes:
        """The program's own memory."""
        module = self.target.modules()[0]
        return self.target.read(module.low, module.high - module.low)

    def destination(self, name: str) -> int | None:
        """Where calls of a function go, if not to its first version."""
        home = self.address(name)
        code = self.target.read(home, 5)
        if code[:1] != b"\xe9":
            return None
        return home + 5 + int.from_bytes(code[1:], "little", signed=True)

    def touched(self) -> list[str]:
        """What was done to the process, reading left out; forgotten afterwards."""
        found = [name for name, _ in self.target.log if name != "reserve"]
        self.target.log.clear()
        return found

    def patches(self) -> list[str]:
        """Names of the patch files that were ever loaded."""
        return [Path(str(arguments[0])).name for name, arguments in self.target.log if name == "load"]
