"""Which snapshot a selector names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from gitsnap.core.errors import NoSuchSnapshotError
from gitsnap.core.model import Kind, Snapshot, is_label
from gitsnap.sidecar import newest
from gitsnap.sidecar.catalog import NUMBERED, Living, chain, lost, require_certain, snapshots
from gitsnap.sidecar.newest import BEGIN, LOOK
from gitsnap.sidecar.repository import Sidecar

_OLD_ID = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2})-(.+)")


# So many are named where a selector stands for several.
_NAMED = 5


_LATEST = re.compile(r"(?:latest|(?=~))(?:~(\d{1,6}))?")


# The number that a snapshot has in the order in which they were taken (core.order).
_HANDLE = re.compile(r"@([1-9]\d{0,17})")


# A time. No label, and no id of an upgrade, begins so.
_AS_OF = re.compile(r"@([0-9]+[^0-9].*)")


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
    """The snapshot of which a commit on the timeline has the state that begins so, where there is one only."""
    if not re.fullmatch(r"[0-9a-f]{4,40}", selector):
        return None
    found = [link.snapshot for link in chain(sidecar, known) if link.commit.startswith(selector)]
    return found[0] if len(found) == 1 else None


def resolve(known: list[Snapshot], selector: str) -> Snapshot:
    """The snapshot that `selector` names: `latest`, `latest~N` or `~N`, `@N` by its number, `@7d` or
    `@2026-11-23` as of then (newest.as_of), `UPGRADE@pre`, `UPGRADE@post`, an id; or what the one snapshot has whose
    id or commit begins so, or whose label this is.

    What may be the whole id of one that is gone names nothing else. `latest` counts what was asked for and stands: not
    the safety snapshots that rollbacks take, nor what an upgrade made that was rolled back, unless there are no others.
    Nor is it ever an imported copy, unless there is nothing else.
    Raises IntegrityError where the one that is meant is damaged, or may be; NoSuchSnapshotError where there is none, or
    more than one.
    """
    living = known if isinstance(known, Living) else Living(known)
    if match := _LATEST.fullmatch(selector):
        return require_certain(living, newest.latest(living, int(match[1] or 0)))
    if match := _HANDLE.fullmatch(selector):
        return _numbered(living, int(match[1]))
    if match := _AS_OF.fullmatch(selector):
        return newest.as_of(living, match[1], datetime.now(UTC))
    if "@" in selector and (part := _part_of_upgrade(known, selector)):
        return part
    exact = [s for s in known if selector == s.id]
    if exact:
        return exact[0]
    if selector == "now":
        raise NoSuchSnapshotError("`now` is the directory as it is, not a snapshot", hint=LOOK)
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
        hint=newest.named_otherwise(living, selector, datetime.now(UTC)) if known or living.damaged else BEGIN,
    )


def is_time(selector: str) -> bool:
    """Whether it says as of when, so that it names another snapshot a while later, or once that one is gone."""
    return _AS_OF.fullmatch(selector) is not None


def between(known: Living, words: str) -> tuple[list[Snapshot], dict[str, str]] | None:
    """The snapshots of a range `A..B`, both with them, in order; and by id, why others in it are left out. None for
    what has no such form.

    A pin holds, and an upgrade of which one half is outside stays whole: who means one of these has its id.
    NoSuchSnapshotError where an end is none, or A comes after B.
    """
    first, dots, last = words.partition("..")
    if not (first and dots and last):
        return None
    ends = resolve(known, first), resolve(known, last)
    low, high = (next(n for n, s in enumerate(known) if s.id == end.id) for end in ends)
    if low > high:
        raise NoSuchSnapshotError(
            f"{ends[0].id} was taken after {ends[1].id}", kind="no-such-snapshot", hint=f"the range is {last}..{first}"
        )
    within = known[low : high + 1]
    outside = {s.upgrade for s in (*known[:low], *known[high + 1 :]) if s.upgrade and s.kind in (Kind.PRE, Kind.POST)}
    left = {s.id: "pinned" for s in within if s.pinned}
    outside |= {s.upgrade for s in within if s.id in left and s.upgrade}
    left |= {
        s.id: "the other half of its upgrade stays"
        for s in within
        if s.id not in left and s.upgrade in outside and s.kind in (Kind.PRE, Kind.POST)
    }
    return [s for s in within if s.id not in left], left


def _numbered(living: Living, number: int) -> Snapshot:
    """The one that has this number; clones that went on apart may have given it twice."""
    for name, error in living.damaged:
        if living.places.get(name) == number:
            raise lost(name, error)
    found = [s for s in living if s.sequence == number]
    if len(found) == 1:
        return found[0]
    if found:
        raise NoSuchSnapshotError(
            f"@{number} is the number of {len(found)} snapshots, {found[-1].id} among them",
            kind="ambiguous-snapshot",
            hint=f"name one by its id: {', '.join(s.id for s in found[-_NAMED:])}",
        )
    gone = next((name for name, place in living.places.items() if place == number), None)
    raise NoSuchSnapshotError(
        f"the snapshot @{number}, {gone}, was removed" if gone else f"there is no snapshot @{number}", hint=LOOK
    )


def _of_old_id(known: list[Snapshot], stamp: str, name: str) -> list[Snapshot]:
    """The snapshots that the old system's id may mean: imported from the folder of that name, or taken at that second.

    Its ids had no zone: they are in UTC where its history said so, else in the zone that the import took them for.
    """
    found = [s for s in known if s.id.startswith(f"{stamp}Z")]
    found += [s for s in known if s not in found and f"{s.created:%Y-%m-%dT%H-%M-%S}" == stamp]
    named = [s for s in found if s.label.endswith(name) or s.message_taken.endswith(f"/{stamp}-{name}")]
    return named or found


def _names(living: Living, selector: str, s: Snapshot) -> bool:
    """Whether the snapshot's id or commit begins so, or this is its label, as it is or as it was typed."""
    by_commit = len(selector) >= 4 and s.commit.startswith(selector)
    return by_commit or living.begins(selector, s.id) or is_label(selector, s.label)


def _may_name(living: Living, selector: str, damaged: str) -> bool:
    """The same of a snapshot of which nothing but the id can be read."""
    label = damaged.partition("Z-")[2]
    return living.begins(selector, damaged) or selector in (label, NUMBERED.sub("", label))


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
        else f"type more of the id{_or_then(selector)}; {LOOK}",
    )


def _or_then(selector: str) -> str:
    from gitsnap.core import moment

    named = moment.span(selector, datetime.now(UTC)) is not None
    return f", or @{selector} for the newest that was taken by then" if named else ""


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


def default_target(known: list[Snapshot]) -> Snapshot:
    """What `rollback` brings back when nothing is named: an upgrade's `pre`, else the newest but for safety ones."""
    last = resolve(known, "latest")
    if last.kind is Kind.POST and last.upgrade:
        for candidate in reversed(known):
            if candidate.kind is Kind.PRE and candidate.upgrade == last.upgrade:
                return candidate
    return last
