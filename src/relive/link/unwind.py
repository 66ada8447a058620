"""Unwind information of the placed code: the FDEs of placed functions and the CIEs they share, packed into one
`.eh_frame`, relocated, with its search table. Exceptions, backtraces and profilers then need no special case."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relive.diff.atoms import Atoms, Kind
from relive.elf.ehframe import parse_cie_at, parse_fde_at
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
    """Only the records of placed code are parsed: a C++ unit has thousands of others. A record is found by its first
    relocation, which is that of pc_begin, eight bytes behind the record's start (32-bit form; gcc and clang make no
    other)."""
    obj = atoms.object
    rel = atoms.eh_relocations
    target = obj.symbol_sections[rel["symbol"]]
    placed: dict[tuple[int, int], int] = {}
    for row in np.flatnonzero(np.isin(target, list(sections))).tolist():
        section = int(rel["section"][row])
        data = obj.content(section)
        fde = parse_fde_at(data, int(rel["offset"][row]) - 8)
        if fde is None or fde.pc_begin != int(rel["offset"][row]):
            continue
        if (section, fde.cie) not in placed:
            cie = parse_cie_at(data, fde.cie)
            rows = _rows_within(rel, section, cie.offset, cie.size)
            placed[(section, fde.cie)] = len(records)
            records.append(Record(u, data[cie.offset : cie.offset + cie.size], rows, -1, 0, 0))
        rows = _rows_within(rel, section, fde.offset, fde.size)
        content = data[fde.offset : fde.offset + fde.size]
        cie_at = placed[(section, fde.cie)]
        records.append(Record(u, content, rows, cie_at, fde.cie_pointer - fde.offset, fde.pc_begin - fde.offset))


def _rows_within(rel: npt.NDArray[np.void], section: int, start: int, size: int) -> tuple[tuple[int, int], ...]:
    """(offset in the record, row) of the relocations of a record."""
    first = int(np.searchsorted(rel["section"], section, "left"))
    last = int(np.searchsorted(rel["section"], section, "right"))
    offsets = rel["offset"][first:last]
    low = first + int(np.searchsorted(offsets, start, "left"))
    high = first + int(np.searchsorted(offsets, start + size, "left"))
    return tuple((int(rel["offset"][r]) - start, r) for r in range(low, high))


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
