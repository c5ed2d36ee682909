"""Commands that follow one thing through all snapshots: a name, a content, a text, a file, a line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import command
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session

Path = Annotated[str, typer.Argument(metavar="PATH", help="Relative to where you stand, or to DIR of -C.")]
NoPager = Annotated[bool, typer.Option("--no-pager", help="Straight to the terminal.")]


@command()
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


@command()
def log(
    context: typer.Context,
    path: Path,
    patch: Annotated[bool, typer.Option("-p", "--patch", help="With what each changed, line by line.")] = False,
    no_pager: NoPager = False,
) -> None:
    """Show one path's life through the snapshots, newest first."""
    from gitsnap.cli.pager import paged
    from gitsnap.cli.render import find, json_find
    from gitsnap.ops.query import log as lives

    session: Session = context.obj
    with session.open() as (sidecar, _):
        raw = session.inside(path, sidecar.installation)
        found = lives.log(sidecar, raw)
        if session.options.json:
            session.out.document(json_find.lives(raw, found))
            return
        with paged(session, wanted=not no_pager):
            find.lives(session.out, found, sidecar if patch else None)


@command()
def blame(
    context: typer.Context,
    path: Path,
    snapshot: Annotated[str, typer.Argument(metavar="[SNAPSHOT]", help="As this one has it.")] = "latest",
    no_pager: NoPager = False,
) -> None:
    """Tell which snapshot last changed each line of a file."""
    from gitsnap.cli.pager import paged
    from gitsnap.cli.render import find, json_find
    from gitsnap.ops.query import blame as operation

    session: Session = context.obj
    with session.open() as (sidecar, _):
        raw = session.inside(path, sidecar.installation)
        of, found = operation.blame(sidecar, snapshot, raw)
    if session.options.json:
        session.out.document(json_find.blamed(of, raw, found))
        return
    with paged(session, wanted=not no_pager):
        find.blamed(session.out, raw, found)


@command()
def search(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(metavar="TEXT [-- PATH...]", help="Taken literally.")] = None,
    regex: Annotated[bool, typer.Option("-E", "--regex", help="TEXT is a regular expression.")] = False,
    ignore_case: Annotated[bool, typer.Option("-i", "--ignore-case", help="Capitals or not.")] = False,
    given: Annotated[str | None, typer.Option("-e", metavar="TEXT", help="The same, where it begins with -.")] = None,
    no_pager: NoPager = False,
    path: Annotated[list[str] | None, typer.Option("--path", hidden=True, help="What stands after `--`.")] = None,
) -> None:
    """Find a text in the files of all snapshots."""
    from gitsnap.cli.pager import paged
    from gitsnap.cli.render import find, json_find
    from gitsnap.ops.query import search as operation

    session: Session = context.obj
    wanted = given if text is None else text
    if wanted is None or (given is not None and text is not None):
        raise UsageError("search takes one TEXT", hint="gitsnap search --help")
    finds = operation.matcher(wanted, regex=regex, ignore_case=ignore_case)
    literal = None if regex or ignore_case else wanted.encode("utf-8", "surrogateescape")
    counts, progress = operation.Searched(), session.out.progress()
    with session.open() as (sidecar, _):
        raw = [session.inside(p, sidecar.installation) for p in path or []]
        found = operation.search(sidecar, finds, raw, counts, literal=literal, observer=progress)
        if session.options.json:
            session.out.document(json_find.searched(found, counts))
            return
        with paged(session, wanted=not no_pager):
            there = find.found(session.out, found, counts)
        if not there or session.out.width is not None:
            find.counted(session.out, counts, there=there)
