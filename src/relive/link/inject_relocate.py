"""Relocations of what goes into a linked file: what the linker knows is written, what only the loader knows becomes a
dynamic relocation. Source: psABI 1.0 table 4.9."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relive.diff.atoms import Atoms
from relive.elf import constants as c
from relive.link.layout import Layout
from relive.link.model import Address, Scope, TlsPlace
from relive.link.relocate import Relocator
from relive.link.select import Named, Target

_IMPORTS = 1 << 62
"""Where imported names lie: beyond everything that a file can have."""


def import_address(row: int) -> int:
    """The address that stands for a row of `.dynsym`."""
    return _IMPORTS + row


def import_of(address: Address | None) -> int | None:
    """The row of `.dynsym` that an address stands for, if it does."""
    return address - _IMPORTS if isinstance(address, int) and address >= _IMPORTS else None


@dataclass(frozen=True, slots=True)
class FileKind:
    """What matters of the file for relocations."""

    movable: bool
    """ET_DYN: the loader chooses the address."""
    executable: bool
    """Not a shared library: its thread-locals are at known offsets from the thread pointer."""
    tls_address: int = 0
    """Of the initial image of thread-locals."""


class FileRelocator(Relocator):
    """Applies relocations, and notes those that the dynamic linker has to finish."""

    def __init__(
        self, base: int, layout: Layout, scope: Scope, address_of: Callable[[Target], Address], kind: FileKind
    ) -> None:
        super().__init__(base, layout, scope, address_of)
        self._kind = kind
        self.dynamic: list[tuple[int, int, int, int]] = []
        """(address, type, row of .dynsym, addend)"""

    def apply(self, atoms: Atoms, row: int, target: Target, content: bytearray, at: int, place: int) -> None:
        kind = int(atoms.relocations["type"][row])
        if kind != c.R_X86_64_64:
            super().apply(atoms, row, target, content, at, place)
            return
        addend = int(atoms.rows["delta"][row])
        address = self._address_of(target)
        row_of_import = import_of(address)
        if row_of_import is not None:
            self.dynamic.append((place, kind, row_of_import, addend))
            content[at : at + 8] = bytes(8)
            return
        super().apply(atoms, row, target, content, at, place)
        if self._kind.movable and isinstance(address, int) and not self._is_nothing(target):
            self.dynamic.append((place, c.R_X86_64_RELATIVE, 0, address + addend))

    def _is_nothing(self, target: Target) -> bool:
        """A weak name that nobody defines has the address 0 wherever the file is loaded."""
        return target is None or (isinstance(target, Named) and self._address_of(target) == 0)

    def slot_at(self, key: object, place: int) -> bytes:
        """Content of a GOT entry at an address."""
        assert isinstance(key, tuple)
        if key == ("ld",) or key[0] == "gd":
            return self._tls_pair(key, place)
        address = self._address_of(key[1])
        if key[0] == "tp":
            if self._kind.executable or not isinstance(address, TlsPlace):
                return self.slot(key)
            self.dynamic.append((place, c.R_X86_64_TPOFF64, 0, address.offset))
            return bytes(8)
        row = import_of(address)
        if row is not None:
            self.dynamic.append((place, c.R_X86_64_GLOB_DAT, row, 0))
            return bytes(8)
        if self._kind.movable and isinstance(address, int) and not self._is_nothing(key[1]):
            self.dynamic.append((place, c.R_X86_64_RELATIVE, 0, address))
        return self.slot(key)

    def _tls_pair(self, key: tuple[object, ...], place: int) -> bytes:
        content = self.slot(key)
        if self._kind.executable:
            return content
        self.dynamic.append((place, c.R_X86_64_DTPMOD64, 0, 0))
        return bytes(8) + content[8:]
