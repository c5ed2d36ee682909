"""What retention promises for any snapshots and any policy."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gitsnap.core.model import Kind, Snapshot, snapshot_id
from gitsnap.core.retention import Decision, Policy, decide, describe, parse_duration

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
COUNTS = [f.name for f in fields(Policy) if f.name != "keep_within"]


@dataclass(frozen=True)
class Case:
    snapshots: list[Snapshot]
    newest_verified: str | None
    protected: frozenset[str]

    def decide(self, policy: Policy, among: list[Snapshot] | None = None) -> list[Decision]:
        return decide(
            self.snapshots if among is None else among,
            policy,
            now=NOW,
            zone=UTC,
            newest_verified=self.newest_verified,
            protected=self.protected,
        )

    def kept(self, policy: Policy, among: list[Snapshot] | None = None) -> set[str]:
        return {d.snapshot.id for d in self.decide(policy, among) if d.keep}


@st.composite
def cases(draw: st.DrawFn, *, bare: bool = False) -> Case:
    """Snapshots around NOW, some in the same second, some years old; `bare` ones without pins and the like."""
    near = st.integers(-10, 200_000)
    ages = draw(st.lists(near | near.map(lambda s: s * 500), max_size=25))
    taken: set[str] = set()
    snapshots = []
    for age in ages:
        created = NOW - timedelta(seconds=age)
        label = draw(st.sampled_from(["manual", "v-2", "2"]))
        taken.add(identifier := snapshot_id(created, label, taken))
        facts: dict[str, Any] = {
            "pinned": not bare and draw(st.integers(0, 9)) == 0,
            "upgrade": draw(st.none() | st.sampled_from("abcdef")),
        }
        snapshots.append(
            Snapshot(identifier, "c", "t", created, Kind.MANUAL, label, "", 1, 1, "m", "d", **facts),
        )
    if bare or not taken:
        return Case(snapshots, None, frozenset())
    ids = st.sampled_from(sorted(taken))
    return Case(snapshots, draw(st.none() | ids), draw(st.frozensets(ids, max_size=2)))


counts = st.integers(0, 12)
policies = st.builds(
    Policy,
    keep_last=st.none() | counts,
    keep_within=st.none() | st.integers(0, 2000).map(lambda hours: timedelta(hours=hours)),
    **dict.fromkeys(COUNTS[1:], counts),
).filter(lambda policy: not policy.empty)

relaxed = settings(deadline=None)


def units(snapshots: list[Snapshot]) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for s in snapshots:
        out.setdefault(s.upgrade or s.id, set()).add(s.id)
    return out


@relaxed
@given(cases(), policies)
def test_each_snapshot_gets_one_decision_newest_first_with_a_reason(case: Case, policy: Policy) -> None:
    decisions = case.decide(policy)
    assert sorted(d.snapshot.id for d in decisions) == sorted(s.id for s in case.snapshots)
    assert [d.snapshot.created for d in decisions] == sorted((s.created for s in case.snapshots), reverse=True)
    assert all(d.reasons and all(d.reasons) for d in decisions)


@relaxed
@given(cases(), policies)
def test_the_privileged_are_never_removed(case: Case, policy: Policy) -> None:
    for decision in case.decide(policy):
        s = decision.snapshot
        if s.pinned or s.id == case.newest_verified or s.id in case.protected:
            assert decision.keep


@relaxed
@given(cases(), policies)
def test_a_fresh_one_is_never_removed(case: Case, policy: Policy) -> None:
    now = max([NOW, *(s.created for s in case.snapshots)]) + timedelta(seconds=1)
    fresh = Snapshot("fresh", "c", "t", now, Kind.MANUAL, "fresh", "", 1, 1, "m", "d")
    assert "fresh" in case.kept(policy, [*case.snapshots, fresh])
    assert not case.snapshots or case.decide(policy)[0].keep


@relaxed
@given(cases(), policies, st.sampled_from([f.name for f in fields(Policy)]), st.integers(1, 30))
def test_a_higher_rule_never_removes_more(case: Case, policy: Policy, rule: str, more: int) -> None:
    step: Any = timedelta(hours=more) if rule == "keep_within" else more
    raised = {rule: (getattr(policy, rule) or step * 0) + step}
    assert case.kept(policy) <= case.kept(replace(policy, **raised))


@relaxed
@given(cases(), policies)
def test_applying_twice_removes_nothing_more(case: Case, policy: Policy) -> None:
    once = case.kept(policy)
    assert case.kept(policy, [s for s in case.snapshots if s.id in once]) == once


@relaxed
@given(cases(), policies)
def test_so_few_that_all_stay(case: Case, policy: Policy) -> None:
    if policy.keeps_all(len(case.snapshots)):
        assert len(case.kept(policy)) == len(case.snapshots)
    assert replace(policy, keep_last=len(case.snapshots) + 1).keeps_all(len(case.snapshots))


@relaxed
@given(cases(), policies)
def test_units_stay_or_go_together(case: Case, policy: Policy) -> None:
    kept = case.kept(policy)
    assert all(unit <= kept or not unit & kept for unit in units(case.snapshots).values())


@relaxed
@given(cases(bare=True), st.integers(1, 12))
def test_keep_last_counts_units(case: Case, last: int) -> None:
    kept = case.kept(Policy(keep_last=last))
    whole = units(case.snapshots)
    assert sum(unit <= kept for unit in whole.values()) == min(last, len(whole))


@relaxed
@given(cases(), policies)
def test_privileges_take_no_place(case: Case, policy: Policy) -> None:
    bare = Case([replace(s, pinned=False) for s in case.snapshots], None, frozenset())
    kept, without = case.kept(policy), bare.kept(policy)
    special = {s.id for s in case.snapshots if s.pinned} | case.protected | {case.newest_verified}
    assert kept == without.union(*(unit for unit in units(case.snapshots).values() if unit & special))


@relaxed
@given(cases(), policies)
def test_the_order_of_the_snapshots_does_not_matter(case: Case, policy: Policy) -> None:
    assert case.decide(policy) == case.decide(policy, case.snapshots[::-1])


@relaxed
@given(st.permutations(["y", "m", "w", "d", "h"]), st.lists(st.integers(0, 500), min_size=1, max_size=5))
def test_durations_add_up(order: list[str], numbers: list[int]) -> None:
    assume(any(numbers))
    parts = [f"{n}{unit}" for n, unit in zip(numbers, order, strict=False)]
    whole = parse_duration("".join(parts))
    assert whole == sum((parse_duration(p) for p, n in zip(parts, numbers, strict=True) if n), timedelta(0))
    assert "within" in describe(Policy(keep_within=whole))
