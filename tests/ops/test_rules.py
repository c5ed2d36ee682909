"""Rules that changed or vanished cost no snapshot before somebody says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gitsnap.core.model import Kind
from gitsnap.core.retention import DEFAULT, HeldBack, Policy, Rules, decide, hold
from gitsnap.core.upgrade import upgrades
from gitsnap.ops.capture import snapshot
from gitsnap.ops.capture.request import Request
from gitsnap.ops.restore import undo
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.store import retention
from gitsnap.sidecar.state import retention_rules
from tests.cli.helpers import refused
from tests.support.inprocess import SETTINGS, Protected, workspace
from tests.support.installation import run_gitsnap, sidecar_of, take_snapshot


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app").mkdir()
        kept = replace(SETTINGS, retention=Policy(keep_last=100), retention_from="sidecar")
        with Protected(top / "app", top / "home", kept) as protected:
            yield protected


def take(place: Protected, times: int = 1) -> HeldBack | None:
    for _ in range(times):
        held = snapshot.take(place.sidecar, Request(), place.settings, now=place.now).held
    return held


def becomes(place: Protected, policy: Policy, source: str) -> None:
    place.settings = replace(place.settings, retention=policy, retention_from=source)


@pytest.mark.parametrize(
    ("policy", "source"),
    [(DEFAULT, "default"), (Policy(keep_last=5), "user"), (Policy(keep_last=2), "sidecar"), (DEFAULT, "sidecar")],
)
def test_nothing_goes_until_it_is_told(place: Protected, policy: Policy, source: str) -> None:
    take(place, 15)
    becomes(place, policy, source)
    for n in (16, 17):
        held = take(place)
        assert held is not None
        assert held.vanished is (source != "sidecar")
        assert len(held.snapshots) == n - (policy.keep_last or 0)
        assert len(place.snapshots()) == n
    assert retention.foresee(place.sidecar, place.snapshots(), place.settings, now=place.now).held
    with pytest.raises(retention.RulesChangedError):
        retention.prune(place.sidecar, None, place.settings, now=place.now, dry_run=False, agreed=lambda _: False)
    assert len(place.snapshots()) == 17
    retention.prune(place.sidecar, None, place.settings, now=place.now, dry_run=False)
    assert len(place.snapshots()) == policy.keep_last
    assert take(place) is None
    assert len(place.snapshots()) == policy.keep_last


def test_rules_that_vanished_while_there_was_little(place: Protected) -> None:
    """They are missed when they would have kept something, however long after."""
    take(place, 3)
    becomes(place, DEFAULT, "default")
    assert take(place, 7) is None
    assert take(place) is not None
    assert len(place.snapshots()) == 11
    becomes(place, Policy(keep_last=100), "sidecar")
    assert take(place) is None
    assert len(place.snapshots()) == 12


def test_a_new_rule_that_costs_one_is_followed(place: Protected) -> None:
    becomes(place, DEFAULT, "default")
    take(place)
    becomes(place, Policy(keep_last=3), "sidecar")
    assert take(place, 5) is None
    assert len(place.snapshots()) == 3


def test_a_sidecar_of_which_nothing_is_known(place: Protected) -> None:
    take(place, 15)
    (place.store / "gitsnap/retention.json").unlink()
    becomes(place, DEFAULT, "default")
    held = take(place)
    assert held is not None
    assert held.followed is None
    assert len(place.snapshots()) == 16


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"policy":{"keep_within":1e99},"source":"user"}', b"\xff"])
def test_what_cannot_be_read_is_not_known(place: Protected, damage: bytes) -> None:
    take(place)
    (place.store / "gitsnap/retention.json").write_bytes(damage)
    assert retention_rules.load(place.sidecar) is None
    becomes(place, Policy(keep_within=timedelta(days=2), keep_daily=7), "user")
    take(place)
    assert retention_rules.load(place.sidecar) == place.settings.rules


def test_what_covers_what() -> None:
    much, little, none = Policy(keep_last=9, keep_daily=2), Policy(keep_last=3), Policy()
    assert much.covers(little)
    assert not little.covers(much)
    assert none.covers(much)
    assert not much.covers(none)
    within = Policy(keep_within=timedelta(days=3))
    assert not little.covers(within)
    assert Policy(keep_within=timedelta(days=4)).covers(within)
    assert hold([], (), Rules(much), Rules(little)) is None


@pytest.mark.parametrize("gone", ["emptied", "removed", "no table", "empty table"])
def test_a_configuration_that_is_gone(installation: Path, gone: str) -> None:
    run_gitsnap("-C", installation, "init")
    config = sidecar_of(installation) / "gitsnap.toml"
    config.write_text("[retention]\nkeep-last = 100\n")
    for _ in range(12):
        take_snapshot(installation)
    if gone == "removed":
        config.unlink()
    else:
        config.write_text({"emptied": "", "no table": "[capture]\n", "empty table": "[retention]\n"}[gone])
    done = run_gitsnap("-C", installation, "snapshot")
    assert "retention would remove 3 snapshots that its rules kept until now" in done.stderr
    assert "prune --yes" in done.stderr
    found = json.loads(run_gitsnap("-C", installation, "snapshot", "--json").stdout)
    assert len(found["retention_held"]["snapshots"]) == 4
    assert found["pruned"] == []
    state = json.loads(run_gitsnap("-C", installation, "status", "--json").stdout)
    assert (state["next_removed"], state["retention_held"]["vanished"]) == ([], True)
    told = refused("-C", installation, "prune", code=1, kind="rules-changed")
    assert "prune --yes" in told
    assert len(json.loads(run_gitsnap("-C", installation, "list", "--json").stdout)["snapshots"]) == 14
    run_gitsnap("-C", installation, "prune", "--yes")
    assert len(json.loads(run_gitsnap("-C", installation, "list", "--json").stdout)["snapshots"]) == 10


class TestSafety:
    def test_those_of_an_upgrade_are_bounded(self, place: Protected) -> None:
        pre = snapshot.take(place.sidecar, Request(kind=Kind.PRE, upgrade="u"), place.settings, now=place.now).snapshot
        place.keep(keep_last=3)
        for n in range(8):
            (place.root / "f").write_text(str(n))
            last = place.rollback(pre.id).safety
        kinds = [s.kind.value for s in place.snapshots()]
        assert kinds.count("safety") == 3
        assert place.snapshots()[-1] == last

    def test_undoing_to_and_fro_is_bounded_and_told_right(self, place: Protected) -> None:
        for kind in (Kind.PRE, Kind.POST):
            (place.root / "f").write_text(kind)
            request = Request(kind=kind, upgrade="u")
            snapshot.take(place.sidecar, request, place.settings, now=place.now)
        place.keep(keep_last=3)
        place.rollback("u@pre")
        for n in range(1, 9):
            step = undo.undo if n % 2 else undo.redo
            step(place.sidecar, place.settings, RollbackOptions(place.now))
            (upgrade,) = upgrades(place.snapshots())
            assert upgrade.rolled_back is (n % 2 == 0)
            assert (place.root / "f").read_text() == ("pre" if n % 2 == 0 else "post")
        assert sum(s.kind is Kind.SAFETY for s in place.snapshots()) <= 4

    def test_what_undo_needs_stays_whatever_the_rules_say(self, place: Protected) -> None:
        first = snapshot.take(place.sidecar, Request(), place.settings, now=place.now).snapshot
        (place.root / "f").write_text("x")
        safety = place.rollback(first.id).safety
        for _ in range(3):
            snapshot.take(place.sidecar, Request(), place.settings, now=place.now)
        decisions = decide(
            place.snapshots(),
            Policy(keep_within=timedelta(hours=1)),
            now=place.now + timedelta(days=9),
            zone=SETTINGS.zone,
            newest_verified=None,
        )
        assert safety is not None
        assert [d.snapshot.id for d in decisions if d.keep] == [place.snapshots()[-1].id, safety.id]
