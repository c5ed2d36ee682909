"""Stock git, at home in the sidecar."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Follows, Group, command

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=150, follows=Follows.FOREIGN)
def git(
    context: typer.Context, arguments: Annotated[list[str] | None, typer.Argument(metavar="ARGS...")] = None
) -> None:
    """Run stock git on the sidecar: gitsnap git log --stat timeline.

    This is your own git: it obeys the sidecar's config, and can start programs that this names. Of a sidecar from
    elsewhere, let `gitsnap doctor` name what gitsnap did not write there before.
    """
    from gitsnap.cli.render import formatting
    from gitsnap.sidecar.git import stock_git

    session: Session = context.obj
    with session.open() as (sidecar, _):
        store, installation = sidecar.path, sidecar.installation
    _warn_of_foreign(session, store)
    if arguments == ["--env"]:
        session.out.raw([os.fsencode(stock_git.script(session.environ, store))])
        session.out.remark(
            f"git means the snapshots of {formatting.name(installation)} in this shell; leave_gitsnap ends that"
        )
        return
    program = stock_git.require(session.environ.get("PATH"), installation)
    os.execve(program, stock_git.command(arguments or []), stock_git.at_home(session.environ, store))


def _warn_of_foreign(session: Session, store: str) -> None:
    from gitsnap.cli.render import formatting
    from gitsnap.sidecar.git import config

    found = config.foreign(store)
    if found:
        shown = ", ".join(map(formatting.name, found[:5])) + (", ..." if len(found) > 5 else "")
        session.out.remark(
            f"gitsnap did not write all of this sidecar's config, and git obeys it ({shown}): it may start programs"
        )
