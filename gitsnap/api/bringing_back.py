"""Bringing the directory back, or a part of it, here or elsewhere."""

from __future__ import annotations

import os

from gitsnap.api.audited import Path
from gitsnap.api.protected import Protected, now
from gitsnap.core.errors import UsageError
from gitsnap.core.events import SILENT, Observer
from gitsnap.ops.compare import components
from gitsnap.ops.live import in_progress
from gitsnap.ops.restore import recover, rollback, undo
from gitsnap.ops.restore.at_boot import recover_at_boot
from gitsnap.ops.restore.export import copy_out
from gitsnap.ops.restore.result import Direction, Recovered, Restored
from gitsnap.ops.restore.rollback import RollbackOptions


class BringingBack(Protected):
    """What brings back."""

    def rollback(
        self,
        selector: str | None = None,
        *,
        component: str | None = None,
        dry_run: bool = False,
        plan: str | None = None,
        observer: Observer = SILENT,
    ) -> Restored:
        """Bring the whole directory back to a snapshot, exactly. What was there is a safety snapshot first.

        Args:
            selector: Which one; by default the one before the last upgrade, or the latest.
            component: Only this component; all else stays.
            dry_run: Touch nothing; the result's `plan` tells what would be done.
            plan: The fingerprint of the plan that was agreed to (`Restored.fingerprint()` of a dry run).
            observer: Is told of the progress.

        Returns:
            What was done. `verified` and `incomplete` tell whether it is exactly the same, `safety` is what was there.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            IntegrityError: The snapshot is damaged; nothing was touched.
            PlanChangedError: It would not be that `plan` any more; nothing was touched.
            DatabaseRunningError: A database's server is at work there; nothing was touched.
            HalfAppliedError: It failed half way, and so did putting back what was there: `recover` is next.
            LockedError: Another gitsnap is at work.
        """
        with self._acting("rollback", looks=dry_run) as (sidecar, settings):
            part = components.part(sidecar, selector, component, settings) if component is not None else None
            options = RollbackOptions(now(), dry_run=dry_run, agreed=plan, observer=observer)
            done = rollback.rollback(sidecar, selector, settings, options, part=part)
            if done.verified and part is None:
                in_progress.settle(sidecar)
            return done

    def restore(
        self,
        selector: str,
        *paths: Path,
        to: Path | None = None,
        salvage: bool = False,
        dry_run: bool = False,
        observer: Observer = SILENT,
    ) -> Restored:
        """Bring single paths back, or put them, or all of a snapshot, into another directory.

        Args:
            selector: Which snapshot.
            paths: Relative to the installation's root. Everything where there are none, which takes `to`.
            to: Into this directory, which is empty or not there, instead of the installation.
            salvage: With `to`: everything that is whole of a damaged snapshot.
            dry_run: Without `to`: touch nothing; the result's `plan` tells what would be done.
            observer: Is told of the progress.

        Returns:
            What was done. `incomplete` names what is not exactly as it was.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            NoSuchPathError: It does not hold a path.
            IntegrityError: What is wanted of it is damaged.
            UsageError: Neither paths nor `to` are given, or they do not go with the rest.
            GitsnapError: The directory of `to` is not empty (kind `not-empty`).
        """
        if to is None and (not paths or salvage):
            raise UsageError("restore needs paths, or a directory `to` put it into")
        if to is not None and dry_run:
            raise UsageError("a dry run is about the installation itself")
        with self._acting("restore", looks=dry_run) as (sidecar, settings):
            raw = self._inside(paths)
            if to is not None:
                destination = os.path.abspath(os.fspath(to))
                return copy_out(sidecar, selector, raw, destination, settings, salvaging=salvage, observer=observer)
            options = RollbackOptions(now(), dry_run=dry_run, observer=observer)
            return rollback.rollback(sidecar, selector, settings, options, paths=raw)

    def undo(self, *, dry_run: bool = False, observer: Observer = SILENT) -> Restored:
        """Reverse the last rollback or restore; again, the one before it.

        Args:
            dry_run: Touch nothing; the result's `plan` tells what would be done.
            observer: Is told of the progress.

        Returns:
            As `rollback`.

        Raises:
            NoSuchSnapshotError: There is nothing to reverse.
            IntegrityError: The safety snapshot is damaged; nothing was touched.
            LockedError: Another gitsnap is at work.
        """
        with self._acting("undo", looks=dry_run) as (sidecar, settings):
            done = undo.undo(sidecar, settings, RollbackOptions(now(), dry_run=dry_run, observer=observer))
            if done.applied and done.verified:
                in_progress.settle(sidecar)
            return done

    def redo(self, *, dry_run: bool = False, observer: Observer = SILENT) -> Restored:
        """Take the last undo back; again, the one before it.

        Args:
            dry_run: Touch nothing; the result's `plan` tells what would be done.
            observer: Is told of the progress.

        Returns:
            As `rollback`.

        Raises:
            NoSuchSnapshotError: An undo was not the last thing that was done.
            IntegrityError: The safety snapshot is damaged; nothing was touched.
            LockedError: Another gitsnap is at work.
        """
        with self._acting("redo", looks=dry_run) as (sidecar, settings):
            done = undo.redo(sidecar, settings, RollbackOptions(now(), dry_run=dry_run, observer=observer))
            if done.applied and done.verified:
                in_progress.settle(sidecar)
            return done

    def recover(
        self, direction: Direction | None = None, *, at_boot: bool = False, observer: Observer = SILENT
    ) -> Recovered:
        """Settle an interrupted rollback of this directory. It can be interrupted, and called again.

        A rollback of several directories, and an upgrade that waits, are for `gitsnap recover`.

        Args:
            direction: With which state to end; None for the way it was going.
            at_boot: The service waits for this: it is neither stopped nor started, and where nothing is pending
                nobody else is waited for.
            observer: Is told of the progress.

        Returns:
            What was settled; its `direction` is None where there was nothing.

        Raises:
            IntegrityError: The journal is damaged, and no direction was given.
            PendingRecoveryError: The directory is gone, or is another one, and no direction was given.
            LockedError: Another gitsnap is at work.
        """
        with self._acting("recover") as (sidecar, settings):
            operation = recover_at_boot if at_boot else recover.recover
            done = operation(sidecar, direction, settings, RollbackOptions(now(), observer=observer))
            if done.direction is Direction.FINISH and done.verified:
                in_progress.settle(sidecar)
            return done
