"""What little has changed in the directory since the snapshot that the stat cache knows whole: told without a scan."""

from __future__ import annotations

from gitsnap.core.content import Digesting
from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import Observer
from gitsnap.core.model import Inventory, Snapshot
from gitsnap.core.settings import Settings
from gitsnap.installation.owners import localise
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.ops.compare import stored
from gitsnap.ops.live import base, databases, exclusions
from gitsnap.ops.live.pending import hidden_stages
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar


def since(
    sidecar: Sidecar, reference: Snapshot, settings: Settings, observer: Observer
) -> tuple[Inventory, Inventory] | None:
    """The snapshot and the directory, with no more than the entries that differ and the directories above them.

    None where only a scan tells, or the snapshot is damaged: whoever reads all of it says how. Raises OSError.
    """
    cache = sidecar.load_cache()
    known = next((s for s in catalog.snapshots(sidecar) if s.commit == cache.commit.hex()), None)
    if known is None or sidecar.objects.damaged or hidden_stages(sidecar) or not _same(known, reference):
        return None
    rules = exclusions.current(sidecar.installation, settings)
    # A comparison sees that file whatever it says.
    if rules and rules.excludes(exclusions.IGNORE_FILE, False):
        return None
    observer.started("comparing")
    try:
        seen = base.look(sidecar, cache, exclusions.as_predicate(rules))
        if seen is None:
            return None
        with base.beside(sidecar, reference) as prior:
            if not prior.allows(cache, list(rules.rules), seen, databases=settings.sqlite):
                return None
            options = ScanOptions(
                cache=cache, excludes=exclusions.as_predicate(rules), databases=databases.capturing(sidecar, settings)
            )
            scan = Scanner(sidecar.installation, Digesting(), options).only(seen.changed, seen.folders)
            made = prior.with_changes(scan, seen) if scan is not None else None
        if made is None:
            return None
        stored.find_contents(sidecar, reference, made.old)
    except IntegrityError:
        return None
    finally:
        observer.finished()
    localise(made.old)
    return made.old, made.new


def _same(one: Snapshot, other: Snapshot) -> bool:
    return (one.manifest_sha256, one.metadata_sha256, one.tree) == (
        other.manifest_sha256,
        other.metadata_sha256,
        other.tree,
    )
