"""ninja's deps log, ``.ninja_deps``: the depfiles that ninja read and removed (rules with ``deps = gcc``).

Format, from ninja's deps_log.cc (versions 3 and 4, little endian, 4-byte aligned):

    "# ninjadeps\\n"  u32 version
    record*          u32 size, high bit set for a deps record; then `size` bytes
      path record    the path, up to three NULs of padding, u32 ~id; ids count path records from 0
      deps record    u32 id of the output; mtime (u32 in version 3, u64 in version 4); u32 ids of the inputs

Later records replace earlier ones. ninja appends while it runs and may be killed, so a broken end is normal: everything
up to the first bad record holds, exactly as ninja itself recovers."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from relive.errors import BuildError

_MAGIC = b"# ninjadeps\n"
_MAX_RECORD = (1 << 19) - 1
_U32 = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class NinjaDeps:
    """Paths as ninja spells them: relative to the build directory where it runs, or absolute."""

    paths: tuple[str, ...]
    inputs: dict[str, tuple[int, ...]]
    """Output → indices into `paths`; many outputs share most of their headers."""

    def of(self, output: str) -> tuple[str, ...]:
        """Inputs of an output, empty when the log does not know it."""
        return tuple(self.paths[index] for index in self.inputs.get(output, ()))


def parse_ninja_deps(data: bytes) -> NinjaDeps:
    """BuildError when this is not a deps log of version 3 or 4."""
    if not data.startswith(_MAGIC) or len(data) < len(_MAGIC) + 4:
        raise BuildError("this is not a ninja deps log", "run ninja once, so that it writes the log anew")
    (version,) = _U32.unpack_from(data, len(_MAGIC))
    if version not in (3, 4):
        raise BuildError(f"ninja deps log version {version} is unknown", "relive knows versions 3 and 4")
    header = 2 if version == 3 else 3  # words before the input ids
    paths: list[str] = []
    inputs: dict[int, tuple[int, ...]] = {}
    position = len(_MAGIC) + 4
    while position + 4 <= len(data):
        (size,) = _U32.unpack_from(data, position)
        is_deps, size = bool(size >> 31), size & 0x7FFF_FFFF
        position += 4
        if size > _MAX_RECORD or position + size > len(data) or size % 4 or size < 4:
            break
        if is_deps:
            words = struct.unpack_from(f"<{size // 4}I", data, position)
            if len(words) < header or max(words[header:], default=0) >= len(paths) or words[0] >= len(paths):
                break
            inputs[words[0]] = words[header:]
        else:
            (check,) = _U32.unpack_from(data, position + size - 4)
            raw = data[position : position + size - 4]
            if check ^ 0xFFFF_FFFF != len(paths) or not raw:
                break
            # ninja pads to four bytes, so at most three NULs belong to the padding
            paths.append(raw.rstrip(b"\0").decode("utf-8", "surrogateescape"))
        position += size
    return NinjaDeps(tuple(paths), {paths[output]: ids for output, ids in inputs.items()})
