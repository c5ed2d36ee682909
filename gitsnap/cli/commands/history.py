"""`history`: upgrades, rollbacks and snapshots as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gitsnap import __version__
from gitsnap.cli import sets
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import OfSet, ShowSecrets

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=44, several=True)
def history(context: typer.Context, show_secrets: ShowSecrets = False, set_name: OfSet = None) -> None:
    """List upgrades, rollbacks and snapshots, oldest first."""
    sets.each(context.obj, set_name, lambda: _history(context.obj))


def _history(session: Session) -> None:
    from gitsnap.cli.render import json_upgrade, upgrade
    from gitsnap.ops.report import history as operation

    with session.open() as (sidecar, settings):
        found = operation.history(sidecar, settings)
    if session.options.json:
        session.out.document(json_upgrade.history(found, settings.retention, __version__, session.out.command))
    else:
        upgrade.history(session.out, found)
