"""`find`: a name or a content, in all snapshots."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=70)
def find(
    context: typer.Context,
    pattern: Annotated[str | None, typer.Argument(metavar="GLOB", help="'*.json', 'config/**', a SHA-256.")] = None,
    sha256: Annotated[str | None, typer.Option("--sha256", metavar="HEX", help="Files with this content.")] = None,
) -> None:
    """Find names, or a content by its SHA-256, in all snapshots."""
    from gitsnap.cli.render import find as traces
    from gitsnap.cli.render import json_find
    from gitsnap.ops.query import inspect

    session: Session = context.obj
    if (pattern is None) == (sha256 is None):
        raise UsageError("find takes a GLOB or --sha256", hint="gitsnap find --help")
    with session.open() as (sidecar, _):
        if sha256 is not None:
            found = inspect.find_content(sidecar, sha256)
        elif pattern and "/" in pattern:
            # A path, as one types it; a name may be anywhere.
            found = inspect.find(sidecar, os.fsdecode(session.inside(pattern, sidecar.installation)), whole=True)
        else:
            found = inspect.find(sidecar, pattern or "")
    if session.options.json:
        session.out.document(json_find.matches(found))
    else:
        traces.matches(session.out, found, "content" if sha256 else "name")
