"""`show`: one snapshot, or one upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Selector

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.core.settings import Settings
    from gitsnap.sidecar.repository import Sidecar


@command(group=Group.LOOK, order=20)
def show(context: typer.Context, snapshot: Selector = "latest") -> None:
    """Show one snapshot, what it holds and left out; or one upgrade."""
    from gitsnap.cli.render import json, text
    from gitsnap.ops.query import inspect
    from gitsnap.ops.report.history import means_upgrade

    session: Session = context.obj
    with session.open() as (sidecar, settings):
        if snapshot != "latest" and means_upgrade(sidecar, snapshot):
            return _show_upgrade(session, sidecar, settings, snapshot)
        result = inspect.show(sidecar, snapshot, settings.components)
    if session.options.json:
        session.out.document(json.shown(result))
    else:
        text.shown(session.out, result)
    return None


def _show_upgrade(session: Session, sidecar: Sidecar, settings: Settings, selector: str) -> None:
    """`show`, of an upgrade."""
    from gitsnap.cli.render import json_upgrade, upgrade
    from gitsnap.ops.report import history as operation

    found = operation.history(sidecar, settings)
    wanted = operation.upgrade_of(sidecar, selector).id
    episode = next(e for e in found.episodes if e.upgrade and e.upgrade.id == wanted)
    verified = episode.snapshot.id in found.verified
    if session.options.json:
        session.out.document(json_upgrade.upgrade(episode, verified))
    else:
        upgrade.upgrade(session.out, episode, verified)
