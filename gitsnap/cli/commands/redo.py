"""`redo`: the last undo, taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import PrintPlan, RunningDatabases, Yes

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.BRING_BACK, order=31, recorded=True)
def redo(
    context: typer.Context,
    dry_run: PrintPlan = False,
    yes: Yes = False,
    running_databases: RunningDatabases = None,
) -> None:
    """Take the last undo back; again, the one before it."""
    from gitsnap.cli.bring_back import reverse
    from gitsnap.ops.restore import undo as operations

    session: Session = context.obj
    reverse(session, operations.redo, dry_run=dry_run, yes=yes, running_databases=running_databases)
