"""The snapshots of a sidecar: listing, finding, reading them back."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from gitsnap.core.coverage import why_unread
from gitsnap.core.errors import GitsnapError, IntegrityError, NoSuchPathError, NoSuchSnapshotError
from gitsnap.core.message import ID, parse_message
from gitsnap.core.model import Inventory, Kind, Snapshot, is_label
from gitsnap.core.order import in_order
from gitsnap.sidecar import outcomes, timeline
from gitsnap.sidecar.git import commits, refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import register, seal

_LOOK, _BEGIN = "`gitsnap list` shows the snapshots", "`gitsnap snapshot` takes the first one"
# With more snapshots, reading each in less time is worth some milliseconds.
_MANY = 100
_OLD_ID = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2})-(.+)")
# The ids of one second but the first end so.
_NUMBERED = re.compile(r"-(\d{1,9})\Z")
# So many are named where a selector stands for several.
_NAMED = 5
_LATEST = re.compile(r"latest(?:~(\d{1,6}))?")


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
        number = _NUMBERED.search(name) if name != selector and ID.fullmatch(selector) else None
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

    def read() -> tuple[dict[str, str], dict[str, str], dict[str, str], register.Register]:
        damaged.clear()
        lost.clear()
        unread.clear()
        below = sidecar.refs.below
        there, pinned, recorded = below(refs.SNAPSHOTS, damaged), below(refs.PINS, lost), below(refs.UPGRADES, unread)
        # Last: it calls a snapshot gone before its ref goes.
        return there, pinned, recorded, register.load(sidecar)

    sealed, (there, pinned, recorded, known), _ = seal.consistent(sidecar, read)
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
    living = Living(outcomes.attach(sidecar, in_order(found), recorded, silent))
    living.damaged, living.places, living.gone = sorted(damaged.items()), known.places(), known.gone
    living.used = known.taken.keys()
    return living


def _broken(ref: str, allowed: Collection[str], actual: str | None) -> IntegrityError:
    what = "its ref is lost" if actual is None else f"its ref points to {actual}"
    return IntegrityError(f"{what}; gitsnap wrote: {ref} {seal.one_of(allowed)}")


def choose(sidecar: Sidecar, selector: str, known: Living | None = None) -> Snapshot:
    """What `selector` names; IntegrityError where that is, or may be, one that is damaged.

    Of the commits of the timeline, too: those are what git log and git blame show. `known` are all snapshots, where
    they were read already.
    """
    known = snapshots(sidecar) if known is None else known
    try:
        return resolve(known, selector)
    except NoSuchSnapshotError as error:
        found = _on_timeline(sidecar, known, selector) if error.kind == "no-such-snapshot" else None
        if found is None:
            raise
        return found


def _on_timeline(sidecar: Sidecar, known: Living, selector: str) -> Snapshot | None:
    """The snapshot whose commit on the timeline begins so, where there is one only."""
    if not re.fullmatch(r"[0-9a-f]{4,40}", selector):
        return None
    pairs = zip(known, timeline.chain(sidecar.objects, known), strict=True)
    found = [snapshot for snapshot, (commit, _) in pairs if commit.startswith(selector)]
    return found[0] if len(found) == 1 else None


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
    parsed = commits.parse(sidecar.objects.read(bytes.fromhex(commit), b"commit")[1], commit)
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
    sidecar.catalog[commit] = snapshot
    return snapshot


def resolve(known: list[Snapshot], selector: str) -> Snapshot:
    """The snapshot that `selector` names: `latest`, `latest~N`, `UPGRADE@pre`, `UPGRADE@post`, an id; or what the one
    snapshot has whose id or commit begins so, or whose label this is.

    What may be the whole id of one that is gone names nothing else. `latest` counts what was asked for and stands: not
    the safety snapshots that rollbacks take, nor what an upgrade made that was rolled back, unless there are no others.
    Nor is it ever an imported copy, unless there is nothing else.
    Raises IntegrityError where the one that is meant is damaged, or may be; NoSuchSnapshotError where there is none, or
    more than one.
    """
    living = known if isinstance(known, Living) else Living(known)
    if match := _LATEST.fullmatch(selector):
        return require_certain(living, _latest(living, int(match[1] or 0)))
    if "@" in selector and (part := _part_of_upgrade(known, selector)):
        return part
    exact = [s for s in known if selector == s.id]
    if exact:
        return exact[0]
    if selector == "now":
        raise NoSuchSnapshotError("`now` is the directory as it is, not a snapshot", hint=_LOOK)
    for name, error in living.damaged:
        if selector and _may_name(living, selector, name):
            raise lost(name, error)
    found = [s for s in known if selector and _names(living, selector, s)]
    if not found and (match := _OLD_ID.fullmatch(selector)):
        found = _of_old_id(known, match[1], match[2])
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(selector, found)
    _not_an_upgrade(known, selector)
    raise NoSuchSnapshotError(
        f"the snapshot {selector} was removed" if selector in living.gone else f"there is no snapshot '{selector}'",
        hint=_LOOK if known or living.damaged else _BEGIN,
    )


def _of_old_id(known: list[Snapshot], stamp: str, name: str) -> list[Snapshot]:
    """The snapshots that the old system's id may mean: imported from the folder of that name, or taken at that second.

    Its ids had no zone: they are in UTC where its history said so, else in the zone that the import took them for.
    """
    found = [s for s in known if s.id.startswith(f"{stamp}Z")]
    found += [s for s in known if s not in found and f"{s.created:%Y-%m-%dT%H-%M-%S}" == stamp]
    named = [s for s in found if s.label.endswith(name) or s.message.endswith(f"/{stamp}-{name}")]
    return named or found


def _names(living: Living, selector: str, s: Snapshot) -> bool:
    """Whether the snapshot's id or commit begins so, or this is its label, as it is or as it was typed."""
    by_commit = len(selector) >= 4 and s.commit.startswith(selector)
    return by_commit or living.begins(selector, s.id) or is_label(selector, s.label)


def _may_name(living: Living, selector: str, damaged: str) -> bool:
    """The same of a snapshot of which nothing but the id can be read."""
    label = damaged.partition("Z-")[2]
    return living.begins(selector, damaged) or selector in (label, _NUMBERED.sub("", label))


def _ambiguous(selector: str, found: Sequence[Snapshot]) -> NoSuchSnapshotError:
    """The error for several snapshots: how many, and what tells them apart."""
    labelled = sum(is_label(selector, s.label) for s in found)
    what = "is the label of" if labelled == len(found) else "names" if labelled else "begins"
    names = ", ".join(s.id for s in found[-_NAMED:])
    return NoSuchSnapshotError(
        f"'{selector}' {what} {len(found)} snapshots, {found[-1].id} among them",
        kind="ambiguous-snapshot",
        hint=f"name one by its id: {'... ' if len(found) > _NAMED else ''}{names}"
        if labelled
        else f"type more of the id; {_LOOK}",
    )


def _not_an_upgrade(known: list[Snapshot], selector: str) -> None:
    """Say so where what is no snapshot is an upgrade, which has two; NoSuchSnapshotError."""
    if not any(s.upgrade for s in known):
        return
    from gitsnap.core.upgrade import named, upgrades

    found = named(upgrades(known), selector)
    if len(found) > 1:
        ids = ", ".join(f"{u.id}@pre" for u in found[-_NAMED:])
        raise NoSuchSnapshotError(
            f"'{selector}' names {len(found)} upgrades, {found[-1].id} among them",
            kind="ambiguous-snapshot",
            hint=f"name a snapshot of one of them: {'... ' if len(found) > _NAMED else ''}{ids}",
        )
    if found:
        raise NoSuchSnapshotError(
            f"'{selector}' is an upgrade, not a snapshot",
            kind="ambiguous-snapshot",
            hint=f"{selector}@pre is the snapshot before it"
            + (f", {selector}@post the one after it" if found[0].post else ""),
        )


def _part_of_upgrade(known: list[Snapshot], selector: str) -> Snapshot | None:
    # Few selectors name one.
    from gitsnap.core.upgrade import part_of, upgrades

    return part_of(upgrades(known), selector)


def _rolled_back(known: list[Snapshot]) -> Collection[str]:
    # Without both kinds there is none, and most sidecars lack one.
    if not {Kind.POST, Kind.SAFETY} <= {s.kind for s in known}:
        return ()
    from gitsnap.core.upgrade import rolled_back

    return rolled_back(known)


def _latest(known: Living, back: int) -> Snapshot:
    if not known and known.damaged:
        raise all_lost(known.damaged)
    if not known:
        raise NoSuchSnapshotError("there are no snapshots yet", hint=_BEGIN)
    undone = _rolled_back(known)
    wanted = [s for s in known if s.kind is not Kind.SAFETY and s.id not in undone] or known
    if any(s.kind is not Kind.IMPORTED for s in wanted):
        while wanted[-1].kind is Kind.IMPORTED:
            wanted.pop()
    if back >= len(wanted):
        kinds = "safety ones and what was rolled back" if undone else "safety ones"
        aside = f", not counting {kinds}" if len(wanted) < len(known) else ""
        raise NoSuchSnapshotError(
            f"latest~{back} goes back too far: there {'is' if len(wanted) == 1 else 'are'} {len(wanted)} "
            f"snapshot{'s' * (len(wanted) != 1)}{aside}",
            hint=_LOOK,
        )
    return wanted[-1 - back]


def all_lost(damaged: Sequence[tuple[str, IntegrityError]]) -> IntegrityError:
    """The error for a sidecar in which there are snapshots, and none can be read."""
    name, error = damaged[-1]
    which = f"all {len(damaged)} snapshots are" if len(damaged) > 1 else f"the only snapshot, {name}, is"
    return IntegrityError(
        f"{which} damaged: {error.message}",
        path=error.path,
        hint="bring the sidecar back from a copy if there is one; `gitsnap verify --all` tells what is damaged",
    )


def default_target(known: list[Snapshot]) -> Snapshot:
    """What `rollback` brings back when nothing is named: an upgrade's `pre`, else the newest but for safety ones."""
    newest = resolve(known, "latest")
    if newest.kind is Kind.POST and newest.upgrade:
        for candidate in reversed(known):
            if candidate.kind is Kind.PRE and candidate.upgrade == newest.upgrade:
                return candidate
    return newest


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
