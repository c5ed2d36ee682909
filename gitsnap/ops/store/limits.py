"""Keeping the sidecar within its limits: what goes is what has to, and its space is given back at once."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Snapshot
from gitsnap.core.order import in_order
from gitsnap.core.retention import Decision, Policy, decide
from gitsnap.core.settings import Settings
from gitsnap.core.space import Kept, Limits, Room, leaving
from gitsnap.ops.live import damage, upgrading
from gitsnap.ops.store import gc
from gitsnap.sidecar import catalog, withdraw
from gitsnap.sidecar.footprint import Footprint
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import limits_followed, verifications

# What is freed is known to the byte but for what git makes of the rest when it packs that anew.
_ROUNDS = 3
# So many units may go by a limit that is new without being asked for: as with rules (core.retention.hold).
_FEW = 1
# Where a limit cannot be kept, and nothing goes for it, so much of the excess is worth a gc.
_WORTH = 0.1
_NEWEST = Policy(keep_last=1)


@dataclass(slots=True, frozen=True)
class Plan:
    """What has to go by the limits: `final` are in the bin already, `removed` are living. `freed` bytes come back,
    `short` are lacking even then."""

    excess: int
    final: list[Snapshot]
    removed: list[Snapshot]
    freed: int = 0
    short: int = 0
    units: int = 0


def room(sidecar: Sidecar) -> Room:
    """What the sidecar takes, and what is free beside it."""
    found = os.statvfs(sidecar.path)
    free = found.f_bavail if os.geteuid() else found.f_bfree
    return Room(sidecar.disk_bytes(), free * found.f_frsize, found.f_blocks * found.f_frsize)


def plan(
    sidecar: Sidecar,
    settings: Settings,
    *,
    now: datetime,
    protected: Collection[str] = (),
    without: Collection[str] = (),
) -> Plan:
    """What would go now; nothing is touched. `protected` are ids that stay, `without` such as count as in the bin.

    First what nothing needs, then what lies in the bin, then units of living snapshots, all oldest first. What a limit
    on free space cannot be met by stays: others have filled that disk. Raises IntegrityError.
    """
    here = room(sidecar)
    excess = settings.limits.excess(here)
    if not excess:
        return Plan(0, [], [])
    living = catalog.snapshots(sidecar)
    binned = [d.snapshot for d in catalog.deleted(sidecar, living)[0]] + [s for s in living if s.id in without]
    units = _units([s for s in living if s.id not in without], _staying(sidecar, living, settings, now, protected))
    queue = [[s] for s in binned] + units
    going = {s.id for unit in queue for s in unit}
    weighed = Footprint(sidecar).weigh(queue, [s for s in living if s.id not in going])
    chosen, freed = leaving(weighed, excess)
    if freed < settings.limits.lacking(here):
        # Of what gitsnap itself takes as little is left as may be; for a disk that others fill nothing is given away.
        own = Limits(max_size=settings.limits.max_size).excess(here)
        chosen, freed = leaving(weighed, own) if own else ([], weighed.garbage)
    final = [s for number in chosen if number < len(binned) for s in queue[number]]
    removed = [s for number in chosen if number >= len(binned) for s in queue[number]]
    there = {s.id for s in living}
    removed += [s for s in final if s.id in there]
    return Plan(
        excess,
        [s for s in final if s.id not in there],
        removed,
        freed,
        max(0, excess - freed),
        sum(number >= len(binned) for number in chosen),
    )


def keep(
    sidecar: Sidecar,
    settings: Settings,
    *,
    now: datetime,
    protected: Collection[str] = (),
    agreed: bool = False,
) -> Kept | None:
    """Bring the sidecar within its limits; None where it is. For a caller who holds no lock.

    What cannot be done is told, and is no failure of what the caller has done.
    """
    if not settings.limits:
        return None
    if not settings.limits.excess(room(sidecar)):
        limits_followed.store(sidecar, settings.limits)
        return None
    started = time.monotonic()
    kept = Kept(settings.limits, settings.limits.excess(room(sidecar)))
    try:
        with sidecar.collecting(settings.lock_wait):
            _free(sidecar, settings, now, protected, agreed, kept)
    except (GitsnapError, OSError) as error:
        kept.problem = error.message if isinstance(error, GitsnapError) else (error.strerror or str(error))
    kept.short = settings.limits.excess(room(sidecar))
    kept.duration = time.monotonic() - started
    sidecar.noted.details["limits"] = kept.document()
    return kept


def _free(
    sidecar: Sidecar, settings: Settings, now: datetime, protected: Collection[str], agreed: bool, kept: Kept
) -> None:
    for _ in range(_ROUNDS):
        wanted = plan(sidecar, settings, now=now, protected=protected)
        if wanted.short and not (wanted.final or wanted.removed) and wanted.freed < _WORTH * wanted.excess:
            # A gc after every snapshot would bring back next to nothing.
            break
        if not agreed and waits(sidecar, settings.limits, wanted):
            kept.waiting = tuple(s.id for s in wanted.removed)
            break
        before = sidecar.disk_bytes()
        why = f"limits: {settings.limits.describe()}"
        sidecar.noted.reasons |= {s.id: (why,) for s in wanted.removed}
        living = catalog.snapshots(sidecar)
        gc.require_whole(sidecar, living)
        gone = [*wanted.final, *wanted.removed]
        if gone:
            withdraw.withdraw(sidecar, living, gone, now)
        gc.compact(sidecar, [s for s in living if s not in gone], full=True)
        kept.final += tuple(s.id for s in wanted.final)
        kept.removed += tuple(s.id for s in wanted.removed)
        kept.freed += max(0, before - sidecar.disk_bytes())
        limits_followed.store(sidecar, settings.limits)


def foreseen(
    sidecar: Sidecar, settings: Settings, decisions: Sequence[Decision], *, now: datetime
) -> tuple[list[Decision], Kept | None]:
    """The decisions of a prune with what limits add to them, and what they come to; nothing is touched."""
    gone = {d.snapshot.id for d in decisions if not d.keep}
    wanted = plan(sidecar, settings, now=now, without=gone)
    if not wanted.excess:
        return list(decisions), None
    kept = Kept(settings.limits, wanted.excess, wanted.short, freed=wanted.freed)
    kept.removed, kept.final = tuple(s.id for s in wanted.removed), tuple(s.id for s in wanted.final)
    return applied(decisions, kept), kept


def applied(decisions: Sequence[Decision], kept: Kept | None) -> list[Decision]:
    """The decisions, those on what limits remove with that as their reason."""
    removed = set(kept.removed) if kept else set[str]()
    why = f"limits: {kept.limits.describe()}" if kept else ""
    return [d._replace(keep=False, reasons=(why,)) if d.snapshot.id in removed and d.keep else d for d in decisions]


def waits(sidecar: Sidecar, limits: Limits, wanted: Plan) -> bool:
    """Whether limits that are new would cost so many snapshots that somebody has to say so first."""
    followed = limits_followed.load(sidecar)
    return wanted.units > _FEW and (followed is None or limits.stricter(followed))


def _staying(
    sidecar: Sidecar, living: Sequence[Snapshot], settings: Settings, now: datetime, protected: Collection[str]
) -> set[str]:
    """What no limit takes: what no rule takes either, and all that is still needed."""
    running = upgrading.running(sidecar)
    needed = {*protected, *(s.id for s in living if running is not None and s.upgrade == running)}
    verified = verifications.newest_verified(sidecar, living, damage.known(sidecar, living))
    found = decide(living, _NEWEST, now=now, zone=settings.zone, newest_verified=verified, protected=needed)
    return {d.snapshot.id for d in found if d.keep}


def _units(living: Sequence[Snapshot], staying: Collection[str]) -> list[list[Snapshot]]:
    """The units that may go, oldest first: an upgrade with all that tells of it, every other snapshot alone."""
    units: dict[str, list[Snapshot]] = {}
    for snapshot in in_order(living):
        units.setdefault(snapshot.upgrade or f"snapshot {snapshot.id}", []).append(snapshot)
    return [unit for unit in units.values() if not any(s.id in staying for s in unit)]
