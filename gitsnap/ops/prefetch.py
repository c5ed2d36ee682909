"""Contents that a plan will ask for, read and checked by other processes while this one writes those before them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gitsnap.core.content import WHOLE
from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Entry, Type
from gitsnap.core.plan import Action, RestorePlan
from gitsnap.ops.crew import Crew, Work, processors
from gitsnap.sidecar.objects import ObjectStore

_WORKERS = 3
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
        self._next = 0
        self._coming: set[bytes] = set()
        self._held: dict[bytes, bytes] = {}
        self._crew: Crew | None = None
        # This process has its hands full with writing.
        workers = min(processors() - 1, _WORKERS)
        if workers > 0 and _worth_while(self._batches):
            self._crew = Crew(self._prepare, workers, ahead=_AHEAD)
            for _ in range(workers * _AHEAD):
                self._hand_over()

    def __enter__(self) -> Prefetching:
        return self

    def __exit__(self, *_: object) -> None:
        if self._crew is not None:
            self._crew.close()

    def content(self, entry: Entry) -> Iterator[bytes]:
        """The content of a file in pieces; raises IntegrityError at the end at the latest."""
        assert entry.oid is not None
        while entry.oid in self._coming:
            self._take()
        data = self._held.pop(entry.oid, None)
        if data is not None and len(data) == entry.size:
            return iter((data,))
        return self._store.blob(entry.oid, entry.size)

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
        if self._crew is None or self._next == len(self._batches):
            return
        number, self._next = self._next, self._next + 1
        self._coming.update(oid for oid, _ in self._batches[number])
        self._record(self._crew.hand_over(number))

    def _take(self) -> None:
        """Wait for an answer, and have another batch read in its place."""
        assert self._crew is not None
        answered = self._record(self._crew.answers(wait=True))
        for number in self._crew.lost():
            self._coming.difference_update(oid for oid, _ in self._batches[number])
        for _ in range(answered):
            self._hand_over()

    def _record(self, answers: Iterable[tuple[int, list[int], bytes]]) -> int:
        count = 0
        for number, sizes, data in answers:
            at = 0
            for (oid, _), size in zip(self._batches[number], sizes, strict=True):
                self._coming.discard(oid)
                if size >= 0:
                    self._held[oid] = data[at : at + size]
                    at += size
            count += 1
        return count


def _batches(plan: RestorePlan) -> list[list[tuple[bytes, int]]]:
    """Ids and sizes of the small contents that a plan writes, each once, in its order."""
    batches: list[list[tuple[bytes, int]]] = []
    seen: set[bytes] = set()
    room = files = 0
    for step in plan.steps:
        entry = step.entry
        if step.action is not Action.WRITE or entry is None or entry.type is not Type.FILE or entry.oid is None:
            continue
        if entry.size > WHOLE or entry.oid in seen or step.link_of is not None:
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
