"""`sign`: snapshots are signed later."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import FORMS, Takes
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.KEEP, order=40, recorded=True)
def sign(
    context: typer.Context,
    snapshots: Annotated[
        list[str] | None, typer.Argument(metavar="[SNAPSHOT]...", help=f"Default: latest. {FORMS}")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every snapshot.")] = False,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="PATH", help="An SSH key, or the public part of one in ssh's agent."),
        Takes("FILE"),
    ] = None,
) -> None:
    """Sign snapshots with an SSH key."""
    from gitsnap.cli.render import json_store, text
    from gitsnap.ops.store import sign as operation

    session: Session = context.obj
    if all_ and snapshots:
        raise UsageError("--all goes with no snapshot")
    with session.open(changing=True) as (sidecar, settings):
        signing = settings.signing._replace(ask=session.out.interactive)
        if key is not None:
            signing = signing._replace(key=os.path.join(session.cwd, os.path.expanduser(key)))
        settings = replace(settings, signing=signing)
        done = operation.sign(sidecar, snapshots or ["latest"], settings, now=session.now, everything=all_)
    if session.options.json:
        session.out.document(json_store.signed(done))
    else:
        text.signed(session.out, done)
