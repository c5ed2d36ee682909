"""Capturing a directory for whoever holds the writer's lock: scan, store, publish, check, then let retention run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from datetime import datetime

from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.exclusion import Excludes, nothing_excluded
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.order import newest
from gitsnap.core.settings import Settings
from gitsnap.core.statcache import StatCache
from gitsnap.installation.scan.from_cache import remembered
from gitsnap.installation.scan.scanner import Scanner
from gitsnap.installation.scan.unchanged import unchanged
from gitsnap.installation.scan_result import Scan
from gitsnap.installation.sqlite.backup import Databases
from gitsnap.ops.capture import store
from gitsnap.ops.capture.request import Request, Taken
from gitsnap.ops.capture.store import Sure, _store
from gitsnap.ops.live import damage, databases
from gitsnap.ops.parallel.read import PackingReaders
from gitsnap.ops.parallel.read_back import Rereading
from gitsnap.ops.parallel.walk import Company, Glance
from gitsnap.ops.store import retention
from gitsnap.sidecar import catalog, publish
from gitsnap.sidecar.repository import Sidecar


def take_locked(
    sidecar: Sidecar,
    request: Request,
    settings: Settings,
    *,
    now: datetime,
    observer: Observer,
    rules: list[bytes],
    excludes: Excludes,
    protect: Collection[str] = (),
    needed: Callable[[Scan], bool] = lambda _: True,
    relied_on: Callable[[Scan], Iterable[bytes]] = lambda _: (),
    images: Collection[bytes] = (),
    glance: Glance | None = None,
) -> tuple[Taken, Scan]:
    """Take a snapshot for a caller who holds the lock, with its own exclusions.

    `protect` are ids that retention must keep.

    `relied_on` names the objects (raw ids) that must surely be readable: they are read, where they are not written now.

    `needed` sees what was scanned, and may decline a snapshot of it or raise. `images` are databases that are images in
    what the caller compares it with. A `glance` spares a look of our own, if it was taken by the same exclusions.

    Stored objects are taken for whole until one shows that it is not, and the stat cache for true until what comes of
    it does not pass. Then the snapshot is taken once more: what is damaged is written afresh, and nothing is shared
    with an earlier one.
    """
    started, sharing = time.monotonic(), True
    while True:
        known = len(sidecar.objects.damaged)
        try:
            kept = databases.capturing(sidecar, settings, images)
            taken, scan, living = _attempt(
                sidecar, request, settings, now, observer, rules, excludes, needed, relied_on, kept, sharing, glance
            )
        except IntegrityError:
            if len(sidecar.objects.damaged) == known and not sharing:
                raise
            sharing, glance = False, None
        else:
            break
    pruned = retention.prune_locked(
        sidecar,
        settings,
        now=now,
        protected={taken.snapshot.id, *protect},
        living=store.with_taken(living, taken),
    )
    taken.pruned, taken.held = pruned.gone, pruned.held
    store.tidy(sidecar)
    damage.heal(sidecar)
    taken.duration = time.monotonic() - started
    return taken, scan


def _attempt(
    sidecar: Sidecar,
    request: Request,
    settings: Settings,
    now: datetime,
    observer: Observer,
    rules: list[bytes],
    excludes: Excludes,
    needed: Callable[[Scan], bool],
    relied_on: Callable[[Scan], Iterable[bytes]],
    kept: Databases | None,
    sharing: bool,
    glance: Glance | None,
) -> tuple[Taken, Scan, list[Snapshot]]:
    living = catalog.snapshots(sidecar)
    cache = sidecar.load_cache() if glance is None else glance.cache
    draft = publish.Draft(sidecar, living, cache)
    try:
        observer.started("reading")
        scan = None
        if sharing and request.kind is Kind.SAFETY:
            scan = _unscanned(sidecar, living, cache, rules, excludes, settings, glance)
        scan = scan or _scan(sidecar, draft, cache, excludes, kept, observer)
        observer.finished()
        if request.kind is Kind.MANUAL:
            # The others are read back in part by forked workers, which threads rule out.
            draft.pack.split()
        scan.inventory.rules = rules
        taken = _found(living, scan)
        if not needed(scan):
            taken.skipped = True
        else:
            # Manual ones are the many that have to be quick, and nothing is about to be changed.
            trees = cache.trees if request.kind is not Kind.MANUAL else ()
            relied = [oid for oid in relied_on(scan) if oid not in draft.pack]
            with Rereading(sidecar.objects, [*trees, *relied], {}, SILENT, kind=None) as rereading:
                sure, when = Sure(sidecar, relied, rereading), now.astimezone(settings.zone)
                prior = store.holder(sidecar, living, cache, scan) if sharing and not request.skip_unchanged else None
                if prior is None:
                    _store(sidecar, draft, request, living, scan, taken, when, sure)
                else:
                    store.share(sidecar, draft, request, living, prior, cache, taken, when, lambda: sure.require(trees))
    except OSError as error:
        raise store.storing_failed(error, sidecar, request.kind) from error
    finally:
        draft.abandon()
    return taken, scan, living


def _unscanned(
    sidecar: Sidecar,
    living: list[Snapshot],
    cache: StatCache,
    rules: list[bytes],
    excludes: Excludes,
    settings: Settings,
    glance: Glance | None,
) -> Scan | None:
    """What a scan would find, where no name differs in any stat field from what a living snapshot holds."""
    root, restricted = sidecar.installation, excludes is not nothing_excluded
    if sidecar.objects.damaged or cache.commit.hex() not in {s.commit for s in living}:
        return None
    known, left_out = glance.result() if glance is not None else (False, None)
    try:
        if not known:
            walk = Company(root).walk
            left_out = unchanged(
                root, cache, rules, excludes, restricted=restricted, databases=settings.sqlite, walk=walk
            )
        return None if left_out is None else remembered(root, cache, left_out, databases=settings.sqlite)
    except OSError:
        # A scan meets the same, and names it.
        return None


def _scan(
    sidecar: Sidecar,
    draft: publish.Draft,
    cache: StatCache,
    excludes: Excludes,
    kept: Databases | None,
    observer: Observer,
) -> Scan:
    readers = PackingReaders(sidecar.installation, cache.rows, draft.pack, draft.keeps)
    with closing(readers):
        return Scanner(
            sidecar.installation,
            draft.pack,
            cache=cache,
            excludes=excludes,
            stored=draft.stored,
            readers=readers,
            databases=kept,
            observer=observer,
        ).run()


def _found(living: list[Snapshot], scan: Scan) -> Taken:
    return Taken(
        snapshot=newest(living) or _NOTHING,
        partial=scan.inventory.partial,
        sockets=scan.inventory.skipped,
        mounts=scan.mounts,
        excluded=len(scan.inventory.excluded),
        databases=sorted(scan.inventory.images),
    )


_NOTHING = Snapshot("", "", "", datetime.min, Kind.MANUAL, "", "", 0, 0, "", "")
