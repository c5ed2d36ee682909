"""`history`: upgrades, rollbacks and snapshots as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gitsnap import __version__
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import ShowSecrets

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=120)
def history(context: typer.Context, show_secrets: ShowSecrets = False) -> None:
    """List upgrades, rollbacks and snapshots, oldest first."""
    from gitsnap.cli.render import json_upgrade, upgrade
    from gitsnap.ops.report import history as operation

    session: Session = context.obj
    with session.open() as (sidecar, settings):
        found = operation.history(sidecar, settings)
    if session.options.json:
        session.out.document(json_upgrade.history(found, settings.retention, __version__, session.out.command))
    else:
        upgrade.history(session.out, found)
