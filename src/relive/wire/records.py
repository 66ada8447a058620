"""What host and agent talk about, as frozen values. Addresses are the target's; sizes are bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CODE_LIMIT = 16
"""Bytes of one code patch."""

SwitchStatus = Literal["done", "mismatch", "busy", "timeout"]
SwitchMode = Literal["live", "stop"]


@dataclass(frozen=True, slots=True)
class Module:
    """One loaded ELF object; the executable comes first, the others in link-map order."""

    path: str
    base: int
    """l_addr: what is added to the file's addresses; 0 for a non-PIE program."""
    low: int
    high: int
    """[low, high) is the mapped range."""
    build_id: bytes
    tls_module: int
    """TLS module id, 0 without TLS."""
    tls_offset: int | None
    """Of its TLS block from the thread pointer (negative on x86-64) when it has static TLS, else None."""


@dataclass(frozen=True, slots=True)
class CodePatch:
    """Bytes of code to be replaced; of equal length, at most 16. Only `address` may be jumped or returned to."""

    address: int
    expected: bytes
    replacement: bytes


@dataclass(frozen=True, slots=True)
class DataStore:
    """Bytes of data to be replaced, also in read-only memory (vtable slots in RELRO)."""

    address: int
    expected: bytes
    replacement: bytes


@dataclass(frozen=True, slots=True)
class PointerRewrite:
    """Every aligned word of the program's writable memory that equals `old` becomes `new`; under a full stop."""

    old: int
    new: int


@dataclass(frozen=True, slots=True)
class Forbidden:
    """No thread may have its pc or a word of its stack in [low, high) at the switch; under a full stop."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Switch:
    """Changes that become visible as one step for every thread."""

    code: tuple[CodePatch, ...] = ()
    stores: tuple[DataStore, ...] = ()
    rewrites: tuple[PointerRewrite, ...] = ()
    forbidden: tuple[Forbidden, ...] = ()
    stop: bool = False
    timeout_ms: int = 1000


@dataclass(frozen=True, slots=True)
class SwitchResult:
    """How a switch went; any status but "done" has changed nothing.

    mismatch: `address` does not hold what was expected. busy: thread `tid` stayed at `address`, in the way. timeout:
    thread `tid` could not be looked at. `pause_ns`: the longest time that any one thread was held."""

    status: SwitchStatus
    mode: SwitchMode
    pause_ns: int
    address: int
    tid: int
    rewritten: int


@dataclass(frozen=True, slots=True)
class TlsPool:
    """Room in every thread for new thread_local variables."""

    tp_offset: int
    """Of the pool from the thread pointer."""
    size: int
    tls_module: int
    module_offset: int
    """Of the pool in the module's TLS block."""
