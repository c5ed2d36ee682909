"""`bundle`: snapshots in one file, for a disk, an object store, an air gap."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import AllowSecret, Identity
from gitsnap.core.errors import NoSidecarError, UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session

_TRY = "gitsnap bundle create /mnt/usb/app.bundle"
_STDOUT = "-"


@command(group=Group.COPY, order=50)
def bundle(
    context: typer.Context,
    action: Annotated[str, typer.Argument(metavar="create|verify")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="Relative to where you stand; - for stdout.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[SNAPSHOT | FILE]...", help="create: these alone; verify: the next.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="SNAPSHOT", help="Only what came after; builds on what holds it.")
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="RECIPIENT", help="Encrypt to a key: age1..., 'ssh-ed25519 ...'."),
    ] = None,
    recipients_file: Annotated[
        list[str] | None, typer.Option("--recipients-file", metavar="FILE", help="Encrypt to the keys in a file.")
    ] = None,
    allow_secret: AllowSecret = None,
    identity: Identity = None,
) -> None:
    """Write snapshots into one file, or check one.

    create FILE and snapshots (all of them for none); verify FILE, and those that build on it in their order.
    """
    session: Session = context.obj
    if action == "create":
        if identity is not None:
            raise UsageError("--identity opens what is encrypted; a bundle is made with --to", hint=_TRY)
        wanted = (tuple(more or ()), since, to or [], recipients_file or [], allow_secret or [])
        _create(session, file, wanted)
    elif action == "verify":
        if since is not None or to or recipients_file or allow_secret:
            raise UsageError("--since, --to, --recipients-file and --allow-secret are for `bundle create`", hint=_TRY)
        _verify(session, [file, *(more or ())], identity)
    else:
        raise UsageError(f"'{action}' is neither create nor verify", hint=_TRY)


def _create(
    session: Session, file: str, asked: tuple[tuple[str, ...], str | None, list[str], list[str], list[str]]
) -> None:
    named, since, keys, paths, allowed = asked
    from gitsnap.cli.render import bundle as render
    from gitsnap.ops.process import age
    from gitsnap.ops.remote import bundle as operation
    from gitsnap.ops.remote.secret_guard import Permits

    if file == _STDOUT and (session.options.json or sys.stdout.isatty()):
        why = "--json writes to stdout, too" if session.options.json else "stdout is a terminal"
        raise UsageError(f"a bundle cannot go there: {why}", hint="gitsnap bundle create - | ssh HOST 'cat >FILE'")
    session.act.recorded = True
    permits = Permits(tuple(map(os.fsencode, allowed)))
    wanted = operation.Wanted(named, since, age.recipients(keys, paths), permits=permits)
    with session.open() as (sidecar, settings):
        sys.stdout.flush()
        made = operation.create(
            sidecar,
            None if file == _STDOUT else os.path.join(session.cwd, file),
            wanted,
            settings,
            now=session.now,
            out=sys.stdout.fileno(),
            observer=session.out.progress(),
        )
    if session.options.json:
        session.out.document(render.made_document(made))
    else:
        to = [word for key in keys for word in ("--to", key)]
        to += [word for path in paths for word in ("--recipients-file", path)]
        render.made(session.out, made, to)


def _verify(session: Session, paths: list[str], identity: str | None) -> None:
    from gitsnap.cli.render import bundle as render
    from gitsnap.ops.remote import bundle as operation

    with ExitStack() as stack:
        sidecar = None
        try:
            sidecar, _ = stack.enter_context(session.open(tells_damage=True, tells_pending=True))
        except NoSidecarError:
            if session.options.directory is not None or session.options.typed_store is not None:
                raise
        found = operation.verify(paths, identity, sidecar, observer=session.out.progress())
    if session.options.json:
        session.out.document(render.looked_document(found))
    else:
        render.looked(session.out, found)
    if not all(each.ok for each in found):
        raise typer.Exit(12)
    if not all(each.complete for each in found):
        raise typer.Exit(3)
