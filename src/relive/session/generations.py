"""What each generation changed, so that it can be taken back: undo writes the bytes that were there before.

Generation 0 is the program as started. Memory of a generation stays mapped when it is undone: a thread may still be in
its code."""

from __future__ import annotations

from dataclasses import dataclass

from relive.host.target import CodePatch, DataStore, PointerRewrite
from relive.link.model import Address
from relive.session.baselines import Kept
from relive.session.modules import ModuleState


@dataclass(frozen=True, slots=True)
class Generation:
    """One applied reload."""

    number: int
    files: tuple[str, ...]
    functions: tuple[str, ...]
    redirected: tuple[tuple[bytes, int, int], ...]
    """(name, home address, address of the new code)."""
    code: tuple[CodePatch, ...]
    stores: tuple[DataStore, ...]
    rewrites: tuple[PointerRewrite, ...]
    baselines: dict[str, Kept]
    """Baselines before this generation, by unit key."""
    overlays: tuple[tuple[ModuleState, dict[bytes, Address | None]], ...]
    """Names that it added, with what they meant before."""
    memory: tuple[tuple[str, int, int], ...] = ()
    """(file, address, size) of what was loaded."""


def reversed_code(generation: Generation) -> tuple[CodePatch, ...]:
    """The code patches that bring back what was there."""
    return tuple(CodePatch(p.address, p.replacement, p.expected) for p in generation.code)


def reversed_stores(generation: Generation) -> tuple[DataStore, ...]:
    return tuple(DataStore(s.address, s.replacement, s.expected) for s in generation.stores)


def reversed_rewrites(generation: Generation) -> tuple[PointerRewrite, ...]:
    return tuple(PointerRewrite(r.new, r.old) for r in generation.rewrites)
