"""Capturing a directory for whoever holds the writer's lock: scan, store, publish, check, then let retention run."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime

from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import SILENT
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.order import newest
from gitsnap.installation.scan.from_cache import remembered
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.scan_result import Scan
from gitsnap.installation.sqlite.backup import Databases
from gitsnap.ops.capture import store
from gitsnap.ops.capture.request import Capture, Captured
from gitsnap.ops.capture.reuse import left_out_unchanged
from gitsnap.ops.live import damage, databases
from gitsnap.ops.parallel.read import PackingReaders
from gitsnap.ops.parallel.read_back import ReadBacks, Rereading
from gitsnap.sidecar import catalog, publish


def take_locked(capture: Capture) -> tuple[Captured, Scan]:
    """Take a snapshot for a caller who holds the lock.

    Stored objects are taken for whole until one shows that it is not, and the stat cache for true until what comes of
    it does not pass. Then the snapshot is taken once more: what is damaged is written afresh, and nothing is shared
    with an earlier one.
    """
    started, sharing, sidecar = time.monotonic(), True, capture.sidecar
    while True:
        known = len(sidecar.objects.damaged)
        try:
            taken, scan, living = _attempt(capture, sharing=sharing)
        except IntegrityError:
            if len(sidecar.objects.damaged) == known and not sharing:
                raise
            sharing = False
        else:
            break
    store.conclude(capture, living, taken)
    damage.heal(sidecar)
    taken.duration = time.monotonic() - started
    return taken, scan


def _attempt(capture: Capture, *, sharing: bool) -> tuple[Captured, Scan, list[Snapshot]]:
    sidecar, request, observer = capture.sidecar, capture.request, capture.observer
    kept = databases.capturing(sidecar, capture.settings, capture.images)
    living = catalog.snapshots(sidecar)
    draft = publish.Draft(sidecar, living, sidecar.load_cache(), capture.settings.author, capture.sign)
    try:
        observer.started("reading")
        scan = _unscanned(capture, draft) if sharing and request.kind is Kind.SAFETY else None
        scan = scan or _scan(capture, draft, kept)
        observer.finished()
        if request.kind is Kind.MANUAL:
            # The others are read back in part by forked workers, which threads rule out.
            draft.pack.split()
        scan.inventory.rules = capture.rules
        taken = _found(living, scan)
        capture.look_for_servers(scan.paths())
        if capture.needed(scan):
            _keep(capture, draft, scan, taken, sharing=sharing)
        else:
            taken.skipped = True
        taken.running = request.running
    except OSError as error:
        raise store.storing_failed(error, sidecar, request.kind) from error
    finally:
        draft.abandon()
    return taken, scan, living


def _keep(capture: Capture, draft: publish.Draft, scan: Scan, taken: Captured, *, sharing: bool) -> None:
    """Publish what was scanned, with the tree and notes of an earlier snapshot where these say the same."""
    sidecar, request = capture.sidecar, capture.request
    # Manual ones are the many that have to be quick, and nothing is about to be changed.
    trees = draft.cache.trees if request.kind is not Kind.MANUAL else ()
    oids = [oid for oid in capture.relied_on(scan) if oid not in draft.pack]
    with Rereading(sidecar.objects, [*trees, *oids], ReadBacks(), SILENT, kind=None) as rereading:
        relied = store.ReliedOn(sidecar, oids, rereading)
        prior = store.holder(sidecar, draft, scan) if sharing and not request.skip_unchanged else None
        if prior is None:
            store.store(capture, draft, scan, taken, relied)
        else:
            store.share(capture, draft, prior, taken, lambda _: relied.require(trees))


def _unscanned(capture: Capture, draft: publish.Draft) -> Scan | None:
    """What a scan would find, where no name differs in any stat field from what a living snapshot holds."""
    sidecar, cache = capture.sidecar, draft.cache
    if sidecar.objects.damaged or cache.commit.hex() not in {s.commit for s in draft.living}:
        return None
    try:
        left_out = left_out_unchanged(capture, cache)
        if left_out is None:
            return None
        return remembered(sidecar.installation, cache, left_out, databases=capture.settings.sqlite)
    except OSError:
        # A scan meets the same, and names it.
        return None


def _scan(capture: Capture, draft: publish.Draft, kept: Databases | None) -> Scan:
    root, cache = capture.sidecar.installation, draft.cache
    with closing(PackingReaders(root, cache.rows, draft.pack, draft.keeps)) as readers:
        return Scanner(
            root,
            draft.pack,
            ScanOptions(
                cache=cache,
                excludes=capture.excludes,
                stored=draft.stored,
                databases=kept,
                observer=capture.observer,
                # A rollback goes on with the entries themselves.
                packed=capture.request.kind is not Kind.SAFETY,
            ),
            readers=readers,
        ).run()


def _found(living: list[Snapshot], scan: Scan) -> Captured:
    return Captured(
        snapshot=newest(living) or _NOTHING,
        partial=scan.inventory.partial,
        sockets=scan.inventory.skipped,
        mounts=scan.mounts,
        excluded=len(scan.inventory.excluded),
        databases=sorted(scan.inventory.images),
    )


_NOTHING = Snapshot("", "", "", datetime.min, Kind.MANUAL, "", "", 0, 0, "", "")
