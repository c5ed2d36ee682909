"""`carry`: your customisations onto the new version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import merge
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import OnlyTell, Yes

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.BRING_BACK, order=50, recorded=True)
def carry(
    context: typer.Context,
    upgrade: Annotated[str | None, typer.Argument(metavar="[UPGRADE]", help="Default: the latest upgrade.")] = None,
    origin: Annotated[
        str | None, typer.Option("--from", metavar="SNAPSHOT", help="The pristine copy that you had customised.")
    ] = None,
    dry_run: OnlyTell = False,
    yes: Yes = False,
) -> None:
    """Bring your customisations onto the new version."""
    from gitsnap.ops.restore.merge import carry as operation

    session: Session = context.obj
    with session.open() as (sidecar, settings):
        done = operation(sidecar, upgrade, settings, merge.options(session, dry_run=dry_run, yes=yes), origin=origin)
    merge.report(session, done, dry_run=dry_run)
