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
    """Reverse the last rollback or restore. Can itself be undone."""
    from gitsnap.cli.bring_back import confirmation, report
    from gitsnap.cli.interrupts import Signals
    from gitsnap.cli.session import with_running
    from gitsnap.ops.live import in_progress
    from gitsnap.ops.restore.rollback import RollbackOptions
    from gitsnap.ops.restore.undo import undo as operation

    session: Session = context.obj
    asks = not yes and not dry_run and session.out.interactive
    with session.open(changing=True, gone=True) as (sidecar, settings):
        result = operation(
            sidecar,
            with_running(settings, running_databases),
            RollbackOptions(
                session.now,
                dry_run=dry_run,
                confirm=confirmation(session, sidecar.installation) if asks else None,
                observer=session.out.progress(),
                interrupts=Signals(),
            ),
        )
        if result.applied and result.verified:
            in_progress.settle(sidecar)
    report(session, result, dry_run=dry_run)
