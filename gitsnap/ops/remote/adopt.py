"""A mirror, a push, a bundle or a copied sidecar becomes the sidecar of a directory that is there."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass, field

from gitsnap.core.errors import UsageError
from gitsnap.core.model import Inventory
from gitsnap.installation.owners import Stranger, strangers
from gitsnap.ops.remote import building, receive
from gitsnap.ops.remote.receive import Asked, Received
from gitsnap.ops.restore.result import Restored
from gitsnap.ops.store import locate
from gitsnap.ops.store.locate import Place
from gitsnap.sidecar import location
from gitsnap.sidecar.git.fetch.source import Source
from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True)
class Adopted:
    """What was made, and where. `replaced` is where that lies now which stood in the sidecar's place. `strangers` are
    owners that this system does not know. `resumed` tells that an interrupted clone went on. With `dry_run` nothing was
    made, and `received` holds no more than refs tell: `there` snapshots.
    """

    place: Place
    received: Received
    replaced: str | None = None
    strangers: list[Stranger] = field(default_factory=list)
    restored: Restored | None = None
    resumed: bool = False
    dry_run: bool = False
    there: int = 0
    duration: float = 0.0


def adopt(source: Source, place: Place, default: str | None, asked: Asked) -> Adopted:
    """Make what `source` holds the sidecar of `place`, where none is yet. What is there is copied, never changed.

    `default` is where a link to it is left, if that is elsewhere. Raises GitsnapError with nothing made.
    """
    started = time.monotonic()
    require_none(place)
    building.require_free(place.store, source.path)
    with building.building(place.store, place.root, asked.settings.lock_wait) as path:
        # Another one may have been quicker.
        require_none(place)
        with Sidecar(path) as sidecar:
            result = Adopted(place, receive.fill(sidecar, source, asked))
            result.strangers = strangers_of(sidecar, result.received)
        result.replaced = building.appear(path, place.store)
    if default is not None:
        locate.leave_pointer(default, place.store)
    result.duration = time.monotonic() - started
    return result


def foresee(source: Source, place: Place, asked: Asked) -> Adopted:
    """What adopt() would find, by the refs alone; nothing is made."""
    require_none(place)
    building.require_free(place.store, source.path)
    named, told = receive.sorted_refs(source, asked.installation)
    received = Received(source.name, named.installation, ignored=named.others, copied=told)
    return Adopted(place, received, dry_run=True, there=len(named.snapshots))


def require_none(place: Place) -> None:
    """Raise UsageError where the directory has a sidecar."""
    if location.exists(place.store):
        root = shlex.quote(place.root)
        back = "" if os.path.lexists(place.root) else f"`gitsnap -C {root} rollback` makes the directory again; "
        raise UsageError(
            f"{place.root} has a sidecar already: {place.store}",
            path=place.store,
            hint=f"{back}`gitsnap -C {root} list` shows what it holds; another --store leaves it alone",
        )


def strangers_of(sidecar: Sidecar, received: Received) -> list[Stranger]:
    """The owners in the newest whole snapshot that nobody here is."""
    from gitsnap.sidecar import contents

    return strangers(contents.metadata(sidecar, received.whole[-1]) if received.whole else Inventory())
