"""`unpin`: retention may have a snapshot again."""

from __future__ import annotations

import typer

from gitsnap.cli import pins
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Selector


@command(group=Group.TIDY_UP, order=40, recorded=True)
def unpin(context: typer.Context, snapshot: Selector) -> None:
    """Let retention have a snapshot again."""
    from gitsnap.ops.store import retention

    pins.change(context.obj, retention.unpin, snapshot, "unpinned")
