"""`changelog`: what an upgrade changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import sets
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import OfSet, OneComponent, ShowSecrets, Sides, Strict, Takes
from gitsnap.core.errors import UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session


@command(group=Group.LOOK, order=42, several=True)
def changelog(
    context: typer.Context,
    sides: Sides = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="md, json or text."), Takes("md", "json", "text")
    ] = "text",
    component: OneComponent = None,
    whole: Annotated[bool, typer.Option("--all", help="List every change, however long that is.")] = False,
    show_secrets: ShowSecrets = False,
    strict: Strict = False,
    set_name: OfSet = None,
) -> None:
    """Tell what an upgrade changed: your files, packages, the rest."""
    session: Session = context.obj
    if form not in ("md", "json", "text"):
        raise UsageError(f"--format: '{form}' is none of md, json, text")
    if sides is not None and len(sides) > 2:
        raise UsageError(f"too many sides: {' '.join(sides)}", hint="gitsnap changelog A B")
    if not sides and (last := sets.latest_of_all(session, set_name)):
        sides = [last]
    sets.each(session, set_name, lambda: _changelog(session, sides or [], form, component, whole=whole))


def _changelog(session: Session, sides: list[str], form: str, component: str | None, *, whole: bool) -> None:
    from gitsnap.cli.pager import paged
    from gitsnap.cli.render import changelog as changelog_text
    from gitsnap.cli.render import changelog_layout as layout
    from gitsnap.cli.render import json_changelog
    from gitsnap.ops.report import changelog as operation
    from gitsnap.ops.report import history as past
    from gitsnap.ops.report.evidence import evidence

    with session.open() as (sidecar, settings):
        episode, (old, new) = past.sides(sidecar, sides, settings)
        log = operation.changelog(
            sidecar,
            old,
            new,
            settings,
            component=component,
            known=evidence(sidecar, episode),
            masker=session.out.secrets.masker,
            observer=session.out.progress(),
        )
    if session.options.json or form == "json":
        typed = session.out.command
        session.out.document(json_changelog.document(log, episode, settings, session.out.secrets.masker, command=typed))
    else:
        plain = changelog_text.Plain(lambda text: session.out.style(text, "bold"))
        style = changelog_text.Markdown() if form == "md" else plain
        limits = layout.EVERYTHING if whole else layout.TWO_SCREENS
        told = layout.lines(log, episode, style, masker=session.out.secrets.masker, limits=limits)
        with paged(session):
            session.out.lines(line for block in told for line in block.split("\n"))
