"""`recover`: an interrupted rollback, settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.BRING_BACK, order=40, recorded=True)
def recover(
    context: typer.Context,
    finish: Annotated[bool, typer.Option("--finish", help="End with what the rollback was to bring back.")] = False,
    revert: Annotated[bool, typer.Option("--revert", help="End with what was there before it.")] = False,
    give_up: Annotated[
        bool,
        typer.Option(
            "--give-up", help="Leave the directory as it is, between two states perhaps, and keep what is staged."
        ),
    ] = False,
) -> None:
    """Settle a rollback that was interrupted. Without an option, the way it was going."""
    from gitsnap.cli.interrupts import Signals
    from gitsnap.cli.render import json_restore, restore
    from gitsnap.ops.live import in_progress
    from gitsnap.ops.restore.recover import recover as operation
    from gitsnap.ops.restore.result import Direction
    from gitsnap.ops.restore.rollback import RollbackOptions

    session: Session = context.obj
    if finish + revert + give_up > 1:
        raise UsageError("--finish, --revert and --give-up do not go with each other")
    direction = Direction.FINISH if finish else Direction.REVERT if revert else None
    direction = Direction.GIVE_UP if give_up else direction
    with session.open(changing=True, gone=True) as (sidecar, settings):
        result = operation(
            sidecar,
            direction,
            settings,
            RollbackOptions(session.now, observer=session.out.progress(), interrupts=Signals()),
        )
        if result.direction is Direction.FINISH and result.verified:
            # An upgrade whose rollback this was has been rolled back.
            in_progress.settle(sidecar)
    if session.options.json:
        session.out.document(json_restore.recovered(result))
    else:
        restore.recovered(session.out, result)
    if result.direction is Direction.GIVE_UP:
        return
    if not result.verified and result.unverified is None:
        raise typer.Exit(1)
    if result.incomplete or result.unverified:
        raise typer.Exit(3)
