"""Commands that look: nothing here changes the installation or a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Selector, command
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command("list")
def list_(context: typer.Context) -> None:
    """List the snapshots, oldest first."""
    from gitsnap.cli.render import json, text
    from gitsnap.ops.live import damage
    from gitsnap.sidecar import catalog

    session: Session = context.obj
    with session.open(tells_damage=True) as (sidecar, _):
        found, damaged = catalog.survey(sidecar)
        known = damage.known(sidecar, found)
    if session.options.json:
        session.out.document(json.listing(found, damaged, known))
    else:
        if found or not damaged:
            text.listing(session.out, found, known)
        for name, error in damaged:
            session.out.warn(f"damaged: {name}: {error.message}")
        if damaged and not found:
            raise catalog.all_lost(damaged)
    if damaged:
        raise typer.Exit(12)


@command()
def show(context: typer.Context, snapshot: Selector = "latest") -> None:
    """Show one snapshot, what it holds and left out; or one upgrade."""
    from gitsnap.cli.render import json, text
    from gitsnap.ops.query import inspect
    from gitsnap.ops.report.history import means_upgrade

    session: Session = context.obj
    with session.open() as (sidecar, settings):
        if snapshot != "latest" and means_upgrade(sidecar, snapshot):
            from gitsnap.cli.commands.run import show_upgrade

            return show_upgrade(session, sidecar, settings, snapshot)
        result = inspect.show(sidecar, snapshot, settings.components)
    if session.options.json:
        session.out.document(json.shown(result))
    else:
        text.shown(session.out, result)
    return None


@command()
def status(context: typer.Context) -> None:
    """Say how things stand, on one screen."""
    from gitsnap.cli.render import json, json_upgrade
    from gitsnap.cli.render import status as standing
    from gitsnap.core.retention import describe
    from gitsnap.ops.live import in_progress
    from gitsnap.ops.query.status import status as operation

    session: Session = context.obj
    # Where both go to one screen, to say it once is enough.
    with session.open(tells_pending=session.out.width is not None) as (sidecar, settings):
        result = operation(sidecar, settings, now=session.now, observer=session.out.progress())
        retention = describe(settings.retention)
        cut_short = in_progress.look(sidecar)
    if session.options.json:
        session.out.document(json.state(result, retention) | json_upgrade.pending(cut_short))
    else:
        standing.state(session.out, result, settings, session.now)
    if result.difference and result.difference.partial:
        raise typer.Exit(3)


@command()
def verify(
    context: typer.Context,
    snapshots: Annotated[list[str] | None, typer.Argument(metavar="[SNAPSHOT]...", help="Default: latest.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every snapshot.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Compare the directory with the snapshot instead.")] = False,
) -> None:
    """Read every byte of a snapshot again, compare with its manifest."""
    from gitsnap.cli.render import json, text
    from gitsnap.ops.check import verify as operation

    session: Session = context.obj
    if all_ and (snapshots or live):
        raise UsageError("--all goes with neither a snapshot nor --live")
    wanted, progress = snapshots or ["latest"], session.out.progress()
    with session.open(tells_damage=True) as (sidecar, settings):
        if live:
            verdicts = [operation.verify_live(sidecar, s, settings, observer=progress) for s in wanted]
        else:
            verdicts = operation.verify(sidecar, wanted, settings, now=session.now, everything=all_, observer=progress)
    if session.options.json:
        session.out.document(json.verdicts(verdicts))
    else:
        text.verdicts(session.out, verdicts, live)
    if not all(v.ok for v in verdicts):
        raise typer.Exit(1 if live else 12)
    if any(v.unread for v in verdicts):
        raise typer.Exit(3)


@command()
def ls(
    context: typer.Context,
    snapshot: Selector,
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="Relative to where you stand, or to DIR of -C.")] = "",
    recursive: Annotated[bool, typer.Option("-R", "--recursive", help="Everything below.")] = False,
) -> None:
    """List a directory as a snapshot holds it."""
    from gitsnap.cli.render import json, text
    from gitsnap.ops.query import inspect

    session: Session = context.obj
    with session.open() as (sidecar, _):
        of, found, images = inspect.ls(
            sidecar, snapshot, session.inside(path, sidecar.installation), recursive=recursive
        )
    if session.options.json:
        session.out.document(json.entries(of, found, images))
    else:
        text.entries(session.out, found, images)


@command()
def cat(context: typer.Context, snapshot: Selector, path: Annotated[str, typer.Argument(metavar="PATH")]) -> None:
    """Print a file's content as a snapshot holds it."""
    from gitsnap.ops.query import inspect

    session: Session = context.obj
    with session.open() as (sidecar, _):
        session.out.raw(inspect.cat(sidecar, snapshot, session.inside(path, sidecar.installation)))


@command()
@command()
def browse(context: typer.Context) -> None:
    """Look around in a terminal browser, and bring things back."""
    session: Session = context.obj
    if session.options.json:
        raise UsageError("browse is for people and knows no --json", hint="gitsnap list --json")
    place = session.place()
    if not session.out.full_screen:
        raise UsageError("browse needs a terminal", hint="`gitsnap list`, `ls` and `diff` print the same")
    from gitsnap.cli.browse.start import run

    run(session, place)


@command()
def doctor(context: typer.Context) -> None:
    """Check installation, sidecar, permissions and versions."""
    from gitsnap.cli.render import json, text
    from gitsnap.core.errors import NoSidecarError
    from gitsnap.ops.check.doctor import examine

    session: Session = context.obj
    try:
        place = session.place()
    except NoSidecarError:
        place = None
    found = examine(place)
    if session.options.json:
        session.out.document(json.checks(found))
    else:
        text.checks(session.out, found)
    if any(c.ok is False for c in found):
        raise typer.Exit(1)
