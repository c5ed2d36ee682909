"""One name looked at closely, where the fast path could not settle it: content, databases in use, changes under way."""

from __future__ import annotations

import os
import stat
import time

from gitsnap.core.content import SizeChanged
from gitsnap.core.exclusion import Excludes
from gitsnap.core.model import Problem, Type
from gitsnap.core.statcache import Row, StatCache
from gitsnap.installation.entries import TYPES, entry_of
from gitsnap.installation.scan.read_content import ContentReader
from gitsnap.installation.scan_result import Recording, set_xattrs
from gitsnap.installation.sqlite.record import Images
from gitsnap.installation.stable_read import COARSE_NS, ReadFailedError, UnstableError, key, let_settle
from gitsnap.installation.stable_read import settled as _settled

_TRIES = 3
# A page, the least that a SQLite database can be.
_SMALLEST = 512
_LARGE = 1 << 24


class SlowPath:
    """Records names one at a time. `suspect` are files that changed under our hands; `links` the names, by device and
    inode, of what has several."""

    def __init__(
        self,
        recording: Recording,
        intake: ContentReader,
        images: Images | None,
        cache: StatCache,
        excludes: Excludes,
    ) -> None:
        self._recording, self._intake, self._images = recording, intake, images
        self._cache, self._excludes = cache, excludes
        self.suspect: set[bytes] = set()
        self.links: dict[tuple[int, int], list[bytes]] = {}

    def name(
        self, fd: int, name: bytes, path: bytes, found: os.stat_result | None = None, started: int = 0
    ) -> os.stat_result | None:
        """Record one name, trying again while it changes under our hands. The first look may have been taken already,
        at `started` or later, with the exclusions asked. What cannot be had is named; SinkFailed goes through."""
        failure: Exception | None = None
        for _ in range(_TRIES):
            try:
                if found is None:
                    # Taken before the look: what changes after this moment, and a tick later, shows in the times.
                    started = time.time_ns()
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if self._left_out(path, found):
                        return None
            except FileNotFoundError:
                if failure is not None:
                    self._recording.scan.inventory.partial.append(Problem(path, "vanished while it was read"))
                return None
            except OSError as error:
                failure = error
                continue
            try:
                return found if self._record(fd, name, path, found, started) else None
            except ReadFailedError as failed:
                failure = failed.cause
            except (UnstableError, SizeChanged, OSError) as error:
                failure = error
            found = None
            self.suspect.add(path)
        assert failure is not None
        self._recording.partial(path, failure)
        return None

    def _left_out(self, path: bytes, found: os.stat_result) -> bool:
        is_dir = stat.S_ISDIR(found.st_mode)
        if not self._excludes(path, is_dir):
            return False
        self._recording.scan.inventory.excluded.append(path + b"/" if is_dir else path)
        return True

    def _record(self, fd: int, name: bytes, path: bytes, found: os.stat_result, started: int) -> bool:
        kind = TYPES.get(stat.S_IFMT(found.st_mode))
        if kind is None:
            self._recording.scan.inventory.skipped.append(path)
            return False
        is_dir = kind is Type.DIR
        images = self._images if kind is Type.FILE and self._may_be_at_work(path, found, started) else None
        calm = False
        if images is not None:
            if found.st_size >= _LARGE and path not in self.suspect:
                # A private copy would take long. What others write from here on shows in its times.
                started = let_settle(found, started)
                calm = _settled(found, started) and images.calm(fd, name)
            if not calm and images.take(fd, name, path):
                return True
        entry = entry_of(path, found, kind)
        cached, refused = self._cached(path, found), None
        if cached is not None:
            entry.xattrs = self._cache.xattrs[path] if cached.has_xattrs else ()
        else:
            refused = set_xattrs(entry, fd, name)
        content, settled = None, _settled(found, started)
        if kind is Type.FILE:
            content, settled = self._intake.file(fd, name, entry, found, cached, started)
            if calm and images is not None and not images.calm(fd, name):
                raise UnstableError
        elif kind is Type.LINK:
            entry.target = os.readlink(name, dir_fd=fd)
            if key(os.stat(name, dir_fd=fd, follow_symlinks=False)) != key(found):
                raise UnstableError
            content = self._intake.link(entry, cached)
        elif kind in (Type.CHAR, Type.BLOCK):
            entry.device = (os.major(found.st_rdev), os.minor(found.st_rdev))
        if found.st_nlink > 1 and not is_dir:
            self.links.setdefault((found.st_dev, found.st_ino), []).append(path)
        self._recording.refused(path, refused)
        if cached is not None or (settled and refused is None):
            self._recording.remember(path, entry, key(found), content, cached)
        told = is_dir or (kind is Type.FILE and found.st_nlink == 1 and content is not None)
        self._recording.add(entry, told=told)
        return True

    def _may_be_at_work(self, path: bytes, found: os.stat_result, started: int) -> bool:
        """Whether a file may be a database, and changed so lately that a transaction may be under way in it."""
        if self._images is None or path in self._images.plain or found.st_nlink > 1 or found.st_size < _SMALLEST:
            return False
        return path in self.suspect or not _settled(found, started, COARSE_NS)

    def _cached(self, path: bytes, found: os.stat_result) -> Row | None:
        cached = self._cache.rows.get(path)
        if cached is None or not cached.startswith(key(found)):
            return None
        # A row whose attributes are missing tells less than there is.
        return None if cached.has_xattrs and path not in self._cache.xattrs else cached
