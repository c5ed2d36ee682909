"""The snapshots of a sidecar: listing, finding, reading them back."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from gitsnap.core.coverage import why_unread
from gitsnap.core.errors import GitsnapError, IntegrityError, NoSuchPathError
from gitsnap.core.message import ID, parse_message
from gitsnap.core.model import Inventory, Snapshot
from gitsnap.core.order import in_order
from gitsnap.core.signature import signed_by
from gitsnap.sidecar import descriptions, outcomes, rollbacks, timeline
from gitsnap.sidecar.git import commits, refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import register, seal

# With more snapshots, reading each in less time is worth some milliseconds.
_MANY = 100
# The ids of one second but the first end so.
NUMBERED = re.compile(r"-(\d{1,9})\Z")


class Living(list[Snapshot]):
    """The snapshots that can be read, in order (core.order); `damaged` are the ids of the others, with causes.

    `places` are the numbers in that order of those that have one, damaged ones too. `gone` are the ids of those that
    were removed, `used` all that the register knows.
    """

    damaged: Sequence[tuple[str, IntegrityError]] = ()
    places: Mapping[str, int] = {}
    gone: Collection[str] = ()
    used: Collection[str] = ()

    def begins(self, selector: str, name: str) -> bool:
        """Whether an id begins so. What may be the id of another one of the same second, which is gone, begins none:
        the ids of one second count upwards, so that it shows where one of them is not known."""
        if not name.startswith(selector) or selector in self.gone:
            return False
        number = NUMBERED.search(name) if name != selector and ID.fullmatch(selector) else None
        if number is None:
            return True
        moment = name.partition("Z-")[0]
        others = {s.id for s in self} | {lost for lost, _ in self.damaged} | {*self.used}
        return sum(other.startswith(moment) for other in others - {name}) >= int(number[1]) - 1


def survey(sidecar: Sidecar) -> tuple[list[Snapshot], list[tuple[str, IntegrityError]]]:
    """All snapshots that can be read, in order, and the ids of the others with causes."""
    living = snapshots(sidecar)
    return living, [*living.damaged]


def snapshots(sidecar: Sidecar) -> Living:
    """All snapshots that can be read, in order: one that is damaged hides no other."""
    found: list[Snapshot] = []
    damaged: dict[str, IntegrityError] = {}
    lost: dict[str, IntegrityError] = {}

    unread: dict[str, IntegrityError] = {}

    def read() -> tuple[dict[str, str], dict[str, str], dict[str, str], dict[str, str], register.Register]:
        damaged.clear()
        lost.clear()
        unread.clear()
        below = sidecar.refs.below
        there, pinned, recorded = below(refs.SNAPSHOTS, damaged), below(refs.PINS, lost), below(refs.UPGRADES, unread)
        # Last: it calls a snapshot gone before its ref goes.
        return there, pinned, recorded, descriptions.load(sidecar), register.load(sidecar)

    sealed, (there, pinned, recorded, described, known), _ = seal.consistent(sidecar, read)
    silent = set(unread)
    pins = pinned.keys() | lost.keys()
    for ref, values in sealed.allowed.items() if sealed is not None else ():
        if ref.startswith(refs.SNAPSHOTS):
            name = ref[len(refs.SNAPSHOTS) :]
            if there.get(name, seal.ABSENT) not in values and name not in damaged:
                damaged[name] = _broken(ref, values, there.pop(name, None))
        elif ref.startswith(refs.PINS) and seal.ABSENT not in values:
            # One that is lost holds all the same.
            pins.add(ref[len(refs.PINS) :])
        elif ref.startswith(refs.UPGRADES) and recorded.get(ref[len(refs.UPGRADES) :], seal.ABSENT) not in values:
            silent.add(ref[len(refs.UPGRADES) :])
            recorded.pop(ref[len(refs.UPGRADES) :], None)
        elif ref.startswith(refs.DESCRIPTIONS) and described.get(ref[len(refs.DESCRIPTIONS) :]) not in values:
            described.pop(ref[len(refs.DESCRIPTIONS) :], None)
    for name, commit in known.living():
        if name not in there and name not in damaged:
            damaged[name] = _broken(refs.SNAPSHOTS + name, {commit}, None)
    many = len(there) > _MANY
    if many:
        sidecar.objects.read_ahead([bytes.fromhex(c) for c in there.values() if c not in sidecar.catalog])
    for name, commit in there.items():
        try:
            found.append(load(sidecar, name, commit, pinned=name in pins, one_of_many=many))
        except IntegrityError as error:
            damaged[name] = error
    sidecar.damaged = dict(sorted(damaged.items()))
    found = descriptions.attach(sidecar, in_order(found), described)
    living = Living(outcomes.attach(sidecar, found, recorded, silent))
    living.damaged, living.places, living.gone = sorted(damaged.items()), known.places(), known.gone
    living.used = known.taken.keys()
    return living


class Deleted(NamedTuple):
    """One snapshot that lies in the bin, and when it came there (None: not known)."""

    snapshot: Snapshot
    when: datetime | None


def deleted(sidecar: Sidecar, living: Collection[Snapshot]) -> tuple[list[Deleted], dict[str, IntegrityError]]:
    """What lies in the bin and is not back already, in order, and the ids of those that cannot be read with causes."""
    damaged: dict[str, IntegrityError] = {}
    known, there, found = register.load(sidecar), {s.id for s in living}, []
    for name, commit in sidecar.refs.below(refs.DELETED, damaged).items():
        if name not in there:
            try:
                found.append(load(sidecar, name, commit, pinned=False))
            except IntegrityError as error:
                damaged[name] = error
    found = descriptions.attach(sidecar, found, descriptions.load(sidecar))
    when = {s.id: datetime.fromtimestamp(known.gone.get(s.id, 0), UTC) for s in found}
    return [Deleted(s, when[s.id] if when[s.id].timestamp() else None) for s in in_order(found)], damaged


def _broken(ref: str, allowed: Collection[str], actual: str | None) -> IntegrityError:
    what = "its ref is lost" if actual is None else f"its ref points to {actual}"
    return IntegrityError(f"{what}; gitsnap wrote: {ref} {seal.one_of(allowed)}")


def chain(sidecar: Sidecar, known: Sequence[Snapshot]) -> list[timeline.Link]:
    """What the timeline of all these snapshots has to be."""
    return timeline.chain(sidecar.objects, known, returns=rollbacks.load(sidecar.refs, sidecar.objects))


def lost(name: str, error: IntegrityError) -> IntegrityError:
    """The error for whoever needs a snapshot that is damaged: what is damaged, and what to type."""
    prefix = f"snapshot {name} is damaged: "
    if error.message.startswith(prefix):
        return error
    return IntegrityError(
        prefix + error.message.removeprefix(f"snapshot {name}: "),
        path=error.path,
        hint=f"to give it up: gitsnap delete {name}",
    )


def require_certain(known: Living, chosen: Snapshot) -> Snapshot:
    """`chosen` as the newest of its sort; IntegrityError where one that is damaged may be newer."""
    for name, error in reversed(known.damaged):
        place = known.places.get(name)
        if place is not None and chosen.sequence is not None:
            newer = place >= chosen.sequence
        else:
            # All that is known is the moment, with which an id begins, up to the Z.
            newer = name.partition("Z")[0] >= chosen.id.partition("Z")[0]
        if newer:
            raise lost(name, error)
    return chosen


def load(sidecar: Sidecar, name: str, commit: str, *, pinned: bool, one_of_many: bool = False) -> Snapshot:
    """One snapshot from its ref; IntegrityError when ref and commit disagree."""
    known = sidecar.catalog.get(commit)
    if known is not None and known.id == name:
        return known if known.pinned == pinned else replace(known, pinned=pinned)
    content = sidecar.objects.read(bytes.fromhex(commit), b"commit")[1]
    snapshot = decode(content, name, commit, pinned=pinned, one_of_many=one_of_many)
    sidecar.catalog[commit] = snapshot
    return snapshot


def decode(content: bytes, name: str, commit: str, *, pinned: bool, one_of_many: bool = False) -> Snapshot:
    """The snapshot `name` of the content of its commit; IntegrityError when they disagree."""
    parsed = commits.parse(content, commit)
    snapshot = parse_message(
        parsed.message,
        commit=commit,
        tree=parsed.tree,
        created=parsed.created,
        pinned=pinned,
        one_of_many=one_of_many,
    )
    if snapshot.id != name:
        raise IntegrityError(f"ref {name} points to the commit of snapshot {snapshot.id}")
    if parsed.signed:
        snapshot = replace(snapshot, signed_by=signed_by(content))
    return snapshot


def not_held(snapshot: Snapshot, path: bytes, inventory: Inventory) -> GitsnapError:
    """The error for a path that a snapshot does not hold, or of which it does not tell."""
    why = why_unread(inventory, path)
    if why is not None:
        said = "" if why.path == path else f" (as all of '{os.fsdecode(why.path)}')"
        return GitsnapError(
            f"'{os.fsdecode(path)}'{said} {why.reason}: snapshot {snapshot.id} does not hold it",
            kind="no-such-path",
            path=path,
            hint="another snapshot may: gitsnap list",
        )
    name = shlex.quote(os.fsdecode(path.rpartition(b"/")[2]))
    return NoSuchPathError(
        f"snapshot {snapshot.id} does not hold '{os.fsdecode(path)}'",
        path=path,
        hint=f"`gitsnap find {name}` looks for it",
    )


def all_lost(damaged: Sequence[tuple[str, IntegrityError]]) -> IntegrityError:
    """The error for a sidecar in which there are snapshots, and none can be read."""
    name, error = damaged[-1]
    which = f"all {len(damaged)} snapshots are" if len(damaged) > 1 else f"the only snapshot, {name}, is"
    return IntegrityError(
        f"{which} damaged: {error.message}",
        path=error.path,
        hint="bring the sidecar back from a copy if there is one; `gitsnap verify --all` tells what is damaged",
    )
