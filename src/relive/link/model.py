"""The words of the linker: what it is given, what it decides. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relive.diff.atoms import Atoms
from relive.diff.compare import Comparison
from relive.errors import Refusal


@dataclass(frozen=True, slots=True)
class TlsPlace:
    """Where a thread-local lives in every thread."""

    module: int
    """TLS module id (what `__tls_get_addr` takes)."""
    offset: int
    """Offset in that module's block."""
    tp_offset: int | None
    """Offset from the thread pointer, when the block is static TLS; else None."""


Address = int | TlsPlace


class Scope(Protocol):
    """Where names are looked up: the module that is patched, with all that earlier generations added to it."""

    low: int
    high: int
    """The module's mapped range; the patch lies within 2 GB of all of it."""
    tls_module: int
    tls_offset: int | None
    """TLS block of the module: id, and offset from the thread pointer if static."""

    def find(self, name: bytes) -> Address | None:
        """A definition in the module itself that other units can see (the newest home, by name)."""
        ...

    def externals(self, names: Sequence[bytes]) -> Mapping[bytes, Address]:
        """Definitions elsewhere in the process, as the dynamic linker would choose; unknown names are left out."""
        ...

    def thread_local(self, name: bytes) -> TlsPlace | None:
        """A thread-local that another module of the process defines."""
        ...


@dataclass(frozen=True, slots=True)
class LinkUnit:
    """One changed translation unit in one module."""

    source: str
    comparison: Comparison
    live: Mapping[bytes, Address]
    """Session name → run-time address of what already lives; for functions the home address (first version)."""
    folded: frozenset[bytes] = frozenset()
    """Functions that share their code with another function in the program (identical code folding)."""

    gone: frozenset[bytes] = frozenset()
    """Names that the process has, as something else that no source defines any more: never bound to."""
    reborn: frozenset[bytes] = frozenset()
    """Functions that are called by other rules than before under the same name: they get a new identity. Old code that
    is still running goes on calling the old one, all new code calls the new one; nothing is redirected."""
    rehomed: frozenset[bytes] = frozenset()
    """Functions whose first version cannot take a jump at its entry: they get a new home, and everything that refers to
    the old one is rewritten."""
    initialiser_blocks: Mapping[bytes, tuple[tuple[int, int, bytes | None], ...]] | None = None
    """For gcc's one initialiser of a unit, if it was looked at: its blocks (start, end, variable or None)."""
    partial: bool = False
    """Whether the new object is that of a few functions: it refers to the others of its unit as if they were external,
    internal ones too."""

    @property
    def new(self) -> Atoms:
        return self.comparison.new


@dataclass(frozen=True, slots=True)
class Block:
    """What is placed as a whole: a text section, a variable, a run of anonymous constants. Offsets in the section."""

    unit: int
    section: int
    start: int
    end: int
    align: int

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Redirect:
    """A function whose first version sends its callers to new code."""

    name: bytes
    home: int
    unit: int
    atom: int


@dataclass(frozen=True, slots=True)
class InPlace:
    """A constant of unchanged size whose content changes where it lives (tables, vtables)."""

    name: bytes
    address: int
    unit: int
    atom: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A constant of another size: new storage; `old` is where pointers to it may still lead."""

    name: bytes
    old: int
    unit: int
    atom: int


@dataclass(slots=True)
class Selection:
    """What of the new objects goes into the process. Filled by `select`, read by everyone after."""

    units: tuple[LinkUnit, ...]
    blocks: list[Block] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    reborn: list[Redirect] = field(default_factory=list)
    """Functions with a new identity; `home` is where the old one stays."""
    rehomed: list[Redirect] = field(default_factory=list)
    """Functions with a new home; `home` is the old one."""
    in_place: list[InPlace] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    definitions: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Global name → (unit, atom) that is placed for it."""
    commons: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """New common symbols: name → (size, alignment)."""
    externals: set[bytes] = field(default_factory=set)
    """Names that nothing in the module or the patch defines."""
    initialisers: list[tuple[int, int]] = field(default_factory=list)
    """(unit, atom) of functions that construct new variables."""
    skips: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=dict)
    """(unit, atom) → offsets in the atom of code that is jumped over: it would construct what lives."""
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    by_place: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    """(unit, section) → indices of its blocks."""

    def new_variables(self, u: int) -> set[bytes]:
        """Names of the variables of a unit that are placed."""
        new = self.units[u].new
        placed = (a for a in new.variables() if self.block_at(u, int(new.section[a]), int(new.start[a])) is not None)
        return {name for a in placed if (name := new.names[a]) is not None}

    def block_at(self, unit: int, section: int, offset: int) -> int | None:
        """Index of the placed block that holds an offset (its end counts as inside)."""
        best = None
        for index in self.by_place.get((unit, section), ()):
            block = self.blocks[index]
            if block.start <= offset < block.end:
                return index
            if offset == block.end:
                best = index
        return best
