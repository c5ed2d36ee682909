"""Large blobs in pieces, each id computed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress

from gitsnap.core.content import beside
from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git.pack_read import Pack

STREAM_FROM = 1 << 23


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
