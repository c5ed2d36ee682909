"""Stock git, at home in the sidecar."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import app
from gitsnap.core.errors import GitsnapError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@app.command(
    "git",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    add_help_option=False,
)
def git(
    context: typer.Context, arguments: Annotated[list[str] | None, typer.Argument(metavar="ARGS...")] = None
) -> None:
    """Run stock git on the sidecar: gitsnap git log --stat timeline."""
    from gitsnap.cli import words
    from gitsnap.sidecar import stockgit

    session: Session = context.obj
    with session.open() as (sidecar, _):
        store, installation = sidecar.path, sidecar.installation
    if arguments == ["--env"]:
        session.out.raw([os.fsencode(stockgit.script(session.environ, store))])
        session.out.remark(
            f"git means the snapshots of {words.name(installation)} in this shell; leave_gitsnap ends that"
        )
        return
    try:
        os.execvpe("git", stockgit.command(arguments or []), stockgit.at_home(session.environ, store))
    except FileNotFoundError:
        raise GitsnapError("git is not installed", hint="install git 2.30 or newer") from None
