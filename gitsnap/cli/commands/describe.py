"""`describe`: another message, other tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Selector, Takes
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.KEEP, order=45, recorded=True)
def describe(
    context: typer.Context,
    snapshot: Selector,
    message: Annotated[
        str | None, typer.Option("-m", "--message", metavar="TEXT", help="What it is about. Default: as it is.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="T", help="Add a tag; may be repeated."), Takes("TAG")
    ] = None,
    untag: Annotated[
        list[str] | None, typer.Option("--untag", metavar="T", help="Remove a tag; may be repeated."), Takes("TAG")
    ] = None,
) -> None:
    """Change what is said of a snapshot: its message, its tags."""
    from gitsnap.cli.render import json, snapshots
    from gitsnap.ops.store import describe as operation

    session: Session = context.obj
    if message is None and not tag and not untag:
        raise UsageError("describe takes a message or tags", hint="gitsnap describe SNAPSHOT -m TEXT --tag T --untag T")
    wanted = operation.Wording(message, tag or (), untag or ())
    with session.open(changing=True) as (sidecar, settings):
        done = operation.describe(sidecar, snapshot, wanted, settings, now=session.now)
    if session.options.json:
        session.out.document({"snapshot": json.snapshot(done)})
    else:
        snapshots.described(session.out, done)
