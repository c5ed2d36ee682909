"""The snapshot that the stat cache knows whole: what has changed in the directory is told beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitsnap.core.exclusion import Excludes, nothing_excluded
from gitsnap.core.model import Snapshot
from gitsnap.core.paths import STAGE_PREFIX
from gitsnap.core.sqlite import LIVE
from gitsnap.core.statcache import StatCache
from gitsnap.installation.scan.unchanged import Seen, looked, owners_in, sealed
from gitsnap.ops.parallel.walk import ParallelWalk
from gitsnap.sidecar import contents
from gitsnap.sidecar.repository import Sidecar

# What reads and edits texts is loaded where something has changed.
if TYPE_CHECKING:
    from gitsnap.core.spliced import Spliced
    from gitsnap.installation.scan_result import Scan


def look(sidecar: Sidecar, cache: StatCache, excludes: Excludes) -> Seen | None:
    """What the installation has that the rows of the cache do not say; None where that is not all, or too much."""
    # What belongs to an image is not told by itself.
    seen = Seen(tolerant=not cache.images)
    root, excluding = sidecar.installation, excludes if excludes is not nothing_excluded else None
    return seen if looked(root, cache, excluding, seen, ParallelWalk(root).walk) else None


@contextmanager
def beside(sidecar: Sidecar, prior: Snapshot) -> Iterator[Base]:
    """A Base of this snapshot, as long as its texts are open. Raises IntegrityError where one is missing or damaged."""
    with contents.opened(sidecar, prior) as opened:
        yield Base(prior, opened)


class Base:
    """The snapshot `prior`, which the stat cache knows whole, with its texts: what has changed is told beside it."""

    def __init__(self, prior: Snapshot, opened: contents.Opened) -> None:
        from gitsnap.core.spliced import left_out

        self.prior, self.opened = prior, opened
        self._left_out = left_out(opened.texts)

    def allows(self, cache: StatCache, rules: list[bytes], seen: Seen, *, databases: bool) -> bool:
        """Whether what was seen to have changed is all, and can be told by itself: the rules, the owners' names and how
        databases are captured are as they were, and none of it may be a part of a database or of a rollback's stage."""
        paths = (*seen.changed, *seen.gone, *seen.skipped)
        if any(path.endswith(LIVE) or STAGE_PREFIX in path for path in paths) or self._left_out.rules != rules:
            return False
        return sealed(self._left_out, owners_in(cache.whole), databases=databases) == cache.whole

    def with_changes(self, scan: Scan, seen: Seen) -> Spliced | None:
        """The state that was seen, of which `scan` has what is new or differs; None where lines do not tell it."""
        from gitsnap.core.spliced import Differing, splice

        differing = Differing(scan.inventory.entries, seen.gone, seen.excluded, seen.skipped)
        return splice(self.opened.texts, self._left_out.rules, differing)
