"""`rollback`: the whole directory as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import sets
from gitsnap.cli.app import Group, command
from gitsnap.cli.bring_back import bring_back
from gitsnap.cli.parameters import FORMS, OfSet, OnlyComponent, PrintPlan, RunningDatabases, Yes
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.BRING_BACK, order=10, recorded=True, several=True)
def rollback(
    context: typer.Context,
    snapshot: Annotated[
        str | None,
        typer.Argument(metavar="[SNAPSHOT]", help=f"Default: before the last upgrade, else the latest. {FORMS}"),
    ] = None,
    dry_run: PrintPlan = False,
    yes: Yes = False,
    component: OnlyComponent = None,
    keep_edits: Annotated[
        bool, typer.Option("--keep-edits", help="Undo an upgrade, and keep what was changed since.")
    ] = False,
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="DIGEST", help="Carry out the plan that -n --json told, and no other."),
    ] = None,
    running_databases: RunningDatabases = None,
    set_name: OfSet = None,
    force: Annotated[bool, typer.Option("--force", hidden=True)] = False,
) -> None:
    """Bring the whole directory back to a snapshot, exactly. A safety snapshot is taken first."""
    # As the old coordinator called it.
    yes = yes or force
    if plan is not None and (keep_edits or set_name is not None or len(context.obj.options.directories) > 1):
        raise UsageError("--plan is about one directory, and does not go with --keep-edits")
    if roots := sets.chosen(context.obj, set_name):
        if component is not None or keep_edits:
            raise UsageError("--component and --keep-edits are about one directory")
        sets.go_back(context.obj, roots, snapshot, dry_run=dry_run, yes=yes, running_databases=running_databases)
        return
    if keep_edits:
        if component is not None:
            raise UsageError("--keep-edits does not go with --component")
        _keep_edits(context.obj, snapshot, dry_run=dry_run, yes=yes)
        return
    bring_back(
        context.obj,
        snapshot,
        [],
        dry_run=dry_run,
        yes=yes,
        component=component,
        running_databases=running_databases,
        plan=plan,
    )


def _keep_edits(session: Session, selector: str | None, *, dry_run: bool, yes: bool) -> None:
    from gitsnap.cli import merge
    from gitsnap.ops.restore.merge import keep_edits

    with session.open() as (sidecar, settings):
        done = keep_edits(sidecar, selector, settings, merge.options(session, dry_run=dry_run, yes=yes))
    merge.report(session, done, dry_run=dry_run)
