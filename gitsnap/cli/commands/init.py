"""`init`: a directory is protected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.KEEP, order=20, recorded=True)
def init(context: typer.Context, directory: Annotated[str | None, typer.Argument(metavar="[DIR]")] = None) -> None:
    """Protect a directory: create its sidecar, where snapshots go. Says where, and what a first snapshot will hold."""
    from gitsnap.cli.render import json_store, text
    from gitsnap.ops.capture import estimate
    from gitsnap.ops.live import exclusions

    session: Session = context.obj
    place, created = session.protect(directory, anew=True)
    result = estimate.survey(place, created, session.settings(place))
    if session.options.json:
        session.out.document(json_store.initialised(result))
    else:
        text.initialised(session.out, result)
        text.unread_rules(session.out, exclusions.unused(place.root))
