"""`fleet`: all installations of a server."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import output_file
from gitsnap.cli.app import Group, command
from gitsnap.core.errors import NoSidecarError, UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.ops.remote.fleet import Asked, Fleet

_TRY = "gitsnap fleet URL -o fleet.html"


@command(group=Group.COPY, order=70)
def fleet(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL|REMOTE", help="A git server, or one of the remotes here.")],
    sort: Annotated[str, typer.Option("--sort", metavar="BY", help="name (default), age or size.")] = "name",
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="SPAN", help="Name those without a newer snapshot, as 2d.")
    ] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="1 where --older-than names any.")] = False,
    allowed_signers: Annotated[
        str | None, typer.Option("--allowed-signers", metavar="FILE", help="Who may sign; signatures are checked then.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Write an HTML page instead.")
    ] = None,
    prometheus: Annotated[
        str | None,
        typer.Option("--prometheus", metavar="FILE", help="Replace this file by figures for monitoring; - for stdout."),
    ] = None,
) -> None:
    """List the installations of all machines in one repository.

    Only refs and a few commits are fetched, and nothing is kept.
    """
    from gitsnap.cli.render import fleet as render
    from gitsnap.cli.render import json_fleet
    from gitsnap.ops.remote.fleet import survey

    session: Session = context.obj
    if exit_code and older_than is None:
        raise UsageError("--exit-code needs --older-than", hint="for example --older-than 2d --exit-code")
    if prometheus == "-" and (session.options.json or output is not None):
        raise UsageError("stdout is one place: name a file for --prometheus")
    limit = _span(older_than)
    if output is not None:
        _require_output(output)
    where, asked = _asked(session, url)
    if allowed_signers is not None:
        asked = replace(asked, policy=asked.policy._replace(allowed=os.path.join(session.cwd, allowed_signers)))
    found = survey(where, replace(asked, sort=sort))
    if prometheus is not None:
        _figures(session, prometheus, found, limit)
    if output is not None:
        from gitsnap.cli.report import fleet as pages

        data = pages.page(found, limit)
        output_file.write_page(output, data)
        if not session.options.json:
            session.out.line(f"wrote {output}, {len(found.rows):,} installations")
    if session.options.json:
        session.out.document(json_fleet.document(found, limit))
    elif output is None and prometheus is None:
        render.table(session.out, found, limit)
    if any(row.problems for row in found.rows):
        raise typer.Exit(3)
    if exit_code and render.behind(found, limit):
        raise typer.Exit(1)


def _span(text: str | None) -> timedelta | None:
    from gitsnap.core import duration

    return None if text is None else timedelta(seconds=duration.parse(text, "--older-than"))


def _require_output(output: str) -> None:
    if output in ("", "-"):
        raise UsageError("say where the page goes", hint=_TRY)
    output_file.require_page(output, _TRY)


def _asked(session: Session, text: str) -> tuple[str, Asked]:
    """The URL that is meant, and how it is asked: one of the remotes that are configured here, or anything of git's."""
    from gitsnap.core.remote import is_local_path
    from gitsnap.ops.remote.fleet import Asked

    place = None
    with suppress(NoSidecarError):
        place = session.place()
    settings = session.settings(place)
    asked = Asked(
        session.now,
        settings.signing,
        installation=place.root if place else "",
        asks=session.out.interactive,
        observer=session.out.progress(),
    )
    remote = settings.remotes.get(text)
    if remote is None:
        if text and is_local_path(text):
            return os.path.normpath(os.path.join(session.cwd, text)), asked
        return text, asked
    if remote.bundles is not None:
        raise UsageError(f"{text} is a directory of bundles, of one installation")
    return remote.url, asked


def _figures(session: Session, target: str, found: Fleet, limit: timedelta | None) -> None:
    from gitsnap.cli.render import prometheus
    from gitsnap.ops.remote.fleet_metrics import measure

    text = prometheus.text(measure(found, limit), {"url": found.url}).encode()
    if target == "-":
        session.out.raw([text])
    else:
        output_file.replace_public(target, text)
