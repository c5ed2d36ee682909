"""`remote`: where copies go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitsnap.cli import did_you_mean
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import Takes
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session

_ACTIONS = ("list", "add", "remove")
_TRY = "gitsnap remote add backup ssh://backup@host/srv/app.git"


@command(group=Group.COPY, order=30)
def remote(
    context: typer.Context,
    action: Annotated[str, typer.Argument(metavar="[list|add|remove]")] = "list",
    name: Annotated[str | None, typer.Argument(metavar="[NAME]"), Takes("REMOTE")] = None,
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="Of git: ssh://, https://, host:path, a path; or bundles:DIR.")
    ] = None,
    when: Annotated[
        str | None,
        typer.Option("--push", metavar="WHEN", help="after-snapshot, or manual (default)."),
        Takes("after-snapshot", "manual"),
    ] = None,
    keep: Annotated[int | None, typer.Option("--keep", metavar="N", help="Only the newest N go.")] = None,
    refspec: Annotated[
        str | None,
        typer.Option("--refspec", metavar="NAMES", help="heads, where only branches and tags are taken."),
        Takes("heads"),
    ] = None,
    secrets: Annotated[
        str | None,
        typer.Option("--secrets", metavar="WHAT", help="refuse (default), allow or encrypt."),
        Takes("refuse", "allow", "encrypt"),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="RECIPIENT", help="Of bundles:DIR: encrypt to this key (bundle create --to)."),
    ] = None,
    installation: Annotated[
        str | None,
        typer.Option("--installation", metavar="HOST/NAME", help="One of many in the repository; auto for a name."),
    ] = None,
) -> None:
    """Name the places that copies go to: git repositories, folders.

    list; add NAME URL; remove NAME. What is over there stays whatever is removed here.
    """
    from gitsnap.cli.render import json_remote
    from gitsnap.cli.render import remote as render
    from gitsnap.core.remote import making
    from gitsnap.ops.remote import remotes
    from gitsnap.ops.remote.selection import missing
    from gitsnap.sidecar import catalog

    session: Session = context.obj
    options: dict[str, Any] = {"push": when, "keep": keep, "refspec": refspec, "secrets": secrets}
    options |= {"installation": installation, "recipients": to or None}
    given = {k: v for k, v in options.items() if v is not None}
    _require(action, name, url, bool(given))
    with session.open(changing=action != "list") as (sidecar, settings):
        if action == "list":
            found = remotes.survey(sidecar, settings, catalog.snapshots(sidecar))
            if session.options.json:
                session.out.document({"remotes": [json_remote.standing(each) for each in found]})
            else:
                render.standings(session.out, found)
            return
        assert name is not None
        if action == "add":
            changed = remotes.add(sidecar, name, {"url": url or "", **given}, session.cwd, settings)
        else:
            changed = remotes.remove(sidecar, name, settings)
    if session.options.json:
        session.out.document({"remote": json_remote.remote(changed)})
    else:
        added = action == "add"
        lacking = making(changed.url) if added and missing(changed) else None
        render.changed(session.out, changed, added=added, lacking=lacking)


def _require(action: str, name: str | None, url: str | None, given: bool) -> None:
    if action not in _ACTIONS:
        near = did_you_mean.action(action, _ACTIONS)
        hint = " ".join(["gitsnap remote", near, *([name] if name else [])]) if near else _TRY
        raise UsageError(f"'{action}' is none of {', '.join(_ACTIONS)}", hint=hint)
    words = {"list": (False, False), "add": (True, True), "remove": (True, False)}[action]
    if (name is not None, url is not None) != words or (given and action != "add"):
        takes = {"list": "no more words", "add": "a NAME and a URL", "remove": "one NAME"}[action]
        raise UsageError(f"remote {action} takes {takes}", hint=_TRY)
