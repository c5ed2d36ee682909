"""The stat cache spares reading, and nothing else: what changed is noticed however little it shows."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core import statcache, statcache_file
from gitsnap.core.content import Digesting, Digests
from gitsnap.core.statcache import StatCache
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.scan_result import Scan
from gitsnap.ops.capture.request import Request
from tests.support.inprocess import Protected, workspace
from tests.support.installation import IS_ROOT, build_odd

LONG_AGO = 1_600_000_000_123_456_789


@pytest.fixture
def place() -> Iterator[Protected]:
    with workspace() as where:
        (where / "app").mkdir()
        with Protected(where / "app", where / "home") as protected:
            yield protected


def settle(*paths: Path) -> None:
    """Give the paths old times and wait until the cache may believe what it sees."""
    for path in paths:
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    time.sleep(0.07)


def overwrite(path: Path, data: bytes) -> None:
    """Write in place: the same inode, and the same size when the caller says so."""
    with open(path, "r+b") as file:
        file.write(data)


def stored(place: Protected, path: str) -> bytes:
    """What the newest snapshot holds."""
    place.reopen()
    newest = place.snapshots()[-1]
    entry = place.inventory(newest).by_path()[path.encode()]
    assert entry.oid is not None
    return b"".join(place.sidecar.objects.blob(entry.oid))


def rows(scan: Scan) -> set[bytes]:
    return {path for path in scan.rows if path}


def scan_with(place: Protected, cache: StatCache | None = None) -> Scan:
    return Scanner(str(place.root), Digesting(), ScanOptions(cache=cache)).run()


def test_what_is_unchanged_is_not_read_again(place: Protected) -> None:
    file = place.root / "f"
    file.write_bytes(b"content")
    settle(file)
    first = scan_with(place)
    cache = StatCache(rows=first.rows, xattrs=first.xattrs)
    second = scan_with(place, cache)
    assert (first.read, second.read) == (1, 0)
    assert second.inventory == first.inventory
    assert second.rows == first.rows


@pytest.mark.parametrize("tick", range(40))
def test_a_second_write_of_the_same_size_right_after_a_snapshot_is_noticed(place: Protected, tick: int) -> None:
    file = place.root / "f"
    file.write_bytes(b"before")
    time.sleep(tick / 4000)
    place.take()
    overwrite(file, b"after!")
    place.take()
    assert stored(place, "f") == b"after!"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What a scan takes for the time, in nanoseconds; the time itself while it is empty.

    However slow the machine is, what was just written has then just been written.
    """
    at: list[int] = []
    genuine = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: at[0] if at else genuine())
    yield at


def test_what_was_just_written_is_not_vouched_for(place: Protected, clock: list[int]) -> None:
    """On kernels whose times move in ticks, the next write may not show."""
    old, new, link = place.root / "old", place.root / "new", place.root / "link"
    for path in (old, new):
        path.write_bytes(b"x")
    link.symlink_to("x")
    settle(old)
    new.write_bytes(b"y")
    link.unlink()
    link.symlink_to("y")
    clock.append(new.lstat().st_ctime_ns + 1_000_000)
    assert rows(scan_with(place)) == {b"old"}
    clock.clear()
    time.sleep(0.07)
    assert rows(scan_with(place)) == {b"old", b"new", b"link"}


def test_another_name_of_a_file_just_written_is_not_vouched_for_either(place: Protected, clock: list[int]) -> None:
    """The second name is looked at when the tick is over, but it was under the first name that the file was read."""

    class Slow(Digesting):
        def add_blob(self, size: int, chunks: Iterable[bytes]) -> Digests:
            digests = super().add_blob(size, chunks)
            clock[0] += 80_000_000
            return digests

    (place.root / "a").write_bytes(b"x")
    os.link(place.root / "a", place.root / "b")
    clock.append((place.root / "a").lstat().st_ctime_ns + 1_000_000)
    found = Scanner(str(place.root), Slow()).run()
    assert rows(found) == set()
    assert [e.sha256 for e in found.inventory.files()] == [found.inventory.files()[0].sha256] * 2
    assert found.read == 1


@pytest.mark.skipif(not IS_ROOT or not shutil.which("mkfs.ext2"), reason="needs root and mkfs.ext2 for a file system")
def test_times_that_are_whole_seconds_are_given_two_of_them(tmp_path: Path) -> None:
    """With inodes of 128 bytes ext2 knows no nanoseconds, as some network and foreign file systems do not."""
    image, mount = tmp_path / "image", tmp_path / "mount"
    image.write_bytes(b"")
    os.truncate(image, 8 << 20)
    subprocess.run(["mkfs.ext2", "-q", "-I", "128", "-F", image], check=True, capture_output=True)
    mount.mkdir()
    done = subprocess.run(["mount", "-o", "loop", image, mount], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")
    try:
        (mount / "app").mkdir()
        with Protected(mount / "app", tmp_path / "home") as place:
            file = place.root / "f"
            for round_ in range(12):
                overwrite(file, b"%04d" % round_) if round_ else file.write_bytes(b"0000")
                place.take()
                assert stored(place, "f") == b"%04d" % round_
                time.sleep(0.1)
            time.sleep(2.1)
            assert rows(scan_with(place)) == {b"f"}
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.parametrize("move", ["in place", "replaced"])
def test_a_change_that_shows_in_ctime_alone_is_noticed(place: Protected, move: str) -> None:
    file = place.root / "f"
    file.write_bytes(b"before")
    settle(file)
    place.take()
    place.take()
    if move == "in place":
        overwrite(file, b"after!")
        settle(file)
    else:
        other = place.root / "g"
        other.write_bytes(b"after!")
        settle(other)
        other.rename(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (6, LONG_AGO)
    place.take()
    assert stored(place, "f") == b"after!"


def test_metadata_that_show_in_ctime_alone_are_noticed(place: Protected) -> None:
    file, folder = place.root / "f", place.root / "d"
    file.write_bytes(b"x")
    folder.mkdir()
    settle(file, folder)
    place.take()
    for path in (file, folder):
        os.setxattr(path, "user.note", b"new")
    place.take()
    for path in (b"f", b"d"):
        assert place.inventory(place.snapshots()[-1]).by_path()[path].xattrs == (("user.note", b"new"),)
    time.sleep(0.07)
    place.take()
    os.removexattr(file, "user.note")
    place.take()
    assert place.inventory(place.snapshots()[-1]).by_path()[b"f"].xattrs == ()


def lose(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def fill_with_noise(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def make_it_that_of_another(path: Path) -> None:
    path.write_bytes(statcache_file.encode(StatCache(bytes(19) + b"\1")))


@pytest.mark.parametrize("harm", [lose, empty, cut, fill_with_noise, make_it_that_of_another])
def test_a_lost_or_damaged_cache_changes_nothing(harm: Callable[[Path], None]) -> None:
    with workspace() as where:
        build_odd(where / "app")
        time.sleep(0.07)
        with Protected(where / "app", where / "home") as place:
            whole = place.take().snapshot
            harm(place.store / "gitsnap/stat-cache")
            again = place.take()
            assert again.snapshot.manifest_sha256 == whole.manifest_sha256
            assert again.snapshot.metadata_sha256 == whole.metadata_sha256
            assert again.snapshot.tree == whole.tree
            assert statcache_file.decode((place.store / "gitsnap/stat-cache").read_bytes()) is not None
            place.assert_sound()


def test_no_flipped_bit_in_a_cache_passes() -> None:
    with workspace() as where:
        build_odd(where / "app")
        found = Scanner(str(where / "app"), Digesting()).run()
    images = {b"db": statcache.CachedImage(b"the keys", 1 << 40, bytes(20), bytes(32))}
    data = statcache_file.encode(StatCache(bytes(20), found.rows, found.xattrs, (bytes(20),), images=images))
    whole = statcache_file.decode(data)
    assert whole is not None
    rows = dict(whole.rows.items())
    assert replace(whole, rows=rows) == StatCache(bytes(20), found.rows, found.xattrs, (bytes(20),), images=images)
    dice = random.Random(2)
    for _ in range(2000):
        at = dice.randrange(len(data))
        flipped = data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
        now = statcache_file.decode(flipped)
        # One directory's rows, or all of it, are as good as lost.
        assert now is None or now.rows.items() < rows.items()


def test_a_cache_that_promises_what_is_not_stored_is_found_out(place: Protected) -> None:
    """A cache that decodes and yet is wrong: no snapshot comes of it, but one that was taken without it."""
    file = place.root / "f"
    file.write_bytes(b"content")
    settle(file)
    first = place.take().snapshot
    cache = place.sidecar.load_cache()
    forged = {p: r._replace(oid=b"\7" * 20) if p == b"f" else r for p, r in cache.rows.items()}
    place.sidecar.save_cache(StatCache(cache.commit, forged, cache.xattrs, cache.trees))
    place.reopen()
    after = place.take(Request(label="after")).snapshot
    assert stored(place, "f") == b"content"
    assert [s.id for s in place.snapshots()] == [first.id, after.id]
    assert [v.problems for v in place.verify() if v.problems] == []
    place.collect()
    place.assert_sound()


def test_a_row_whose_attributes_are_missing_is_not_believed(place: Protected) -> None:
    """In the walk, for a directory and a file, and of another name of an inode, which is looked at more closely."""
    names = ["f", "d", "linked"]
    (place.root / "d").mkdir()
    for name in ("f", "linked"):
        (place.root / name).write_bytes(b"content")
    for name in names:
        os.setxattr(place.root / name, "user.note", b"x")
    os.link(place.root / "linked", place.root / "other name")
    settle(*(place.root / name for name in names))
    place.take()
    cache = place.sidecar.load_cache()
    assert len(cache.xattrs) == 4
    forged = StatCache(cache.commit, dict(cache.rows.items()), {}, cache.trees)
    place.sidecar.save_cache(forged)
    place.reopen()
    (place.root / "new").write_bytes(b"new")
    found = place.inventory(place.take().snapshot).by_path()
    assert {path for path, entry in found.items() if entry.xattrs} == {b"f", b"d", b"linked", b"other name"}
