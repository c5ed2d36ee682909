"""What a rollback of a large directory shares out or does not look at again is what one process sees and does."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitsnap.core.events import SILENT
from gitsnap.core.exclusion import nothing_excluded
from gitsnap.core.statcache import StatCache
from gitsnap.installation.directories import Directories
from gitsnap.installation.disk import Disk
from gitsnap.installation.scan.from_cache import remembered
from gitsnap.installation.scan.unchanged import unchanged
from gitsnap.installation.stable_read import key
from gitsnap.ops.capture import scan as capture
from gitsnap.ops.parallel import match, pool, read, set_times, stage
from gitsnap.ops.parallel.match import confirmed
from gitsnap.ops.parallel.set_times import Retimers
from tests.support.inprocess import Protected, scan, workspace
from tests.support.installation import IS_ROOT, same_tree
from tests.support.processes import in_child

pytestmark = pytest.mark.long

FILES = 120
THEN = 1_600_000_000_123_456_789


def fill(root: Path) -> None:
    for n in range(FILES):
        file = root / f"{n % 5}/{n % 7}/{n % 11}/f{n}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"%d\n" % n * (n % 50))
        file.chmod(0o755 if n % 3 else 0o640)
    (root / "link").symlink_to("4/6")
    os.symlink(os.fsencode("größe\n") + b"\xff", root / "3/odd")
    os.setxattr(root / "2/2/2/f2", "user.note", b"x")
    with open(root / "holes", "wb") as file:
        file.truncate(1 << 20)
    if IS_ROOT:
        os.chown(root / "1", 7, 8)
    # What has just been written has no row.
    time.sleep(0.1)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Protected]:
    for module in (match, set_times, read, stage):
        monkeypatch.setattr(module, "processors", lambda: 3)
    monkeypatch.setattr(match, "_WORTH_ENTRIES", 10)
    monkeypatch.setattr(match, "_PER_REQUEST", 3)
    monkeypatch.setattr(set_times, "_WORTH_FILES", 10)
    monkeypatch.setattr(set_times, "_PER_REQUEST", 10)
    with workspace() as top:
        fill(top / "app")
        with Protected(top / "app", top / "home") as protected:
            protected.take()
            yield protected


class TestRemembering:
    def test_it_is_what_a_scan_finds(self, place: Protected) -> None:
        cache = place.sidecar.load_cache()
        left_out = unchanged(str(place.root), cache, [], nothing_excluded, restricted=False)
        assert left_out is not None
        told = remembered(str(place.root), cache, left_out, databases=True)
        found = scan(place.root)
        assert told is not None
        assert told.inventory == found.inventory
        assert (told.rows, told.xattrs, told.mounts) == (found.rows, found.xattrs, found.mounts)
        assert len(told.rows) > FILES

    def test_not_where_rows_do_not_tell_everything(self, place: Protected) -> None:
        spoils: list[Callable[[Path], object]] = [
            lambda root: os.link(root / "0/0/0/f0", root / "twin"),
            lambda root: os.mkfifo(root / "pipe"),
            lambda root: sqlite3.connect(root / "a.db").executescript("pragma journal_mode=wal; create table a(b)"),
        ]
        for spoil in spoils:
            shutil.rmtree(place.root)
            fill(place.root)
            held = spoil(place.root)
            time.sleep(0.1)
            place.take()
            cache = place.sidecar.load_cache()
            left_out = unchanged(str(place.root), cache, [], nothing_excluded, restricted=False)
            assert left_out is not None
            assert remembered(str(place.root), cache, left_out, databases=True) is None
            del held

    def test_not_where_a_symlink_is_another_one(self, place: Protected) -> None:
        cache = place.sidecar.load_cache()
        left_out = unchanged(str(place.root), cache, [], nothing_excluded, restricted=False)
        (place.root / "link").unlink()
        (place.root / "link").symlink_to("4/5")
        assert left_out is not None
        assert remembered(str(place.root), cache, left_out, databases=True) is None


def look(place: Protected, spoil: Callable[[], None] = lambda: None) -> bool:
    """Whether several processes find the snapshot there, in a process without other threads; and if so, all of it."""
    # What has just been changed has no row.
    time.sleep(0.1)
    wanted = place.inventory(place.snapshots()[-1])
    cache = place.sidecar.load_cache()
    known = StatCache(cache.commit, dict(cache.rows.items()), cache.xattrs)

    def work() -> bool:
        spoil()
        found = confirmed(str(place.root), wanted, known, nothing_excluded, SILENT)
        if found is None:
            return False
        one = scan(place.root, cache=known)
        assert (found.rows, found.xattrs) == (one.rows, one.xattrs)
        # Two names of one file may be read by two workers.
        assert one.read <= found.read <= one.read + len(wanted.hardlinks)
        assert found.inventory.hardlinks == one.inventory.hardlinks
        return True

    return in_child(work, seconds=300)


DEVIATIONS: dict[str, Callable[[Path], object]] = {
    "a content": lambda root: _unseen(root / "0/0/0/f0", b"0\n0\n"),
    "a content of the same size and time": lambda root: _unseen(root / "3/3/3/f3", b"3\n3\n4\n"),
    "a time": lambda root: os.utime(root / "1/1/1/f1", ns=(1, 1)),
    "a directory's time": lambda root: os.utime(root / "1/1", ns=(1, 1)),
    "the root's time": lambda root: os.utime(root, ns=(1, 1)),
    "a mode": lambda root: (root / "1/1/1/f1").chmod(0o600),
    "an attribute": lambda root: os.removexattr(root / "2/2/2/f2", "user.note"),
    "a directory's attribute": lambda root: os.setxattr(root / "2", "user.note", b"y"),
    "a file less": lambda root: (root / "1/1/1/f1").unlink(),
    "a directory less": lambda root: os.rename(root / "2/1", root.parent / "elsewhere"),
    "a symlink's target": lambda root: (os.unlink(root / "link"), os.symlink("4/5", root / "link")),
    "another type": lambda root: (os.unlink(root / "1/1/1/f1"), os.mkfifo(root / "1/1/1/f1")),
} | ({"an owner": lambda root: os.chown(root / "1/1/1/f1", 9, 9)} if IS_ROOT else {})


def _unseen(file: Path, content: bytes) -> None:
    """Write without a trace in the directory's or the file's time of modification."""
    found = file.stat()
    with open(file, "r+b") as open_file:
        open_file.truncate()
        open_file.write(content)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


class TestConfirming:
    def test_what_is_as_wanted(self, place: Protected) -> None:
        assert look(place)

    def test_what_has_to_be_read_for_it(self, place: Protected) -> None:
        for n, path in enumerate(sorted(place.root.rglob("f*"))):
            if n % 3 == 0:
                found = path.stat()
                path.write_bytes(path.read_bytes())
                os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert look(place)

    def test_hard_links(self, place: Protected) -> None:
        os.link(place.root / "0/0/0/f0", place.root / "twin")
        os.link(place.root / "1/1/1/f1", place.root / "2/twin")
        place.take()
        assert look(place)

    def test_hard_links_that_came_and_went_without_another_trace(self, place: Protected) -> None:
        for path in (place.root / "one", place.root / "two"):
            path.write_bytes(b"the same")
            os.utime(path, ns=(THEN, THEN))
        above = place.root.stat()
        place.take()
        assert look(place)
        (place.root / "two").unlink()
        os.link(place.root / "one", place.root / "two")
        os.utime(place.root, ns=(THEN, above.st_mtime_ns))
        assert not look(place)

    @pytest.mark.parametrize("deviation", DEVIATIONS)
    def test_what_is_not(self, place: Protected, deviation: str) -> None:
        DEVIATIONS[deviation](place.root)
        assert not look(place)

    @pytest.mark.parametrize("more", ["file", "directory", "socket aside"])
    def test_what_came_without_a_trace(self, place: Protected, more: str) -> None:
        """A directory's time can be put back; what is in it is counted nevertheless."""
        found = (place.root / "3").stat()
        path = place.root / "3/more"
        path.mkdir() if more == "directory" else os.mknod(path, 0o140600 if more != "file" else 0o100600)
        os.utime(place.root / "3", ns=(found.st_atime_ns, found.st_mtime_ns))
        # Sockets are no content, for any scan.
        assert look(place) == (more == "socket aside")

    @pytest.mark.parametrize("less", ["1/1/1/f1", "link", "0/0/0"])
    def test_what_went_without_a_trace(self, place: Protected, less: str) -> None:
        path = place.root / less
        found = path.parent.stat()
        path.rename(place.root.parent / "elsewhere")
        os.utime(path.parent, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert not look(place)

    @pytest.mark.parametrize("end", [signal.SIGKILL, None])
    def test_where_workers_die_nothing_is_certain(
        self, place: Protected, end: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        genuine, parents = match.Scanner, [os.getpid()]

        def dying(*arguments: object, **more: object) -> object:
            if os.getpid() not in parents:
                if end is None:
                    raise ValueError
                os.kill(os.getpid(), end)
            return genuine(*arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(match, "Scanner", dying)
        assert not look(place, lambda: parents.append(os.getpid()))


class TestRetimers:
    def test_all_but_what_must_be_left_to_others(self, place: Protected) -> None:
        cache = place.sidecar.load_cache()
        os.link(place.root / "0/0/0/f0", place.root.parent / "twin")
        (place.root / "1/1/1/f1").write_bytes(b"other")
        wanted = [(p, THEN + n) for n, p in enumerate(sorted(cache.rows)) if b"/f" in p]
        wanted.append((b"9/none", THEN))

        def work() -> tuple[set[bytes], int]:
            with Directories(str(place.root)) as dirs, open(place.root / "2/2/2/f2", "ab"):
                timers = Retimers(os.fsencode(place.root), Disk(), cache.rows, cache.xattrs)
                done = timers.set_all(dirs, wanted, lambda: None)
                timers.close()
            for path, row in timers.rows.items():
                assert row.startswith(key((place.root / os.fsdecode(path)).lstat()))
                assert row.sha256 == cache.rows[path].sha256
            return done, len(timers.rows)

        done, proven = in_child(work, seconds=300)
        assert {path for path, _ in wanted} - done == {b"0/0/0/f0", b"1/1/1/f1", b"2/2/2/f2", b"9/none"}
        assert proven == len(done)
        assert all((place.root / os.fsdecode(p)).stat().st_mtime_ns == t for p, t in wanted if p in done)

    def test_a_wish_to_stop(self, place: Protected) -> None:
        cache = place.sidecar.load_cache()
        wanted = [(p, THEN) for p in sorted(cache.rows) if b"/f" in p]

        def work() -> int:
            asked = 0

            def heed() -> None:
                nonlocal asked
                asked += 1
                if asked == 5:
                    raise InterruptedError

            with Directories(str(place.root)) as dirs, pytest.raises(InterruptedError):
                Retimers(os.fsencode(place.root), Disk(), cache.rows, cache.xattrs).set_all(dirs, wanted, heed)
            before = [(place.root / os.fsdecode(p)).stat().st_ctime_ns for p, _ in wanted]
            time.sleep(0.2)
            assert before == [(place.root / os.fsdecode(p)).stat().st_ctime_ns for p, _ in wanted]
            return sum((place.root / os.fsdecode(p)).stat().st_mtime_ns == THEN for p, _ in wanted)

        assert 0 <= in_child(work, seconds=300) < len(wanted)


def upgrade(root: Path) -> None:
    """Other times everywhere, other contents, names that come and go."""
    for n, path in enumerate(sorted(root.rglob("*"))):
        if path.is_file() and not path.is_symlink():
            if n % 9 == 0:
                path.write_bytes(path.read_bytes() + b"more")
            if n % 31 == 0:
                path.rename(path.with_name(path.name + ".new"))
                continue
        os.utime(path, ns=(THEN, THEN + n), follow_symlinks=False)
    time.sleep(0.1)


@pytest.mark.parametrize("snapshot_after", [True, False])
@pytest.mark.parametrize("spoil", ["", "killed", "no processes"])
def test_a_rollback_and_its_undoing(
    place: Protected, snapshot_after: bool, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, top = place.snapshots()[-1], place.root.parent
    subtree = top / "before"
    place.copy_out(first.id, subtree)
    upgrade(place.root)
    if snapshot_after:
        place.take()
    _copy(place.root, top / "after")
    if spoil == "no processes":
        monkeypatch.setattr(pool.os, "fork", _refused)
    elif spoil:
        monkeypatch.setattr(pool, "_serve", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    place.reopen()

    def there() -> tuple[bool, str, list[bytes]]:
        done = place.rollback(first.id)
        return done.verified, done.safety.id if done.safety else "", [p.path for p in done.incomplete]

    def back() -> bool:
        return place.rollback(safety).verified

    run = (lambda work: work()) if spoil == "no processes" else in_child
    verified, safety, incomplete = run(there)
    assert (verified, incomplete) == (True, [])
    same_tree(subtree, place.root)
    place.reopen()
    place._ticks += 5
    assert run(back)
    same_tree(top / "after", place.root)
    place.assert_sound()


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", source, target], check=True)


def _refused() -> int:
    raise BlockingIOError(11, "Resource temporarily unavailable")


def test_a_safety_snapshot_needs_no_scan_where_nothing_changed(
    place: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = place.snapshots()[-1]
    upgrade(place.root)
    place.take()
    calls: list[object] = []
    genuine = capture._scan

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return genuine(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(capture, "_scan", counted)
    assert place.rollback(first.id).verified
    assert calls == []
    (place.root / "0/0/0/f0").write_bytes(b"changed")
    assert place.rollback(first.id).verified
    assert len(calls) == 1
