"""`pull`: copies come back from a remote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Identity, OnlyTell, Takes

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.COPY, order=20, recorded=True)
def pull(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Default: the only remote."), Takes("REMOTE")
    ] = None,
    removed: Annotated[bool, typer.Option("--removed", help="Also what was removed here.")] = False,
    identity: Identity = None,
    dry_run: OnlyTell = False,
) -> None:
    """Fetch the snapshots that only a remote has. What is here stays as it is."""
    from gitsnap.cli.render import json_received, received
    from gitsnap.ops.remote.pull import PullOptions
    from gitsnap.ops.remote.pull import pull as operation
    from gitsnap.ops.remote.selection import chosen

    session: Session = context.obj
    with session.open(changing=not dry_run) as (sidecar, settings):
        options = PullOptions(
            session.now,
            removed=removed,
            dry_run=dry_run,
            asks=session.out.interactive,
            observer=session.out.progress(),
            identity=os.path.join(session.cwd, identity) if identity is not None else None,
        )
        done = operation(sidecar, chosen(settings, name), settings, options)
    if session.options.json:
        session.out.document(json_received.pulled(done))
    else:
        received.pulled(session.out, done)
    if done.conflicts:
        raise typer.Exit(13)
    if done.damaged:
        raise typer.Exit(3)
