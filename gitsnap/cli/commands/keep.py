"""`keep`: an upgrade that waits is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.UPGRADE, order=15, recorded=True)
def keep(
    context: typer.Context,
    upgrade: Annotated[
        str | None, typer.Argument(metavar="[UPGRADE]", help="Which one is meant. Default: the one that waits.")
    ] = None,
) -> None:
    """Keep the upgrade that waits (`run --confirm`, `run --soak`)."""
    from gitsnap.ops.upgrade.keep import keep as operation

    session: Session = context.obj
    with session.open(changing=True) as (sidecar, settings):
        done = operation(sidecar, upgrade, settings, session.now)
        if done.process is None:
            session.remove_timer(sidecar)
    if session.options.json:
        session.out.document({"upgrade": done.upgrade, "outcome": "kept", "process": done.process})
        return
    session.out.line(f"kept: {done.upgrade}")
    session.out.remark(f"\nGo back:  {session.out.command(f'rollback {done.upgrade}@pre')}")
