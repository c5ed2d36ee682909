"""What a first snapshot will cost, and what it will not be able to hold: every file is opened, and none is read."""

from __future__ import annotations

from gitsnap.core.content import Discarding
from gitsnap.core.settings import Settings
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.ops.live import exclusions
from gitsnap.ops.store.locate import Initialised, Place


def survey(place: Place, created: bool, settings: Settings) -> Initialised:
    """Count what a snapshot would hold."""
    rules = exclusions.current(place.root, settings)
    inventory = Scanner(place.root, Discarding(), ScanOptions(excludes=exclusions.as_predicate(rules))).run().inventory
    files = inventory.files()
    size = sum(e.size for e in files)
    lacking = tuple(inventory.partial), tuple(inventory.skipped)
    return Initialised(place, created, len(files), size, tuple(inventory.excluded), *lacking)
