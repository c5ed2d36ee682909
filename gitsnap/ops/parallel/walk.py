"""Looking at a large directory in several processes, where nothing may have changed."""

from __future__ import annotations

from dataclasses import fields
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from gitsnap.core.statcache import Packed
from gitsnap.installation.directories import Directories
from gitsnap.installation.scan.unchanged import Seen, look, walk
from gitsnap.ops.parallel.pool import Pool, Work, processors

if TYPE_CHECKING:
    from gitsnap.core.exclusion import Excludes

_WORKERS = 4
# Fewer entries are looked at in less time than it takes to start processes.
_WORTH_ENTRIES = 20_000
# Directories to share out, at least: they are of very different sizes.
_ENOUGH = 400
_PER_REQUEST = 2
_FIELDS = attrgetter(*(f.name for f in fields(Seen)))


class ParallelWalk:
    """Walks like installation.scan.unchanged.walk, below the directory `root`, with as many processes as are of use."""

    def __init__(self, root: str) -> None:
        self._root = root

    def walk(self, dirs: Directories, folders: list[bytes], rows: Packed, seen: Seen, excludes: Excludes | None) -> int:
        """The same as installation.scan.unchanged.walk."""
        workers = min(processors(), _WORKERS)
        if workers < 2 or len(rows) < _WORTH_ENTRIES:
            return walk(dirs, folders, rows, seen, excludes)
        same = 0
        # Breadth first, so that what is left are many small parts.
        while folders and len(folders) < _ENOUGH:
            count = look(dirs, folders.pop(0), rows, seen, folders, excludes)
            if count < 0:
                return -1
            same += count
        below = self._share_out(workers, folders, rows, seen, excludes)
        if below is None:
            return -1
        rest = walk(dirs, below[1], rows, seen, excludes)
        return -1 if rest < 0 else same + below[0] + rest

    def _share_out(
        self, workers: int, folders: list[bytes], rows: Packed, seen: Seen, excludes: Excludes | None
    ) -> tuple[int, list[bytes]] | None:
        """How many entries the workers found as they were, and the directories that none lived to look at; None where
        too many are not as they were."""

        def prepare() -> Work:
            dirs = Directories(self._root)

            def work(part: list[bytes]) -> tuple[Any, bytes]:
                aside = Seen(seen.tolerant)
                count = walk(dirs, part, rows, aside, excludes)
                return (count, _FIELDS(aside)), b""

            return work

        same = 0
        parts = [folders[at : at + _PER_REQUEST] for at in range(0, len(folders), _PER_REQUEST)]
        with Pool(prepare, workers) as pool:
            answers = chain(chain.from_iterable(map(pool.hand_over, parts)), pool.finish())
            for _, (count, aside), _ in answers:
                if count < 0:
                    return None
                same += count
                seen.add(Seen(*aside))
                if seen.changed and seen.too_much(same):
                    return None
            return same, [folder for part in pool.lost() for folder in part]
