"""Old and new objects of made-up units, a made-up process for the linker to bind to, and eyes to see what it did.

Everything of the old object "lives": each of its named atoms has an address of its own in `Process`. Functions lie
64 bytes apart, so that an address can be told back to a name."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from relive.diff.atoms import Atoms, Interner, Kind
from relive.diff.compare import compare
from relive.elf.object import ElfObject
from relive.link.model import Address, LinkUnit, Selection, TlsPlace
from relive.link.patch import LinkedPatch, Prepared, prepare

LOW, HIGH = 0x5555_5555_4000, 0x5555_5565_4000
BASE = 0x5555_5600_0000
FAR = 0x7FFF_F7A0_0000
SECTIONS = ("-ffunction-sections", "-fdata-sections")
MODULE, BLOCK = 1, -256
"""TLS module of the made-up program, and where its block begins from the thread pointer."""


@dataclass
class Process:
    """A `Scope`: the module's names, and names elsewhere."""

    names: dict[bytes, Address] = field(default_factory=dict)
    outside: dict[bytes, Address] = field(default_factory=dict)
    thread_locals: dict[bytes, TlsPlace] = field(default_factory=dict)
    low: int = LOW
    high: int = HIGH
    tls_module: int = MODULE
    tls_offset: int | None = BLOCK

    def find(self, name: bytes) -> Address | None:
        return self.names.get(name)

    def externals(self, names: Sequence[bytes]) -> Mapping[bytes, Address]:
        return {name: self.outside[name] for name in names if name in self.outside}

    def thread_local(self, name: bytes) -> TlsPlace | None:
        return self.thread_locals.get(name)


class Bench:
    """Compiles units into one module of one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = Process()
        self.intern = Interner()
        self.names: dict[int, bytes] = {}
        """Address of what lives → name."""
        self._next = LOW + 0x1000
        self._next_tls = 0

    def compile(self, source: str, *flags: str, compiler: str = "gcc", suffix: str = "") -> ElfObject:
        """The object of a source text; C++ for compilers that end in ++."""
        path = self.folder / f"unit{suffix or ('.cpp' if compiler.endswith('++') else '.c')}"
        path.write_text(source)
        words = [compiler, "-O0", "-fcf-protection=none", *flags, "-c", str(path), "-o", str(path) + ".o"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return ElfObject.parse(Path(f"{path}.o").read_bytes(), str(path))

    def unit(
        self,
        old: str,
        new: str,
        *flags: str,
        compiler: str = "gcc",
        suffix: str = "",
        source: str = "unit.c",
        before: Sequence[str] = SECTIONS,
        after: Sequence[str] = SECTIONS,
    ) -> LinkUnit:
        """A unit whose old version lives. `before`, `after`: flags of one version only."""
        first = Atoms(self.compile(old, *flags, *before, compiler=compiler, suffix=suffix), self.intern)
        second = Atoms(self.compile(new, *flags, *after, compiler=compiler, suffix=suffix), self.intern)
        return LinkUnit(source, compare(first, second), self.live(first))

    def live(self, atoms: Atoms) -> dict[bytes, Address]:
        """Gives everything of an object an address; a global that another unit brought already has one."""
        live: dict[bytes, Address] = {}
        places: dict[int, Address] = {}
        for name, atom in atoms.by_name.items():
            known = self.process.names.get(name) if atoms.is_global[atom] else None
            if atom not in places:
                places[atom] = known if known is not None else self._place(name, atoms, atom)
            live[name] = places[atom]
            if atoms.is_global[atom]:
                self.process.names.setdefault(name, places[atom])
        return live

    def _place(self, name: bytes, atoms: Atoms, atom: int) -> Address:
        if atoms.kind[atom] == Kind.TLS:
            offset = self._next_tls
            self._next_tls += -(-atoms.size(atom) // 16) * 16
            return TlsPlace(MODULE, offset, BLOCK + offset)
        address = self._next
        self._next += max(-(-atoms.size(atom) // 64) * 64, 64)
        self.names[address] = name
        return address

    def prepare(self, *units: LinkUnit, debug_info: bool = False) -> Prepared:
        """The linker's decisions; the invariant of the house is checked."""
        prepared = prepare(units, self.process, debug_info=debug_info)
        check_nothing_lives_twice(prepared.selection)
        return prepared

    def link(self, *units: LinkUnit, pool: TlsPlace | None = None, debug_info: bool = False) -> Linked:
        prepared = self.prepare(*units, debug_info=debug_info)
        assert prepared.refusals == ()
        return Linked(prepared, prepared.at(BASE, "patch.so", pool), self)


def check_nothing_lives_twice(selection: Selection) -> None:
    """A placed block is never a mutable variable that lives."""
    for block in selection.blocks:
        unit = selection.units[block.unit]
        if unit.new.kinds[block.section] not in (Kind.DATA, Kind.TLS):
            continue
        for name, atom in unit.new.by_name.items():
            if int(unit.new.section[atom]) == block.section and block.start <= int(unit.new.start[atom]) < block.end:
                assert name not in unit.live or unit.new.holds_labels(atom), name


def placed(selection: Selection) -> set[str]:
    """Names of everything that was placed."""
    found = set()
    for block in selection.blocks:
        new = selection.units[block.unit].new
        for name, atom in new.by_name.items():
            if int(new.section[atom]) == block.section and block.start <= int(new.start[atom]) < block.end:
                found.add(name.decode())
    return found


def codes(prepared: Prepared) -> list[tuple[str, str]]:
    """(code, subject) of the refusals."""
    return [(refusal.code, refusal.subject) for refusal in prepared.refusals]


class Linked:
    """A finished patch and the file it was written to."""

    def __init__(self, prepared: Prepared, patch: LinkedPatch, bench: Bench) -> None:
        self.prepared = prepared
        self.patch = patch
        self.bench = bench
        self.path = bench.folder / "patch.so"
        self.path.write_bytes(patch.file)
        self.functions = {name.decode(): address for name, address, _ in patch.functions}
        self.sizes = {name.decode(): size for name, _, size in patch.functions}

    @property
    def selection(self) -> Selection:
        return self.prepared.selection

    def address(self, name: str, unit: int = 0) -> int:
        """Where something new is."""
        found = self.patch.addresses[unit][name.encode()]
        assert isinstance(found, int)
        return found

    def home(self, name: str, unit: int = 0) -> int:
        """Where something lives."""
        found = self.selection.units[unit].live[name.encode()]
        assert isinstance(found, int)
        return found

    def code(self, function: str) -> list[str]:
        """objdump's lines of one placed function, without addresses and bytes."""
        start = self.functions[function]
        return self.disassemble(start, self.sizes[function])

    def disassemble(self, start: int, size: int) -> list[str]:
        words = ["objdump", "-d", "--no-show-raw-insn", f"--start-address={start:#x}"]
        text = tool(*words, f"--stop-address={start + size:#x}", str(self.path))
        lines = (line.split("\t", 1) for line in text.splitlines() if "\t" in line)
        return [" ".join(rest.split()) for _, rest in lines]

    def referred(self, function: str) -> list[int]:
        """Addresses that the code of a function refers to, in order: call and jump targets, operands by rip. Jumps
        within the function are left out."""
        found = []
        low, high = self.functions[function], self.functions[function] + self.sizes[function]
        for line in self.code(function):
            # `call 5555 <name>`, `lea 0x2f(%rip),%rax # 5555 <name>`
            match = re.search(r"# (?:0x)?([0-9a-f]+)", line) or re.match(r"(?:call|jmp)q? +(?:0x)?([0-9a-f]+)\b", line)
            if match and not low <= int(match[1], 16) < high:
                found.append(int(match[1], 16))
        return found

    def immediates(self, function: str) -> list[str]:
        """Operands of the `mov`s and `add`s of a function, for thread-locals."""
        return [line for line in self.code(function) if "%fs:" in line or "$0x" in line]

    def read(self, address: int, size: int) -> bytes:
        """Loaded memory of the patch."""
        for _, at, content in loads(self.patch.file):
            if at <= address and address + size <= at + len(content):
                return content[address - at : address - at + size]
        raise AssertionError(f"{address:#x} is not in the patch")

    def word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little", signed=True)

    def is_writable(self, address: int) -> bool:
        return any(at <= address < at + len(content) and flags & 2 for flags, at, content in loads(self.patch.file))

    def unwound(self) -> set[tuple[int, int]]:
        """(start, end) of the functions that .eh_frame describes, as readelf reads it."""
        text = tool("readelf", "-W", "--debug-dump=frames", str(self.path))
        return {(int(a, 16), int(b, 16)) for a, b in re.findall(r"FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)", text)}


def loads(file: bytes) -> list[tuple[int, int, bytes]]:
    """(flags, address, content in memory) of the PT_LOAD segments."""
    table, count = int.from_bytes(file[32:40], "little"), int.from_bytes(file[56:58], "little")
    result = []
    for i in range(count):
        row = file[table + 56 * i : table + 56 * (i + 1)]
        kind, flags = int.from_bytes(row[:4], "little"), int.from_bytes(row[4:8], "little")
        offset, address, _, filled, size, _ = (int.from_bytes(row[n : n + 8], "little") for n in range(8, 56, 8))
        if kind == 1:
            result.append((flags, address, file[offset : offset + filled] + bytes(size - filled)))
    return result


def tool(*words: str) -> str:
    """What a binutils program says; it must have nothing to complain about."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def reborn(unit: LinkUnit, *names: str) -> LinkUnit:
    return replace(unit, reborn=frozenset(name.encode() for name in names))


def rehomed(unit: LinkUnit, *names: str) -> LinkUnit:
    return replace(unit, rehomed=frozenset(name.encode() for name in names))
