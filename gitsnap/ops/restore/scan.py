"""Scanning the directory by the rules of a target: before anything is planned, and when all is done."""

from __future__ import annotations

from contextlib import closing

from gitsnap.core.content import Digesting
from gitsnap.core.entry_comparison import same_content
from gitsnap.core.events import Observer
from gitsnap.core.model import Inventory, Problem, Type
from gitsnap.core.plan import RestorePlan
from gitsnap.core.statcache import StatCache
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.scan_result import Scan
from gitsnap.installation.sqlite.backup import Databases
from gitsnap.ops.live import databases
from gitsnap.ops.parallel.match import confirmed
from gitsnap.ops.parallel.read import DigestingReaders
from gitsnap.ops.restore.target import Target
from gitsnap.sidecar.repository import Sidecar


def look(
    sidecar: Sidecar,
    target: Target,
    phase: str,
    cache: StatCache,
    observer: Observer,
    hidden: frozenset[bytes] = frozenset(),
    *,
    databases: Databases | None,
) -> Scan:
    """Scan the directory by the rules of a target, nothing stored."""
    observer.started(phase)
    excludes = target.excludes(hidden)
    with closing(DigestingReaders(sidecar.installation, cache.rows, target.staged)) as readers:
        scan = Scanner(
            sidecar.installation,
            Digesting(),
            # What has just been written is ours, and nobody should be at work on it.
            ScanOptions(cache=cache, excludes=excludes, databases=databases, observer=observer, leases=True),
            readers=readers,
        ).run()
    observer.finished()
    return scan


def check(sidecar: Sidecar, target: Target, cache: StatCache, observer: Observer, hidden: frozenset[bytes]) -> Scan:
    """Look at what has become of the directory, to compare it with the target."""
    if target.whole:
        excludes = target.excludes(hidden)
        observer.started("checking")
        scan = confirmed(sidecar.installation, target.wanted, cache, excludes, observer)
        observer.finished()
        if scan is not None:
            return scan
    as_held = databases.comparing(sidecar, target.wanted, sqlite=target.sqlite)
    return look(sidecar, target, "checking", cache, observer, hidden, databases=as_held)


def written_meanwhile(wrong: list[Problem], plan: RestorePlan, before: Inventory, after: Inventory) -> list[Problem]:
    """Of what is not as it shall be, the files that nothing was to be done to, and that others have written to since
    the directory was looked at: they were as the target has them."""
    if not wrong:
        return []
    ours, was, now = {s.path for s in plan.steps}, before.by_path(), after.by_path()
    return [
        Problem(p.path, "was written to meanwhile, and was left alone")
        for p in wrong
        if p.path not in ours
        and (a := was.get(p.path)) is not None
        and (b := now.get(p.path)) is not None
        and a.type is b.type is Type.FILE
        and not same_content(a, b)
    ]
