"""Writing a pack as a stream, from what lies in the sidecar: in bounded memory, and nothing is inflated without need.

Entries are copied as they are, deltas that git has made among them as long as their base has just passed by
(delta_window). dulwich's writers hold each object whole, and sort all of them before the first byte (1.2.21).
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from isal import isal_zlib

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import delta_write, deltas
from gitsnap.sidecar.git.deflate import BLOCK, deflated
from gitsnap.sidecar.git.delta_window import DeltaWindow
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.pack_file import entry_header
from gitsnap.sidecar.git.pack_read import OFS_DELTA, REF_DELTA, TYPES, Pack
from gitsnap.sidecar.git.pack_write import BLOB, deflate

_PIECE = 1 << 18
_COPIED = 1 << 20
_NUMBERS = {name: number for number, name in TYPES.items()}


class Text(NamedTuple):
    """A blob that is sent last, as a delta of another one (None: of none) where that is smaller."""

    oid: bytes
    base: bytes | None


def stream(
    store: ObjectStore,
    fresh: Mapping[bytes, tuple[int, bytes]],
    stored: Collection[bytes],
    texts: Sequence[Text],
    there: Collection[bytes] = (),
) -> Iterator[bytes]:
    """The bytes of a pack: `fresh` objects (number of the type, content) that are in no pack yet, `stored` ones in the
    order in which they lie, then `texts`. The reader has what is `there` already.

    Raises IntegrityError for an object that is missing, or damaged as far as that is seen by checksums.
    """
    sha1 = hashlib.sha1(usedforsecurity=False)
    head = b"PACK" + struct.pack(">LL", 2, len(fresh) + len(stored) + len(texts))
    for piece in _chain(head, _entries(store, fresh, stored, texts, there)):
        sha1.update(piece)
        yield piece
    yield sha1.digest()


def _chain(head: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Small pieces come together: each one costs whoever passes it on."""
    gathered, size = [head], len(head)
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)


def _entries(
    store: ObjectStore,
    fresh: Mapping[bytes, tuple[int, bytes]],
    stored: Collection[bytes],
    texts: Sequence[Text],
    there: Collection[bytes],
) -> Iterator[bytes]:
    window = DeltaWindow()
    for oid, (kind, content) in fresh.items():
        yield entry_header(kind, len(content)) + deflate(content)
        window.passed(oid, len(content))
    left = set(stored)
    for pack in store.packs:
        yield from _of_pack(store, pack, left, window)
    for oid in sorted(left):
        yield from _whole(store, oid, window)
    for text in texts:
        content = store.read(text.oid, b"blob")[1]
        yield _text(store, text, content, window, there)
        window.passed(text.oid, len(content))


def _of_pack(store: ObjectStore, pack: Pack, left: set[bytes], window: DeltaWindow) -> Iterator[bytes]:
    """The entries of one pack that are `left` to send, in the order in which they lie."""
    rows = sorted(pack.index.rows(pack.index.held(left), pack.data.end), key=lambda row: row[1])
    left.difference_update([row[0] for row in rows])
    names: dict[int, bytes] = {}
    for oid, start, end, crc in rows:
        kind, size, at, base = pack.data.header(start)
        if kind in TYPES:
            yield from _copied(store, pack, oid, (start, end, crc), window)
            window.passed(oid, size)
            continue
        if kind == OFS_DELTA and not names:
            names = {begin: name for name, begin, _, _ in pack.spans()}
        named = base if isinstance(base, bytes) else names.get(base or 0, b"")
        raw = os.pread(pack.data.fd, end - start, start) if named in window else b""
        if not raw or isal_zlib.crc32(raw) != crc:
            yield from _whole(store, oid, window)
            continue
        made = deltas.announced(pack.data.load(start, deltas.LARGEST)[3])
        window.use(named)
        yield entry_header(REF_DELTA, size) + named + raw[at - start :]
        window.passed(oid, made)


def _copied(
    store: ObjectStore, pack: Pack, oid: bytes, place: tuple[int, int, int], window: DeltaWindow
) -> Iterator[bytes]:
    start, end, crc = place
    if end - start <= _COPIED:
        raw = os.pread(pack.data.fd, end - start, start)
        if isal_zlib.crc32(raw) == crc:
            yield raw
        else:
            yield from _whole(store, oid, window)
        return
    found = 0
    while start < end and (piece := os.pread(pack.data.fd, min(_PIECE, end - start), start)):
        found = isal_zlib.crc32(piece, found)
        start += len(piece)
        yield piece
    if found != crc:
        raise IntegrityError(f"object {oid.hex()} is damaged: it is not as it was written", path=pack.path)


def _whole(store: ObjectStore, oid: bytes, window: DeltaWindow) -> Iterator[bytes]:
    """An object that is read, and deflated anew: a loose one, one that is a delta of what was forgotten, a damaged copy
    of which there is another."""
    large = store.sized_blob(oid)
    if large is not None:
        size, pieces = large
        yield entry_header(BLOB, size)
        yield from deflated(_blocks(pieces), size)
        window.passed(oid, size)
        return
    name, content = store.read(oid)
    yield entry_header(_NUMBERS[name], len(content)) + deflate(content)
    window.passed(oid, len(content))


def _text(store: ObjectStore, text: Text, content: bytes, window: DeltaWindow, there: Collection[bytes]) -> bytes:
    base = text.base
    if base is not None and (base in window or base in there):
        delta = delta_write.make(store.read(base, b"blob")[1], content)
        if 2 * len(delta) < len(content):
            window.use(base)
            return entry_header(REF_DELTA, len(delta)) + base + deflate(delta)
    return entry_header(BLOB, len(content)) + deflate(content)


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What deflated() takes: pieces of a block each, but for the last."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= BLOCK:
            yield bytes(held[:BLOCK])
            del held[:BLOCK]
    if held:
        yield bytes(held)
