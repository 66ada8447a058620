"""Records of what debug information says: values only, made by `reader` on request.

Addresses are `Location`s. In a relocatable object an address is what its relocation names, symbol and addend, and also
where that comes to: section index and offset in it. In a linked file it is `value`, the address as linked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from relive.errors import FormatError


class NoDebugInfoError(FormatError):
    """There is nothing to read: compiled without -g, or stripped."""

    code = "no-debug-info"


class Location(NamedTuple):
    """Where code or an object is. Linked files: `symbol` and `section` are 0 and `addend` too, `value` is the address
    (of a thread-local: the offset in the module's TLS block)."""

    symbol: int
    """Index in .symtab (often a section symbol); 0: the object does not say, e.g. an optimised-away definition."""
    addend: int
    section: int
    """Section header index of the symbol; 0: undefined or absolute."""
    value: int
    """Offset in the section (st_value + addend), or the address in a linked file; bytes."""


@dataclass(frozen=True, slots=True)
class TypeRecord:
    """One named struct, class, union or enumeration that is defined here."""

    name: str
    """What tables are compared by: the qualified name; inside functions `_Z4drawv[0][1]::Item` (linkage name of the
    function, ordinals of the lexical blocks); closures `_Z4drawv::<lambda#1>`, counted per function."""
    display: str
    """The same for people: `draw()::Item`."""
    spelling: str
    """As other types and variables name it: `name` without block paths."""
    kind: str
    """`struct`, `class`, `union` or `enum`."""
    size: int
    layout_hash: int
    vtable_hash: int
    """0: declares no virtual functions of its own."""
    deep_hash: int
    """Layout and, transitively, the layouts of everything it holds by value."""
    is_local: bool
    is_anonymous_namespace: bool
    is_lambda: bool
    names_lambda: bool
    """A closure is part of its name (`std::_Head_base<0, main()::<lambda()>>`): several types may share that name."""
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class VariableRecord:
    """One variable with storage of its own: global, static member, function-local static, thread-local."""

    name: str
    """Qualified, for people: `game::world`, `draw()::count`."""
    plain: str
    """Without qualification: `count`."""
    linkage: str
    """Linkage name, or empty: C, and internal linkage in C++."""
    owner: str
    """The function it is local to, or empty: its linkage name; without one (C, and what gcc's C++ keeps inside a unit)
    its name, in C++ with parameters: `draw`, `helper(int)`, `_Z4drawv::<lambda#1>::operator()()`. `<unnamed>`: clang
    14 at -O2 forgets it for a function inlined everywhere; the symbol (`f.count`, `_ZZ1fvE5count`) still says it."""
    block_path: tuple[int, ...]
    """Ordinals of the lexical blocks from the function's body down to it (empty: the outermost)."""
    ordinal: int
    """Which one of the statics with this plain name and owner, in order of declaration."""
    type: str
    """Canonical spelling, typedefs resolved."""
    type_hash: int
    """Spelling and the layouts of everything that it holds by value: differs when an object's memory would."""
    size: int
    """Bytes; 0 when the type does not say."""
    is_const: bool
    is_tls: bool
    is_external: bool
    is_member: bool
    is_anonymous_namespace: bool
    is_computed: bool
    """clang kept only a flag in memory and computes the value from it; `location.addend` is a hash of how."""
    is_whole: bool
    """False: the optimiser split it; `location` is that of the first piece."""
    is_complete: bool
    """False: a type that it holds by value is only declared here (gcc: its key function is defined in another unit,
    clang: its constructor), so `type_hash` cannot tell everything, and `size` may be 0. See `compare.same_type`."""
    file: str
    line: int
    unit: int
    location: Location


class Part(NamedTuple):
    """One contiguous piece of a function's code."""

    location: Location
    size: int


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """One function with code."""

    name: str
    """Qualified, for people: `ns::Class::method`, `draw()::<lambda>`."""
    linkage: str
    """Linkage name, or empty (C)."""
    signature: str
    """`int (char const*, ...)`: result and parameters, canonical; `this` shows as a trailing const only."""
    size: int
    is_external: bool
    is_noreturn: bool
    is_artificial: bool
    is_lambda: bool
    file: str
    line: int
    unit: int
    location: Location
    parts: tuple[Part, ...]
    """All pieces, the first one is `location`; more than one when the compiler split off cold code."""


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """One compilation unit."""

    name: str
    comp_dir: str
    producer: str
    language: str
    """`c`, `c++`, `asm` or `other`."""
    version: int
    """DWARF version; 0: an empty unit."""
    is_type_unit: bool


class LineRow(NamedTuple):
    """From `offset` on (bytes in the section; linked files: address) the code belongs to `line` of `file`. A row with
    `is_end` is one past the last byte of a sequence. `line` 0: no source line."""

    offset: int
    file: str
    line: int
    column: int
    is_stmt: bool
    is_end: bool


@dataclass(frozen=True, slots=True)
class TypeChange:
    """One type whose objects in memory (`layout_changed`) or own virtual slots (`vtable_changed`) differ."""

    name: str
    display: str
    spelling: str
    kind: str
    layout_changed: bool
    vtable_changed: bool
    old_layout: str
    new_layout: str
    old_vtable: str
    new_vtable: str
    old_size: int
    new_size: int
    explanation: str
    """One line: "size 24 → 32: field `armor` (float) added at 20"."""
    objects_unchanged: bool
    """An enumeration of the same size whose known enumerators keep their values: nothing in memory means anything
    else than before."""
    is_local: bool
    is_lambda: bool
    """Closures are told apart by their number in the function: a new lambda before it looks like a change."""
    names_lambda: bool
    file: str
    line: int
