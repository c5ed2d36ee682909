"""`blame`: where each line comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import FORMS, NoPager, Path, ShowSecrets, Strict

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=100)
def blame(
    context: typer.Context,
    path: Path,
    snapshot: Annotated[str, typer.Argument(metavar="[SNAPSHOT]", help=f"As this one has it. {FORMS}")] = "latest",
    show_secrets: ShowSecrets = False,
    strict: Strict = False,
    no_pager: NoPager = False,
) -> None:
    """Tell which snapshot last changed each line of a file."""
    from gitsnap.cli.pager import paged
    from gitsnap.cli.render import find, json_find
    from gitsnap.ops.query import blame as operation

    session: Session = context.obj
    with session.open() as (sidecar, _):
        raw = session.inside(path, sidecar.installation)
        of, found = operation.blame(sidecar, snapshot, raw, session.out.secrets.masker)
    if session.options.json:
        session.out.document(json_find.blamed(of, raw, found))
        return
    with paged(session, wanted=not no_pager):
        find.blamed(session.out, raw, found)
