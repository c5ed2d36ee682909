"""`show`: one snapshot, or one upgrade."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Selector, ShowSecrets
from gitsnap.core.errors import NoSuchSnapshotError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.core.settings import Settings
    from gitsnap.sidecar.repository import Sidecar


@command(group=Group.LOOK, order=30)
def show(context: typer.Context, snapshot: Selector = "latest", show_secrets: ShowSecrets = False) -> None:
    """Show one snapshot, what it holds and left out; or one upgrade."""
    from gitsnap.cli.render import json, snapshots
    from gitsnap.ops.query import inspect
    from gitsnap.ops.report.history import means_upgrade

    session: Session = context.obj
    with session.open() as (sidecar, settings):
        if snapshot != "latest" and means_upgrade(sidecar, snapshot):
            return _show_upgrade(session, sidecar, settings, snapshot)
        try:
            result = inspect.show(sidecar, snapshot, settings.components, settings.signing)
        except NoSuchSnapshotError:
            # An upgrade whose snapshots are gone is still in the audit log.
            with suppress(NoSuchSnapshotError):
                return _show_upgrade(session, sidecar, settings, snapshot)
            raise
    if session.options.json:
        session.out.document(json.shown(result))
    else:
        snapshots.shown(session.out, result)
    return None


def _show_upgrade(session: Session, sidecar: Sidecar, settings: Settings, selector: str) -> None:
    """`show`, of an upgrade."""
    from gitsnap.cli.render import json_upgrade, upgrade
    from gitsnap.ops.report import history as operation

    found = operation.history(sidecar, settings)
    episode = operation.past_upgrade(found, selector)
    verified = episode.snapshot.id in found.verified
    if session.options.json:
        session.out.document(json_upgrade.upgrade(episode, verified, session.out.command))
    else:
        upgrade.upgrade(session.out, episode, verified)
