"""Copies that go of themselves after a snapshot, and what is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.core.settings import Settings
    from gitsnap.ops.remote.after_snapshot import Copied
    from gitsnap.sidecar.repository import Sidecar


def send(session: Session, sidecar: Sidecar, settings: Settings) -> list[Copied]:
    """Push to the remotes that want it after every snapshot. What fails is told, and changes nothing else."""
    # Most installations have none, and whoever sends needs much that nobody else does.
    if not any(remote.push == "after-snapshot" for remote in settings.remotes.values()):
        return []
    from gitsnap.cli.render import remote as render
    from gitsnap.ops.remote.after_snapshot import copy

    found = copy(sidecar, settings, now=session.now, observer=session.out.progress())
    render.copied(session.out, found)
    return found
