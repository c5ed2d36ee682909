"""`undo`: the last rollback or restore, reversed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import PrintPlan, RunningDatabases, Yes

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.BRING_BACK, order=30, recorded=True)
def undo(
    context: typer.Context,
    dry_run: PrintPlan = False,
    yes: Yes = False,
    running_databases: RunningDatabases = None,
) -> None:
    """Reverse the last rollback or restore; again, the one before it."""
    from gitsnap.cli.bring_back import reverse
    from gitsnap.ops.restore import undo as operations

    session: Session = context.obj
    reverse(session, operations.undo, dry_run=dry_run, yes=yes, running_databases=running_databases)
