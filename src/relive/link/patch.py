"""The linker's story: changed units of one module in, one loadable file and a list of stores out.

    select   which blocks are placed, what is redirected, what changes in place
    unwind   the unwind records of the placed code
    resolve  what every reference means; which GOT slots and stubs that takes
    plan     sizes and offsets; now the target can be asked for room
    at       addresses are fixed: relocate everything, write the file

Invariant: `prepare` decides, `at` only computes. Nothing here touches the process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from relive.arch import x86_64
from relive.diff.atoms import Kind
from relive.elf import constants as c
from relive.elf.ehframe import build_eh_frame_hdr
from relive.elf.writer import OutSection, OutSymbol, Segment, plan_headers, write_shared_object
from relive.errors import Refusal
from relive.link import debug, layout, references, unwind
from relive.link.model import Address, Block, LinkUnit, Redirect, Scope, Selection, TlsPlace
from relive.link.references import References
from relive.link.relocate import Relocator
from relive.link.select import Entry, Named, Placed, Selector, Target, named_in


@dataclass(frozen=True, slots=True)
class Store:
    """Bytes that replace what lives at an address (a constant, a vtable)."""

    name: bytes
    address: int
    content: bytes


@dataclass(frozen=True, slots=True)
class LinkedPatch:
    """A finished patch for one module."""

    base: int
    size: int
    file: bytes
    """The ELF file to load at `base`; empty when nothing had to be placed."""
    redirects: tuple[tuple[Redirect, int], ...]
    """Each with the address of the new code."""
    rehomed: tuple[tuple[Redirect, int], ...]
    """Each with the address of its new home."""
    stores: tuple[Store, ...]
    pointers: tuple[tuple[int, int], ...]
    """(old, new) address points of vtables that moved: objects must get the new one."""
    addresses: tuple[dict[bytes, Address], ...]
    """For each unit: session name → address of what was placed and had no home before."""
    functions: tuple[tuple[bytes, int, int], ...]
    """(name, address, size) of all placed functions."""
    initialisers: tuple[int, ...]
    tls_images: tuple[tuple[int, bytes], ...]
    """(offset in the block of the pool's module, initial image) of new thread-locals."""


class Prepared:
    """A selection with everything resolved, waiting for a base address."""

    def __init__(self, selector: Selector, scope: Scope, *, debug_info: bool = True) -> None:
        self._scope = scope
        self.selection: Selection = selector.selection
        self._records = unwind.collect(self.selection)
        self.references: References = references.resolve(selector, scope, self._records)
        self._selector = selector
        self._debug = debug_info
        self._thread_local = {
            i for i, b in enumerate(self.selection.blocks)
            if self.selection.units[b.unit].new.kinds[b.section] == Kind.TLS
        }  # fmt: skip
        self._pool: dict[int, int] = {}
        self.tls_size = self._lay_out_pool()
        dynamic = self._dynamic_names()
        header = plan_headers(3, len(dynamic), sum(len(n) + 1 for n in dynamic) + 64)
        entries = sum(1 for r in self._records if r.cie >= 0)
        self.layout = layout.plan(
            self.selection,
            header_size=header,
            pairs=list(self.references.pairs),
            slots=list(self.references.slots),
            stubs=list(self.references.stubs),
            eh_frame_size=unwind.total_size(self._records),
            unwind_entries=entries,
            thread_local=self._thread_local,
        )

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        return tuple(self.selection.refusals)

    @property
    def size(self) -> int:
        """Bytes of address space; 0 when only stores in place are needed."""
        return self.layout.size if self.layout.blocks or self.layout.commons or self.layout.slots else 0

    def _lay_out_pool(self) -> int:
        at = 0
        for index in sorted(self._thread_local):
            block = self.selection.blocks[index]
            at = (at + block.align - 1) // block.align * block.align
            self._pool[index] = at
            at += block.size
        return at

    def _dynamic_names(self) -> list[bytes]:
        """Names of the global functions in the patch; one stands twice when two units' copies of it are placed."""
        result = []
        for index, block in enumerate(self.selection.blocks):
            if index in self._thread_local:
                continue
            new = self.selection.units[block.unit].new
            for atom in named_in(new, block):
                for symbol in new.aliases.get(atom, ()):
                    info = int(new.object.symbols["info"][symbol])
                    if info >> 4 != c.STB_LOCAL and info & 15 == c.STT_FUNC:
                        result.append(new.object.symbol_names[symbol])
        return result

    # --- fixed addresses -----------------------------------------------------------------------------------------

    def at(self, base: int, soname: str, pool: TlsPlace | None = None) -> LinkedPatch:
        """Relocates everything for a base address. `pool`: where new thread-locals go (if `tls_size` is not 0)."""
        self._base = base
        self._pool_at = pool
        relocator = Relocator(base, self.layout, self._scope, self._address)
        contents = self._relocate_blocks(relocator)
        stores = tuple(self._stores(relocator))
        file = self._write(relocator, contents, soname, debug_info=self._debug) if self.size else b""
        self._written = (relocator, contents, soname)
        functions = self._functions()
        return LinkedPatch(
            base=base,
            size=self.size,
            file=file,
            redirects=tuple((r, self._of(r.unit, r.atom)) for r in self.selection.redirects),
            rehomed=tuple((r, base + self.layout.entries[(r.unit, r.atom)]) for r in self.selection.rehomed),
            stores=stores,
            pointers=tuple(self._vtable_points()),
            addresses=tuple(self._new_addresses(u) for u in range(len(self.selection.units))),
            functions=functions,
            initialisers=tuple(self._of(u, atom) for u, atom in self.selection.initialisers),
            tls_images=tuple(
                ((pool.offset if pool else 0) + self._pool[i], bytes(contents[i])) for i in sorted(self._thread_local)
            ),
        )

    def _of(self, u: int, atom: int) -> int:
        new = self.selection.units[u].new
        address = self._placed(Placed(u, int(new.section[atom]), int(new.start[atom])))
        assert isinstance(address, int)
        return address

    def _placed(self, target: Placed) -> Address:
        index = self.selection.block_at(target.unit, target.section, target.offset)
        assert index is not None, f"not placed: {target}"
        block = self.selection.blocks[index]
        inside = target.offset - block.start
        if index in self._thread_local:
            assert self._pool_at is not None
            pool = self._pool_at
            offset = self._pool[index] + inside
            assert pool.tp_offset is not None
            return TlsPlace(pool.module, pool.offset + offset, pool.tp_offset + offset)
        return self._base + self.layout.blocks[index] + inside

    def _address(self, target: Target) -> Address:
        if isinstance(target, Placed):
            return self._placed(target)
        if isinstance(target, Entry):
            return self._base + self.layout.entries[(target.unit, target.atom)]
        if isinstance(target, Named) and target.name in self.layout.commons:
            return self._base + self.layout.commons[target.name]
        if isinstance(target, Named) and target.name == b"_GLOBAL_OFFSET_TABLE_":
            return self._base + self.layout.got[0]
        return references.value_of(self.references.externals, target)

    def _relocate_blocks(self, relocator: Relocator) -> list[bytearray]:
        contents = []
        for index, (block, rows) in enumerate(zip(self.selection.blocks, self.references.block_rows, strict=True)):
            new = self.selection.units[block.unit].new
            raw = new.object.content(block.section)[block.start : block.end]
            content = bytearray(raw) if raw else bytearray(block.size)
            start = self._base + self.layout.blocks.get(index, 0)
            for row, target in rows:
                if target is None:
                    continue  # the switch table of an unplaced function
                at = int(new.relocations["offset"][row]) - block.start
                relocator.apply(new, row, target, content, at, start + at)
            self._skip(block, content)
            contents.append(content)
        return contents

    def _skip(self, block: Block, content: bytearray) -> None:
        """Jumps over the parts of an initialiser that construct what lives."""
        for (u, atom), ranges in self.selection.skips.items():
            new = self.selection.units[u].new
            if u != block.unit or int(new.section[atom]) != block.section:
                continue
            at = int(new.start[atom]) - block.start
            for low, high in ranges:
                content[at + low : at + high] = x86_64.jump_over(high - low)

    def _stores(self, relocator: Relocator) -> list[Store]:
        result = []
        for entry, rows in zip(self.selection.in_place, self.references.in_place_rows, strict=True):
            new = self.selection.units[entry.unit].new
            content = bytearray(new.content(entry.atom)) or bytearray(new.size(entry.atom))
            for row, target in rows:
                if target is not None:
                    at = int(new.rows["offset"][row])
                    relocator.apply(new, row, target, content, at, entry.address + at)
            result.append(Store(entry.name, entry.address, bytes(content)))
        return result

    def _vtable_points(self) -> list[tuple[int, int]]:
        """Address points of vtables that moved. The point lies behind offset-to-top and typeinfo (Itanium ABI 2.5);
        a table with secondary parts has one behind each typeinfo reference."""
        result = []
        for moved in self.selection.moved:
            if not moved.name.startswith(b"_ZTV"):
                continue
            old, new = self.selection.units[moved.unit].comparison.old, self.selection.units[moved.unit].new
            before = self.selection.units[moved.unit].comparison.counterpart[moved.atom]
            address = self._of(moved.unit, moved.atom)
            for a, b in zip(debug.address_points(old, before), debug.address_points(new, moved.atom), strict=False):
                result.append((moved.old + a, address + b))
        return result

    def _new_addresses(self, u: int) -> dict[bytes, Address]:
        unit = self.selection.units[u]
        result: dict[bytes, Address] = {}
        homes = {(r.unit, r.atom) for r in self.selection.redirects}
        for name, atom in self._names_placed(u):
            if (u, atom) in homes:
                continue
            if unit.new.is_global[atom] and self.selection.definitions.get(name, (u, atom)) != (u, atom):
                continue
            entry = self.layout.entries.get((u, atom))
            place = Placed(u, int(unit.new.section[atom]), int(unit.new.start[atom]))
            result[name] = self._placed(place) if entry is None else self._base + entry
        for name, offset in self.layout.commons.items():
            result[name] = self._base + offset
        return result

    def _names_placed(self, u: int) -> list[tuple[bytes, int]]:
        """(name, atom) of what the blocks of a unit hold."""
        new = self.selection.units[u].new
        atoms = {a: None for block in self.selection.blocks if block.unit == u for a in named_in(new, block)}
        return [(n, a) for a in atoms for n in new.own_names.get(a, ()) if new.by_name.get(n) == a]

    def _functions(self) -> tuple[tuple[bytes, int, int], ...]:
        result = []
        for index, block in enumerate(self.selection.blocks):
            new = self.selection.units[block.unit].new
            if new.kinds[block.section] != Kind.TEXT:
                continue
            for atom in named_in(new, block):
                name = new.names[atom]
                if name is not None:
                    start = self._base + self.layout.blocks[index] + int(new.start[atom]) - block.start
                    result.append((name, start, new.size(atom)))
        return tuple(result)

    def with_debug_info(self) -> bytes:
        """The file of the last `at` once more, now with debug sections; what is loaded of it is the same."""
        relocator, contents, soname = self._written
        return self._write(relocator, contents, soname, debug_info=True)

    # --- the file ------------------------------------------------------------------------------------------------

    def _write(self, relocator: Relocator, contents: list[bytearray], soname: str, *, debug_info: bool) -> bytes:
        base, plan = self._base, self.layout
        read_only = bytearray(plan.read_only_size)
        text = bytearray(plan.text[1])
        data = bytearray(plan.data_file_size)
        areas = ((0, read_only), (plan.text[0], text), (plan.data[0], data))
        text[:] = b"\xcc" * len(text)
        for index, offset in plan.blocks.items():
            for start, area in areas:
                if start <= offset < start + len(area):
                    area[offset - start : offset - start + len(contents[index])] = contents[index]
        for key, offset in plan.slots.items():
            content = relocator.slot(key)
            read_only[offset : offset + len(content)] = content
        for target, offset in plan.stubs.items():
            slot = base + plan.slots[("got", target)]
            at = offset - plan.text[0]
            text[at : at + x86_64.STUB_SIZE] = x86_64.stub(base + offset, slot)
        for (u, atom), offset in plan.entries.items():
            at = offset - plan.text[0]
            text[at : at + x86_64.REDIRECT_SIZE] = x86_64.redirect(base + offset, self._of(u, atom))
        header = self._write_unwind(relocator, read_only)
        segments = [Segment(base, bytes(read_only), len(read_only), c.PF_R)]
        if plan.text[1]:
            segments.append(Segment(base + plan.text[0], bytes(text), len(text), c.PF_R | c.PF_X))
        if plan.data[1]:
            segments.append(Segment(base + plan.data[0], bytes(data), plan.data[1], c.PF_R | c.PF_W))
        sections = self._sections()
        symbols = self._symbols(sections)
        if debug_info:
            sections += debug.sections(self.selection, self._debug_address)
        build_id = hashlib.blake2b(bytes(text) + bytes(read_only) + soname.encode(), digest_size=20).digest()
        return write_shared_object(
            soname=soname,
            base=base,
            segments=segments,
            sections=sections,
            symbols=symbols,
            eh_frame_hdr=header,
            build_id=build_id,
        )

    def _write_unwind(self, relocator: Relocator, area: bytearray) -> tuple[int, int] | None:
        """Packs the unwind records into the read-only segment; (address, size) of the search table."""
        start, _ = self.layout.eh_frame
        where = unwind.offsets(self._records)
        entries = []
        for record, offset in zip(self._records, where, strict=True):
            content = bytearray(record.content)
            rel = self.selection.units[record.unit].new.eh_relocations
            for at, row in record.rows:
                target = self.references.eh_targets[(record.unit, row)]
                address = self._address(target) if target is not None else 0
                assert isinstance(address, int)
                local = self.selection.units[record.unit].new.symbol_is_local[int(rel["symbol"][row])]
                value = address + (0 if local else int(rel["addend"][row]))
                kind = int(rel["type"][row])
                place = self._base + start + offset + at
                relocator.write(kind, content, at, value - place if kind in x86_64.PC_RELATIVE else value)
                if record.cie >= 0 and at == record.pc_field:
                    entries.append((value, self._base + start + offset))
            if record.cie >= 0:
                unwind.link_cie(record, content, offset, where[record.cie])
            area[start + offset : start + offset + len(content)] = content
        if not entries:
            return None
        at, size = self.layout.eh_frame_hdr
        area[at : at + size] = build_eh_frame_hdr(entries, self._base + at, self._base + start)
        return self._base + at, size

    def _sections(self) -> list[OutSection]:
        base, plan = self._base, self.layout
        rows: list[OutSection] = []
        if plan.text[1]:
            flags = c.SHF_ALLOC | c.SHF_EXECINSTR
            rows.append(OutSection(".text", c.SHT_PROGBITS, flags, base + plan.text[0], b"", plan.text[1], align=16))
        constants = [o for i, o in plan.blocks.items() if o < plan.got[0]]
        if constants:
            low, high = min(constants), plan.got[0]
            rows.append(OutSection(".rodata", c.SHT_PROGBITS, c.SHF_ALLOC, base + low, b"", high - low, align=16))
        if plan.got[1]:
            rows.append(OutSection(".got", c.SHT_PROGBITS, c.SHF_ALLOC, base + plan.got[0], b"", plan.got[1], align=8))
        if plan.eh_frame[1] > 4:
            start, size = plan.eh_frame
            rows.append(OutSection(".eh_frame", c.SHT_PROGBITS, c.SHF_ALLOC, base + start, b"", size, align=8))
        flags = c.SHF_ALLOC | c.SHF_WRITE
        if plan.data_file_size:
            size = plan.data_file_size
            rows.append(OutSection(".data", c.SHT_PROGBITS, flags, base + plan.data[0], b"", size, align=16))
        if plan.data[1] > plan.data_file_size:
            start, size = plan.data[0] + plan.data_file_size, plan.data[1] - plan.data_file_size
            rows.append(OutSection(".bss", c.SHT_NOBITS, flags, base + start, b"", size, align=16))
        return rows

    def _symbols(self, sections: Sequence[OutSection]) -> list[OutSymbol]:
        """Symbols of everything placed, for debuggers and profilers."""
        result = []
        ranges = [(s.address, s.address + s.size, i + 1) for i, s in enumerate(sections)]
        for index, block in enumerate(self.selection.blocks):
            if index not in self.layout.blocks:
                continue
            new = self.selection.units[block.unit].new
            for atom in named_in(new, block):
                address = self._base + self.layout.blocks[index] + int(new.start[atom]) - block.start
                section = next((i for low, high, i in ranges if low <= address < high), c.SHN_ABS)
                for symbol in new.aliases.get(atom, ()):
                    info = int(new.object.symbols["info"][symbol])
                    result.append(OutSymbol(new.object.symbol_names[symbol], address, new.size(atom), info, section))
        return result

    def _debug_address(self, u: int, symbol: int) -> int | None:
        """Address that debug information should have for a symbol of a unit; None: not in the process or not known."""
        new = self.selection.units[u].new
        section = int(new.object.symbol_sections[symbol])
        if not 0 < section < len(new.kinds) or not new.kinds[section]:
            return None
        value = int(new.object.symbols["value"][symbol])
        index = self.selection.block_at(u, section, value)
        if index is not None and index in self.layout.blocks:
            block = self.selection.blocks[index]
            return self._base + self.layout.blocks[index] + value - block.start
        if new.kinds[section] in (Kind.TEXT, Kind.LSDA):
            return None
        target = self._selector.of_data(u, section, value)
        address = self._address(target) if target is not None and not isinstance(target, Placed | Entry) else None
        return address.offset if isinstance(address, TlsPlace) else address


def prepare(units: Sequence[LinkUnit], scope: Scope, *, debug_info: bool = True) -> Prepared:
    """Decides everything about a patch of one module except its addresses."""
    selector = Selector(units, scope)
    selector.select()
    return Prepared(selector, scope, debug_info=debug_info)
