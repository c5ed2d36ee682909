"""`cat`: a content as a snapshot holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Selector

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=60)
def cat(context: typer.Context, snapshot: Selector, path: Annotated[str, typer.Argument(metavar="PATH")]) -> None:
    """Print a file's content as a snapshot holds it."""
    from gitsnap.ops.query import inspect

    session: Session = context.obj
    with session.open() as (sidecar, _):
        session.out.raw(inspect.cat(sidecar, snapshot, session.inside(path, sidecar.installation)))
