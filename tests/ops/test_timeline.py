"""The timeline's tip is what is installed: after a rollback it goes on with what was gone back to, and says so."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitsnap.core.errors import StopRequestedError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.ops.capture import import_copies
from gitsnap.ops.capture.import_copies import ImportRequest
from gitsnap.ops.capture.import_sources import Source
from gitsnap.ops.process.processes import Polling
from gitsnap.ops.restore import merge, recover, rollback, undo
from gitsnap.ops.restore.merge import MergeOptions
from gitsnap.ops.restore.recover import Direction
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.store import retention
from gitsnap.ops.upgrade.lifecycle import Upgrade
from gitsnap.ops.upgrade.result import UpgradeRequest
from gitsnap.ops.upgrade.run import Launch, run
from gitsnap.sidecar import rollbacks, salvage, selectors
from gitsnap.sidecar.git import refs
from tests.support.inprocess import START, Protected, workspace


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app/sub").mkdir(parents=True)
        (top / "app/V").write_text("1\n")
        (top / "app/sub/other").write_text("same\n")
        with Protected(top / "app", top / "home") as found:
            yield found


def version(place: Protected, number: int) -> str:
    """The id of a snapshot of this version."""
    (place.root / "V").write_text(f"{number}\n")
    return place.take().snapshot.id


def subjects(place: Protected) -> list[str]:
    return place.git("log", "--format=%s", "timeline").decode().splitlines()


def shown(place: Protected) -> str:
    """What the timeline says is installed; it is in order, and git and gitsnap find nothing wrong."""
    place.assert_sound()
    return place.git("show", "timeline:V").decode().strip()


def installed(place: Protected) -> str:
    return (place.root / "V").read_text().strip()


def agree(place: Protected, number: int) -> None:
    assert (shown(place), installed(place)) == (str(number), str(number))


def test_a_rollback_is_told(place: Protected) -> None:
    first, second = version(place, 1), version(place, 2)
    place.rollback(first)
    agree(place, 1)
    safety = place.snapshots()[-1].id
    assert subjects(place)[:3] == [
        f"rollback: back to {first}",
        f"safety: before {first} came back",
        "manual: snapshot",
    ]
    place.rollback(second)
    agree(place, 2)
    assert subjects(place)[2] == f"rollback: back to {first}", "what came before is told, too"
    assert place.snapshots()[-1].id != safety


def test_undo_and_redo(place: Protected) -> None:
    first = version(place, 1)
    version(place, 2)
    place.rollback(first)
    for step, number in ((undo.undo, 2), (undo.redo, 1), (undo.undo, 2)):
        assert step(place.sidecar, place.settings, RollbackOptions(place.now)).verified
        agree(place, number)


def test_what_follows_goes_on_from_there(place: Protected) -> None:
    first = version(place, 1)
    version(place, 2)
    place.rollback(first)
    tip = place.git("rev-parse", "timeline")
    version(place, 3)
    agree(place, 3)
    assert place.git("rev-parse", "timeline~1") == tip, "nothing of it was rewritten: a push sends what is new"
    assert b"-1\n+3\n" in place.git("show", "--format=", "timeline", "--", "V")


def test_nothing_to_do_is_told_where_the_tip_shows_another_state(place: Protected) -> None:
    first = version(place, 1)
    second = version(place, 2)
    (place.root / "V").write_text("1\n")
    assert place.rollback(first).applied
    agree(place, 1)
    before = subjects(place)
    place.rollback(first)
    assert subjects(place) == before, "once is enough"
    place.rollback(second)
    agree(place, 2)


def test_one_path_brought_back_makes_the_state_of_a_snapshot(place: Protected) -> None:
    first = version(place, 1)
    (place.root / "V").unlink()
    place.rollback("latest", [b"V"])
    agree(place, 1)
    assert subjects(place)[0] == f"rollback: back to {first}"


def test_one_path_brought_back_into_another_state_is_an_edit(place: Protected) -> None:
    first = version(place, 1)
    (place.root / "sub/other").write_text("changed\n")
    version(place, 2)
    place.rollback(first, [b"V"])
    assert subjects(place)[0] == f"safety: before 1 path of {first} came back"
    assert place.take().snapshot.kind is Kind.MANUAL
    agree(place, 1)
    undo.undo(place.sidecar, place.settings, RollbackOptions(place.now))


def test_a_failed_run_is_told_with_its_outcome(place: Protected) -> None:
    version(place, 4)
    upgrade = Upgrade(place.sidecar, UpgradeRequest("up", checks=("false",)), place.settings, clock=lambda: place.now)
    upgrade.begin()
    run(upgrade, Launch(["sh", "-c", f"echo 5 >'{place.root}/V'"], os.environ), Polling())
    agree(place, 4)
    said = place.git("log", "-1", "--format=%(trailers:key=Gitsnap-Upgrade,key=Gitsnap-Outcome)", "timeline").decode()
    assert said.split("\n")[:2] == [f"Gitsnap-Upgrade: {upgrade.id}", "Gitsnap-Outcome: rolled-back"]


class StopAfter:
    """Stops a rollback when it has asked so many times whether it shall stop."""

    def __init__(self, questions: int) -> None:
        self._left = questions

    @contextmanager
    def deferred(self) -> Iterator[Callable[[], bool]]:
        yield self._ask

    def _ask(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.mark.parametrize(("how", "number"), [(Direction.FINISH, 1), (Direction.REVERT, 2)])
@pytest.mark.parametrize("questions", [4, 5])
def test_an_interrupted_one_is_told_as_it_was_settled(
    place: Protected, how: Direction, number: int, questions: int
) -> None:
    first = version(place, 1)
    (place.root / "sub/other").write_text("changed\n")
    (place.root / "third").write_text("new\n")
    version(place, 2)
    before = subjects(place)
    with pytest.raises(StopRequestedError):
        rollback.rollback(
            place.sidecar, first, place.settings, RollbackOptions(place.now, interrupts=StopAfter(questions))
        )
    assert place.sidecar.pending is not None
    assert recover.recover(place.sidecar, how, place.settings, RollbackOptions(place.now)).verified
    agree(place, number)
    assert (subjects(place)[0] == f"rollback: back to {first}") == (how is Direction.FINISH)
    assert before == subjects(place)[-2:]


def test_edits_since_are_kept(place: Protected) -> None:
    (place.root / "mine").write_text("a\n")
    first = version(place, 1)
    upgrade = Upgrade(place.sidecar, UpgradeRequest("up"), place.settings, clock=lambda: place.now)
    upgrade.begin()
    run(upgrade, Launch(["sh", "-c", f"echo 2 >'{place.root}/V'"], os.environ), Polling())
    (place.root / "mine").write_text("b\n")
    merge.keep_edits(place.sidecar, None, place.settings, MergeOptions(place.now))
    agree(place, 1)
    assert place.git("show", "timeline:mine") == b"b\n"
    assert first in {s.id for s in place.snapshots()}


def test_a_removed_target_is_not_kept_alive(place: Protected) -> None:
    (place.root / "big").write_text("only in the first\n")
    first = version(place, 1)
    oid = place.git("rev-parse", "timeline:big").decode().strip()
    (place.root / "big").unlink()
    second = version(place, 2)
    place.rollback(first)
    agree(place, 1)
    (place.root / "big").unlink()
    version(place, 3)
    place.delete(first)
    assert not any("back to" in line for line in subjects(place))
    agree(place, 3)
    place.collect()
    assert place.git("for-each-ref", "refs/gitsnap/rollbacks") == b""
    assert oid.encode() not in place.git("cat-file", "--batch-all-objects", "--batch-check")
    assert second in {s.id for s in place.snapshots()}


def test_the_state_stays_where_another_snapshot_has_it(place: Protected) -> None:
    version(place, 1)
    twin = place.take().snapshot.id
    version(place, 2)
    place.rollback(twin)
    safety = place.snapshots()[-1].id
    place.delete(twin)
    agree(place, 1)
    place.delete(safety)
    agree(place, 1)


def test_the_number_of_records_is_bounded_by_that_of_snapshots(place: Protected) -> None:
    ids = [version(place, 1), version(place, 2)]
    for each in ids:
        retention.pin(place.sidecar, each, place.settings)
    place.keep(keep_last=1)
    for _ in range(4):
        for each in ids:
            place.rollback(each)
    place.collect()
    held = place.git("for-each-ref", "refs/gitsnap/rollbacks").splitlines()
    assert len(held) <= len(place.snapshots())
    agree(place, 2)


def test_rebuilt_byte_for_byte(place: Protected) -> None:
    place.settings = replace(place.settings, author="Anna Muster <anna@example.org>")
    first = version(place, 1)
    version(place, 2)
    place.rollback(first)
    extra = version(place, 3)
    place.rollback(first)
    tip = place.git("rev-parse", "timeline")
    place.git("update-ref", "-d", "refs/heads/timeline")
    place.reopen()
    place.delete(version(place, 4))
    assert place.git("rev-parse", "timeline") == tip
    assert place.git("log", "-1", "--format=%an <%ae> %cn", "timeline") == b"Anna Muster <anna@example.org> gitsnap\n"
    assert extra


def _old_chain(place: Protected) -> str:
    """The timeline as sidecars of before have it, put together by hand: (docs/internals/format.md)."""
    parent = ""
    for s in place.snapshots():
        data = place.git("cat-file", "commit", s.commit)
        line = f"parent {parent}\n".encode() if parent else b""
        data = data[:46] + line + data[46:]
        parent = hashlib.sha1(b"commit %d\0%s" % (len(data), data)).hexdigest()
    return parent


def test_an_old_sidecars_timeline_is_as_it_was(place: Protected) -> None:
    first = version(place, 1)
    version(place, 2)
    old = _old_chain(place)
    assert place.git("log", "--format=%an", "timeline") == b"gitsnap\ngitsnap\n"
    assert place.git("rev-parse", "timeline").decode().strip() == old
    place.settings = replace(place.settings, author="Anna Muster <anna@example.org>")
    place.rollback(first)
    agree(place, 1)
    assert place.git("rev-parse", "timeline~2").decode().strip() == old


def test_a_commit_of_it_means_the_snapshot_gone_back_to(place: Protected) -> None:
    first = version(place, 1)
    version(place, 2)
    place.rollback(first)
    tip = place.git("rev-parse", "timeline").decode().strip()
    assert selectors.choose(place.sidecar, tip[:12]).id == first


def test_salvage_finds_a_commit_beyond_it(place: Protected) -> None:
    first, second = version(place, 1), version(place, 2)
    place.rollback(first)
    path = place.store / refs.SNAPSHOTS / second
    path.write_text("0" * 39 + "1\n")
    place.reopen()
    assert salvage.choose(place.sidecar, second).id == second


def test_a_lost_record_is_told_and_the_next_snapshot_mends_the_timeline(place: Protected) -> None:
    first = version(place, 1)
    version(place, 2)
    place.rollback(first)
    (name,) = place.git("for-each-ref", "--format=%(refname)", "refs/gitsnap/rollbacks").decode().split()
    place.git("update-ref", "-d", name)
    place.reopen()
    found = {v.snapshot for v in place.verify() if v.problems}
    assert "timeline" in found
    version(place, 3)
    assert "timeline" not in {v.snapshot for v in place.verify() if v.problems}


def test_imported_copies_do_not_hide_what_is_installed(place: Protected) -> None:
    first = version(place, 1)
    version(place, 2)
    place.rollback(first)
    copy = place.root.parent / "copy"
    copy.mkdir()
    (copy / "V").write_text("9\n")
    for at in (START - timedelta(days=1), START + timedelta(days=1)):
        import_copies.take_in(place.sidecar, Source(str(copy), str(copy)), ImportRequest(at), place.settings)
        agree(place, 1)
    version(place, 3)
    agree(place, 3)


NUMBERS = st.integers(0, 5)


def _snapshot(number: int, sequence: int, tree: int, kind: Kind) -> Snapshot:
    when, name = START + timedelta(seconds=number), f"2026-03-01T12-00-{number:02d}Z-x"
    return Snapshot(name, "c", f"{tree}", when, kind, "x", "", 0, 0, "", "", sequence=sequence)


@given(st.lists(st.tuples(NUMBERS, st.booleans()), max_size=8), st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8))
def test_places(taken: list[tuple[int, bool]], done: list[tuple[int, int]]) -> None:
    """At most one between two that were taken, none before all, all with a living tree, and in order."""
    living = [_snapshot(n, n + 1, tree, Kind.IMPORTED if copy else Kind.MANUAL) for n, (tree, copy) in enumerate(taken)]
    returns = [
        rollbacks.Return(f"gone-{n}", sequence, "t", f"{tree}", START, f"{n}", b"")
        for n, (sequence, tree) in enumerate(done)
    ]
    found = rollbacks.places(returns, living)
    assert 0 not in found
    assert {r.tree for r in found.values()} <= {s.tree for s in living}
    for place in found:
        assert place == len(living) or living[place].kind is not Kind.IMPORTED
    ordered = [found[place].sequence for place in sorted(found)]
    assert ordered == sorted(ordered)
    for place, each in found.items():
        later = [s for s in living[place:] if s.kind is not Kind.IMPORTED]
        assert all((s.sequence or 0) > each.sequence for s in later)
    assert rollbacks.places(found.values(), living) == found, "what does not stand can go"
