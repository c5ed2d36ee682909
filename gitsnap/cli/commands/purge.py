"""`purge`: a path goes out of every snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import OnlySay, PathsAfterDashes, Yes

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.ops.store.purge import Purged


@command(group=Group.TIDY_UP, order=45, recorded=True)
def purge(
    context: typer.Context,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH...", help="Relative to where you stand, or to DIR of -C.")
    ] = None,
    after_dashes: PathsAfterDashes = None,
    dry_run: OnlySay = False,
    yes: Yes = False,
) -> None:
    """Take a path out of every snapshot, for good: a key that leaked."""
    from gitsnap.cli.render import json_store, removal
    from gitsnap.core.errors import UsageError
    from gitsnap.ops.store import purge as operation

    session: Session = context.obj
    named = [*(paths or ()), *(after_dashes or ())]
    if not named:
        raise UsageError("purge needs a PATH", hint="gitsnap purge config/key.pem")
    if not (yes or dry_run or session.out.interactive):
        raise UsageError(
            "a purge asks first, and there is no terminal to ask on", hint="add --yes, or --dry-run to see what goes"
        )

    def confirm(found: Purged) -> bool:
        if yes:
            return True
        removal.purged(session.out, found)
        agreed = session.out.ask("Take it out of them for good?")
        session.act.noted.declined = not agreed
        return agreed

    with session.open(changing=True) as (sidecar, settings):
        inside = [session.inside(p, sidecar.installation) for p in named]
        result = operation.run(sidecar, inside, settings, now=session.now, dry_run=dry_run, confirm=confirm)
    if not dry_run and not result.applied:
        session.out.warn("Nothing was touched.")
        raise typer.Exit(1)
    if session.options.json:
        session.out.document(json_store.purged(result))
    else:
        removal.purged(session.out, result, asking=False)
    if result.elsewhere:
        raise typer.Exit(3)
