"""Snapshots of a directory in which nothing has changed, or little: by the stat cache, without a scan."""

from __future__ import annotations

import time

from gitsnap.core.database_servers import ENDINGS
from gitsnap.core.errors import IntegrityError
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.model import Inventory, Snapshot
from gitsnap.core.order import newest
from gitsnap.core.statcache import StatCache, ids_in
from gitsnap.installation.scan.unchanged import Seen, owners_in, sealed, unchanged
from gitsnap.ops.capture import store
from gitsnap.ops.capture.request import Capture, Captured
from gitsnap.ops.live import base
from gitsnap.ops.parallel.walk import ParallelWalk
from gitsnap.sidecar import catalog, publish


def take_unchanged(capture: Capture) -> Captured | None:
    """A snapshot of a directory in which nothing, or little, has changed since the stat cache was written; None where
    that is not certain, or what would be shared is damaged. Where nothing has, nothing is read but names and times, and
    nothing is written but commits and notes trees."""
    started = time.monotonic()
    sidecar, observer = capture.sidecar, capture.observer
    cache = sidecar.load_cache()
    living = catalog.snapshots(sidecar)
    prior = next((s for s in living if s.commit == cache.commit.hex()), None)
    observer.started("looking")
    seen = None if prior is None or sidecar.objects.damaged else base.look(sidecar, cache, capture.excludes)
    observer.finished()
    if prior is None or seen is None:
        return None
    if seen.changed or seen.gone:
        # All that reads and stores is a third of what there is to load.
        from gitsnap.ops.capture import changed

        taken = changed.take(capture, living, prior, cache, seen)
    else:
        taken = _share(capture, living, prior, cache, seen)
    if taken is not None:
        taken.duration = time.monotonic() - started
    return taken


def _share(capture: Capture, living: list[Snapshot], prior: Snapshot, cache: StatCache, seen: Seen) -> Captured | None:
    """A snapshot with the tree and the texts of `prior`; None where what is left out differs, or these are damaged."""
    sidecar, request = capture.sidecar, capture.request
    left_out = Inventory(rules=capture.rules, excluded=seen.excluded, skipped=seen.skipped)
    if sealed(left_out, owners_in(cache.whole), databases=capture.settings.sqlite) != cache.whole:
        return None
    taken = Captured(prior, sockets=seen.skipped, excluded=len(seen.excluded), databases=sorted(cache.images))
    try:
        paths, held = cache.read_through(ENDINGS)
    except IntegrityError:
        return None
    capture.look_for_servers(paths)
    taken.running = request.running
    last = newest(living) or prior
    if request.skip_unchanged and store.same(last, prior):
        taken.snapshot, taken.skipped = last, True
    else:
        draft = publish.Draft(sidecar, living, cache, capture.settings.author, capture.sign)
        try:
            store.share(capture, draft, prior, taken, held=ids_in(held))
        except IntegrityError:
            return None
        except OSError as error:
            raise store.storing_failed(error, sidecar, request.kind) from error
        finally:
            draft.abandon()
    store.conclude(capture, living, taken)
    if prior.id in {d.snapshot.id for d in taken.pruned}:
        # The rows hold for the new snapshot just as well, and that one is still there next time.
        cache.commit = bytes.fromhex(taken.snapshot.commit)
        sidecar.save_cache(cache)
    return taken


def left_out_unchanged(capture: Capture, cache: StatCache) -> Inventory | None:
    """What was left out of a directory that is, to the last stat field, what the cache's snapshot holds; else None."""
    root = capture.sidecar.installation
    return unchanged(
        root,
        cache,
        capture.rules,
        capture.excludes,
        restricted=capture.excludes is not nothing_excluded,
        databases=capture.settings.sqlite,
        walk=ParallelWalk(root).walk,
    )
