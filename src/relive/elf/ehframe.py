"""Unwind tables: where the records and their relocatable fields lie in `.eh_frame`, and the search table over them.

Theory of operation. The linker keeps only the records (FDEs) of functions that it places, with the CIEs they refer to,
and moves them; so it must know each record's extent and at which offsets a relocation may sit (function start, LSDA,
personality routine). `parse_eh_frame` finds just that; the unwind instructions themselves are never interpreted. What
the relocations say is the object reader's business: their offsets equal the field offsets given here.

`build_eh_frame_hdr` writes the binary search table that PT_GNU_EH_FRAME points at.

Sources: LSB Core 5.0 generic, sections 10.6.1 (.eh_frame), 10.6.2 (.eh_frame_hdr) and 10.5.1 (DW_EH_PE_*); psABI 3.7.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relive.errors import FormatError

DW_EH_PE_ABSPTR = 0x00
DW_EH_PE_UDATA2 = 0x02
DW_EH_PE_UDATA4 = 0x03
DW_EH_PE_UDATA8 = 0x04
DW_EH_PE_SDATA2 = 0x0A
DW_EH_PE_SDATA4 = 0x0B
DW_EH_PE_SDATA8 = 0x0C
DW_EH_PE_PCREL = 0x10
DW_EH_PE_DATAREL = 0x30
DW_EH_PE_ALIGNED = 0x50
DW_EH_PE_INDIRECT = 0x80
DW_EH_PE_OMIT = 0xFF

_SIZES = {
    DW_EH_PE_ABSPTR: 8,
    DW_EH_PE_UDATA2: 2,
    DW_EH_PE_UDATA4: 4,
    DW_EH_PE_UDATA8: 8,
    DW_EH_PE_SDATA2: 2,
    DW_EH_PE_SDATA4: 4,
    DW_EH_PE_SDATA8: 8,
}


@dataclass(frozen=True, slots=True)
class Cie:
    """A common information entry. All offsets are from the start of the section, sizes in bytes."""

    offset: int
    size: int
    """Whole record, its length field included."""
    augmentation: bytes
    personality: int | None
    """Offset of the personality routine's pointer, if there is one."""
    personality_encoding: int
    lsda_encoding: int
    """DW_EH_PE_OMIT when the FDEs have no LSDA pointer."""
    pc_encoding: int


@dataclass(frozen=True, slots=True)
class Fde:
    """A frame description entry: the unwind information of one piece of code."""

    offset: int
    size: int
    """Whole record, its length field included."""
    cie_pointer: int
    """Offset of the CIE pointer field; its value is the distance back from here to the CIE."""
    cie: int
    """Offset of the CIE record."""
    pc_begin: int
    """Offset of the pointer to the first instruction (`pc_encoding` of the CIE); the number of bytes follows it."""
    pc_size: int
    """Bytes of that pointer, and of the length behind it."""
    pc_range: int
    """How many bytes of code it describes."""
    lsda: int | None
    """Offset of the LSDA pointer, if there is one. Zero in the field without relocation means: no LSDA."""


def encoded_size(encoding: int) -> int:
    """Bytes of a pointer of this encoding. FormatError for LEB128, which cannot be relocated."""
    size = _SIZES.get(encoding & 0x0F)
    if encoding == DW_EH_PE_ALIGNED:
        size = 8
    if size is None:
        raise FormatError(f".eh_frame: pointer encoding {encoding:#x} is not known")
    return size


def parse_eh_frame(data: bytes) -> list[Cie | Fde]:
    """All records in order, up to the terminator. FormatError for what cannot be `.eh_frame`."""
    records: list[Cie | Fde] = []
    cies: dict[int, Cie] = {}
    at = 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        body = at + 4
        if length == 0:  # terminator: only crtend.o has one
            break
        if length == 0xFFFFFFFF:  # libgcc's unwinder does not know it either
            raise FormatError(".eh_frame: 64-bit records are not supported")
        end = body + length
        if end > len(data) or length < 4:
            raise FormatError(f".eh_frame: the record at {at:#x} does not fit")
        distance = int.from_bytes(data[body : body + 4], "little")
        if distance == 0:
            cies[at] = cie = _parse_cie(data, at, body + 4, end)
            records.append(cie)
        else:
            owner = cies.get(body - distance)
            if owner is None:
                raise FormatError(f".eh_frame: the record at {at:#x} has no CIE before it")
            records.append(_parse_fde(data, at, body, end, owner))
        at = end
    return records


def parse_cie_at(data: bytes, offset: int) -> Cie:
    """The CIE that starts at an offset. FormatError when there is none."""
    length = int.from_bytes(data[offset : offset + 4], "little")
    end = offset + 4 + length
    if not 4 < length < 0xFFFFFFF0 or end > len(data) or data[offset + 4 : offset + 8] != bytes(4):
        raise FormatError(f".eh_frame: no CIE at {offset:#x}")
    return _parse_cie(data, offset, offset + 8, end)


def parse_fde_at(data: bytes, offset: int) -> Fde | None:
    """The FDE that starts at an offset; None when there cannot be one."""
    length = int.from_bytes(data[offset : offset + 4], "little")
    end = offset + 4 + length
    distance = int.from_bytes(data[offset + 4 : offset + 8], "little")
    if offset < 0 or not 4 < length < 0xFFFFFFF0 or end > len(data) or not 0 < distance <= offset + 4:
        return None
    return _parse_fde(data, offset, offset + 4, end, parse_cie_at(data, offset + 4 - distance))


class _Cursor:
    """Reads forward inside one record; every read is checked against its end."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end

    def take(self, count: int) -> int:
        """Start of the next `count` bytes."""
        start = self.at
        if start + count > self.end:
            raise FormatError(f".eh_frame: a record ends too early, at {self.end:#x}")
        self.at = start + count
        return start

    def byte(self) -> int:
        return self.data[self.take(1)]

    def uleb(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise FormatError(f".eh_frame: a number is too long, at {self.at:#x}")

    def string(self) -> bytes:
        end = self.data.find(b"\0", self.at, self.end)
        start = self.take(max(end, self.at) - self.at + 1)
        return self.data[start : self.at - 1]

    def pointer(self, encoding: int) -> int:
        """Offset of an encoded pointer, behind the padding that DW_EH_PE_aligned asks for."""
        if encoding == DW_EH_PE_ALIGNED:
            self.take(-self.at % 8)
        return self.take(encoded_size(encoding))


def _parse_cie(data: bytes, offset: int, at: int, end: int) -> Cie:
    cursor = _Cursor(data, at, end)
    version = cursor.byte()
    if version not in (1, 3):
        raise FormatError(f".eh_frame: CIE version {version} is not known")
    augmentation = cursor.string()
    if augmentation.startswith(b"eh"):
        raise FormatError(".eh_frame: gcc 2 records are not supported")
    cursor.uleb()  # code alignment
    cursor.uleb()  # data alignment: signed, but only its extent matters
    if version == 1:
        cursor.byte()  # return address register
    else:
        cursor.uleb()
    personality = None
    personality_encoding = lsda_encoding = DW_EH_PE_OMIT
    pc_encoding = DW_EH_PE_ABSPTR
    if augmentation.startswith(b"z"):
        cursor.uleb()
        for letter in augmentation[1:]:
            if letter == ord("P"):
                personality_encoding = cursor.byte()
                personality = cursor.pointer(personality_encoding)
            elif letter == ord("L"):
                lsda_encoding = cursor.byte()
            elif letter == ord("R"):
                pc_encoding = cursor.byte()
            elif letter not in b"SB":  # signal frame; aarch64 pointer authentication
                raise FormatError(f".eh_frame: augmentation {augmentation!r} is not known")
    elif augmentation:
        raise FormatError(f".eh_frame: augmentation {augmentation!r} is not known")
    return Cie(offset, end - offset, augmentation, personality, personality_encoding, lsda_encoding, pc_encoding)


def _parse_fde(data: bytes, offset: int, body: int, end: int, cie: Cie) -> Fde:
    cursor = _Cursor(data, body + 4, end)
    pc_begin = cursor.pointer(cie.pc_encoding)
    pc_size = encoded_size(cie.pc_encoding)
    length = cursor.take(pc_size)
    pc_range = int.from_bytes(data[length : length + pc_size], "little")
    lsda = None
    if cie.augmentation.startswith(b"z") and cursor.uleb() and cie.lsda_encoding != DW_EH_PE_OMIT:
        lsda = cursor.pointer(cie.lsda_encoding)
    return Fde(offset, end - offset, body, cie.offset, pc_begin, pc_size, pc_range, lsda)


_ROWS = np.dtype([("pc", "<i4"), ("fde", "<i4")])


def build_eh_frame_hdr(entries: Sequence[tuple[int, int]], address: int, eh_frame_address: int) -> bytes:
    """`.eh_frame_hdr` at `address` for (first instruction, FDE) address pairs; 12 + 8 * len(entries) bytes.

    All addresses must lie within 2 GB of `address` (OverflowError otherwise: the linker placed them itself).
    """
    encodings = bytes((1, DW_EH_PE_PCREL | DW_EH_PE_SDATA4, DW_EH_PE_UDATA4, DW_EH_PE_DATAREL | DW_EH_PE_SDATA4))
    rows = np.array(sorted(entries), dtype=np.int64).reshape(-1, 2) - address
    if len(rows) and not (rows.min() >= -(1 << 31) and rows.max() < 1 << 31):
        raise OverflowError("unwind records lie more than 2 GB from their table")
    table = np.zeros(len(rows), dtype=_ROWS)
    table["pc"], table["fde"] = rows[:, 0], rows[:, 1]
    try:
        head = struct.pack("<iI", eh_frame_address - (address + 4), len(rows))
    except struct.error as error:
        raise OverflowError("unwind records lie more than 2 GB from their table") from error
    return encodings + head + table.tobytes()
