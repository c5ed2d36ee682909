"""Upgrades as refs and trailers tell of them: parts, names and ids; and retention, which counts each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gitsnap.core.errors import NoSuchSnapshotError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.retention import Policy, decide
from gitsnap.core.upgrade import Outcome, choose_upgrade, part_of, upgrade_id, upgrades

START = datetime(2026, 3, 1, tzinfo=UTC)


def snapshot(minute: int, kind: Kind, upgrade: str | None) -> Snapshot:
    when = START + timedelta(minutes=minute)
    name = f"{when:%Y-%m-%dT%H-%M-%SZ}-{kind}"
    return Snapshot(name, name, "", when, kind, kind.value, "", 1, 1, "", "", upgrade=upgrade)


def a(minute: int) -> str:
    return f"2026-03-01T00-{minute:02}-00Z-npm"


HISTORY = [
    snapshot(0, Kind.PRE, a(0)),
    snapshot(1, Kind.POST, a(0)),
    snapshot(2, Kind.MANUAL, None),
    snapshot(3, Kind.PRE, a(3)),
    snapshot(4, Kind.POST, a(3)),
    snapshot(5, Kind.SAFETY, a(3)),
    snapshot(6, Kind.PRE, "2026-03-01T00-06-00Z-other"),
]


def test_their_parts_and_outcomes() -> None:
    found = upgrades(HISTORY)
    assert [u.id for u in found] == [a(0), a(3), "2026-03-01T00-06-00Z-other"]
    assert [u.outcome for u in found] == [Outcome.KEPT, Outcome.ROLLED_BACK, None]
    assert [u.seconds for u in found] == [60.0, 60.0, None]
    assert found[1].safety == [HISTORY[5]]


def test_their_names() -> None:
    known = upgrades(HISTORY)
    for selector, wanted in ((a(3), 1), ("2026-03-01T00-03", 1), ("other", 2), ("latest", 2)):
        assert choose_upgrade(known, selector) is known[wanted]
    for selector in ("npm", "2026", "nothing", ""):
        with pytest.raises(NoSuchSnapshotError):
            choose_upgrade(known, selector)
    assert part_of(known, f"{a(0)}@pre") is HISTORY[0]
    assert part_of(known, f"{a(0)}@post") is HISTORY[1]
    assert part_of(known, "latest") is None
    with pytest.raises(NoSuchSnapshotError, match="cut short"):
        part_of(known, "other@post")


def test_ids_of_one_second_differ() -> None:
    first = upgrade_id(START, "To 2.0!", [])
    assert first == "2026-03-01T00-00-00Z-to-2.0"
    assert upgrade_id(START, "To 2.0!", [first]) == f"{first}-2"
    assert upgrade_id(START, "To 2.0!", [first, f"{first}-2"]) == f"{first}-3"


def test_retention_counts_an_upgrade_once_with_all_that_belongs_to_it() -> None:
    decisions = decide(HISTORY, Policy(keep_last=3), now=START, zone=UTC, newest_verified=None)
    assert {d.snapshot.id for d in decisions if d.keep} == {s.id for s in HISTORY[2:]}
    decisions = decide(HISTORY, Policy(keep_last=2), now=START, zone=UTC, newest_verified=None)
    assert {d.snapshot.id for d in decisions if d.keep} == {s.id for s in HISTORY[3:]}
