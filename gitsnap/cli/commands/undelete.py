"""`undelete`: deleted snapshots come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Takes

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.TIDY_UP, order=25)
def undelete(
    context: typer.Context, snapshots: Annotated[list[str], typer.Argument(metavar="SNAPSHOT..."), Takes("DELETED")]
) -> None:
    """Bring back deleted snapshots, until a gc."""
    from gitsnap.cli.render import json
    from gitsnap.ops.store import deleted, retention
    from gitsnap.sidecar import catalog

    session: Session = context.obj
    with session.open(changing=True) as (sidecar, settings):
        back = deleted.undelete(sidecar, snapshots, settings, now=session.now)
        leaving = retention.foresee(sidecar, catalog.snapshots(sidecar), settings, now=session.now)
    if session.options.json:
        session.out.document({"undeleted": [json.snapshot(s) for s in back]})
        return
    session.out.lines(f"{s.id} is back" for s in back)
    short_lived = [d.snapshot.id for d in leaving.gone if d.snapshot.id in {s.id for s in back}]
    if short_lived:
        pin = session.out.command(f"pin {short_lived[0]}")
        session.out.remark(f"retention removes {', '.join(short_lived)} with the next snapshot; to keep it: {pin}")
