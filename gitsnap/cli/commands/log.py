"""`log`: one path's life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import NoPager, Path, ShowSecrets, Strict, WithTag, WithText

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=90)
def log(
    context: typer.Context,
    path: Path,
    patch: Annotated[bool, typer.Option("-p", "--patch", help="With what each changed, line by line.")] = False,
    tag: WithTag = None,
    grep: WithText = "",
    show_secrets: ShowSecrets = False,
    strict: Strict = False,
    no_pager: NoPager = False,
) -> None:
    """Show one path's life through the snapshots, newest first."""
    from gitsnap.cli.pager import paged
    from gitsnap.cli.render import find, json_find
    from gitsnap.ops.query import log as lives
    from gitsnap.ops.query.listing import Filter

    session: Session = context.obj
    with session.open() as (sidecar, _):
        raw = session.inside(path, sidecar.installation)
        found = lives.log(sidecar, raw, Filter(tags=tuple(tag or ()), text=grep))
        if session.options.json:
            session.out.document(json_find.lives(raw, found))
            return
        with paged(session, wanted=not no_pager):
            find.lives(session.out, found, sidecar if patch else None)
