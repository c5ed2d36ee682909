"""Reversing rollbacks, restores and merges that were carried out, one by one, and going forward again."""

from __future__ import annotations

from dataclasses import replace

from gitsnap.core.errors import NoSuchSnapshotError
from gitsnap.core.model import Snapshot
from gitsnap.core.settings import Settings
from gitsnap.ops.live import upgrading
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.rollback import Rollback, RollbackOptions
from gitsnap.ops.restore.safety import component_of_snapshot, last_to_redo, last_to_undo, reach_of
from gitsnap.ops.restore.target import Extent, Only, merged_paths
from gitsnap.sidecar import catalog, selectors
from gitsnap.sidecar.repository import Sidecar


def undo(
    sidecar: Sidecar,
    settings: Settings,
    options: RollbackOptions,
) -> Restored:
    """Reverse the last rollback or restore that still stands: bring back what its safety snapshot holds, as far as it
    reached.

    Takes a safety snapshot as well, for redo. Raises NoSuchSnapshotError when there is none.
    """
    if not options.dry_run:
        upgrading.require_decided(sidecar)
    with sidecar.writing(settings.lock_wait):
        safety = last_to_undo(catalog.snapshots(sidecar))
        return _reverse(sidecar, safety, settings, replace(options, undoes=safety.id))


def redo(
    sidecar: Sidecar,
    settings: Settings,
    options: RollbackOptions,
) -> Restored:
    """Take the last undo back. NoSuchSnapshotError where none was the last thing that was done."""
    if not options.dry_run:
        upgrading.require_decided(sidecar)
    with sidecar.writing(settings.lock_wait):
        safety = last_to_redo(catalog.snapshots(sidecar))
        return _reverse(sidecar, safety, settings, replace(options, redoes=safety.id))


def _reverse(sidecar: Sidecar, safety: Snapshot, settings: Settings, options: RollbackOptions) -> Restored:
    reach = reach_of(safety.command)
    part = component_of_snapshot(sidecar, safety, reach.component, settings)
    only = None if reach.leaving is None else _merged(sidecar, safety, reach.leaving)
    return Rollback(sidecar, safety, settings, options, Extent(reach.paths, part, only), reversing=True).run()


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
