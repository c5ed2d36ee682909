"""Settling an interrupted rollback before the service starts: by a unit that the service waits for."""

from __future__ import annotations

from dataclasses import replace

from gitsnap.core.errors import LockedError
from gitsnap.core.settings import Settings
from gitsnap.ops.restore.recover import recover
from gitsnap.ops.restore.result import Direction, Recovered
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.sidecar.repository import Sidecar


def recover_at_boot(
    sidecar: Sidecar, direction: Direction | None, settings: Settings, options: RollbackOptions
) -> Recovered:
    """As `recover`, but the service, which waits for this, is neither stopped nor started.

    Where nothing is pending, nobody is waited for: who holds the lock may be the gitsnap that has the service started.
    """
    settings = replace(settings, service=None)
    if sidecar.pending is not None:
        return recover(sidecar, direction, settings, options)
    try:
        return recover(sidecar, direction, replace(settings, lock_wait=0), options)
    except LockedError:
        return Recovered()
