"""git's locks: none is passed by or broken, one that goes is waited for, one that stays is told by its name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.errors import LockedError
from gitsnap.ops.restore import undo
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.store import retention
from gitsnap.sidecar import stale_files
from gitsnap.sidecar.git import locks, refs
from tests.support.inprocess import Protected, workspace

IMPATIENT = 0.0
CHANGED_ALWAYS = (refs.TIMELINE, refs.MANIFESTS, refs.METADATA, "packed-refs")
LEFT_BY_GIT = (
    *CHANGED_ALWAYS,
    "HEAD",
    "config",
    "shallow",
    "gc.pid",
    "refs/heads/mine",
    "objects/maintenance",
    "objects/info/commit-graph",
    "objects/info/commit-graphs/commit-graph-chain",
    "objects/pack/multi-pack-index",
)


@pytest.fixture
def it() -> Iterator[Protected]:
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as protected:
            for text in ("one", "two"):
                (top / "app/file").write_text(text)
                protected.take()
            (top / "app/file").write_text("three")
            protected.rollback("latest~1")
            protected.settings = replace(protected.settings, lock_wait=IMPATIENT)
            protected.sidecar.refs.patience = IMPATIENT
            yield protected


def lock(it: Protected, name: str) -> Path:
    path = it.store / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    return path


def oldest(it: Protected) -> str:
    return it.snapshots()[0].id


COMMANDS: dict[str, Callable[[Protected], object]] = {
    "snapshot": lambda it: it.take(),
    "delete": lambda it: it.delete(oldest(it), "latest"),
    "prune": lambda it: it.prune(1),
    "pin": lambda it: retention.pin(it.sidecar, oldest(it), it.settings),
    "rollback": lambda it: it.rollback("latest"),
    "undo": lambda it: undo.undo(it.sidecar, it.settings, RollbackOptions(it.now)),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", CHANGED_ALWAYS)
def test_a_change_of_refs_names_the_lock_in_its_way_and_changes_nothing(it: Protected, command: str, name: str) -> None:
    path = lock(it, name)
    before = it.git("for-each-ref"), (it.root / "file").read_text()
    with pytest.raises(LockedError) as refusal:
        COMMANDS[command](it)
    assert refusal.value.path == str(path)
    assert str(path) in refusal.value.message
    assert f"rm {path}" in str(refusal.value.hint)
    assert (it.git("for-each-ref"), (it.root / "file").read_text()) == before
    assert path.exists()
    path.unlink()
    COMMANDS[command](it)
    it.assert_sound()


@pytest.mark.parametrize("command", ["delete", "prune"])
def test_the_lock_of_the_second_of_two_that_go_keeps_the_first(it: Protected, command: str) -> None:
    for text in ("four", "five"):
        (it.root / "file").write_text(text)
        it.take()
    names = [s.id for s in it.snapshots()]
    lock(it, refs.SNAPSHOTS + (names[-1] if command == "delete" else names[1]))
    with pytest.raises(LockedError):
        COMMANDS[command](it)
    assert [s.id for s in it.snapshots()] == names


@pytest.mark.parametrize("name", LEFT_BY_GIT)
def test_gc_is_alone_with_the_repository(it: Protected, name: str) -> None:
    path = lock(it, name)
    for _ in range(2):
        with pytest.raises(LockedError) as refusal:
            it.collect()
        assert refusal.value.path == str(path)
        assert path.exists(), "a lock of somebody else's was broken"
    path.unlink()
    it.collect()
    it.assert_sound()


def test_a_lock_that_goes_is_waited_for(it: Protected) -> None:
    it.settings = replace(it.settings, lock_wait=600.0)
    for command in (it.take, it.collect):
        path = lock(it, "packed-refs")
        timer = threading.Timer(0.3, path.unlink)
        timer.start()
        command()
        timer.join()
    it.assert_sound()


def test_whoever_holds_a_lock_is_named(it: Protected) -> None:
    path = lock(it, refs.TIMELINE)
    said = "open(sys.argv[1], 'a'); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", f"import sys; file = {said}", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(LockedError, match=f"held by process {holder.pid} ") as refusal:
            it.take()
        assert "rm " not in str(refusal.value.hint)
    with pytest.raises(LockedError, match="no process that can be seen holds it"):
        it.take()


def test_a_git_that_works_on_the_repository_holds_its_locks(it: Protected) -> None:
    path = lock(it, "packed-refs")
    with subprocess.Popen(
        ["git", "--git-dir", it.store, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        holder.stdin.write(b"x\n")
        holder.stdin.flush()
        holder.stdout.readline()
        assert locks.holder_of(str(path), str(it.store)) == (holder.pid, "git")
        holder.stdin.close()
    assert locks.holder_of(str(path), str(it.store)) is None


@pytest.mark.parametrize(
    ("number", "host", "hours", "waits"),
    [
        (os.getpid(), os.uname().nodename, 0, False),
        (1 << 30, os.uname().nodename, 0, False),
        (1, "elsewhere", 0, True),
        (1, "elsewhere", 13, False),
    ],
    ids=["no git any more", "dead", "on another machine", "forgotten"],
)
def test_a_gc_of_git_s_counts_as_git_itself_counts_it(
    it: Protected, number: int, host: str, hours: int, waits: bool
) -> None:
    pid = it.store / "gc.pid"
    pid.write_text(f"{number} {host}")
    then = pid.stat().st_mtime - hours * 3600
    os.utime(pid, (then, then))
    if waits:
        with pytest.raises(LockedError, match=r"gc\.pid"):
            it.collect()
    else:
        it.collect()
        it.assert_sound()


@pytest.mark.parametrize(
    "words",
    [
        "fatal: Unable to create '{}/packed-refs.lock': File exists.\n\nAnother git process seems to be running",
        "error: cannot lock ref 'HEAD': Unable to create '{}/packed-refs.lock': File exists.",
        "error: could not lock config file {}/packed-refs: File exists",
    ],
)
def test_what_git_says_of_a_lock_is_understood(it: Protected, words: str) -> None:
    path = lock(it, "packed-refs")
    error = locks.refused(words.format(it.store), str(it.store))
    assert error is not None
    assert error.path == str(path)
    assert locks.refused("fatal: bad object HEAD", str(it.store)) is None


def test_a_locked_config_is_told_where_the_directory_was_moved(it: Protected) -> None:
    path = lock(it, "config")
    with pytest.raises(LockedError, match=re.escape(str(path))):
        it.sidecar.adopt(str(it.root) + "-moved")
    path.unlink()
    it.sidecar.adopt(str(it.root) + "-moved")


def test_a_lock_that_stopped_a_git_of_ours_is_left_alone(it: Protected) -> None:
    path = lock(it, "packed-refs")
    with pytest.raises(LockedError), stale_files.git_at_work(str(it.store)):
        raise locks.busy(str(path), str(it.store))
    assert path.exists()


def test_a_lock_that_is_a_link_to_nothing_is_one(tmp_path: Path) -> None:
    """git creates its locks with O_EXCL, which a dangling link stops as well."""
    locks.wait_for(str(tmp_path), ["config"], IMPATIENT)
    (tmp_path / "config.lock").symlink_to("nowhere")
    with pytest.raises(LockedError) as caught:
        locks.wait_for(str(tmp_path), ["HEAD", "config"], IMPATIENT)
    assert caught.value.path == str(tmp_path / "config.lock")
    with pytest.raises(LockedError):
        locks.wait_for_all(str(tmp_path), IMPATIENT)
    locks.wait_for(str(tmp_path), ["HEAD"], IMPATIENT)


def test_locks_of_gitsnaps_own_are_not_gits(tmp_path: Path) -> None:
    for name in ("gitsnap/writer.lock", "refs/gitsnap/x.lock", "objects/pack/y.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert set(locks.found(str(tmp_path))) == {
        str(tmp_path / "refs/gitsnap/x.lock"),
        str(tmp_path / "objects/pack/y.lock"),
    }


def test_what_this_process_has_open_is_held_by_nobody_else(tmp_path: Path) -> None:
    with open(tmp_path / "config.lock", "w"):
        assert locks.holder_of(str(tmp_path / "config.lock"), str(tmp_path)) is None
