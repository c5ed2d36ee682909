"""`list`: the snapshots."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import ShowSecrets, Takes, WithTag, WithText, moment
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.ops.query.listing import Filter


@command(group=Group.LOOK, order=20)
def list_(
    context: typer.Context,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="manual, pre, post, safety or imported; may be repeated."),
        Takes("manual", "pre", "post", "safety", "imported"),
    ] = None,
    tag: WithTag = None,
    grep: WithText = "",
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="2025-01-03, 2025-01-03T04:15, or 30min, 12h, 7d ago.")
    ] = None,
    last: Annotated[int | None, typer.Option("--last", metavar="N", min=1, help="The newest N of them.")] = None,
    upgrade: Annotated[str | None, typer.Option("--upgrade", metavar="UPGRADE", help="Those of this upgrade.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that undelete can bring back.")] = False,
    show_secrets: ShowSecrets = False,
) -> None:
    """List the snapshots, oldest first."""
    from gitsnap.cli.render import json_store, snapshots
    from gitsnap.ops.live import damage
    from gitsnap.sidecar import catalog, signatures

    session: Session = context.obj
    wanted = None
    if kind or tag or grep or since or last or upgrade is not None:
        wanted = replace(
            _filter(session, kind or [], since), tags=tuple(tag or ()), text=grep, last=last, upgrade=upgrade
        )
    with session.open(tells_damage=True) as (sidecar, _):
        if deleted:
            lying, lost = catalog.deleted(sidecar, catalog.snapshots(sidecar))
            if wanted is not None:
                kept = {s.id for s in wanted.of([d.snapshot for d in lying])}
                lying = [d for d in lying if d.snapshot.id in kept]
            if session.options.json:
                session.out.document(json_store.bin_listing(lying, lost.items()))
            else:
                snapshots.bin_listing(session.out, lying)
                for name, error in lost.items():
                    session.out.warn(f"damaged: {name}: {error.message}")
            if lost:
                raise typer.Exit(12)
            return
        found, damaged = catalog.survey(sidecar)
        all_of_them = len(found)
        if wanted is not None:
            found = wanted.of(found)
        known, tagged = damage.known(sidecar, found), signatures.tagged(sidecar)
    if session.options.json:
        session.out.document(json_store.listing(found, damaged, known, tagged))
    else:
        if wanted is not None and all_of_them and not found:
            session.out.remark(f"none of {all_of_them:,} snapshots is so")
        elif found or not damaged:
            snapshots.listing(session.out, found, known, tagged, session.now)
        for name, error in damaged:
            session.out.warn(f"damaged: {name}: {error.message}")
        if damaged and not all_of_them:
            raise catalog.all_lost(damaged)
    if damaged:
        raise typer.Exit(12)


def _filter(session: Session, kinds: list[str], since: str | None) -> Filter:
    """Those of these kinds, and of that time. UsageError for a kind or a time that there is not."""
    from gitsnap.core.model import Kind
    from gitsnap.ops.query.listing import Filter

    wrong = next((k for k in kinds if k not in [*Kind]), None)
    if wrong is not None:
        raise UsageError(f"--kind: '{wrong}' is none", hint=f"the kinds are {', '.join(Kind)}")
    return Filter(tuple(map(Kind, kinds)), since=None if since is None else moment(since, session.now))
