"""`metrics`: figures for monitoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import output_file
from gitsnap.cli.app import Group, command

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.CHECK, order=30)
def metrics(
    context: typer.Context,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Replace this file at once. Default: stdout."),
    ] = None,
) -> None:
    """Write figures for monitoring, as Prometheus has them."""
    from gitsnap.cli.render import prometheus
    from gitsnap.ops.query.metrics import measure

    session: Session = context.obj
    # What is damaged, and what is pending, is what the figures tell.
    with session.open(tells_damage=True, tells_pending=True) as (sidecar, settings):
        found = measure(sidecar, settings, session.now)
        labels = {"installation": sidecar.installation, "store": sidecar.path}
    if session.options.json:
        rows = [{"name": s.name, "labels": dict(s.labels), "value": s.value} for s in found]
        session.out.document({"metrics": rows})
        return
    text = prometheus.text(found, labels).encode()
    if output is None or output == "-":
        session.out.raw([text])
    else:
        output_file.replace_public(output, text)
