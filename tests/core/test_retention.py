"""Retention: which snapshots stay, and the reasons people read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gitsnap.core.errors import UsageError
from gitsnap.core.model import Kind, Snapshot, snapshot_id
from gitsnap.core.outcome import Ending, Outcome
from gitsnap.core.retention import DEFAULT, Decision, Policy, decide, describe, parse_duration

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def snap(when: datetime, label: str = "manual", *, suffix: str = "", **facts: Any) -> Snapshot:
    return Snapshot(
        id=snapshot_id(when, label, ()) + suffix,
        commit="c" * 40,
        tree="d" * 40,
        created=when,
        kind=facts.pop("kind", Kind.MANUAL),
        label=label,
        message="",
        files=1,
        bytes=1,
        manifest_sha256="e" * 64,
        metadata_sha256="f" * 64,
        **facts,
    )


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def judge(
    snapshots: Sequence[Snapshot],
    policy: Policy,
    *,
    zone: tzinfo = UTC,
    verified: str | None = None,
    protected: Sequence[str] = (),
) -> list[Decision]:
    return decide(snapshots, policy, now=NOW, zone=zone, newest_verified=verified, protected=protected)


def kept(decisions: list[Decision]) -> list[str]:
    return [d.snapshot.id for d in decisions if d.keep]


def reasons(decisions: list[Decision]) -> list[tuple[bool, str]]:
    return [(d.keep, ", ".join(d.reasons)) for d in decisions]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("2w", timedelta(weeks=2)),
        ("1y6m", timedelta(days=365 + 180)),
        ("90m", timedelta(days=90 * 30)),
        (" 6h1d ", timedelta(days=1, hours=6)),
        ("0y1h", timedelta(hours=1)),
    ],
)
def test_durations(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "30",
        "d",
        "d30",
        "-3d",
        "+3d",
        "1.5d",
        "3 d",
        "3D",
        "1d1d",
        "3s",
        "٣d",
        "0d",
        "0h0y",
        "999999999y",
        "1d,2h",
    ],
)
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        (DEFAULT, "keep the last 10"),
        (Policy(keep_daily=7), "keep 7 daily"),
        (Policy(keep_last=3, keep_daily=7, keep_yearly=2), "keep the last 3, 7 daily and 2 yearly"),
        (
            Policy(keep_last=3, keep_weekly=1, keep_within=timedelta(days=30)),
            "keep the last 3, 1 weekly and everything within 30 days",
        ),
        (Policy(keep_within=timedelta(hours=25)), "keep everything within 1 day 1 hour"),
        (Policy(keep_within=timedelta(minutes=90)), "keep everything within 1:30:00"),
        (Policy(), "no rule keeps anything"),
    ],
)
def test_description(policy: Policy, line: str) -> None:
    assert describe(policy) == line


@pytest.mark.parametrize("policy", [Policy(), Policy(keep_last=0), Policy(keep_within=timedelta(0))])
def test_a_policy_without_a_rule_is_refused(policy: Policy) -> None:
    with pytest.raises(UsageError):
        judge([], policy)


@pytest.mark.parametrize("negative", [{"keep_last": -1}, {"keep_monthly": -1}, {"keep_within": timedelta(-1)}])
def test_negative_rules_are_refused(negative: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="negative"):
        Policy(**negative)


def test_nothing_to_decide() -> None:
    assert judge([], DEFAULT) == []


def test_the_last_ones_stay_and_every_decision_has_its_reason() -> None:
    snapshots = [snap(ago(days=n)) for n in (2, 0, 3, 1)]
    decisions = judge(snapshots, Policy(keep_last=2))
    assert [d.snapshot.created for d in decisions] == [ago(days=n) for n in range(4)]
    assert reasons(decisions) == [
        (True, "last 1 of 2"),
        (True, "last 2 of 2"),
        (False, "older than the last 2"),
        (False, "older than the last 2"),
    ]


def test_buckets_keep_the_newest_of_each_period() -> None:
    snapshots = [snap(ago(hours=n)) for n in (0, 1, 13, 24 * 30, 24 * 400)]
    assert reasons(judge(snapshots, Policy(keep_daily=2))) == [
        (True, "daily 2026-11-23"),
        (False, "not the newest of 2026-11-23"),
        (True, "daily 2026-11-22"),
        (False, "older than the last 2 daily"),
        (False, "older than the last 2 daily"),
    ]
    everything = Policy(keep_hourly=1, keep_weekly=1, keep_monthly=2, keep_yearly=2)
    assert reasons(judge(snapshots, everything)) == [
        (True, "hourly 2026-11-23 12:00, weekly 2026-W48, monthly 2026-11, yearly 2026"),
        (
            False,
            "older than the last 1 hourly, not the newest of 2026-W48, "
            "not the newest of 2026-11, not the newest of 2026",
        ),
        (
            False,
            "older than the last 1 hourly, older than the last 1 weekly, "
            "not the newest of 2026-11, not the newest of 2026",
        ),
        (True, "monthly 2026-10"),
        (True, "yearly 2025"),
    ]


def test_the_turn_of_the_year_belongs_to_an_iso_week() -> None:
    days = [datetime(2024, 12, 30, tzinfo=UTC), datetime(2024, 12, 29, tzinfo=UTC)]
    assert reasons(judge([snap(d) for d in days], Policy(keep_weekly=5))) == [
        (True, "weekly 2025-W01"),
        (True, "weekly 2024-W52"),
    ]


def test_days_are_those_of_the_zone() -> None:
    snapshots = [snap(datetime(2026, 11, 22, hour, tzinfo=UTC)) for hour in (23, 22)]
    assert len(kept(judge(snapshots, Policy(keep_daily=9)))) == 1
    decisions = judge(snapshots, Policy(keep_daily=9), zone=ZoneInfo("Europe/Berlin"))
    assert reasons(decisions) == [(True, "daily 2026-11-23"), (True, "daily 2026-11-22")]


def test_the_hour_that_the_clock_repeats_is_one_hour() -> None:
    snapshots = [snap(datetime(2026, 10, 25, hour, 30, tzinfo=UTC)) for hour in (0, 1)]
    decisions = judge(snapshots, Policy(keep_hourly=9), zone=ZoneInfo("Europe/Berlin"))
    assert reasons(decisions) == [(True, "hourly 2026-10-25 02:00"), (False, "not the newest of 2026-10-25 02:00")]


def test_age_counts_from_now_and_its_bound_is_inside() -> None:
    snapshots = [snap(NOW + timedelta(days=1)), snap(ago(days=30)), snap(ago(days=30, seconds=1))]
    assert reasons(judge(snapshots, Policy(keep_within=timedelta(days=30)))) == [
        (True, "within 30 days"),
        (True, "within 30 days"),
        (False, "older than 30 days"),
    ]


def test_the_newest_stays_even_where_no_rule_wants_it() -> None:
    snapshots = [snap(ago(days=50)), snap(ago(days=51))]
    assert reasons(judge(snapshots, Policy(keep_within=timedelta(hours=1)))) == [
        (True, "the newest"),
        (False, "older than 1 hour"),
    ]


def test_pinned_verified_and_protected_stay_and_take_no_place() -> None:
    snapshots = [snap(ago(days=n), pinned=n in (1, 5)) for n in range(8)]
    decisions = judge(
        snapshots,
        Policy(keep_last=3),
        verified=snapshots[6].id,
        protected=[snapshots[6].id, snapshots[7].id],
    )
    assert reasons(decisions) == [
        (True, "last 1 of 3"),
        (True, "last 2 of 3, pinned"),
        (True, "last 3 of 3"),
        (False, "older than the last 3"),
        (False, "older than the last 3"),
        (True, "pinned"),
        (True, "newest verified, needed by the current operation"),
        (True, "needed by the current operation"),
    ]


def test_an_upgrade_counts_once_and_goes_together() -> None:
    def pair(days: int, **facts: Any) -> list[Snapshot]:
        upgrade = f"u{days}"
        return [
            snap(ago(days=days), "post", kind=Kind.POST, upgrade=upgrade),
            snap(ago(days=days, hours=1), "pre", kind=Kind.PRE, upgrade=upgrade, **facts),
        ]

    between = snap(ago(days=1, minutes=30))
    snapshots = [*pair(1), between, *pair(2), *pair(3), *pair(4, pinned=True)]
    decisions = judge(snapshots, Policy(keep_last=3))
    assert [(d.snapshot.label, ", ".join(d.reasons)) for d in decisions] == [
        ("post", "last 1 of 3"),
        ("manual", "last 2 of 3"),
        ("pre", "last 1 of 3"),
        ("post", "last 3 of 3"),
        ("pre", "last 3 of 3"),
        ("post", "older than the last 3"),
        ("pre", "older than the last 3"),
        ("post", f"same upgrade as {snapshots[-1].id} (pinned)"),
        ("pre", "pinned"),
    ]
    assert [d.keep for d in decisions] == [True] * 5 + [False] * 2 + [True] * 2


def test_an_upgrade_counts_when_it_ended() -> None:
    upgrade = [snap(ago(hours=n), label, upgrade="u") for n, label in ((1, "post"), (30, "pre"))]
    decisions = judge([*upgrade, snap(ago(hours=29))], Policy(keep_daily=1, keep_within=timedelta(hours=1)))
    assert reasons(decisions) == [
        (True, "daily 2026-11-23, within 1 hour"),
        (False, "older than the last 1 daily, older than 1 hour"),
        (True, "daily 2026-11-23, within 1 hour"),
    ]


def test_snapshots_of_one_second_are_ordered_by_their_number() -> None:
    ties = [snap(NOW, suffix=suffix) for suffix in ("", "-2", "-10", "-9")]
    assert kept(judge(ties, Policy(keep_last=2))) == [ties[2].id, ties[3].id]


def test_a_number_that_belongs_to_the_label_is_no_tie() -> None:
    numbered = [snap(NOW, "v-2"), snap(NOW, "v", suffix="-3")]
    assert kept(judge(numbered, Policy(keep_last=1))) == [numbered[1].id]


def test_the_safety_snapshot_of_an_upgrade_counts_among_those_alone() -> None:
    """However often an upgrade is rolled back, that takes no place of the others, and keeps none for ever."""
    last, again = (snap(ago(hours=n), "safety", kind=Kind.SAFETY, upgrade="u") for n in (1, 2))
    before, older = snap(ago(hours=3), "pre", kind=Kind.PRE, upgrade="u"), snap(ago(hours=4))
    alone = snap(ago(hours=5), "safety", kind=Kind.SAFETY)
    found = judge([last, again, before, older, alone], Policy(keep_last=1))
    assert kept(found) == [last.id, before.id]
    found = judge([last, again, before, older, alone], Policy(keep_last=2))
    assert kept(found) == [last.id, again.id, before.id, older.id]


def test_upgrades_that_failed_are_counted_among_themselves() -> None:
    """One that is tried again every night pushes out nothing that somebody wanted, and not itself for ever."""
    wanted = [snap(ago(days=20 + n)) for n in range(2)]
    tried = [
        snap(
            ago(days=n, seconds=side == "post"), side, kind=Kind(side), upgrade=f"u{n}", ending=ending(f"u{n}", outcome)
        )
        for n, outcome in ((1, "unknown"), (2, "rolled-back"), (3, "rolled-back"), (4, "rolled-back"), (5, "kept"))
        for side in ("pre", "post")
    ]
    found = judge([*wanted, *tried], Policy(keep_last=3))
    kept_ones = {d.snapshot.upgrade or d.snapshot.id for d in found if d.keep}
    assert kept_ones == {"u1", "u5", wanted[0].id, "u2", "u3", "u4"}
    assert {d.snapshot.upgrade for d in judge(tried, Policy(keep_last=2)) if not d.keep} == {"u4"}


def ending(upgrade: str, outcome: str) -> Ending:
    return Ending(upgrade, Outcome(outcome))
