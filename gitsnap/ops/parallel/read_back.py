"""Reading many blobs again, in several processes where that is worth while: what each really holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gitsnap.core.content import WORTHWHILE, beside
from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import Observer
from gitsnap.ops.parallel.pool import Pool, Work, processors
from gitsnap.sidecar.git.objects import ObjectStore

_WORKERS = 4
_PER_REQUEST = 256
# Fewer are read in less time than it takes to start a process.
_WORTH_OBJECTS = 300
# What a worker has in hand is two numbers a request: hundreds of them fit into a pipe.
_AHEAD = 1000

# A blob's size and SHA-256, or what is wrong with it.
ReadBack = tuple[int, bytes] | str


class Rereading:
    """Reads the blobs with these ids, in the order in which they lie on disk, from the moment it is made.

    `known` is what earlier ones found, and takes in what this one finds. With `kind` None, objects of any type do, and
    all that is told is whether they can be read: of those that are, to a checksum, as they were once written, neither
    size nor digest.
    Close it, or use it as a context manager.
    """

    def __init__(
        self,
        store: ObjectStore,
        oids: Iterable[bytes],
        known: dict[bytes, ReadBack],
        observer: Observer,
        kind: bytes | None = b"blob",
    ) -> None:
        self._store, self._known, self._observer, self._kind = store, known, observer, kind
        wanted = {oid for oid in oids if oid not in known}
        if kind is None:
            # Who only wants to know whether they can be read need not wait until they are inflated.
            whole = store.as_written(wanted)
            known.update(dict.fromkeys(whole, (0, b"")))
            wanted -= whole
        self._small, self._large = store.in_order(wanted)
        self._pool: Pool | None = None
        workers = min(processors(), _WORKERS)
        if workers > 1 and len(self._small) >= _WORTH_OBJECTS:
            self._pool = Pool(self._prepare, workers, ahead=_AHEAD)
            try:
                for start in range(0, len(self._small), _PER_REQUEST):
                    self._take(self._pool.hand_over(start))
            except BaseException:
                self._pool.close()
                raise

    def __enter__(self) -> Rereading:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()

    def _prepare(self) -> Work:
        def work(start: int) -> tuple[Any, bytes]:
            return [_reread(self._store, oid, self._kind) for oid in self._small[start : start + _PER_REQUEST]], b""

        return work

    def _take(self, answers: Iterator[tuple[int, Sequence[ReadBack], bytes]]) -> None:
        for start, found, _ in answers:
            self._record(self._small[start : start + _PER_REQUEST], found)

    def _record(self, oids: Sequence[bytes], found: Sequence[ReadBack]) -> None:
        for oid, held in zip(oids, found, strict=True):
            self._known[oid] = held
            self._observer.advanced(1, 0 if isinstance(held, str) else held[0])

    def finish(self) -> dict[bytes, ReadBack]:
        """What every blob holds."""
        for oid in self._large:
            self._known[oid] = _reread_large(self._store, oid, self._observer)
            self._observer.advanced(1)
        starts: Iterable[int] = range(0, len(self._small), _PER_REQUEST)
        if self._pool is not None:
            self._take(self._pool.finish())
            starts = self._pool.lost()
        for start in starts:
            for oid in self._small[start : start + _PER_REQUEST]:
                self._record([oid], [_reread(self._store, oid, self._kind)])
        return self._known


def _reread(store: ObjectStore, oid: bytes, kind: bytes | None) -> ReadBack:
    try:
        content = store.read(oid, kind)[1]
    except IntegrityError as error:
        return error.message
    return len(content), hashlib.sha256(content).digest() if kind is not None else b""


def _reread_large(store: ObjectStore, oid: bytes, observer: Observer) -> ReadBack:
    sha256, size = beside(hashlib.sha256(), WORTHWHILE), 0
    failure = None
    try:
        for piece in store.blob(oid):
            sha256.update(piece)
            size += len(piece)
            observer.advanced(0, len(piece))
    except IntegrityError as error:
        failure = error.message
    finally:
        digest = sha256.digest()
    return failure or (size, digest)
