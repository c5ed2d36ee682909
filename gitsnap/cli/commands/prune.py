"""`prune`: retention, now."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import OnlySay

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.core.retention import HeldBack


@command(group=Group.TIDY_UP, order=10, recorded=True)
def prune(
    context: typer.Context,
    keep_last: Annotated[int | None, typer.Option("--keep-last", metavar="N", help="The last N.")] = None,
    keep_within: Annotated[
        str | None, typer.Option("--keep-within", metavar="TIME", help="Younger than 30d, 2w, 12h ...")
    ] = None,
    keep_hourly: Annotated[
        int, typer.Option("--keep-hourly", metavar="N", help="The last of each of N hours.", show_default=False)
    ] = 0,
    keep_daily: Annotated[
        int, typer.Option("--keep-daily", metavar="N", help="The last of each of N days.", show_default=False)
    ] = 0,
    keep_weekly: Annotated[
        int, typer.Option("--keep-weekly", metavar="N", help="The last of each of N weeks.", show_default=False)
    ] = 0,
    keep_monthly: Annotated[
        int, typer.Option("--keep-monthly", metavar="N", help="The last of each of N months.", show_default=False)
    ] = 0,
    keep_yearly: Annotated[
        int, typer.Option("--keep-yearly", metavar="N", help="The last of each of N years.", show_default=False)
    ] = 0,
    dry_run: OnlySay = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Even if the rules have changed or gone.")] = False,
) -> None:
    """Remove snapshots that no rule keeps. Without rules, those of the configuration."""
    from gitsnap.cli.render import json_store, removal, text
    from gitsnap.core.retention import Policy, parse_duration
    from gitsnap.ops.store import limits, retention

    session: Session = context.obj
    within: timedelta | None = parse_duration(keep_within) if keep_within else None
    counts = (keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly)
    given = keep_last is not None or within is not None or any(counts)
    with session.open(changing=not dry_run) as (sidecar, settings):
        policy = Policy(keep_last, within, *counts) if given else None

        def agreed(held: HeldBack) -> bool:
            if not yes and session.out.interactive:
                session.out.warn(retention.told(held))
                return session.out.ask("Remove them?")
            return yes

        found = retention.prune(sidecar, policy, settings, now=session.now, dry_run=dry_run, agreed=agreed)
        kept = None
        if dry_run and settings.limits:
            found, kept = limits.foreseen(sidecar, settings, found, now=session.now)
        elif settings.limits:
            kept = limits.keep(sidecar, settings, now=session.now, agreed=yes)
            found = limits.applied(found, kept)
    if session.options.json:
        session.out.document(json_store.decisions(found, kept, dry_run=dry_run))
    else:
        removal.decisions(session.out, found, dry_run=dry_run)
        text.limits(session.out, [kept] if kept else [], dry_run=dry_run)
