"""`keep`: an upgrade that waits is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import sets
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import OfSet

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.UPGRADE, order=15, recorded=True, several=True)
def keep(
    context: typer.Context,
    upgrade: Annotated[
        str | None, typer.Argument(metavar="[UPGRADE]", help="Which one is meant. Default: the one that waits.")
    ] = None,
    set_name: OfSet = None,
) -> None:
    """Keep the upgrade that waits (`run --confirm`, `run --soak`)."""
    from gitsnap.ops.upgrade.keep import keep as operation

    session: Session = context.obj
    if roots := sets.chosen(session, set_name):
        session.turn_to(roots[0])
    of_all = sets.keep(session, upgrade)
    if of_all is not None:
        done, members = of_all
        back = sets.placed(members, f"rollback {done.upgrade}@pre")
    else:
        with session.open(changing=True) as (sidecar, settings):
            done = operation(sidecar, upgrade, settings, session.now)
            if done.process is None:
                session.remove_timer(sidecar)
        back = session.out.command(f"rollback {done.upgrade}@pre")
    if session.options.json:
        session.out.document({"upgrade": done.upgrade, "outcome": "kept", "process": done.process})
        return
    session.out.line(f"kept: {done.upgrade}")
    session.out.remark(f"\nGo back:  {back}")
