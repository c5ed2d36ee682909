"""`doctor`: what is wrong here, and what to do about it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.CHECK, order=12)
def doctor(
    context: typer.Context,
    before_upgrade: Annotated[
        bool,
        typer.Option("--before-upgrade", help="Ask whether an upgrade could start, and whether one could come back."),
    ] = False,
) -> None:
    """Check directory and sidecar; or whether an upgrade can start."""
    from gitsnap.cli.render import json_store, text
    from gitsnap.core.errors import GitsnapError, NoSidecarError, NotASidecarError, UsageError
    from gitsnap.ops.check.doctor import Check, examine
    from gitsnap.ops.remote import remotes

    session: Session = context.obj
    if before_upgrade:
        _before_upgrade(session)
        return
    place, settings, wrong = None, None, []
    try:
        place = session.place()
    except NotASidecarError as error:
        wrong.append(Check("sidecar", False, error.message, error.hint))
    except NoSidecarError:
        pass
    try:
        settings = session.settings(place)
    except UsageError as error:
        wrong.append(Check("configuration", False, error.message, error.hint))
    found = [*examine(place, settings, session.now), *wrong]
    homes = [session.home, os.path.dirname(place.store) if place else None]
    found += remotes.unfinished(filter(None, homes))
    if place is not None and settings is not None and settings.remotes:
        # What is wrong with the sidecar itself is told above.
        with suppress(GitsnapError, OSError), session.using(place) as sidecar:
            found += remotes.examine(sidecar, settings)
    if session.options.json:
        session.out.document(json_store.checks(found))
    else:
        text.checks(session.out, found)
    if any(c.ok is False for c in found):
        raise typer.Exit(1)


def _before_upgrade(session: Session) -> None:
    from gitsnap.cli.render import json_store, text
    from gitsnap.ops.check.preflight import foresee

    with session.open(tells_damage=True, tells_pending=True, gone=True) as (sidecar, settings):
        found = foresee(sidecar, settings, now=session.now, observer=session.out.progress())
    refused = sum(c.refuses for c in found)
    if session.options.json:
        session.out.document(json_store.checks(found) | {"ready": not refused})
    else:
        text.foreseen(session.out, found)
    if refused:
        raise typer.Exit(1)
