"""Undo: what the last rollback or restore did is reversed, and no more than that."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gitsnap.core.errors import GitsnapError, NoSuchSnapshotError
from gitsnap.core.model import Kind
from gitsnap.installation.disk import Disk
from gitsnap.ops.capture.request import Request
from gitsnap.ops.report import history
from gitsnap.ops.restore import recover, rollback
from gitsnap.ops.restore import undo as undoing
from gitsnap.ops.restore.result import Direction, Restored
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.sidecar.repository import Sidecar
from tests.support.inprocess import Protected, workspace
from tests.support.installation import build_app, copy_tree, same_tree, upgrade


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top, Protected(build_app(top / "app"), top / "home") as found:
        yield found


def test_where_nothing_is_to_be_done_an_older_state_is_named(place: Protected) -> None:
    def further(to: str, *paths: bytes) -> str | None:
        done = place.rollback(to, paths)
        assert (done.plan.steps, done.applied) == ([], True)
        return done.further_back.id if done.further_back else None

    oldest = place.take().snapshot.id
    assert further("latest") is None
    (place.root / "new").write_bytes(b"1")
    changed = place.take().snapshot.id
    # One that holds the same is no way further back, nor is one that a rollback has taken.
    place.take()
    (place.root / "new").write_bytes(b"2")
    assert place.rollback("latest").further_back is None
    again = place.take().snapshot.id
    assert further(again) == oldest
    assert further(changed) == oldest
    # Whoever asked for a path did not ask for the whole directory.
    assert further(again, b"new") is None
    assert place.rollback(again, dry_run=True).further_back is not None


def undo(place: Protected) -> Restored:
    return undoing.undo(place.sidecar, place.settings, RollbackOptions(place.now))


def test_nothing_to_undo(place: Protected) -> None:
    place.take()
    with pytest.raises(NoSuchSnapshotError, match="nothing to undo"):
        undo(place)


def redo(place: Protected) -> Restored:
    return undoing.redo(place.sidecar, place.settings, RollbackOptions(place.now))


def test_undo_and_redo(place: Protected) -> None:
    top = place.root.parent
    first = place.take().snapshot.id
    wanted = copy_tree(place.root, top / "wanted")
    upgrade(place.root)
    upgraded = copy_tree(place.root, top / "upgraded")
    place.rollback(first)
    for step, tree in ((undo, upgraded), (redo, wanted), (undo, upgraded)):
        assert step(place).verified
        same_tree(tree, place.root)


def write(place: Protected, text: str) -> None:
    (place.root / "state").write_text(text)


def test_undo_walks_back_and_redo_forward_again(place: Protected) -> None:
    """What came first is v0; each rollback to it takes away v1, v2, v3 in turn."""
    write(place, "v0")
    first = place.take().snapshot.id
    for text in ("v1", "v2", "v3"):
        write(place, text)
        place.rollback(first)
    seen = []
    for step in (undo, undo, undo, redo, redo, undo, redo, redo):
        assert step(place).verified
        seen.append((place.root / "state").read_text())
    assert seen == ["v3", "v2", "v1", "v2", "v3", "v2", "v3", "v0"]
    with pytest.raises(NoSuchSnapshotError, match="nothing to redo"):
        redo(place)
    place.assert_sound()


def test_everything_undone_is_said_with_the_way_forward(place: Protected) -> None:
    first = place.take().snapshot.id
    write(place, "v1")
    place.rollback(first)
    undo(place)
    with pytest.raises(NoSuchSnapshotError, match="was undone") as raised:
        undo(place)
    assert "redo" in (raised.value.hint or "")


@pytest.mark.parametrize("what", ["rollback", "restore", "upgrade", "snapshot"])
def test_something_new_ends_what_could_be_redone(place: Protected, what: str) -> None:
    write(place, "v0")
    first = place.take().snapshot.id
    write(place, "v1")
    place.rollback(first)
    undo(place)
    if what == "upgrade":
        place.take(Request(kind=Kind.PRE, upgrade="u"))
    else:
        write(place, "v2")
        if what == "snapshot":
            place.take()
        else:
            place.rollback(first, [b"state"] if what == "restore" else ())
    with pytest.raises(NoSuchSnapshotError, match="nothing to redo"):
        redo(place)


def test_a_snapshot_of_what_undo_brought_back_ends_nothing(place: Protected) -> None:
    write(place, "v0")
    first = place.take().snapshot.id
    write(place, "v1")
    place.rollback(first)
    undo(place)
    place.take()
    assert redo(place).verified
    assert (place.root / "state").read_text() == "v0"


def test_what_was_undone_by_hand_is_a_step_of_undo_all_the_same(place: Protected) -> None:
    top = place.root.parent
    write(place, "v0")
    first = place.take().snapshot.id
    write(place, "v1")
    place.rollback(first)
    write(place, "v2")
    by_hand = copy_tree(place.root, top / "by-hand")
    place.rollback(first)
    shutil.copy2(by_hand / "state", place.root / "state")
    copy_tree_time(by_hand, place.root)
    done = undo(place)
    assert done.verified and not done.plan.steps
    assert undo(place).verified
    assert (place.root / "state").read_text() == "v1"
    assert redo(place).verified
    same_tree(by_hand, place.root)


def test_an_undo_that_was_taken_back_has_not_been_one(place: Protected) -> None:
    write(place, "v0")
    first = place.take().snapshot.id
    write(place, "v1")
    (place.root / "more").write_text("v1")
    place.rollback(first)
    child = os.fork()
    if child == 0:
        with suppress(BaseException), Sidecar(place.place.store) as own:
            undoing.undo(own, place.settings, RollbackOptions(place.now, disk=Dies()))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    place.reopen()
    settled = recover.recover(place.sidecar, Direction.REVERT, place.settings, RollbackOptions(place.now))
    assert settled.verified and (place.root / "state").read_text() == "v0"
    with pytest.raises(NoSuchSnapshotError, match="nothing to redo"):
        redo(place)
    assert undo(place).verified
    assert (place.root / "state").read_text() == "v1"
    assert redo(place).verified
    assert (place.root / "state").read_text() == "v0"
    place.assert_sound()


def test_of_what_is_gone_nothing_is_guessed(place: Protected) -> None:
    write(place, "v0")
    first = place.take().snapshot.id
    write(place, "v1")
    place.rollback(first)
    undo(place)
    write(place, "v2")
    last = place.rollback(first).safety
    assert last
    place.delete(last.id)
    with pytest.raises(NoSuchSnapshotError, match="gone"):
        redo(place)


def test_retention_keeps_what_undo_and_redo_bring_back(place: Protected) -> None:
    write(place, "v0")
    first = place.take().snapshot.id
    for text in ("v1", "v2"):
        write(place, text)
        place.rollback(first)
    undo(place)
    place.prune(keep_last=1)
    assert undo(place).verified
    assert (place.root / "state").read_text() == "v1"
    place.prune(keep_last=1)
    assert redo(place).verified
    assert (place.root / "state").read_text() == "v2"


def test_of_a_restore_only_its_paths_are_undone(place: Protected) -> None:
    top = place.root.parent
    first = place.take().snapshot.id
    upgrade(place.root)
    before = copy_tree(place.root, top / "before")
    place.rollback(first, [b"modules", b"bin/shop", b"current"])
    (place.root / "later.txt").write_text("made after the restore\n")
    assert undo(place).verified
    assert (place.root / "later.txt").read_text() == "made after the restore\n"
    (place.root / "later.txt").unlink()
    copy_tree_time(before, place.root)
    same_tree(before, place.root)


def copy_tree_time(source: Path, target: Path) -> None:
    """The root's own time has moved with what was made after the restore."""
    found = source.stat()
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_a_hard_link_that_a_restore_cut_is_whole_again(place: Protected) -> None:
    """config/shop.ini and config/shop.default are one file; only the first is restored."""
    top = place.root.parent
    first = place.take().snapshot.id
    (place.root / "config/shop.ini").write_text("changed under both names\n")
    before = copy_tree(place.root, top / "before")
    place.rollback(first, [b"config/shop.ini"])
    assert not (place.root / "config/shop.ini").samefile(place.root / "config/shop.default")
    assert undo(place).verified
    same_tree(before, place.root)


def test_what_was_changed_since_under_the_other_name_stays(place: Protected) -> None:
    first = place.take().snapshot.id
    (place.root / "config/shop.ini").write_text("changed under both names\n")
    place.rollback(first, [b"config/shop.ini"])
    (place.root / "config/shop.default").write_text("an edit after the restore\n")
    assert undo(place).verified
    assert (place.root / "config/shop.ini").read_text() == "changed under both names\n"
    assert (place.root / "config/shop.default").read_text() == "an edit after the restore\n"


class FailsOnce(Disk):
    """Has an error the first time that it stages content, or moves a name."""

    def __init__(self, when: str) -> None:
        self._when = when

    def _fail(self, what: str) -> None:
        if what == self._when:
            self._when = ""
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def create(self, parent: int, name: bytes) -> int:
        self._fail("staging")
        return super().create(parent, name)

    def exchange(self, stage: int, slot: bytes, parent: int, name: bytes) -> None:
        self._fail("moving")
        super().exchange(stage, slot, parent, name)


class Dies(Disk):
    """Is gone in the middle of moving names."""

    def exchange(self, stage: int, slot: bytes, parent: int, name: bytes) -> None:
        os._exit(9)


@pytest.mark.parametrize("when", ["staging", "moving"])
def test_a_rollback_that_came_to_nothing_is_not_the_last_one(place: Protected, when: str) -> None:
    """However often it is tried: it neither stands between undo and the last one, nor in the history."""
    first = place.take().snapshot.id
    upgrade(place.root)
    precious = copy_tree(place.root, place.root.parent / "precious")
    last = place.rollback(first).safety
    assert last
    known = [s.id for s in place.snapshots()]
    for _ in range(2):
        with pytest.raises(GitsnapError, match="nothing was changed" if when == "staging" else "put back"):
            rollback.rollback(place.sidecar, last.id, place.settings, RollbackOptions(place.now, disk=FailsOnce(when)))
        assert [s.id for s in place.snapshots()] == known
    assert len([e for e in history.history(place.sidecar, place.settings).episodes if e.type == "rollback"]) == 1
    assert undo(place).verified
    same_tree(precious, place.root)
    place.assert_sound()
