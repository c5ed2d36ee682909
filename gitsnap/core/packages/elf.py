"""The sections of a program in ELF."""

from __future__ import annotations

import struct


def section(data: bytes, name: bytes) -> bytes:
    """The content of a section of a program; empty where it has none, or is no ELF file."""
    try:
        return _section(data, name)
    except (struct.error, IndexError):
        return b""


def _section(data: bytes, name: bytes) -> bytes:
    if data[:4] != b"\x7fELF" or data[4] not in (1, 2) or data[5] not in (1, 2):
        return b""
    order = "<" if data[5] == 1 else ">"
    wide = data[4] == 2
    (start,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 40 if wide else 32)
    size, count, names = struct.unpack_from(order + "HHH", data, 58 if wide else 46)
    # sh_name, then sh_offset and sh_size, which stand at another place in 32 bits.
    headers = []
    for number in range(count):
        at = start + number * size
        (label,) = struct.unpack_from(order + "I", data, at)
        headers.append((label, *struct.unpack_from(order + ("QQ" if wide else "II"), data, at + (24 if wide else 16))))
    _, table, _ = headers[names]
    for label, offset, length in headers:
        if data.startswith(name + b"\0", table + label):
            return data[offset : offset + length]
    return b""
