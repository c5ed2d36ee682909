"""`gc`: the space of what no snapshot needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.TIDY_UP, order=50, recorded=True)
def gc(
    context: typer.Context,
    full: Annotated[
        bool, typer.Option("--full", help="Pack all that is left anew as well, as small as git can.")
    ] = False,
) -> None:
    """Give back the space of what no snapshot needs."""
    from gitsnap.cli.render import json_store, removal
    from gitsnap.ops.store import gc

    session: Session = context.obj
    with session.open(changing=True) as (sidecar, settings):
        result = gc.collect(sidecar, settings, now=session.now, full=full)
    if session.options.json:
        session.out.document(json_store.collected(result))
    else:
        removal.collected(session.out, result)
