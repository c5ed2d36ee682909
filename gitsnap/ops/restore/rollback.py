"""Bringing back, in place: a whole snapshot (rollback) or named paths of one (restore)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from gitsnap.core.component import Part
from gitsnap.core.database_servers import Policy
from gitsnap.core.errors import GitsnapError, PlanChangedError
from gitsnap.core.events import SILENT, UNGUARDED, Interrupts, Observer
from gitsnap.core.journal import Record
from gitsnap.core.model import Entry, Inventory, Kind, Problem, Snapshot, Type
from gitsnap.core.plan import Action, RestorePlan
from gitsnap.core.settings import Settings
from gitsnap.core.sqlite import LIVE
from gitsnap.core.statcache import StatCache
from gitsnap.core.upgrade import undone_again
from gitsnap.installation import root as directory
from gitsnap.installation.apply.executor import refused
from gitsnap.installation.apply.times import settled
from gitsnap.installation.directories import Directories
from gitsnap.installation.disk import Disk
from gitsnap.installation.scan.unchanged import all_rows, seal
from gitsnap.installation.scan_result import Scan
from gitsnap.ops.capture.request import Capture, Request
from gitsnap.ops.capture.scan import take_locked
from gitsnap.ops.live import database_servers, databases, exclusions, upgrading
from gitsnap.ops.live.feasible import require_space, require_way_in
from gitsnap.ops.live.service import stopped
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.safety import command_line
from gitsnap.ops.restore.scan import check, look, written_meanwhile
from gitsnap.ops.restore.target import EVERYTHING, Extent, Target, replaced, require_paths
from gitsnap.ops.restore.transaction import Transaction
from gitsnap.ops.store import outcomes, retention
from gitsnap.sidecar import catalog, contents, newest, selectors, withdraw
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state.journal_file import JournalFile

Confirm = Callable[[Snapshot, RestorePlan], bool]


@dataclass(slots=True, frozen=True)
class RollbackOptions:
    """How a rollback is to be done: by whom it is asked, shown, stopped, and through which port it writes."""

    now: datetime
    dry_run: bool = False
    confirm: Confirm | None = None
    # The fingerprint of the plan that was agreed to; no other one is carried out.
    agreed: str | None = None
    disk: Disk = field(default_factory=Disk)
    observer: Observer = SILENT
    interrupts: Interrupts = UNGUARDED
    # Stages that an earlier rollback left: no content, and not to be touched.
    hidden: frozenset[bytes] = frozenset()
    # The safety snapshot that undo or redo brings back: core.reversal goes by what is noted of that.
    undoes: str | None = None
    redoes: str | None = None


def rollback(
    sidecar: Sidecar,
    selector: str | None,
    settings: Settings,
    options: RollbackOptions,
    *,
    paths: Sequence[bytes] = (),
    part: Part | None = None,
) -> Restored:
    """Bring the installation, or the named paths or a part of it, back to a snapshot, exactly.

    With `options.confirm`, the plan is shown to it first and nothing happens when it says no. Raises GitsnapError
    before anything was touched when the target is damaged, a path is unknown, or content could not be kept safe. An
    error half way puts the old state back; PendingRecoveryError when that failed as well, or an earlier rollback is
    open.
    """
    if not (paths or part or options.dry_run):
        upgrading.require_decided(sidecar)
    with sidecar.writing(settings.lock_wait):
        living = catalog.snapshots(sidecar)
        target = selectors.default_target(living) if selector is None else selectors.choose(sidecar, selector, living)
        job = Rollback(sidecar, target, settings, options, Extent(tuple(paths), part))
        require_paths(paths, job.target.wanted, target)
        result = job.run()
        if not result.plan.steps and not (paths or part):
            gone = {decision.snapshot.id for decision in result.pruned}
            result.further_back = newest.further_back([s for s in living if s.id not in gone], target)
        return result


class Rollback:
    """One rollback, for a caller who holds the writer's lock."""

    def __init__(
        self,
        sidecar: Sidecar,
        target: Snapshot,
        settings: Settings,
        options: RollbackOptions,
        extent: Extent = EVERYTHING,
        *,
        reversing: bool = False,
    ) -> None:
        self._leaving: tuple[bytes, ...] | None = None
        self._finished = False
        self._sidecar, self._settings, self._options = sidecar, settings, options
        texts = exclusions.texts(sidecar.installation, settings)
        leaving = settings.databases is Policy.LEAVE
        self.target = Target(
            sidecar, target, texts, extent, reversing=reversing, sqlite=settings.sqlite, leaving_servers=leaving
        )

    @property
    def finished(self) -> bool:
        """Whether the directory was brought to the target, whatever went wrong afterwards."""
        return self._finished

    def run(self) -> Restored:
        """Plan, ask, keep safe, carry out, check."""
        started, options = time.monotonic(), self._options
        self._sidecar.noted.target = self.target.snapshot.id
        before = catalog.snapshots(self._sidecar)
        result = Restored(self.target.snapshot, RestorePlan(), paths=self.target.paths)
        result.component = self.target.part.name if self.target.part else ""
        result.unrecorded = self.target.unrecorded
        # Where there is nothing to do, nothing is stopped for it.
        service = None if options.dry_run or self.target.paths else self._settings.service
        if options.dry_run or options.confirm or service:
            found = self._look()
            result.plan, result.beyond, result.live = self.target.plan(found), self.target.beyond, found.inventory
            if service:
                # What stops writes as it stops: what was agreed to is what was there before.
                self._require_agreed(result)
            if not options.dry_run and not service:
                self._require_stopped(result)
            service = service if result.plan.steps else None
            if options.dry_run or (options.confirm and not options.confirm(self.target.snapshot, result.plan)):
                result.duration = time.monotonic() - started
                return result
            started = time.monotonic()
        alone = self._settings.databases is Policy.LEAVE
        with stopped(self._sidecar, service, alone=alone) as result.service:
            with self._made_again(result):
                scan = self._keep_safe(result)
            after = self._carry_out(result, scan)
        self._note(result)
        if result.verified:
            self._go_on(result, before, after)
        keep = {self.target.snapshot.id} | ({result.safety.id} if result.safety else set())
        pruned = retention.prune_locked(self._sidecar, self._settings, now=options.now, protected=keep)
        result.pruned += pruned.gone
        result.held = pruned.held
        result.duration = time.monotonic() - started
        return result

    def _explained(self, wrong: list[Problem], stayed: Set[bytes]) -> list[Problem]:
        return [*self.target.explained(wrong, stayed), *self.target.served(wrong)]

    def _require_agreed(self, result: Restored) -> None:
        """Raise PlanChangedError where this is not the plan that was agreed to."""
        agreed = self._options.agreed
        # The digest of a large plan takes longer than making it: only who has agreed to one waits for that.
        if agreed is not None and agreed != result.fingerprint():
            raise PlanChangedError(
                "the plan is not the one that was agreed to: the directory, or the snapshot, is another one now",
                hint="make a new plan, and look at it",
            )

    def _require_stopped(self, result: Restored) -> None:
        """Note the databases at work in what is to be touched; DatabaseRunningError unless that is wanted."""
        result.running = self.target.running
        if self._settings.databases in (None, Policy.REFUSE):
            database_servers.require_untouched(result.running)

    def _go_on(self, result: Restored, before: Sequence[Snapshot], after: Scan) -> None:
        """Record what the rollback has made of upgrades, and what the directory has come back to."""
        told, sidecar, target, moved = [], self._sidecar, self.target.snapshot, result.safety is not None
        if not (self.target.paths or self.target.part):
            told = outcomes.follow(sidecar, before, target, self._options.now)
        elif moved:
            # An edit like any other, unless all is as a snapshot has it: one that has lost a file has it again.
            tree = trees.identify(after.inventory.entries).hex()
            held = [s for s in reversed(catalog.snapshots(sidecar)) if s.tree == tree and s != result.safety]
            if not held:
                return
            target, moved = min(held, key=lambda s: s.kind is Kind.SAFETY), False
        when = self._options.now.astimezone(self._settings.zone)
        outcomes.go_on(sidecar, target, when, self._settings.author, told, moved=moved)

    def _note(self, result: Restored) -> None:
        noted, plan = self._sidecar.noted, result.plan
        noted.safety = result.safety.id if result.safety else None
        noted.counts |= {
            "written": len(plan.written),
            "removed": len(plan.removed),
        }
        noted.details["verified"] = result.verified
        noted.name(result.incomplete)

    @contextmanager
    def _made_again(self, result: Restored) -> Iterator[None]:
        """The directory, made where it is gone; not if what is done in it first fails."""
        root = self._sidecar.installation
        if not directory.missing(root):
            yield
            return
        self.target.remade = True
        above = directory.lacking(root)
        result.aside, result.made = directory.recreate(root), [*above, root]
        try:
            yield
        except BaseException:
            directory.withdraw(root, above)
            if result.aside is not None:
                os.rename(result.aside, root)
            raise

    def _look(self) -> Scan:
        """The directory as it is, nothing stored. One that is gone is an empty one."""
        if directory.missing(self._sidecar.installation):
            return Scan(Inventory([Entry(b"", Type.DIR, 0o700, os.geteuid(), os.getegid())]))
        cache, observer = self._sidecar.load_cache(), self._options.observer
        # As the safety snapshot will see it.
        kept = databases.capturing(self._sidecar, self._settings, self.target.wanted.images)
        return look(self._sidecar, self.target, "comparing", cache, observer, databases=kept)

    def _keep_safe(self, result: Restored) -> Scan:
        """Plan, and take the safety snapshot: everything that the rollback may touch. None where it has nothing to do.

        Rollbacks that a nervous hand or a script repeats would push older snapshots out of retention's places.
        """
        target, paths, part = self.target.snapshot, self.target.paths, self.target.part

        def needed(scan: Scan) -> bool:
            result.plan, result.beyond, result.live = self.target.plan(scan), self.target.beyond, scan.inventory
            if not self._settings.service:
                self._require_agreed(result)
            self._require_stopped(result)
            require_way_in(self._sidecar.installation, result.plan)
            require_space(self._sidecar.installation, result.plan)
            replaced = {*result.plan.written, *result.plan.removed}
            result.in_use = sorted(scan.inventory.images.keys() & replaced)
            drifted = self.target.drifted(scan.inventory)
            result.left_alone = sorted(scan.inventory.images.keys() - replaced | set(drifted))
            if self.target.only is not None:
                self._leaving = tuple(drifted)
                request.command = command_line(target.id, leaving=self._leaving)
            # A step of undo or redo is one also where somebody has done the same by hand.
            return bool(result.plan.steps or request.undoes or request.redoes)

        what = f"{len(paths)} path{'s' * (len(paths) != 1)} of " if paths else ""
        what = f"the component {part.name} of " if part else what
        request = Request(
            kind=Kind.SAFETY,
            message=f"before {what}{target.id} came back",
            # What undoes an upgrade belongs to it.
            upgrade=None if what else self._undoes(),
            command=command_line(target.id, paths, part),
            undoes=self._options.undoes,
            redoes=self._options.redoes,
        )
        capture = Capture(
            self._sidecar,
            request,
            self._settings,
            self._options.now,
            self._options.observer,
            rules=list(self.target.texts.parse().rules),
            excludes=self.target.excludes(self._options.hidden),
            protect=(target.id,),
            needed=needed,
            relied_on=lambda scan: replaced(result.plan, scan.inventory),
            images=self.target.wanted.images,
        )
        taken, scan = take_locked(capture)
        result.pruned += taken.pruned
        result.safety = None if taken.skipped else taken.snapshot
        return scan

    def _undoes(self) -> str | None:
        """The upgrade that a rollback to the target undoes."""
        target = self.target.snapshot
        if target.kind is Kind.PRE:
            return target.upgrade
        return undone_again(catalog.snapshots(self._sidecar), target) if target.kind is Kind.SAFETY else None

    def _carry_out(self, result: Restored, scan: Scan) -> Scan:
        safety = bytes.fromhex(result.safety.commit) if result.safety else b""
        cache = StatCache(safety, scan.rows, scan.xattrs, images=scan.images)
        hidden = self._options.hidden
        if result.safety is None:
            after = check(self._sidecar, self.target, cache, self._options.observer, hidden)
            result.incomplete += [*result.plan.kept, *self.target.unread(), *self.target.unlooked(after.inventory)]
            result.conclude(self.target.differences(after.inventory), self._explained)
        else:
            after = self._apply(result, result.safety, scan, cache)
        result.applied = self._finished = True
        known = self.target.whole and not self.target.lacking
        if result.verified and known and not result.incomplete:
            self._vouch(after)
        return after

    def _vouch(self, after: Scan) -> None:
        """The directory is the target, by these rows: the next snapshot need not read what came back, nor look closely
        where nothing has changed since."""
        target = self.target
        # What the target leaves out was looked at as well, but no snapshot need keep it.
        rows = {path: row for path, row in after.rows.items() if path in target.held}
        images = {path: held for path, held in after.images.items() if path in target.held}
        scan = Scan(target.wanted, rows, after.xattrs, mounts=after.mounts, databases=self._settings.sqlite)
        whole = b""
        # Of a database at work, and of numbers of another system, the target's texts do not say what is here.
        if not (images or target.renumbered or any(path.endswith(LIVE) for path in target.held)):
            scan.rows = all_rows(scan)
            whole = seal(scan)
        commit = bytes.fromhex(target.snapshot.commit)
        self._sidecar.save_cache(StatCache(commit, scan.rows, scan.xattrs, target.trees, whole, images))

    def _apply(self, result: Restored, safety: Snapshot, scan: Scan, cache: StatCache) -> Scan:
        options, sidecar = self._options, self._sidecar
        record = self._record(safety)
        sidecar.noted.safety = safety.id
        sidecar.noted.begin()

        def look_again(target: Target, known: StatCache) -> Scan:
            return check(sidecar, target, known, options.observer, options.hidden | record.stage_paths())

        def old_state() -> list[Problem]:
            before = Target(sidecar, safety, self.target.texts, sqlite=self.target.sqlite)
            return before.differences(look_again(before, cache).inventory)

        with options.interrupts.deferred() as stop, open_transaction(sidecar, record, options) as transaction:
            try:
                content = partial(contents.of_entry, sidecar)
                transaction.prepare(result.plan, scan.inventory.on_disk(), content, stop)
                self.target.staged = {
                    s.path: s.entry for s in result.plan.steps if s.action is Action.WRITE and s.entry
                }
                transaction.forward(old_state, stop, first=True, known=cache)
            except BaseException:
                if transaction.came_to_nothing:
                    self._take_back(safety)
                raise
            known = replace(cache, rows={**cache.rows, **transaction.rows})
            with transaction.checking():
                after = look_again(self.target, known)
            kept = {p.path for p in result.plan.kept}
            result.incomplete += [*result.plan.kept, *(p for p in transaction.incomplete if p.path not in kept)]
            result.incomplete += self.target.unread()
            wrong = self.target.differences(after.inventory)
            meanwhile = written_meanwhile(wrong, result.plan, scan.inventory, after.inventory)
            result.incomplete += [*meanwhile, *self.target.unlooked(after.inventory)]
            result.left_alone = sorted({*result.left_alone, *(p.path for p in meanwhile)})
            result.incomplete += (p for p in transaction.finish(forward=True) if not (p.path in kept and refused(p)))
        _look_at_directories(record, after)
        result.conclude(wrong, self._explained)
        return after

    def _take_back(self, safety: Snapshot) -> None:
        """The rollback came to nothing: the directory is what its safety snapshot holds. With that, undo would reverse
        this one and not the last that was carried out, and whoever tries again would push out what that one kept."""
        # Where it cannot be removed, it is one snapshot too many.
        with suppress(OSError, GitsnapError):
            withdraw.withdraw(self._sidecar, catalog.snapshots(self._sidecar), [safety], self._options.now)

    def _record(self, safety: Snapshot) -> Record:
        root = os.fsencode(self._sidecar.installation)
        texts = self.target.texts
        return Record(
            os.urandom(6).hex(),
            self._options.now.astimezone(UTC).isoformat(timespec="seconds"),
            root,
            os.stat(root).st_ino,
            self.target.snapshot.id,
            safety.id,
            self.target.paths,
            self.target.part,
            texts.ignore,
            texts.configured,
            leaving=self._leaving,
        )


def open_transaction(sidecar: Sidecar, record: Record, options: RollbackOptions) -> Transaction:
    """The transaction of a record, with its journal in the sidecar."""
    beside = os.path.join(os.path.dirname(sidecar.path), f"gitsnap-conflicts-{record.transaction}")
    return Transaction(record, JournalFile(sidecar), options.disk, beside, options.observer)


def _look_at_directories(record: Record, after: Scan) -> None:
    """Give those a row that were set right a moment before the last look, or again when the stages in them went."""
    for stage in record.stages:
        after.rows.pop(stage.holder, None)
    with suppress(OSError), Directories(os.fsdecode(record.root)) as dirs:
        for entry in after.inventory.entries:
            if entry.type is Type.DIR and entry.path not in after.rows:
                row = settled(dirs.fd(entry.path), entry)
                if row is not None:
                    after.rows[entry.path] = row
                    after.xattrs |= {entry.path: entry.xattrs} if entry.xattrs else {}
