"""Undo: what the last rollback or restore did is reversed, and no more than that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.core.errors import NoSuchSnapshotError
from gitsnap.ops.restore import recover
from gitsnap.ops.restore.rollback import Restored
from tests.support.inprocess import Protected, workspace
from tests.support.installation import build_app, copy_tree, same_tree, upgrade


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top, Protected(build_app(top / "app"), top / "home") as found:
        yield found


def undo(place: Protected) -> Restored:
    return recover.undo(place.sidecar, place.settings, now=place.now)


def test_nothing_to_undo(place: Protected) -> None:
    place.take()
    with pytest.raises(NoSuchSnapshotError, match="nothing to undo"):
        undo(place)


def test_undo_and_undo_again(place: Protected) -> None:
    top = place.root.parent
    first = place.take().snapshot.id
    wanted = copy_tree(place.root, top / "wanted")
    upgrade(place.root)
    upgraded = copy_tree(place.root, top / "upgraded")
    place.rollback(first)
    for tree in (upgraded, wanted, upgraded):
        assert undo(place).verified
        same_tree(tree, place.root)


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
    import os

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
