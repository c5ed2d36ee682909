"""Snapshots of a directory in which nothing has changed: commits and notes trees are all that is new."""

from __future__ import annotations

import time

from gitsnap.core.errors import IntegrityError
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.model import Inventory
from gitsnap.core.order import newest
from gitsnap.core.statcache import StatCache
from gitsnap.installation.scan.unchanged import unchanged
from gitsnap.ops.capture import store
from gitsnap.ops.capture.request import Capture, Captured
from gitsnap.ops.parallel.walk import ParallelWalk
from gitsnap.sidecar import catalog, publish


def take_unchanged(capture: Capture) -> Captured | None:
    """A snapshot of a directory in which nothing has changed since the stat cache was written; None where that is not
    certain, or what would be shared is damaged. Nothing is read but names and times, and nothing is written but commits
    and notes trees."""
    started = time.monotonic()
    sidecar, request, observer = capture.sidecar, capture.request, capture.observer
    cache = sidecar.load_cache()
    living = catalog.snapshots(sidecar)
    prior = next((s for s in living if s.commit == cache.commit.hex()), None)
    observer.started("looking")
    left_out = None if prior is None or sidecar.objects.damaged else left_out_unchanged(capture, cache)
    observer.finished()
    if prior is None or left_out is None:
        return None
    taken = Captured(prior, sockets=left_out.skipped, excluded=len(left_out.excluded), databases=sorted(cache.images))
    capture.look_for_servers(cache.rows)
    taken.running = request.running
    last = newest(living) or prior
    if request.skip_unchanged and store.same(last, prior):
        taken.snapshot, taken.skipped = last, True
    else:
        draft = publish.Draft(sidecar, living, cache, capture.settings.author, capture.sign)
        try:
            store.share(capture, draft, prior, taken)
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
    taken.duration = time.monotonic() - started
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
