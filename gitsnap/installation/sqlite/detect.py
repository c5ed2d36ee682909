"""The databases of one walk: which names are databases in use, and what is captured in their place."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from gitsnap.core.content import Digests
from gitsnap.core.sqlite import BESIDE, HEADER, LIVE
from gitsnap.core.statcache import CachedImage, StatCache
from gitsnap.installation.sqlite.backup import Databases, UnsettledError
from gitsnap.installation.stable_read import key, open_file, pieces, settled

_NAMES = tuple(os.fsdecode(suffix) for suffix in BESIDE)


class Imaged(NamedTuple):
    """A database as it was captured: the stat fields of its own file and, by suffix, of those that belong to it.

    `settled` tells that a change now would show in them.
    """

    found: os.stat_result
    beside: dict[bytes, os.stat_result]
    held: CachedImage
    settled: bool

    @property
    def digests(self) -> Digests:
        """Those of the image."""
        return Digests(self.held.oid, self.held.sha256)


class Imager:
    """Takes images of databases for one walk. `store` takes (size, pieces), `stored` is as in the scanner."""

    def __init__(
        self,
        databases: Databases,
        cache: StatCache,
        stored: Callable[[bytes], bool] | None,
        store: Callable[[int, Iterable[bytes]], Digests],
    ) -> None:
        self._databases, self._cache, self._stored, self._store = databases, cache, stored, store

    def in_use(self, folder: int, prefix: bytes, names: Collection[str]) -> list[bytes]:
        """The names in an open directory that are databases in use: beside which there is a journal that is not empty,
        or of which it is known already. `prefix` is the directory's path and a slash."""
        beside = [name for name in names if name.endswith(_NAMES)]
        if not beside:
            return []
        there = set(names)
        found = {base for name in beside if (base := name[: name.rindex("-")]) in there}
        return sorted(name for name in map(os.fsencode, found) if self._in_use(folder, name, prefix + name))

    def _in_use(self, folder: int, name: bytes, path: bytes) -> bool:
        return path in self._databases.known or _live(_beside(folder, name, LIVE))

    def calm(self, folder: int, name: bytes) -> bool:
        """Whether nobody is at work on a database, so that its file is all there is to it. Raises OSError."""
        return self._databases.calm(folder, name)

    def take(self, folder: int, name: bytes, path: bytes) -> Imaged | None:
        """The image of a database; None for what is to be read as any file.

        Raises UnsettledError, NoDatabaseError, ReadFailedError, OSError.
        """
        if self._databases.raw(path) or not _is_database(folder, name):
            return None
        started = time.time_ns()
        held = self._cache.images.get(path)
        if held is not None and (self._stored is None or self._stored(held.oid)):
            found, beside = os.stat(name, dir_fd=folder, follow_symlinks=False), _beside(folder, name, BESIDE)
            if held.keys == _keys(found, beside):
                return self._imaged(path, found, beside, held, settled=True)
        try:
            with self._databases.copy(folder, name) as copy:
                size, digests = copy.size, self._store(copy.size, pieces(copy.file))
        except UnsettledError as error:
            if error.locked or _live(_beside(folder, name, LIVE)):
                raise
            # Nobody is at work on it, as far as can be told, and its file is all there is to it.
            return None
        held = CachedImage(_keys(copy.found, copy.beside), size, *digests)
        parts = [copy.found, *(copy.beside[suffix] for suffix in LIVE if suffix in copy.beside)]
        still = all(settled(part, started) for part in parts)
        return self._imaged(path, copy.found, copy.beside, held, settled=still)

    def _imaged(
        self,
        path: bytes,
        found: os.stat_result,
        beside: dict[bytes, os.stat_result],
        held: CachedImage,
        *,
        settled: bool,
    ) -> Imaged:
        # Where no journal says anything, the files beside it are files.
        belongs = path in self._databases.known or _live(beside)
        return Imaged(found, beside if belongs else {}, held, settled)


def _live(beside: dict[bytes, os.stat_result]) -> bool:
    """Whether one of the journals says anything."""
    return any(beside[suffix].st_size for suffix in LIVE if suffix in beside)


def _is_database(folder: int, name: bytes) -> bool:
    """Whether it is a regular file that begins as SQLite's do."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        return False
    file = open_file(folder, name)
    try:
        if os.pread(file, len(HEADER), 0) != HEADER:
            return False
        if os.fstat(file).st_nlink > 1:
            raise UnsettledError("it has several names (hard links), and a journal beside one: no consistent image")
        return True
    finally:
        os.close(file)


def _beside(folder: int, name: bytes, suffixes: Iterable[bytes]) -> dict[bytes, os.stat_result]:
    """The regular files of these suffixes, as far as they can be looked at."""
    out = {}
    for suffix in suffixes:
        try:
            found = os.stat(name + suffix, dir_fd=folder, follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            out[suffix] = found
    return out


def _keys(found: os.stat_result, beside: dict[bytes, os.stat_result]) -> bytes:
    """What tells one state of a database from the next: the stat fields of its file and of its journals."""
    return b"".join([key(found), *(suffix + key(beside[suffix]) for suffix in LIVE if suffix in beside)])
