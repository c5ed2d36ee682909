"""`recover`: an interrupted rollback, settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import sets
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import OfSet
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.core.settings import Settings
    from gitsnap.ops.upgrade.result import Upgraded
    from gitsnap.sidecar.repository import Sidecar


@command(group=Group.BRING_BACK, order=40, recorded=True, several=True)
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
    at_boot: Annotated[
        bool,
        typer.Option("--at-boot", help="Before the service starts: wait for no upgrade, and start nothing."),
    ] = False,
    set_name: OfSet = None,
) -> None:
    """Settle an interrupted rollback, or an upgrade that waits.

    Without an option, the way it was going. An upgrade without --soak and --confirm that was killed waits for nothing:
    `gitsnap rollback` brings its directory back, `gitsnap snapshot` keeps what is there.
    """
    from gitsnap.cli.interrupts import Signals
    from gitsnap.cli.render import json_restore, restore, upgrade
    from gitsnap.ops.live import in_progress
    from gitsnap.ops.restore.at_boot import recover_at_boot
    from gitsnap.ops.restore.recover import recover as recover_now
    from gitsnap.ops.restore.result import Direction
    from gitsnap.ops.restore.rollback import RollbackOptions

    session: Session = context.obj
    if finish + revert + give_up > 1:
        raise UsageError("--finish, --revert and --give-up do not go with each other")
    direction = Direction.FINISH if finish else Direction.REVERT if revert else None
    direction = Direction.GIVE_UP if give_up else direction
    if roots := sets.chosen(session, set_name):
        session.turn_to(roots[0])
    options = RollbackOptions(session.now, observer=session.out.progress(), interrupts=Signals())
    if sets.recover(session, direction, options, at_boot=at_boot):
        return
    with session.open(changing=True, gone=True) as (sidecar, settings):
        operation = recover_at_boot if at_boot else recover_now
        result = operation(sidecar, direction, settings, options)
        if result.direction is Direction.FINISH and result.verified:
            # An upgrade whose rollback this was has been rolled back.
            in_progress.settle(sidecar)
        if direction is not None:
            # Somebody has decided otherwise, by hand.
            in_progress.wait_no_more(sidecar)
        settled = result.direction is not None or bool(result.cleared)
        if settled and not session.options.json:
            restore.recovered(session.out, result)
        # A rollback that had moved nothing yet was taken back; that of an upgrade is still to be done.
        goes_on = direction is None and result.direction is not Direction.FINISH and not at_boot
        upgraded = _go_on(session, sidecar, settings) if goes_on else None
        if (upgraded is not None and not upgraded.left) or not sidecar.upgrading:
            session.remove_timer(sidecar)
        well = _leave_it_to_init(sidecar) if at_boot else _bring_up(session, sidecar, settings)
        cut_short = in_progress.cut_short(sidecar)
    if session.options.json:
        session.out.document(json_restore.recovered(result) | {"upgrade": upgraded.document() if upgraded else None})
    elif upgraded is not None:
        upgrade.upgraded(session.out, upgraded)
    elif not settled:
        restore.recovered(session.out, result, cut_short)
    if upgraded is not None:
        _end(session, upgraded)
    if result.direction is Direction.GIVE_UP:
        return
    if not result.verified and result.unverified is None:
        raise typer.Exit(1)
    if result.incomplete or result.unverified or not well:
        raise typer.Exit(3)


def _go_on(session: Session, sidecar: Sidecar, settings: Settings) -> Upgraded | None:
    """Go on with an upgrade that waits and that nobody sees to; None where there is none."""
    if not sidecar.upgrading:
        return None
    from gitsnap.cli.render.upgrade import Narrator
    from gitsnap.ops.live import in_progress
    from gitsnap.ops.process.processes import SignalWaiter
    from gitsnap.ops.upgrade.resume import Resumption, resume

    how = Resumption(
        session.environ,
        lambda: session.now,
        Narrator(session.out, sidecar.installation).tell,
        session.out.progress(),
        session.out.countdown(sidecar.installation),
    )
    try:
        with SignalWaiter() as signals:
            return resume(sidecar, settings, signals, how)
    except in_progress.WatchedError as error:
        session.out.remark(error.message)
        return None


def _bring_up(session: Session, sidecar: Sidecar, settings: Settings) -> bool:
    """Start the service that somebody who was killed has stopped; whether it runs, as far as is known."""
    if not sidecar.service_marked:
        return True
    from gitsnap.ops.live import in_progress, service

    if not service.left_stopped(sidecar) or sidecar.pending is not None:
        return True
    left = in_progress.look(sidecar)
    if in_progress.living(sidecar) is not None or (left is not None and left.running is not None):
        # It is not over yet.
        return True
    around = service.known(sidecar, settings.service, dict(session.environ))
    if around is None:
        session.out.warn("WARNING: the service was stopped for what was interrupted; start it")
        return False
    done = service.start(sidecar, around)
    if done.ok:
        session.out.remark("started the service that was stopped for what was interrupted")
    else:
        session.out.warn(f"WARNING: {session.out.told(done.told)}")
    return done.ok


def _leave_it_to_init(sidecar: Sidecar) -> bool:
    """What was stopped before this boot is started by what starts everything: it waits until this is over."""
    from gitsnap.ops.live import service

    if sidecar.service_marked and service.left_stopped(sidecar) and sidecar.pending is None:
        service.forget(sidecar)
    return True


def _end(session: Session, result: Upgraded) -> None:
    """Leave, with the exit code that says how it ended. What was decided was carried out: that is no failure."""
    from gitsnap.core.upgrade import Outcome
    from gitsnap.ops.upgrade.result import failed, left

    if result.left:
        go_on, keep = session.out.command("recover"), session.out.command("keep")
        raise left(result, f"{go_on} goes on with it, {keep} keeps it")
    if result.outcome is Outcome.ROLLBACK_FAILED:
        again = session.out.command("recover" if result.half_way else f"rollback {result.pre.id}")
        raise failed(result, f"what was there is kept; try again: {again}")
    if result.restored is not None and result.restored.incomplete:
        raise typer.Exit(3)
