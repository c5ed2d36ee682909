"""`clone`: everything on a new machine, and the directory with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import FromInstallation, Identity, OnlyTell, SignedBy, Takes
from gitsnap.cli.receiving import asked, destination, real_path, recorded, tell
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.COPY, order=40, recorded=True)
def clone(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="URL|BUNDLE|PATH", help="A mirror, a push, a bundle or a copy.")],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    snapshot: Annotated[
        str | None,
        typer.Option("--snapshot", metavar="S", help="What to bring back. Default: the newest."),
        Takes("SNAPSHOT"),
    ] = None,
    installation: FromInstallation = None,
    identity: Identity = None,
    allowed_signers: SignedBy = None,
    dry_run: OnlyTell = False,
) -> None:
    """Bring sidecar and directory back from a copy elsewhere. Everything is verified first."""
    from gitsnap.cli.interrupts import Signals
    from gitsnap.ops.remote import clone as operation
    from gitsnap.ops.remote.sources import open_source, pushable

    session: Session = context.obj
    if session.options.directory is not None:
        raise UsageError("clone names its directory as the second word, not by -C")
    root = real_path(directory, session.cwd, UsageError("the directory's name is empty"))
    place, default = destination(session, root)
    wanted = asked(session, installation, allowed_signers)
    with open_source(source, session.cwd, identity, asks=session.out.interactive, observer=wanted.observer) as found:
        if dry_run:
            tell(session, operation.foresee(found, place, wanted))
            return
        with recorded(session, place):
            result = operation.resume(found.name, place, wanted, snapshot, Signals())
            if result is None:
                result = operation.clone(found, place, default, wanted, snapshot)
    tell(session, result, pushable(found))
