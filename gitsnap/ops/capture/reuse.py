"""Snapshots of a directory in which nothing has changed: commits and notes trees are all that is new."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from gitsnap.core.errors import IntegrityError
from gitsnap.core.events import Observer
from gitsnap.core.exclusion import Exclusions
from gitsnap.core.order import newest
from gitsnap.core.settings import Settings
from gitsnap.installation.scan.unchanged import unchanged
from gitsnap.ops.capture import store
from gitsnap.ops.capture.request import Request, Taken
from gitsnap.ops.live import exclusions
from gitsnap.ops.parallel.walk import Company
from gitsnap.ops.store import retention
from gitsnap.sidecar import catalog, publish
from gitsnap.sidecar.repository import Sidecar

if TYPE_CHECKING:
    pass
from gitsnap.ops.capture.store import share


def take_again(
    sidecar: Sidecar, request: Request, settings: Settings, rules: Exclusions, *, now: datetime, observer: Observer
) -> Taken | None:
    """A snapshot of a directory in which nothing has changed since the stat cache was written; None where that is not
    certain, or what would be shared is damaged. Nothing is read but names and times, and nothing is written but commits
    and notes trees."""
    started = time.monotonic()
    cache = sidecar.load_cache()
    living = catalog.snapshots(sidecar)
    prior = next((s for s in living if s.commit == cache.commit.hex()), None)
    observer.started("looking")
    predicate = exclusions.as_predicate(rules)
    left_out = None
    if prior is not None and not sidecar.objects.damaged:
        held = list(rules.rules)
        left_out = unchanged(
            sidecar.installation,
            cache,
            held,
            predicate,
            restricted=bool(rules),
            databases=settings.sqlite,
            walk=Company(sidecar.installation).walk,
        )
    observer.finished()
    if prior is None or left_out is None:
        return None
    taken = Taken(prior, sockets=left_out.skipped, excluded=len(left_out.excluded), databases=sorted(cache.images))
    last = newest(living) or prior
    if request.skip_unchanged and store.same(last, prior):
        taken.snapshot, taken.skipped = last, True
    else:
        draft = publish.Draft(sidecar, living, cache)
        try:
            share(sidecar, draft, request, living, prior, cache, taken, now.astimezone(settings.zone))
        except IntegrityError:
            return None
        except OSError as error:
            raise store.storing_failed(error, sidecar, request.kind) from error
        finally:
            draft.abandon()
    pruned = retention.prune_locked(
        sidecar,
        settings,
        now=now,
        protected={taken.snapshot.id},
        living=store.with_taken(living, taken),
    )
    taken.pruned, taken.held = pruned.gone, pruned.held
    store.tidy(sidecar)
    if prior.id in {d.snapshot.id for d in taken.pruned}:
        # The rows hold for the new snapshot just as well, and that one is still there next time.
        cache.commit = bytes.fromhex(taken.snapshot.commit)
        sidecar.save_cache(cache)
    taken.duration = time.monotonic() - started
    return taken
