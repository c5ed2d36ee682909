"""The command that writes a report, and the file it goes to."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import output_file, sets
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import OfSet, OneComponent, ShowSecrets, Sides, Strict
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.report.page import Page
    from gitsnap.cli.report.wording import Commands
    from gitsnap.cli.session import Session
    from gitsnap.ops.report.report import Report

_TRY = "gitsnap report -o report.html"


@command(group=Group.LOOK, order=140, several=True)
def report(
    context: typer.Context,
    sides: Sides = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="The HTML file; - or a pipe for stdout."),
    ] = None,
    component: OneComponent = None,
    show_secrets: ShowSecrets = False,
    strict: Strict = False,
    set_name: OfSet = None,
) -> None:
    """Write what an upgrade changed as one HTML page."""
    session: Session = context.obj
    if sides is not None and len(sides) > 2:
        raise UsageError(f"too many sides: {' '.join(sides)}", hint="gitsnap report A B -o FILE.html")
    roots = sets.chosen(session, set_name)
    pages = dict(zip(roots, _pages(output, roots), strict=True))
    if not sides and (last := sets.latest_of_all(session, set_name)):
        sides = [last]

    def show() -> None:
        _report(session, sides or [], pages.get(session.options.directory or "", output), component)

    sets.each(session, set_name, show)


def _pages(output: str | None, roots: list[str]) -> list[str]:
    """Where the page of each directory goes, of several: beside each other, by the directory's name."""
    if not roots:
        return []
    if output in (None, "", "-"):
        raise UsageError("each directory has a page of its own, and stdout is one place", hint=_TRY)
    stem, ending = os.path.splitext(output)
    names = [os.path.basename(root) for root in roots]
    return [f"{stem}-{n if names.count(n) == 1 else f'{at}-{n}'}{ending}" for at, n in enumerate(names, 1)]


def _report(session: Session, sides: list[str], output: str | None, component: str | None) -> None:
    from gitsnap.cli.render import text
    from gitsnap.cli.report import page as pages
    from gitsnap.ops.report import history as past
    from gitsnap.ops.report import report as operation

    target = _target(session, output)
    with session.open() as (sidecar, settings):
        if target is not None:
            output_file.require_page(target, _TRY, sidecar.path)
        episode, (old, new) = past.sides(sidecar, sides, settings)
        masker = session.out.secrets.masker
        found = operation.report(
            sidecar,
            old,
            new,
            settings,
            episode=episode,
            component=component,
            masker=masker,
            observer=session.out.progress(),
        )
        page = pages.page(found, _commands(session, found), masker=masker)
    if target is None:
        session.out.raw([page.data])
    else:
        output_file.write_page(target, page.data)
        _tell(session, found, target, page)
    if found.partial:
        text.incomplete(session.out, found.partial, "could not be read")
        raise typer.Exit(3)


def _target(session: Session, output: str | None) -> str | None:
    """The file that is meant, None for stdout. A page on a terminal is no use to anybody."""
    if output == "":
        raise UsageError("-o: no file is named", hint=_TRY)
    if output not in (None, "-"):
        return output
    if session.options.json:
        raise UsageError("with --json, stdout is for the document: say where the page goes", hint=_TRY)
    if output is None and sys.stdout.isatty():
        raise UsageError("say where the page goes", hint=_TRY)
    return None


def _commands(session: Session, found: Report) -> Commands:
    """The commands on the page: they work from anywhere on the same machine."""
    from gitsnap.cli.report.wording import Commands, shell

    named = [("-C", found.installation)]
    if session.options.typed_store is not None:
        named.append(("--store", found.store))
    here = " ".join(f"{option} {shell(os.fsencode(value))}" for option, value in named)
    return Commands(here, found.log.old, found.log.new, os.uname().nodename)


def _tell(session: Session, found: Report, target: str, page: Page) -> None:
    from gitsnap.cli.render import formatting, json, json_upgrade

    if session.options.json:
        session.out.document(
            {
                "report": {**json.place(target), "bytes": len(page.data)},
                "from": found.log.old,
                "to": found.log.new,
                "upgrade": json_upgrade.episode(found.episode, session.out.command) if found.episode else None,
                "summary": found.log.counts.summary,
                "directories": found.log.counts.directory_summary,
                "diffs": {"shown": page.diffs, "left_out": page.diffs_left_out},
                "unreadable": json.problems(found.partial),
            }
        )
        return
    session.out.line(f"wrote {formatting.name(target)}, {formatting.size(len(page.data))}")
    if (os.path.realpath(target) + "/").startswith(os.path.realpath(found.installation) + "/"):
        session.out.remark("it lies in the installation: the next snapshot will hold it")
