"""Looking whether a large directory is, to the last detail, what a snapshot holds, in several processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gitsnap.core.content import Digesting
from gitsnap.core.entry_comparison import same_content, same_metadata
from gitsnap.core.events import Observer
from gitsnap.core.exclusion import Excludes
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.statcache import Row, StatCache, cut
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.scan_result import Scan, hardlinks
from gitsnap.ops.parallel.pool import Pool, Work, processors

_WORKERS = 4
# Fewer entries are looked at in less time than it takes to start processes.
_WORTH_ENTRIES = 8000
_PER_REQUEST = 32

# A device and an inode, and a name that it has.
_Link = tuple[int, int, bytes]


def confirmed(root: str, wanted: Inventory, known: StatCache, excludes: Excludes, observer: Observer) -> Scan | None:
    """What a scan finds in a directory that holds all that is `wanted`, as it is wanted, and nothing else.

    None where that is not certain, or a scan looks as quickly: it tells what differs. `known` are rows of the stat
    cache, by which files need not be read. Databases that are held as images are never certain.
    """
    workers = min(processors(), _WORKERS)
    if workers < 2 or len(wanted.entries) < _WORTH_ENTRIES or wanted.images or wanted.partial:
        return None
    look = _Look(root, wanted, known, excludes)
    with Pool(look.worker, workers) as pool:
        for start in range(0, len(look.folders), _PER_REQUEST):
            if not look.take(pool.hand_over(start), observer):
                return None
        if not look.take(pool.finish(), observer) or list(pool.lost()):
            return None
    return look.scan()


class _Look:
    """One look at every directory that is wanted, none of them entered from another."""

    def __init__(self, root: str, wanted: Inventory, known: StatCache, excludes: Excludes) -> None:
        self._root, self._wanted, self._known, self._excludes = root, wanted, known, excludes
        self._by_path = wanted.by_path()
        self.folders = [e.path for e in wanted.entries if e.type is Type.DIR]
        self._seen = self._read = 0
        self._links: list[_Link] = []
        self._new: dict[bytes, Row] = {}
        self._without: set[bytes] = set()
        self._excluded: list[bytes] = []
        self._skipped: list[bytes] = []

    def worker(self) -> Work:
        """What a worker does with the directories from a number on."""
        rows = self._known.rows

        def work(start: int) -> tuple[Any, bytes]:
            scanner = Scanner(self._root, Digesting(), ScanOptions(cache=self._known, excludes=self._excludes))
            try:
                scan = scanner.directly_in(self.folders[start : start + _PER_REQUEST])
            except OSError:
                return None, b""
            found = scan.inventory
            if found.partial or scan.mounts or not all(map(self._as_wanted, found.entries)):
                return None, b""
            new = [(path, row) for path, row in scan.rows.items() if rows.get(path) != row]
            without = [e.path for e in found.entries if e.path not in scan.rows]
            links = [(*inode, path) for inode, paths in scanner.links.items() for path in paths]
            size = sum([e.size for e in found.entries])
            about = (len(found.entries), size, scan.read, links, without, found.excluded, found.skipped)
            return (*about, [path for path, _ in new]), b"".join([row for _, row in new])

        return work

    def _as_wanted(self, found: Entry) -> bool:
        wanted = self._by_path.get(found.path)
        return wanted is not None and same_content(wanted, found) and same_metadata(wanted, found)

    def take(self, answers: Iterable[tuple[int, Any, bytes]], observer: Observer) -> bool:
        """Take in what workers found; whether all of it is as wanted."""
        for _, answer, data in answers:
            if answer is None:
                return False
            seen, size, read, links, without, excluded, skipped, new = answer
            self._seen += seen
            self._read += read
            self._links += links
            self._without.update(without)
            self._excluded += excluded
            self._skipped += skipped
            self._new.update(zip(new, cut(data), strict=True))
            observer.advanced(seen, size)
        return True

    def scan(self) -> Scan | None:
        """What a scan would have found; None where something is missing, or linked otherwise."""
        wanted, rows, new = self._wanted, self._known.rows, self._new
        if self._seen != len(wanted.entries) or self._groups() != wanted.hardlinks:
            return None
        inventory = Inventory(wanted.entries, wanted.hardlinks, excluded=self._excluded, skipped=self._skipped)
        scan = Scan(inventory, fresh=len(new), read=self._read)
        for entry in wanted.entries:
            path = entry.path
            if path not in self._without:
                scan.rows[path] = new.get(path) or rows[path]
            if entry.xattrs:
                scan.xattrs[path] = entry.xattrs
        return scan

    def _groups(self) -> list[tuple[bytes, ...]]:
        groups: dict[tuple[int, int], list[bytes]] = {}
        for device, inode, path in self._links:
            groups.setdefault((device, inode), []).append(path)
        return hardlinks(groups.values())
