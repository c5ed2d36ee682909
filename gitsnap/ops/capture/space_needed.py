"""Whether a snapshot will fit, before anything of it is written.

Where there is plenty, nobody looks. Else what the stat cache does not vouch for is added up, unread; only where that is
more than what is free is it read, to see what of it is stored already, and how well the rest deflates.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress

from gitsnap.core.content import Digesting, Digests, Look
from gitsnap.core.errors import GitsnapError
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.model import Kind
from gitsnap.core.order import newest
from gitsnap.core.quantity import size as words
from gitsnap.installation.directories import Directories
from gitsnap.installation.mounts import mount_point, used
from gitsnap.installation.scan.fast_path import FastPath, WalkRules
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.stable_read import key
from gitsnap.ops.capture.request import Capture
from gitsnap.sidecar import catalog
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.repository import Sidecar

# So much is plenty, or twice of all that the last snapshot holds, if that is more; before the first, of all that its
# file system holds. What lies there in holes or compressed deflates.
_PLENTY, _TIMES = 1 << 30, 2
# Of each piece that is read, so much is deflated.
_SAMPLE = 1 << 14
# For trees, notes and refs: of each entry, of the estimate, and at the least.
_ENTRY, _SHARE, _LEAST = 150, 0.02, 1 << 16


class _Weighing(Digesting):
    """Adds up what would have to be stored, as far as a sample of each piece tells."""

    def __init__(self, store: ObjectStore) -> None:
        self.bytes, self._store, self._seen = 0.0, store, set[bytes]()

    def add_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
        """Read one blob."""
        sampled, deflated = 0, 0

        def sampling() -> Iterator[bytes]:
            nonlocal sampled, deflated
            for chunk in chunks:
                part = chunk[:_SAMPLE]
                sampled += len(part)
                deflated += len(zlib.compress(part, 1))
                yield chunk

        found = super().add_blob(size, sampling())
        if found.oid not in self._seen and found.oid not in self._store:
            self._seen.add(found.oid)
            self.bytes += size * min(1.0, deflated / sampled) if sampled else 0
        return found


def fits(sidecar: Sidecar, size: int, entries: int) -> bool:
    """Whether a snapshot of so many entries, of which files of `size` bytes are new, fits whatever they hold."""
    return _with_margin(size, entries) <= _free(sidecar)


def _free(sidecar: Sidecar) -> int:
    found = os.statvfs(sidecar.path)
    return int(found.f_frsize * (found.f_bavail if os.geteuid() else found.f_bfree))


def require(capture: Capture) -> None:
    """Raise GitsnapError where the snapshot will not fit; nothing was written then."""
    sidecar = capture.sidecar
    free = _free(sidecar)
    last = newest(catalog.snapshots(sidecar))
    most = last.bytes if last is not None else used(sidecar.installation)
    if most is not None and free >= max(_PLENTY, _TIMES * most):
        return
    entries, unread = _count(capture)
    if _with_margin(unread, entries) <= free:
        return
    weighing = _Weighing(sidecar.objects)
    options = ScanOptions(cache=sidecar.load_cache(), excludes=capture.excludes)
    Scanner(sidecar.installation, weighing, options).run()
    needed = _with_margin(weighing.bytes, entries)
    if needed <= free:
        return
    undone = "nothing was started" if capture.request.kind is Kind.PRE else "nothing was written"
    raise GitsnapError(
        f"the snapshot will not fit: it takes about {words(needed)}, and {words(free)} are free on the file system of "
        f"the sidecar, mounted at {mount_point(sidecar.path)}; {undone}",
        kind="no-space",
        path=sidecar.path,
        hint="make room there (`gitsnap gc` gives back what was deleted), or leave out what needs no snapshot",
    )


def _with_margin(count: float, entries: int) -> int:
    return int(count * (1 + _SHARE)) + entries * _ENTRY + _LEAST


def _count(capture: Capture) -> tuple[int, int]:
    """How many entries there are in the directory, and the bytes of the files that would have to be read.

    Nothing is kept of it: there may be a million.
    """
    cache, count, unread = capture.sidecar.load_cache(), 1, 0
    excludes = None if capture.excludes is nothing_excluded else capture.excludes

    def read(look: Look, _found: os.stat_result, _started: int) -> None:
        nonlocal count, unread
        count += 1
        unread += look.size

    seen = set[tuple[int, int]]()
    with Directories(capture.sidecar.installation) as dirs:
        fast_path = FastPath(dirs, WalkRules(cache.rows, cache.xattrs, None, excludes, (), databases=False), read)
        folders = [(b"", os.fstat(dirs.root).st_dev)]
        while folders:
            found = fast_path.look([folders.pop()])
            count += len(found.paths) + len(found.left)
            for path, _ in found.left:
                # Whatever has several names, or is large.
                with suppress(OSError):
                    parent, name = dirs.parent(path)
                    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                    inode, row = (status.st_dev, status.st_ino), cache.rows.get(path, b"")
                    if stat.S_ISREG(status.st_mode) and inode not in seen and not row.startswith(key(status)):
                        unread += status.st_size
                    seen.add(inode)
            folders += found.deeper
    return count, unread
