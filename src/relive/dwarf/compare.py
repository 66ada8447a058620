"""Which types of two objects of the same unit differ, and how, in a line that a person understands.

The tables are compared first (`tables.TypeTable`, arrays of hashes); texts are only made of what differs. New and
removed types are no changes. Where a name has several definitions on both sides, only definitions that the other side
lacks count, paired in order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relive.dwarf.model import TypeChange, VariableRecord
from relive.dwarf.reader import DebugInfo
from relive.dwarf.tables import shape_of

MOST = 4
"""Differences that an explanation names before it says how many more there are."""

_BASE = re.compile(r"^(?:(?P<at>\d+) base|virtual base at (?P<via>vtable -\d+|\S+)) (?P<type>.*)$")
_FIELD = re.compile(r"^(?P<at>\d+(?:\.\d+)?) (?P<name>\w*): (?P<type>.*)$")
_ENUMERATOR = re.compile(r"^(?P<name>\w+) = (?P<value>-?\d+)$")


def compare_types(old: DebugInfo, new: DebugInfo) -> tuple[TypeChange, ...]:
    """Types defined in both whose layout or own virtual slots differ, in order of their names."""
    changes: list[TypeChange] = []
    for name_hash in old.type_table().differing(new.type_table()):
        before, after = _definitions(old, name_hash), _definitions(new, name_hash)
        gone = [index for shape, index in before.items() if shape not in after]
        come = [index for shape, index in after.items() if shape not in before]
        changes.extend(_change(old, i, new, k) for i, k in zip(gone, come, strict=False))
    return tuple(sorted(changes, key=lambda change: change.name))


def compare_units(pairs: Sequence[tuple[DebugInfo, DebugInfo]]) -> tuple[TypeChange, ...]:
    """The same over all units of one reload, (old, new) each, every change once. It sees one thing more: a class whose
    definition left one unit and came to another (gcc describes it where its key function is: the first virtual function
    that is not inline, and the edit may have changed which one that is)."""
    changes = [change for old, new in pairs for change in compare_types(old, new)]
    gone: dict[int, tuple[DebugInfo, int]] = {}
    come: dict[int, tuple[DebugInfo, int]] = {}
    for old, new in pairs:
        gone.update(_only_in(old, new))
        come.update(_only_in(new, old))
    for name_hash in gone.keys() & come.keys():
        (old, i), (new, k) = gone[name_hash], come[name_hash]
        if _shape(old, i) != _shape(new, k):
            changes.append(_change(old, i, new, k))
    unique = {(change.name, change.old_layout, change.new_layout, change.new_vtable): change for change in changes}
    return tuple(sorted(unique.values(), key=lambda change: change.name))


def same_type(old: VariableRecord, new: VariableRecord) -> bool:
    """Whether an object of the one type can go on living as the other. Where a unit does not know the whole type, only
    the spelling can be compared: the unit that defines the type is the one that reports its change."""
    if old.is_complete and new.is_complete:
        return old.type_hash == new.type_hash
    return old.type == new.type and (old.size == new.size or not old.size or not new.size)


def explain_layout(old: str, new: str) -> str:
    """One line about two layout texts: "size 24 → 32: field `armor` (float) added at 20"."""
    before, after = _Layout.parse(old), _Layout.parse(new)
    notes = [*_base_notes(before, after), *_field_notes(before, after), *_enumerator_notes(before, after)]
    if before.has_vptr != after.has_vptr:
        notes.insert(0, "now has a vtable pointer" if after.has_vptr else "has no vtable pointer any more")
    head = "" if before.size == after.size else f"size {before.size} → {after.size}"
    if before.header != after.header and not head and not notes:
        notes.append(f"`{before.header}` → `{after.header}`")
    if len(notes) > MOST:
        notes[MOST:] = [f"{len(notes) - MOST} more"]
    return ": ".join(part for part in (head, ", ".join(notes)) if part) or "layout differs"


def explain_vtable(old: str, new: str) -> str:
    """One line about two vtable texts: "virtual `_ZN4Base3runEv` added in slot 2"."""
    before = {name: slot for slot, name in (line.split(" ", 1) for line in old.splitlines())}
    after = {name: slot for slot, name in (line.split(" ", 1) for line in new.splitlines())}
    notes = [f"virtual `{name}` removed from slot {slot}" for name, slot in before.items() if name not in after]
    notes += [f"virtual `{name}` added in slot {slot}" for name, slot in after.items() if name not in before]
    notes += [
        f"virtual `{name}` moved from slot {slot} to {after[name]}"
        for name, slot in before.items()
        if name in after and after[name] != slot
    ]
    if len(notes) > MOST:
        notes[MOST:] = [f"{len(notes) - MOST} more"]
    return ", ".join(notes) or "virtual functions differ"


def _only_in(info: DebugInfo, other: DebugInfo) -> dict[int, tuple[DebugInfo, int]]:
    """Types defined in one and not in the other, by name hash; only those whose name means the same in every unit."""
    rows = info.type_rows
    missing = np.nonzero(~np.isin(rows["name_hash"], other.type_rows["name_hash"]))[0].tolist()
    found: dict[int, tuple[DebugInfo, int]] = {}
    for index in missing:
        record = info.type(index)
        if not (record.is_local or record.is_anonymous_namespace or record.is_lambda or record.names_lambda):
            found[int(rows["name_hash"][index])] = info, index
    return found


def _shape(info: DebugInfo, index: int) -> int:
    rows = info.type_rows[index : index + 1]
    return int(shape_of(rows["layout"], rows["vtable"])[0])


def _definitions(info: DebugInfo, name_hash: np.uint64) -> dict[int, int]:
    """Distinct shapes of one name → index of the first definition that has it."""
    rows = info.type_rows
    found: dict[int, int] = {}
    for index in np.nonzero(rows["name_hash"] == name_hash)[0].tolist():
        found.setdefault(_shape(info, index), index)
    return found


def _change(old: DebugInfo, i: int, new: DebugInfo, k: int) -> TypeChange:
    before, after = old.type(i), new.type(k)
    old_layout, new_layout = old.layout_text(i), new.layout_text(k)
    old_vtable, new_vtable = old.vtable_text(i), new.vtable_text(k)
    parts = []
    if old_layout != new_layout:
        parts.append(explain_layout(old_layout, new_layout))
    if old_vtable != new_vtable:
        parts.append(explain_vtable(old_vtable, new_vtable))
    return TypeChange(
        name=after.name,
        display=after.display,
        spelling=after.spelling,
        kind=after.kind,
        layout_changed=old_layout != new_layout,
        vtable_changed=old_vtable != new_vtable,
        old_layout=old_layout,
        new_layout=new_layout,
        old_vtable=old_vtable,
        new_vtable=new_vtable,
        old_size=before.size,
        new_size=after.size,
        explanation="; ".join(parts),
        objects_unchanged=before.kind == after.kind == "enum" and _same_values(old_layout, new_layout),
        is_local=after.is_local,
        is_lambda=after.is_lambda,
        names_lambda=after.names_lambda,
        file=after.file,
        line=after.line,
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """A layout text taken apart; fields and bases by name, in order."""

    header: str
    size: int
    has_vptr: bool
    bases: dict[str, str]
    fields: dict[str, tuple[str, str]]
    enumerators: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> _Layout:
        header, *lines = text.splitlines()
        words = header.split()
        bases: dict[str, str] = {}
        fields: dict[str, tuple[str, str]] = {}
        enumerators: dict[str, str] = {}
        for line in lines:
            if match := _BASE.match(line):
                bases[match["type"]] = match["at"] or match["via"]
            elif match := _FIELD.match(line):
                fields[match["name"]] = match["at"], match["type"]
            elif match := _ENUMERATOR.match(line):
                enumerators[match["name"]] = match["value"]
        return cls(
            header=header,
            size=int(words[2]),
            has_vptr=any(line.endswith(" vptr") for line in lines),
            bases=bases,
            fields=fields,
            enumerators=enumerators,
        )


def _base_notes(old: _Layout, new: _Layout) -> list[str]:
    notes = [f"base `{name}` removed" for name in old.bases if name not in new.bases]
    notes += [f"base `{name}` added at {at}" for name, at in new.bases.items() if name not in old.bases]
    notes += [
        f"base `{name}` moved from {at} to {new.bases[name]}"
        for name, at in old.bases.items()
        if new.bases.get(name, at) != at
    ]
    return notes


def _field_notes(old: _Layout, new: _Layout) -> list[str]:
    gone = [name for name in old.fields if name not in new.fields]
    come = [name for name in new.fields if name not in old.fields]
    renamed = {
        a: b for a, b in zip(gone, come, strict=False) if len(gone) == len(come) and old.fields[a] == new.fields[b]
    }
    notes = [f"field `{a}` renamed to `{b}`" for a, b in renamed.items()]
    notes += [f"field `{name}` ({old.fields[name][1]}) removed" for name in gone if name not in renamed]
    notes += [
        f"field `{name}` ({new.fields[name][1]}) added at {new.fields[name][0]}"
        for name in come
        if name not in renamed.values()
    ]
    kept = [name for name in old.fields if name in new.fields]
    notes += [
        f"field `{name}` is {new.fields[name][1]} instead of {old.fields[name][1]}"
        for name in kept
        if old.fields[name][1] != new.fields[name][1]
    ]
    moved = [name for name in kept if old.fields[name][0] != new.fields[name][0]]
    if moved and notes:  # the consequence, not the cause
        notes.append(f"{len(moved)} field{'s' if len(moved) > 1 else ''} moved")
    else:
        notes += [f"field `{name}` moved from {old.fields[name][0]} to {new.fields[name][0]}" for name in moved]
    return notes


def _enumerator_notes(old: _Layout, new: _Layout) -> list[str]:
    notes = [f"enumerator `{name}` removed" for name in old.enumerators if name not in new.enumerators]
    notes += [
        f"enumerator `{name}` = {new.enumerators[name]} added"
        for name in new.enumerators
        if name not in old.enumerators
    ]
    notes += [
        f"enumerator `{name}` is {new.enumerators[name]} instead of {value}"
        for name, value in old.enumerators.items()
        if new.enumerators.get(name, value) != value
    ]
    return notes


def _same_values(old: str, new: str) -> bool:
    before, after = _Layout.parse(old), _Layout.parse(new)
    return before.header == after.header and all(after.enumerators.get(n) == v for n, v in before.enumerators.items())
