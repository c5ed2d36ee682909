"""Reversing a rollback, a restore or a merge that was carried out."""

from __future__ import annotations

from datetime import datetime

from gitsnap.core.errors import NoSuchSnapshotError
from gitsnap.core.events import SILENT, UNGUARDED, Interrupts, Observer
from gitsnap.core.model import Snapshot
from gitsnap.core.settings import Settings
from gitsnap.installation.disk import Disk
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.rollback import Confirm, Rollback, RollbackOptions
from gitsnap.ops.restore.safety import component_of_snapshot, last_safety, reach_of
from gitsnap.ops.restore.target import Only, merged_paths
from gitsnap.sidecar import catalog, selectors
from gitsnap.sidecar.repository import Sidecar


def undo(
    sidecar: Sidecar,
    settings: Settings,
    *,
    now: datetime,
    dry_run: bool = False,
    confirm: Confirm | None = None,
    disk: Disk | None = None,
    observer: Observer = SILENT,
    interrupts: Interrupts = UNGUARDED,
) -> Restored:
    """Reverse the last rollback, restore or undo: bring back what its safety snapshot holds, as far as it reached.

    Takes a safety snapshot as well, so that it can be undone in turn. Raises NoSuchSnapshotError when there is none.
    """
    options = RollbackOptions(now, dry_run, confirm, disk or Disk(), observer, interrupts)
    with sidecar.writing(settings.lock_wait):
        safety = last_safety(catalog.snapshots(sidecar))
        reach = reach_of(safety.command)
        part = component_of_snapshot(sidecar, safety, reach.component, settings)
        only = None if reach.leaving is None else _merged(sidecar, safety, reach.leaving)
        return Rollback(sidecar, safety, settings, options, reach.paths, part, reversing=True, only=only).run()


def _merged(sidecar: Sidecar, safety: Snapshot, leaving: tuple[bytes, ...]) -> Only:
    """What the merge before which a safety snapshot was taken has changed."""
    name = (safety.command or "").split()[2]
    try:
        target = selectors.resolve(catalog.snapshots(sidecar), name)
    except NoSuchSnapshotError as error:
        raise NoSuchSnapshotError(
            f"what the last merge changed is not known any more: {error.message}",
            hint=f"gitsnap rollback {safety.id} brings the whole directory back to what it was before it",
        ) from None
    return merged_paths(sidecar, target, safety, leaving)
