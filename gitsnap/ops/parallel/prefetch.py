"""Contents that a plan will ask for, read and checked by other processes while this one writes those before them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Entry, Type
from gitsnap.core.plan import Action, RestorePlan
from gitsnap.ops.parallel.pool import Pool, Work, processors
from gitsnap.sidecar.git.objects import ObjectStore

_WORKERS = 3
# What is larger than a batch is read when it is asked for.
_BATCH_FILES, _BATCH_BYTES = 64, 1 << 20
_AHEAD = 2
# Fewer are read in less time than it takes to start a process.
_WORTH_FILES, _WORTH_BYTES = 200, 4 << 20


class Prefetching:
    """The contents of the files that a plan writes, in its order. Close it, or use it as a context manager.

    Whatever a worker does not deliver, its own errors included, is read here when it is asked for.
    """

    def __init__(self, store: ObjectStore, plan: RestorePlan) -> None:
        self._store = store
        self._batches = _batches(plan)
        self._next = self._window = 0
        self._under_way: set[int] = set()
        self._coming: set[bytes] = set()
        self._held: dict[bytes, bytes] = {}
        self._pool: Pool | None = None
        # This process has its hands full with writing.
        workers = min(processors() - 1, _WORKERS)
        if workers > 0 and _worth_while(self._batches):
            self._window = workers * _AHEAD
            self._pool = Pool(self._prepare, workers, ahead=_AHEAD)
            try:
                self._hand_over()
            except BaseException:
                self._pool.close()
                raise

    def __enter__(self) -> Prefetching:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()

    def content(self, entry: Entry) -> Iterator[bytes]:
        """The content of a file in pieces, to be compared with its SHA-256; raises IntegrityError."""
        assert entry.oid is not None
        while entry.oid in self._coming:
            self._take()
        data = self._held.pop(entry.oid, None)
        if data is not None and len(data) == entry.size:
            return iter((data,))
        return self._store.blob(entry.oid, entry.size, checked=False)

    def _prepare(self) -> Work:
        def work(number: int) -> tuple[Any, bytes]:
            sizes, pieces = [], []
            for oid, size in self._batches[number]:
                try:
                    data = b"".join(self._store.blob(oid, size))
                except (IntegrityError, OSError):
                    sizes.append(-1)
                else:
                    sizes.append(len(data))
                    pieces.append(data)
            return sizes, b"".join(pieces)

        return work

    def _hand_over(self) -> None:
        """Have the next batches read, but never so many that a slow one among them lets the rest pile up here."""
        assert self._pool is not None
        while self._next < min(len(self._batches), min(self._under_way, default=self._next) + self._window):
            number, self._next = self._next, self._next + 1
            self._under_way.add(number)
            self._coming.update(oid for oid, _ in self._batches[number])
            self._record(self._pool.hand_over(number))

    def _take(self) -> None:
        """Wait for an answer, and have other batches read in its place."""
        assert self._pool is not None
        self._record(self._pool.answers(wait=True))
        for number in self._pool.lost():
            self._done(number)
        self._hand_over()

    def _record(self, answers: Iterable[tuple[int, list[int], bytes]]) -> None:
        for number, sizes, data in answers:
            at = 0
            for (oid, _), size in zip(self._batches[number], sizes, strict=True):
                if size >= 0:
                    self._held[oid] = data[at : at + size]
                    at += size
            self._done(number)

    def _done(self, number: int) -> None:
        self._under_way.discard(number)
        self._coming.difference_update(oid for oid, _ in self._batches[number])


def _batches(plan: RestorePlan) -> list[list[tuple[bytes, int]]]:
    """Ids and sizes of the small contents that a plan writes, each once, in its order."""
    batches: list[list[tuple[bytes, int]]] = []
    seen: set[bytes] = set()
    room = files = 0
    for step in plan.steps:
        entry = step.entry
        if step.action is not Action.WRITE or entry is None or entry.type is not Type.FILE or entry.oid is None:
            continue
        if entry.size > _BATCH_BYTES or entry.oid in seen or step.link_of is not None:
            continue
        seen.add(entry.oid)
        if room < entry.size or not files:
            batches.append([])
            room, files = _BATCH_BYTES, _BATCH_FILES
        batches[-1].append((entry.oid, entry.size))
        room, files = room - entry.size, files - 1
    return batches


def _worth_while(batches: list[list[tuple[bytes, int]]]) -> bool:
    files = sum(map(len, batches))
    return files >= _WORTH_FILES or sum(size for batch in batches for _, size in batch) >= _WORTH_BYTES
