"""`browse`: the browser for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import ShowSecrets, Strict
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=110)
def browse(context: typer.Context, show_secrets: ShowSecrets = False, strict: Strict = False) -> None:
    """Look around in a terminal browser, and bring things back."""
    session: Session = context.obj
    if session.options.json:
        raise UsageError("browse is for people and knows no --json", hint="gitsnap list --json")
    place = session.place()
    if not session.out.full_screen:
        raise UsageError("browse needs a terminal", hint="`gitsnap list`, `ls` and `diff` print the same")
    from gitsnap.cli.browse.start import run

    run(session, place)
