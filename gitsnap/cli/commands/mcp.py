"""`mcp`: a server for agents."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.core.errors import GitsnapError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.UPGRADE, order=40)
def mcp(context: typer.Context, directory: Annotated[str | None, typer.Argument(metavar="[DIR]")] = None) -> None:
    """Serve agents, by the Model Context Protocol. They can take snapshots and go back, and delete nothing."""
    from gitsnap.ops.process import ourselves

    session: Session = context.obj
    try:
        from gitsnap.cli import agents
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("mcp", "anyio")):
            raise
        raise GitsnapError(
            "the Model Context Protocol's SDK is not installed", hint="pip install 'gitsnap[mcp]'", kind="no-mcp"
        ) from None
    if directory is not None:
        session.turn_to(os.path.join(session.cwd, directory))
    place = session.place()
    words = [*ourselves.command(), "-C", place.root, "--store", place.store]
    agents.server(agents.Directory(place.root, words, session.environ), place.root).run("stdio")
