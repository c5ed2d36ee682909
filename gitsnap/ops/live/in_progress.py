"""The upgrade that is under way, and what is left of one that was killed.

What was killed is told from the refs (a `pre` without what should follow it); the sidecar's record says how far it had
come, and whether it is dead at all.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass, replace

from gitsnap.core.deadline import Reading
from gitsnap.core.errors import GitsnapError, LockedError, PendingRecoveryError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.upgrade import Outcome, Stored, UpgradePhase, upgrades
from gitsnap.ops.process import clocks, processes
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import upgrade_record
from gitsnap.sidecar.state.upgrade_record import Members, UpgradeRecord, Wait

UNDECIDED = (UpgradePhase.SOAK, UpgradePhase.CONFIRM)
GOES_BACK = (UpgradePhase.ROLLBACK, UpgradePhase.ROLLBACK_FAILED)
_MOVED = "the sidecar does not lie where the upgrade was run: its checks are not run from there"
_NOTHING_DONE = (UpgradePhase.SNAPSHOT, UpgradePhase.READY)


class WatchedError(LockedError):
    """Another process sees to the upgrade that waits."""


@dataclass(slots=True, frozen=True)
class CutShort:
    """An upgrade that was killed, or could not be rolled back. `running` is the command's process if it lives on,
    `half_way` tells that its rollback has to be settled by `recover` first, `late` that nobody said keep in time."""

    upgrade: str
    command: str
    stage: UpgradePhase
    stored: Stored | None
    exit_code: int | None = None
    problem: str = ""
    running: int | None = None
    half_way: bool = False
    wait: Wait | None = None
    # The directories that it was over, where that were several.
    directories: tuple[str, ...] = ()
    late: bool = False

    @property
    def changed_nothing(self) -> bool:
        """Whether it was killed before its command was started."""
        return self.stored is None or self.stage in _NOTHING_DONE

    @property
    def waits(self) -> bool:
        """Whether `recover` is what brings it to its end."""
        return self.wait is not None or bool(self.directories) or self.half_way

    @property
    def can_be_kept(self) -> bool:
        """Whether `keep` would keep it, as it waits for that (ops.upgrade.keep)."""
        return self.wait is not None and self.running is None and not self.late and self.stage not in GOES_BACK


@dataclass(slots=True, frozen=True)
class Waiting:
    """An upgrade of which it is not decided yet what becomes of it. `process` is the one that sees to it; None where
    nobody does. `passed` are the seconds since its first checks have passed."""

    upgrade: str
    phase: UpgradePhase
    wait: Wait
    process: int | None
    passed: float

    @property
    def soak_left(self) -> float | None:
        """Seconds for which the checks go on; None where they do not."""
        return max(self.wait.soak - self.wait.soaked, 0.0) if self.wait.soak else None

    @property
    def confirm_left(self) -> float | None:
        """Seconds in which somebody has to say keep; None where nobody has to."""
        return max(self.wait.confirm - self.passed, 0.0) if self.wait.confirm else None


def waiting(sidecar: Sidecar, now: Reading) -> Waiting | None:
    """The upgrade that waits for what becomes of it; None where there is none."""
    known = upgrade_record.load(sidecar) if sidecar.upgrading else None
    if known is None or known.wait is None or known.stage not in UNDECIDED or known.wait.kept:
        return None
    passed = known.wait.term.passed(now) if known.wait.term else 0.0
    return Waiting(
        known.upgrade, known.stage, known.wait, known.runner.pid if processes.alive(known.runner) else None, passed
    )


def claim(
    sidecar: Sidecar,
    upgrade: str,
    command: str,
    lock_wait: float,
    wait: Wait | None = None,
    members: Members = (),
) -> None:
    """Say that an upgrade begins, over several directories perhaps (`members`).

    LockedError while another one lives, PendingRecoveryError while one that nobody sees to waits for what becomes of
    it, or was cut short over several directories.
    """
    me = processes.identify(os.getpid())
    assert me is not None
    known = upgrade_record.load(sidecar)
    other = known.runner if known and _at_work(known) else None
    if known is not None and known.members and other is None and look(sidecar) is not None:
        raise PendingRecoveryError(
            f"the upgrade {known.upgrade} of several directories, {sidecar.installation} among them, was cut short and "
            "has to be settled first",
            path=sidecar.installation,
            hint="`gitsnap recover` brings all of them back, `gitsnap recover --give-up` leaves them as they are",
        )
    if known is not None and _is_abandoned(sidecar, known):
        raise PendingRecoveryError(
            f"the upgrade {known.upgrade} waits for what becomes of it, and nobody sees to that; nothing was started",
            hint="gitsnap recover goes on with it, gitsnap keep keeps it",
        )
    if wait is not None:
        wait = replace(wait, where=upgrade_record.here(sidecar))
    upgrade_record.claim(sidecar, UpgradeRecord(upgrade, command, me, wait=wait, members=members), lock_wait, other)


def _is_abandoned(sidecar: Sidecar, known: UpgradeRecord) -> bool:
    """Whether it was to wait, may have changed something, and is neither decided nor seen to by anybody."""
    if known.wait is None or known.stage in _NOTHING_DONE or _at_work(known):
        return False
    mine = _stored(sidecar, known.upgrade)
    return mine is not None and mine.outcome in (None, Outcome.UNKNOWN)


def _stored(sidecar: Sidecar, upgrade: str) -> Stored | None:
    return next((u for u in upgrades(catalog.survey(sidecar)[0]) if u.id == upgrade), None)


def needed(sidecar: Sidecar) -> str | None:
    """The id of the upgrade whose snapshots somebody may have to go back to: it is under way, or waits."""
    known = upgrade_record.load(sidecar) if sidecar.upgrading else None
    if known is None:
        return None
    waits = known.wait is not None and known.stage not in (*_NOTHING_DONE, UpgradePhase.ROLLBACK_FAILED)
    # Of several directories, the others have to come back with this one, whatever was done here since.
    together = bool(known.members) and known.stage not in _NOTHING_DONE
    return known.upgrade if waits or together or _at_work(known) else None


def require_decided(sidecar: Sidecar) -> None:
    """LockedError where somebody waits for what becomes of an upgrade, and would not know that it was taken away; and
    where the command of one that was killed still runs, and would write to what was brought back."""
    known = upgrade_record.load(sidecar) if sidecar.upgrading else None
    if known is None:
        return
    if not processes.alive(known.runner):
        # A command may go back itself.
        if known.child is not None and not processes.is_below(known.child.pid):
            _require_ended(known)
        return
    if known.wait is None or known.stage not in UNDECIDED:
        return
    raise LockedError(
        f"process {known.runner.pid} watches over the upgrade {known.upgrade}, of which nothing is decided yet; "
        "nothing was touched",
        hint=f"kill -INT {known.runner.pid} brings the directory back now, gitsnap keep keeps it as it is",
    )


def take_over(sidecar: Sidecar, lock_wait: float) -> UpgradeRecord | None:
    """See to an upgrade that waits for what becomes of it from now on. What is known of it; None where there is none.

    LockedError where somebody else does so, or its command still runs.
    """
    if not sidecar.upgrading:
        return None
    me = processes.identify(os.getpid())
    assert me is not None
    taken: list[UpgradeRecord] = []

    def change(known: UpgradeRecord | None) -> UpgradeRecord | None:
        if known is None or known.wait is None or known.stage in _NOTHING_DONE:
            return None
        if _at_work(known):
            if known.stage in UNDECIDED:
                raise WatchedError(
                    f"process {known.runner.pid} sees to the upgrade {known.upgrade}", hint="gitsnap status"
                )
            return None
        _require_ended(known)
        # A record that others can write is nobody's command line.
        if not upgrade_record.is_private(sidecar) or known.wait.where != upgrade_record.here(sidecar):
            unproved = known.wait.checks and known.stage is not UpgradePhase.CONFIRM and not known.wait.kept
            problem = known.problem or (_MOVED if unproved else "")
            known = replace(known, wait=replace(known.wait, checks=(), soak=0.0, stop="", start=""), problem=problem)
        taken.append(known)
        return replace(known, runner=me)

    upgrade_record.decide(sidecar, lock_wait, change)
    return taken[0] if taken else None


def running(known: UpgradeRecord) -> int | None:
    """The number of the command's process, while that runs."""
    return known.child.pid if known.child is not None and processes.alive(known.child) else None


def is_late(known: UpgradeRecord, now: Reading) -> bool:
    """Whether somebody had to say keep, and has not in time."""
    wait = known.wait
    if wait is None or not wait.confirm or wait.kept or wait.term is None:
        return False
    return wait.term.passed(now) >= wait.confirm


def _require_ended(known: UpgradeRecord) -> None:
    process = running(known)
    if process is not None:
        raise LockedError(
            f"the command of the upgrade {known.upgrade} still runs, as process {process}; nothing was touched",
            hint="wait for it or end it first",
        )


def go_back(sidecar: Sidecar, problem: str, lock_wait: float) -> bool:
    """Write down that the directory goes back, because of this problem; False where somebody has said keep before.

    Where it cannot be written down, it goes back all the same.
    """
    kept: list[bool] = []

    def change(known: UpgradeRecord | None) -> UpgradeRecord | None:
        if known is None:
            return None
        if known.wait is not None and known.wait.kept:
            kept.append(True)
            return None
        return replace(known, stage=UpgradePhase.ROLLBACK, problem=problem)

    with suppress(OSError, GitsnapError):
        upgrade_record.decide(sidecar, lock_wait, change)
    return not kept


def is_kept(sidecar: Sidecar) -> bool:
    """Whether somebody has said keep."""
    known = upgrade_record.load(sidecar)
    return known is not None and known.wait is not None and known.wait.kept


def save(sidecar: Sidecar, lock_wait: float, stage: UpgradePhase, wait: Wait) -> None:
    """Write down how far the waiting has come, as far as it can be written; what others have said stays."""

    def change(known: UpgradeRecord | None) -> UpgradeRecord | None:
        if known is None or known.wait is None:
            return None
        own = known.wait
        told = replace(wait, kept=own.kept, where=own.where, stop=own.stop, start=own.start)
        return replace(known, stage=stage, wait=told)

    with suppress(OSError, GitsnapError):
        upgrade_record.decide(sidecar, lock_wait, change)


def wait_no_more(sidecar: Sidecar) -> None:
    """Somebody has settled by hand what was waited for."""
    update(sidecar, wait=None)


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
    # One of several directories alone settles nothing.
    if known is not None and not known.members and not _at_work(known):
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
    if mine is not None and known.wait is None and not known.members and _settled(mine, living, stage):
        return None
    half_way = sidecar.pending is not None and not sidecar.busy
    roots = tuple(root for root, _ in known.members)
    return CutShort(
        known.upgrade,
        known.command,
        stage,
        mine,
        known.exit_code,
        problem,
        running(known),
        half_way,
        known.wait,
        roots,
        is_late(known, clocks.read()),
    )


def cut_short(sidecar: Sidecar) -> str | None:
    """The id of an upgrade that was killed, waits for nothing, and may have changed something; None where none is."""
    found = look(sidecar)
    return found.upgrade if found is not None and not found.waits and not found.changed_nothing else None


def _settled(mine: Stored, living: list[Snapshot], stage: UpgradePhase) -> bool:
    if mine.safety and stage is not UpgradePhase.ROLLBACK_FAILED and stage is not UpgradePhase.ROLLBACK:
        return True
    last = max(living.index(s) for s in (mine.pre, mine.post, *mine.safety) if s is not None)
    return any(s.kind is not Kind.SAFETY for s in living[last + 1 :])
