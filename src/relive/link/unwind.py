"""Unwind information of the placed code: the FDEs of placed functions and the CIEs they share, packed into one
`.eh_frame`, relocated, with its search table. Exceptions, backtraces and profilers then need no special case."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from relive.diff.atoms import Atoms, Kind
from relive.elf.ehframe import Cie, Fde, parse_eh_frame
from relive.link.model import Selection


@dataclass(frozen=True, slots=True)
class Record:
    """A CIE or FDE that is copied: bytes and relocations `(offset in the record, row of the unit's eh relocations)`."""

    unit: int
    content: bytes
    rows: tuple[tuple[int, int], ...]
    cie: int
    """For an FDE: index of its CIE record in the list; -1 for a CIE."""
    cie_field: int
    """For an FDE: offset of the CIE pointer in the record."""
    pc_field: int


def collect(selection: Selection) -> list[Record]:
    """The records of all placed text blocks, each CIE before its first FDE."""
    records: list[Record] = []
    for u, unit in enumerate(selection.units):
        sections = {s for (v, s) in selection.by_place if v == u and unit.new.kinds[s] == Kind.TEXT}
        if sections:
            _collect_unit(unit.new, u, sections, records)
    return records


def _collect_unit(atoms: Atoms, u: int, sections: set[int], records: list[Record]) -> None:
    obj = atoms.object
    rel = atoms.eh_relocations
    for eh in [i for i, name in enumerate(obj.section_names) if name == ".eh_frame"]:
        data = obj.content(eh)
        at_offset = {int(rel["offset"][r]): r for r in range(len(rel)) if rel["section"][r] == eh}
        parsed = parse_eh_frame(data)
        cies = {record.offset: record for record in parsed if isinstance(record, Cie)}
        placed: dict[int, int] = {}
        for record in parsed:
            if not isinstance(record, Fde):
                continue
            row = at_offset.get(record.pc_begin)
            if row is None or int(obj.symbol_sections[rel["symbol"][row]]) not in sections:
                continue
            if record.cie not in placed:
                cie = cies[record.cie]
                rows = tuple(
                    (o - cie.offset, r) for o, r in at_offset.items() if cie.offset <= o < cie.offset + cie.size
                )
                placed[record.cie] = len(records)
                records.append(Record(u, data[cie.offset : cie.offset + cie.size], rows, -1, 0, 0))
            fields = (record.pc_begin, record.lsda)
            rows = tuple((f - record.offset, at_offset[f]) for f in fields if f is not None and f in at_offset)
            content = data[record.offset : record.offset + record.size]
            records.append(
                Record(
                    u, content, rows, placed[record.cie],
                    record.cie_pointer - record.offset, record.pc_begin - record.offset,
                )
            )  # fmt: skip


def total_size(records: list[Record]) -> int:
    """Bytes of the packed section, with its terminator."""
    return sum(len(r.content) for r in records) + 4


def offsets(records: list[Record]) -> list[int]:
    """Offset of each record in the packed section."""
    result, at = [], 0
    for record in records:
        result.append(at)
        at += len(record.content)
    return result


def link_cie(record: Record, content: bytearray, at: int, cie_at: int) -> None:
    """Writes an FDE's distance back to its CIE."""
    struct.pack_into("<I", content, record.cie_field, at + record.cie_field - cie_at)
