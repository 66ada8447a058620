"""ctypes front of the C reader: bytes of an ELF file in, `DebugInfo` out.

The C side keeps one handle per file: an index of all entries, made by `read`, and tables of types, variables and
functions, made when first asked for. Their rows come over as numpy arrays (copies, so nothing dangles); texts stay in C
until a record is made. A `DebugInfo` therefore holds about as much memory as the debug sections; what should live long
is `DebugInfo.type_table()`, 16 bytes a type, which is all that comparing needs until something differs.

One `DebugInfo` must not be used by two threads at once (the C side has no locks); different ones may."""

from __future__ import annotations

import ctypes
import posixpath
import weakref
import zlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relive.dwarf.library import FUNCTION, LINE, PART, TABLES, TEXT, TYPE, UNIT, VARIABLE, Packed, Rows, Text, load
from relive.dwarf.model import (
    FunctionRecord,
    LineRow,
    Location,
    NoDebugInfoError,
    Part,
    TypeRecord,
    UnitRecord,
    VariableRecord,
)
from relive.dwarf.tables import TypeTable
from relive.errors import FormatError

Array = NDArray[Any]

_KINDS = {0x02: "class", 0x04: "enum", 0x13: "struct", 0x17: "union", 0x38: "class"}
_T_LOCAL, _T_ANONYMOUS, _T_LAMBDA, _T_NAMES_LAMBDA, _T_DECLARATION = 1, 2, 4, 8, 16
_V_EXTERNAL, _V_CONST, _V_TLS, _V_PIECES, _V_ANONYMOUS, _V_MEMBER, _V_INCOMPLETE = 1, 2, 4, 8, 16, 32, 128
_V_COMPUTED = 256
_F_EXTERNAL, _F_NORETURN, _F_ARTIFICIAL, _F_LAMBDA = 1, 2, 4, 8
_L_STMT, _L_END = 1, 2
_C = frozenset({0x01, 0x02, 0x0C, 0x1D, 0x2C, 0x3E})  # DWARF 5 table 7.17
_CPP = frozenset({0x04, 0x19, 0x1A, 0x21, 0x2A, 0x2B, 0x3A})
_ASM = 0x8001  # DW_LANG_Mips_Assembler
_NONE = 0xFFFFFFFF


class Reader:
    """The compiled reader. `library`: the shared library made of `relive.dwarf.SOURCES`."""

    def __init__(self, library: Path) -> None:
        self._calls = load(library)

    def read(self, data: bytes | memoryview) -> DebugInfo:
        """Indexes an x86-64 object file, executable or shared object. `data` must not change while the result lives
        (it is not copied). NoDebugInfoError: nothing to read; FormatError: truncated, damaged, or not supported (split
        DWARF, zstd)."""
        return DebugInfo(self._calls, data)


class DebugInfo:
    """What one file's debug information says. Made by `Reader.read`."""

    def __init__(self, calls: dict[str, Any], data: bytes | memoryview) -> None:
        self._call = calls
        self._data = np.frombuffer(data, np.uint8)  # keeps the bytes alive
        self._unpacked: list[bytes] = []
        self._handle = calls["create"]()
        if not self._handle:
            raise MemoryError
        self._finalizer = weakref.finalize(self, calls["close"], self._handle)
        try:
            self._check(calls["open"](self._handle, self._data.ctypes.data, len(self._data)))
            self._unpack()
            self._check(calls["index"](self._handle))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees the C side now instead of when the object dies. Nothing else may be called afterwards."""
        self._handle = None
        self._finalizer()

    @property
    def is_relocatable(self) -> bool:
        return bool(self._call["relocatable"](self._open()))

    @property
    def entries(self) -> int:
        """Number of debug information entries that were walked over."""
        return int(self._call["entries"](self._open()))

    # ---- types ----

    @cached_property
    def types(self) -> Mapping[str, TypeRecord]:
        """Definitions by name (the first one where a name has several)."""
        return _Types(self)

    @cached_property
    def type_rows(self) -> Array:
        """One row a definition: `name_hash`, `layout`, `vtable`, `contained` (u8), `size`; index as for `type`."""
        definitions: Array = self._all_types[(self._all_types["flags"] & _T_DECLARATION) == 0]
        return definitions

    @cached_property
    def declared(self) -> frozenset[str]:
        """Names of types that are only declared here (a class with a key function, say: gcc defines it in one unit)."""
        rows = self._all_types
        return frozenset(self._text(name) for name in rows["name"][(rows["flags"] & _T_DECLARATION) != 0].tolist())

    def type(self, index: int) -> TypeRecord:
        name, show, spelling, _, layout, vtable, contained, size, _, _, tag, flags, file, line = self.type_rows[
            index
        ].tolist()
        return TypeRecord(
            name=self._text(name),
            display=self._text(show),
            spelling=self._text(spelling),
            kind=_KINDS.get(tag, "struct"),
            size=size,
            layout_hash=layout,
            vtable_hash=vtable,
            deep_hash=contained,
            is_local=bool(flags & _T_LOCAL),
            is_anonymous_namespace=bool(flags & _T_ANONYMOUS),
            is_lambda=bool(flags & _T_LAMBDA),
            names_lambda=bool(flags & _T_NAMES_LAMBDA),
            file=self._file(file),
            line=line,
        )

    def find_types(self, name: str) -> tuple[int, ...]:
        """Indices of all definitions of this name (several: C structs of different functions, lambdas' helpers)."""
        encoded = name.encode("utf-8", "surrogateescape")
        hashed = self._call["hash"](encoded, len(encoded))
        return tuple(int(i) for i in np.nonzero(self.type_rows["name_hash"] == hashed)[0])

    def layout_text(self, index: int) -> str:
        """What objects of the type hold, one line an entry; format: see types.c."""
        return self._type_text(index, 0)

    def vtable_text(self, index: int) -> str:
        """The virtual functions that the class itself declares, `slot name` a line, in slot order."""
        return self._type_text(index, 1)

    def type_table(self) -> TypeTable:
        """What comparing needs, and nothing else: may outlive this object."""
        rows = self.type_rows
        return TypeTable.of(rows["name_hash"], rows["layout"], rows["vtable"])

    # ---- variables and functions ----

    @cached_property
    def variables(self) -> tuple[VariableRecord, ...]:
        return tuple(self._variable(row) for row in self._table("variables", VARIABLE).tolist())

    @cached_property
    def function_rows(self) -> Array:
        """One row a function: `section`, `value`, `size`, `symbol`, `addend`, `line`, ...; index as for `function`."""
        return self._table("functions", FUNCTION)

    @cached_property
    def functions(self) -> tuple[FunctionRecord, ...]:
        """All of them, 6 µs each: where a few are wanted, `function_rows` finds them and `function` makes them."""
        return tuple(self._function(row) for row in self.function_rows.tolist())

    def function(self, index: int) -> FunctionRecord:
        return self._function(self.function_rows[index].tolist())

    def function_at(self, section: int, offset: int) -> FunctionRecord | None:
        """The function whose code (its first part) begins at this place; linked files: section 0 and the address. Where
        an empty one (clang: nothing but undefined behaviour) shares the place with another, the other."""
        rows = self.function_rows
        found = np.nonzero((rows["section"] == section) & (rows["value"] == offset))[0]
        return self.function(int(found[np.argmax(rows["size"][found])])) if len(found) else None

    # ---- units, files, lines ----

    @cached_property
    def units(self) -> tuple[UnitRecord, ...]:
        return tuple(
            UnitRecord(
                name=self._text(name),
                comp_dir=self._text(comp_dir),
                producer=self._text(producer),
                language=_language(language),
                version=version,
                is_type_unit=bool(type_unit),
            )
            for name, comp_dir, producer, language, version, type_unit, _ in self._table("units", UNIT).tolist()
        )

    def lines(self, section: int) -> tuple[LineRow, ...]:
        """The line rows of one text section of a relocatable object, in program order."""
        assert self.is_relocatable, "a linked file has addresses: lines_between"
        return self._lines(section, 0, 0)

    def lines_between(self, low: int, high: int) -> tuple[LineRow, ...]:
        """The line rows of the addresses [low, high) of a linked file, each sequence with its end row."""
        assert not self.is_relocatable, "a relocatable object has sections: lines"
        return self._lines(0, low, high)

    # ---- inside ----

    @cached_property
    def _all_types(self) -> Array:
        return self._table("types", TYPE)

    @cached_property
    def _parts(self) -> Array:
        return self._table("parts", PART)

    def _open(self) -> int:
        assert self._handle is not None, "used after close"
        return int(self._handle)

    def _check(self, result: int) -> None:
        if result == 0:
            return
        message = self._call["error"](self._handle).decode("utf-8", "replace")
        hint = self._call["hint"](self._handle).decode()
        raise (NoDebugInfoError if self._call["error_kind"](self._handle) == 1 else FormatError)(message, hint)

    def _unpack(self) -> None:
        """zlib is in Python already, so the C side can be built without its headers."""
        packed, i = Packed(), 0
        while self._call["packed"](self._handle, i, ctypes.byref(packed)):
            if packed.kind != 1:
                name = {2: "zstd"}.get(packed.kind, f"method {packed.kind}")
                raise FormatError(
                    f"the debug sections are compressed with {name}", "compile with -gz=zlib or without -gz"
                )
            if packed.size > packed.packed * 1100 + 1024:  # deflate cannot do better than 1032:1
                raise FormatError("a compressed debug section claims an impossible size")
            try:
                content = zlib.decompress(ctypes.string_at(packed.data, packed.packed), bufsize=packed.size or 1)
            except zlib.error as error:
                raise FormatError(f"a compressed debug section is damaged: {error}") from error
            if len(content) != packed.size:
                raise FormatError("a compressed debug section is not as long as it says")
            self._unpacked.append(content)
            address = np.frombuffer(content, np.uint8).ctypes.data
            self._call["unpacked"](self._handle, i, address)
            i += 1

    def _table(self, name: str, dtype: np.dtype[Any]) -> Array:
        rows = Rows()
        self._check(self._call["table"](self._open(), TABLES[name], ctypes.byref(rows)))
        assert rows.size == dtype.itemsize, f"row of {name}: {rows.size} bytes in C, {dtype.itemsize} here"
        if rows.count == 0:
            return np.empty(0, dtype)
        return np.frombuffer(ctypes.string_at(rows.rows, rows.count * rows.size), dtype)

    def _text(self, text: tuple[int, int]) -> str:
        """The text behind a `Str` of C: (address, length)."""
        address, n = text
        if not n:
            return ""
        assert self._handle is not None, "used after close"
        return ctypes.string_at(address, n).decode("utf-8", "surrogateescape")

    def _type_text(self, index: int, which: int) -> str:
        text = Text()
        self._check(self._call["text"](self._open(), int(self.type_rows["type"][index]), which, ctypes.byref(text)))
        return ctypes.string_at(text.p, text.n).decode("utf-8", "surrogateescape") if text.n else ""

    def _file(self, number: int) -> str:
        if number == _NONE:
            return ""
        if number >= len(self._files):  # a later table brought in more files
            self._files = [
                posixpath.normpath(name) if (name := self._text(row)) else ""
                for row in self._table("files", TEXT).tolist()
            ]
        return self._files[number]

    @cached_property
    def _files(self) -> list[str]:
        return []

    def _lines(self, section: int, low: int, high: int) -> tuple[LineRow, ...]:
        self._check(self._call["lines"](self._open(), section, low, high))
        rows = self._table("lines", LINE)
        return tuple(
            LineRow(offset, self._file(file), line, column, bool(flags & _L_STMT), bool(flags & _L_END))
            for offset, file, line, column, flags in rows.tolist()
        )

    def _variable(self, row: tuple[Any, ...]) -> VariableRecord:
        plain, show, linkage, owner, path, spelling, type_hash, size, addend, value, symbol, section, *numbers = row
        unit, flags, file, line, ordinal, _ = numbers
        ordinals = self._text(path)
        return VariableRecord(
            name=self._text(show),
            plain=self._text(plain),
            linkage=self._text(linkage),
            owner=self._text(owner),
            block_path=tuple(int(ordinal) for ordinal in ordinals.split(".")) if ordinals else (),
            ordinal=ordinal,
            type=self._text(spelling),
            type_hash=type_hash,
            size=size,
            is_const=bool(flags & _V_CONST),
            is_tls=bool(flags & _V_TLS),
            is_external=bool(flags & _V_EXTERNAL),
            is_member=bool(flags & _V_MEMBER),
            is_anonymous_namespace=bool(flags & _V_ANONYMOUS),
            is_computed=bool(flags & _V_COMPUTED),
            is_whole=not flags & _V_PIECES,
            is_complete=not flags & _V_INCOMPLETE,
            file=self._file(file),
            line=line,
            unit=unit,
            location=Location(symbol, addend, section, value),
        )

    def _function(self, row: tuple[Any, ...]) -> FunctionRecord:
        show, linkage, signature, size, addend, value, symbol, section, unit, flags, file, line, first, count = row
        return FunctionRecord(
            name=self._text(show),
            linkage=self._text(linkage),
            signature=self._text(signature),
            size=size,
            is_external=bool(flags & _F_EXTERNAL),
            is_noreturn=bool(flags & _F_NORETURN),
            is_artificial=bool(flags & _F_ARTIFICIAL),
            is_lambda=bool(flags & _F_LAMBDA),
            file=self._file(file),
            line=line,
            unit=unit,
            location=Location(symbol, addend, section, value),
            parts=tuple(
                Part(Location(symbol, addend, section, value), size)
                for addend, value, symbol, section, size in self._parts[first : first + count].tolist()
            ),
        )


class _Types(Mapping[str, TypeRecord]):
    def __init__(self, info: DebugInfo) -> None:
        self._info = info

    def __getitem__(self, name: str) -> TypeRecord:
        found = self._info.find_types(name)
        if not found:
            raise KeyError(name)
        return self._info.type(found[0])

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._info._text(name) for name in self._info.type_rows["name"].tolist()))

    def __len__(self) -> int:
        return len(np.unique(self._info.type_rows["name_hash"]))


def _language(code: int) -> str:
    return "c" if code in _C else "c++" if code in _CPP else "asm" if code == _ASM else "other"
