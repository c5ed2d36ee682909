"""The old coordinator's names for four commands."""

from __future__ import annotations

from typing import Annotated

import typer

from gitsnap.cli import change, look
from gitsnap.cli.app import Selector, command


@command("create-backup", hidden=True)
def create_backup(context: typer.Context, type_: Annotated[str, typer.Argument(metavar="[TYPE]")] = "") -> None:
    """Take a snapshot (the old coordinator's name for it; TYPE becomes the label)."""
    from gitsnap.ops.request import Request

    change.take_snapshot(context.obj, Request(label=type_))


@command("validate-backup", hidden=True)
def validate_backup(context: typer.Context, snapshot: Selector) -> None:
    """Verify a snapshot (the old coordinator's name for it)."""
    look.verify(context, [snapshot], all_=False, live=False)


@command("list-backups", hidden=True)
def list_backups(context: typer.Context) -> None:
    """List the snapshots (the old coordinator's name for it)."""
    look.list_(context)


@command("cleanup", hidden=True)
def cleanup(context: typer.Context) -> None:
    """Prune by the configured rules (the old coordinator's name for it)."""
    change.prune(context)
