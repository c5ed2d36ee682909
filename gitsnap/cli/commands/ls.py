"""`ls`: a directory as a snapshot holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Selector

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=50)
def ls(
    context: typer.Context,
    snapshot: Selector,
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="Relative to where you stand, or to DIR of -C.")] = "",
    recursive: Annotated[bool, typer.Option("-R", "--recursive", help="Everything below.")] = False,
) -> None:
    """List a directory as a snapshot holds it."""
    from gitsnap.cli.render import json, snapshots
    from gitsnap.ops.query import inspect

    session: Session = context.obj
    with session.open() as (sidecar, _):
        of, found, images = inspect.ls(
            sidecar, snapshot, session.inside(path, sidecar.installation), recursive=recursive
        )
    if session.options.json:
        session.out.document(json.entries(of, found, images))
    else:
        snapshots.entries(session.out, found, images)
