"""`delete`: named snapshots go."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from gitsnap.cli.app import Group, command
from gitsnap.cli.parameters import FORMS, Yes
from gitsnap.core.errors import GitsnapError, StopRequestedError, UsageError

if TYPE_CHECKING:
    from gitsnap.cli.session import Session
    from gitsnap.sidecar.catalog import Living
    from gitsnap.sidecar.repository import Sidecar


@command(group=Group.TIDY_UP, order=20, recorded=True)
def delete(
    context: typer.Context,
    snapshots: Annotated[
        list[str],
        typer.Argument(metavar="SNAPSHOT...", help=f"{FORMS} A..B is all from A to B. What is no id is asked first."),
    ],
    yes: Yes = False,
) -> None:
    """Remove named snapshots. They lie in the bin until a gc."""
    from gitsnap.ops.store import retention

    session: Session = context.obj
    with session.open(changing=True) as (sidecar, settings):
        named = _agreed(session, sidecar, snapshots, yes=yes)
        gone = retention.delete(sidecar, named, settings, now=session.now) if named else []
    if session.options.json:
        session.out.document({"deleted": gone})
    else:
        session.out.lines(f"deleted {name}" for name in gone)
        if not gone:
            return
        session.out.remark(f"back: {session.out.command('undelete ' + ' '.join(gone))}")
        session.out.remark(f"for good, with their space: {session.out.command('gc')}")


def _agreed(session: Session, sidecar: Sidecar, words: list[str], *, yes: bool) -> list[str]:
    """The words, those that are no ids as the ids that they stand for, once somebody has said yes to those.

    A range and a time are asked about wherever that is: what they stand for shows nowhere else. `latest`, a label or
    the beginning of an id where there is somebody to ask.
    """
    from gitsnap.sidecar import catalog, selectors

    unseen = [word for word in words if ".." in word or selectors.is_time(word)]
    asks = session.out.interactive and not yes
    if not unseen and not asks:
        return words
    known, named, left, asked = catalog.snapshots(sidecar), [], dict[str, str](), 0
    for word in words:
        found = selectors.between(known, word)
        if found is not None:
            named += [s.id for s in found[0]]
            asked += len(found[0])
            left |= found[1]
        else:
            one = _other_name(known, word) if asks or word in unseen else None
            named.append(one or word)
            asked += one is not None
    if unseen and asked and not yes and not session.out.interactive:
        raise UsageError(
            f"{'a range' if '..' in unseen[0] else 'a time'} is asked about first, and there is no terminal to ask on",
            hint="add --yes",
        )
    for name, why in left.items():
        session.out.warn(f"stays: {name}: {why}")
    if asked and not yes:
        session.out.lines(named)
        if not session.out.ask(f"delete {len(named):,} snapshot{'s' * (len(named) != 1)}?"):
            raise StopRequestedError("nothing was deleted")
    return list(dict.fromkeys(named))


def _other_name(known: Living, word: str) -> str | None:
    """The id of the snapshot that a word names which is not its id itself. None for an id, and for what names none, a
    damaged one or a pinned one: `delete` knows what to say of these."""
    from gitsnap.sidecar import selectors

    with suppress(GitsnapError):
        found = selectors.resolve(known, word)
        return found.id if found.id != word and not found.pinned else None
    return None
