"""Staging many files in several processes: each reads contents, checks them, and writes them into the slots."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from gitsnap.core.errors import GitsnapError
from gitsnap.core.events import SILENT
from gitsnap.core.journal import Move
from gitsnap.core.model import Problem, Type
from gitsnap.core.plan import Action, Step
from gitsnap.installation.apply.executor import about
from gitsnap.installation.apply.stage_content import Stager
from gitsnap.ops.parallel.pool import Pool, Work, processors

_WORKERS = 3
_BATCH_FILES, _BATCH_BYTES = 32, 1 << 20
# What is larger is streamed, by the one process that may have threads for it.
_LARGEST = 8 << 20
_AHEAD = 2
# Fewer are written in less time than it takes to start a process.
_WORTH_FILES, _WORTH_BYTES = 200, 4 << 20

# The numbers of a stage and of a slot in it, which is that of a step.
_Slot = tuple[int, int]


class SharedStager(Stager):
    """The same, shared out where there is much to write.

    Whatever a worker does not deliver, its own errors included, is written here.
    """

    def _stage_ahead(self, moves: Sequence[Move], steps: Sequence[Step], heed: Callable[[], None]) -> None:
        workers = min(processors() - 1, _WORKERS)
        batches = _batches(moves, steps) if workers > 0 else deque()
        if not _worth_while(batches, steps):
            return
        with Pool(lambda: self._worker(steps), workers, ahead=_AHEAD) as pool:
            under_way = 0
            while batches:
                heed()
                while batches and under_way < workers * _AHEAD:
                    under_way += 1 - self._take(steps, pool.hand_over(batches.popleft()))
                if batches:
                    self._write_batch(steps, batches.pop())
                under_way -= self._take(steps, pool.answers())
            self._take(steps, pool.finish())
            for batch in pool.lost():
                self._clear(batch)

    def _worker(self, steps: Sequence[Step]) -> Work:
        self._observer = SILENT

        def work(batch: list[_Slot]) -> tuple[Any, bytes]:
            self._ready, self.incomplete = {}, []
            # Who asks for it then meets the same error, and tells it.
            for slot in batch:
                with suppress(OSError, GitsnapError):
                    self._write_batch(steps, [slot])
            self._clear(slot for slot in batch if slot[1] not in self._ready)
            return (list(self._ready.items()), [(p.path, p.reason) for p in self.incomplete]), b""

        return work

    def _write_batch(self, steps: Sequence[Step], batch: Iterable[_Slot]) -> None:
        for stage, slot in batch:
            entry = steps[slot].entry
            assert entry is not None
            with about(entry.path):
                self._ready[slot] = self._write_file(self._stages.fd(stage), b"%d" % slot, entry)
            self._observer.advanced(1)

    def _take(self, steps: Sequence[Step], answers: Iterable[tuple[Any, Any, bytes]]) -> int:
        """Take in what workers have staged; how many batches that were."""
        count = 0
        for _, (staged, incomplete), _ in answers:
            count += 1
            self._ready.update(staged)
            self.incomplete += [Problem(path, reason) for path, reason in incomplete]
            self._observer.advanced(len(staged), sum(entry.size for slot, _ in staged if (entry := steps[slot].entry)))
        return count

    def _clear(self, batch: Iterable[_Slot]) -> None:
        """Remove what a worker has left of these slots: they are written anew."""
        for stage, slot in batch:
            with suppress(FileNotFoundError):
                self._disk.unlink(self._stages.fd(stage), b"%d" % slot)


def _batches(moves: Iterable[Move], steps: Sequence[Step]) -> deque[list[_Slot]]:
    """The slots of the files that are not large, in the order of the moves."""
    batches: deque[list[_Slot]] = deque()
    room = files = 0
    for move in moves:
        step = steps[move.slot]
        entry = step.entry
        if step.action is not Action.WRITE or entry is None or entry.type is not Type.FILE:
            continue
        if entry.size >= _LARGEST or step.link_of is not None:
            continue
        if room < entry.size or not files:
            batches.append([])
            room, files = _BATCH_BYTES, _BATCH_FILES
        batches[-1].append((move.stage, move.slot))
        room, files = room - entry.size, files - 1
    return batches


def _worth_while(batches: Iterable[list[_Slot]], steps: Sequence[Step]) -> bool:
    sizes = [entry.size for batch in batches for _, slot in batch if (entry := steps[slot].entry)]
    return len(sizes) >= _WORTH_FILES or sum(sizes) >= _WORTH_BYTES
