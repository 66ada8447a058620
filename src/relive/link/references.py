"""Every relocation of the placed blocks, resolved once: what it means, and which GOT slot or stub it needs.

Runs before layout, so that the sizes are known, and tells what cannot be linked: names nobody defines, and data out of
reach of a 32-bit displacement (the compiler assumed a copy relocation: the unit must be compiled again with
`-mno-direct-extern-access`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relive.diff.atoms import Atoms, Kind
from relive.elf import constants as c
from relive.elf.constants import RELOCATION_NAMES
from relive.errors import Refusal
from relive.link.model import Address, Scope, Selection, TlsPlace
from relive.link.select import Entry, Named, Placed, Selector, Target, rows_in
from relive.link.unwind import Record

_GOT = frozenset({c.R_X86_64_GOTPCREL, c.R_X86_64_GOTPCRELX, c.R_X86_64_REX_GOTPCRELX, c.R_X86_64_GOTPCREL64})
_ABSOLUTE_32 = frozenset({c.R_X86_64_32, c.R_X86_64_32S})
_THREAD_LOCAL = frozenset(
    {
        c.R_X86_64_TPOFF32,
        c.R_X86_64_TPOFF64,
        c.R_X86_64_DTPOFF32,
        c.R_X86_64_DTPOFF64,
        c.R_X86_64_GOTTPOFF,
        c.R_X86_64_TLSGD,
        c.R_X86_64_GOTPC32_TLSDESC,
        c.R_X86_64_TLSDESC_CALL,
    }
)
_KNOWN = frozenset(
    {
        *_GOT,
        *_ABSOLUTE_32,
        c.R_X86_64_NONE,
        c.R_X86_64_64,
        c.R_X86_64_PC32,
        c.R_X86_64_PLT32,
        c.R_X86_64_PC64,
        c.R_X86_64_16,
        c.R_X86_64_8,
        c.R_X86_64_PC16,
        c.R_X86_64_PC8,
        c.R_X86_64_SIZE32,
        c.R_X86_64_SIZE64,
        c.R_X86_64_GOTPC32,
        c.R_X86_64_GOTOFF64,
        c.R_X86_64_TPOFF32,
        c.R_X86_64_TPOFF64,
        c.R_X86_64_DTPOFF32,
        c.R_X86_64_DTPOFF64,
        c.R_X86_64_GOTTPOFF,
        c.R_X86_64_TLSGD,
        c.R_X86_64_TLSLD,
        c.R_X86_64_GOTPC32_TLSDESC,
        c.R_X86_64_TLSDESC_CALL,
    }
) - {c.R_X86_64_GOTPCREL64}


@dataclass(slots=True)
class References:
    """Resolved references, and what they need."""

    block_rows: list[list[tuple[int, Target]]] = field(default_factory=list)
    """For each block: (row, target)."""
    in_place_rows: list[list[tuple[int, Target]]] = field(default_factory=list)
    eh_targets: dict[tuple[int, int], Target] = field(default_factory=dict)
    """(unit, eh row) → target, for the records of the unwind information."""
    slots: dict[object, None] = field(default_factory=dict)
    pairs: dict[object, None] = field(default_factory=dict)
    stubs: dict[object, None] = field(default_factory=dict)
    externals: dict[bytes, Address] = field(default_factory=dict)
    far: set[int] = field(default_factory=set)
    """Units that reach for data beyond 2 GB."""


def resolve(selector: Selector, scope: Scope, records: list[Record]) -> References:
    """Resolves all references of a finished selection; adds refusals to it."""
    selection = selector.selection
    result = References()
    result.externals = dict(scope.externals(sorted(selection.externals)))
    for block in selection.blocks:
        new = selection.units[block.unit].new
        result.block_rows.append([(row, selector.target(block.unit, row)) for row in rows_in(new, block)])
    for entry in selection.in_place:
        new = selection.units[entry.unit].new
        result.in_place_rows.append([(row, selector.target(entry.unit, row)) for row in new.row_range(entry.atom)])
    for block, rows in zip(selection.blocks, result.block_rows, strict=True):
        for row, target in rows:
            _need(selection, scope, result, block.unit, row, target)
    for entry, rows in zip(selection.in_place, result.in_place_rows, strict=True):
        for row, target in rows:
            _need(selection, scope, result, entry.unit, row, target)
    for record in records:
        for _, row in record.rows:
            target = _eh_target(selector, record.unit, row)
            result.eh_targets[(record.unit, row)] = target
            if isinstance(target, Named):
                _check_defined(selection, result, record.unit, target)
    return result


def is_call(atoms: Atoms, row: int) -> bool:
    """Whether a 32-bit pc-relative field belongs to a call or jump."""
    rel = atoms.relocations
    if atoms.kinds[rel["section"][row]] != Kind.TEXT:
        return False
    if rel["type"][row] == c.R_X86_64_PLT32:
        return True
    section, offset = int(rel["section"][row]), int(rel["offset"][row])
    start = int(atoms.object.sections["offset"][section])
    before = atoms.object.data[start + max(offset - 2, 0) : start + offset]
    return before[-1:] in (b"\xe8", b"\xe9") or (before[:1] == b"\x0f" and (before[-1] & 0xF0) == 0x80)


def _need(selection: Selection, scope: Scope, result: References, u: int, row: int, target: Target) -> None:
    new = selection.units[u].new
    kind = int(new.relocations["type"][row])
    if kind in _THREAD_LOCAL and isinstance(target, Named):
        # dlsym would answer with one thread's copy.
        if target.name == b"_TLS_MODULE_BASE_":  # local-dynamic with descriptors
            place: TlsPlace | None = TlsPlace(scope.tls_module, 0, scope.tls_offset)
        else:
            place = scope.thread_local(target.name)
        if place is None:
            result.externals.pop(target.name, None)
        else:
            result.externals[target.name] = place
    if kind not in _KNOWN:
        name = RELOCATION_NAMES.get(kind, str(kind))
        _refuse(
            selection, u, "unsupported-relocation", name, "relive cannot link such a reference (large code model?)",
            "compile without -mcmodel=large/medium",
        )  # fmt: skip
        return
    if isinstance(target, Named):
        _check_defined(selection, result, u, target)
    if kind in _GOT:
        result.slots[("got", target)] = None
    elif kind in (c.R_X86_64_GOTTPOFF, c.R_X86_64_GOTPC32_TLSDESC):
        result.slots[("tp", target)] = None
    elif kind == c.R_X86_64_TLSGD:
        result.pairs[("gd", target)] = None
    elif kind == c.R_X86_64_TLSLD:
        result.pairs[("ld",)] = None
    elif kind in (c.R_X86_64_PC32, c.R_X86_64_PLT32) or kind in _ABSOLUTE_32:
        address = _outside(selection, result, target)
        if address is None or scope.low <= address < scope.high or (kind in _ABSOLUTE_32 and address < 1 << 31):
            return
        if address == 0 and scope.high < 1 << 31:
            return
        if is_call(new, row) or (kind in _ABSOLUTE_32 and _is_function(new, row)):
            result.slots[("got", target)] = None
            result.stubs[target] = None
        else:
            result.far.add(u)


def _outside(selection: Selection, result: References, target: Target) -> int | None:
    """Address of a target that is not in the patch; None for what is, for thread-locals, and for nothing. A weak name
    that nobody defines is at 0, which is out of reach of a call: `if (hook) hook();` needs a stub, too."""
    if isinstance(target, Named):
        found = result.externals.get(target.name)
        if found is None and target.weak and target.name not in selection.commons:
            return 0
        return found if isinstance(found, int) else None
    return target if isinstance(target, int) else None


def _is_function(atoms: Atoms, row: int) -> bool:
    symbol = int(atoms.relocations["symbol"][row])
    kind = int(atoms.object.symbols["info"][symbol]) & 15
    return kind in (c.STT_FUNC, c.STT_NOTYPE, c.STT_GNU_IFUNC) and atoms.object.symbol_sections[symbol] == 0


def _check_defined(selection: Selection, result: References, u: int, target: Named) -> None:
    if target.weak or target.name in result.externals or target.name in selection.commons:
        return
    if target.name in (b"_GLOBAL_OFFSET_TABLE_",):
        return
    _refuse(
        selection, u, "undefined-symbol", target.name.decode("utf-8", "replace"),
        "nothing in the program or its libraries defines it: a fresh build would need another library, or fail",
        "define it, or restart the program after adding the library to its link",
    )  # fmt: skip


def _refuse(selection: Selection, u: int, code: str, subject: str, reason: str, hint: str) -> None:
    refusal = Refusal(code, subject, reason, hint, selection.units[u].source)
    if refusal not in selection.refusals:
        selection.refusals.append(refusal)


def _eh_target(selector: Selector, u: int, row: int) -> Target:
    """Personality, pc_begin or LSDA of an unwind record: section references stay in the patch."""
    unit = selector.selection.units[u].new
    rel = unit.eh_relocations
    symbol = int(rel["symbol"][row])
    if unit.symbol_is_local[symbol]:
        section = int(unit.object.symbol_sections[symbol])
        offset = int(unit.object.symbols["value"][symbol]) + int(rel["addend"][row])
        if selector.selection.block_at(u, section, offset) is not None:
            return Placed(u, section, offset)
        return selector.of_data(u, section, offset)
    return selector.by_name(u, unit.object.symbol_names[symbol])


def value_of(externals: Mapping[bytes, Address], target: Target) -> Address:
    """Address of a target outside of the patch; 0 for a weak name that nobody defines."""
    if isinstance(target, Named):
        return externals.get(target.name, 0)
    assert not isinstance(target, Placed | Entry)
    return 0 if target is None else target
