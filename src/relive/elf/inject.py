"""New segments in a linked file: what is copied from the old file, and what is written beside it.

Theory of operation. Nothing that the program has at an address is moved, except small tables that grew. Two segments
come behind the last one, in memory and in the file:

```
file  │ loaded part of the linked file, as it was: patched in place (jumps, constants, .dynamic, program headers)
      │ .debug_*, .comment, .symtab, .strtab, .shstrtab: each one followed by what is added to it
      │ new data    R W   GOT, constants with pointers (position-independent files), variables; zeros behind
      │ new code    R E   code, constants, .eh_frame · tables that grew or moved: .rela.dyn, .eh_frame_hdr, .interp …
      │ new debug sections
      └ section headers
```

The program header table stays where it is, because `strip` and `objcopy` put it behind the file header whatever the
file says. Two more headers find room there: PT_GNU_PROPERTY and the note that only it needs are given up (without them
the kernel and ld.so merely do not switch a shadow stack on); if that is not enough, `.interp` and the notes behind the
table move into the new segment; if even that is not enough, the other PT_NOTEs are given up.

The result is a list of copies and writes, so that whoever has the file can let the kernel copy what is most of it. All
addresses are the file's virtual addresses. Sources: gABI chapters 4 and 5, LSB Core 10.6.2 (.eh_frame_hdr)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from relive.elf import constants as c
from relive.elf.dynamic import RELA
from relive.elf.headers import ElfFile, ProgramHeader, Section
from relive.elf.inject_dynamic import grow
from relive.elf.inject_model import (
    NEW_SECTIONS,
    PAGE,
    Addition,
    NewSymbol,
    Rewrite,
    Skeleton,
    align_up,
    apply,
    free_address,
    skeleton,
)
from relive.elf.symbols import SYMBOL
from relive.errors import FormatError

__all__ = [
    "NEW_SECTIONS",
    "Addition",
    "NewSymbol",
    "Rewrite",
    "Skeleton",
    "apply",
    "free_address",
    "rewrite",
    "skeleton",
]

_PHDR = struct.Struct("<IIQQQQQQ")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM = struct.Struct("<IBBHQQ")
_DYN = struct.Struct("<qQ")
_TABLES = {c.SHT_GNU_HASH: c.DT_GNU_HASH, c.SHT_HASH: c.DT_HASH, c.SHT_DYNSYM: c.DT_SYMTAB}
"""Tables that only .dynamic points at, so that they can move."""


def rewrite(elf: ElfFile, addition: Addition, frame: Skeleton | None = None) -> Rewrite:
    """The file with the addition. `frame`: what is copied already. FormatError: this file has no room for it, or is
    built in a way not known here."""
    if frame is None:
        frame = skeleton(elf, {name: len(content) for name, content in addition.debug.items()})
    work = _Work(elf, addition, frame)
    work.place_data()
    work.patch_loaded()
    work.grow_imports()
    work.grow_relocations()
    work.grow_unwind_table()
    work.place_headers()
    work.place_code()
    work.add_symbols()
    work.place_rest()
    return work.done()


class _Work:
    """The growing list of copies and writes. Steps run in the order of `rewrite`, each once."""

    def __init__(self, elf: ElfFile, addition: Addition, frame: Skeleton) -> None:
        self.elf = elf
        self.add = addition
        self.frame = frame
        self.copies: list[tuple[int, int, int]] = []
        self.writes: list[tuple[int, bytes]] = []
        self.code = bytearray(addition.code)
        self.end = frame.end
        self.headers: list[ProgramHeader] = [h for h in elf.program_headers if h.type != c.PT_NULL]
        self.sections: list[Section] = list(elf.sections)
        self.new_sections: list[Section] = []
        self.shifted: dict[int, int] = {}
        """Section index → by how much its address moved."""
        self.growth: dict[int, bytes] = {}
        """Section index → what is appended to it."""
        self._rows: dict[int, bytes] = {}
        """Offset in `.symtab` → row that is written there."""
        self.extra: list[tuple[Section, bytes]] = []
        """New sections without address."""

    # --- the loaded part -----------------------------------------------------------------------------------------

    def place_data(self) -> None:
        add = self.add
        if not add.data_memory:
            return
        offset = self._congruent(self.end, add.data_base, PAGE)
        self.end = offset + len(add.data)
        self.writes.append((offset, add.data))
        self.headers.append(
            ProgramHeader(
                c.PT_LOAD, c.PF_R | c.PF_W, offset, add.data_base, len(add.data), add.data_memory, PAGE
            )
        )  # fmt: skip
        flags = c.SHF_ALLOC | c.SHF_WRITE
        if add.data:
            self._section(".relive.data", c.SHT_PROGBITS, flags, add.data_base, offset, len(add.data), 16)
        if add.data_memory > len(add.data):
            start, size = add.data_base + len(add.data), add.data_memory - len(add.data)
            self._section(".relive.bss", c.SHT_NOBITS, flags, start, self.end, size, 1)

    def patch_loaded(self) -> None:
        for address, content in self.add.stores:
            self.writes.append((self._file_offset(address, len(content)), content))
        note = self.elf.section_named(".note.gnu.build-id")
        if note is not None and note.size > 16:
            content = bytes(self.elf.content(note))
            self.writes.append((note.offset + 16, self.build_id(content[16:])))

    def build_id(self, old: bytes) -> bytes:
        """An id of the same length for the new content."""
        import hashlib

        return hashlib.blake2b(old + self.add.identity, digest_size=min(64, len(old))).digest().ljust(len(old), b"\0")

    # --- tables that grow ----------------------------------------------------------------------------------------

    def grow_imports(self) -> None:
        add = self.add
        if not add.imports:
            return
        section = next((s for s in self.elf.sections if s.type == c.SHT_DYNSYM), None)
        if section is None:
            raise FormatError(f"{self.elf.path}: imports nothing")
        tables = grow(self.elf, add.imports)
        strings = self.elf.sections[section.link]
        self._replace_table(section, tables.symbols, {c.DT_SYMTAB: None})
        self._replace_table(strings, tables.strings, {c.DT_STRTAB: None, c.DT_STRSZ: len(tables.strings)})
        for kind, content, tags in (
            (c.SHT_GNU_versym, tables.versions, {c.DT_VERSYM: None}),
            (c.SHT_GNU_verneed, tables.needed, {c.DT_VERNEED: None, c.DT_VERNEEDNUM: tables.needed_count}),
        ):
            if content:
                table = next(s for s in self.elf.sections if s.type == kind)
                self._replace_table(table, content, tags)
                if kind == c.SHT_GNU_verneed:
                    self.sections[table.index] = replace(self.sections[table.index], info=tables.needed_count)

    def _replace_table(self, section: Section, content: bytes, tags: Mapping[int, int | None]) -> None:
        """Puts a longer table into the new segment and makes .dynamic say so; None stands for its address."""
        address = self._append(content, 8)
        self._moved(section, address, len(content))
        named = {tag: at for at, tag, _ in self._dynamic()[1]}
        for tag, value in tags.items():
            if tag not in named:
                raise FormatError(f"{self.elf.path}: .dynamic does not tell of {section.name}")
            self.writes.append((named[tag] + 8, struct.pack("<Q", address if value is None else value)))

    def grow_relocations(self) -> None:
        add = self.add
        if not add.relocations and not add.cleared and not add.repointed:
            return
        dynamic, entries = self._dynamic()
        named = {tag: (at, value) for at, tag, value in entries}
        if c.DT_RELR in named and (add.cleared or add.repointed):
            raise FormatError(f"{self.elf.path}: constants in a file with packed relocations (DT_RELR) change")
        old = np.zeros(0, RELA)
        if c.DT_RELA in named:
            old = np.frombuffer(self.elf.read(named[c.DT_RELA][1], named[c.DT_RELASZ][1]), RELA)
        kept = old
        for address, size in add.cleared:
            kept = kept[(kept["offset"] < address) | (kept["offset"] >= address + size)]
        kept = kept.copy()
        relative = (kept["info"] & np.uint64(0xFFFFFFFF)) == c.R_X86_64_RELATIVE
        for before, after in add.repointed:
            kept["addend"][relative & (kept["addend"] == before)] = after
        if not add.relocations and kept.tobytes() == old.tobytes():
            return
        if not dynamic:
            raise FormatError(f"{self.elf.path}: a static program has no dynamic relocations")
        fresh = np.array(
            [(at, row << 32 | kind, addend) for at, kind, row, addend in add.relocations], RELA
        ) if add.relocations else np.zeros(0, RELA)  # fmt: skip
        table = np.concatenate([kept, fresh])
        kind = table["info"] & np.uint64(0xFFFFFFFF)
        # RELATIVE first (DT_RELACOUNT counts them), IRELATIVE last: resolvers may use what the others set
        rank = np.where(kind == c.R_X86_64_RELATIVE, 0, np.where(kind == c.R_X86_64_IRELATIVE, 2, 1))
        table = table[np.argsort(rank, kind="stable")]
        address = self._append(table.tobytes(), 8)
        changes = {
            c.DT_RELA: address, c.DT_RELASZ: len(table) * c.RELA_SIZE, c.DT_RELAENT: c.RELA_SIZE,
            c.DT_RELACOUNT: int((rank == 0).sum()),
        }  # fmt: skip
        missing = [tag for tag in (c.DT_RELA, c.DT_RELASZ, c.DT_RELAENT) if tag not in named]
        free = entries[-1][0] + _DYN.size if entries else dynamic[0]
        if missing and free + (len(missing) + 1) * _DYN.size > dynamic[0] + dynamic[1]:
            raise FormatError(f"{self.elf.path}: no room in .dynamic for a table of relocations")
        for tag, value in changes.items():
            if tag in named:
                self.writes.append((named[tag][0] + 8, struct.pack("<Q", value)))
            elif tag in missing:
                self.writes.append((free, _DYN.pack(tag, value)))
                free += _DYN.size
        section = next((s for s in self.sections if s.type == c.SHT_RELA and s.flags & c.SHF_ALLOC
                        and s.address == named.get(c.DT_RELA, (0, -1))[1]), None)  # fmt: skip
        self._moved(section, address, len(table) * c.RELA_SIZE)

    def _dynamic(self) -> tuple[tuple[int, int], list[tuple[int, int, int]]]:
        """((file offset, size) of PT_DYNAMIC, [(file offset, tag, value)])."""
        for header in self.elf.program_headers:
            if header.type == c.PT_DYNAMIC:
                entries = []
                for at in range(header.offset, header.offset + header.filesz - 15, _DYN.size):
                    tag, value = _DYN.unpack_from(self.elf.data, at)
                    if tag == c.DT_NULL:
                        break
                    entries.append((at, tag, value))
                return (header.offset, header.filesz), entries
        return (0, 0), []

    def grow_unwind_table(self) -> None:
        if not self.add.unwind:
            return
        place = next((i for i, h in enumerate(self.headers) if h.type == c.PT_GNU_EH_FRAME), None)
        if place is None:
            raise FormatError(f"{self.elf.path}: has no .eh_frame_hdr", "link it without --no-eh-frame-hdr")
        header = self.headers[place]
        content = bytes(self.elf.data[header.offset : header.offset + header.filesz])
        if content[:4] != b"\x01\x1b\x03\x3b":
            raise FormatError(f"{self.elf.path}: its .eh_frame_hdr has an encoding that is not known")
        pointer, count = struct.unpack_from("<iI", content, 4)
        old = np.frombuffer(content, "<i4", 2 * count, 12).reshape(-1, 2).astype(np.int64) + header.vaddr
        rows = np.concatenate([old, np.array(self.add.unwind, np.int64).reshape(-1, 2)])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        size = 12 + 8 * len(rows)
        address = self._append(bytes(size), 8)
        rows -= address
        if int(rows.min()) < -(1 << 31):
            raise FormatError(f"{self.elf.path}: unwind records lie more than 2 GB from their table")
        head = content[:4] + struct.pack("<iI", pointer + header.vaddr - address, len(rows))
        at = address - self.add.code_base
        self.code[at : at + size] = head + rows.astype("<i4").tobytes()
        self.headers[place] = replace(header, vaddr=address, filesz=size, memsz=size, offset=-1)
        self._moved(self.elf.section_named(".eh_frame_hdr"), address, size)

    # --- program headers -----------------------------------------------------------------------------------------

    def place_headers(self) -> None:
        """Finds room for the new program headers; what moves for it goes into the code segment."""
        table = self._table = struct.unpack_from("<Q", self.elf.data, 32)[0]
        for spare in (lambda h: h.type == c.PT_GNU_PROPERTY, self._is_property_note):
            for header in [h for h in self.headers if spare(h)]:
                if self._missing(table, ()) > 0:
                    self.headers.remove(header)
        run: list[Section] = []
        for section in self._movable(table + c.PHDR_SIZE * len(self.elf.program_headers)):
            # A PT_NOTE covers several notes: they move together.
            together = run and section.type == c.SHT_NOTE and run[-1].type == c.SHT_NOTE
            if self._missing(table, run) <= 0 and not together:
                break
            run.append(section)
        if self._missing(table, run) > 0:
            raise FormatError(f"{self.elf.path}: no room for more program headers")
        if run:
            self._move(run)
        if self.code:
            size = len(self.code)
            self.headers.append(ProgramHeader(c.PT_LOAD, c.PF_R | c.PF_X, -1, self.add.code_base, size, size, PAGE))

    def _missing(self, table: int, moved: Sequence[Section]) -> int:
        """How many headers there is no room for, when some sections move away."""
        gone = {s.index for s in moved}
        following = [s.offset for s in self._staying() if s.offset > table and s.index not in gone]
        following += [h.offset for h in self.elf.segments if h.offset > table]
        wanted = len(self.headers) + (1 if self.code or moved else 0)
        return wanted - (min(following, default=table) - table) // c.PHDR_SIZE

    def _staying(self) -> list[Section]:
        """Sections that still are where the file had them; tables that grew are not."""
        return [
            old
            for old, now in zip(self.elf.sections, self.sections, strict=True)
            if old.size and now.offset >= 0 and old.type not in (c.SHT_NULL, c.SHT_NOBITS)
        ]

    def _movable(self, end: int) -> list[Section]:
        """What directly follows the table and is found by its address somewhere else: a program header or .dynamic."""
        run: list[Section] = []
        tags = {tag for _, tag, _ in self._dynamic()[1]}
        for section in sorted((s for s in self._staying() if s.offset >= end), key=lambda s: s.offset):
            note = section.type == c.SHT_NOTE and section.flags & c.SHF_ALLOC
            if not note and section.name != ".interp" and _TABLES.get(section.type) not in tags:
                break
            run.append(section)
        return run

    def _is_property_note(self, header: ProgramHeader) -> bool:
        note = self.elf.section_named(".note.gnu.property")
        return (
            header.type == c.PT_NOTE and note is not None
            and note.offset == header.offset and header.filesz <= note.size
        )  # fmt: skip

    def _move(self, run: Sequence[Section]) -> None:
        low = run[0].offset
        high = run[-1].offset + run[-1].size
        start = run[0].address
        content = bytearray(self.elf.data[low:high])
        # The build-id was renewed where it was.
        for at, written in self.writes:
            if low <= at < high:
                content[at - low : at - low + len(written)] = written
        self.writes = [(at, written) for at, written in self.writes if not low <= at < high]
        address = self._append(bytes(content), 16, bias=start % 16)
        entries = {tag: at for at, tag, _ in self._dynamic()[1]}
        for section in run:
            place = section.address - start + address
            self._moved(section, place, section.size)
            if section.type in _TABLES:
                self.writes.append((entries[_TABLES[section.type]] + 8, struct.pack("<Q", place)))
        for i, header in enumerate(self.headers):
            if header.type in (c.PT_INTERP, c.PT_NOTE, c.PT_GNU_PROPERTY) and low <= header.offset < high:
                self.headers[i] = replace(header, vaddr=header.vaddr - start + address, offset=-1)

    def place_code(self) -> None:
        """The code segment has its final size: where it goes in the file, and its sections."""
        add = self.add
        if self.code:
            offset = self._congruent(self.end, add.code_base, PAGE)
            self.code_offset = offset
            self.end = offset + len(self.code)
            self.writes.append((offset, bytes(self.code)))
            for name, address, size in add.parts:
                if size:
                    flags = c.SHF_ALLOC | (c.SHF_EXECINSTR if name == ".relive.text" else 0)
                    self._section(name, c.SHT_PROGBITS, flags, address, offset + address - add.code_base, size, 16)
        for i, section in enumerate(self.sections):
            if section.offset < 0:
                self.sections[i] = replace(section, offset=self._in_code(section.address))
        for i, header in enumerate(self.headers):
            if header.offset < 0:
                self.headers[i] = replace(header, offset=self._in_code(header.vaddr))
        # The gABI wants segments ascending; PT_PHDR and PT_INTERP stay in front.
        loads = sorted((h for h in self.headers if h.type == c.PT_LOAD), key=lambda h: h.vaddr)
        first = next(i for i, h in enumerate(self.headers) if h.type == c.PT_LOAD)
        front = [h for h in self.headers[:first] if h.type != c.PT_LOAD]
        behind = [h for h in self.headers[first:] if h.type != c.PT_LOAD]
        self.headers = [*front, *loads, *behind]
        rows = bytearray()
        size = len(self.headers) * c.PHDR_SIZE
        for h in self.headers:
            if h.type == c.PT_PHDR:
                h = replace(h, filesz=size, memsz=size)
            rows += _PHDR.pack(h.type, h.flags, h.offset, h.vaddr, h.vaddr, h.filesz, h.memsz, h.align)
        self.writes.append((self._table, bytes(rows)))

    def _in_code(self, address: int) -> int:
        return self.code_offset + address - self.add.code_base

    # --- symbols, debug information, section headers -------------------------------------------------------------

    def add_symbols(self) -> None:
        """New and changed rows of `.symtab`, new names in `.strtab`."""
        section = next(s for s in self.elf.sections if s.type == c.SHT_SYMTAB)
        if any(
            s.type in (c.SHT_RELA, c.SHT_GROUP) and not s.flags & c.SHF_ALLOC and s.link == section.index
            for s in self.elf.sections
        ):
            raise FormatError(f"{self.elf.path}: was linked with --emit-relocs, which would go stale")
        if any(s.type == c.SHT_SYMTAB_SHNDX for s in self.elf.sections):
            raise FormatError(f"{self.elf.path}: has more sections than symbols can name")
        table = self.elf.table(section, SYMBOL)
        changed: dict[int, tuple[int, int, int]] = {}
        """Row → section, value, size."""
        for index, shift in self.shifted.items():
            for row in np.flatnonzero(table["shndx"] == index).tolist():
                value = (int(table["value"][row]) + shift) & 0xFFFFFFFFFFFFFFFF
                changed[row] = index, value, int(table["size"][row])
        for row, (address, size) in self.add.renewed.items():
            changed[row] = self._section_index(address), address, size
        strings = bytearray()
        start = self.sections[section.link].size
        fresh: dict[bool, list[bytes]] = {True: [], False: []}
        for symbol in self.add.symbols:
            where = self._section_index(symbol.address)
            packed = _SYM.pack(start + len(strings), symbol.info, symbol.other, where, symbol.address, symbol.size)
            fresh[symbol.info >> 4 == c.STB_LOCAL].append(packed)
            strings += symbol.name + b"\0"
        self.growth[section.link] = bytes(strings)

        # Local symbols stand in front of global ones, whose order means nothing (gABI: sh_info): so the new local ones
        # take the places of the first global ones, which go to the end.
        raw = self.elf.content(section)
        texts: dict[int, bytes] = {}
        for row, (where, value, size) in changed.items():
            old = raw[row * c.SYM_SIZE : (row + 1) * c.SYM_SIZE]
            texts[row] = bytes(old[:6]) + struct.pack("<HQQ", where, value, size)
        first, count = min(section.info, len(table)), len(table)
        appended = fresh[False]
        for number, packed in enumerate(fresh[True]):
            place = first + number
            if place < count:
                appended.append(texts.pop(place, b"") or bytes(raw[place * c.SYM_SIZE : (place + 1) * c.SYM_SIZE]))
                texts[place] = packed
            else:
                appended.insert(number - (count - first), packed)
        self._rows = {row * c.SYM_SIZE: text for row, text in texts.items()}
        self.growth[section.index] = b"".join(appended)
        self.sections[section.index] = replace(self.sections[section.index], info=first + len(fresh[True]))

    def _section_index(self, address: int) -> int:
        count = len(self.elf.sections)
        for i, section in enumerate(self.new_sections):
            if section.address <= address < section.address + section.size:
                return count + i
        found = self.elf.section_of(address)
        return found.index if found is not None else c.SHN_ABS

    def place_rest(self) -> None:
        """Everything without address behind the segments, each section followed by what is added to it."""
        header = struct.unpack_from("<H", self.elf.data, 62)[0]
        names_index = (
            header if header != c.SHN_XINDEX else int(struct.unpack_from("<I", self.elf.data, self._shoff() + 40)[0])
        )
        debug = dict(self.add.debug)
        for section in self.elf.sections:
            if section.flags & c.SHF_ALLOC == 0 and section.name in debug:
                self.growth[section.index] = self.growth.get(section.index, b"") + debug.pop(section.name)
        for name, content in debug.items():
            flags, entsize = (c.SHF_MERGE | c.SHF_STRINGS, 1) if name in (".debug_str", ".debug_line_str") else (0, 0)
            self.extra.append((_section_row(name, c.SHT_PROGBITS, flags, 0, 0, len(content), 1, entsize), content))
        tag = b"relive " + self.add.identity.hex().encode() + b"\0"
        self.extra.append((_section_row(".relive.build", c.SHT_PROGBITS, 0, 0, 0, len(tag), 1), tag))
        offsets = self._name_offsets(names_index)
        for section in sorted(self.elf.sections, key=lambda s: s.offset):
            if section.flags & c.SHF_ALLOC or section.type in (c.SHT_NULL, c.SHT_NOBITS):
                continue
            self._place_section(section)
        rows: list[Section] = [*self.sections, *self.new_sections]
        for section, content in self.extra:
            offset = align_up(self.end, max(1, section.align))
            self.writes.append((offset, content))
            self.end = offset + len(content)
            rows.append(replace(section, offset=offset))
        offset = align_up(self.end, 8)
        table = bytearray()
        for i, section in enumerate(rows):
            table += _SHDR.pack(
                offsets[i], section.type, section.flags, section.address, section.offset, section.size,
                section.link, section.info, section.align, section.entsize,
            )  # fmt: skip
        if len(rows) >= c.SHN_LORESERVE:
            raise FormatError(f"{self.elf.path}: too many sections")
        self.writes.append((offset, bytes(table)))
        self.end = offset + len(table)
        self.writes.append((40, struct.pack("<Q", offset)))
        self.writes.append((56, struct.pack("<HHH", len(self.headers), c.SHDR_SIZE, len(rows))))

    def _place_section(self, section: Section) -> None:
        index = section.index
        added = self.growth.get(index, b"")
        offset, capacity = self.frame.places[index]
        size = section.size + len(added)
        if size > capacity:
            offset = self._congruent(self.end, section.offset, PAGE)
            self.copies.append((offset, section.offset, section.size))
            self.end = offset + size
        for name, at, content in self.add.debug_stores:
            if name == section.name:
                self.writes.append((offset + at, content))
        if section.type == c.SHT_SYMTAB:
            self.writes += [(offset + at, content) for at, content in self._rows.items()]
        if added:
            self.writes.append((offset + section.size, added))
        self.sections[index] = replace(self.sections[index], offset=offset, size=size)

    def _shoff(self) -> int:
        return int(struct.unpack_from("<Q", self.elf.data, 40)[0])

    def _name_offsets(self, names_index: int) -> list[int]:
        """sh_name of every section, old and new; the names that are new are added to the table."""
        shoff = self._shoff()
        old = [
            struct.unpack_from("<I", self.elf.data, shoff + i * c.SHDR_SIZE)[0] for i in range(len(self.elf.sections))
        ]
        if not 0 < names_index < len(self.elf.sections):
            raise FormatError(f"{self.elf.path}: has no names of sections")
        start = self.elf.sections[names_index].size + len(self.growth.get(names_index, b""))
        names = bytearray()
        for section in [*self.new_sections, *(s for s, _ in self.extra)]:
            old.append(start + len(names))
            names += section.name.encode() + b"\0"
        for i, section in enumerate(self.elf.sections):
            if section.name == ".gdb_index" and self.add.debug:
                # It knows nothing of the new units, and gdb would believe it.
                old[i] = start + len(names)
                names += b".gdb_index.stale\0"
        self.growth[names_index] = self.growth.get(names_index, b"") + bytes(names)
        return old

    def done(self) -> Rewrite:
        return Rewrite(self.end, tuple(self.copies), tuple(self.writes))

    # --- small steps ---------------------------------------------------------------------------------------------

    def _append(self, content: bytes, align: int, bias: int = 0) -> int:
        """Puts something at the end of the code segment; its address."""
        self.code += bytes((bias - len(self.code)) % align)
        address = self.add.code_base + len(self.code)
        self.code += content
        return address

    def _moved(self, section: Section | None, address: int, size: int) -> None:
        if section is not None:
            self.shifted[section.index] = address - section.address
            self.sections[section.index] = replace(self.sections[section.index], address=address, size=size, offset=-1)

    def _section(self, name: str, kind: int, flags: int, address: int, offset: int, size: int, align: int) -> None:
        self.new_sections.append(_section_row(name, kind, flags, address, offset, size, align))

    def _file_offset(self, address: int, size: int) -> int:
        for segment in self.elf.segments:
            start = address - segment.vaddr
            if start >= 0 and start + size <= segment.filesz:
                return segment.offset + start
        raise FormatError(f"{self.elf.path}: {address:#x} is not in the file (zero-initialised memory)")

    @staticmethod
    def _congruent(offset: int, address: int, modulus: int) -> int:
        return offset + (address - offset) % modulus


def _section_row(
    name: str, kind: int, flags: int, address: int, offset: int, size: int, align: int, entsize: int = 0
) -> Section:
    return Section(-1, name, kind, flags, address, offset, size, 0, 0, align, entsize)
