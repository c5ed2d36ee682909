"""`verify`: every byte read again."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import FORMS
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.CHECK, order=10, recorded=True)
def verify(
    context: typer.Context,
    snapshots: Annotated[
        list[str] | None, typer.Argument(metavar="[SNAPSHOT]...", help=f"Default: latest. {FORMS}")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every snapshot.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Compare the directory with the snapshot instead.")] = False,
    signed: Annotated[bool, typer.Option("--signed", help="Each has to be signed by somebody who may.")] = False,
    allowed_signers: Annotated[
        str | None, typer.Option("--allowed-signers", metavar="FILE", help="Who may sign; with it, --signed is meant.")
    ] = None,
    beside: Annotated[bool, typer.Option("--beside", hidden=True, help="Beside an upgrade that tells of it.")] = False,
) -> None:
    """Read every byte of a snapshot again, compare with its manifest."""
    from gitsnap.cli.render import json_store, text
    from gitsnap.ops.check import verify as operation

    session: Session = context.obj
    if all_ and (snapshots or live):
        raise UsageError("--all goes with neither a snapshot nor --live")
    if live and (signed or allowed_signers):
        raise UsageError("--live looks at the directory, --signed at what is stored: one after the other")
    session.act.recorded = session.act.recorded and not beside
    wanted, progress = snapshots or ["latest"], session.out.progress()
    with session.open(tells_damage=True) as (sidecar, settings):
        if live:
            from gitsnap.ops.check.verify_live import verify_live

            verdicts = [verify_live(sidecar, s, settings, observer=progress) for s in wanted]
        else:
            verdicts = operation.verify(sidecar, wanted, settings, now=session.now, everything=all_, observer=progress)
            if allowed_signers is not None:
                path = os.path.join(session.cwd, allowed_signers)
                settings = replace(settings, signing=settings.signing._replace(allowed=path))
            if signed or allowed_signers is not None or (settings.signing.require and not beside):
                # It starts another program for each.
                from gitsnap.ops.check import signatures

                signatures.judge(sidecar, verdicts, settings)
    if session.options.json:
        session.out.document(json_store.verdicts(verdicts))
    else:
        text.verdicts(session.out, verdicts, live)
    if not all(v.ok for v in verdicts):
        raise typer.Exit(1 if live else 12)
    if any(v.unread for v in verdicts):
        raise typer.Exit(3)
