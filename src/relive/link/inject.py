"""The linker's story for a file: changed units of one linked file in, an `elf.inject.Addition` out.

It is the story of `patch` with other rules, because a file has no state that must be kept:

* nothing runs, so everything has the value that a fresh build would give it: changed initialisers of variables are
  written, functions that construct variables are redirected like all others, a variable of another size moves;
* addresses are the file's. Where the loader moves the file, what holds an address gets a dynamic relocation;
* what other modules define has no address at all. Such a name stands for a row of `.dynsym` (`import_of`), far away
  from everything, so that the resolver gives calls a stub and a GOT slot; the slot gets the relocation.

What would need more than new memory and jumps (thread-locals, a first constructor in a unit, a name that no library of
the file has) is a refusal: the project's own linker does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from relive.arch import x86_64
from relive.diff.atoms import Kind
from relive.elf import constants as c
from relive.elf.inject import Addition, NewSymbol
from relive.errors import Refusal
from relive.link import inject_debug, unwind
from relive.link.inject_debug import DebugAddition, LinkedDebug
from relive.link.inject_relocate import FileKind, FileRelocator, import_address, import_of
from relive.link.inject_select import OWN_LINKER, FileSelector, startup_lists
from relive.link.layout import Layout
from relive.link.model import LinkUnit, Moved, Redirect, Scope, TlsPlace
from relive.link.patch import Prepared, Store
from relive.link.references import value_of
from relive.link.relocate import Relocator
from relive.link.select import Entry, Named, Placed, Target, atoms_in, rows_in

PAGE = 4096


@dataclass(frozen=True, slots=True)
class Injected:
    """What goes into the file, and what it means."""

    addition: Addition
    redirects: tuple[tuple[Redirect, int], ...]
    stores: tuple[Store, ...]
    moved: tuple[tuple[Moved, int], ...]
    """Variables and constants with a new place."""
    functions: tuple[tuple[bytes, int, int], ...]
    rehomed: tuple[tuple[Redirect, int], ...]


@dataclass(slots=True)
class _Areas:
    """Sizes of what the two segments hold, in their order."""

    data_file: int = 0
    data_memory: int = 0
    code_base: int = 0
    parts: list[tuple[str, int, int]] = field(default_factory=list)
    """(section name, offset from the base, size) of the code segment's pieces."""
    code_size: int = 0


class Injection(Prepared):
    """A selection for a file, resolved and laid out; `at` fixes the addresses."""

    def __init__(self, selector: FileSelector, scope: Scope, kind: FileKind, linked_debug: LinkedDebug) -> None:
        super().__init__(selector, scope)
        self._kind = kind
        self._linked_debug = linked_debug
        self._begins: list[int] = []
        for target in self.references.eh_targets.values():
            # A personality routine that code at fixed addresses names by its number: it gets a stub.
            if target is not None and not isinstance(target, Placed | Entry) and self._import(target) is not None:
                self.references.slots[("got", target)] = None
                self.references.stubs[target] = None
        self._need_slots_for_numbers()
        self._refuse_text_relocations()
        self._areas = _Areas()
        self._lay_out()

    def _need_slots_for_numbers(self) -> None:
        """Code at fixed addresses may have a library function's address as a number. A full link gives the function
        its address in this file then, for all modules; that takes a new hash table. So the unit is to use the GOT."""
        for block, rows in zip(self.selection.blocks, self.references.block_rows, strict=True):
            relocations = self.selection.units[block.unit].new.relocations
            for row, target in rows:
                if int(relocations["type"][row]) not in (c.R_X86_64_32, c.R_X86_64_32S):
                    continue
                if isinstance(target, Named) and self._import(target) is not None:
                    self.references.far.add(block.unit)

    def _refuse_text_relocations(self) -> None:
        """Code cannot be written by the loader: an address in it (large code model) must not depend on where it is."""
        for block in self.selection.blocks if self._kind.movable else ():
            unit = self.selection.units[block.unit]
            if unit.new.kinds[block.section] != Kind.TEXT:
                continue
            kinds = unit.new.relocations["type"][list(rows_in(unit.new, block))]
            if bool((kinds == c.R_X86_64_64).any()):
                refusal = Refusal("text-relocation", unit.source, "its code holds addresses", OWN_LINKER, unit.source)
                if refusal not in self.selection.refusals:
                    self.selection.refusals.append(refusal)

    def _import(self, target: Target) -> int | None:
        return import_of(value_of(self.references.externals, target))

    def _with_pointers(self, index: int) -> bool:
        """Whether the dynamic linker writes into a constant."""
        block = self.selection.blocks[index]
        new = self.selection.units[block.unit].new
        return any(int(new.relocations["type"][row]) == c.R_X86_64_64 for row in rows_in(new, block))

    def _lay_out(self) -> None:
        """Writable segment first (its size is final), then code; see `elf.inject`."""
        plan, selection, areas = Layout(), self.selection, self._areas
        kinds = [selection.units[b.unit].new.kinds[b.section] for b in selection.blocks]
        constants = [i for i, k in enumerate(kinds) if k in (Kind.CONST, Kind.LSDA, Kind.INIT)]
        pointers = [i for i in constants if self._kind.movable and self._with_pointers(i)]
        at = 0
        for key in self.references.pairs:
            plan.slots[key] = at
            at += 16
        for key in self.references.slots:
            plan.slots[key] = at
            at += 8
        plan.got = (0, at)
        variables = [i for i, k in enumerate(kinds) if k == Kind.DATA]
        zeros = [i for i in variables if self._is_zero(i)]
        for index in [*pointers, *(i for i in variables if i not in zeros)]:
            at = self._put(plan, index, at)
        areas.data_file = at
        for index in zeros:
            at = self._put(plan, index, at)
        for name, (size, align) in sorted(selection.commons.items()):
            at = _align(at, align)
            plan.commons[name] = at
            at += size
        areas.data_memory = at
        plan.data = (0, at)
        plan.data_file_size = areas.data_file

        at = areas.code_base = _align(at, PAGE)
        for index, kind in enumerate(kinds):
            if kind == Kind.TEXT:
                at = _align(at, max(selection.blocks[index].align, 16))
                plan.blocks[index] = at
                at += max(selection.blocks[index].size, x86_64.REDIRECT_SIZE)
        at = _align(at, 16)
        start = at
        for stub in self.references.stubs:
            plan.stubs[stub] = at
            at += x86_64.STUB_SIZE
        plan.stub_area = (start, at - start)
        at = _align(at, 16)
        for rehomed in selection.rehomed:
            plan.entries[(rehomed.unit, rehomed.atom)] = at
            at += 16
        plan.text = (areas.code_base, at - areas.code_base)
        areas.parts.append((".relive.text", areas.code_base, at - areas.code_base))
        start = at
        for index in constants:
            if index not in pointers:
                at = self._put(plan, index, at)
        areas.parts.append((".relive.rodata", start, at - start))
        if any(r.cie >= 0 for r in self._records):
            start = _align(at, 8)
            plan.eh_frame = (start, unwind.total_size(self._records))
            at = start + plan.eh_frame[1]
            areas.parts.append((".relive.eh_frame", start, plan.eh_frame[1]))
        areas.code_size = at - areas.code_base
        plan.size = at
        self.layout = plan

    def _put(self, plan: Layout, index: int, at: int) -> int:
        block = self.selection.blocks[index]
        at = _align(at, block.align)
        plan.blocks[index] = at
        return at + block.size

    def _is_zero(self, index: int) -> bool:
        block = self.selection.blocks[index]
        new = self.selection.units[block.unit].new
        return bool(new.object.sections["type"][block.section] == c.SHT_NOBITS)

    # --- fixed addresses -----------------------------------------------------------------------------------------

    def inject(self, base: int) -> Injected:
        """Relocates everything for a page-aligned base address."""
        self._base = base
        self._pool_at = None
        plan, areas = self.layout, self._areas
        relocator = FileRelocator(base, plan, self._scope, self._address, self._kind)
        contents = self._relocate_blocks(relocator)
        stores = tuple(self._stores(relocator))
        memory = bytearray(plan.size)
        text = slice(plan.text[0], plan.text[0] + plan.text[1])
        memory[text] = b"\xcc" * plan.text[1]
        for index, offset in plan.blocks.items():
            memory[offset : offset + len(contents[index])] = contents[index]
        for key, offset in plan.slots.items():
            content = relocator.slot_at(key, base + offset)
            memory[offset : offset + len(content)] = content
        for target, offset in plan.stubs.items():
            slot = base + plan.slots[("got", target)]
            memory[offset : offset + x86_64.STUB_SIZE] = x86_64.stub(base + offset, slot)
        for (u, atom), offset in plan.entries.items():
            jump = x86_64.redirect(base + offset, self._of(u, atom))
            memory[offset : offset + len(jump)] = jump
        unwind_rows = self._unwind_rows(relocator, memory)
        debug = self._debug_addition()
        redirects = tuple((r, self._of(r.unit, r.atom)) for r in self.selection.redirects)
        jumps = {r.home: x86_64.redirect(r.home, new) for r, new in redirects}
        addition = Addition(
            data_base=base,
            data=bytes(memory[: areas.data_file]),
            data_memory=areas.data_memory,
            code_base=base + areas.code_base,
            code=bytes(memory[areas.code_base :]),
            parts=self._parts(),
            stores=(*((s.address, s.content) for s in stores), *jumps.items()),
            relocations=tuple(relocator.dynamic),
            cleared=tuple((s.address, len(s.content)) for s in stores),
            unwind=unwind_rows,
            symbols=tuple(self._new_symbols(redirects)),
            debug=debug.appended,
            debug_stores=debug.stores,
        )
        rehomed = tuple((r, base + plan.entries[(r.unit, r.atom)]) for r in self.selection.rehomed)
        moved = tuple((m, self._of(m.unit, m.atom)) for m in self.selection.moved)
        return Injected(addition, redirects, stores, moved, self._functions(), rehomed)

    def _parts(self) -> tuple[tuple[str, int, int], ...]:
        """Pieces of the code segment without gaps between them (`strip` keeps sections only)."""
        return tuple((name, self._base + start, size) for name, start, size in self._areas.parts)

    def _unwind_rows(self, relocator: Relocator, memory: bytearray) -> tuple[tuple[int, int], ...]:
        """Packs the unwind records; (first instruction, FDE) of each function."""
        if not self.layout.eh_frame[1]:
            return ()
        start = self.layout.eh_frame[0]
        where = unwind.offsets(self._records)
        rows = []
        self._begins = []
        for record, offset in zip(self._records, where, strict=True):
            self._begins.append(0)
            content = bytearray(record.content)
            new = self.selection.units[record.unit].new
            rel = new.eh_relocations
            for at, row in record.rows:
                target = self.references.eh_targets[(record.unit, row)]
                address = self._eh_address(target)
                addend = 0 if new.symbol_is_local[int(rel["symbol"][row])] else int(rel["addend"][row])
                value = address + addend
                kind = int(rel["type"][row])
                place = self._base + start + offset + at
                relocator.write(kind, content, at, value - place if kind in x86_64.PC_RELATIVE else value)
                if record.cie >= 0 and at == record.pc_field:
                    rows.append((value, self._base + start + offset))
                    self._begins[-1] = value
            if record.cie >= 0:
                unwind.link_cie(record, content, offset, where[record.cie])
            memory[start + offset : start + offset + len(content)] = content
        return tuple(rows)

    def _debug_addition(self) -> DebugAddition:
        linked = self._linked_debug.sections
        if ".debug_info" not in linked:
            return DebugAddition({}, ())
        used = {block.unit for block in self.selection.blocks}
        units = {
            u: (part.comparison.old.object, part.new.object) for u, part in enumerate(self.selection.units) if u in used
        }
        self._places: dict[int, npt.NDArray[np.int64]] = {}
        made = inject_debug.addition(units, self._linked_debug, self._debug_addresses)
        if self._begins:
            start = len(linked.get(".debug_frame", b"")) + len(made.appended.get(".debug_frame", b""))
            frame = inject_debug.debug_frame(self._records, self._begins, start)
            made.appended[".debug_frame"] = made.appended.get(".debug_frame", b"") + frame
        return made

    def _debug_addresses(
        self, u: int, sections: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Where things of a unit are, placed or not; -1 for what is nowhere."""
        new = self.selection.units[u].new
        if u not in self._places:
            self._places[u] = self._all_places(u)
        atoms = new.locate(sections, offsets)
        place = np.where(atoms >= 0, self._places[u][atoms], -1) if len(self._places[u]) else np.full(len(atoms), -1)
        return np.where(place >= 0, place + offsets - new.start[atoms], -1)

    def _all_places(self, u: int) -> npt.NDArray[np.int64]:
        """Address of each atom of a unit; -1 for what is nowhere or only under another meaning."""
        unit = self.selection.units[u]
        new, same = unit.new, unit.comparison.same
        places = np.full(len(new.section), -1, np.int64)
        text = (new.kind == int(Kind.TEXT)).tolist()
        for name, address in unit.live.items():
            atom = new.by_name.get(name)
            if atom is None or (text[atom] and atom not in same):
                continue
            if isinstance(address, TlsPlace):
                places[atom] = address.offset
            elif import_of(address) is None:
                places[atom] = address
        for index, block in enumerate(self.selection.blocks):
            if block.unit == u and index in self.layout.blocks:
                for atom in atoms_in(new, block):
                    places[atom] = self._base + self.layout.blocks[index] + int(new.start[atom]) - block.start
        return places

    def _eh_address(self, target: Target) -> int:
        if target is None:
            return 0
        if target in self.layout.stubs:
            return self._base + self.layout.stubs[target]
        address = self._address(target)
        assert isinstance(address, int)
        return address

    def _new_symbols(self, redirects: Sequence[tuple[Redirect, int]]) -> list[NewSymbol]:
        """Symbols of what is placed and had none before: what is redirected keeps its row, see `Addition.renewed`."""
        known = {(r.unit, r.atom) for r, _ in redirects} | {(m.unit, m.atom) for m in self.selection.moved}
        result = []
        for index, block in enumerate(self.selection.blocks):
            if index not in self.layout.blocks:
                continue
            new = self.selection.units[block.unit].new
            for atom in atoms_in(new, block):
                if (block.unit, atom) in known:
                    continue
                address = self._base + self.layout.blocks[index] + int(new.start[atom]) - block.start
                for symbol in new.aliases.get(atom, ()):
                    row = new.object.symbols[symbol]
                    info, other = int(row["info"]), int(row["other"])
                    result.append(NewSymbol(new.object.symbol_names[symbol], address, new.size(atom), info, other))
        for name, offset in self.layout.commons.items():
            info = c.STB_GLOBAL << 4 | c.STT_OBJECT
            result.append(NewSymbol(name, self._base + offset, self.selection.commons[name][0], info))
        return result


def prepare(
    units: Sequence[LinkUnit], scope: Scope, kind: FileKind, linked_debug: LinkedDebug | None = None
) -> Injection:
    """Decides everything about an addition except its addresses. `linked_debug`: of the file, if it has any."""
    selector = FileSelector(units, scope, kind)
    selector.select()
    return Injection(selector, scope, kind, linked_debug or LinkedDebug({}))


def _align(value: int, to: int) -> int:
    return (value + to - 1) // to * to


__all__ = [
    "FileKind",
    "Injected",
    "Injection",
    "LinkedDebug",
    "Placed",
    "import_address",
    "import_of",
    "prepare",
    "startup_lists",
]
