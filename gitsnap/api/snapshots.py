"""Taking snapshots, saying what they are, keeping and removing them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from gitsnap.api.audited import Path
from gitsnap.api.protected import Protected, now
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Snapshot
from gitsnap.core.retention import Decision, Policy
from gitsnap.ops.capture import snapshot
from gitsnap.ops.capture.request import Request
from gitsnap.ops.check import drill, signatures, verify
from gitsnap.ops.check.drill import Drilled, Trial
from gitsnap.ops.check.verdict import Verdict
from gitsnap.ops.store import deleted, describe, gc, limits, purge, retention, sign
from gitsnap.ops.store.gc import Collected
from gitsnap.ops.store.purge import Purged
from gitsnap.ops.store.sign import Signed


class Snapshots(Protected):
    """What keeps snapshots."""

    def snapshot(
        self,
        message: str = "",
        *,
        label: str = "",
        tags: Sequence[str] = (),
        pin: bool = False,
        skip_unchanged: bool = False,
        observer: Observer = SILENT,
    ) -> Snapshot:
        """Take a snapshot of the whole directory, check it, and let retention run.

        Args:
            message: What this is about.
            label: The end of its id; `manual` where it is empty.
            tags: Its tags.
            pin: Retention leaves it alone until it is unpinned.
            skip_unchanged: Take none where nothing has changed since the newest one, which is returned then.
            observer: Is told of the progress.

        Returns:
            The snapshot. Its `partial` counts the paths that it lacks; `signed_by` is None for one that is not signed,
            which is logged where there is a key.

        Raises:
            LockedError: Another gitsnap is at work in the sidecar for longer than is waited.
            PendingRecoveryError: An interrupted rollback is to be settled first.
            HookFailedError: The hook before snapshots failed, and none was taken.
            DatabaseRunningError: The configuration refuses while a database's server is at work there.
            GitsnapError: There is no room, or anything else keeps it from being whole. There is no new snapshot then.
        """
        request = Request(message=message, label=label, tags=tuple(tags), pin=pin, skip_unchanged=skip_unchanged)
        with self._acting("snapshot") as (sidecar, settings):
            return snapshot.take(sidecar, request, settings, now=now(), observer=observer).snapshot

    def describe(
        self, selector: str, message: str | None = None, *, tags: Sequence[str] = (), untags: Sequence[str] = ()
    ) -> Snapshot:
        """Change what is said of a snapshot, which stays what it is.

        Args:
            selector: Which one.
            message: Its message from now on; None leaves the one that it has.
            tags: Tags that it gets.
            untags: Tags that it loses.

        Returns:
            The snapshot as it is described now; `taken` has the message and the tags that it was taken with.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            UsageError: The message has a NUL in it.
            LockedError: Another gitsnap is at work.
        """
        wanted = describe.Wording(message, tags, untags)
        with self._acting("describe") as (sidecar, settings):
            return describe.describe(sidecar, selector, wanted, settings, now=now())

    def verify(self, selector: str = "latest", *, signed: bool = False, observer: Observer = SILENT) -> Verdict:
        """Read every byte of a snapshot again.

        Args:
            selector: Which one.
            signed: It has to be signed by somebody who may, by the configuration's file of allowed signers. So it has
                to be where the configuration requires it.
            observer: Is told of the progress.

        Returns:
            The verdict: its `ok` and `problems` tell, and its `signatures` by whom it is signed, where that was asked.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
        """
        with self._acting("verify") as (sidecar, settings):
            verdicts = verify.verify(sidecar, [selector], settings, now=now(), observer=observer)
            if signed or settings.signing.require:
                signatures.judge(sidecar, verdicts, settings)
            return verdicts[0]

    def verify_all(self, *, observer: Observer = SILENT) -> list[Verdict]:
        """Read every byte of every snapshot again, and look the sidecar through.

        Args:
            observer: Is told of the progress.

        Returns:
            A verdict for each snapshot. Where something else is wrong, others are on `timeline` and on `sidecar`.

        Raises:
            LockedError: A gc is at work for longer than is waited.
        """
        with self._acting("verify") as (sidecar, settings):
            return verify.verify(sidecar, [], settings, now=now(), everything=True, observer=observer)

    def sign(self, selector: str = "latest", *, key: Path | None = None) -> Signed:
        """Sign a snapshot by a tag. Nobody is asked for a passphrase.

        Args:
            selector: Which one.
            key: The SSH key at this path instead of the configuration's.

        Returns:
            With which key, on which ref; `already` where it bears a signature by that key.

        Raises:
            GitsnapError: The key does not sign (kind `not-signed`), and nothing was done.
            IntegrityError: The snapshot is damaged.
        """
        with self._acting("sign") as (sidecar, settings):
            if key is not None:
                path = os.path.abspath(os.fsdecode(key))
                settings = replace(settings, signing=settings.signing._replace(key=path))
            return sign.sign(sidecar, [selector], settings, now=now())[0]

    def pin(self, selector: str) -> Snapshot:
        """Keep a snapshot whatever retention says. Doing so twice is fine.

        Args:
            selector: Which one.

        Returns:
            The snapshot, pinned.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            LockedError: Another gitsnap is at work.
        """
        with self._acting("pin") as (sidecar, settings):
            return retention.pin(sidecar, selector, settings)

    def unpin(self, selector: str) -> Snapshot:
        """Let retention have a snapshot again. Doing so twice is fine.

        Args:
            selector: Which one.

        Returns:
            The snapshot, not pinned.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            LockedError: Another gitsnap is at work.
        """
        with self._acting("unpin") as (sidecar, settings):
            return retention.unpin(sidecar, selector, settings)

    def prune(self, policy: Policy | None = None, *, dry_run: bool = False, agreed: bool = False) -> list[Decision]:
        """Move the snapshots that no rule keeps to the bin, from which `undelete` brings them back until a gc.

        Args:
            policy: The rules; None for those of the configuration, whose limits on space are kept as well.
            dry_run: Only say what would go.
            agreed: Remove also what rules kept that have changed or gone since the last time.

        Returns:
            What becomes of each snapshot and why, newest first.

        Raises:
            RulesChangedError: The rules are not those of the last time, would remove more, and that is not `agreed`.
            LockedError: Another gitsnap is at work.
        """
        with self._acting("prune", looks=dry_run) as (sidecar, settings):
            found = retention.prune(sidecar, policy, settings, now=now(), dry_run=dry_run, agreed=lambda _: agreed)
            if policy is not None or not settings.limits:
                return found
            if dry_run:
                return limits.foreseen(sidecar, settings, found, now=now())[0]
            return limits.applied(found, limits.keep(sidecar, settings, now=now(), agreed=agreed))

    def delete(self, *selectors: str) -> list[str]:
        """Move named snapshots to the bin, all of them or none.

        Nobody is asked. What is no id, such as `@7d` or `latest`, names another one when it is called again.

        Args:
            selectors: Which ones. A damaged one, named by its id, goes for good.

        Returns:
            Their ids.

        Raises:
            NoSuchSnapshotError: There is no such snapshot, or there are several.
            GitsnapError: One of them is pinned (kind `pinned`).
            LockedError: One of them belongs to an upgrade that is under way.
        """
        with self._acting("delete") as (sidecar, settings):
            return retention.delete(sidecar, selectors, settings, now=now())

    def undelete(self, *selectors: str) -> list[Snapshot]:
        """Bring snapshots back from the bin, all of them or none.

        Args:
            selectors: Their ids, or beginnings of these.

        Returns:
            The snapshots.

        Raises:
            NoSuchSnapshotError: There is no such snapshot in the bin.
            IntegrityError: One of them is damaged.
        """
        with self._acting("undelete") as (sidecar, settings):
            return deleted.undelete(sidecar, selectors, settings, now=now())

    def purge(self, *paths: Path, dry_run: bool = False) -> Purged:
        """Take paths, with all below them, out of every snapshot for good: a key that leaked. Nobody is asked.

        Args:
            paths: Relative to the directory, or absolute below it.
            dry_run: Only say what would go.

        Returns:
            What went. `elsewhere` are other paths that hold the same content, and keep it.

        Raises:
            NoSuchPathError: No snapshot holds one of them.
            UsageError: One of them is outside the directory, or the directory itself.
            IntegrityError: A snapshot is damaged, and could hold them.
            LockedError: An upgrade is under way, or another gitsnap at work.
        """
        with self._acting("purge", looks=dry_run) as (sidecar, settings):
            return purge.run(sidecar, self._inside(paths), settings, now=now(), dry_run=dry_run)

    def drill(
        self,
        selector: str = "latest",
        *,
        checks: Sequence[str] = (),
        check_timeout: float = 300.0,
        to: Path | None = None,
        observer: Observer = SILENT,
    ) -> Drilled:
        """Bring a snapshot into a scratch directory, compare all of it, try it out there, and remove it again.

        Args:
            selector: Which one.
            checks: Shell commands that have to succeed in the scratch directory.
            check_timeout: Seconds that each may take.
            to: The directory in which the scratch one is made; None for where the sidecar lies.
            observer: Is told of the progress.

        Returns:
            What came of it; `failure` is empty where all came back and each check succeeded.

        Raises:
            IntegrityError: The snapshot is damaged.
            NoSuchSnapshotError: There is no such snapshot.
            GitsnapError: There is no room, or no scratch directory can be made.
        """
        with self._acting("drill") as (sidecar, settings):
            parent = os.path.abspath(os.fsdecode(to) if to is not None else os.path.dirname(sidecar.path))
            trial = Trial(parent, tuple(checks), check_timeout, self.environ)
            return drill.drill(sidecar, selector, trial, settings, now=now(), observer=observer)

    def gc(self, *, full: bool = False) -> Collected:
        """Make deletions final, and give back the space of what nothing reaches. Runs stock git.

        Args:
            full: Pack all that is left anew, too, as small as git can, which takes minutes where there is much.

        Returns:
            The sidecar's size before and after, in bytes; which snapshots went for good.

        Raises:
            IntegrityError: A snapshot is damaged, and a gc could remove what would mend it.
            LockedError: Others are at work in the sidecar.
        """
        with self._acting("gc") as (sidecar, settings):
            return gc.collect(sidecar, settings, now=now(), full=full)
