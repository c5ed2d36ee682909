"""Setting the times of many files in several processes, each under its lease (installation.apply.times)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

from gitsnap.core.model import Xattrs
from gitsnap.core.statcache import Row, cut
from gitsnap.installation.apply.times import Retime, Retiming
from gitsnap.installation.directories import Directories
from gitsnap.installation.disk import Disk
from gitsnap.ops.parallel.pool import Pool, Work, processors

_WORKERS = 4
# Fewer get their times in less time than it takes to start processes.
_WORTH_FILES = 4000
# After each request a worker waits for the kernel's clock, some milliseconds.
_PER_REQUEST = 2000


class Retimers(Retiming):
    """The same below the directory `root`, shared out where there is much to do."""

    def __init__(self, root: bytes, disk: Disk, known: Mapping[bytes, Row], xattrs: Mapping[bytes, Xattrs]) -> None:
        super().__init__(disk, known, xattrs)
        self._root = root

    def set_all(self, dirs: Directories, wanted: Sequence[Retime], heed: Callable[[], None]) -> set[bytes]:
        """The same. What a worker has in hand when `heed` raises, it ends before this does."""
        workers = min(processors(), _WORKERS)
        if workers < 2 or len(wanted) < _WORTH_FILES:
            return super().set_all(dirs, wanted, heed)
        done: set[bytes] = set()

        def take(answers: Iterable[tuple[int, Any, bytes]]) -> None:
            for start, (times, rows), data in answers:
                done.update(wanted[start + at][0] for at in times)
                self.rows.update((wanted[start + at][0], row) for at, row in zip(rows, cut(data), strict=True))

        with Pool(self._worker(wanted), workers) as pool:
            for start in range(0, len(wanted), _PER_REQUEST):
                heed()
                take(pool.hand_over(start))
            take(pool.finish())
        # What a worker that died had in hand is not among them.
        return done

    def _worker(self, wanted: Sequence[Retime]) -> Callable[[], Work]:
        def prepare() -> Work:
            # Sent when somebody wants to write to what is under a lease; it ends a process that says nothing else.
            signal.signal(signal.SIGIO, signal.SIG_IGN)
            dirs = Directories(os.fsdecode(self._root))

            def work(start: int) -> tuple[Any, bytes]:
                part = wanted[start : start + _PER_REQUEST]
                with closing(Retiming(self._disk, self._known, self._xattrs, alone=True)) as retiming:
                    done = retiming.set_all(dirs, part, lambda: None)
                    rows = [(at, retiming.rows[path]) for at, (path, _) in enumerate(part) if path in retiming.rows]
                times = [at for at, (path, _) in enumerate(part) if path in done]
                return (times, [at for at, _ in rows]), b"".join([row for _, row in rows])

            return work

        return prepare
