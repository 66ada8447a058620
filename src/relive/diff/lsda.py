"""Exception tables (LSDA) in comparable form.

Between two objects the same table may be padded differently, because its type table is aligned within a section that
holds many tables in one object and a single one in the other. What it says is compared: call sites, actions, types.

Source: Itanium C++ ABI, "Exception Handling", section 7; gcc's `output_function_exception_table`."""

from __future__ import annotations

from collections.abc import Hashable

from relive.diff.atoms import Atoms

_OMIT = 0xFF
_ULEB128 = 0x01


def meaning(atoms: Atoms, atom: int) -> Hashable:
    """What an exception table says, independent of its place; the raw content where its form is not the usual one."""
    data = atoms.content(atom)
    rows = atoms.rows[atoms.row_range(atom).start : atoms.row_range(atom).stop]
    raw = (data.rstrip(b"\0"), rows.tobytes())
    if len(data) < 4 or data[0] != _OMIT:
        return raw
    try:
        return _parse(data, rows.tolist()) or raw
    except IndexError:
        return raw


def _parse(data: bytes, rows: list[tuple[int, int, int, int]]) -> Hashable | None:
    at = 1
    type_encoding = data[at]
    at += 1
    type_base = None
    if type_encoding != _OMIT:
        offset, at = _uleb(data, at)
        type_base = at + offset
    if data[at] != _ULEB128:
        return None
    length, at = _uleb(data, at + 1)
    call_sites = data[at : at + length]
    if any(offset < (type_base or 0) - 4096 for offset, *_ in rows):
        return None
    first_type = min((offset for offset, *_ in rows), default=type_base if type_base is not None else len(data))
    actions = data[at + length : first_type].rstrip(b"\0")
    types = tuple((offset - (type_base or 0), kind, target, delta) for offset, kind, target, delta in rows)
    return type_encoding, call_sites, actions, types


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
