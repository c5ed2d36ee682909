"""`snapshot`: one is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import copies
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import RunningDatabases, Takes
from gitsnap.cli.render import terminal

if TYPE_CHECKING:
    from gitsnap.cli.session import Session

# So many files may have come and gone where the summary goes to no terminal and to no document.
_COUNTED_UNWATCHED = 200


@command(group=Group.KEEP, order=10, recorded=True)
def snapshot(
    context: typer.Context,
    message: Annotated[str, typer.Option("-m", "--message", metavar="TEXT", help="What this is about.")] = "",
    label: Annotated[str, typer.Option("--label", metavar="L", help="The end of its id. Default: manual.")] = "",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="T", help="A tag; may be repeated."), Takes("TAG")
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Keep it until it is unpinned.")] = False,
    skip_unchanged: Annotated[
        bool, typer.Option("--skip-unchanged", help="Take none when nothing has changed.")
    ] = False,
    running_databases: RunningDatabases = None,
) -> None:
    """Take a snapshot of the whole directory. Prints its id."""
    from gitsnap.cli.render import json, json_remote, text
    from gitsnap.ops.capture.request import Request
    from gitsnap.ops.capture.snapshot import take
    from gitsnap.ops.live import exclusions

    session: Session = context.obj
    request = Request(
        message=message,
        label=label,
        tags=tuple(tag or ()),
        pin=pin,
        skip_unchanged=skip_unchanged,
        # What nobody reads is not worth comparing hundreds of files with one another.
        count_up_to=None if session.options.json or session.out.watched else _COUNTED_UNWATCHED,
    )
    place, created = session.place_to_snapshot()
    if created:
        session.tell_of_sidecar(place)
    with session.using(place) as sidecar:
        settings = session.settings(place, running_databases)
        session.hide_secrets(sidecar, settings)
        result = take(sidecar, request, settings, now=session.now, observer=session.out.progress())
        terminal.work_is_done()
        session.warn_of_damage(sidecar)
        # What it has settled is over.
        session.mention_cut_short(sidecar)
        if not session.options.json:
            text.taken(session.out, result)
            text.unread_rules(session.out, exclusions.unused(place.root))
        gone = copies.send(session, sidecar, settings)
    if session.options.json:
        session.out.document(json.taken(result) | {"copies": json_remote.copied(gone)})
    torn = result.running and not (settings.databases or (settings.hooks and settings.hooks.before))
    if torn or result.partial or result.unsigned or not all(done.ok for done in result.hooks):
        raise typer.Exit(3)
