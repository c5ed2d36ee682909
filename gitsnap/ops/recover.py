"""Settling a rollback that was interrupted, and reversing one that was not."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from gitsnap.core.component import Part
from gitsnap.core.content import CHUNK
from gitsnap.core.errors import IntegrityError, NoSuchSnapshotError, PendingRecoveryError
from gitsnap.core.events import SILENT, UNGUARDED, Interrupts, Observer
from gitsnap.core.journal import Phase, Record
from gitsnap.core.model import Kind, Problem, Snapshot
from gitsnap.core.settings import Settings
from gitsnap.core.statcache import StatCache
from gitsnap.installation import orphans, stages
from gitsnap.installation.apply import Stop
from gitsnap.installation.disk import Disk
from gitsnap.ops import components, outcomes
from gitsnap.ops.exclusions import Texts
from gitsnap.ops.restore import Confirm, Doing, Job, Restored, check, open_transaction, reach_of, settled
from gitsnap.ops.target import Only, Target, merged_paths
from gitsnap.ops.transaction import Transaction
from gitsnap.sidecar import catalog, contents
from gitsnap.sidecar.catalog import Living
from gitsnap.sidecar.journalfile import JournalFile
from gitsnap.sidecar.repository import Sidecar


class Direction(StrEnum):
    """Which of the two states a recovery is to end with."""

    FINISH = "finish"
    REVERT = "revert"


@dataclass(slots=True)
class Recovered:
    """What was settled. `direction` is None where there was nothing to settle; the ids are those of the rollback.

    `cleared` are stages without a journal that were removed. `moved` tells whether names of the installation were
    moved: false where it was untouched or done already.
    """

    direction: Direction | None = None
    transaction: str | None = None
    target: str | None = None
    safety: str | None = None
    moved: bool = False
    verified: bool = True
    incomplete: list[Problem] = field(default_factory=list)
    cleared: list[bytes] = field(default_factory=list)
    duration: float = 0.0


def recover(
    sidecar: Sidecar,
    direction: Direction | None,
    settings: Settings,
    *,
    now: datetime,
    disk: Disk | None = None,
    observer: Observer = SILENT,
    interrupts: Interrupts = UNGUARDED,
) -> Recovered:
    """Settle an interrupted rollback: finish it, or take it back. Without a direction, the way that was decided.

    Can be interrupted and repeated. Raises IntegrityError when the journal or the stage is damaged and no direction
    was given; with one, the directory is brought there by comparing all of it with the snapshot.
    """
    doing = Doing(now, disk=disk or Disk(), observer=observer, interrupts=interrupts)
    started = time.monotonic()
    with sidecar.writing(settings.lock_wait, recovering=True):
        result = _Recovery(sidecar, settings, doing, direction).run()
    result.duration = time.monotonic() - started
    return result


class _Recovery:
    def __init__(self, sidecar: Sidecar, settings: Settings, doing: Doing, direction: Direction | None) -> None:
        self._sidecar, self._settings, self._doing = sidecar, settings, doing
        self._asked = direction
        self._journal = JournalFile(sidecar)

    def run(self) -> Recovered:
        try:
            found = self._journal.load()
        except IntegrityError as error:
            return self._by_content(error)
        if found is None:
            return self._orphans()
        phase, record = found
        self._require_same_directory(record)
        with (
            self._doing.interrupts.deferred() as stop,
            open_transaction(self._sidecar, record, self._doing) as transaction,
        ):
            try:
                transaction.resume(phase)
            except IntegrityError as error:
                useless = error
            else:
                return self._by_journal(phase, record, transaction, stop)
        return self._by_content(useless)

    def _orphans(self) -> Recovered:
        """Stages without a journal go; their files that no snapshot holds are kept beside the sidecar."""
        left = orphans.find(self._sidecar.installation)
        if not left:
            return Recovered()
        known: set[bytes] = set()
        for snapshot in catalog.snapshots(self._sidecar):
            # What only a damaged one holds is kept as if none did.
            with suppress(IntegrityError):
                known |= set(contents.manifest(self._sidecar, snapshot).digests.values())
        kept = stages.clear(
            self._sidecar.installation, self._doing.disk, left, _unknown_to(known), self._beside(), "no snapshot"
        )
        return Recovered(cleared=left, incomplete=kept)

    def _beside(self) -> str:
        return os.path.join(os.path.dirname(self._sidecar.path), f"gitsnap-conflicts-{os.urandom(6).hex()}")

    def _require_same_directory(self, record: Record) -> None:
        root = os.fsencode(self._sidecar.installation)
        if os.stat(root).st_ino != record.root_inode:
            raise PendingRecoveryError(
                f"{self._sidecar.installation} is not the directory in which a rollback was interrupted",
                path=self._sidecar.installation,
                hint=f"put that directory back in its place; snapshot {record.safety} holds what was in it",
            )
        # It may have been moved since.
        record.root = root

    def _by_journal(self, phase: Phase, record: Record, transaction: Transaction, stop: Stop) -> Recovered:
        forward = self._forward(phase)
        result = self._result(forward, record)
        aim = self._target(record, record.target if forward else record.safety)
        if phase in (Phase.FORWARD, Phase.BACKWARD):
            result.moved = True
            if forward:
                transaction.forward(lambda: self._differences(self._target(record, record.safety), record), stop)
            else:
                transaction.backward(stop)
            result.incomplete += [*transaction.incomplete, *aim.unread()]
            with transaction.checking():
                self._conclude(result, aim, record)
            result.incomplete += transaction.finish(forward=forward)
            self._follow(result, record)
            return result
        result.incomplete += transaction.finish(forward=phase is Phase.FINISHED)
        if self._asked is not None and forward is not (phase is Phase.FINISHED):
            # The journal cannot lead there any more; the snapshot can.
            return self._roll(result, aim.snapshot.id, record.paths, record.part, only=aim.only)
        self._conclude(result, aim, record)
        self._follow(result, record)
        return result

    def _follow(self, result: Recovered, record: Record) -> None:
        """Record what a rollback that has come to its end has made of upgrades; taken back, it has made nothing."""
        if result.verified and result.direction is Direction.FINISH and not (record.paths or record.part):
            living = catalog.snapshots(self._sidecar)
            target = catalog.resolve(living, record.target)
            before = [s for s in living if s.id != record.safety]
            outcomes.follow(self._sidecar, before, target, self._doing.now, recovering=True)

    def _forward(self, phase: Phase) -> bool:
        if self._asked is not None:
            return self._asked is Direction.FINISH
        return phase in (Phase.FORWARD, Phase.FINISHED)

    def _result(self, forward: bool, record: Record) -> Recovered:
        direction = Direction.FINISH if forward else Direction.REVERT
        return Recovered(direction, record.transaction, record.target, record.safety)

    def _target(self, record: Record, name: str) -> Target:
        snapshot, sqlite = self._snapshot(name), self._settings.sqlite
        only = self._only(record.target, record.safety, record.leaving)
        texts = Texts(record.ignore, record.exclude)
        return Target(self._sidecar, snapshot, texts, record.paths, record.part, sqlite=sqlite, only=only)

    def _snapshot(self, name: str) -> Snapshot:
        return catalog.resolve(catalog.snapshots(self._sidecar), name)

    def _only(self, target: str, safety: str, leaving: tuple[bytes, ...] | None) -> Only | None:
        """What counts where a merge is settled; None where no merge is."""
        if leaving is None:
            return None
        return merged_paths(self._sidecar, self._snapshot(target), self._snapshot(safety), leaving)

    def _differences(self, aim: Target, record: Record) -> list[Problem]:
        scan = check(self._sidecar, aim, StatCache(), self._doing.observer, record.stage_paths())
        return aim.differences(scan.inventory)

    def _conclude(self, result: Recovered, aim: Target, record: Record) -> None:
        known, unexplained = settled(result.incomplete, self._differences(aim, record), aim.explained)
        result.incomplete = [*known, *unexplained]
        result.verified = not unexplained

    def _roll(
        self,
        result: Recovered,
        name: str,
        paths: tuple[bytes, ...],
        part: Part | None,
        hidden: frozenset[bytes] = frozenset(),
        only: Only | None = None,
    ) -> Recovered:
        """Reach a snapshot by comparing everything with it, in a rollback of its own."""
        snapshot = self._snapshot(name)
        doing, reversing = replace(self._doing, hidden=hidden), snapshot.kind is Kind.SAFETY
        job = Job(self._sidecar, snapshot, self._settings, doing, paths, part, reversing=reversing, only=only)
        restored = job.run()
        result.moved, result.verified = True, restored.verified
        result.incomplete += restored.incomplete
        return result

    def _by_content(self, error: IntegrityError) -> Recovered:
        """The journal or the stage is of no use: the safety snapshot still knows both ends."""
        try:
            safety = last_safety(catalog.snapshots(self._sidecar))
        except NoSuchSnapshotError:
            error.hint = f"no safety snapshot is left: `gitsnap rollback SNAPSHOT` after removing {error.path!s}"
            raise error from None
        if not safety.command:
            raise error
        target, reach = safety.command.split()[2], reach_of(safety.command)
        if self._asked is None:
            error.hint = (
                f"`gitsnap recover --finish` brings back {target}, `gitsnap recover --revert` brings back {safety.id}, "
                "by comparing everything"
            )
            raise error
        forward = self._asked is Direction.FINISH
        result = Recovered(self._asked, None, target, safety.id)
        known = self._digests(target if forward else safety.id)
        with suppress(IntegrityError, NoSuchSnapshotError):
            # Files that only a damaged snapshot knows are kept as if nobody did.
            known |= self._digests(safety.id if forward else target)
        left = stages.left_behind(self._sidecar.installation)
        self._journal.set_aside()
        part = component_of_snapshot(self._sidecar, safety, reach.component, self._settings)
        only = self._only(target, safety.id, reach.leaving)
        self._roll(result, target if forward else safety.id, reach.paths, part, frozenset(left), only)
        result.incomplete += stages.clear(
            self._sidecar.installation, self._doing.disk, left, _unknown_to(known), self._beside()
        )
        self._journal.forget()
        return result

    def _digests(self, name: str) -> set[bytes]:
        snapshot = catalog.resolve(catalog.snapshots(self._sidecar), name)
        target = Target(self._sidecar, snapshot, Texts(b"", b""))
        return {e.sha256 for e in target.wanted.entries if e.sha256}


def _unknown_to(known: set[bytes]) -> Callable[[int], bool]:
    """Tells of an open file whether none of the digests is its own."""

    def unknown(fd: int) -> bool:
        digest = hashlib.sha256()
        while data := os.read(fd, CHUNK):
            digest.update(data)
        return digest.digest() not in known

    return unknown


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
    doing = Doing(now, dry_run, confirm, disk or Disk(), observer, interrupts)
    with sidecar.writing(settings.lock_wait):
        safety = last_safety(catalog.snapshots(sidecar))
        reach = reach_of(safety.command)
        part = component_of_snapshot(sidecar, safety, reach.component, settings)
        only = None if reach.leaving is None else _merged(sidecar, safety, reach.leaving)
        return Job(sidecar, safety, settings, doing, reach.paths, part, reversing=True, only=only).run()


def _merged(sidecar: Sidecar, safety: Snapshot, leaving: tuple[bytes, ...]) -> Only:
    """What the merge before which a safety snapshot was taken has changed."""
    name = (safety.command or "").split()[2]
    try:
        target = catalog.resolve(catalog.snapshots(sidecar), name)
    except NoSuchSnapshotError as error:
        raise NoSuchSnapshotError(
            f"what the last merge changed is not known any more: {error.message}",
            hint=f"gitsnap rollback {safety.id} brings the whole directory back to what it was before it",
        ) from None
    return merged_paths(sidecar, target, safety, leaving)


def component_of_snapshot(
    sidecar: Sidecar, snapshot: Snapshot, component: str | None, settings: Settings
) -> Part | None:
    """The component of this name as the configuration and a snapshot have it; None for none."""
    return components.part(sidecar, snapshot.id, component, settings) if component is not None else None


def last_safety(living: Living) -> Snapshot:
    """The safety snapshot of the last rollback or restore; NoSuchSnapshotError when there is none.

    Raises IntegrityError where the very one that is meant may be damaged.
    """
    for snapshot in reversed(living):
        if snapshot.kind is Kind.SAFETY:
            return catalog.require_certain(living, snapshot)
    raise NoSuchSnapshotError(
        "there is nothing to undo: no rollback or restore has left a safety snapshot", hint="`gitsnap list` shows all"
    )
