"""`metrics`: figures for monitoring."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

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
        _replace(output, text)


def _replace(path: str, data: bytes) -> None:
    """Put `data` in the place of the file at once: whoever reads it sees the old one or the new one. OSError."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "wb") as file:
                file.write(data)
            return
    folder, name = os.path.split(os.path.realpath(path))
    # A collector of text files reads what ends in .prom.
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            # For the collector, which is another user.
            os.fchmod(fd, 0o644)
        os.replace(temporary, path if not os.path.islink(path) else os.path.realpath(path))
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
