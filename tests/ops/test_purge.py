"""Purge: a path is in no snapshot any more, its bytes are nowhere in the sidecar, and all else is as it was."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gitsnap.core.errors import IntegrityError, NoSuchPathError, UsageError
from gitsnap.core.model import Kind, Snapshot
from gitsnap.ops.capture.request import Request
from gitsnap.ops.check import doctor
from gitsnap.ops.report import history
from gitsnap.ops.restore import undo as undoing
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.ops.store import purge
from gitsnap.ops.store.purge import Purged
from gitsnap.sidecar import catalog, lost_refs
from gitsnap.sidecar.git import stock_git
from gitsnap.sidecar.git.refs import Refs
from gitsnap.sidecar.repository import Sidecar
from tests.support.inprocess import Protected, bare_git, workspace

KEY = b"-----BEGIN KEY-----\nthe very secret that leaked\n" * 40


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as top:
        root = top / "app"
        (root / "conf/private").mkdir(parents=True)
        (root / "conf/private/key").write_bytes(KEY)
        (root / "conf/app.ini").write_text("a = 1\n")
        (root / "data").write_text("1\n")
        with Protected(root, top / "home") as found:
            yield found


def run(place: Protected, *paths: bytes, dry_run: bool = False) -> Purged:
    return purge.run(place.sidecar, paths, place.settings, now=place.now, dry_run=dry_run)


def version(place: Protected, text: str, request: Request = Request()) -> Snapshot:  # noqa: B008 - never changed
    (place.root / "data").write_text(text)
    return place.take(request).snapshot


def assert_nowhere(store: Path, secret: bytes = KEY) -> None:
    """The bytes are in no object that git can name, and in no file as they are or deflated."""
    listed = bare_git(store, "cat-file", "--batch-all-objects", "--batch", "--unordered")
    assert len(listed) > 100
    assert secret[:60] not in listed
    packed = zlib.compress(secret)[:40]
    for folder, _, names in os.walk(store):
        for name in names:
            data = (Path(folder) / name).read_bytes()
            assert secret[:40] not in data and packed not in data, f"{folder}/{name}"


def facts(snapshots: list[Snapshot]) -> list[tuple[object, ...]]:
    return [(s.id, s.sequence, s.created, s.kind, s.message, s.pinned, s.upgrade, s.tags) for s in snapshots]


def test_it_is_nowhere_and_all_else_is_as_it_was(place: Protected) -> None:
    first = version(place, "1\n", Request(pin=True, message="first\n\nwith words")).id
    version(place, "2\n", Request(kind=Kind.PRE, upgrade="u"))
    version(place, "3\n", Request(kind=Kind.POST, upgrade="u"))
    place.rollback(first)
    gone = version(place, "4\n").id
    place.delete(gone)
    before, episodes = facts(place.snapshots()), len(history.history(place.sidecar, place.settings).episodes)
    done = run(place, b"conf/private/key")
    assert done.applied and not done.elsewhere
    assert (len(done.snapshots), done.deleted, done.files, done.bytes) == (5, [gone], 1, len(KEY))
    place.reopen()
    assert facts(place.snapshots()) == before
    assert len(history.history(place.sidecar, place.settings).episodes) == episodes
    for snapshot in place.snapshots():
        paths = {e.path: e for e in place.inventory(snapshot).entries}
        assert b"conf/private/key" not in paths and b"conf/private" in paths and b"conf/app.ini" in paths
        assert snapshot.purged == 1 and snapshot.partial == 1
    assert_nowhere(place.store)
    place.assert_sound()
    problems = [c for c in doctor.examine(place.place) if c.ok is False]
    assert problems == []
    found, _ = catalog.deleted(place.sidecar, catalog.snapshots(place.sidecar))
    assert [(d.snapshot.id, d.when is not None) for d in found] == [(gone, True)]
    subjects = place.git("log", "--format=%s", "timeline").decode().splitlines()
    assert len(subjects) == 5 and "rollback: back to" in subjects[0]


def test_a_rollback_leaves_the_live_key_alone(place: Protected) -> None:
    first = version(place, "1\n").id
    run(place, b"conf/private/key")
    (place.root / "conf/private/key").write_bytes(b"the new key\n")
    version(place, "2\n")
    done = place.rollback(first)
    assert done.verified and (place.root / "data").read_text() == "1\n"
    assert (place.root / "conf/private/key").read_bytes() == b"the new key\n"
    assert [(p.path, p.reason) for p in done.incomplete] == [(b"conf/private/key", "was purged")]
    assert undoing.undo(place.sidecar, place.settings, RollbackOptions(place.now)).verified
    assert (place.root / "data").read_text() == "2\n"


def test_a_directory_goes_with_all_that_is_below(place: Protected) -> None:
    first = version(place, "1\n").id
    assert run(place, b"conf").files == 2
    snapshot = place.snapshots()[0]
    assert [e.path for e in place.inventory(snapshot).entries] == [b"", b"data"]
    version(place, "2\n")
    place.rollback(first)
    assert (place.root / "conf/private/key").read_bytes() == KEY
    place.assert_sound()


@pytest.mark.parametrize("name", [b"k[e]y *", b"line\nbreak", b"\xff\\ odd", b".git", b"conf.d"])
def test_whatever_it_is_called(place: Protected, name: bytes) -> None:
    os.rename(place.root / "conf/private", os.fsencode(place.root) + b"/" + name)
    version(place, "1\n")
    assert run(place, name + b"/key").files == 1
    assert_nowhere(place.store)
    place.assert_sound()
    version(place, "2\n")
    assert run(place, name).snapshots == [s.id for s in place.snapshots()]
    assert_nowhere(place.store)


def test_other_names_of_the_content_are_told(place: Protected) -> None:
    os.link(place.root / "conf/private/key", place.root / "linked")
    (place.root / "copy").write_bytes(KEY)
    version(place, "1\n")
    assert run(place, b"conf/private/key").elsewhere == [b"copy", b"linked"]
    assert place.inventory(place.snapshots()[0]).hardlinks == []
    assert not run(place, b"copy", b"linked").elsewhere
    assert_nowhere(place.store)
    place.assert_sound()


def test_nothing_is_touched_where_only_asked(place: Protected) -> None:
    version(place, "1\n")
    before = place.git("for-each-ref")
    assert not run(place, b"conf/private/key", dry_run=True).applied
    with pytest.raises(NoSuchPathError):
        run(place, b"conf/none")
    with pytest.raises(UsageError):
        run(place, b"")
    assert place.git("for-each-ref") == before


def test_what_never_held_it_stays_to_the_byte(place: Protected) -> None:
    (place.root / "conf/private/key").rename(place.root.parent / "key")
    bare = version(place, "1\n").commit
    (place.root.parent / "key").rename(place.root / "conf/private/key")
    version(place, "2\n")
    run(place, b"conf/private/key")
    assert place.snapshots()[0].commit == bare
    assert place.snapshots()[1].purged == 1


def test_a_purged_snapshot_comes_out_of_the_bin(place: Protected) -> None:
    from gitsnap.ops.store import deleted

    first = version(place, "1\n").id
    version(place, "2\n")
    place.delete(first)
    run(place, b"conf/private/key")
    deleted.undelete(place.sidecar, [first], place.settings, now=place.now)
    assert place.snapshots()[0].id == first
    place.assert_sound()
    place.collect()
    assert_nowhere(place.store)


def lying(place: Protected) -> list[tuple[str, datetime | None]]:
    """What is in the bin, and since when."""
    found, damaged = catalog.deleted(place.sidecar, catalog.snapshots(place.sidecar))
    assert not damaged
    return [(d.snapshot.id, d.when) for d in found]


def in_child(place: Protected, dies_at: int) -> bool:
    """A purge in a process that is gone at its `dies_at`th change of a ref, line synced or git; whether it came so
    far."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            count = 0

            def counted(do: Callable[..., Any]) -> Callable[..., Any]:
                def counting(*args: Any, **more: Any) -> Any:
                    nonlocal count
                    count += 1
                    if count == dies_at:
                        os._exit(9)
                    return do(*args, **more)

                return counting

            Refs.change = counted(Refs.change)  # type: ignore[method-assign]
            os.fdatasync = counted(os.fdatasync)
            stock_git.run = counted(stock_git.run)
            with Sidecar(place.place.store) as own:
                purge.run(own, [b"conf/private/key"], place.settings, now=place.now)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_at_any_change_each_snapshot_is_whole_and_the_next_purge_ends_it(place: Protected) -> None:
    first = version(place, "1\n", Request(pin=True)).id
    version(place, "2\n")
    place.rollback(first)
    place.delete(version(place, "3\n").id)
    before, binned = facts(place.snapshots()), lying(place)
    kept = place.root.parent / "kept"
    at = 1
    os.rename(place.root.parent / "home", kept)
    while True:
        shutil.rmtree(place.root.parent / "home", ignore_errors=True)
        shutil.copytree(kept, place.root.parent / "home", symlinks=True)
        if not in_child(place, at):
            break
        place.reopen()
        assert facts(place.snapshots()) == before, at
        assert all(not [p for p in v.problems if p.path] for v in place.verify()), at
        assert lying(place) == binned, at
        assert lost_refs.lost(place.sidecar) == [], at
        assert purge.pending(place.sidecar) == [b"conf/private/key"]
        done = run(place, b"conf/private/key")
        assert done.applied and not purge.pending(place.sidecar)
        place.reopen()
        assert facts(place.snapshots()) == before
        assert lying(place) == binned, at
        assert_nowhere(place.store)
        place.assert_sound()
        at += 1
    assert at > 9


def test_what_is_damaged_may_hold_it(place: Protected) -> None:
    first = version(place, "1\n")
    os.unlink(place.store / "refs/gitsnap/snapshots" / first.id)
    place.reopen()
    with pytest.raises(IntegrityError):
        run(place, b"conf/private/key")
