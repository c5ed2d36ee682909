"""`diff`: what changed, line by line, key by key, or in short."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli import did_you_mean
from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import NoPager, OneComponent, PathsAfterDashes, ShowSecretsOfPatch, Strict
from gitsnap.core.errors import NoSuchSnapshotError, UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session

_RANGE = re.compile(r"([^/]+?)\.\.\.?([^/.]*)")


@command(group=Group.LOOK, order=40)
def diff(
    context: typer.Context,
    sides: Annotated[
        list[str] | None, typer.Argument(metavar="[A [B]] [-- PATH...]", help="Default: latest now.")
    ] = None,
    stat: Annotated[bool, typer.Option("--stat", help="Counts by component only.")] = False,
    name_status: Annotated[bool, typer.Option("--name-status", help="Names only, with how they changed.")] = False,
    zero: Annotated[bool, typer.Option("-z", help="With --name-status: names as they are, ended by NULs.")] = False,
    semantic: Annotated[bool, typer.Option("--semantic", help="JSON, TOML, YAML and INI key by key.")] = False,
    word_diff: Annotated[bool, typer.Option("--word-diff", help="Words within lines, for reading.")] = False,
    unified: Annotated[int, typer.Option("-U", "--unified", metavar="N", min=0, help="Lines around changes.")] = 3,
    no_renames: Annotated[bool, typer.Option("--no-renames", help="Only renames without any change.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 when there are changes.")] = False,
    component: OneComponent = None,
    show_secrets: ShowSecretsOfPatch = False,
    strict: Strict = False,
    no_pager: NoPager = False,
    path: PathsAfterDashes = None,
) -> None:
    """Show what changed between two snapshots, or since one."""
    from gitsnap.cli.pager import paged
    from gitsnap.cli.render import diff as differences
    from gitsnap.cli.render import json_diff
    from gitsnap.ops.compare import components
    from gitsnap.ops.compare import diff as difference
    from gitsnap.ops.compare.patch import Style

    session: Session = context.obj
    _check(stat=stat, name_status=name_status, zero=zero, semantic=semantic, word_diff=word_diff)
    chosen = _sides(sides or [])
    with session.open() as (sidecar, settings):
        raw = [session.inside(p, sidecar.installation) for p in path or []]
        try:
            result, contents = difference.diff(
                sidecar,
                *chosen,
                settings,
                paths=raw,
                similar=not no_renames,
                entries=False,
                observer=session.out.progress(),
            )
        except NoSuchSnapshotError as error:
            _suggest_path(error, sides or [], session, sidecar.installation)
            raise
        if component is not None:
            components.narrow(result, sidecar, component, settings)
        with paged(session, wanted=not no_pager):
            if session.options.json:
                keys = contents.keys if semantic else None
                session.out.document(
                    json_diff.difference(result, settings.components, keys, session.out.secrets.masker)
                )
            elif stat:
                differences.stat(session.out, result, settings.components)
            elif name_status:
                differences.names(session.out, result, zero=zero)
            else:
                differences.patch(session.out, result, contents, Style(unified, word_diff), semantic=semantic)
    if result.partial:
        raise typer.Exit(3)
    if exit_code and result.comparison.changes:
        raise typer.Exit(1)


def _check(**given: bool) -> None:
    shapes = ["--" + name.replace("_", "-") for name, on in given.items() if on and name != "zero"]
    if len(shapes) > 1 and shapes != ["--semantic", "--word-diff"]:
        raise UsageError(f"{shapes[0]} does not go with {shapes[1]}", hint="gitsnap diff --help")
    if given["zero"] and not given["name_status"]:
        raise UsageError("-z goes with --name-status only", hint="gitsnap diff --help")


def _suggest_path(error: NoSuchSnapshotError, sides: list[str], session: Session, root: str) -> None:
    """Whoever names a path where a snapshot belongs has left out the dashes; git takes two with dots between them."""
    if error.kind == "ambiguous-snapshot":
        return
    if len(sides) == 1 and (ends := _RANGE.fullmatch(sides[0])):
        error.hint = shlex.join(["gitsnap", "diff", *filter(None, ends.groups())])
        return
    found = []
    for side in sides:
        with suppress(UsageError):
            there = bool(side) and os.path.lexists(os.path.join(os.fsencode(root), session.inside(side, root)))
            if there or did_you_mean.is_path(side):
                found.append(side)
    if found:
        rest = [side for side in sides if side not in found]
        error.hint = shlex.join(["gitsnap", "diff", *rest, "--", *found])


def _sides(sides: list[str]) -> tuple[str, str]:
    if len(sides) > 2:
        raise UsageError(f"too many sides: {' '.join(sides)}", hint="gitsnap diff A B -- PATH...")
    padded = sides + ["latest", "now"][len(sides) :]
    return padded[0], padded[1]
