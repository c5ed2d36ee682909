"""`pin`: a snapshot stays, whatever retention says."""

from __future__ import annotations

import typer

from gitsnap.cli import pins
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Selector


@command(group=Group.TIDY_UP, order=30, recorded=True)
def pin(context: typer.Context, snapshot: Selector) -> None:
    """Keep a snapshot whatever retention says."""
    from gitsnap.ops.store import retention

    pins.change(context.obj, retention.pin, snapshot, "pinned")
