"""`redo`: the last undo, taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gitsnap.cli import sets
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import OfSet, PrintPlan, RunningDatabases, Yes

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.BRING_BACK, order=31, recorded=True, several=True)
def redo(
    context: typer.Context,
    dry_run: PrintPlan = False,
    yes: Yes = False,
    running_databases: RunningDatabases = None,
    set_name: OfSet = None,
) -> None:
    """Take the last undo back; again, the one before it."""
    from gitsnap.cli.bring_back import reverse
    from gitsnap.ops.restore import undo as operations

    session: Session = context.obj
    if roots := sets.chosen(session, set_name):
        sets.reverse(session, roots, dry_run=dry_run, yes=yes, running_databases=running_databases, how="redoes")
        return
    reverse(session, operations.redo, dry_run=dry_run, yes=yes, running_databases=running_databases)
