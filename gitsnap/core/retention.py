"""Which snapshots stay and which go, each with its reasons. Nothing here removes anything.

Retention thinks in units: the snapshots of one upgrade are one unit, every other snapshot is a unit of its own. A unit
counts once, at the time of its newest snapshot, and stays or goes as a whole. Safety snapshots are units by themselves,
those of an upgrade too, and have places of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from gitsnap.core.errors import UsageError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.order import in_order, newest
from gitsnap.core.outcome import Outcome
from gitsnap.core.reversal import brought_back, chains

_NO_TIME = timedelta(0)
# Where rules may be from, the closest last.
SOURCES = ("default", "system", "user", "sidecar")


@dataclass(frozen=True, slots=True)
class Policy:
    """What to keep; the rules add up, and a unit that any of them wants stays.

    `keep_last` counts units. `keep_within` is the greatest age, measured from now. The other counts keep the newest
    unit of each of the last so many hours, days, ISO weeks, months and years that have one. 0 and None mean that there
    is no such rule. Raises UsageError for negative values.
    """

    keep_last: int | None = None
    keep_within: timedelta | None = None
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0

    def __post_init__(self) -> None:
        for bucket in _BUCKETS:
            if (count := bucket.count(self)) < 0:
                raise UsageError(f"keep-{bucket.name} cannot be negative: {count}")
        if self.keep_within is not None and self.keep_within < timedelta(0):
            raise UsageError("keep-within cannot be negative")

    def keeps_all(self, count: int) -> bool:
        """Whether so few snapshots stay, whatever they are: they are no more units than that."""
        return count <= (self.keep_last or 0)

    def covers(self, other: Policy) -> bool:
        """Whether this keeps all that the other keeps, whatever there is."""
        if self.empty or other.empty:
            # Without a rule, nothing is removed at all.
            return self.empty
        counts = all(bucket.count(self) >= bucket.count(other) for bucket in _BUCKETS)
        return counts and (self.keep_within or _NO_TIME) >= (other.keep_within or _NO_TIME)

    @property
    def empty(self) -> bool:
        """Whether no rule keeps anything."""
        return not self.keep_within and not any(bucket.count(self) for bucket in _BUCKETS)


class Decision(NamedTuple):
    """What becomes of one snapshot, and why, in words for people; there is always at least one reason."""

    snapshot: Snapshot
    keep: bool
    reasons: tuple[str, ...]


class _Bucket(NamedTuple):
    """A counting rule: the newest unit of each of the last `count` different `period`s stays."""

    name: str
    count: Callable[[Policy], int]
    period: Callable[[datetime], str] | None


def _iso_week(when: datetime) -> str:
    year, week, _ = when.isocalendar()
    return f"{year:04}-W{week:02}"


# isoformat and not strftime, whose %Y does not pad the year everywhere. No period: each unit has its own.
_BUCKETS = (
    _Bucket("last", lambda p: p.keep_last or 0, None),
    _Bucket("hourly", lambda p: p.keep_hourly, lambda t: t.isoformat(" ")[:13] + ":00"),
    _Bucket("daily", lambda p: p.keep_daily, lambda t: t.isoformat()[:10]),
    _Bucket("weekly", lambda p: p.keep_weekly, _iso_week),
    _Bucket("monthly", lambda p: p.keep_monthly, lambda t: t.isoformat()[:7]),
    _Bucket("yearly", lambda p: p.keep_yearly, lambda t: t.isoformat()[:4]),
)

DEFAULT = Policy(keep_last=10)

_HOURS = {"y": 365 * 24, "m": 30 * 24, "w": 7 * 24, "d": 24, "h": 1}
_DURATION = re.compile(r"(?:[0-9]{1,9}[ymwdh])+")


def parse_duration(text: str) -> timedelta:
    """The length of time that `text` names: numbers with the units y, m, w, d and h, such as `30d`, `12h`, `1y6m`.

    A year is 365 days and a month 30; there are no minutes (`90m` is 90 months). The order of the units is free, each
    may appear once. Raises UsageError for anything else, and for a length of zero or of more than timedelta can hold.
    """
    bare = text.strip()
    units = re.findall("[a-z]", bare)
    if not _DURATION.fullmatch(bare) or len(set(units)) < len(units):
        raise UsageError(
            f"not a length of time: '{text}'",
            hint="numbers with y, m (months), w, d or h, each at most once: 30d, 12h, 2w, 1y6m",
        )
    hours = sum(int(number) * _HOURS[unit] for number, unit in re.findall("([0-9]+)([a-z])", bare))
    if hours == 0:
        raise UsageError(f"a length of time must be more than zero: '{text}'")
    try:
        return timedelta(hours=hours)
    except OverflowError as error:
        raise UsageError(f"too long a time: '{text}'") from error


def describe(policy: Policy) -> str:
    """The policy in one line for people: `keep the last 10, 7 daily and everything within 30 days`."""
    parts = [
        f"the last {count}" if bucket.period is None else f"{count} {bucket.name}"
        for bucket in _BUCKETS
        if (count := bucket.count(policy))
    ]
    if policy.keep_within:
        parts.append(f"everything within {_duration_text(policy.keep_within)}")
    if not parts:
        return "no rule keeps anything"
    return "keep " + " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _duration_text(length: timedelta) -> str:
    """`length` in whole days and hours; what is smaller only where it is all there is."""
    hours, rest = divmod(length, timedelta(hours=1))
    parts = [f"{n} {unit}{'s' * (n != 1)}" for n, unit in ((hours // 24, "day"), (hours % 24, "hour")) if n]
    return " ".join(parts) if parts and not rest else str(length)


class Rules(NamedTuple):
    """A policy, and which of SOURCES it is from."""

    policy: Policy
    source: str = SOURCES[0]


class HeldBack(NamedTuple):
    """What retention did not remove, because its rules are not those of the last time: `followed` would have kept the
    `snapshots` (ids, newest first), `rules` would not. `followed` is None where it is not known."""

    snapshots: tuple[str, ...]
    followed: Rules | None
    rules: Rules

    @property
    def vanished(self) -> bool:
        """Whether the place that the rules came from has none any more."""
        return self.followed is not None and SOURCES.index(self.rules.source) < SOURCES.index(self.followed.source)

    def document(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return {
            "snapshots": list(self.snapshots),
            "followed": describe(self.followed.policy) if self.followed else None,
            "now": describe(self.rules.policy),
            "vanished": self.vanished,
        }


def hold(going: Sequence[Snapshot], staying: Collection[str], followed: Rules | None, rules: Rules) -> HeldBack | None:
    """Whether the removal of what is `going` has to wait until somebody says so; `staying` is what the rules that were
    followed the last time would keep.

    Not where they keep no more than the new ones, nor for a unit that somebody's new rule costs. What fell back to
    farther rules, or to the built-in ones, costs nothing. Where nothing is known about the last time, more than the two
    units that one operation can push out are too many.
    """
    if followed is not None and rules.policy.covers(followed.policy):
        return None
    lost = [s for s in going if s.id in staying]
    held = HeldBack(tuple(s.id for s in lost), followed, rules)
    few = 2 if followed is None else 0 if held.vanished else 1
    return held if len(_units(lost)) > few else None


class _Unit(NamedTuple):
    """Snapshots that stay or go together, newest first."""

    snapshots: list[Snapshot]

    @property
    def when(self) -> datetime:
        return self.snapshots[0].created

    @property
    def counted_among(self) -> str:
        """Safety snapshots and upgrades that failed and were rolled back take no place of what somebody wanted."""
        if all(s.kind is Kind.SAFETY for s in self.snapshots):
            return "safety"
        failed = any(s.ending is not None and s.ending.outcome is Outcome.ROLLED_BACK for s in self.snapshots)
        return "failed" if failed else "wanted"


def _newest_first(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    return in_order(snapshots)[::-1]


def _units(ordered: Sequence[Snapshot]) -> list[_Unit]:
    """The units of snapshots that are ordered newest first, in the same order."""
    units: dict[tuple[str, str], _Unit] = {}
    for snapshot in ordered:
        alone = snapshot.upgrade is None or snapshot.kind is Kind.SAFETY
        key = ("snapshot", snapshot.id) if alone else ("upgrade", snapshot.upgrade or "")
        units.setdefault(key, _Unit([])).snapshots.append(snapshot)
    return list(units.values())


# Whether a rule wants a unit, and why or why not.
_Verdict = tuple[bool, str]


def _by_count(units: list[_Unit], bucket: _Bucket, count: int, zone: tzinfo) -> list[_Verdict]:
    verdicts: list[_Verdict] = []
    seen: set[str] = set()
    for number, unit in enumerate(units, 1):
        period = bucket.period(unit.when.astimezone(zone)) if bucket.period else str(number)
        if period in seen:
            verdicts.append((False, f"not the newest of {period}"))
        elif len(seen) < count:
            seen.add(period)
            verdicts.append((True, f"{bucket.name} {period}" if bucket.period else f"last {number} of {count}"))
        else:
            verdicts.append((False, f"older than the last {count}" + (f" {bucket.name}" if bucket.period else "")))
    return verdicts


def _by_age(units: list[_Unit], within: timedelta, now: datetime) -> list[_Verdict]:
    # What claims to come from the future counts as young. What was taken after something young is young, too: then a
    # clock had gone back.
    young: list[bool] = []
    after_young = False
    for unit in reversed(units):
        age, copy = now - unit.when, unit.snapshots[0].kind is Kind.IMPORTED
        after_young = after_young or (_NO_TIME <= age <= within and not copy)
        young.append(age <= within or (after_young and not copy))
    young.reverse()
    return [(y, f"{'within' if y else 'older than'} {_duration_text(within)}") for y in young]


def decide(
    snapshots: Sequence[Snapshot],
    policy: Policy,
    *,
    now: datetime,
    zone: tzinfo,
    newest_verified: str | None,
    protected: Collection[str] = (),
) -> list[Decision]:
    """What becomes of each snapshot, newest first.

    Hours, days, weeks, months and years are those of `zone`; `now` is aware. `newest_verified` and `protected` are ids
    of snapshots. Those, pinned ones, the last one taken and the safety snapshots that undo and redo need stay whatever
    the policy says, and the rest of their units with them; they take up a place of a rule only where they would have
    had it anyway. So do safety snapshots by which alone it is known that an upgrade was rolled back. Unlike in restic,
    places that are left over do not keep the oldest snapshot. Safety snapshots are counted among themselves, so that a
    rollback never pushes out what it might be wanted for; and so are upgrades that were rolled back, so that one which
    is tried again every night never pushes out the last that went well. Raises UsageError for a policy with no rule.
    """
    if policy.empty:
        raise UsageError("this would keep no snapshot: name at least one rule", hint="for example: --keep-last 10")
    ordered = _newest_first(snapshots)
    units = _units(ordered)
    last = newest(ordered[::-1])
    needed = _reversible(ordered[::-1])
    decisions: dict[str, Decision] = {}
    for unit, judged in _judge(units, policy, now, zone):
        kept = [why for wanted, why in judged if wanted]
        gone = [why for wanted, why in judged if not wanted]
        own = {s.id: _own_reasons(s, newest_verified, protected) for s in unit.snapshots}
        for one, why in ((last, "the newest"), *needed):
            if one is not None and one.id in own and not kept:
                own[one.id].append(why)
        for snapshot in unit.snapshots:
            reasons = kept + own[snapshot.id]
            if not reasons:
                reasons = [f"same upgrade as {other} ({', '.join(why)})" for other, why in own.items() if why]
            decisions[snapshot.id] = Decision(snapshot, bool(reasons), tuple(reasons or gone))
    _keep_evidence(ordered[::-1], decisions)
    return [decisions[snapshot.id] for snapshot in ordered]


def _reversible(ordered: Sequence[Snapshot]) -> list[tuple[Snapshot, str]]:
    """The safety snapshots that undo and redo bring back next, and the newest of all: what the last rollback has taken
    away. Each once, with the reason to keep it; `ordered` are all snapshots, oldest first."""
    found: dict[str, tuple[Snapshot, str]] = {}
    reach = chains(ordered)
    newest_safety = [s for s in ordered if s.kind is Kind.SAFETY][-1:]
    # By what was brought back it is told whether a snapshot of after that is of another state.
    there = brought_back(reach.last) if reach.last and reach.redo else None
    for chain, why in (
        (reach.undo, "undo brings back"),
        (reach.redo, "redo brings back"),
        (newest_safety, "was there before the last rollback"),
        ([s for s in ordered if s.id == there], "redo goes by"),
    ):
        for snapshot in chain[-1:]:
            found.setdefault(snapshot.id, (snapshot, f"what {why}"))
    return list(found.values())


def _keep_evidence(ordered: list[Snapshot], decisions: dict[str, Decision]) -> None:
    """Let those safety snapshots stay without which an upgrade that was rolled back would pass for one that was kept,
    or the other way round. `ordered` are all snapshots, oldest first."""
    left = [s for s in ordered if decisions[s.id].keep or s.kind is Kind.SAFETY]
    if len(left) == sum(d.keep for d in decisions.values()):
        return
    # Few sidecars have come so far.
    from gitsnap.core.upgrade import rolled_back

    there = {s.id for s in left}
    truth = rolled_back(ordered) & there
    for snapshot in [s for s in left if not decisions[s.id].keep]:
        without = [s for s in left if s is not snapshot]
        if rolled_back(without) == truth:
            left = without
        else:
            decisions[snapshot.id] = Decision(snapshot, True, ("tells what became of an upgrade",))


def _judge(
    units: list[_Unit], policy: Policy, now: datetime, zone: tzinfo
) -> Iterator[tuple[_Unit, tuple[_Verdict, ...]]]:
    """Every rule's verdict on each unit, within its group."""
    groups: dict[str, list[_Unit]] = {}
    for unit in units:
        groups.setdefault(unit.counted_among, []).append(unit)
    for group in groups.values():
        verdicts = [_by_count(group, bucket, count, zone) for bucket in _BUCKETS if (count := bucket.count(policy))]
        if policy.keep_within:
            verdicts.append(_by_age(group, policy.keep_within, now))
        yield from zip(group, zip(*verdicts, strict=True), strict=True)


def _own_reasons(snapshot: Snapshot, newest_verified: str | None, protected: Collection[str]) -> list[str]:
    """Why this very snapshot stays whatever the policy says."""
    reasons = ["pinned"] if snapshot.pinned else []
    if snapshot.id == newest_verified:
        reasons.append("newest verified")
    if snapshot.id in protected:
        reasons.append("needed by the current operation")
    return reasons
