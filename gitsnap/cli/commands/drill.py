"""`drill`: whether a snapshot can be brought back, by doing it elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import FORMS
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.CHECK, order=15, recorded=True)
def drill(
    context: typer.Context,
    snapshot: Annotated[str, typer.Argument(metavar="[SNAPSHOT]", help=f"Default: latest. {FORMS}")] = "latest",
    to: Annotated[
        str | None, typer.Option("--to", metavar="DIR", help="In this directory. Default: beside the sidecar.")
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option("--check", metavar="CMD", help="A shell command that must succeed there; may be repeated."),
    ] = None,
    check_timeout: Annotated[
        str, typer.Option("--check-timeout", metavar="SECONDS", help="How long a check may take.")
    ] = "300",
) -> None:
    """Bring a snapshot into a scratch directory, compare, try it out."""
    from gitsnap.cli.process import callers_umask
    from gitsnap.cli.render import drill as render
    from gitsnap.config.environment import seconds
    from gitsnap.ops.check.drill import Trial
    from gitsnap.ops.check.drill import drill as operation

    session: Session = context.obj
    timeout = seconds(check_timeout, "--check-timeout")
    if not timeout:
        raise UsageError("--check-timeout must be more than 0")
    with session.open(tells_damage=True) as (sidecar, settings):
        parent = os.path.abspath(to) if to is not None else os.path.dirname(sidecar.path)
        trial = Trial(parent, tuple(check or ()), timeout, session.environ, callers_umask())
        done = operation(sidecar, snapshot, trial, settings, now=session.now, observer=session.out.progress())
    if session.options.json:
        session.out.document(render.document(done))
    else:
        render.drilled(session.out, done)
    if done.failure:
        raise typer.Exit(1)
    if done.incomplete:
        raise typer.Exit(3)
