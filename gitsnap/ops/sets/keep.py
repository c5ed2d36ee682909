"""Somebody says that an upgrade of several directories is to be kept: in the first one's record, for all of them."""

from __future__ import annotations

from gitsnap.core.errors import GitsnapError
from gitsnap.ops.process import processes
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.sets import interrupted, recovery
from gitsnap.ops.sets.interrupted import Unsettled
from gitsnap.ops.sets.members import Open, belongs_to, opened
from gitsnap.ops.upgrade.keep import Kept, say
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import upgrade_record

_SETTLE = "`gitsnap recover` in any of them brings it to its end"


def find(sidecar: Sidecar, open_one: Open) -> Unsettled | None:
    """What waits over several directories, this one among them; None where one waits that is about this one alone."""
    own = upgrade_record.load(sidecar)
    if own is not None and own.wait is not None and not own.members:
        return None
    return interrupted.find(sidecar, open_one)


def keep(waits: Unsettled, open_one: Open, selector: str | None, options: RollbackOptions, wait: float) -> Kept:
    """Keep the upgrade that waits for what becomes of it. Raises what it does of one directory, and MissingError.

    The first directory has to be there. Where nobody waits for it any more, all have to be, for the record of each.
    """
    with opened(waits.members[:1], open_one, _SETTLE) as (first,):
        told = upgrade_record.load(first.sidecar)
        if told is None or (told.upgrade, told.members) != (waits.upgrade, waits.members):
            # What one says that is not of this upgrade decides nothing elsewhere.
            raise GitsnapError(f"{first.root} knows nothing of {waits.upgrade}", kind="nothing-waits", hint=_SETTLE)
        belongs_to(first, waits.members)
        known = say(first.sidecar, selector, wait)
    if processes.alive(known.runner):
        return Kept(known.upgrade, known.runner.pid)
    recovery.settle(waits, open_one, None, options, wait)
    return Kept(known.upgrade, None)
