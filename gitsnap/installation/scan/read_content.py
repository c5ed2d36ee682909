"""Contents on their way from the installation into a sink: each file once, whatever names it has."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator

from gitsnap.core.content import WHOLE, BlobSink, Digests
from gitsnap.core.events import Observer
from gitsnap.core.model import Entry
from gitsnap.core.statcache import Row
from gitsnap.installation.scan_result import Scan
from gitsnap.installation.stable_read import (
    COARSE_NS,
    Lease,
    UnstableError,
    await_writers,
    key,
    open_file,
    pieces,
    read_whole,
    settled,
)


class SinkFailed(Exception):  # noqa: N818 - carried past the code that forgives a file's own errors
    """The sink, not the file, raised OSError: `cause`."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


class ContentReader:
    """Reads what the stat cache does not vouch for. `stored` is asked whether a digest that the cache remembers may be
    relied on; without it, it may. `seen` counts the bytes of which the observer was told since it was last set to 0.

    With `leases`, large files that changed lately are read once where a lease shows that nobody writes to them, else
    twice."""

    def __init__(
        self,
        sink: BlobSink,
        stored: Callable[[bytes], bool] | None,
        scan: Scan,
        observer: Observer,
        *,
        leases: bool = False,
    ) -> None:
        self._sink, self._stored, self._scan, self._observer = sink, stored, scan, observer
        self._leases = leases
        self._linked: dict[tuple[int, int], tuple[os.stat_result, Digests, bool, bool]] = {}
        self.seen = 0

    def file(
        self, fd: int, name: bytes, entry: Entry, found: os.stat_result, cached: Row | None, started: int
    ) -> tuple[Digests, bool]:
        """The file's digests, set in its entry, and whether it was settled when they were taken.

        Raises UnstableError, ReadFailedError, SizeChanged, OSError, and SinkFailed.
        """
        calm = settled(found, started)
        if cached is not None and cached.has_content and (self._stored is None or self._stored(cached.oid)):
            digests, entry.sparse = Digests(cached.oid, cached.sha256), cached.sparse
        else:
            same = self._linked.get((found.st_dev, found.st_ino)) if found.st_nlink > 1 else None
            if same and key(same[0]) == key(found):
                # Read under another name, perhaps longer ago than this look.
                _, digests, entry.sparse, calm = same
            else:
                digests, since = self._read(fd, name, found, started, twice=not settled(found, started, COARSE_NS))
                calm = settled(found, since)
                entry.sparse = found.st_blocks * 512 < found.st_size
        if found.st_nlink > 1:
            self._linked[found.st_dev, found.st_ino] = (found, digests, entry.sparse, calm)
        entry.oid, entry.sha256 = digests
        return digests, calm

    def _read(self, fd: int, name: bytes, found: os.stat_result, started: int, *, twice: bool) -> tuple[Digests, int]:
        """Read a file, looked at since `started`; its digests, and since when it has been as they say.

        `twice` when it changed so lately that another change now may not show in its times.
        """
        since = started
        if found.st_size <= WHOLE:

            def use(file: int, chunks: Iterable[bytes]) -> Digests:
                return self._store(found.st_size, chunks)

            digests = read_whole(fd, name, key(found), found.st_size, use, twice=twice)
        else:
            digests, since = self._stream(fd, name, found, started, twice=twice)
        self._scan.read += 1
        return digests, since

    def _stream(self, fd: int, name: bytes, found: os.stat_result, started: int, *, twice: bool) -> tuple[Digests, int]:
        file = open_file(fd, name)
        lease = Lease(file) if twice and self._leases else None
        try:
            before = os.fstat(file)
            if not stat.S_ISREG(before.st_mode) or key(before) != key(found):
                raise UnstableError
            digests = self._store(before.st_size, self._observed(_let_in(pieces(file), lease)))
            if lease is not None and lease.holds():
                # Nobody could write to it since: once is enough, and a change from here on shows.
                started = time.time_ns()
            # A sink that only counts has read nothing.
            elif twice and os.lseek(file, 0, os.SEEK_CUR):
                await_writers(file)
                os.lseek(file, 0, os.SEEK_SET)
                # The first reading took its time: a change from here on shows where one at its beginning did not.
                started = time.time_ns()
                if _sha256(file, before.st_size) != digests.sha256:
                    raise UnstableError
            if key(os.fstat(file)) != key(before):
                raise UnstableError
        finally:
            if lease is not None:
                lease.release()
            os.close(file)
        return digests, started

    def link(self, entry: Entry, cached: Row | None) -> Digests:
        """A symlink's digests: those of its target."""
        if cached is not None and cached.has_content and (self._stored is None or self._stored(cached.oid)):
            digests = Digests(cached.oid, cached.sha256)
        else:
            digests = self._store(len(entry.target), [entry.target])
        entry.oid = digests.oid
        return digests

    def _store(self, size: int, chunks: Iterable[bytes]) -> Digests:
        """Hand over to the sink. When that fails, the disk is full, say, no file is to blame for it."""
        try:
            return self._sink.add_blob(size, chunks)
        except OSError as error:
            raise SinkFailed(error) from error

    def store_image(self, size: int, chunks: Iterable[bytes]) -> Digests:
        """Have a private copy of a database taken in, which may take long."""
        return self._store(size, self._observed(iter(chunks)))

    def _observed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same chunks; a large file shows that it is being read."""
        for chunk in chunks:
            self.seen += len(chunk)
            self._observer.advanced(0, len(chunk))
            yield chunk


def _let_in(chunks: Iterator[bytes], lease: Lease | None) -> Iterator[bytes]:
    """The same chunks; whoever wants to write to the file waits for one of them at most."""
    for chunk in chunks:
        yield chunk
        if lease is not None:
            lease.holds()


def _sha256(file: int, size: int) -> bytes:
    """The digest of an open file from where it stands; more than `size` bytes are not read."""
    digest, seen = hashlib.sha256(), 0
    for piece in pieces(file):
        digest.update(piece)
        seen += len(piece)
        if seen > size:
            break
    return digest.digest()
