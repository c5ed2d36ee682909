"""Objects that have files of their own, as git writes them (gitrepository-layout(5), objects/??)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import chain

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import files, limits

_HEADER = re.compile(rb"(commit|tree|blob|tag) (0|[1-9][0-9]{0,18})\0")
_HEAD = 4096


def loose_stream(path: str, oid: bytes) -> tuple[Iterator[bytes], bytes, int] | None:
    """What a loose blob holds, its id, and its size; None for another object.

    What the header says bounds what is inflated. Raises IntegrityError, also from the stream.
    """

    def pieces() -> Iterator[bytes]:
        inflater = zlib.decompressobj()
        with open(files.opened(path), "rb") as file:
            data = file.read(1 << 18)
            while data:
                try:
                    out = inflater.decompress(data, 1 << 20)
                except zlib.error as error:
                    raise IntegrityError(f"object {oid.hex()} is damaged: {error}") from None
                yield out
                data = inflater.unconsumed_tail or file.read(1 << 18)
            if not inflater.eof:
                raise IntegrityError(f"object {oid.hex()} is truncated")

    stream = pieces()
    first = next(stream, b"")
    head = _HEADER.match(first)
    if not head:
        raise IntegrityError(f"object {oid.hex()} is damaged")
    if head[1] != b"blob":
        return None

    def rest() -> Iterator[bytes]:
        left = size
        for piece in chain([first[head.end() :]], stream):
            left -= len(piece)
            if left < 0:
                raise IntegrityError(f"object {oid.hex()} holds more than the {size} bytes it claims")
            yield piece

    size = int(head[2])
    return rest(), oid, size


def read_loose(path: str, oid: bytes, most: int) -> tuple[bytes, bytes]:
    """(type, content) of a loose object of at most `most` bytes. Raises FileNotFoundError, IntegrityError."""
    inflater = zlib.decompressobj()
    with open(files.opened(path), "rb") as file:
        try:
            # What the header says bounds what is inflated: a small file can claim little and hold much.
            plain = inflater.decompress(file.read(_HEAD), 64)
            head = _HEADER.match(plain)
            size = int(head[2]) if head else 0
            if head and size > min(most, limits.WHOLE[head[1]]):
                raise IntegrityError(f"object {oid.hex()} claims {size} bytes")
            # Deflated data is hardly ever longer than the plain.
            data = inflater.unconsumed_tail + file.read(size + (size >> 9) + _HEAD)
            plain += inflater.decompress(data, size + 64)
        except zlib.error as error:
            raise IntegrityError(f"object {oid.hex()} is damaged: {error}") from None
    if not head or size != len(plain) - head.end() or not inflater.eof:
        raise IntegrityError(f"object {oid.hex()} is damaged")
    return head[1], plain[head.end() :]
