"""The upgrade that is under way, and what is left of one that was killed.

What was killed is told from the refs (a `pre` without what should follow it); the sidecar's record says how far it had
come, and whether it is dead at all.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass

from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.upgrade import Outcome, Stored, UpgradePhase, upgrades
from gitsnap.ops.process import processes
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import upgrade_record
from gitsnap.sidecar.state.upgrade_record import UpgradeRecord


@dataclass(slots=True, frozen=True)
class CutShort:
    """An upgrade that was killed, or could not be rolled back. `running` is the command's process if it lives on,
    `half_way` tells that its rollback has to be settled by `recover` first."""

    upgrade: str
    command: str
    stage: UpgradePhase
    stored: Stored | None
    exit_code: int | None = None
    problem: str = ""
    running: int | None = None
    half_way: bool = False


def claim(sidecar: Sidecar, upgrade: str, command: str, wait: float) -> None:
    """Say that an upgrade begins; LockedError while another one lives."""
    me = processes.identify(os.getpid())
    assert me is not None
    known = upgrade_record.load(sidecar)
    other = known.runner if known and _at_work(known) else None
    upgrade_record.claim(sidecar, UpgradeRecord(upgrade, command, me), wait, other)


def update(sidecar: Sidecar, *, child: int | None = None, **changes: object) -> None:
    """Say how far it has come, as far as it can be said. `child` is the number of the command's process."""
    with suppress(OSError):
        known = upgrade_record.load(sidecar)
        if known is not None:
            if child is not None:
                changes["child"] = processes.identify(child)
            upgrade_record.update(sidecar, known, **changes)  # type: ignore[arg-type]


def started(sidecar: Sidecar) -> None:
    """Say that from now on the directory may be changed. Raises OSError: where that cannot be said, nothing may be."""
    known = upgrade_record.load(sidecar)
    if known is None:
        raise FileNotFoundError(errno.ENOENT, "the record of the upgrade is gone", sidecar.path)
    upgrade_record.update(sidecar, known, strict=True, stage=UpgradePhase.COMMAND)


def clear(sidecar: Sidecar) -> None:
    """Say that it is over."""
    upgrade_record.clear(sidecar)


def living(sidecar: Sidecar) -> str | None:
    """The id of the upgrade that is under way now, if there is one."""
    known = upgrade_record.load(sidecar) if sidecar.upgrading else None
    return known.upgrade if known and _at_work(known) else None


def _at_work(known: UpgradeRecord) -> bool:
    """Whether it goes on; a program that has run one that failed may live for long."""
    return processes.alive(known.runner) and known.stage is not UpgradePhase.ROLLBACK_FAILED


def settle(sidecar: Sidecar) -> None:
    """Say that whatever was cut short has been dealt with. An upgrade that lives is left alone."""
    known = upgrade_record.load(sidecar) if sidecar.upgrading else None
    if known is not None and not _at_work(known):
        upgrade_record.clear(sidecar)


def look(sidecar: Sidecar) -> CutShort | None:
    """What is left of an upgrade that nothing has settled yet; None where there is nothing to say.

    Whoever has rolled it back, taken a snapshot, or run another upgrade since, has settled it.
    """
    if not sidecar.upgrading:
        return None
    known = upgrade_record.load(sidecar)
    if known is None or _at_work(known):
        return None
    living, _ = catalog.survey(sidecar)
    mine = next((u for u in upgrades(living) if u.id == known.upgrade), None)
    if mine is None and known.stage is not UpgradePhase.SNAPSHOT:
        # It was deleted.
        return None
    stage, problem = known.stage, known.problem
    if mine is not None and mine.ending is not None:
        if mine.outcome not in (Outcome.UNKNOWN, Outcome.ROLLBACK_FAILED):
            # Its end was recorded; what was cut short is saying so here.
            return None
        if mine.outcome is Outcome.ROLLBACK_FAILED:
            stage, problem = UpgradePhase.ROLLBACK_FAILED, mine.failure
    if mine is not None and _settled(mine, living, stage):
        return None
    running = known.child.pid if known.child and processes.alive(known.child) else None
    half_way = sidecar.pending is not None and not sidecar.busy
    return CutShort(known.upgrade, known.command, stage, mine, known.exit_code, problem, running, half_way)


def _settled(mine: Stored, living: list[Snapshot], stage: UpgradePhase) -> bool:
    if mine.safety and stage is not UpgradePhase.ROLLBACK_FAILED and stage is not UpgradePhase.ROLLBACK:
        return True
    last = max(living.index(s) for s in (mine.pre, mine.post, *mine.safety) if s is not None)
    return any(s.kind is not Kind.SAFETY for s in living[last + 1 :])
