"""Other names: `help` for `--help`, and the old coordinator's for four commands, with the options that they had."""

from __future__ import annotations

from typing import Annotated

import typer

from gitsnap.cli import did_you_mean
from gitsnap.cli.app import command, whole
from gitsnap.cli.commands.list import list_
from gitsnap.cli.commands.prune import prune
from gitsnap.cli.commands.snapshot import snapshot as take_snapshot
from gitsnap.cli.commands.verify import verify
from gitsnap.cli.parameters import OnlySay, Selector
from gitsnap.core.errors import UsageError

Force = Annotated[bool, typer.Option("--force", "-f", help="Nothing here asks: it changes nothing.")]


@command(group=None, name="help")
def help_(
    context: typer.Context, words: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]")] = None
) -> None:
    """Explain a command, or list them all (another way to say `--help`)."""
    top, application = context.find_root(), whole()
    if not words:
        print(application.get_help(top))
        return
    if words[0] not in application.commands and (answer := did_you_mean.what_does(words[0])):
        print(f"{words[0]}: {answer}")
        return
    name, asked_for, _ = application.resolve_command(top, [*words])
    with type(top)(asked_for, info_name=name, parent=top) as asked:
        print(asked_for.get_help(asked))


@command(group=None, name="create-backup", recorded=True)
def create_backup(
    context: typer.Context, type_: Annotated[str, typer.Argument(metavar="[TYPE]")] = "", force: Force = False
) -> None:
    """Take a snapshot (the old coordinator's name for it; TYPE becomes the label)."""
    take_snapshot(context, label=type_)


@command(group=None, name="validate-backup", recorded=True)
def validate_backup(context: typer.Context, snapshot: Selector, force: Force = False) -> None:
    """Verify a snapshot (the old coordinator's name for it)."""
    verify(context, [snapshot], all_=False, live=False)


@command(group=None, name="list-backups")
def list_backups(context: typer.Context) -> None:
    """List the snapshots (the old coordinator's name for it)."""
    list_(context)


@command(group=None, name="cleanup", recorded=True)
def cleanup(
    context: typer.Context,
    keep: Annotated[int | None, typer.Option("--keep", "--keep-last", metavar="N", help="The last N.")] = None,
    dry_run: OnlySay = False,
    force: Force = False,
) -> None:
    """Prune by the configured rules (the old coordinator's name for it)."""
    if keep is not None and keep < 1:
        raise UsageError(f"--keep {keep}: at least one has to stay")
    prune(context, keep_last=keep, keep_within=None, dry_run=dry_run)
