"""The order of snapshots: as they were taken, whatever the clock said.

Each snapshot that is taken gets the number after the greatest that is known (`Gitsnap-Sequence`), as Lamport's clocks
count: what was taken with another in sight comes after it, in every clone. Those of sidecars from before there were
numbers have none and come first, by their time; nothing else about them is known.

An imported copy was not taken here, so that its own time is all there is: it stands where most of the others agree with
that. What the directory comes from is the last that was taken, whatever stands behind it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise

from gitsnap.core.model import Kind, Snapshot

# What a trailer can hold. A number that nobody has counted up to must not keep others from being taken.
_GREATEST = 10**18 - 1


def in_order(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """The snapshots, oldest first."""
    taken: list[Snapshot] = []
    copies: list[Snapshot] = []
    for snapshot in snapshots:
        (copies if snapshot.kind is Kind.IMPORTED else taken).append(snapshot)
    taken.sort(key=_key)
    if not copies or not taken:
        return taken or sorted(copies, key=_key)
    times = [s.created for s in taken]
    rising = all(a <= b for a, b in pairwise(times))
    out, done = [], 0
    for copy in sorted(copies, key=_key):
        place = bisect_right(times, copy.created) if rising else _place(times, copy.created)
        out += [*taken[done:place], copy]
        done = place
    return out + taken[done:]


def newest(ordered: Sequence[Snapshot]) -> Snapshot | None:
    """The last that was taken; an imported copy only where there is nothing else."""
    return next((s for s in reversed(ordered) if s.kind is not Kind.IMPORTED), ordered[-1] if ordered else None)


def taken_by(ordered: Sequence[Snapshot], when: datetime, now: datetime) -> list[Snapshot]:
    """Those of `ordered` that were taken by `when`: their own times say so, and so does the order, where clocks were
    wrong that most of the others contradict. What is no more certain than its contrary is not named.

    Times that are yet to come are known to be wrong, and have no say.
    """
    if when >= now:
        return [*ordered]
    there = [s for s in ordered if s.created <= now]
    place = _place([s.created for s in there], when, certain=True)
    return [s for s in there[:place] if s.created <= when]


def following(snapshots: Iterable[Snapshot], known: Iterable[int] = ()) -> int:
    """The number of the next snapshot; `known` are those of others that cannot be read, or are gone."""
    return min(1 + max([0, *known, *(s.sequence or 0 for s in snapshots)]), _GREATEST)


def _key(snapshot: Snapshot) -> tuple[int, datetime, int, str]:
    """Equal numbers come of clones that went on apart. The ids of one second count upwards, `-2` before `-10`."""
    number = snapshot.id.rpartition("Z-")[2].removeprefix(snapshot.label).removeprefix("-")
    return snapshot.sequence or 0, snapshot.created, int(number) if number.isdecimal() else 1, snapshot.id


def _place(times: Sequence[datetime], when: datetime, *, certain: bool = False) -> int:
    """Behind how many of `times`, which do not rise all along, `when` comes: where the fewest contradict. The last of
    such places, or the first where it has to be `certain`."""
    best = wrong = place = 0
    for number, time in enumerate(times, 1):
        wrong += 1 if time > when else -1
        if wrong < best + (not certain):
            best, place = wrong, number
    return place
