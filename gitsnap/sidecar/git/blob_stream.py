"""Large blobs in pieces, packed or loose, each id computed on the way."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress

from gitsnap.core.content import beside
from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar import files
from gitsnap.sidecar.git.pack_read import Pack

STREAM_FROM = 1 << 23


LOOSE_HEADER = re.compile(rb"(commit|tree|blob|tag) (0|[1-9][0-9]{0,18})\0")


def loose_stream(path: str, oid: bytes) -> tuple[Iterator[bytes], bytes, int] | None:
    """What a loose blob holds, its id, and its size; None for another object."""

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
    head = LOOSE_HEADER.match(first)
    if not head:
        raise IntegrityError(f"object {oid.hex()} is damaged")
    if head[1] != b"blob":
        return None

    def rest() -> Iterator[bytes]:
        yield first[head.end() :]
        yield from stream

    return rest(), oid, int(head[2])


def checked_stream(pieces: Iterator[bytes], oid: bytes, size: int) -> Iterator[bytes]:
    """The pieces of a blob; IntegrityError at the end where they are not those of its id."""
    check = beside(hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), size)
    actual = b""
    try:
        for piece in pieces:
            check.update(piece)
            yield piece
    finally:
        actual = check.digest()
    if actual != oid:
        raise IntegrityError("its content does not match its id")


def is_large(copy: tuple[Pack, int]) -> bool:
    """Whether an entry of a pack is a whole blob that is better streamed."""
    with suppress(IntegrityError):
        kind, length, _, _ = copy[0].data.header(copy[1])
        return kind == 3 and length >= STREAM_FROM
    return False


def large_stream(copy: tuple[Pack, int], oid: bytes, size: int | None, checked: bool = True) -> Iterator[bytes]:
    """What a whole blob in a pack holds; IntegrityError where the size or (`checked`) the id is not met."""
    pack, offset = copy
    _, length, at, _ = pack.data.header(offset)
    if size is not None and length != size:
        raise IntegrityError(f"it has {length} bytes, not {size}", path=pack.path)
    pieces = pack.data.inflate_stream(at, length)
    yield from checked_stream(pieces, oid, length) if checked else pieces


def passes(pieces: Iterator[bytes]) -> bool:
    """Whether a stream comes to its end. Reads all of it."""
    try:
        for _ in pieces:
            continue
    except IntegrityError:
        return False
    return True
