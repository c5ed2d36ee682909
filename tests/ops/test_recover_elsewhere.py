"""An interrupted rollback has a way on, whatever became of its directory, its stage, its journal or the sidecar."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitsnap.core.errors import IntegrityError, PendingRecoveryError, StopRequestedError
from gitsnap.ops.restore import recover, rollback
from gitsnap.ops.restore.result import Direction, Recovered
from gitsnap.ops.restore.rollback import RollbackOptions
from tests.support.inprocess import Protected, bare_git, workspace
from tests.support.installation import run_gitsnap

FILES = ("a", "b", "lib/c", "lib/d")
ENDS = pytest.mark.parametrize("end", [Direction.FINISH, Direction.REVERT])


class StopAfter:
    """Asks to stop at the n-th question."""

    def __init__(self, questions: int) -> None:
        self._left = questions

    @contextmanager
    def deferred(self) -> Iterator[Callable[[], bool]]:
        yield self._ask

    def _ask(self) -> bool:
        self._left -= 1
        return self._left < 0


def write(root: Path, version: str) -> None:
    (root / "lib").mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (root / name).write_text(f"{version} of {name}")


def read(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


class Interrupted(Protected):
    """A rollback from the new version to the old one that stopped half way."""

    def __init__(self, top: Path) -> None:
        (top / "app").mkdir()
        super().__init__(top / "app", top / "home")
        self.top = top
        write(self.root, "old")
        self.take()
        self.old = read(self.root)
        shutil.copytree(self.root, top / "backup", symlinks=True)
        write(self.root, "new")
        self.new = read(self.root)
        with pytest.raises(StopRequestedError):
            rollback.rollback(
                self.sidecar, "latest", self.settings, RollbackOptions(self.now, interrupts=StopAfter(len(FILES) + 2))
            )
        self.reopen()

    def recover(self, how: Direction | None) -> Recovered:
        return recover.recover(self.sidecar, how, self.settings, RollbackOptions(self.now))

    def state(self, end: Direction) -> dict[str, str]:
        return self.old if end is Direction.FINISH else self.new

    def damage(self, snapshot: str, what: str) -> None:
        """Make an object that a snapshot needs unreadable, in whatever way it is stored."""
        commit = next(s.commit for s in self.snapshots() if s.id == snapshot)
        bare_git(self.store, "repack", "-q", "-a", "-d")
        for pack in (self.store / "objects/pack").glob("*.pack"):
            moved = self.top / pack.name
            pack.rename(moved)
            bare_git(self.store, "unpack-objects", "-q", stdin=moved.read_bytes())
        for left in (self.store / "objects/pack").iterdir():
            left.unlink()
        oid = bare_git(self.store, "rev-parse", f"{commit}{what}").decode().strip()
        path = self.store / "objects" / oid[:2] / oid[2:]
        path.chmod(0o600)
        path.write_bytes(b"damaged")
        self.reopen()

    def ids(self) -> tuple[str, str]:
        """The target and the safety snapshot."""
        first, second = self.snapshots()
        return first.id, second.id

    def assert_usable(self) -> None:
        """Nothing is pending, and snapshots and rollbacks work."""
        assert not list(self.root.glob(".gitsnap-txn*"))
        self.reopen()
        (self.root / "later").write_text("later")
        taken = self.take().snapshot
        (self.root / "later").write_text("changed")
        assert self.rollback(taken.id).verified
        assert (self.root / "later").read_text() == "later"


@pytest.fixture
def it() -> Iterator[Interrupted]:
    with workspace() as top, Interrupted(top) as interrupted:
        assert read(interrupted.root) not in (interrupted.old, interrupted.new)
        yield interrupted


def replaced_by_a_backup(it: Interrupted) -> None:
    it.root.rename(it.top / "broken")
    shutil.copytree(it.top / "backup", it.root)


def replaced_by_its_copy(it: Interrupted) -> None:
    it.root.rename(it.top / "broken")
    shutil.copytree(it.top / "broken", it.root)
    for stage in it.root.glob(".gitsnap-txn*"):
        stage.chmod(0o700)


def emptied(it: Interrupted) -> None:
    it.root.rename(it.top / "broken")
    it.root.mkdir()


def gone(it: Interrupted) -> None:
    it.root.rename(it.top / "broken")


ELSEWHERE = pytest.mark.parametrize("became", [replaced_by_a_backup, replaced_by_its_copy, emptied, gone])


@ELSEWHERE
@ENDS
def test_another_directory_is_brought_to_either_state(
    it: Interrupted, became: Callable[[Interrupted], None], end: Direction
) -> None:
    became(it)
    with pytest.raises(PendingRecoveryError) as refusal:
        it.recover(None)
    assert "recover --give-up" in str(refusal.value.hint)
    assert ("is a file system not mounted?" in refusal.value.message) is (became is emptied)
    result = it.recover(end)
    assert (result.direction, result.verified, result.unverified) == (end, True, None)
    assert read(it.root) == it.state(end)
    it.assert_usable()


@ELSEWHERE
def test_given_up_in_another_directory_it_leaves_that_alone(
    it: Interrupted, became: Callable[[Interrupted], None]
) -> None:
    became(it)
    before = read(it.root) if it.root.exists() else {}
    result = it.recover(Direction.GIVE_UP)
    assert result.kept
    after = read(it.root) if it.root.exists() else {}
    assert after == {name: text for name, text in before.items() if not name.startswith(".gitsnap-txn")}
    if became is not replaced_by_its_copy:
        assert any("this stage is not here" in p.reason for p in result.incomplete)
    it.root.mkdir(exist_ok=True)
    it.assert_usable()


@pytest.mark.parametrize("became", ["moved", "moved, another in its place", "copied, the first one gone"])
def test_a_directory_elsewhere_is_known_by_the_stage_that_lies_in_it(it: Interrupted, became: str) -> None:
    """Half way between two states, it is like neither."""
    place, home = it.top / "elsewhere", it.top / "home"
    if became.startswith("copied"):
        shutil.copytree(it.root, place)
        shutil.rmtree(it.root)
    else:
        it.root.rename(place)
    if "another" in became:
        it.root.mkdir()
    told = run_gitsnap("-C", place, "status", home=home, check=10).stderr
    assert it.place.store in told
    if "another" not in became:
        # As it says.
        run_gitsnap("-C", place, "--store", it.place.store, "init", home=home)
        run_gitsnap("-C", place, "status", home=home)
        run_gitsnap("-C", place, "recover", "--revert", home=home)
        assert read(place) == it.new


def test_a_copy_of_a_directory_that_is_still_there_is_none_of_it(it: Interrupted) -> None:
    shutil.copytree(it.root, it.top / "copy")
    told = run_gitsnap("-C", it.top / "copy", "status", home=it.top / "home", check=10).stderr
    assert it.place.store not in told


@pytest.mark.parametrize("option", ["--finish", "--revert", "--give-up"])
def test_every_way_is_open_by_the_command_where_the_directory_is_gone(it: Interrupted, option: str) -> None:
    gone(it)
    here, target = ("-C", it.root), it.ids()[0]
    assert "recover --give-up" in run_gitsnap(*here, "recover", home=it.top / "home", check=14).stderr
    assert "recover" in run_gitsnap(*here, "rollback", "-y", home=it.top / "home", check=14).stderr
    run_gitsnap(*here, "recover", option, home=it.top / "home")
    if option != "--give-up":
        assert read(it.root) == (it.old if option == "--finish" else it.new)
    run_gitsnap(*here, "rollback", target, "-y", home=it.top / "home")
    assert read(it.root) == it.old


@pytest.mark.parametrize("journal", ["whole", "truncated"])
def test_given_up_nothing_is_lost_that_directory_or_stage_held(it: Interrupted, journal: str) -> None:
    both = set(it.old.values()) | set(it.new.values())
    held = {p.read_text() for p in it.root.rglob("*") if p.is_file()}
    assert held <= both
    if journal == "truncated":
        (path,) = (it.store / "gitsnap").glob("journal.*")
        path.write_bytes(path.read_bytes()[:-100])
    result = it.recover(Direction.GIVE_UP)
    assert result.kept
    kept = Path(result.kept)
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {p.read_text() for place in (it.root, kept / "stage") for p in place.rglob("*") if p.is_file()} == held
    assert [p.name for p in kept.glob("journal.*")]
    if journal == "whole":
        # Each lies under its path.
        assert {p.relative_to(kept / "stage").as_posix() for p in (kept / "stage").rglob("*") if p.is_file()} <= set(
            FILES
        )
    it.assert_usable()
    assert it.recover(Direction.GIVE_UP).direction is None


@ENDS
@pytest.mark.parametrize("what", ["^{tree}", ":a", ":lib"])
@pytest.mark.parametrize("whose", ["target", "safety"])
def test_journal_and_stage_lead_on_where_a_snapshot_is_damaged(
    it: Interrupted, end: Direction, what: str, whose: str
) -> None:
    target, safety = it.ids()
    it.damage(target if whose == "target" else safety, what)
    aimed_at = (whose == "target") is (end is Direction.FINISH)
    result = it.recover(end)
    assert read(it.root) == it.state(end)
    assert (result.unverified is not None) is (aimed_at and what != ":a")
    if not aimed_at:
        # What the stage held is the only copy.
        (kept,) = Path(it.place.store).parent.glob("gitsnap-conflicts-*")
        other = it.new if end is Direction.FINISH else it.old
        found = {p.relative_to(kept).as_posix(): p.read_text() for p in kept.rglob("*") if p.is_file()}
        assert found == {name: other[name] for name in found}
        assert "a" in found
    assert not (it.store / "gitsnap/journal.forward").exists()


@ENDS
def test_without_journal_and_snapshot_giving_up_is_named(it: Interrupted, end: Direction) -> None:
    target, safety = it.ids()
    it.damage(target if end is Direction.FINISH else safety, "^{tree}")
    (path,) = (it.store / "gitsnap").glob("journal.*")
    path.write_bytes(b"")
    with pytest.raises(IntegrityError) as refusal:
        it.recover(end)
    assert "recover --give-up" in str(refusal.value.hint)
    assert it.sidecar.pending, "what could not be settled waits"
    it.recover(Direction.GIVE_UP)
    assert it.sidecar.pending is None


def test_the_stage_alone_is_taken_out_as_well(it: Interrupted) -> None:
    for path in (it.store / "gitsnap").glob("journal.*"):
        os.unlink(path)
    held = {p.read_text() for p in it.root.glob(".gitsnap-txn*/*")}
    result = it.recover(Direction.GIVE_UP)
    assert result.kept
    assert {p.read_text() for p in Path(result.kept, "stage").rglob("*") if p.is_file()} == held
    it.assert_usable()
