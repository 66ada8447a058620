"""A target that is a dictionary: for tests of everything above, and to see what a reload would do."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from relive.errors import TargetError
from relive.wire.messages import encode_switch
from relive.wire.records import CodePatch, DataStore, Module, Switch, SwitchResult, TlsPool

_PAGE = 4096


class FakeTarget:
    """Memory is a set of byte ranges; every change is applied to it and noted in `log` as (method, arguments)."""

    def __init__(
        self,
        *,
        modules: Sequence[Module] = (),
        memory: Mapping[int, bytes] | None = None,
        symbols: Mapping[bytes, int] | None = None,
        libraries: Sequence[str] = (),
        pool: TlsPool | None = None,
        pid: int = 4242,
    ) -> None:
        self._pid = pid
        self._modules = tuple(modules)
        self.memory = {address: bytearray(content) for address, content in (memory or {}).items()}
        self.symbols = dict(symbols or {})
        self.libraries = tuple(libraries)
        self.pool = pool or TlsPool(tp_offset=-4096, size=4096, tls_module=2, module_offset=0)
        self.log: list[tuple[str, tuple[object, ...]]] = []
        self.reserved: dict[int, int] = {}
        self.next_result: SwitchResult | None = None
        """What the next switch answers instead of being done."""
        self.active_answer: list[tuple[int, int]] = []

    @property
    def pid(self) -> int:
        return self._pid

    def modules(self) -> tuple[Module, ...]:
        return self._modules

    def _find(self, address: int, size: int) -> tuple[bytearray, int]:
        for start, content in self.memory.items():
            if start <= address and address + size <= start + len(content):
                return content, address - start
        raise TargetError(f"{size} bytes at {address:#x} are not mapped")

    def read(self, address: int, size: int) -> bytes:
        content, at = self._find(address, size)
        return bytes(content[at : at + size])

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self.read(address, size) for address, size in ranges]

    def reserve(self, near: tuple[int, int], size: int) -> int:
        size = -(-size // _PAGE) * _PAGE
        taken = [(start, start + len(content)) for start, content in self.memory.items()]
        taken += [(start, start + length) for start, length in self.reserved.items()]
        address = -(-near[1] // _PAGE) * _PAGE + 16 * _PAGE
        for low, high in sorted(taken):
            if low < address + size and address < high:
                address = -(-high // _PAGE) * _PAGE
        if address + size - near[0] >= 1 << 31:
            raise TargetError("no free address space")
        self.reserved[address] = size
        self.log.append(("reserve", (near, size)))
        return address

    def release(self, address: int, size: int) -> None:
        if self.reserved.pop(address, None) != -(-size // _PAGE) * _PAGE:
            raise TargetError(f"{address:#x} is not a reserved range")
        self.log.append(("release", (address, size)))

    def load(self, path: str, address: int, size: int) -> None:
        """Maps the PT_LOAD segments of the file as the loader would."""
        if self.reserved.pop(address, 0) < size:
            raise TargetError(f"{address:#x} is not a reserved range")
        data = Path(path).read_bytes()
        image = bytearray(size)
        (table,) = struct.unpack_from("<Q", data, 32)
        entry_size, count = struct.unpack_from("<HH", data, 54)
        for i in range(count):
            kind, _, offset, vaddr, _, filled, _, _ = struct.unpack_from("<IIQQQQQQ", data, table + i * entry_size)
            if kind == 1:
                at = vaddr - address
                if not 0 <= at <= size - filled:
                    raise TargetError("the loader did not put the file at its addresses")
                image[at : at + filled] = data[offset : offset + filled]
        self.memory[address] = image
        self.log.append(("load", (path, address, size)))

    def lookup(self, names: Sequence[bytes]) -> list[int]:
        return [self.symbols.get(name, 0) for name in names]

    def open_library(self, name: str) -> bool:
        self.log.append(("open_library", (name,)))
        return name in self.libraries

    def call(self, functions: Sequence[int]) -> None:
        self.log.append(("call", tuple(functions)))

    def switch(self, switch: Switch) -> SwitchResult:
        encode_switch(switch)  # the same complaints as the real one
        self.log.append(("switch", (switch,)))
        if self.next_result is not None:
            result, self.next_result = self.next_result, None
            return result
        stop = switch.stop or bool(switch.stores or switch.rewrites or switch.forbidden)
        changes: tuple[CodePatch | DataStore, ...] = (*switch.code, *switch.stores)
        for change in changes:
            if self.read(change.address, len(change.expected)) != change.expected:
                return SwitchResult("mismatch", "live", 0, change.address, 0, 0)
        for change in changes:
            content, at = self._find(change.address, len(change.expected))
            content[at : at + len(change.replacement)] = change.replacement
        rewritten = sum(self._rewrite(rewrite.old, rewrite.new) for rewrite in switch.rewrites)
        return SwitchResult("done", "stop" if stop else "live", 1000, 0, 0, rewritten)

    def _rewrite(self, old: int, new: int) -> int:
        count = 0
        for start, content in self.memory.items():
            for at in range(-start % 8, len(content) - 7, 8):
                if content[at : at + 8] == struct.pack("<Q", old):
                    content[at : at + 8] = struct.pack("<Q", new)
                    count += 1
        return count

    def active(self, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(tid, index) for tid, index in self.active_answer if index < len(ranges)]

    def tls_pool(self) -> TlsPool:
        return self.pool

    def tls_install(self, offset: int, image: bytes) -> None:
        if offset + len(image) > self.pool.size:
            raise TargetError("the pool for new thread-local variables is full")
        self.log.append(("tls_install", (offset, image)))

    def close(self) -> None:
        self.log.append(("close", ()))
