"""What is over several directories and is no business of a unit that the service waits for."""

from __future__ import annotations

from collections.abc import Sequence

from gitsnap.core.errors import LockedError
from gitsnap.ops.live import service
from gitsnap.ops.sets.interrupted import Unsettled, require_quiet
from gitsnap.ops.sets.members import Member
from gitsnap.ops.sets.resume import waits


def left_alone(unsettled: Unsettled, members: Sequence[Member]) -> str | None:
    """Why nothing is to be settled before the service starts; None where that has to be.

    All directories are in one state then: an upgrade is at work or waits for what becomes of it, or those that went
    back have arrived and the service is being started.
    """
    if any(m.sidecar.pending is not None for m in members):
        return None
    if any(service.being_started(m.sidecar) for m in members):
        return "the service is started by the gitsnap that has stopped it"
    if any(m.sidecar.returning for m in members):
        return None
    try:
        require_quiet(unsettled, members)
    except LockedError as error:
        return error.message
    if waits(members, unsettled.upgrade):
        return f"the upgrade {unsettled.upgrade} waits for what becomes of it: `gitsnap recover` goes on with it"
    return None
