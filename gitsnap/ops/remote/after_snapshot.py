"""Copies that go of themselves after a snapshot. Whatever becomes of them, the snapshot stands."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from gitsnap.core.errors import GitsnapError
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.remote import AFTER_SNAPSHOT, Remote
from gitsnap.core.settings import Settings
from gitsnap.ops.remote.push import Pushed, PushOptions, push
from gitsnap.sidecar.repository import Sidecar

# How long the other side may be silent where nobody has asked for a push, in seconds.
PATIENCE = 20.0


class Copied(NamedTuple):
    """What became of one remote: what went, or why nothing did."""

    remote: Remote
    pushed: Pushed | None
    problem: GitsnapError | OSError | None = None


def copy(sidecar: Sidecar, settings: Settings, *, now: datetime, observer: Observer = SILENT) -> list[Copied]:
    """Push to every remote that wants it, with all that it lacks from before. One that is away is told, no more."""
    out = []
    for _, remote in sorted(settings.remotes.items()):
        if remote.push == AFTER_SNAPSHOT:
            try:
                options = PushOptions(now, patience=PATIENCE, observer=observer)
                out.append(Copied(remote, push(sidecar, remote, settings, options)))
            except (GitsnapError, OSError) as error:
                out.append(Copied(remote, None, error))
    return out
