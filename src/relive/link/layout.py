"""Where everything of the patch goes: three segments, in the order of the file.

```
read-only   headers, .dynsym · constants · exception tables · GOT · .eh_frame_hdr · .eh_frame
executable  code, one block after another · stubs `jmp *slot`
writable    new variables, new commons
```

Constants with pointers in them need not be writable: the linker applied all relocations. Sizes are known before
addresses, so that the target can be asked for room of the right size; `Layout.at(base)` fixes the addresses."""

from __future__ import annotations

from dataclasses import dataclass, field

from relive.arch import x86_64
from relive.diff.atoms import Kind
from relive.link.model import Selection

PAGE = 4096


@dataclass(slots=True)
class Layout:
    """Offsets from the base address of the patch, in bytes."""

    blocks: dict[int, int] = field(default_factory=dict)
    """Block index → offset."""
    slots: dict[object, int] = field(default_factory=dict)
    """GOT key → offset of its first slot (8 bytes, or 16 for a pair)."""
    stubs: dict[object, int] = field(default_factory=dict)
    """Stub key → offset."""
    entries: dict[tuple[int, int], int] = field(default_factory=dict)
    """(unit, atom) of a function with a new home → offset of its jump."""
    commons: dict[bytes, int] = field(default_factory=dict)
    eh_frame_hdr: tuple[int, int] = (0, 0)
    eh_frame: tuple[int, int] = (0, 0)
    """(offset, size)."""
    got: tuple[int, int] = (0, 0)
    text: tuple[int, int] = (0, 0)
    stub_area: tuple[int, int] = (0, 0)
    data: tuple[int, int] = (0, 0)
    """(offset, size in memory) of the writable segment."""
    data_file_size: int = 0
    read_only_size: int = 0
    size: int = 0


def plan(
    selection: Selection,
    *,
    header_size: int,
    pairs: list[object],
    slots: list[object],
    stubs: list[object],
    eh_frame_size: int,
    unwind_entries: int,
    thread_local: set[int],
) -> Layout:
    """Lays out the blocks of a selection. `pairs` and `slots`: keys of 16- and 8-byte GOT entries; `stubs`: keys of
    stubs; `thread_local`: indices of blocks that live in the TLS pool and get no memory here."""
    layout = Layout()
    kinds = [selection.units[b.unit].new.kinds[b.section] for b in selection.blocks]
    at = header_size
    for index, block in enumerate(selection.blocks):
        if kinds[index] in (Kind.CONST, Kind.LSDA, Kind.INIT):
            at = _align(at, block.align)
            layout.blocks[index] = at
            at += block.size
    at = _align(at, 16)
    start = at
    for key in pairs:
        layout.slots[key] = at
        at += 16
    for key in slots:
        layout.slots[key] = at
        at += 8
    layout.got = (start, at - start)
    layout.eh_frame_hdr = (at, 12 + 8 * unwind_entries)
    at = _align(at + layout.eh_frame_hdr[1], 8)
    layout.eh_frame = (at, eh_frame_size)
    at += eh_frame_size
    layout.read_only_size = at

    at = _align(at, PAGE)
    start = at
    for index, block in enumerate(selection.blocks):
        if kinds[index] == Kind.TEXT:
            # 16 like a fresh build at -O2; an entry must have room for its own redirect later.
            at = _align(at, max(block.align, 16))
            layout.blocks[index] = at
            at += max(block.size, x86_64.REDIRECT_SIZE)
    at = _align(at, 16)
    stub_start = at
    for key in stubs:
        layout.stubs[key] = at
        at += x86_64.STUB_SIZE
    layout.stub_area = (stub_start, at - stub_start)
    at = _align(at, 16)
    for rehomed in selection.rehomed:
        layout.entries[(rehomed.unit, rehomed.atom)] = at
        at += 16
    layout.text = (start, at - start)

    at = _align(at, PAGE)
    start = at
    data = [i for i, kind in enumerate(kinds) if kind == Kind.DATA]
    for zero in (False, True):
        for index in data:
            block = selection.blocks[index]
            unit = selection.units[block.unit].new
            if (unit.object.sections["type"][block.section] == 8) == zero:
                at = _align(at, block.align)
                layout.blocks[index] = at
                at += block.size
        if not zero:
            layout.data_file_size = at - start
    for name, (size, align) in sorted(selection.commons.items()):
        at = _align(at, align)
        layout.commons[name] = at
        at += size
    layout.data = (start, at - start)
    layout.size = _align(at, PAGE)
    for index in thread_local:
        layout.blocks.pop(index, None)
    return layout


def _align(value: int, to: int) -> int:
    return (value + to - 1) // to * to
