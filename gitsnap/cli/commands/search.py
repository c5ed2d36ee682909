"""`search`: a text, in all snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import NoPager, PathsAfterDashes, ShowSecrets, Strict, WithTag, WithText
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=80)
def search(
    context: typer.Context,
    text: Annotated[str | None, typer.Argument(metavar="TEXT [-- PATH...]", help="Taken literally.")] = None,
    regex: Annotated[bool, typer.Option("-E", "--regex", help="TEXT is a regular expression.")] = False,
    ignore_case: Annotated[bool, typer.Option("-i", "--ignore-case", help="Capitals or not.")] = False,
    given: Annotated[str | None, typer.Option("-e", metavar="TEXT", help="The same, where it begins with -.")] = None,
    tag: WithTag = None,
    grep: WithText = "",
    show_secrets: ShowSecrets = False,
    strict: Strict = False,
    no_pager: NoPager = False,
    path: PathsAfterDashes = None,
) -> None:
    """Find a text in the files of all snapshots."""
    from gitsnap.cli.pager import paged
    from gitsnap.cli.render import find, json_find
    from gitsnap.ops.query import search as operation
    from gitsnap.ops.query.listing import Filter

    session: Session = context.obj
    wanted = given if text is None else text
    if wanted is None or (given is not None and text is not None):
        raise UsageError("search takes one TEXT", hint="gitsnap search --help")
    finds = operation.matcher(wanted, regex=regex, ignore_case=ignore_case)
    literal = None if regex or ignore_case else wanted.encode("utf-8", "surrogateescape")
    among = Filter(tags=tuple(tag or ()), text=grep)
    counts, progress = operation.Searched(), session.out.progress()
    with session.open() as (sidecar, _):
        raw = [session.inside(p, sidecar.installation) for p in path or []]
        masker = session.out.secrets.masker
        found = operation.search(
            sidecar, finds, raw, counts, literal=literal, masker=masker, observer=progress, among=among
        )
        if session.options.json:
            session.out.document(json_find.searched(found, counts))
            return
        with paged(session, wanted=not no_pager):
            there = find.found(session.out, found, counts)
        if not there or session.out.width is not None:
            find.counted(session.out, counts, there=there)
