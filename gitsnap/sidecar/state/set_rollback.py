"""Several directories that go back together: a small private file in the sidecar of each, which names all of them.

As long as one of them lacks it, none has moved yet, or all have arrived: there is nothing to be done but to remove it.
While all have it, each has to be brought to what it names.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass

from gitsnap.sidecar import files
from gitsnap.sidecar.repository import SET_RETURN, Sidecar
from gitsnap.sidecar.state.upgrade_record import Members, members_of


@dataclass(slots=True, frozen=True)
class SetRollback:
    """One rollback of several directories. `members` are real path and sidecar of each, `targets` the id of the
    snapshot that each goes back to. `name` is that of the rollback; `upgrade` is the one that is undone or redone.

    `how` tells whether that undoes or redoes one ("undoes", "redoes", or nothing).
    `since` is the newest snapshot of the sidecar that holds this one when it began.
    """

    name: str
    upgrade: str
    members: Members
    targets: tuple[str, ...]
    since: str
    how: str = ""


def load(sidecar: Sidecar) -> SetRollback | None:
    """What is there, or None when there is nothing or it cannot be read."""
    data = files.read(sidecar.own(SET_RETURN))
    if data is None:
        return None
    try:
        found = json.loads(data)
        members, targets = members_of(found["members"]), tuple(found["targets"])
        told = SetRollback(found["name"], found["upgrade"], members, targets, found["since"], found["how"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = (told.name, told.upgrade, told.since, told.how, *targets)
    return told if len(targets) == len(members) and all(type(text) is str for text in texts) else None


def begin(sidecar: Sidecar, told: SetRollback) -> None:
    """Write it durably. Raises OSError."""
    files.replace(sidecar.own(SET_RETURN), json.dumps(asdict(told)).encode(), sidecar.scratch)


def end(sidecar: Sidecar) -> None:
    """This directory is not waited for any more."""
    with suppress(FileNotFoundError):
        os.unlink(sidecar.own(SET_RETURN))
        files.sync_directory(sidecar.own(""))
