"""The pack that is sent: entries of our own packs as they are stored, deltas where they are small, in bounded memory.

What is copied is checked by the CRC-32 that its index has (gitformat-pack(5)); the other side computes every id again.
A delta is of an object that is over there (a thin pack), or that stands before it in the stream, so that no chain of
them can be a circle, whatever packs the entries came from.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from typing import cast

from dulwich.object_format import SHA1
from dulwich.pack import UnpackedObject, pack_object_header
from isal import isal_zlib

from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import Observer
from gitsnap.sidecar.git import delta_write
from gitsnap.sidecar.git.new_objects import BLOB, COMMIT, TREE, NewObjects
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.pack_read import OFS_DELTA, REF_DELTA, TYPES, Pack

_PIECE = 1 << 18
# Of what is smaller no delta is worth it, of what is larger two are not held at once; in bytes.
_LEAST, _MOST = 256, 32 << 20
# How many deltas may stand upon one another, as git's own pack.depth.
_DEPTH = 50


def records(store: ObjectStore, wanted: NewObjects, observer: Observer) -> Iterator[UnpackedObject]:
    """Every wanted object, once, for dulwich to send. Raises IntegrityError for what is damaged here; it is then known
    to the store (`damaged`)."""
    stream = _Stream(store, wanted)
    for oid, pieces in stream:
        found = UnpackedObject(COMMIT, sha=oid)
        # Sent piece by piece, whatever dulwich calls it.
        found.comp_chunks = cast("list[bytes]", _counted(store, oid, pieces, observer))
        yield found
        observer.advanced(files=1)


def _counted(store: ObjectStore, oid: bytes, pieces: Iterable[bytes], observer: Observer) -> Iterator[bytes]:
    try:
        for piece in pieces:
            observer.advanced(size=len(piece))
            yield piece
    except IntegrityError:
        store.damaged.add(oid)
        raise


class _Stream:
    """Ids with their entries, in an order in which every delta comes after what it is of."""

    def __init__(self, store: ObjectStore, wanted: NewObjects) -> None:
        self._store, self._wanted = store, wanted
        # What was sent, by the length of its chain of deltas.
        self._sent: dict[bytes, int] = {}
        self._names: dict[str, dict[int, bytes]] = {}

    def __iter__(self) -> Iterator[tuple[bytes, Iterable[bytes]]]:
        for oid, (kind, data) in self._wanted.made.items():
            yield oid, self._made(oid, kind, data)
        placed, before = self._placed(), self._wanted.before
        for oid, (pack, row) in placed.items():
            if oid not in before:
                yield oid, self._entry(oid, pack, row)
        for oid, kind in self._wanted.stored.items():
            if oid not in placed:
                yield oid, self._whole(oid, kind)
        # In the order in which they were found: what was before comes before.
        for oid in self._wanted.stored:
            if oid in placed and oid in before:
                yield oid, self._entry(oid, *placed[oid])

    def _placed(self) -> dict[bytes, tuple[Pack, tuple[int, int, int]]]:
        """Where what is stored in packs lies, in the order in which it lies there: start, end and CRC-32."""
        placed: dict[bytes, tuple[Pack, tuple[int, int, int]]] = {}
        left = set(self._wanted.stored)
        for pack in self._store.packs:
            rows = sorted(pack.index.rows(left, pack.data.end), key=lambda row: row[1])
            placed |= {oid: (pack, (start, end, crc)) for oid, start, end, crc in rows}
            left -= placed.keys()
        return placed

    def _is_there(self, oid: bytes) -> bool:
        return oid in self._sent or (oid in self._wanted.known and oid not in self._wanted.stored)

    def _entry(self, oid: bytes, pack: Pack, row: tuple[int, int, int]) -> Iterable[bytes]:
        start, end, _ = row
        kind, size, at, base = pack.data.header(start)
        if kind in TYPES:
            small = self._delta(oid, kind, size, end - start) if oid in self._wanted.before else None
            if small is not None:
                return small
            self._sent[oid] = 0
            return _copied(pack, row, start, b"")
        if kind == OFS_DELTA and isinstance(base, int):
            base = self._name_at(pack, base)
        if isinstance(base, bytes) and self._is_there(base) and self._sent.get(base, 0) < _DEPTH:
            self._sent[oid] = self._sent.get(base, 0) + 1
            return _copied(pack, row, at, bytes(pack_object_header(REF_DELTA, base, size, SHA1)))
        return self._whole(oid, self._wanted.stored[oid])

    def _name_at(self, pack: Pack, offset: int) -> bytes | None:
        """The id of the object that lies there."""
        if pack.path not in self._names:
            self._names[pack.path] = {start: oid for oid, start, _, _ in pack.spans()}
        return self._names[pack.path].get(offset)

    def _delta(self, oid: bytes, kind: int, size: int, stored: int) -> list[bytes] | None:
        """The entry as a delta of what was there before; None where that is not smaller."""
        base = self._wanted.before[oid]
        depth = self._sent.get(base, 0) + 1
        if not _LEAST <= size <= _MOST or not self._is_there(base) or depth > _DEPTH:
            return None
        try:
            old = self._store.read(base, TYPES[kind], _MOST)[1]
        except IntegrityError:
            return None
        new = self._store.read(oid, TYPES[kind], _MOST)[1]
        return self._as_delta((oid, new), (base, old), stored, tree=kind == TREE)

    def _as_delta(
        self, fresh: tuple[bytes, bytes], old: tuple[bytes, bytes], stored: int, *, tree: bool
    ) -> list[bytes] | None:
        delta = delta_write.make(old[1], fresh[1], tree=tree)
        packed = zlib.compress(delta)
        head = bytes(pack_object_header(REF_DELTA, old[0], len(delta), SHA1))
        if len(head) + len(packed) >= stored:
            return None
        self._sent[fresh[0]] = self._sent.get(old[0], 0) + 1
        return [head, packed]

    def _made(self, oid: bytes, kind: int, data: bytes) -> list[bytes]:
        packed = zlib.compress(data)
        before = self._wanted.before.get(oid)
        old = self._wanted.regenerated.get(before) if before is not None else None
        if before is not None and old is not None:
            small = self._as_delta((oid, data), (before, old), len(packed), tree=kind == TREE)
            if small is not None:
                return small
        self._sent[oid] = 0
        return [bytes(pack_object_header(kind, None, len(data), SHA1)), packed]

    def _whole(self, oid: bytes, kind: int) -> Iterator[bytes]:
        """An entry made of an object that is loose, or whose delta is of no use over there."""
        self._sent[oid] = 0
        loose = self._store.loose_blob(oid) if kind == BLOB else None
        if loose is None:
            data = self._store.read(oid, TYPES[kind])[1]
            yield bytes(pack_object_header(kind, None, len(data), SHA1))
            yield zlib.compress(data)
            return
        pieces, size = loose
        yield bytes(pack_object_header(kind, None, size, SHA1))
        packer = zlib.compressobj()
        for piece in pieces:
            yield packer.compress(piece)
        yield packer.flush()


def _copied(pack: Pack, row: tuple[int, int, int], at: int, head: bytes) -> Iterator[bytes]:
    """What is stored, from `at` on, behind another head perhaps; IntegrityError where it is not as it was written."""
    start, end, expected = row
    crc = isal_zlib.crc32(os.pread(pack.data.fd, at - start, start))
    if head:
        yield head
    while at < end:
        data = os.pread(pack.data.fd, min(_PIECE, end - at), at)
        if not data:
            raise IntegrityError("the pack ends in the middle of an entry", path=pack.path)
        crc, at = isal_zlib.crc32(data, crc), at + len(data)
        if at == end and crc != expected:
            raise IntegrityError("an entry of the pack is not what was written", path=pack.path)
        yield data
