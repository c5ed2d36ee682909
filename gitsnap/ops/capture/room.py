"""Whether a snapshot will fit, before anything of it is written.

Where there is plenty, nobody looks. Else what the stat cache does not vouch for is added up, unread; only where that is
more than what is free is it read, to see what of it is stored already, and how well the rest deflates.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator

from gitsnap.core.content import Digesting, Digests, Discarding
from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Kind
from gitsnap.core.order import newest
from gitsnap.core.quantity import size as words
from gitsnap.installation.mounts import mount_point, used
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.ops.capture.request import Capture
from gitsnap.sidecar import catalog
from gitsnap.sidecar.git.objects import ObjectStore

# So much is plenty, or twice of all that the last snapshot holds, if that is more; before the first, of all that its
# file system holds. What lies there in holes or compressed deflates.
_PLENTY, _TIMES = 1 << 30, 2
# Of each piece that is read, so much is deflated.
_SAMPLE = 1 << 14
# For trees, notes and refs: of each entry, of the estimate, and at the least.
_ENTRY, _SHARE, _LEAST = 150, 0.02, 1 << 16


class _Counting(Discarding):
    """Adds up what would have to be read."""

    def __init__(self) -> None:
        self.bytes = 0

    def add_blob(self, size: int, chunks: object) -> Digests:
        """Count one blob."""
        self.bytes += size
        return super().add_blob(size, chunks)


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


def require(capture: Capture) -> None:
    """Raise GitsnapError where the snapshot will not fit; nothing was written then."""
    sidecar = capture.sidecar
    found = os.statvfs(sidecar.path)
    free = found.f_frsize * (found.f_bavail if os.geteuid() else found.f_bfree)
    last = newest(catalog.snapshots(sidecar))
    most = last.bytes if last is not None else used(sidecar.installation)
    if most is not None and free >= max(_PLENTY, _TIMES * most):
        return
    counting = _Counting()
    entries = _scan(capture, counting)
    if _with_margin(counting.bytes, entries) <= free:
        return
    weighing = _Weighing(sidecar.objects)
    _scan(capture, weighing)
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


def _scan(capture: Capture, sink: _Counting | _Weighing) -> int:
    """Walk the directory; how many entries there are."""
    options = ScanOptions(cache=capture.sidecar.load_cache(), excludes=capture.excludes)
    return len(Scanner(capture.sidecar.installation, sink, options).run().inventory.entries)
