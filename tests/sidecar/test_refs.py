"""Refs change by compare-and-swap: whoever looked at an older value than there is changes nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitsnap.core.errors import GitsnapError, IntegrityError, LockedError
from gitsnap.sidecar.git import locks
from gitsnap.sidecar.git import refs as module
from gitsnap.sidecar.git.refs import Refs
from tests.support.inprocess import bare_git, workspace

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
NAME = "refs/gitsnap/snapshots/one"


@pytest.fixture
def store() -> Iterator[Path]:
    with workspace() as where:
        bare_git(where / "store", "init", "-q", "--bare")
        yield where / "store"


@pytest.fixture(params=["loose", "packed"])
def refs(request: pytest.FixtureRequest, store: Path) -> Refs:
    """One ref with the value A, however git keeps it."""
    if request.param == "packed":
        (store / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{A} {NAME}\n{C} {NAME}-2\n")
    else:
        Refs(str(store)).create(NAME, A)
    return Refs(str(store))


def test_change_takes_the_value_that_was_seen(refs: Refs) -> None:
    refs.change(NAME, A, B)
    assert refs.get(NAME) == B
    refs.change(NAME, B, C)
    assert refs.get(NAME) == C


@pytest.mark.parametrize(
    "attempt",
    [
        lambda refs: refs.change(NAME, C, B),
        lambda refs: refs.change(NAME, None, B),
        lambda refs: refs.remove(NAME, B),
        lambda refs: refs.create(NAME, B),
        lambda refs: refs.change(NAME + "-new", A, B),
        lambda refs: refs.remove(NAME + "-new", A),
    ],
)
def test_whoever_saw_another_value_changes_nothing(refs: Refs, attempt: Callable[[Refs], None]) -> None:
    with pytest.raises(GitsnapError) as told:
        attempt(refs)
    assert told.value.kind in ("ref-moved", "ref-exists")
    assert refs.get(NAME) == A
    assert refs.get(NAME + "-new") is None


def test_a_new_value_is_seen_under_the_lock(refs: Refs, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that comes while the lock is waited for counts: the look is taken with the lock in hand."""
    lock = store / f"{NAME}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("")

    def others_finish(_: float) -> None:
        (store / NAME).write_text(f"{C}\n")
        lock.unlink(missing_ok=True)

    monkeypatch.setattr(module.time, "sleep", others_finish)
    with pytest.raises(GitsnapError) as told:
        refs.change(NAME, A, B)
    assert told.value.kind == "ref-moved"
    assert refs.get(NAME) == C


def test_a_removed_ref_does_not_come_back_from_the_packed_ones(refs: Refs, store: Path) -> None:
    refs.change(NAME, A, B)
    refs.remove(NAME, B)
    assert Refs(str(store)).get(NAME) is None
    assert NAME.rpartition("/")[2] not in refs.below(module.SNAPSHOTS)
    if (store / "packed-refs").exists():
        assert Refs(str(store)).get(f"{NAME}-2") == C


def test_discard_asks_for_no_value(refs: Refs) -> None:
    refs.discard(NAME)
    assert refs.get(NAME) is None
    refs.discard(NAME)


def test_a_failed_change_leaves_no_lock(refs: Refs, store: Path) -> None:
    with pytest.raises(GitsnapError):
        refs.change(NAME, C, B)
    assert list(store.rglob("*.lock")) == []
    assert os.listdir(store / "gitsnap/tmp") == []


def test_a_lock_of_another_is_named(refs: Refs, store: Path) -> None:
    refs.patience = 0.0
    lock = store / f"{NAME}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("")
    with pytest.raises(LockedError) as told:
        refs.change(NAME, A, B)
    assert told.value.path == str(lock)
    assert lock.exists()
    assert refs.get(NAME) == A


@pytest.mark.parametrize("content", ["", "a" * 39 + "\n", "A" * 40 + "\n", "a" * 41 + "\n", f"{A}\nmore"])
def test_a_damaged_ref_is_told_and_not_taken_for_none(store: Path, content: str) -> None:
    refs = Refs(str(store))
    refs.create(NAME, A)
    (store / NAME).write_text(content)
    with pytest.raises(IntegrityError):
        refs.get(NAME)
    with pytest.raises(IntegrityError):
        refs.below(module.SNAPSHOTS)
    damaged: dict[str, IntegrityError] = {}
    assert refs.below(module.SNAPSHOTS, damaged) == {}
    assert list(damaged) == ["one"]


@pytest.mark.parametrize(
    "line", [f"{A} {NAME}", f"{A} refs/x..y\n", f"{A}  {NAME}\n", f"{'A' * 40} {NAME}\n", "no ref at all\n"]
)
def test_damaged_packed_refs_are_told(store: Path, line: str) -> None:
    (store / "packed-refs").write_text(line)
    with pytest.raises(IntegrityError):
        Refs(str(store)).get(NAME)


def test_a_loose_value_hides_the_packed_one(store: Path) -> None:
    (store / "packed-refs").write_text(f"{A} {NAME}\n")
    (store / NAME).parent.mkdir(parents=True, exist_ok=True)
    (store / NAME).write_text(f"{B}\n")
    refs = Refs(str(store))
    assert refs.get(NAME) == B
    assert refs.below(module.SNAPSHOTS) == {"one": B}
    assert refs.below(module.SNAPSHOTS, but={NAME}) == {}


def test_a_git_that_packs_refs_at_once_takes_nothing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It removes the directory that is empty then, just before that is synced."""
    sync = module.sync_directory
    commit = bare_git(store, "commit-tree", bare_git(store, "mktree").decode().strip(), "-m", "x").decode().strip()

    def packed_before(path: str) -> None:
        bare_git(store, "pack-refs", "--all", "--prune")
        sync(path)

    monkeypatch.setattr(module, "sync_directory", packed_before)
    Refs(str(store)).create("refs/notes/gitsnap/manifest", commit)
    assert not (store / "refs/notes/gitsnap").exists()
    assert Refs(str(store)).get("refs/notes/gitsnap/manifest") == commit


def test_directories_of_refs_that_never_end(refs: Refs, store: Path) -> None:
    # Deeper than Python calls functions; a path has 4,096 bytes at most.
    at = store / "refs/gitsnap"
    at.mkdir(exist_ok=True)
    for _ in range(1100):
        at /= "d"
        at.mkdir()
    (at / "ref").write_text(f"{B}\n")
    assert refs.below("refs/gitsnap/")["snapshots/one"] == A
    assert list(refs.below("refs/gitsnap/").values()).count(B) == 1
    assert not [*locks.found(str(store))]
    # shutil.rmtree goes no deeper either.
    subprocess.run(["rm", "-rf", store], check=True)
