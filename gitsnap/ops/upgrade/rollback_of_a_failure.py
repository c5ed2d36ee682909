"""Bringing the directory back when an upgrade went wrong and nobody is there to help."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from gitsnap.core.database_servers import Policy
from gitsnap.core.errors import GitsnapError
from gitsnap.core.events import Observer
from gitsnap.core.model import Snapshot
from gitsnap.core.settings import Settings
from gitsnap.installation import root as directory
from gitsnap.ops.compare.diff import NOW, diff
from gitsnap.ops.restore import merge, rollback
from gitsnap.ops.restore.merge import MergeResult
from gitsnap.ops.restore.result import Restored
from gitsnap.sidecar.repository import Sidecar

Clock = Callable[[], datetime]


def bring_back(sidecar: Sidecar, pre: Snapshot, settings: Settings, clock: Clock, observer: Observer) -> Restored:
    """Roll an upgrade's directory back, with nobody there to be asked. Raises GitsnapError, OSError."""
    # Nobody is there to stop a server. What is under it stays, and is named.
    settings = replace(settings, databases=Policy.LEAVE)

    def attempt() -> Restored:
        return rollback.rollback(sidecar, pre.id, settings, rollback.RollbackOptions(clock(), observer=observer))

    try:
        return attempt()
    except (GitsnapError, OSError) as error:
        # Its owner may have been locked out by modes.
        with suppress(OSError):
            if _refused(error) and directory.unlock(sidecar.installation):
                return attempt()
        raise


def keep_edits(
    sidecar: Sidecar, upgrade: str, post: Snapshot, settings: Settings, clock: Clock, observer: Observer
) -> MergeResult | None:
    """Undo an upgrade and keep what was changed since its second snapshot; None where nothing was.

    Raises GitsnapError, OSError: then nothing was touched, unless a rollback is pending.
    """
    return _where_edited(merge.keep_edits, sidecar, upgrade, post, settings, clock, observer)


def merge_edits(
    sidecar: Sidecar, upgrade: str, post: Snapshot, settings: Settings, clock: Clock, observer: Observer
) -> MergeResult | None:
    """The snapshot that such an undoing goes to, for whoever has more to bring back; None where nothing was changed."""
    return _where_edited(merge.compose_keeping_edits, sidecar, upgrade, post, settings, clock, observer)


def _where_edited(
    merging: Callable[[Sidecar, str, Settings, merge.MergeOptions], MergeResult],
    sidecar: Sidecar,
    upgrade: str,
    post: Snapshot,
    settings: Settings,
    clock: Clock,
    observer: Observer,
) -> MergeResult | None:
    settings = replace(settings, databases=Policy.LEAVE)
    if not diff(sidecar, post, NOW, settings, entries=False, observer=observer)[0].comparison.changes:
        return None
    return merging(sidecar, upgrade, settings, merge.MergeOptions(clock(), observer=observer))


def _refused(error: GitsnapError | OSError) -> bool:
    if isinstance(error, GitsnapError):
        return error.kind == "unreadable"
    return error.errno in (errno.EACCES, errno.EPERM)
