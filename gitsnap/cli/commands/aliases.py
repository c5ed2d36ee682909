"""The old coordinator's names for four commands, with the options that they had."""

from __future__ import annotations

from typing import Annotated

import typer

from gitsnap.cli.app import Selector, command
from gitsnap.cli.commands import snapshot as change
from gitsnap.cli.commands import status as look
from gitsnap.core.errors import UsageError

Force = Annotated[bool, typer.Option("--force", "-f", help="Nothing here asks: it changes nothing.")]


@command("create-backup", hidden=True)
def create_backup(
    context: typer.Context, type_: Annotated[str, typer.Argument(metavar="[TYPE]")] = "", force: Force = False
) -> None:
    """Take a snapshot (the old coordinator's name for it; TYPE becomes the label)."""
    from gitsnap.ops.capture.request import Request

    change.take_snapshot(context.obj, Request(label=type_))


@command("validate-backup", hidden=True)
def validate_backup(context: typer.Context, snapshot: Selector, force: Force = False) -> None:
    """Verify a snapshot (the old coordinator's name for it)."""
    look.verify(context, [snapshot], all_=False, live=False)


@command("list-backups", hidden=True)
def list_backups(context: typer.Context) -> None:
    """List the snapshots (the old coordinator's name for it)."""
    look.list_(context)


@command("cleanup", hidden=True)
def cleanup(
    context: typer.Context,
    keep: Annotated[int | None, typer.Option("--keep", "--keep-last", metavar="N", help="The last N.")] = None,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Only say what would go.")] = False,
    force: Force = False,
) -> None:
    """Prune by the configured rules (the old coordinator's name for it)."""
    if keep is not None and keep < 1:
        raise UsageError(f"--keep {keep}: at least one has to stay")
    change.prune(context, keep_last=keep, keep_within=None, dry_run=dry_run)
