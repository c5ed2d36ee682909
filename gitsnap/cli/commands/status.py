"""`status`: how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gitsnap.cli import sets
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import OfSet, ShowSecrets

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=10, several=True)
def status(context: typer.Context, show_secrets: ShowSecrets = False, set_name: OfSet = None) -> None:
    """Say how things stand on one screen: changes, proof, space used."""
    sets.each(context.obj, set_name, lambda: _status(context.obj))


def _status(session: Session) -> None:
    from gitsnap.core.retention import describe
    from gitsnap.ops.query.status import status as operation

    # Where both go to one screen, to say it once is enough.
    with session.open(tells_pending=session.out.width is not None) as (sidecar, settings):
        result = operation(sidecar, settings, now=session.now, observer=session.out.progress())
        retention = describe(settings.retention)
        standings = []
        if settings.remotes:
            from gitsnap.ops.remote import remotes

            standings = remotes.survey(sidecar, settings, result.snapshots)
        cut_short = None
        if sidecar.upgrading:
            from gitsnap.ops.live import in_progress

            cut_short = in_progress.look(sidecar)
    if session.options.json:
        from gitsnap.cli.render import json_remote, json_status, json_upgrade

        at = {"remotes": [json_remote.standing(each) for each in standings]}
        session.out.document(json_status.state(result, retention) | json_upgrade.pending(cut_short) | at)
    else:
        from gitsnap.cli.render import status as standing

        standing.state(session.out, result, settings, session.now, standings, cut_short)
    if result.difference and result.difference.partial:
        raise typer.Exit(3)
