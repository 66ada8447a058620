"""Applies relocations: the formulas of the psABI over resolved targets. Every write is checked to fit its field.

Source: psABI 1.0 table 4.9; TLS: "ELF Handling For Thread-Local Storage" sections 4.1.6 to 4.4.6, and for descriptors
"Thread-Local Storage Descriptors for IA32 and AMD64/EM64T" (relaxed to initial-exec here)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from relive.arch import x86_64
from relive.diff.atoms import Atoms
from relive.elf import constants as c
from relive.errors import Refusal, RefusedError
from relive.link.layout import Layout
from relive.link.model import Address, Scope, TlsPlace
from relive.link.select import Target

_FORMATS = {8: "<q", 4: "<i", 2: "<h", 1: "<b"}


class Relocator:
    """Computes and writes the value of one relocation after another, for a patch at a fixed base address."""

    def __init__(self, base: int, layout: Layout, scope: Scope, address_of: Callable[[Target], Address]) -> None:
        self._base = base
        self._layout = layout
        self._scope = scope
        self._address_of = address_of

    def apply(self, atoms: Atoms, row: int, target: Target, content: bytearray, at: int, place: int) -> None:
        """Writes relocation `row` of a unit into `content` at offset `at`, which will lie at address `place`."""
        kind = int(atoms.relocations["type"][row])
        addend = int(atoms.rows["delta"][row])
        if kind == c.R_X86_64_NONE:
            return
        if kind == c.R_X86_64_TLSDESC_CALL:
            content[at : at + 2] = b"\x66\x90"  # call *(%rax) → nop: the offset is in %rax already
            return
        if kind == c.R_X86_64_GOTPC32_TLSDESC:
            content[at - 2] = 0x8B  # lea slot(%rip),%rax → mov slot(%rip),%rax
        value = self._value(atoms, row, kind, target, addend, place)
        self.write(kind, content, at, value)

    def write(self, kind: int, content: bytearray, at: int, value: int) -> None:
        """Stores a value in a relocation's field; an AssertionError when it does not fit (layout must prevent that)."""
        size = x86_64.FIELD_SIZE.get(kind, 4)
        assert x86_64.fits(kind, value), f"relocation {kind} out of range: {value:#x}"
        bound = 1 << (8 * size)
        value &= bound - 1
        content[at : at + size] = value.to_bytes(size, "little")

    def _value(self, atoms: Atoms, row: int, kind: int, target: Target, addend: int, place: int) -> int:
        slots = self._layout.slots
        if kind in (c.R_X86_64_GOTPCREL, c.R_X86_64_GOTPCRELX, c.R_X86_64_REX_GOTPCRELX):
            return self._base + slots[("got", target)] + addend - place
        if kind in (c.R_X86_64_GOTTPOFF, c.R_X86_64_GOTPC32_TLSDESC):
            return self._base + slots[("tp", target)] + addend - place
        if kind == c.R_X86_64_TLSGD:
            return self._base + slots[("gd", target)] + addend - place
        if kind == c.R_X86_64_TLSLD:
            return self._base + slots[("ld",)] + addend - place
        if kind == c.R_X86_64_GOTPC32:
            return self._base + self._layout.got[0] + addend - place
        if kind in (c.R_X86_64_SIZE32, c.R_X86_64_SIZE64):
            symbol = int(atoms.relocations["symbol"][row])
            return int(atoms.object.symbols["size"][symbol]) + addend
        address = self._address_of(target)
        if isinstance(address, TlsPlace):
            return self._thread_local(kind, address, addend)
        if kind in (c.R_X86_64_TPOFF32, c.R_X86_64_TPOFF64, c.R_X86_64_DTPOFF32, c.R_X86_64_DTPOFF64):
            return addend  # a weak thread-local that nobody defines
        if kind == c.R_X86_64_GOTOFF64:
            return address + addend - (self._base + self._layout.got[0])
        if kind in (c.R_X86_64_PC32, c.R_X86_64_PLT32, c.R_X86_64_32, c.R_X86_64_32S) and target in self._layout.stubs:
            address = self._base + self._layout.stubs[target]
        if kind in x86_64.PC_RELATIVE:
            return address + addend - place
        return address + addend

    def _thread_local(self, kind: int, tls: TlsPlace, addend: int) -> int:
        if kind in (c.R_X86_64_TPOFF32, c.R_X86_64_TPOFF64):
            return static_offset(tls) + addend
        if kind in (c.R_X86_64_DTPOFF32, c.R_X86_64_DTPOFF64):
            if tls.module == self._scope.tls_module:
                return tls.offset + addend
            # A new thread-local in the agent's pool, addressed from the home module's block: both are static TLS,
            # so the distance is the same in every thread.
            if self._scope.tls_offset is None:
                raise RefusedError((_dynamic_tls(),))
            return static_offset(tls) - self._scope.tls_offset + addend
        if kind == c.R_X86_64_64:  # .debug_* only; never in allocated memory
            return tls.offset + addend
        raise AssertionError(f"relocation {kind} against a thread-local")

    def slot(self, key: object) -> bytes:
        """Content of a GOT entry: 8 bytes, or 16 for the pair that `__tls_get_addr` takes."""
        assert isinstance(key, tuple)
        if key == ("ld",):
            return struct.pack("<QQ", self._scope.tls_module, 0)
        kind, target = key
        address = self._address_of(target)
        if kind == "got":
            assert not isinstance(address, TlsPlace)
            return struct.pack("<Q", address)
        if not isinstance(address, TlsPlace):
            assert address == 0, "a thread-local without a place"
            return bytes(16 if kind == "gd" else 8)  # weak and undefined: never used
        if kind == "gd":
            return struct.pack("<QQ", address.module, address.offset)
        return struct.pack("<q", static_offset(address))


def static_offset(tls: TlsPlace) -> int:
    """Offset from the thread pointer; refuses when the block is allocated per thread on first use."""
    if tls.tp_offset is None:
        raise RefusedError((_dynamic_tls(),))
    return tls.tp_offset


def _dynamic_tls() -> Refusal:
    return Refusal(
        "tls-dynamic",
        "thread_local",
        "new code wants a fixed offset for a thread-local of a library that was loaded with dlopen",
        "compile that library without -ftls-model=initial-exec or -mtls-dialect=gnu2, or restart the program",
    )
