"""`list`: the snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import ShowSecrets

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=20)
def list_(
    context: typer.Context,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that undelete can bring back.")] = False,
    show_secrets: ShowSecrets = False,
) -> None:
    """List the snapshots, oldest first."""
    from gitsnap.cli.render import json_store, text
    from gitsnap.ops.live import damage
    from gitsnap.sidecar import catalog, signatures

    session: Session = context.obj
    with session.open(tells_damage=True) as (sidecar, _):
        if deleted:
            lying, lost = catalog.deleted(sidecar, catalog.snapshots(sidecar))
            if session.options.json:
                session.out.document(json_store.bin_listing(lying, lost.items()))
            else:
                text.bin_listing(session.out, lying)
                for name, error in lost.items():
                    session.out.warn(f"damaged: {name}: {error.message}")
            if lost:
                raise typer.Exit(12)
            return
        found, damaged = catalog.survey(sidecar)
        known, tagged = damage.known(sidecar, found), signatures.tagged(sidecar)
    if session.options.json:
        session.out.document(json_store.listing(found, damaged, known, tagged))
    else:
        if found or not damaged:
            text.listing(session.out, found, known, tagged)
        for name, error in damaged:
            session.out.warn(f"damaged: {name}: {error.message}")
        if damaged and not found:
            raise catalog.all_lost(damaged)
    if damaged:
        raise typer.Exit(12)
