"""The loaded modules of the program that the project built, as the linker sees them: names, addresses, additions.

Names are looked up as the dynamic linker would: in the module itself (first in what earlier generations added to it),
then wherever the process finds them. System libraries are asked through the target (`dlsym`), which knows versions and
IFUNCs; they are never patched."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from relive.elf import constants as c
from relive.elf.image import Image
from relive.errors import FormatError, ReliveError
from relive.host.images import load_image
from relive.host.target import Module, Target
from relive.link.model import Address, TlsPlace

SPARE_LIBRARIES = ("libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "libatomic.so.1", "librt.so.1", "libpthread.so.0")
"""Libraries that a link line usually names and `--as-needed` drops; asked in this order, loaded only when they help."""

_SYSTEM = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")


class ModuleState:
    """One module of the project. Implements `link.model.Scope`."""

    def __init__(
        self, module: Module, image: Image, target: Target, others: Sequence[ModuleState], cache: Path
    ) -> None:
        """`others`: the live list of all project modules, this one included sooner or later."""
        self.module = module
        self.image = image
        self.overlay: dict[bytes, Address] = {}
        """Global names that earlier generations added."""
        self.low, self.high = module.low, module.high
        self.tls_module, self.tls_offset = module.tls_module, module.tls_offset
        self._target = target
        self._others = others
        self._cache = cache
        self._found: dict[bytes, int] = {}
        self._plt: dict[bytes, int] | None = None

    @property
    def path(self) -> str:
        return self.module.path

    @property
    def base(self) -> int:
        return self.module.base

    def address(self, value: int) -> int:
        """Run-time address of a link-time address."""
        return self.base + value

    def tls(self, offset: int) -> TlsPlace:
        """The place of a thread-local of this module."""
        static = self.module.tls_offset
        return TlsPlace(self.module.tls_module, offset, None if static is None else static + offset)

    def find(self, name: bytes) -> Address | None:
        if name in self.overlay:
            return self.overlay[name]
        row = self._visible(name)
        if row is None:
            return None
        symbols = self.image.symbols
        value, kind = int(symbols.value[row]), int(symbols.type[row])
        if kind == c.STT_TLS:
            return self.tls(value)
        if kind == c.STT_GNU_IFUNC:
            return self._resolved_ifunc(name)
        if self is not self._others[0] and self._others[0].exports(name):
            winner = self._lookup([name]).get(name)
            if winner:
                return winner
        return self.address(value)

    def exports(self, name: bytes) -> bool:
        """Whether other modules could see a definition of ours under this name."""
        row = self._visible(name)
        return row is not None and int(self.image.symbols.binding[row]) != c.STB_LOCAL

    def _visible(self, name: bytes) -> int | None:
        rows = self.image.find_any(name)
        # Names without a type are labels of assembly and what the linker itself defines (`__start_section`, `_end`).
        visible = [row for row in rows if self.image.symbols.binding[row] != c.STB_LOCAL] or (
            [] if rows else self.image.find_global(name)
        )
        if visible:
            return visible[0]
        # mold, lld and gold write what is not exported as local. A static of another file must not be taken for it.
        if name.startswith((b"__start_", b"__stop_")) and (bounds := self.image.find_global(name)):
            return bounds[0]  # made by the linker, without a type
        demoted = [row for row in rows if self._is_demoted(row)]
        if len(demoted) == 1:
            return demoted[0]
        if len(rows) == 1 and (self._demoted or int(self.image.symbols.other[rows[0]]) & 3 == c.STV_HIDDEN):
            return rows[0]
        return None

    def _is_demoted(self, row: int) -> bool:
        """Whether ld made a hidden global local: those stand behind a last STT_FILE without a name, visibility lost."""
        groups = self.image.file_groups()
        return bool(groups) and not groups[-1].name and groups[-1].first <= row < groups[-1].last

    @cached_property
    def _demoted(self) -> bool:
        """Whether the linker wrote every global that is not exported as a local symbol (mold): main is one then."""
        rows = self.image.find_any(b"main")
        return bool(rows) and all(self.image.symbols.binding[row] == c.STB_LOCAL for row in rows)

    def _resolved_ifunc(self, name: bytes) -> int | None:
        """An IFUNC of the module: its PLT stub, which holds what the resolver chose at start."""
        if self._plt is None:
            self._plt = {target: stub for stub, target in self.image.plt_targets().items()}
        stub = self._plt.get(name)
        if stub is not None:
            return self.address(stub)
        return self._lookup([name]).get(name)

    def externals(self, names: Sequence[bytes]) -> Mapping[bytes, Address]:
        result: dict[bytes, Address] = {}
        missing = []
        for name in names:
            added = next((m.overlay[name] for m in self._others if name in m.overlay), None)
            if added is not None:
                result[name] = added
            else:
                missing.append(name)
        result.update(self._lookup(missing))
        left = [name for name in missing if name not in result]
        for name in left:
            for other in self._others:
                if other is not self and other.exports(name):
                    found = other.find(name)
                    if found is not None:
                        result[name] = found
                        break
        for library in SPARE_LIBRARIES:
            left = [name for name in missing if name not in result]
            if not left:
                break
            if library_defines(library, left) and self._target.open_library(library):
                result.update(self._lookup(left))
        return result

    def thread_local(self, name: bytes) -> TlsPlace | None:
        for other in self._others:
            place = other.overlay.get(name) if name in other.overlay else other.find_tls(name)
            if isinstance(place, TlsPlace):
                return place
        # A system library: its own table says where in its block the variable lies (std::once_flag uses two such).
        for module in self._target.modules():
            if not module.tls_module or not os.path.isfile(module.path):
                continue
            image = load_image(module.path, self._cache, allow_stripped=True)
            for row in image.find_global(name):
                if int(image.symbols.type[row]) == c.STT_TLS:
                    offset, static = int(image.symbols.value[row]), module.tls_offset
                    return TlsPlace(module.tls_module, offset, None if static is None else static + offset)
        return None

    def find_tls(self, name: bytes) -> TlsPlace | None:
        """A thread-local of this module that others can see."""
        row = self._visible(name)
        if row is None or int(self.image.symbols.type[row]) != c.STT_TLS:
            return None
        return self.tls(int(self.image.symbols.value[row]))

    def _lookup(self, names: Sequence[bytes]) -> dict[bytes, int]:
        unknown = [name for name in names if name not in self._found]
        if unknown:
            for name, address in zip(unknown, self._target.lookup(unknown), strict=True):
                if address:
                    self._found[name] = address
        return {name: self._found[name] for name in names if name in self._found}


def library_defines(library: str, names: Sequence[bytes]) -> bool:
    """Whether a system library exports one of the names; read from its file, nothing is loaded."""
    for directory in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"):
        path = os.path.join(directory, library)
        try:
            with open(path, "rb") as file:
                image = Image.parse(file.read(), path, allow_stripped=True)
            return any(image.find_global(name) for name in names)
        except (OSError, ReliveError):
            continue
    return False


def is_project_module(module: Module) -> bool:
    """Whether a module may be the project's own: not the system's, and a file that can be read."""
    return not module.path.startswith(_SYSTEM) and os.path.isfile(module.path)


def load_module(module: Module, target: Target, others: Sequence[ModuleState], cache: Path) -> ModuleState:
    """Reads the file behind a loaded module; FormatError when it is stripped, or is not the file that was loaded."""
    image = load_image(module.path, cache)
    if module.build_id and image.build_id and module.build_id != image.build_id:
        raise FormatError(
            f"{module.path} was linked anew after the program was started",
            "restart the program, or let relive do all the reloading and link only when you are done",
        )
    return ModuleState(module, image, target, others, cache)
