"""Payloads of the questions and answers: one encoder and one decoder a kind. Pure; all numbers little-endian.

Decoders raise ProtocolError on payloads that are too short, too long, or hold values that mean nothing."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from relive.wire.frames import FRAME_LIMIT, ProtocolError
from relive.wire.records import (
    CODE_LIMIT,
    CodePatch,
    DataStore,
    Module,
    Switch,
    SwitchMode,
    SwitchResult,
    SwitchStatus,
    TlsPool,
)

_MODULE = struct.Struct("<QQQqIBBH")
_RANGE = struct.Struct("<QI")
_PAIR = struct.Struct("<QQ")
_TRIPLE = struct.Struct("<QQQ")
_SWITCH = struct.Struct("<IIIIII")
_RESULT = struct.Struct("<IIQQQI")
_POOL = struct.Struct("<qQQQ")
_COUNT = struct.Struct("<I")
_SHORT = struct.Struct("<H")
_WORD = struct.Struct("<Q")
_STATUSES: tuple[SwitchStatus, ...] = ("done", "mismatch", "busy", "timeout")
_MODES: tuple[SwitchMode, ...] = ("live", "stop")

P = ParamSpec("P")
T = TypeVar("T")


def _decoder(function: Callable[Concatenate[bytes, P], T]) -> Callable[Concatenate[bytes, P], T]:
    """Turns what struct and tuples say about a bad payload into a ProtocolError."""

    @wraps(function)
    def decode(payload: bytes, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(payload, *args, **kwargs)
        except (struct.error, IndexError) as error:
            raise ProtocolError(f"{function.__name__}: a payload of {len(payload)} bytes makes no sense") from error

    return decode


@_decoder
def decode_modules(payload: bytes) -> tuple[Module, ...]:
    modules = []
    at = 0
    while at < len(payload):
        base, low, high, offset, tls, fixed, id_size, path_size = _MODULE.unpack_from(payload, at)
        at += _MODULE.size
        build_id = payload[at : at + id_size]
        path = payload[at + id_size : at + id_size + path_size]
        at += id_size + path_size
        modules.append(
            Module(path.decode(errors="surrogateescape"), base, low, high, build_id, tls, offset if fixed else None)
        )
    if at != len(payload):
        raise struct.error
    return tuple(modules)


def encode_modules(modules: Sequence[Module]) -> bytes:
    """The agent's side, for fakes and tests."""
    out = []
    for m in modules:
        path = m.path.encode(errors="surrogateescape")
        fixed = m.tls_offset is not None
        head = _MODULE.pack(m.base, m.low, m.high, m.tls_offset or 0, m.tls_module, fixed, len(m.build_id), len(path))
        out.append(head + m.build_id + path)
    return b"".join(out)


def encode_read(ranges: Sequence[tuple[int, int]]) -> bytes:
    """Ranges are (address, size in bytes)."""
    return _COUNT.pack(len(ranges)) + b"".join(_RANGE.pack(address, size) for address, size in ranges)


@_decoder
def decode_read(payload: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The contents, one after the other, for ranges of these sizes."""
    if sum(sizes) != len(payload):
        raise struct.error
    out = []
    at = 0
    for size in sizes:
        out.append(payload[at : at + size])
        at += size
    return out


def encode_reserve(near: tuple[int, int], size: int) -> bytes:
    return _TRIPLE.pack(*near, size)


@_decoder
def decode_address(payload: bytes) -> int:
    address: int = _WORD.unpack(payload)[0]
    return address


def encode_piece(address: int, size: int) -> bytes:
    return _PAIR.pack(address, size)


def encode_load(address: int, size: int, path: bytes) -> bytes:
    return _PAIR.pack(address, size) + path


def encode_lookup(names: Sequence[bytes]) -> bytes:
    return _COUNT.pack(len(names)) + b"".join(_SHORT.pack(len(name)) + name for name in names)


@_decoder
def decode_lookup(payload: bytes, count: int) -> list[int]:
    return list(struct.unpack(f"<{count}Q", payload))


@_decoder
def decode_open(payload: bytes) -> bool:
    return bool(struct.unpack("<B", payload)[0])


def encode_call(functions: Sequence[int]) -> bytes:
    return struct.pack(f"<I{len(functions)}Q", len(functions), *functions)


def encode_switch(switch: Switch) -> bytes:
    """Code patches and rewrites go sorted by address; ValueError for patches that make no sense."""
    code = sorted(switch.code, key=lambda patch: patch.address)
    rewrites = sorted(switch.rewrites, key=lambda rewrite: rewrite.old)
    _check(switch, code)
    parts = [
        _SWITCH.pack(
            switch.stop, switch.timeout_ms, len(code), len(switch.stores), len(rewrites), len(switch.forbidden)
        )
    ]
    changes: tuple[CodePatch | DataStore, ...] = (*code, *switch.stores)
    for change in changes:
        parts.append(_RANGE.pack(change.address, len(change.expected)))
        parts.append(change.expected)
        parts.append(change.replacement)
    parts.extend(_PAIR.pack(rewrite.old, rewrite.new) for rewrite in rewrites)
    parts.extend(_PAIR.pack(area.low, area.high) for area in switch.forbidden)
    return b"".join(parts)


def _check(switch: Switch, code: Sequence[CodePatch]) -> None:
    changes: tuple[CodePatch | DataStore, ...] = (*code, *switch.stores)
    for change in changes:
        if not change.expected or len(change.expected) != len(change.replacement):
            raise ValueError(f"patch at {change.address:#x}: expected and replacement must be of one length, not empty")
    end = 0
    for patch in code:
        if len(patch.expected) > CODE_LIMIT:
            raise ValueError(f"patch at {patch.address:#x}: longer than {CODE_LIMIT} bytes")
        if patch.address < end:
            raise ValueError(f"patch at {patch.address:#x} overlaps the one before")
        end = patch.address + len(patch.expected)


@_decoder
def decode_switch(payload: bytes) -> SwitchResult:
    status, mode, pause, address, rewritten, tid = _RESULT.unpack(payload)
    return SwitchResult(_STATUSES[status], _MODES[mode], pause, address, tid, rewritten)


def encode_active(ranges: Sequence[tuple[int, int]]) -> bytes:
    """Ranges are [low, high)."""
    return _COUNT.pack(len(ranges)) + b"".join(_PAIR.pack(low, high) for low, high in ranges)


@_decoder
def decode_active(payload: bytes) -> list[tuple[int, int]]:
    """(tid, index of the range), each once, sorted."""
    if len(payload) % 8:
        raise struct.error
    return sorted(set(struct.iter_unpack("<II", payload)))


@_decoder
def decode_pool(payload: bytes) -> TlsPool:
    offset, size, module, module_offset = _POOL.unpack(payload)
    return TlsPool(offset, size, module, module_offset)


def encode_install(offset: int, image: bytes) -> bytes:
    return _WORD.pack(offset) + image


def batches(ranges: Sequence[tuple[int, int]], limit: int = FRAME_LIMIT // 2) -> list[list[tuple[int, int]]]:
    """Cuts (address, size) ranges into lists of which each fits into one frame; sizes over `limit` are an error of the
    caller (ValueError)."""
    out: list[list[tuple[int, int]]] = []
    room = -1
    for address, size in ranges:
        if size > limit:
            raise ValueError(f"{size} bytes at {address:#x} are more than one frame holds")
        if size + _RANGE.size > room:
            out.append([])
            room = limit
        out[-1].append((address, size))
        room -= size + _RANGE.size
    return out
