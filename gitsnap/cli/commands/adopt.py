"""`adopt`: what is elsewhere becomes the sidecar of a directory that is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import FromInstallation, Identity, OnlyTell, SignedBy, Takes
from gitsnap.cli.receiving import asked, destination, recorded, tell

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.COPY, order=60, recorded=True)
def adopt(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="PATH", help="A mirror, a push, a bundle, a copied sidecar; or a URL."),
        Takes("FILE"),
    ],
    installation: FromInstallation = None,
    identity: Identity = None,
    allowed_signers: SignedBy = None,
    dry_run: OnlyTell = False,
) -> None:
    """Make a sidecar of a copy elsewhere; the directory stays. So does the copy."""
    from gitsnap.ops.remote import adopt as operation
    from gitsnap.ops.remote.sources import open_source, pushable
    from gitsnap.ops.store import locate

    session: Session = context.obj
    root = locate.real_directory(session.options.directory or ".", session.cwd)
    place, default = destination(session, root)
    wanted = asked(session, installation, allowed_signers)
    with open_source(source, session.cwd, identity, asks=session.out.interactive, observer=wanted.observer) as found:
        if dry_run:
            tell(session, operation.foresee(found, place, wanted))
            return
        with recorded(session, place):
            result = operation.adopt(found, place, default, wanted)
    tell(session, result, pushable(found))
    if not session.options.json:
        session.out.line(f"what has changed since: {session.out.command('diff')}")
