"""`audit`: what gitsnap did and refused, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Takes, moment

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=125)
def audit(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="2025-01-03, 2025-01-03T04:15, or 30min, 12h, 7d ago.")
    ] = None,
    upgrade: Annotated[
        str | None, typer.Option("--upgrade", metavar="U", help="Only what is about this upgrade."), Takes("UPGRADE")
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on, and show lines as they are written.")] = False,
) -> None:
    """Show what was done and refused, when and by whom."""
    from gitsnap.cli.render import audit as render
    from gitsnap.ops.audit import trail
    from gitsnap.sidecar import integrity

    session: Session = context.obj
    start = moment(since, session.now) if since is not None else None
    with session.open() as (sidecar, _):
        found = trail.lines(sidecar, start, upgrade)
        if follow:
            last = max((line["sequence"] for line in trail.lines(sidecar)), default=0)
            shown = render.follower(session.out, json=session.options.json)
            for line in found:
                shown(line)
            about = _exact(found, upgrade)
            trail.follow(
                sidecar, last, lambda line: shown(line) if about is None or trail.is_about(line, about) else None
            )
        flaws = [flaw.problem for flaw in integrity.audit_log(sidecar)]
    if session.options.json:
        session.out.document({"audit": found, "problems": flaws})
    else:
        render.lines(session.out, found)
    if flaws:
        for flaw in flaws:
            session.out.warn(f"the log is not as gitsnap wrote it: {flaw}")
        raise typer.Exit(12)


def _exact(found: list[dict[str, object]], upgrade: str | None) -> str | None:
    """The upgrade's id, where one is asked for."""
    if upgrade is None:
        return None
    return next(str(line["upgrade"]) for line in found if line.get("upgrade"))
