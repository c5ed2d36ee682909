"""A fleet: the installations of many machines in one repository, as its refs and some of its commits tell of them.

Nothing of it is believed to be more than what somebody pushed: what was signed is what counts against the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from gitsnap.core.machine import Machine
from gitsnap.core.message import ID
from gitsnap.core.model import Snapshot
from gitsnap.core.outcome import Ending
from gitsnap.core.remote import MACHINE, here
from gitsnap.core.signature import Checked, Status

# The prefixes below which the refs are that tell of installations; not those of notes.
PREFIXES = ("refs/gitsnap/", "refs/tags/gitsnap/", "refs/tags/signed/", "refs/heads/")
SORTS = ("name", "age", "size")
_SNAPSHOTS, _PINS, _UPGRADES = "refs/gitsnap/snapshots/", "refs/gitsnap/pins/", "refs/gitsnap/upgrades/"
_SIGNED, _TIMELINE = "refs/tags/signed/", "refs/heads/timeline"
# A clock that is so far ahead hides how old a snapshot is.
_AHEAD = timedelta(days=1)


@dataclass(slots=True)
class Member:
    """What the refs tell of one installation (`HOST/NAME`, None for a repository of its own), by hex ids. Of upgrades
    there may be several records each; `signed` are tags by the ids of snapshots and by refs."""

    name: str | None
    snapshots: dict[str, str] = field(default_factory=dict)
    pins: set[str] = field(default_factory=set)
    upgrades: dict[str, list[str]] = field(default_factory=dict)
    signed: dict[str, dict[str, str]] = field(default_factory=dict)
    timeline: str | None = None
    machine: str | None = None

    @property
    def last(self) -> str | None:
        """The id of the snapshot that is the newest by its name."""
        return max(self.snapshots, default=None)

    def records(self) -> Sequence[str]:
        """The records of the last upgrade by its name."""
        return self.upgrades[max(self.upgrades)] if self.upgrades else ()

    def tags(self, snapshot: str) -> Mapping[str, str]:
        """Those that sign a snapshot."""
        return self.signed.get(snapshot, {})


def members(refs: Mapping[str, str]) -> list[Member]:
    """The installations that have snapshots there, by name."""
    found: dict[str | None, Member] = {}
    for name, value in refs.items():
        place = here(name)
        if place is None:
            continue
        member = found.get(place.layout.installation)
        if member is None:
            member = found[place.layout.installation] = Member(place.layout.installation)
        _take(member, place.local, value)
    return sorted((m for m in found.values() if m.snapshots), key=lambda m: m.name or "")


def _take(member: Member, local: str, value: str) -> None:
    if local.startswith(_SNAPSHOTS):
        if ID.fullmatch(local[len(_SNAPSHOTS) :]):
            member.snapshots[local[len(_SNAPSHOTS) :]] = value
    elif local.startswith(_PINS):
        member.pins.add(local[len(_PINS) :])
    elif local.startswith(_UPGRADES):
        member.upgrades.setdefault(local[len(_UPGRADES) :], []).append(value)
    elif local.startswith(_SIGNED):
        member.signed.setdefault(local[len(_SIGNED) :].partition("+")[0], {})[local] = value
    elif local == _TIMELINE:
        member.timeline = value
    elif local == MACHINE:
        member.machine = value


@dataclass(slots=True, frozen=True)
class Row:
    """One installation of a fleet. `last` is the id of its newest snapshot, `newest` what that says of itself, None
    where it cannot be read; `upgrade` is the record of the last upgrade, `machine` who pushes. `problems` say what
    cannot be told, or not believed."""

    name: str | None
    last: str
    snapshots: int
    pinned: int = 0
    newest: Snapshot | None = None
    upgrade: Ending | None = None
    signatures: tuple[Checked, ...] = ()
    machine: Machine | None = None
    problems: tuple[str, ...] = ()

    @property
    def when(self) -> datetime | None:
        """When the newest snapshot was taken; by its name, where it cannot be read."""
        if self.newest is not None:
            return self.newest.created
        try:
            return datetime.strptime(self.last.partition("Z")[0], "%Y-%m-%dT%H-%M-%S").replace(tzinfo=UTC)
        except ValueError:
            return None

    @property
    def verified(self) -> bool | None:
        """Whether its machine says that it has verified the newest snapshot; None where it says nothing of itself."""
        return self.machine.verified == self.last if self.machine is not None else None

    @property
    def signed(self) -> Status | None:
        """The best that is known of its signatures, None where it has none; one that is wrong counts first."""
        found = {each.status for each in self.signatures}
        order = (Status.WRONG, Status.GOOD, Status.REVOKED, Status.EXPIRED, Status.UNKNOWN, Status.NOT_CHECKED)
        return next((status for status in order if status in found), None)

    def is_stale(self, now: datetime, older_than: timedelta) -> bool:
        """Whether its newest snapshot is older than that, or nobody can tell."""
        when = self.when
        return when is None or now - when > older_than or when - now > _AHEAD


def doubts(row: Row, now: datetime) -> tuple[str, ...]:
    """What of a row cannot be true."""
    when = row.when
    if when is not None and when - now > _AHEAD:
        return (f"its newest snapshot is of {when.astimezone(UTC):%Y-%m-%d}, which is yet to come",)
    return ()


def in_order(rows: Sequence[Row], by: str) -> list[Row]:
    """The rows by name, with the oldest first (`age`), or with the largest first (`size`)."""
    keys: dict[str, Callable[[Row], Any]] = {
        "name": lambda r: r.name or "",
        "age": lambda r: (r.when or datetime.min.replace(tzinfo=UTC), r.name or ""),
        "size": lambda r: (-(r.newest.bytes if r.newest else -1), r.name or ""),
    }
    return sorted(rows, key=keys[by])
