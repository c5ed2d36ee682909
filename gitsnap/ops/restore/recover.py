"""Settling a rollback that was interrupted: by its journal, or by comparing everything with a snapshot."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Container
from contextlib import suppress

from gitsnap.core.errors import IntegrityError, NoSuchSnapshotError
from gitsnap.core.events import SILENT
from gitsnap.core.journal import Phase, Record
from gitsnap.core.model import Entry, Problem
from gitsnap.core.settings import Settings
from gitsnap.core.statcache import StatCache
from gitsnap.installation.apply import orphan_stages, stage_dirs
from gitsnap.installation.apply.executor import Stop
from gitsnap.ops.live import in_progress
from gitsnap.ops.live.exclusions import RuleTexts
from gitsnap.ops.live.service import stopped
from gitsnap.ops.parallel.read_back import ReadBack, ReadBacks, Rereading
from gitsnap.ops.restore.give_up import give_up
from gitsnap.ops.restore.recover_by_comparing import Comparing, unknown_to
from gitsnap.ops.restore.result import Direction, Recovered, settled
from gitsnap.ops.restore.rollback import RollbackOptions, open_transaction
from gitsnap.ops.restore.scan import check
from gitsnap.ops.restore.target import Extent, Target
from gitsnap.ops.restore.transaction import Transaction
from gitsnap.ops.store import outcomes
from gitsnap.sidecar import catalog, contents, selectors, withdraw
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state.journal_file import JournalFile


def recover(
    sidecar: Sidecar,
    direction: Direction | None,
    settings: Settings,
    options: RollbackOptions,
) -> Recovered:
    """Settle an interrupted rollback: finish it, or take it back. Without a direction, the way that was decided.

    Can be interrupted and repeated. Raises IntegrityError when the journal or the stage is damaged and no direction
    was given; with one, the directory is brought there by comparing all of it with the snapshot. So it is where another
    directory lies in the place of the one in which the rollback was interrupted, or none; PendingRecoveryError without
    a direction. Where the snapshot is damaged, journal and stage lead there alone, and it is said to be unverified.
    """
    started = time.monotonic()
    noted = sidecar.noted
    with sidecar.writing(settings.lock_wait, recovering=True):
        if sidecar.pending is not None:
            noted.begin()
        if direction is Direction.GIVE_UP:
            result = give_up(sidecar, options)
        else:
            with stopped(sidecar, settings.service if sidecar.pending is not None else None) as turns:
                result = _Recovery(sidecar, settings, options, direction).run()
            result.service = turns
    result.duration = time.monotonic() - started
    noted.target, noted.safety = result.target, result.safety
    noted.details |= {
        "direction": result.direction.value if result.direction else None,
        "verified": result.verified,
        "kept": result.kept,
    }
    noted.name(result.incomplete)
    if result.direction is None and (upgrade := in_progress.cut_short(sidecar)):
        noted.upgrade = upgrade
        noted.cause = "no rollback was interrupted, but the upgrade was: the directory is as that left it"
    return result


class _Recovery:
    def __init__(
        self, sidecar: Sidecar, settings: Settings, options: RollbackOptions, direction: Direction | None
    ) -> None:
        self._sidecar, self._settings, self._options = sidecar, settings, options
        self._asked = direction
        self._journal = JournalFile(sidecar)
        self._comparing = Comparing(sidecar, settings, options, direction, self._journal)

    def run(self) -> Recovered:
        try:
            found = self._journal.load()
        except IntegrityError as error:
            return self._comparing.by_content(error)
        if found is None:
            return self._orphans()
        phase, record = found
        if other := _other_directory(self._sidecar.installation, record):
            return self._comparing.in_another_directory(record, other)
        # It may have been moved since.
        record.root = os.fsencode(self._sidecar.installation)
        with (
            self._options.interrupts.deferred() as stop,
            open_transaction(self._sidecar, record, self._options) as transaction,
        ):
            try:
                transaction.resume(phase)
            except IntegrityError as error:
                useless = error
            else:
                return self._by_journal(phase, record, transaction, stop)
        return self._comparing.by_content(useless)

    def _orphans(self) -> Recovered:
        """Stages without a journal go; their files that no snapshot holds are kept beside the sidecar."""
        left = orphan_stages.find(self._sidecar.installation)
        if not left:
            return Recovered()
        known: set[bytes] = set()
        for snapshot in catalog.snapshots(self._sidecar):
            # What only a damaged one holds is kept as if none did.
            with suppress(IntegrityError):
                known |= set(contents.manifest(self._sidecar, snapshot).digests.values())
        kept = stage_dirs.clear(
            self._sidecar.installation,
            self._options.disk,
            left,
            unknown_to(known),
            self._comparing.beside(),
            "no snapshot",
        )
        return Recovered(cleared=left, incomplete=kept)

    def _by_journal(self, phase: Phase, record: Record, transaction: Transaction, stop: Stop) -> Recovered:
        forward = self._forward(phase)
        result = self._comparing.result(forward, record)
        name = record.target if forward else record.safety
        going = phase is Phase.FINISHED if phase in (Phase.FINISHED, Phase.REVERTED) else forward
        # What the stages hold then goes: it must not be the only copy.
        transaction.lost = self._not_held(record, record.safety if going else record.target)
        if phase in (Phase.FORWARD, Phase.BACKWARD):
            result.moved = True
            if forward:
                transaction.forward(lambda: self._compared(record, record.safety), stop)
            else:
                transaction.backward(stop)
            result.incomplete += transaction.incomplete
            with transaction.checking():
                self._conclude(result, record, name)
            result.incomplete += transaction.finish(forward=forward)
            self._follow(result, record)
            return result
        result.incomplete += transaction.finish(forward=phase is Phase.FINISHED)
        if self._asked is not None and forward is not (phase is Phase.FINISHED):
            # The journal cannot lead there any more; the snapshot can.
            return self._comparing.roll(result, name, self._target(record, name).extent)
        self._conclude(result, record, name)
        self._follow(result, record)
        return result

    def _not_held(self, record: Record, name: str) -> Container[bytes]:
        """The paths that move whose content a snapshot does not hold whole."""
        moved = {m.path for m in record.moves}
        if not moved:
            return ()
        try:
            entries = [e for e in self._target(record, name).wanted.entries if e.path in moved and e.oid]
        except (IntegrityError, NoSuchSnapshotError):
            return moved
        with Rereading(self._sidecar.objects, [e.oid for e in entries if e.oid], ReadBacks(), SILENT) as rereading:
            held = rereading.finish()
        return {e.path for e in entries if e.oid and not _is_held(e, held.get(e.oid))}

    def _compared(self, record: Record, name: str) -> list[Problem]:
        """Where the directory differs from a snapshot; that it cannot be told where the snapshot is damaged."""
        try:
            return self._differences(self._target(record, name), record)
        except (IntegrityError, NoSuchSnapshotError) as error:
            return [Problem(b"", f"could not be compared: {error.message}")]

    def _follow(self, result: Recovered, record: Record) -> None:
        """Record what a rollback that has come to its end has made of upgrades; taken back, it has made nothing."""
        living = catalog.snapshots(self._sidecar)
        if result.verified and result.direction is Direction.REVERT:
            # With its safety snapshot, the undo or redo would pass for one that was carried out.
            nothing = [s for s in living if s.id == record.safety and (s.undoes or s.redoes)]
            if nothing:
                withdraw.delete(self._sidecar, living, nothing, self._options.now)
        if result.verified and result.direction is Direction.FINISH and not (record.paths or record.part):
            target = selectors.resolve(living, record.target)
            before = [s for s in living if s.id != record.safety]
            now = self._options.now.astimezone(self._settings.zone)
            told = outcomes.follow(self._sidecar, before, target, now, recovering=True)
            if told:
                # An upgrade whose end nobody lived to tell.
                self._sidecar.noted.upgrade = told[-1].upgrade
                self._sidecar.noted.details["settled"] = told[-1].outcome.value
            outcomes.go_on(self._sidecar, target, now, self._settings.author, told, moved=True)

    def _forward(self, phase: Phase) -> bool:
        if self._asked is not None:
            return self._asked is Direction.FINISH
        return phase in (Phase.FORWARD, Phase.FINISHED)

    def _target(self, record: Record, name: str) -> Target:
        snapshot, sqlite = self._comparing.snapshot(name), self._settings.sqlite
        only = self._comparing.only(record.target, record.safety, record.leaving)
        texts = RuleTexts(record.ignore, record.exclude)
        return Target(self._sidecar, snapshot, texts, Extent(record.paths, record.part, only), sqlite=sqlite)

    def _differences(self, aim: Target, record: Record) -> list[Problem]:
        scan = check(self._sidecar, aim, StatCache(), self._options.observer, record.stage_paths())
        return aim.differences(scan.inventory)

    def _conclude(self, result: Recovered, record: Record, name: str) -> None:
        try:
            aim = self._target(record, name)
            result.incomplete += aim.unread() if result.moved else []
            wrong = self._differences(aim, record)
        except (IntegrityError, NoSuchSnapshotError) as error:
            # Journal and stage have led here, and they hold both states.
            result.verified, result.unverified = False, error.message
            return
        known, unexplained = settled(result.incomplete, wrong, aim.explained)
        result.incomplete = [*known, *unexplained]
        result.verified = not unexplained


def _is_held(entry: Entry, held: ReadBack | None) -> bool:
    return held is not None and not isinstance(held, str) and (entry.sha256 is None or held[1] == entry.sha256)


def _other_directory(root: str, record: Record) -> str | None:
    """What is wrong where the directory is not the one in which the rollback was interrupted; None where it is."""
    try:
        found = os.stat(root)
    except (FileNotFoundError, NotADirectoryError):
        return f"{root} is gone, and a rollback was interrupted in it"
    if not stat.S_ISDIR(found.st_mode):
        return f"{root} is no directory any more, and a rollback was interrupted in it"
    if found.st_ino == record.root_inode:
        return None
    empty = "" if os.listdir(root) else "; it is empty: is a file system not mounted?"
    return f"{root} is not the directory in which a rollback was interrupted{empty}"
