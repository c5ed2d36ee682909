"""`import`: existing copies become snapshots."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Takes
from gitsnap.cli.render import terminal
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.ops.capture.import_copies import Imported


@command(group=Group.KEEP, order=30, recorded=True)
def import_(
    context: typer.Context,
    copies: Annotated[
        list[str], typer.Argument(metavar="DIR...", help="Directories, tar or zip files."), Takes("FILE")
    ],
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="When it was made: 2025-01-03T04:15")] = None,
    label: Annotated[str, typer.Option("--label", metavar="L", help="The end of its id. Default: imported.")] = "",
    layout: Annotated[
        str | None,
        typer.Option("--layout", metavar="LAYOUT", help="tree or claudio. Default: find out."),
        Takes("tree", "claudio"),
    ] = None,
    pristine: Annotated[
        bool, typer.Option("--pristine", help="This is a version as its maker shipped it; --label names the version.")
    ] = False,
) -> None:
    """Turn existing copies of the directory into snapshots."""
    from gitsnap.cli.render import formatting, json
    from gitsnap.ops.capture import import_copies, import_sources
    from gitsnap.ops.store import retention
    from gitsnap.sidecar import catalog

    session: Session = context.obj
    if layout is not None and layout not in import_copies.LAYOUTS:
        raise UsageError(f"--layout: '{layout}' is none of {', '.join(import_copies.LAYOUTS)}")
    if pristine and not label:
        raise UsageError("--pristine needs --label, the version that this is")
    # A version as its maker shipped it is one copy, whatever lies in it.
    named = import_sources.sources(copies, session.root_to_snapshot(), "tree" if pristine else layout)
    found = named.copies
    if at is not None and len(found) > 1:
        raise UsageError("--at goes with one copy only")
    wanted = import_copies.ImportRequest(_moment(at), label, layout, pristine)
    place, created = session.place_to_snapshot()
    if created:
        session.tell_of_sidecar(place)
    done = []
    with session.using(place) as sidecar:
        settings = session.settings(place)
        for source in found:
            done.append(import_copies.take_in(sidecar, source, wanted, settings, observer=session.out.progress()))
            # The others are imported whether anybody hears of this one or not.
            terminal.work_is_done()
            if not session.options.json:
                _tell(session, done[-1])
        taken = {i.snapshot.id for i in done}
        leaving = retention.foresee(sidecar, catalog.snapshots(sidecar), settings, now=session.now)
        short_lived = [d.snapshot.id for d in leaving.gone if d.snapshot.id in taken]
    if session.options.json:
        beside = [json.place(p, "path") for p in named.beside]
        session.out.document({"imported": [_document(i) for i in done], "not_imported": beside})
    elif short_lived:
        which = "it" if len(done) == 1 else f"{len(short_lived):,} of them"
        session.out.remark(f"retention will remove {which} at the next snapshot; to keep what matters:")
        session.out.remark(f"  {session.out.command('pin ' + ' '.join(short_lived))}")
    for path in named.beside if not session.options.json else ():
        session.out.remark(f"not imported, as it is no copy: {formatting.name(path)}")
    if any(i.partial or i.foreign or i.unsigned for i in done) or any(map(os.path.isdir, named.beside)):
        raise typer.Exit(3)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise UsageError(
            f"--at: '{text}' is not a time", hint="for example: 2025-01-03, 2025-01-03T04:15:00Z"
        ) from None


def _tell(session: Session, result: Imported) -> None:
    from gitsnap.cli.render import formatting, text

    s = result.snapshot
    session.out.line(s.id)
    if result.known:
        session.out.remark(f"{formatting.name(result.source)} was imported before")
        return
    session.out.remark(
        f"{formatting.name(result.source)}: {formatting.many(s.files, 'file')}, {formatting.size(s.bytes)},"
        f" of {formatting.when(s.created)}, in {formatting.duration(result.duration)}"
    )
    for path in result.sockets:
        session.out.remark(f"skipped the socket {formatting.name(path)}")
    for line in text.untold(result.unrecorded, result.unlisted):
        session.out.remark(line)
    for path in result.foreign:
        session.out.warn(f"not imported, as it is no part of the old layout: {formatting.name(path)}")
    text.incomplete(session.out, result.partial, "could not be read")


def _document(result: Imported) -> dict[str, object]:
    from gitsnap.cli.render import json

    return {
        **json.place(result.source, "source"),
        "snapshot": json.snapshot(result.snapshot),
        "known": result.known,
        "partial": json.problems(result.partial),
        "skipped": json.paths(result.sockets),
        "unrecorded": result.unrecorded,
        "unlisted": json.paths(result.unlisted),
        "unsigned": result.unsigned or None,
        "not_imported": json.paths(result.foreign),
        "duration": round(result.duration, 3),
    }
