"""The directory compared with a snapshot, every byte read again."""

from __future__ import annotations

from gitsnap.core.content import Digesting
from gitsnap.core.coverage import Coverage, beyond, unread
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Entry, Inventory
from gitsnap.core.settings import Settings
from gitsnap.installation.owners import localise
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.ops.check.verdict import Finding, Verdict, note
from gitsnap.ops.live import databases, exclusions
from gitsnap.ops.live.pending import hidden_stages, without
from gitsnap.ops.restore.target import differences
from gitsnap.sidecar import contents
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.selectors import choose


def verify_live(sidecar: Sidecar, selector: str, settings: Settings, *, observer: Observer = SILENT) -> Verdict:
    """Compare the directory, every byte read again, with a snapshot."""
    with sidecar.using_objects(settings.lock_wait):
        snapshot = choose(sidecar, selector)
        wanted = contents.inventory(sidecar, snapshot)
    localise(wanted)
    rules = exclusions.for_comparison(sidecar.installation, settings, wanted)
    observer.started("comparing", snapshot.files, snapshot.bytes)
    excludes = without(hidden_stages(sidecar), rules.excluded_from_safety)
    as_held = databases.comparing(sidecar, wanted, sqlite=settings.sqlite)
    live = Scanner(
        sidecar.installation, Digesting(), ScanOptions(excludes=excludes, databases=as_held, observer=observer)
    ).run()
    observer.finished()
    problems = differences(wanted, live.inventory, lambda _: True, rules.protected)
    told = Coverage(wanted)
    problems += [p for p in live.inventory.partial if not told.unread(p.path)]
    verdict = Verdict(snapshot.id, unread=unread(wanted), beyond=beyond(wanted, live.inventory))
    before, after = wanted.by_path(), live.inventory.by_path()
    for problem in problems:
        expected, actual = (_digest(inventory.get(problem.path)) for inventory in (before, after))
        verdict.problems.append(Finding(problem.path, problem.reason, expected, actual))
    verdict.files, verdict.bytes = _read(live.inventory)
    sidecar.noted.details["live"] = True
    note(sidecar, [verdict])
    return verdict


def _digest(entry: Entry | None) -> str | None:
    return entry.sha256.hex() if entry and entry.sha256 else None


def _read(inventory: Inventory) -> tuple[int, int]:
    files = inventory.files()
    return len(files), sum(e.size for e in files)
