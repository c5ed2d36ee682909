"""Whether one could come back: what `run` looks at before it starts, and what takes longer, asked beforehand.

Each answer tells by itself whether it keeps `run` from starting, or is there for a person to weigh.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta

from gitsnap.core.content import Discarding
from gitsnap.core.database_servers import sentence
from gitsnap.core.errors import GitsnapError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Type
from gitsnap.core.order import newest
from gitsnap.core.quantity import size
from gitsnap.core.settings import Settings
from gitsnap.core.statcache import StatCache
from gitsnap.installation import open_files
from gitsnap.installation.open_files import Opened
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.scan_result import Scan
from gitsnap.ops.check.doctor import Check, age
from gitsnap.ops.live import damage, database_servers, exclusions, feasible, upgrading
from gitsnap.ops.live.pending import hidden_stages, without
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import verifications

# A person waits for this; `run` waits less long.
_SECONDS = (5.0, 5.0)
_NAMED = 5


def foresee(sidecar: Sidecar, settings: Settings, *, now: datetime, observer: Observer = SILENT) -> list[Check]:
    """Every question with its answer, those that refuse first where they end all others."""
    root = sidecar.installation
    found = list(_in_the_way(sidecar))
    if not os.path.isdir(root):
        return [*found, Check("directory", False, f"{root} is not there", "gitsnap rollback", refuses=True)]
    rules = exclusions.current(root, settings)
    excludes = without(hidden_stages(sidecar), exclusions.as_predicate(rules))
    cache = sidecar.load_cache()
    scan = Scanner(root, Discarding(), ScanOptions(cache=cache, excludes=excludes, observer=observer)).run()
    found += _readable(scan)
    found += _way_back(root, scan)
    found.append(_room_for_snapshot(sidecar, scan, cache))
    found += _databases(root, scan, settings)
    found.append(_open(open_files.look(root, *_SECONDS)))
    found += _snapshots(sidecar, settings, now)
    return found


def _in_the_way(sidecar: Sidecar) -> Iterator[Check]:
    if sidecar.pending is None and not sidecar.returning:
        yield Check("recovery", True, "nothing is pending")
    elif sidecar.busy:
        yield Check("recovery", False, "a rollback is at work at this moment", "wait for it", refuses=True)
    else:
        told = "a rollback was interrupted and waits to be settled"
        yield Check("recovery", False, told, "gitsnap recover", refuses=True)
    upgrade = upgrading.running(sidecar)
    if upgrade is not None:
        yield Check("upgrade", False, f"{upgrade} is under way", "wait for it", refuses=True)


def _readable(scan: Scan) -> Iterator[Check]:
    """What a snapshot could not hold keeps `run` from starting, unless it is told to go on without."""
    partial = scan.inventory.partial
    if partial:
        told = f"{_many(len(partial), 'path')} cannot be captured: {_first(partial[0].path)} {partial[0].reason}"
        advice = "make them readable, exclude them, or run --incomplete"
        yield Check("readable", False, told, advice, refuses=True)
    else:
        files = scan.inventory.files()
        yield Check("readable", True, f"{_many(len(files), 'file')}, {size(sum(e.size for e in files))}")


def _way_back(root: str, scan: Scan) -> Iterator[Check]:
    """Read-only mounts, immutable files, foreign owners, and room for what would come back."""
    try:
        feasible.require_some_way_in(root)
    except GitsnapError as error:
        yield Check("writable", False, error.message, error.hint, refuses=True)
        return
    files = scan.inventory.files()
    total = sum(e.size for e in files)
    present = ((e.path, e.uid, e.type is Type.DIR) for e in scan.inventory.entries)
    lasting = feasible.lasting(root, present, total)
    fixed = [p for p in lasting if p.path or "beside what is there" not in p.reason]
    for problem in fixed[:_NAMED]:
        yield Check("way back", None, f"{_first(problem.path)} {problem.reason}: a rollback leaves it as it is then")
    if len(fixed) > _NAMED:
        yield Check("way back", None, f"and {_many(len(fixed) - _NAMED, 'path')} more")
    if not fixed:
        yield Check("way back", True, "everything in it can be put back")
    short = next((p for p in lasting if p not in fixed), None)
    free = feasible.free(root)
    told = short.reason if short else f"all of it is {size(total)}, and {size(free)} are free beside it"
    advice = "make room: a rollback writes first, and removes then" if short else None
    yield Check("stage", None if short else True, told, advice)


def _room_for_snapshot(sidecar: Sidecar, scan: Scan, cache: StatCache) -> Check:
    changed = [e.size for e in scan.inventory.files() if cache.rows.get(e.path) != scan.rows.get(e.path)]
    most, free = sum(changed), feasible.free(sidecar.path)
    told = f"up to {size(most)} of {_many(len(changed), 'file')} to store, and {size(free)} are free"
    return Check("snapshot", None if most > free else True, told, "make room" if most > free else None)


def _databases(root: str, scan: Scan, settings: Settings) -> Iterator[Check]:
    refuses = database_servers.refuses(settings, upgrade=True)
    for one in database_servers.look(root, (e.path for e in scan.inventory.entries)):
        advice = "stop it, or have a hook write a dump (docs/how-to/databases.md)"
        yield Check("database", False if refuses else None, sentence(one), advice, refuses=refuses)


def _open(found: Opened) -> Check:
    """Never a reason to refuse: an editor has files open, and so has what is to be upgraded."""
    more = "" if found.complete else "; there was no time to look at all of them"
    more += f"; {_many(found.hidden, 'process', 'processes')} of others cannot be looked at" if found.hidden else ""
    if not found.holders:
        return Check("open files", True, f"no process is seen to have any{more}")
    return Check("open files", None, f"{_told(found)}{more}", "stop what writes: it goes on in what comes back")


def _told(found: Opened) -> str:
    """Who has files open, in a line."""
    named = []
    for h in found.holders:
        more = f" and {h.count - 1:,} more" if h.count > 1 else ""
        named.append(f"{h.name} ({h.pid}): {_first(h.first)}{more}")
    rest = f", and {len(named) - _NAMED} more processes" if len(named) > _NAMED else ""
    return ", ".join(named[:_NAMED]) + rest


def _snapshots(sidecar: Sidecar, settings: Settings, now: datetime) -> Iterator[Check]:
    """The clock, damage, and how long ago a snapshot was last proven."""
    living = catalog.snapshots(sidecar)
    last = newest(living)
    if last is None:
        yield Check("snapshots", None, "there is none yet", "gitsnap snapshot")
        return
    behind = last.created - now
    if behind > timedelta(seconds=1):
        told = f"it is {age(behind)} behind the newest snapshot ({last.id})"
        yield Check("clock", None, told, "set it: the order of snapshots is kept, but ids and ages will be wrong")
    else:
        yield Check("clock", True, "not behind the newest snapshot")
    known = damage.known(sidecar, living)
    lost = [*known, *(name for name, _ in living.damaged)]
    if lost:
        yield Check("damage", None, f"{', '.join(lost[:_NAMED])} damaged", "gitsnap verify --all")
    proved = verifications.load(sidecar)
    times = [proved[s.commit] for s in living if s.commit in proved]
    if not times:
        yield Check("verified", None, "no snapshot was verified yet", "gitsnap verify --all")
        return
    late = verifications.overdue(proved, living, settings.verify_every, now)
    overdue = "" if late is None else ", which is longer than [verify] every wants"
    told = f"last {age(now - max(times))} ago{overdue}"
    yield Check("verified", True if late is None else None, told, None if late is None else "gitsnap verify --all")


def _first(path: bytes) -> str:
    return os.fsdecode(path) or "the directory itself"


def _many(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
