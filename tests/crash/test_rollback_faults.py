"""What a rollback that was killed half way comes to (tests/crash/test_torture_sample.py has the kills themselves)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.errors import GitsnapError
from gitsnap.ops.restore.result import Direction
from tests.support.inprocess import workspace
from tests.support.installation import remove_tree, run_gitsnap
from tests.torture import carried, upgraded
from tests.torture.upgraded import Upgraded

pytestmark = pytest.mark.faults


@pytest.fixture
def top() -> Iterator[Path]:
    with workspace() as where:
        yield where


@pytest.fixture
def half(top: Path) -> Upgraded:
    """A rollback that was killed half way."""
    scene = carried.recovery_scene(top, Direction.FINISH)
    scene.reset()
    return scene


def test_what_has_no_journal_is_lost(half: Upgraded) -> None:
    """The proof bites: with the journal gone, what a kill left is neither, and the judge says so."""
    with half.sidecar() as sidecar:
        Path(sidecar.own("journal.forward")).unlink()
    with pytest.raises(AssertionError, match="neither"):
        carried.recovers(half, None)


def test_what_is_not_synced_is_lost(top: Path) -> None:
    """The proof bites: with every sync left out, a power cut loses what was reported as done."""
    try:
        with carried.on_a_disk("ext4", upgraded.rollback_scene) as scene:
            for library, outcome in ((None, "new"), (upgraded.unsynced(top), "lost")):
                scene.reset()
                upgraded.synced()
                scene.complete({"LD_PRELOAD": str(library)} if library else {})
                assert scene.disk is not None
                scene.disk.cut()
                scene.disk.restart()
                if outcome == "new":
                    assert carried.recovers(scene, None) == "new"
                    continue
                with pytest.raises((AssertionError, ValueError, GitsnapError, OSError)):
                    assert carried.recovers(scene, None) == "new"
    except OSError as error:
        pytest.skip(str(error))


def test_a_snapshot_reported_is_there_after_a_power_cut() -> None:
    try:
        with carried.on_a_disk("ext4", upgraded.rollback_scene) as made:
            scene = replace(made, arguments=("snapshot",))
            scene.reset()
            upgraded.synced()
            told = scene.complete({})
            assert scene.disk is not None
            scene.disk.cut()
            scene.disk.restart()
            assert told.strip() in run_gitsnap("-C", scene.app, "list", home=scene.home).stdout
            assert carried.recovers(scene, None) == "old"
    except OSError as error:
        pytest.skip(str(error))


def test_the_next_command_says_so(half: Upgraded) -> None:
    """What looks says it and goes on; what changes stops, and says what to type."""
    app, home = half.app, half.home
    for words in (
        ("list",),
        ("show",),
        ("status",),
        ("diff", "--stat"),
        ("verify",),
        ("ls", "latest"),
        ("log", "data"),
    ):
        looked = run_gitsnap("-C", app, *words, home=home)
        assert "a rollback was interrupted" in looked.stderr, words
        assert "recover --revert" in looked.stderr, words
    assert ".gitsnap-txn" not in run_gitsnap("-C", app, "diff", "--name-status", home=home).stdout
    changing = ("snapshot",), ("rollback", "-y"), ("restore", "latest", "data"), ("undo",), ("prune",), ("gc",)
    for words in (*changing, ("delete", "latest"), ("pin", "latest"), ("unpin", "latest")):
        stopped = run_gitsnap("-C", app, *words, home=home, check=14)
        assert "gitsnap" in stopped.stderr, words
        assert "recover" in stopped.stderr, words
    assert "recovery" in run_gitsnap("-C", app, "doctor", home=home, check=1).stdout
    told = run_gitsnap("-C", app, "recover", home=home).stdout
    assert "verified" in told
    assert half.state() == "new"
    assert run_gitsnap("-C", app, "list", home=home).stderr == ""
    run_gitsnap("-C", app, "undo", home=home)
    assert half.state() == "old"


@pytest.mark.parametrize("way", [Direction.FINISH, Direction.REVERT])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "stage gone"])
def test_a_damaged_journal(damage: str, way: Direction, half: Upgraded) -> None:
    """It is noticed, and both snapshots are named; comparing everything leads to either."""
    with half.sidecar() as sidecar:
        journal = Path(sidecar.own("journal.forward"))
    data = bytearray(journal.read_bytes())
    if damage == "stage gone":
        (stage,) = half.app.glob(".gitsnap-txn.*")
        remove_tree(stage)
    else:
        data[len(data) // 2] ^= 1
        kept = {"flipped": len(data), "truncated": len(data) // 2, "empty": 0}[damage]
        journal.write_bytes(data[:kept])
    told = run_gitsnap("-C", half.app, "recover", home=half.home, check=12).stderr
    assert "recover --finish" in told
    assert "recover --revert" in told
    recovered = half.recover(way)
    assert (recovered.verified, recovered.direction) == (True, way)
    assert half.state() == ("new" if way is Direction.FINISH else "old")
    half.assert_settled()


def test_a_replaced_directory_is_refused(half: Upgraded) -> None:
    half.app.rename(half.top / "aside")
    half.app.mkdir()
    with pytest.raises(GitsnapError, match="not the directory"):
        half.recover()
    assert list(half.app.iterdir()) == []


def test_what_was_written_meanwhile_is_kept(half: Upgraded) -> None:
    """A file that somebody goes on writing to after it was replaced is not deleted with the stage."""
    (stage,) = half.app.glob(".gitsnap-txn.*")
    with half.sidecar() as sidecar:
        from gitsnap.core.journal import decode

        record = decode(Path(sidecar.own("journal.forward")).read_bytes())
    late = next(m for m in record.moves if m.size > 0 and m.old_inode == (stage / str(m.slot)).lstat().st_ino)
    with open(stage / str(late.slot), "ab") as file:
        file.write(b"late words")
    recovered = half.recover(Direction.FINISH)
    assert recovered.verified
    (kept,) = recovered.incomplete
    assert kept.path == late.path
    place = Path(kept.reason.partition(" is kept in ")[2])
    assert place.read_bytes().endswith(b"late words")
    assert place.stat().st_mode & 0o077 == 0
    assert half.state() == "new"
