"""Snapshots into the bin, back, and for good: refs, pins, notes, timeline and register at each step."""

from __future__ import annotations

import pytest

from gitsnap.core.model import Snapshot
from gitsnap.sidecar import catalog, withdraw
from gitsnap.sidecar.git import notes, refs
from gitsnap.sidecar.state import register, seal
from tests.support.inprocess import Protected

NOTES = (refs.MANIFESTS, refs.METADATA)


@pytest.fixture
def taken(protected: Protected) -> list[Snapshot]:
    out = []
    for number in range(3):
        (protected.root / "f").write_text(f"{number}\n")
        out.append(protected.take().snapshot)
    return out


def timeline(place: Protected) -> list[str]:
    """The snapshots' trees along the timeline, newest first, as stock git has them."""
    if place.sidecar.refs.get(refs.TIMELINE) is None:
        return []
    return place.git("log", "--format=%T", "timeline").decode().split()


def noted(place: Protected) -> list[set[str]]:
    place.reopen()
    return [set(notes.load(place.sidecar.objects, place.sidecar.refs.get(ref))[0]) for ref in NOTES]


def names(place: Protected, prefix: str) -> set[str]:
    return set(place.sidecar.refs.below(prefix))


def test_into_the_bin_and_back(protected: Protected, taken: list[Snapshot]) -> None:
    sidecar, commits = protected.sidecar, {s.commit for s in taken}
    withdraw.delete(sidecar, taken, [taken[1]], protected.now)
    assert names(protected, refs.SNAPSHOTS) == {taken[0].id, taken[2].id}
    assert names(protected, refs.DELETED) == {taken[1].id}
    assert timeline(protected) == [taken[2].tree, taken[0].tree]
    assert noted(protected) == [commits, commits]
    assert register.load(protected.sidecar).gone.keys() == {taken[1].id}
    protected.assert_sound()
    living = catalog.snapshots(protected.sidecar)
    withdraw.undelete(protected.sidecar, living, [taken[1]], protected.now)
    assert names(protected, refs.DELETED) == set()
    assert timeline(protected) == [s.tree for s in reversed(taken)]
    assert [s.id for s in protected.snapshots()] == [s.id for s in taken]
    assert not register.load(protected.sidecar).gone
    protected.assert_sound()


@pytest.mark.parametrize("binned", [False, True])
def test_for_good(protected: Protected, taken: list[Snapshot], binned: bool) -> None:
    if binned:
        withdraw.delete(protected.sidecar, taken, [taken[2]], protected.now)
    withdraw.withdraw(protected.sidecar, taken[:2] if binned else taken, [taken[2]], protected.now)
    staying = {taken[0].commit, taken[1].commit}
    assert noted(protected) == [staying, staying]
    assert names(protected, refs.SNAPSHOTS) == {taken[0].id, taken[1].id}
    assert names(protected, refs.DELETED) == set()
    assert timeline(protected) == [taken[1].tree, taken[0].tree]
    protected.assert_sound()
    protected.git("gc", "--prune=now", "--quiet")
    assert protected.git("rev-list", "--objects", "--all").find(taken[2].commit.encode()) == -1
    protected.assert_sound()


def test_the_notes_of_what_is_in_the_bin_outlive_another_that_goes_for_good(
    protected: Protected, taken: list[Snapshot]
) -> None:
    withdraw.delete(protected.sidecar, taken, [taken[0]], protected.now)
    withdraw.withdraw(protected.sidecar, taken[1:], [taken[1]], protected.now)
    kept = {taken[0].commit, taken[2].commit}
    assert noted(protected) == [kept, kept]
    withdraw.undelete(protected.sidecar, [taken[2]], [taken[0]], protected.now)
    protected.assert_sound()


@pytest.mark.parametrize("way", [withdraw.delete, withdraw.withdraw])
def test_pins_go_with_what_they_hold(protected: Protected, taken: list[Snapshot], way: object) -> None:
    protected.sidecar.refs.create(refs.PINS + taken[0].id, taken[0].commit)
    living = catalog.snapshots(protected.sidecar)
    way(protected.sidecar, living, [s for s in living if s.pinned], protected.now)  # type: ignore[operator]
    assert names(protected, refs.PINS) == set()
    assert names(protected, refs.SNAPSHOTS) == {s.id for s in taken[1:]}
    protected.assert_sound()


@pytest.mark.parametrize("way", [withdraw.delete, withdraw.withdraw])
def test_the_last_one_takes_the_timeline_with_it(protected: Protected, taken: list[Snapshot], way: object) -> None:
    way(protected.sidecar, taken, taken, protected.now)  # type: ignore[operator]
    assert timeline(protected) == []
    assert protected.snapshots() == []
    sealed = seal.load(protected.sidecar)
    assert sealed is not None
    assert sealed.settled
    assert refs.TIMELINE not in sealed.allowed
    assert protected.git("fsck", "--full", "--strict", "--no-progress") == b""


def test_nothing_changes_where_the_register_cannot_be_written(protected: Protected, taken: list[Snapshot]) -> None:
    path = protected.sidecar.own("register")
    before = protected.sidecar.refs.below("refs/")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(register, "let_go", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left", path)))
        for way in (withdraw.delete, withdraw.withdraw):
            with pytest.raises(OSError, match="No space"):
                way(protected.sidecar, taken, [taken[0]], protected.now)
    protected.reopen()
    assert protected.sidecar.refs.below("refs/") == before
    protected.assert_sound()
