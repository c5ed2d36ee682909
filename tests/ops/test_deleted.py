"""The bin: what was deleted comes back whole, until a gc makes it final."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitsnap.core.errors import IntegrityError, NoSuchSnapshotError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.ops.capture.request import Request
from gitsnap.ops.store import deleted, gc, retention
from gitsnap.sidecar import catalog, withdraw
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.state import register
from tests.support.inprocess import Protected, workspace


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as found:
            yield found


def take(place: Protected, text: str, **more: str) -> Snapshot:
    (place.root / "f").write_text(text)
    return place.take(Request(**more)).snapshot  # type: ignore[arg-type]


def undelete(place: Protected, *names: str) -> list[str]:
    return [s.id for s in deleted.undelete(place.sidecar, names, place.settings, now=place.now)]


def lying(place: Protected) -> list[str]:
    return [d.snapshot.id for d in catalog.deleted(place.sidecar, place.snapshots())[0]]


def content(place: Protected, snapshot: Snapshot) -> bytes:
    return place.git("cat-file", "blob", f"{snapshot.commit}:f")


def test_what_was_deleted_comes_back_as_it_was(place: Protected) -> None:
    one, two, three = (take(place, text) for text in "123")
    tip = place.git("rev-parse", refs.TIMELINE)
    place.delete(two.id, one.id)
    assert lying(place) == [one.id, two.id]
    assert [s.id for s in place.snapshots()] == [three.id]
    place.assert_sound()
    assert undelete(place, one.id, two.id) == [one.id, two.id]
    assert place.snapshots() == [one, two, three] and lying(place) == []
    assert place.git("rev-parse", refs.TIMELINE) == tip
    assert content(place, two) == b"2"
    place.assert_sound()


def test_what_retention_removed_lies_there_too(place: Protected) -> None:
    one = take(place, "1")
    take(place, "2")
    place.prune(1)
    assert lying(place) == [one.id]
    assert undelete(place, one.id[:20]) == [one.id]
    place.assert_sound()


def test_snapshots_meanwhile_do_not_cost_its_notes(place: Protected) -> None:
    one = take(place, "1")
    take(place, "2")
    place.delete(one.id)
    for text in "345":
        take(place, text)
    place.delete(place.snapshots()[1].id)
    assert undelete(place, one.id) == [one.id]
    assert content(place, one) == b"1"
    place.assert_sound()


def test_a_gc_makes_it_final(place: Protected) -> None:
    one = take(place, "1")
    take(place, "2")
    place.delete(one.id)
    found = gc.collect(place.sidecar, place.settings, now=place.now)
    assert found.final == (one.id,) and found.spared == ()
    with pytest.raises(NoSuchSnapshotError, match="in the bin"):
        undelete(place, one.id)
    assert one.commit not in place.git("cat-file", "--batch-all-objects", "--batch-check").decode()
    place.assert_sound()


def test_a_gc_spares_what_was_deleted_lately(place: Protected) -> None:
    one, two, three = (take(place, text) for text in "123")
    place.delete(one.id)
    place.settings = replace(place.settings, keep_deleted=timedelta(days=7))
    now = place.now
    retention.delete(place.sidecar, [two.id], place.settings, now=now + timedelta(days=5))
    found = gc.collect(place.sidecar, place.settings, now=now + timedelta(days=8))
    assert (found.final, found.spared) == ((one.id,), (two.id,))
    assert undelete(place, two.id) == [two.id]
    assert place.snapshots() == [two, three]
    place.assert_sound()


def test_of_whose_time_nothing_is_known_a_gc_spares_nothing(place: Protected) -> None:
    one = take(place, "1")
    take(place, "2")
    place.delete(one.id)
    text = (place.store / "gitsnap/register").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("gone ")]
    old = f"gone {one.id}"
    (place.store / "gitsnap/register").write_text("\n".join([*lines, f"{old} {register._crc(old)}", ""]))
    assert list(register.load(place.sidecar).gone) == [one.id] and register.load(place.sidecar).whole
    assert catalog.deleted(place.sidecar, place.snapshots())[0][0].when is None
    place.settings = replace(place.settings, keep_deleted=timedelta(days=7))
    assert gc.collect(place.sidecar, place.settings, now=place.now).final == (one.id,)


def test_no_stock_gc_takes_it(place: Protected) -> None:
    one = take(place, "1")
    take(place, "2")
    place.delete(one.id)
    place.git("gc", "-q", "--prune=now")
    place.reopen()
    undelete(place, one.id)
    assert content(place, one) == b"1"
    place.assert_sound()


def test_one_that_is_damaged_does_not_come_back(place: Protected) -> None:
    one = take(place, "1" * 1000)
    take(place, "2")
    place.delete(one.id)
    blob = place.git("rev-parse", f"{one.commit}:f").decode().strip()
    place.git("unpack-objects", "-q", stdin=b"".join(p.read_bytes() for p in packs(place)[:1]))
    for pack in packs(place):
        place.git("unpack-objects", "-q", stdin=pack.read_bytes())
    for pack in packs(place):
        for part in pack.parent.glob(f"{pack.stem}.*"):
            data = part.read_bytes()
            part.unlink()
            if part == pack:
                place.git("unpack-objects", "-q", stdin=data)
    (place.store / "objects" / blob[:2] / blob[2:]).unlink()
    place.reopen()
    with pytest.raises(IntegrityError, match="lacks the content"):
        undelete(place, one.id)
    assert lying(place) == [one.id] and one.id not in [s.id for s in place.snapshots()]


def packs(place: Protected) -> list[Path]:
    return sorted((place.store / "objects/pack").glob("*.pack"))


def test_what_is_not_in_the_bin_is_said(place: Protected) -> None:
    one, two, _ = (take(place, text) for text in "123")
    place.delete(one.id, two.id)
    for selector, words in ((one.id[:4], "several"), ("1999", "no snapshot"), ("", "no snapshot")):
        with pytest.raises(NoSuchSnapshotError, match=words):
            undelete(place, selector)


def test_an_upgrade_keeps_what_became_of_it(place: Protected) -> None:
    pre = take(place, "1", kind=Kind.PRE, upgrade="u1")  # type: ignore[arg-type]
    take(place, "2")
    place.delete(pre.id)
    assert undelete(place, pre.id) == [pre.id]
    assert place.snapshots()[0] == pre


@given(st.lists(st.tuples(st.sampled_from(["take", "delete", "undelete", "gc"]), st.integers(0, 9)), max_size=14))
@settings(max_examples=15)
def test_whatever_comes_in_what_order_nothing_is_lost_but_by_gc(steps: list[tuple[str, int]]) -> None:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as place:
            there: dict[str, Snapshot] = {}
            binned: dict[str, Snapshot] = {}
            for step, number in steps:
                source = binned if step == "undelete" else there
                chosen = sorted(source)[number % len(source)] if source else None
                if step == "take":
                    fresh = take(place, str(number))
                    there[fresh.id] = fresh
                elif step == "gc":
                    place.collect()
                    binned.clear()
                elif chosen and step == "delete":
                    place.delete(chosen)
                    binned[chosen] = there.pop(chosen)
                elif chosen:
                    undelete(place, chosen)
                    there[chosen] = binned.pop(chosen)
            assert {s.id: s for s in place.snapshots()} == there
            assert set(lying(place)) == set(binned)
            if there:
                place.assert_sound()


def test_a_deletion_that_broke_off_after_the_bin_had_it_costs_nothing(
    place: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = take(place, "1"), take(place, "2")
    real = place.sidecar.refs.remove

    def killed(name: str, old: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place.sidecar.refs, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        place.delete(one.id)
    monkeypatch.setattr(place.sidecar.refs, "remove", real)
    place.reopen()
    assert place.snapshots() == [one, two] and lying(place) == []
    place.collect()
    assert place.sidecar.refs.below(refs.DELETED, {}) == {}
    assert place.snapshots() == [one, two]
    place.assert_sound()


def test_a_snapshot_that_fails_its_checks_is_not_in_the_bin(place: Protected) -> None:
    one, two = take(place, "1"), take(place, "2")
    with place.sidecar.writing(1):
        withdraw.withdraw(place.sidecar, [one, two], [two], place.now)
    assert lying(place) == [] and place.snapshots() == [one]
    place.assert_sound()
