"""Which objects live refs keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitsnap.core.model import Snapshot
from gitsnap.core.statcache import StatCache
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.repository import Sidecar


class KeptObjects:
    """Knows which objects live refs keep, so that only those count as already stored.

    What merely lies in some pack may be waiting for a gc to take it away. The full walk happens only when something
    new to this snapshot is found in a pack.
    """

    def __init__(self, sidecar: Sidecar, living: Sequence[Snapshot], cache: StatCache | None) -> None:
        self._sidecar = sidecar
        self._living = living
        self._cache = cache
        self._sure: set[bytes] = set()
        self._all: set[bytes] | None = None
        # The set itself: more may prove damaged while this is asked.
        self._damaged = sidecar.objects.damaged

    def include(self, oids: Iterable[bytes]) -> None:
        """These are kept, too."""
        self._sure.update(oids)

    def __call__(self, oid: bytes) -> bool:
        """Whether a live ref keeps this object, and nothing tells that it is damaged."""
        if oid in self._damaged and not self._sidecar.objects.readable(oid):
            return False
        if oid in self._sure:
            return True
        if self._cache is not None:
            if oid not in self._sidecar.objects:
                return False
            # Not before it is asked for: where nothing has changed, all that is asked for is new.
            self._sure |= self._cache.oids().union(self._cache.trees)
            self._cache = None
        if oid in self._sure:
            return True
        if self._all is None:
            if not self._living or oid not in self._sidecar.objects:
                return False
            self._all = self._reachable()
        return oid in self._all

    def _reachable(self) -> set[bytes]:
        found: set[bytes] = set()
        for oid, _, blobs in trees.walk(self._sidecar.objects, [bytes.fromhex(s.tree) for s in self._living]):
            # What only a damaged tree leads to counts as not there: it is written afresh.
            found.update((oid, *(blobs or ())))
        return found
