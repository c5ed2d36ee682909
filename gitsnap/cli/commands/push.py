"""`push`: copies go to a remote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import AllowSecret, OnlyTell, Takes
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.COPY, order=10, recorded=True)
def push(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Default: the only remote."), Takes("REMOTE")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove over there what is not here, or beyond what is to be kept there.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Go on as the machine that has pushed under this name before.")
    ] = False,
    allow_secret: AllowSecret = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read back what is new over there, and compare.")] = False,
    verify_all: Annotated[bool, typer.Option("--verify-all", help="Read back everything that is over there.")] = False,
    dry_run: OnlyTell = False,
) -> None:
    """Send a remote the snapshots that it lacks."""
    from gitsnap.ops.remote.push import PushOptions
    from gitsnap.ops.remote.push import push as operation
    from gitsnap.ops.remote.selection import chosen

    session: Session = context.obj
    if dry_run and (verify or verify_all):
        raise UsageError("-n sends nothing that could be read back")
    progress = session.out.progress()
    back = None
    if verify or verify_all:
        # With nothing new a push is the start of a program, and few ask for this.
        from gitsnap.ops.remote.read_back import ReadBackOptions

        back = ReadBackOptions(verify_all, session.out.interactive, progress)
    with session.open() as (sidecar, settings):
        options = PushOptions(
            session.now,
            prune=prune,
            dry_run=dry_run,
            asks=session.out.interactive,
            observer=progress,
            read_back=back,
            take_over=take_over,
            allow=tuple(map(os.fsencode, allow_secret or ())),
        )
        done = operation(sidecar, chosen(settings, name), settings, options)
    if session.options.json:
        from gitsnap.cli.render import json_remote

        session.out.document(json_remote.pushed(done))
    else:
        from gitsnap.cli.render import remote

        remote.pushed(session.out, done)
    if done.held_back:
        raise typer.Exit(3)
