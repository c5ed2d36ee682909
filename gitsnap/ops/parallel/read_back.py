"""Reading many blobs again, in several processes where that is worth while: what each really holds."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gitsnap.core.content import WORTHWHILE, beside
from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import Observer
from gitsnap.ops.parallel.pool import Pool, Work, processors
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.packed_ids import PackedIds

_WORKERS = 4
_PER_REQUEST = 256
# Fewer are read in less time than it takes to start a process.
_WORTH_OBJECTS = 300
# What a worker has in hand is two numbers a request: hundreds of them fit into a pipe.
_AHEAD = 1000

# A blob's size and SHA-256, or what is wrong with it.
ReadBack = tuple[int, bytes] | str
_SHA256 = 32
# Of what is only known to be readable.
_NOTHING = (0, bytes(_SHA256))


class ReadBacks(Mapping[bytes, ReadBack]):
    """What objects hold, by their raw ids: 70 bytes for each, where a dictionary of tuples takes 300."""

    def __init__(self) -> None:
        self._ids, self._sizes, self._digests = PackedIds(), array("Q"), bytearray()
        # What cannot be read, and why.
        self.problems: dict[bytes, str] = {}

    def __setitem__(self, oid: bytes, held: ReadBack) -> None:
        if isinstance(held, str):
            self.problems[oid] = held
            held = _NOTHING
        elif self.problems:
            self.problems.pop(oid, None)
        number = self._ids.add(oid)
        if number == len(self._sizes):
            self._sizes.append(held[0])
            self._digests += held[1]
        else:
            self._sizes[number] = held[0]
            self._digests[_SHA256 * number : _SHA256 * (number + 1)] = held[1]

    def __getitem__(self, oid: bytes) -> ReadBack:
        number = self._ids.number(oid)
        if number < 0:
            raise KeyError(oid)
        if self.problems and oid in self.problems:
            return self.problems[oid]
        return self._sizes[number], bytes(self._digests[_SHA256 * number : _SHA256 * (number + 1)])

    def wrong(self, files: Iterable[tuple[bytes, int, bytes]]) -> bool:
        """Whether one of these contents, each an id with the size and SHA-256 that it is said to have, is not known to
        hold that."""
        number, sizes, digests = self._ids.number, self._sizes, self._digests.startswith
        return any(
            (n := number(oid)) < 0 or sizes[n] != size or not digests(sha256, _SHA256 * n) or oid in self.problems
            for oid, size, sha256 in files
        )

    def __contains__(self, oid: object) -> bool:
        return isinstance(oid, bytes) and oid in self._ids

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


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
        known: ReadBacks,
        observer: Observer,
        kind: bytes | None = b"blob",
    ) -> None:
        self._store, self._known, self._observer, self._kind = store, known, observer, kind
        wanted: Iterable[bytes] = (oid for oid in oids if oid not in known) if known else oids
        if kind is None:
            # Who only wants to know whether they can be read need not wait until they are inflated.
            wanted = set(wanted)
            whole = store.as_written(wanted)
            for oid in whole:
                known[oid] = _NOTHING
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
        self._observer.advanced(len(found), sum([0 if isinstance(held, str) else held[0] for held in found]))

    def finish(self) -> ReadBacks:
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
    return len(content), hashlib.sha256(content).digest() if kind is not None else _NOTHING[1]


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
