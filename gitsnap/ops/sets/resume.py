"""An upgrade of several directories that waits, and whose process is gone: another one goes on with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from gitsnap.core.upgrade import Outcome, Stored, UpgradePhase, upgrades
from gitsnap.ops.live import in_progress
from gitsnap.ops.process.processes import Waiter
from gitsnap.ops.sets.members import Member
from gitsnap.ops.sets.result import SetUpgraded
from gitsnap.ops.sets.upgrade import SetUpgrade
from gitsnap.ops.upgrade.resume import Resumption, request_of, settings_of
from gitsnap.sidecar import catalog
from gitsnap.sidecar.state import upgrade_record
from gitsnap.sidecar.state.upgrade_record import UpgradeRecord

# What the first one's record says where there is something to wait for yet. Before that nobody knows how the command
# ended, and after it all go back.
_GOES_ON = (UpgradePhase.POST, UpgradePhase.CHECKS, *in_progress.UNDECIDED)


def resume(members: Sequence[Member], upgrade: str, waiter: Waiter, how: Resumption) -> SetUpgraded | None:
    """Go on waiting until it is decided what becomes of all, and carry that out; None where there is nothing to wait
    for: it was to go back, somebody has said keep, its end was recorded, or the records do not fit each other.

    Raises WatchedError where somebody sees to it.
    """
    if not waits(members, upgrade):
        return None
    records = [in_progress.take_over(m.sidecar, m.settings.lock_wait) for m in members]
    known = [r for r in records if r is not None]
    if len(known) < len(members):
        return None
    first, wait = known[0], known[0].wait
    assert wait is not None
    failure = first.problem
    if not os.path.isdir(wait.directory) and wait.checks and not failure:
        failure = f"the checks cannot be run: {wait.directory} is gone"
    going_on = SetUpgrade(
        [replace(m, settings=settings_of(r, m.settings, how)) for m, r in zip(members, known, strict=True)],
        request_of(first),
        clock=how.clock,
        directory=wait.directory,
        tell=how.tell,
        observer=how.observer,
        countdown=how.countdown,
    )
    mine = [u for u in (_stored(m, upgrade) for m in members) if u is not None]
    going_on.go_on(known, mine)
    code = first.exit_code if first.exit_code is not None else mine[0].exit_code
    return going_on.finish(failure, waiter=waiter, exit_code=code, environ=how.environ, umask=wait.umask)


def _stored(member: Member, upgrade: str) -> Stored | None:
    return next((u for u in upgrades(catalog.snapshots(member.sidecar)) if u.id == upgrade), None)


def waits(members: Sequence[Member], upgrade: str) -> bool:
    """Whether all records are there, the first one's, in which it is decided, says that nothing is, and no end of it
    was recorded."""
    stored = [_stored(m, upgrade) for m in members]
    if not all(u and u.outcome in (None, Outcome.UNKNOWN) for u in stored):
        return False
    records = [upgrade_record.load(m.sidecar) for m in members]
    if not all(_is_of(record, upgrade) for record in records):
        return False
    first = records[0]
    return first is not None and first.stage in _GOES_ON and first.wait is not None and not first.wait.kept


def _is_of(record: UpgradeRecord | None, upgrade: str) -> bool:
    return record is not None and record.upgrade == upgrade and record.wait is not None
