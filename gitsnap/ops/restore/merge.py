"""Undoing an upgrade without undoing what was done since, and carrying customisations over an upgrade.

Both apply what one snapshot has that another has not to the directory as it is. The merged state becomes a snapshot,
and the directory is rolled back to it: safety snapshot, staging and verification are those of every rollback.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from gitsnap.core import coverage
from gitsnap.core.comparison import compare
from gitsnap.core.errors import GitsnapError
from gitsnap.core.events import SILENT, UNGUARDED, Observer
from gitsnap.core.merge import MergedPath, Plan, judge
from gitsnap.core.model import Inventory, Kind, Snapshot, Type
from gitsnap.core.settings import Settings
from gitsnap.core.upgrade import KEEPING_EDITS, Stored, choose_upgrade, upgrades
from gitsnap.installation.owners import localise
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.ops.capture import pristine, signing, store
from gitsnap.ops.capture.request import Request
from gitsnap.ops.live import databases, exclusions, upgrading
from gitsnap.ops.live.feasible import in_the_way
from gitsnap.ops.restore import rollback
from gitsnap.ops.restore.merge_tree import Composition, Sides
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.target import Extent, Only
from gitsnap.ops.restore.transaction import said
from gitsnap.ops.store import retention
from gitsnap.sidecar import catalog, contents, publish, selectors
from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True)
class MergeResult:
    """What was merged, from which upgrade, and the rollback that put it in place (None: nothing was touched)."""

    upgrade: str
    plan: Plan
    snapshot: Snapshot | None = None
    restored: Restored | None = None
    duration: float = 0.0


Confirm = Callable[[Plan], bool]


@dataclass(slots=True, frozen=True)
class MergeOptions:
    """How a merge is to be done: by whom it is asked and shown."""

    now: datetime
    dry_run: bool = False
    confirm: Confirm | None = None
    observer: Observer = SILENT


def keep_edits(
    sidecar: Sidecar,
    selector: str | None,
    settings: Settings,
    options: MergeOptions,
) -> MergeResult:
    """Undo an upgrade (by default the latest) and keep what was changed since. Raises GitsnapError."""
    if not options.dry_run:
        upgrading.require_decided(sidecar)
    return _keeping(sidecar, selector, settings, options).run()


def compose_keeping_edits(
    sidecar: Sidecar, selector: str | None, settings: Settings, options: MergeOptions
) -> MergeResult:
    """The snapshot that keep_edits() would go back to, and nothing touched yet. Raises GitsnapError."""
    return _keeping(sidecar, selector, settings, options).compose()


def _keeping(sidecar: Sidecar, selector: str | None, settings: Settings, options: MergeOptions) -> _Merging:
    of = _upgrade(sidecar, selector)
    if of.post is None:
        raise GitsnapError(
            f"the upgrade {of.id} was cut short: what it did and what was done since cannot be told apart",
            hint=f"gitsnap rollback {of.id}@pre",
        )
    sides = Sides(of.post, of.pre, True, f"{of.id} undone, later edits kept", ("as it is", "before the upgrade"), True)
    return _Merging(sidecar, of, sides, settings, options)


def carry(
    sidecar: Sidecar,
    selector: str | None,
    settings: Settings,
    options: MergeOptions,
    *,
    origin: str | None = None,
) -> MergeResult:
    """Bring what was customised before an upgrade onto what the upgrade has installed.

    `origin` is the pristine copy of the version before the upgrade; by default the one most like it. Raises
    GitsnapError when there is none.
    """
    of = _upgrade(sidecar, selector)
    base = selectors.choose(sidecar, origin) if origin else pristine.nearest(sidecar, of.pre)
    if base is None:
        raise GitsnapError(
            "there is no pristine copy of the version before the upgrade to tell your changes by",
            kind="no-pristine",
            hint="gitsnap import --pristine --label VERSION DIR",
        )
    sides = Sides(base, of.pre, False, f"customisations carried over {of.id}", ("as it is", "your version"))
    return _Merging(sidecar, of, sides, settings, options).run()


def _upgrade(sidecar: Sidecar, selector: str | None) -> Stored:
    name = (selector or "latest").removesuffix("@pre")
    living, _ = catalog.survey(sidecar)
    known = upgrades(living)
    for upgrade in known:
        if name in (upgrade.pre.id, upgrade.post.id if upgrade.post else None):
            return upgrade
    return choose_upgrade(known, name)


class _Merging:
    """One merge: the three inventories, and the fourth that comes of them."""

    def __init__(self, sidecar: Sidecar, of: Stored, sides: Sides, settings: Settings, options: MergeOptions) -> None:
        self._sidecar, self._of, self._sides = sidecar, of, sides
        self._settings, self._options = settings, options
        self._plan = Plan()
        self._only = Only(frozenset())

    def run(self) -> MergeResult:
        """Merge, ask, publish the result as a snapshot, and bring the directory to it."""
        started = time.monotonic()
        result = self.compose()
        if result.snapshot is not None:
            result.restored = self._put_in_place(result.snapshot)
        result.duration = time.monotonic() - started
        return result

    def compose(self) -> MergeResult:
        """Merge, ask, and publish the result as a snapshot."""
        confirm = self._options.confirm
        result = MergeResult(self._of.id, self._plan)
        with self._sidecar.writing(self._settings.lock_wait):
            living = catalog.snapshots(self._sidecar)
            sign = signing.signer(self._sidecar, self._settings.signing, Kind.MANUAL)
            draft = publish.Draft(self._sidecar, living, self._sidecar.load_cache(), self._settings.author, sign)
            try:
                merged = self._merge(draft)
                changed = [*self._plan.taken, *self._plan.removed, *self._plan.merged]
                self._plan.kept = in_the_way(self._sidecar.installation, changed)
                goes_on = (
                    not self._options.dry_run and not self._plan.empty and (confirm is None or confirm(self._plan))
                )
                if goes_on:
                    result.snapshot = self._publish(draft, merged, living)
            finally:
                draft.abandon()
        noted, plan = self._sidecar.noted, self._plan
        noted.upgrade = self._of.id
        for name, paths in (("taken", plan.taken), ("merged", plan.merged), ("conflicts", plan.conflicts)):
            noted.counts[name] = len(paths)
        return result

    def _put_in_place(self, snapshot: Snapshot) -> Restored:
        job = None
        try:
            with self._sidecar.writing(self._settings.lock_wait):
                options = rollback.RollbackOptions(
                    self._options.now, observer=self._options.observer, interrupts=UNGUARDED
                )
                job = rollback.Rollback(self._sidecar, snapshot, self._settings, options, Extent(only=self._only))
                return job.run()
        except BaseException as cause:
            # Where nothing was touched, nothing is left of the attempt.
            if self._sidecar.pending is None and not (job is not None and job.finished):
                self._forget(snapshot, cause)
            raise

    def _forget(self, snapshot: Snapshot, cause: BaseException) -> None:
        try:
            retention.delete(self._sidecar, [snapshot.id], self._settings, now=self._options.now)
        except (GitsnapError, OSError) as second:
            stays = f"; the merged state stays as snapshot {snapshot.id}, which could not be removed: {said(second)}"
            if isinstance(cause, GitsnapError):
                cause.message += stays
            elif isinstance(cause, OSError):
                raise GitsnapError(said(cause) + stays, hint=f"gitsnap delete {snapshot.id}") from cause

    def _merge(self, draft: publish.Draft) -> Inventory:
        rules = exclusions.current(self._sidecar.installation, self._settings)
        self._options.observer.started("reading")
        ours = (
            Scanner(
                self._sidecar.installation,
                draft.pack,
                ScanOptions(
                    cache=self._sidecar.load_cache(),
                    excludes=exclusions.as_predicate(rules),
                    stored=draft.keeps,
                    databases=databases.capturing(self._sidecar, self._settings),
                    observer=self._options.observer,
                ),
            )
            .run()
            .inventory
        )
        self._options.observer.finished()
        ours.rules = list(rules.rules)
        base, theirs = (contents.inventory(self._sidecar, s) for s in (self._sides.base, self._sides.theirs))
        for side in (base, theirs):
            localise(side)
        verdicts = judge(base, ours, theirs, metadata=self._sides.metadata)
        excluded = tuple(p.rstrip(b"/") for p in ours.excluded)
        verdicts = [v for v in verdicts if not rules.covers(v.path, _is_dir(v)) and not _below(v.path, excluded)]
        verdicts = list(self._told(verdicts, base, theirs))
        composing = Composition(self._sidecar, self._sides, self._plan, draft, self._options.now)
        merged = composing.run(ours, verdicts)
        here = ours.by_path()
        changed = frozenset(c.path for c in compare(ours, merged, renames=False).changes)
        self._only = Only(changed, {path: here.get(path) for path in changed})
        return merged

    def _told(self, verdicts: list[MergedPath], base: Inventory, theirs: Inventory) -> Iterator[MergedPath]:
        """Those of which both sides tell: what one of them left out or could not read says nothing of the other."""
        sides = [(exclusions.told_by(side), side) for side in (base, theirs)]
        for v in verdicts:
            untold = next((side for told, side in sides if not told(v.path, _is_dir(v))), None)
            if untold is None:
                yield v
            elif (why := coverage.why_unread(untold, v.path)) is not None:
                self._plan.unknown.append(why)

    def _publish(self, draft: publish.Draft, merged: Inventory, living: list[Snapshot]) -> Snapshot:
        when = self._options.now.astimezone(self._settings.zone)
        # Where anything of it stays, the upgrade is not undone.
        undone = self._sides.undoes and not self._plan.conflicts and not self._plan.unknown and not self._plan.kept
        command = KEEPING_EDITS + self._of.id if undone else None
        request = Request(message=self._sides.message, label="merged", command=command)
        wanted = store.wanted(self._sidecar, request, living, when)
        return draft.publish(wanted, merged, publish.notes_of(merged), when).snapshot


def _is_dir(verdict: MergedPath) -> bool:
    return any(e is not None and e.type is Type.DIR for e in (verdict.ours, verdict.theirs))


def _below(path: bytes, tops: tuple[bytes, ...]) -> bool:
    return any(path.startswith(top + b"/") for top in tops)
