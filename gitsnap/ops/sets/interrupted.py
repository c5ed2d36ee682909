"""What was interrupted over several directories, and that nobody is at work on it any more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gitsnap.core.errors import GitsnapError, LockedError
from gitsnap.core.upgrade import UpgradePhase
from gitsnap.ops.live import in_progress
from gitsnap.ops.process import processes
from gitsnap.ops.sets.members import Member, Open
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import set_rollback, upgrade_record
from gitsnap.sidecar.state.upgrade_record import Members

# Stages in which the command has not begun.
NOT_STARTED = (UpgradePhase.SNAPSHOT, UpgradePhase.READY)


@dataclass(slots=True, frozen=True)
class Unsettled:
    """Something over several directories that nobody has settled: the upgrade that it is about, and where."""

    upgrade: str
    members: Members


def find(sidecar: Sidecar, open_one: Open) -> Unsettled | None:
    """What waits to be settled over several directories, this one among them."""
    found = _own(sidecar)
    if found is not None:
        return found
    # Its own record may have been the first to go, or may never have been written: the others tell.
    last = None
    with suppress(GitsnapError):
        last = next((s for s in reversed(catalog.snapshots(sidecar)) if s.directories), None)
    if last is None:
        return None
    for root in last.directories:
        if root == sidecar.installation:
            continue
        with suppress(GitsnapError, OSError), open_one(root, "") as beside:
            found = _own(beside.sidecar)
            if found and found.upgrade == last.upgrade and sidecar.installation in dict(found.members):
                return found
    return None


def _own(sidecar: Sidecar) -> Unsettled | None:
    if sidecar.returning and (back := set_rollback.load(sidecar)):
        return Unsettled(back.upgrade, back.members)
    known = upgrade_record.load(sidecar) if sidecar.upgrading else None
    return Unsettled(known.upgrade, known.members) if known and known.members else None


def require_quiet(unsettled: Unsettled, members: Sequence[Member]) -> None:
    """Raise LockedError where what would be settled still goes on."""
    for member in members:
        if in_progress.living(member.sidecar) == unsettled.upgrade:
            raise LockedError(
                f"the upgrade {unsettled.upgrade} is under way",
                path=member.root,
                hint="wait until it is done: gitsnap status",
            )
    first = upgrade_record.load(members[0].sidecar)
    if first is not None and first.wait is not None and first.stage not in (*NOT_STARTED, UpgradePhase.COMMAND):
        # The command has ended, and what it leaves running is part of what was waited for.
        return
    # Two upgrades of other directories may have begun in the same second.
    left = processes.with_variables(GITSNAP_UPGRADE=unsettled.upgrade, GITSNAP_DIR=unsettled.members[0][0])
    if left:
        named = ", ".join(f"{p['pid']} ({p['command']})" for p in processes.names(left[:5]))
        raise LockedError(
            f"what the command of {unsettled.upgrade} has started still runs: {named}",
            hint="wait for it or end it, then `gitsnap recover`",
        )
