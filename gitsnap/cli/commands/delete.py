"""`delete`: named snapshots go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.TIDY_UP, order=20, recorded=True)
def delete(context: typer.Context, snapshots: Annotated[list[str], typer.Argument(metavar="SNAPSHOT...")]) -> None:
    """Remove named snapshots. They lie in the bin until a gc."""
    from gitsnap.ops.store import retention

    session: Session = context.obj
    with session.open(changing=True) as (sidecar, settings):
        gone = retention.delete(sidecar, snapshots, settings, now=session.now)
    if session.options.json:
        session.out.document({"deleted": gone})
    else:
        session.out.lines(f"deleted {name}" for name in gone)
        session.out.remark(f"back: {session.out.command('undelete ' + ' '.join(gone))}")
        session.out.remark(f"for good, with their space: {session.out.command('gc')}")
