"""What a first snapshot will cost, and what it will not be able to hold: every file is opened, and none is read."""

from __future__ import annotations

from collections.abc import Iterable

from gitsnap.core.content import Digests
from gitsnap.core.settings import Settings
from gitsnap.installation.scan.scanner import Scanner
from gitsnap.ops.live import exclusions
from gitsnap.ops.store.locate import Initialised, Place


class _Unread:
    """Takes no content: only counts are wanted."""

    def add_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
        """Pretend."""
        return Digests(bytes(20), bytes(32))


def survey(place: Place, created: bool, settings: Settings) -> Initialised:
    """Count what a snapshot would hold."""
    rules = exclusions.current(place.root, settings)
    inventory = Scanner(place.root, _Unread(), excludes=exclusions.as_predicate(rules)).run().inventory
    files = inventory.files()
    size = sum(e.size for e in files)
    lacking = tuple(inventory.partial), tuple(inventory.skipped)
    return Initialised(place, created, len(files), size, tuple(inventory.excluded), *lacking)
