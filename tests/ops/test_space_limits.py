"""Limits on space: what goes is what has to, its space comes back at once, and what is protected stays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gitsnap.core.errors import GitsnapError
from gitsnap.core.events import SILENT
from gitsnap.core.model import Kind, Snapshot
from gitsnap.core.retention import Policy
from gitsnap.core.space import Kept, Limits, told
from gitsnap.ops.capture import space_needed
from gitsnap.ops.capture.request import Capture, Captured, Request
from gitsnap.ops.live import exclusions
from gitsnap.ops.store import limits, retention
from gitsnap.sidecar import catalog
from gitsnap.sidecar.state import limits_followed
from tests.support.inprocess import SETTINGS, Protected, workspace

SIZE = 300_000


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as found:
            yield found


def version(place: Protected, request: Request = Request()) -> Snapshot:  # noqa: B008 - never changed
    (place.root / "data.bin").write_bytes(os.urandom(SIZE))
    return place.take(request).snapshot


def limit(place: Protected, **limit: float) -> None:
    place.settings = replace(SETTINGS, limits=Limits(**limit))  # type: ignore[arg-type]


def follow(place: Protected) -> None:
    """The limits are no news."""
    limits_followed.store(place.sidecar, place.settings.limits)


def ids(place: Protected) -> list[str]:
    return [s.id for s in place.snapshots()]


def keep(place: Protected, *, agreed: bool = False) -> Kept | None:
    return limits.keep(place.sidecar, place.settings, now=place.now, agreed=agreed)


def test_each_snapshot_keeps_the_sidecar_below_its_size(place: Protected) -> None:
    limit(place, max_size=4 * SIZE)
    names = [version(place).id for _ in range(8)]
    assert place.sidecar.disk_bytes() <= 4 * SIZE
    left = ids(place)
    assert left == names[-len(left) :] and len(left) == 3
    place.assert_sound()


def test_the_snapshot_says_what_went_and_how_long_it_took(place: Protected) -> None:
    limit(place, max_size=3 * SIZE)
    first = version(place).id
    version(place)
    (place.root / "data.bin").write_bytes(os.urandom(SIZE))
    done: Captured = place.take()
    (kept,) = done.kept
    assert (kept.removed, kept.short, kept.problem) == ((first,), 0, "")
    assert kept.freed >= SIZE and kept.duration > 0
    assert told(kept)[0].startswith("limits (at most 900 kB): removed 2026-")


def test_what_lies_in_the_bin_goes_first(place: Protected) -> None:
    names = [version(place).id for _ in range(4)]
    place.delete(names[2])
    limit(place, max_size=place.sidecar.disk_bytes() - SIZE // 2)
    kept = keep(place)
    assert kept and kept.final == (names[2],) and not kept.removed
    assert ids(place) == [names[0], names[1], names[3]]


def test_a_gc_alone_costs_no_snapshot(place: Protected) -> None:
    names = [version(place).id for _ in range(3)]
    place.delete(names[0])
    place.settings = replace(place.settings, keep_deleted=None)
    place.collect()
    # What a snapshot that was given up has left.
    loose = place.git("hash-object", "-w", "--stdin", stdin=os.urandom(SIZE))
    assert loose
    limit(place, max_size=place.sidecar.disk_bytes() - SIZE // 2)
    kept = keep(place)
    assert kept and kept.freed > SIZE // 2 and not kept.short and not kept.removed
    assert ids(place) == names[1:]


def test_what_shares_its_content_frees_nothing_and_stays(place: Protected) -> None:
    """The oldest is in the others whole: it need not go, and the next, which frees enough, does."""
    (place.root / "base.bin").write_bytes(os.urandom(SIZE))
    oldest = place.take().snapshot.id
    large = version(place).id
    (place.root / "data.bin").unlink()
    place.take()
    last = place.take(Request(message="last")).snapshot.id
    limit(place, max_size=place.sidecar.disk_bytes() - SIZE // 2)
    kept = keep(place)
    assert kept and kept.removed == (large,)
    assert ids(place)[0] == oldest and ids(place)[-1] == last


def test_what_is_protected_stays_and_what_is_lacking_is_said(place: Protected) -> None:
    pinned = version(place, Request(pin=True)).id
    goes = version(place).id
    verified = version(place).id
    place.verify()
    last = version(place).id
    place.rollback(verified)
    safety = ids(place)[-1]
    limit(place, max_size=SIZE)
    follow(place)
    kept = keep(place)
    assert kept and kept.short > 0 and kept.removed == (goes,)
    assert "too much, and nothing more may go" in told(kept)[-1]
    assert {pinned, last, safety} <= {*ids(place)}
    place.assert_sound()


def test_for_a_disk_that_others_fill_nothing_is_given_away(place: Protected) -> None:
    names = [version(place).id for _ in range(3)]
    here = limits.room(place.sidecar)
    limit(place, min_free=here.total + 100 * SIZE)
    follow(place)
    kept = keep(place, agreed=True)
    assert kept and kept.short > 0 and not kept.removed
    assert ids(place) == names and not kept.freed, "and no gc after each snapshot brings back next to nothing"


def test_free_space_is_kept_where_that_helps(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [version(place).id for _ in range(3)]
    here = limits.room(place.sidecar)
    # Others write there, and make room, while this is at work.
    monkeypatch.setattr(limits, "room", lambda _: here)
    wanted = Limits(min_free=here.free + SIZE // 2)
    assert wanted.lacking(here) == SIZE // 2
    assert Limits(min_free_share=100 * (here.free + SIZE) / here.total).lacking(here) == pytest.approx(SIZE, abs=9)
    place.settings = replace(SETTINGS, limits=wanted)
    found = limits.plan(place.sidecar, place.settings, now=place.now)
    assert [s.id for s in found.removed] == names[:1]


def test_new_limits_do_not_cost_many_before_somebody_says_so(place: Protected) -> None:
    names = [version(place).id for _ in range(5)]
    limit(place, max_size=2 * SIZE)
    kept = keep(place)
    assert kept and kept.waiting and not kept.removed
    assert ids(place) == names
    assert "are new" in told(kept)[0]
    kept = keep(place, agreed=True)
    assert kept and len(kept.removed) > 1 and not kept.short
    assert place.sidecar.disk_bytes() <= 2 * SIZE


def test_an_upgrade_goes_with_all_that_tells_of_it_or_stays(place: Protected) -> None:
    pre = version(place, Request(kind=Kind.PRE, upgrade="u")).id
    post = version(place, Request(kind=Kind.POST, upgrade="u")).id
    last = version(place).id
    limit(place, max_size=place.sidecar.disk_bytes() - SIZE // 2)
    kept = keep(place)
    assert kept and kept.removed == (pre, post)
    assert ids(place) == [last]


def test_prune_foresees_what_limits_take(place: Protected) -> None:
    names = [version(place).id for _ in range(4)]
    limit(place, max_size=place.sidecar.disk_bytes() - SIZE // 2)
    every = retention.prune(place.sidecar, Policy(keep_last=9), place.settings, now=place.now, dry_run=True)
    decisions, kept = limits.foreseen(place.sidecar, place.settings, every, now=place.now)
    assert kept and kept.removed == (names[0],) and kept.freed >= SIZE
    assert [d.snapshot.id for d in decisions if not d.keep] == names[:1]
    assert ids(place) == names


def test_what_would_be_freed_is_what_is_freed(place: Protected) -> None:
    (place.root / "shared.txt").write_text("the same in all\n" * 5000)
    for _ in range(6):
        version(place)
    limit(place, max_size=place.sidecar.disk_bytes() - 2 * SIZE - SIZE // 2)
    follow(place)
    foreseen = limits.plan(place.sidecar, place.settings, now=place.now)
    kept = keep(place)
    assert kept and abs(kept.freed - foreseen.freed) < 0.05 * foreseen.freed + 40_000


def test_a_snapshot_that_does_not_fit_writes_nothing(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    free = space_needed.os.statvfs(place.sidecar.path)

    class Full:
        f_frsize, f_bavail, f_bfree = free.f_frsize, 3_000_000 // free.f_frsize, 3_000_000 // free.f_frsize

    monkeypatch.setattr(space_needed.os, "statvfs", lambda _: Full)
    version(place)
    before = place.sidecar.disk_bytes()
    (place.root / "large").write_bytes(os.urandom(4_000_000))
    with pytest.raises(GitsnapError, match="will not fit") as refused:
        place.take()
    assert refused.value.kind == "no-space" and "nothing was written" in refused.value.message
    assert place.sidecar.disk_bytes() == before and not os.listdir(place.sidecar.scratch)
    # What deflates well, or is there already, fits.
    (place.root / "large").write_bytes(bytes(40_000_000))
    place.take()
    (place.root / "data.bin").touch()
    place.take()
    assert len(catalog.snapshots(place.sidecar)) == 3


def test_before_the_first_snapshot_nobody_looks_where_all_of_the_file_system_would_fit(
    place: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    monkeypatch.setattr(space_needed, "_count", lambda *of: looked.append(of) or (0, 0))
    for used, looks in ((1 << 60, True), (None, True), (1, False)):
        monkeypatch.setattr(space_needed, "used", lambda _, used=used: used)
        looked.clear()
        (place.root / "data.bin").write_bytes(b"1")
        place.take()
        assert bool(looked) is looks, used
        place.delete(*ids(place))


def test_what_would_have_to_be_read_is_added_up_without_reading(place: Protected) -> None:
    root = place.root
    version(place)
    count = len(place.inventory(place.snapshots()[-1]).entries)
    # What had just been written has a row that does not hold.
    time.sleep(0.07)
    place.take()
    rules = exclusions.current(str(root), place.settings)
    excludes = exclusions.as_predicate(rules)
    capture = Capture(place.sidecar, Request(), place.settings, place.now, SILENT, [], excludes)
    assert space_needed._count(capture) == (count, 0)
    (root / "small").write_bytes(bytes(1000))
    (root / "large").write_bytes(bytes(5 << 20))
    os.link(root / "large", root / "again")
    (root / "deeper").mkdir()
    (root / "deeper/f").write_bytes(bytes(7))
    os.mkfifo(root / "deeper/pipe")
    os.chmod(root / "small", 0)
    assert space_needed._count(capture) == (count + 6, 1007 + (5 << 20))
