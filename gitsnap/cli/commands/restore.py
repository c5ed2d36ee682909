"""`restore`: paths, or a copy elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import did_you_mean
from gitsnap.cli.app import Group, command
from gitsnap.cli.bring_back import bring_back, report
from gitsnap.cli.parameters import OnlyComponent, PrintPlan, RunningDatabases, Selector, Yes
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.BRING_BACK, order=20, recorded=True)
def restore(
    context: typer.Context,
    snapshot: Selector,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Relative to where you stand, or to DIR of -C.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="DIR", help="Into this empty or new directory.")] = None,
    dry_run: PrintPlan = False,
    yes: Yes = False,
    component: OnlyComponent = None,
    running_databases: RunningDatabases = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="With --to: everything that is whole of a damaged snapshot.")
    ] = False,
) -> None:
    """Bring single paths back, or a component, here or elsewhere."""
    from gitsnap.ops.restore.export import copy_out

    session: Session = context.obj
    if paths and not all(paths):
        # Most likely an unset variable; it must not stand for everything.
        raise UsageError("a PATH is empty", hint="`.` means the whole directory")
    if component is not None and (paths or to is not None):
        raise UsageError("--component goes with neither a PATH nor --to")
    if component is not None:
        bring_back(
            session, snapshot, [], dry_run=dry_run, yes=True, component=component, running_databases=running_databases
        )
        return
    if salvage and to is None:
        raise UsageError(
            "--salvage needs --to DIR: what is not whole must not take the place of anything",
            hint="look through DIR, and copy from there",
        )
    if to is None and not paths:
        raise UsageError(
            "restore needs a SNAPSHOT and then a PATH, or --to DIR",
            hint=did_you_mean.path_first("restore", snapshot, session.options.directory or "")
            or "gitsnap rollback brings the whole directory back",
        )
    if to is None:
        bring_back(session, snapshot, paths or [], dry_run=dry_run, yes=True, running_databases=running_databases)
        return
    if dry_run:
        raise UsageError("--dry-run does not go with --to")
    with session.open() as (sidecar, settings):
        raw = [session.inside(p, sidecar.installation) for p in paths or []]
        destination = os.path.abspath(to)
        result = copy_out(
            sidecar, snapshot, raw, destination, settings, salvaging=salvage, observer=session.out.progress()
        )
    report(session, result, paths or [], destination)
