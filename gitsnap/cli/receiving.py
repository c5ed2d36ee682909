"""What `clone` and `adopt` have in common: where a sidecar will stand, and what is told of what came."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from gitsnap.cli.render import terminal
from gitsnap.core.errors import GitsnapError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.ops.remote.adopt import Adopted
    from gitsnap.ops.remote.receive import Asked
    from gitsnap.ops.store.locate import Place


def destination(session: Session, root: str) -> tuple[Place, str | None]:
    """The place of the directory `root` (a real path), and where a link to its sidecar goes if that is elsewhere."""
    from gitsnap.config import environment
    from gitsnap.ops.store import locate

    store, home = session.options.store, session.home
    place = locate.place_for(root, store, home, session.cwd, environment.user_home(session.environ))
    return place, locate.default_store(root, home) if store and home is not None else None


def asked(session: Session, installation: str | None, allowed_signers: str | None) -> Asked:
    """What is to be received, signed by those in the file `allowed_signers` where one is given."""
    from gitsnap.core.remote import installation_name
    from gitsnap.ops.remote.receive import Asked

    name = installation_name(installation) if installation is not None else None
    settings = session.settings(None)
    if allowed_signers is not None:
        signing = settings.signing._replace(allowed=os.path.join(session.cwd, allowed_signers), require=True)
        settings = replace(settings, signing=signing)
    return Asked(settings, session.now, name, session.out.progress())


@contextmanager
def recorded(session: Session, place: Place) -> Iterator[None]:
    """What is done is written down in the sidecar, as soon as there is one."""
    from gitsnap.sidecar import location

    try:
        yield
    finally:
        if location.exists(place.store):
            session.act.about(place.store, place.root)


def tell(session: Session, result: Adopted, back: str | None = None) -> None:
    """Show what came, and leave with the exit code that says how whole it is. `back` is the URL for copies of it."""
    from gitsnap.cli.render import json_received, received
    from gitsnap.cli.render import restore as render_restore
    from gitsnap.ops.remote import receive

    session.act.noted.details |= receive.facts(result.received)
    terminal.work_is_done(answer_counts=result.dry_run)
    if session.options.json:
        session.out.document(json_received.adopted(result))
    else:
        received.adopted(session.out, result)
        if result.restored is not None:
            render_restore.restored(session.out, result.restored, (), result.place.root)
        if not result.dry_run:
            _mention_above(session, result.place)
            _mention_leaving(session, result.place)
            received.no_copy(session.out, result, back)
    made = result.restored
    if made is not None and not made.verified:
        raise typer.Exit(1)
    if not result.dry_run and not result.resumed and not result.received.whole:
        raise typer.Exit(12)
    if result.received.damaged or (made is not None and made.incomplete):
        raise typer.Exit(3)


def _mention_above(session: Session, place: Place) -> None:
    from gitsnap.cli.render import formatting
    from gitsnap.ops.store import locate

    above = locate.enclosing(place.root, session.home)
    if above is not None:
        inner, outer = formatting.name(place.root), formatting.name(above)
        session.out.remark(f"{outer} is protected, too; {inner} has snapshots of its own")


def _mention_leaving(session: Session, place: Place) -> None:
    """The rules that the snapshots were kept by may not be those here."""
    from gitsnap.cli.render import received
    from gitsnap.ops.store import locate, retention
    from gitsnap.sidecar import catalog

    with suppress(GitsnapError), locate.open_sidecar(place) as sidecar:
        found = retention.foresee(sidecar, catalog.snapshots(sidecar), session.settings(place), now=session.now)
        received.leaving(session.out, place.root, found)


def real_path(directory: str, cwd: str, error: GitsnapError) -> str:
    """The real path of a directory that need not be there; `error` for an empty name."""
    if not directory:
        raise error
    return os.path.realpath(os.path.join(cwd, directory))
