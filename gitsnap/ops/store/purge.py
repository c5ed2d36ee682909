"""Purge: a path goes out of every snapshot, those in the bin too, and its content out of the sidecar."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gitsnap.core.audit import path_text
from gitsnap.core.errors import LockedError, NoSuchPathError, UsageError
from gitsnap.core.model import Snapshot
from gitsnap.core.settings import Settings
from gitsnap.ops.live import upgrading
from gitsnap.ops.store import gc
from gitsnap.sidecar import catalog, files, purge, signatures, walk_snapshots
from gitsnap.sidecar.catalog import Deleted
from gitsnap.sidecar.repository import Sidecar

_FILE = "purge.json"
# Inside the class, `bytes` is one of its fields.
_Bytes = bytes


@dataclass(slots=True)
class Purged:
    """What was done, or would be. `snapshots` were written anew, those among them that lie in the bin `deleted`.
    `paths` are what was asked for, `finished` those of a purge that was cut short and is done now, too. `files` is how
    many contents go, of `bytes`; `elsewhere` are other paths that hold some of the same content, and keep it. `live`
    are those that are in the directory now: the next snapshot has them again. `unsigned` are those of the snapshots
    that were signed, and lose that: a signature is over what was."""

    paths: list[_Bytes]
    snapshots: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    finished: list[_Bytes] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    elsewhere: list[_Bytes] = field(default_factory=list)
    live: list[_Bytes] = field(default_factory=list)
    applied: bool = False
    freed: int = 0
    unsigned: list[str] = field(default_factory=list)


def run(
    sidecar: Sidecar,
    paths: Sequence[bytes],
    settings: Settings,
    *,
    now: datetime,
    dry_run: bool = False,
    confirm: Callable[[Purged], bool] = lambda _: True,
) -> Purged:
    """Take these paths, with all below them, out of every snapshot; what was purged is in no object afterwards.

    Raises NoSuchPathError where none holds one of them, IntegrityError where a snapshot is damaged, which may hold
    them, LockedError while an upgrade is under way. Each snapshot is the old one or the new one whatever is killed
    when; the next purge brings all to its end.
    """
    if b"" in paths or not paths:
        raise UsageError("the directory itself cannot be purged", hint="gitsnap delete SNAPSHOT...")
    with sidecar.collecting(settings.lock_wait):
        if upgrading.running(sidecar) is not None:
            raise LockedError("an upgrade is under way, which may have to go back", hint="gitsnap status")
        living = catalog.snapshots(sidecar)
        gc.require_whole(sidecar, living)
        binned, damaged = catalog.deleted(sidecar, living)
        for name, error in damaged.items():
            raise catalog.lost(name, error)
        left = _left(sidecar)
        every = [*dict.fromkeys([*paths, *left])]
        result, wanted = _look(sidecar, living, binned, every)
        result.paths, result.finished = list(paths), [p for p in left if p not in paths]
        root = os.fsencode(sidecar.installation)
        result.live = [p for p in every if os.path.lexists(os.path.join(root, p))]
        if not wanted and not left:
            raise NoSuchPathError(f"no snapshot holds '{os.fsdecode(paths[0])}'", path=paths[0], hint="gitsnap find")
        if dry_run or not confirm(result):
            return result
        before = sidecar.disk_bytes()
        _note(sidecar, every)
        done = purge.rewrite(sidecar, living, binned, wanted, every, now)
        gc.compact(sidecar, catalog.snapshots(sidecar), full=False)
        with suppress(FileNotFoundError):
            os.unlink(sidecar.own(_FILE))
        result.applied, result.freed = True, max(0, before - sidecar.disk_bytes())
        sidecar.noted.counts["snapshots"] = len(done)
        sidecar.noted.details["purged"] = [path_text(p) for p in every]
    return result


def _look(
    sidecar: Sidecar, living: Sequence[Snapshot], binned: Sequence[Deleted], paths: Sequence[bytes]
) -> tuple[Purged, list[Snapshot]]:
    every = [*living, *(d.snapshot for d in binned)]
    wanted, known = purge.concerned(sidecar, every, paths)
    sizes, others = dict[bytes, int](), dict[bytes, set[bytes]]()
    for occurrence in walk_snapshots.walk(sidecar, every, lambda _: True) if wanted else ():
        if purge.below(occurrence.path, paths):
            sizes[occurrence.oid] = known.get((every[occurrence.snapshots[0]].id, occurrence.path), 0)
        else:
            others.setdefault(occurrence.oid, set()).add(occurrence.path)
    elsewhere = set[bytes]().union(*(others.get(oid, ()) for oid in sizes))
    there, tagged = {d.snapshot.id for d in binned}, signatures.tagged(sidecar)
    found = Purged(
        list(paths),
        [s.id for s in wanted],
        [s.id for s in wanted if s.id in there],
        files=len(sizes),
        bytes=sum(sizes.values()),
        elsewhere=sorted(elsewhere),
        unsigned=[s.id for s in wanted if s.signed_by or s.id in tagged],
    )
    return found, wanted


def pending(sidecar: Sidecar) -> list[bytes]:
    """The paths of a purge that was cut short."""
    return _left(sidecar)


def _left(sidecar: Sidecar) -> list[bytes]:
    data = files.read(sidecar.own(_FILE))
    try:
        found: Any = json.loads(data) if data is not None else []
        return [os.fsencode(path) for path in found["paths"]] if found else []
    except (ValueError, TypeError, KeyError, RecursionError):
        return []


def _note(sidecar: Sidecar, paths: Sequence[bytes]) -> None:
    text = json.dumps({"paths": [os.fsdecode(p) for p in paths]})
    files.replace(sidecar.own(_FILE), text.encode(), sidecar.scratch)
