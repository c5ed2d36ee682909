"""Somebody says that an upgrade is to be kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from gitsnap.core.duration import told
from gitsnap.core.errors import GitsnapError, NoSuchSnapshotError
from gitsnap.core.outcome import Ending, Outcome
from gitsnap.core.settings import Settings
from gitsnap.core.upgrade import UpgradePhase, named, upgrades
from gitsnap.ops.live import in_progress
from gitsnap.ops.process import clocks, processes
from gitsnap.ops.store import outcomes
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import upgrade_record
from gitsnap.sidecar.state.upgrade_record import UpgradeRecord


class TooLateError(GitsnapError):
    """The directory goes back, or has gone back."""

    kind = "too-late"


@dataclass(slots=True, frozen=True)
class Kept:
    """The upgrade that is kept. `process` is the one that waited for it, and records it; None where there is none."""

    upgrade: str
    process: int | None


def keep(sidecar: Sidecar, selector: str | None, settings: Settings, now: datetime) -> Kept:
    """Keep the upgrade that waits for what becomes of it; `selector` may say which one is meant.

    When this returns it is kept, whatever happens to whoever waits. Raises TooLateError, NoSuchSnapshotError where it
    is not the one that is meant, GitsnapError where none waits or its command still runs, LockedError or OSError.
    """
    known = say(sidecar, selector, settings.lock_wait)
    noted = sidecar.noted
    if processes.alive(known.runner):
        return Kept(known.upgrade, known.runner.pid)
    mine = next((u for u in upgrades(catalog.snapshots(sidecar)) if u.id == known.upgrade), None)
    if mine is not None:
        before = mine.ending or Ending(known.upgrade, command=known.command)
        code = before.exit_code if before.exit_code is not None else known.exit_code
        ending = before._replace(outcome=Outcome.KEPT, exit_code=code, failure=known.problem, rollback_error="")
        outcomes.record(sidecar, mine.pre, ending, now, settings.lock_wait)
    in_progress.clear(sidecar)
    noted.details["settled"] = Outcome.KEPT.value
    return Kept(known.upgrade, None)


def say(sidecar: Sidecar, selector: str | None, lock_wait: float) -> UpgradeRecord:
    """Decide that it is kept, in its record: that one of several directories where there are several. What is known of
    it then. Raises what keep() does."""

    def change(known: UpgradeRecord | None) -> UpgradeRecord:
        wait = _require(sidecar, known, selector)
        return replace(wait, wait=replace(wait.wait, kept=True)) if wait.wait else wait

    known = upgrade_record.decide(sidecar, lock_wait, change)
    assert known is not None
    sidecar.noted.upgrade, sidecar.noted.changes = known.upgrade, True
    return known


def _require(sidecar: Sidecar, known: UpgradeRecord | None, selector: str | None) -> UpgradeRecord:
    """What is known of the one that waits, where it is not too late. Raises GitsnapError."""
    started = known is not None and known.stage not in (UpgradePhase.SNAPSHOT, UpgradePhase.READY)
    if known is None or known.wait is None or not (started or processes.alive(known.runner)):
        raise GitsnapError(
            "no upgrade waits for somebody to say keep",
            kind="nothing-waits",
            hint="gitsnap history",
        )
    _require_meant(sidecar, known, selector)
    alive = processes.alive(known.runner)
    if known.stage in in_progress.GOES_BACK:
        raise TooLateError(
            f"it is too late to keep {known.upgrade}: {known.problem}, and so the directory goes back",
            hint="when it is back: gitsnap undo brings the upgrade again"
            if alive
            else "gitsnap recover, then gitsnap undo",
        )
    if alive and known.stage not in in_progress.UNDECIDED:
        raise GitsnapError(
            f"the upgrade {known.upgrade} is not done yet; nothing was decided", kind="not-yet", hint="gitsnap status"
        )
    if not alive and (process := in_progress.running(known)) is not None:
        raise GitsnapError(
            f"the command of the upgrade {known.upgrade} still runs, as process {process}; nothing was decided",
            kind="not-yet",
            hint="wait for it or end it first",
        )
    if in_progress.is_late(known, clocks.read()):
        raise TooLateError(
            f"it is too late to keep {known.upgrade}: nobody said so within {told(known.wait.confirm)}",
            hint="gitsnap recover brings the directory back; after that gitsnap undo brings the upgrade again",
        )
    return known


def _require_meant(sidecar: Sidecar, known: UpgradeRecord, selector: str | None) -> None:
    if selector is None or selector in (known.upgrade, "latest"):
        return
    found = named(upgrades(catalog.snapshots(sidecar)), selector)
    if [u.id for u in found] != [known.upgrade]:
        raise NoSuchSnapshotError(
            f"'{selector}' is not the upgrade that waits, which is {known.upgrade}",
            kind="no-such-upgrade",
            hint="gitsnap status",
        )
