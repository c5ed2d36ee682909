"""Undoing an upgrade without undoing what was done since, and carrying customisations over an upgrade.

Both apply what one snapshot has that another has not to the directory as it is. The merged state becomes a snapshot,
and the directory is rolled back to it: safety snapshot, staging and verification are those of every rollback.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from gitsnap.core import coverage
from gitsnap.core.comparison import compare
from gitsnap.core.errors import GitsnapError
from gitsnap.core.events import SILENT, UNGUARDED, Observer
from gitsnap.core.merge import Conflict, MergedPath, Plan, Way, judge
from gitsnap.core.model import Entry, Image, Inventory, Snapshot, Type
from gitsnap.core.settings import Settings
from gitsnap.core.upgrade import KEEPING_EDITS, Stored, choose_upgrade, upgrades
from gitsnap.installation.owners import localise
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.stable_read import read_file
from gitsnap.ops.capture import pristine, store
from gitsnap.ops.capture.request import Request
from gitsnap.ops.compare.structured import LARGEST, Merged, merge_content
from gitsnap.ops.live import databases, exclusions
from gitsnap.ops.live.feasible import in_the_way
from gitsnap.ops.restore import rollback
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.restore.target import Extent, Only
from gitsnap.ops.restore.transaction import said
from gitsnap.ops.store import retention
from gitsnap.sidecar import catalog, contents, publish, selectors
from gitsnap.sidecar.repository import Sidecar

SUFFIX = b".gitsnap-conflict"


@dataclass(slots=True)
class MergeResult:
    """What was merged, from which upgrade, and the rollback that put it in place (None: nothing was touched)."""

    upgrade: str
    plan: Plan
    snapshot: Snapshot | None = None
    restored: Restored | None = None
    duration: float = 0.0


@dataclass(slots=True, frozen=True)
class _Sides:
    """What is applied: the changes from `base` to `theirs`; `metadata` tells whether modes and owners count."""

    base: Snapshot
    theirs: Snapshot
    metadata: bool
    message: str
    names: tuple[str, str]
    undoes: bool = False


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
    of = _upgrade(sidecar, selector)
    if of.post is None:
        raise GitsnapError(
            f"the upgrade {of.id} was cut short: what it did and what was done since cannot be told apart",
            hint=f"gitsnap rollback {of.id}@pre",
        )
    sides = _Sides(of.post, of.pre, True, f"{of.id} undone, later edits kept", ("as it is", "before the upgrade"), True)
    return _Merging(sidecar, of, sides, settings, options).run()


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
    sides = _Sides(base, of.pre, False, f"customisations carried over {of.id}", ("as it is", "your version"))
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

    def __init__(self, sidecar: Sidecar, of: Stored, sides: _Sides, settings: Settings, options: MergeOptions) -> None:
        self._sidecar, self._of, self._sides = sidecar, of, sides
        self._settings, self._options = settings, options
        self._plan = Plan()
        self._images: Collection[bytes] = ()
        self._only = Only(frozenset())

    def run(self) -> MergeResult:
        """Merge, ask, publish the result as a snapshot, and bring the directory to it."""
        started, confirm = time.monotonic(), self._options.confirm
        result = MergeResult(self._of.id, self._plan)
        with self._sidecar.writing(self._settings.lock_wait):
            living = catalog.snapshots(self._sidecar)
            draft = publish.Draft(self._sidecar, living, self._sidecar.load_cache(), self._settings.author)
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
        if result.snapshot is not None:
            result.restored = self._put_in_place(result.snapshot)
        noted, plan = self._sidecar.noted, self._plan
        noted.upgrade = self._of.id
        for name, paths in (("taken", plan.taken), ("merged", plan.merged), ("conflicts", plan.conflicts)):
            noted.counts[name] = len(paths)
        result.duration = time.monotonic() - started
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
        self._images = ours.images.keys()
        verdicts = judge(base, ours, theirs, metadata=self._sides.metadata)
        excluded = tuple(p.rstrip(b"/") for p in ours.excluded)
        verdicts = [v for v in verdicts if not rules.covers(v.path, _is_dir(v)) and not _below(v.path, excluded)]
        verdicts = list(self._told(verdicts, base, theirs))
        merged = self._compose(ours, verdicts, draft)
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

    def _compose(self, ours: Inventory, verdicts: list[MergedPath], draft: publish.Draft) -> Inventory:
        entries = ours.by_path()
        changed: set[bytes] = set()
        for verdict in verdicts:
            fresh = self._settle(verdict, entries, draft)
            changed.add(verdict.path)
            if fresh is None:
                entries.pop(verdict.path, None)
            else:
                entries[verdict.path] = fresh
        self._drop_emptied(entries, verdicts)
        self._give_way(entries, verdicts)
        self._add_parents(entries)
        links = [g for group in ours.hardlinks if len(g := tuple(p for p in group if p not in changed)) > 1]
        merged = [entries[p] for p in sorted(entries)]
        return replace(ours, entries=merged, hardlinks=links, images=_images(ours, entries))

    def _settle(self, v: MergedPath, entries: dict[bytes, Entry], draft: publish.Draft) -> Entry | None:
        """What the path will be; None when it will not be there."""
        plan = self._plan
        if v.way is Way.TAKE:
            assert v.theirs is not None
            if v.theirs.type is not Type.DIR:
                plan.taken.append(v.path)
            return v.theirs
        if v.way is Way.REMOVE:
            if v.ours is not None and v.ours.type is not Type.DIR:
                plan.removed.append(v.path)
            # Directories go when nothing is left in them.
            return v.ours if v.ours is not None and v.ours.type is Type.DIR else None
        found = self._merge_file(v) if v.way is Way.MERGE else None
        if found is not None and not found.conflict:
            wanted = self._with_metadata(v)
            if wanted == v.ours and hashlib.sha256(found.data).digest() == v.ours.sha256:
                # It was merged before.
                return v.ours
            plan.merged.append(v.path)
            return self._stored(v.path, wanted, found.data, draft)
        reason = v.reason or (found.conflict if found else "was changed on both sides, and is no text")
        beside = self._beside(v, found.data if found else None, entries, draft)
        plan.conflicts.append(Conflict(v.path, reason, beside))
        return v.ours

    def _merge_file(self, v: MergedPath) -> Merged | None:
        """The merged content; None where there is no merging it."""
        assert v.ours is not None
        assert v.theirs is not None
        if v.path in self._images or max(e.size for e in (v.base, v.ours, v.theirs) if e is not None) > LARGEST:
            return None
        ours = read_file(self._sidecar.installation, v.path, v.ours.size)
        if hashlib.sha256(ours).digest() != v.ours.sha256:
            return Merged(ours, "was changed again just now")
        base = self._stored_bytes(v.base) if v.base is not None else b""
        return merge_content(v.path, base, ours, self._stored_bytes(v.theirs), self._sides.names)

    def _with_metadata(self, v: MergedPath) -> Entry:
        """Ours, with the mode and owner of theirs where only they changed them."""
        assert v.ours is not None
        if not self._sides.metadata or v.base is None or v.theirs is None:
            return v.ours
        mode = v.theirs.mode if v.ours.mode == v.base.mode else v.ours.mode
        owner = v.theirs if (v.ours.uid, v.ours.gid) == (v.base.uid, v.base.gid) else v.ours
        return replace(v.ours, mode=mode, uid=owner.uid, gid=owner.gid, uname=owner.uname, gname=owner.gname)

    def _stored_bytes(self, entry: Entry) -> bytes:
        assert entry.oid is not None
        return b"".join(self._sidecar.objects.blob(entry.oid, entry.size))

    def _stored(self, path: bytes, like: Entry, data: bytes, draft: publish.Draft) -> Entry:
        digests = draft.pack.add_blob(len(data), [data] if data else [])
        return replace(
            like,
            path=path,
            size=len(data),
            sparse=False,
            mtime_ns=int(self._options.now.timestamp()) * 10**9,
            oid=digests.oid,
            sha256=digests.sha256,
        )

    def _beside(
        self, v: MergedPath, marked: bytes | None, entries: dict[bytes, Entry], draft: publish.Draft
    ) -> bytes | None:
        """Put the other version, or both with marks, beside the file; where, or None when there is none to put."""
        model = v.theirs if v.theirs is not None and v.theirs.type is Type.FILE else None
        if model is None:
            return None
        name = v.path + SUFFIX
        number = 2
        while name in entries:
            name, number = v.path + SUFFIX + b"-%d" % number, number + 1
        if marked is not None:
            entries[name] = self._stored(name, v.ours or model, marked, draft)
        else:
            entries[name] = replace(model, path=name)
        return name

    def _drop_emptied(self, entries: dict[bytes, Entry], verdicts: list[MergedPath]) -> None:
        for v in reversed(verdicts):
            gone = v.way is Way.REMOVE and v.ours is not None and v.ours.type is Type.DIR
            if gone and not any(p.startswith(v.path + b"/") for p in entries):
                self._plan.removed.append(v.path)
                del entries[v.path]

    def _give_way(self, entries: dict[bytes, Entry], verdicts: list[MergedPath]) -> None:
        """What was taken goes back where it and what is here cannot both be: a file here, and files below it there."""
        for v in reversed(verdicts):
            if v.way is not Way.TAKE or v.path not in entries:
                continue
            blocked = any(a in entries and entries[a].type is not Type.DIR for a in _above(v.path))
            covers = entries[v.path].type is not Type.DIR and any(p.startswith(v.path + b"/") for p in entries)
            if not blocked and not covers:
                continue
            if v.path in self._plan.taken:
                self._plan.taken.remove(v.path)
            self._plan.conflicts.append(Conflict(v.path, "a file and a directory meet here"))
            if v.ours is not None:
                entries[v.path] = v.ours
            else:
                del entries[v.path]

    def _add_parents(self, entries: dict[bytes, Entry]) -> None:
        """Directories that what came back needs, as the other side has them; none through what is no directory."""
        theirs: Mapping[bytes, Entry] = {}
        for path in list(entries):
            while path := path.rpartition(b"/")[0]:
                if path in entries and entries[path].type is Type.DIR:
                    break
                theirs = theirs or contents.inventory(self._sidecar, self._sides.theirs).by_path()
                entries[path] = theirs[path]

    def _publish(self, draft: publish.Draft, merged: Inventory, living: list[Snapshot]) -> Snapshot:
        when = self._options.now.astimezone(self._settings.zone)
        # Where anything of it stays, the upgrade is not undone.
        undone = self._sides.undoes and not self._plan.conflicts and not self._plan.unknown and not self._plan.kept
        command = KEEPING_EDITS + self._of.id if undone else None
        request = Request(message=self._sides.message, label="merged", command=command)
        wanted = store.wanted(self._sidecar, request, living, when)
        return draft.publish(wanted, merged, publish.notes_of(merged), when).snapshot


def _images(ours: Inventory, entries: Mapping[bytes, Entry]) -> dict[bytes, Image]:
    """The databases that still are images: those that are there, without a journal that came from elsewhere."""
    return {
        path: image
        for path, image in ours.images.items()
        if path in entries and not any(e.path in entries for e in image.beside)
    }


def _above(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path


def _is_dir(verdict: MergedPath) -> bool:
    return any(e is not None and e.type is Type.DIR for e in (verdict.ours, verdict.theirs))


def _below(path: bytes, tops: tuple[bytes, ...]) -> bool:
    return any(path.startswith(top + b"/") for top in tops)
