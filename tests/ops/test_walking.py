"""Directories that several processes walk are recorded as one process records them."""

from __future__ import annotations

import os
import random
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gitsnap.core.content import Digesting
from gitsnap.core.exclusion import Excludes, nothing_excluded
from gitsnap.core.model import Type
from gitsnap.core.statcache import StatCache
from gitsnap.installation.scan import fast_path, scanner
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from gitsnap.installation.scan_result import Scan
from gitsnap.ops.parallel import read
from gitsnap.ops.parallel.read import DigestingReaders
from gitsnap.sidecar.git.pack_write import digest_blob
from tests.support.inprocess import Protected, workspace
from tests.support.installation import IS_ROOT, same_tree
from tests.support.processes import as_user, give, in_child

FILES = 500


def fill(root: Path) -> None:
    """Some of everything that a walk may meet."""
    dice = random.Random(5)
    for n in range(FILES):
        file = root / f"{n % 5}/{n % 7}/{n % 11}/f{n}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(dice.randbytes(dice.choice((0, 1, 60, 4000))))
        file.chmod(0o755 if n % 3 else 0o640)
    flat = root / "flat"
    flat.mkdir()
    for n in range(60):
        (flat / f"{n}.log").write_bytes(dice.randbytes(20_000))
    (root / "large").write_bytes(dice.randbytes(5 << 20))
    with open(root / "holes", "wb") as file:
        file.truncate(1 << 20)
    (root / "link").symlink_to("4/6")
    os.link(root / "0/0/0/f0", root / "4/twin")
    os.mkfifo(root / "3/pipe")
    os.setxattr(root / "2/2/2/f2", "user.note", b"x")
    os.setxattr(root / "2/2", "user.note", b"y")
    (root / os.fsdecode(b"\xff\n")).mkdir()
    (root / os.fsdecode(b"\xff\n") / "f").write_text("odd")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "3/socket"))


@pytest.fixture
def top(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(read, "processors", lambda: 3)
    monkeypatch.setattr(read, "_WORTH_ENTRIES", 0)
    monkeypatch.setattr(read, "_BATCH_FOLDERS", 3)
    # So that not all of a large directory fits into one finding.
    monkeypatch.setattr(fast_path, "_ENOUGH", 30_000)
    monkeypatch.setattr(fast_path, "_ROOM", 200_000)
    with workspace() as place:
        fill(place / "app")
        time.sleep(0.1)
        yield place


def walked(
    root: Path,
    cache: StatCache | None = None,
    excludes: Excludes = nothing_excluded,
    stored: Callable[[bytes], bool] | None = None,
) -> tuple[Scan, int]:
    """A scan with several processes, and how many directories this one walked itself."""
    cache, alone = cache or StatCache(), 0
    genuine = Scanner._directory

    def counted(self: Scanner, path: bytes, device: int) -> list[tuple[bytes, int]]:
        nonlocal alone
        alone += 1
        return genuine(self, path, device)

    Scanner._directory = counted  # type: ignore[method-assign]
    try:
        with closing(DigestingReaders(str(root), cache.rows)) as hands:
            scanner = Scanner(
                str(root), Digesting(), ScanOptions(cache=cache, excludes=excludes, stored=stored), readers=hands
            )
            found = scanner.run()
    finally:
        Scanner._directory = genuine  # type: ignore[method-assign]
    return found, alone


def by_one(
    root: Path,
    cache: StatCache | None = None,
    excludes: Excludes = nothing_excluded,
    stored: Callable[[bytes], bool] | None = None,
) -> Scan:
    return Scanner(
        str(root), Digesting(), ScanOptions(cache=cache or StatCache(), excludes=excludes, stored=stored)
    ).run()


def same(several: Scan, one: Scan) -> None:
    assert several.inventory == one.inventory
    assert several.rows == one.rows
    assert (several.xattrs, several.fresh, several.read) == (one.xattrs, one.fresh, one.read)
    assert several.mounts == one.mounts


def logs(path: bytes, is_dir: bool) -> bool:
    return path.endswith(b"7.log") or (is_dir and path == b"4/6")


def test_everything_new(top: Path) -> None:
    def work() -> int:
        several, alone = walked(top / "app")
        same(several, by_one(top / "app"))
        return alone

    assert in_child(work) == 0


@pytest.mark.parametrize("excludes", [nothing_excluded, logs])
def test_some_of_it_changed(top: Path, excludes: Excludes) -> None:
    def work() -> int:
        first = by_one(top / "app")
        cache = StatCache(rows=first.rows, xattrs=first.xattrs)
        for n, path in enumerate(sorted((top / "app").rglob("f*"))):
            if path.is_file() and n % 4 == 0:
                path.write_bytes(path.read_bytes() + b"more")
            elif path.is_file() and n % 4 == 1:
                os.utime(path, ns=(1, 1_700_000_000_000_000_000))
        os.removexattr(top / "app/2/2/2/f2", "user.note")
        (top / "app/4/6/more").mkdir(parents=True)
        shutil.rmtree(top / "app/1/1")
        time.sleep(0.1)
        several, alone = walked(top / "app", cache, excludes)
        one = by_one(top / "app", cache, excludes)
        assert one.fresh > 100
        same(several, one)
        return alone

    assert in_child(work) == 0


def test_what_is_not_stored_is_read_again(top: Path) -> None:
    def stored(oid: bytes) -> bool:
        return oid[0] % 2 == 0

    def work() -> int:
        first = by_one(top / "app")
        cache = StatCache(rows=first.rows, xattrs=first.xattrs)
        several, _ = walked(top / "app", cache, stored=stored)
        same(several, by_one(top / "app", cache, stored=stored))
        return several.read

    assert 100 < in_child(work) < FILES


def test_what_may_still_change_without_a_trace_has_no_row(top: Path) -> None:
    def work() -> None:
        first, _ = walked(top / "app")
        fresh = [b"2/2/2/f2", b"2/2/new", b"2/2"]
        (top / "app/2/2/2/f2").write_bytes(b"now")
        (top / "app/2/2/new").mkdir()
        soon = time.time_ns() + 60 * 10**9
        for path in fresh:
            # As if it had changed within the clock's granularity of being read.
            os.utime(top / "app" / os.fsdecode(path), ns=(soon, soon))
        cache = StatCache(rows=first.rows, xattrs=first.xattrs)
        several, _ = walked(top / "app", cache)
        assert not several.rows.keys() & set(fresh)
        same(several, by_one(top / "app", cache))

    in_child(work)


def test_a_database_in_use_is_captured_by_one_process(top: Path) -> None:
    app = top / "app"
    writer = sqlite3.connect(app / "3/4/a.db")
    writer.executescript("pragma journal_mode=wal; create table a(b); insert into a values (1)")
    with Protected(app, top / "home") as place:
        taken = in_child(place.take)
        assert taken.databases == [b"3/4/a.db"]
        place.reopen()
        place.assert_sound()
        place.copy_out(taken.snapshot.id, top / "out")
    assert sqlite3.connect(top / "out/3/4/a.db").execute("select b from a").fetchall() == [(1,)]
    writer.close()


@pytest.mark.skipif(not IS_ROOT, reason="needs another user")
def test_what_cannot_be_read_is_named(top: Path) -> None:
    app = top / "app"
    give(app, *app.rglob("*"))
    os.chown(app / "2/3", 0, 0)
    (app / "2/3").chmod(0o700)
    os.chown(app / "1/1/1/f1", 0, 0)
    (app / "1/1/1/f1").chmod(0o600)
    top.chmod(0o755)

    def work() -> list[bytes]:
        several, one = walked(app)[0], by_one(app)
        assert several.inventory == one.inventory
        return [p.path for p in several.inventory.partial]

    assert as_user(work) == [b"1/1/1/f1", b"2/3"]


@pytest.mark.parametrize("spoil", [lambda: os._exit(9), lambda: 1 / 0])
def test_workers_that_die(top: Path, spoil: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    genuine, parent, looks = read.FastPath, [0], [0]

    class Dying(genuine):  # type: ignore[misc,valid-type]
        def look(self, folders: list[tuple[bytes, int]]) -> object:
            looks[0] += 1
            if looks[0] == 4:
                spoil()
            return super().look(folders)

    monkeypatch.setattr(scanner, "FastPath", Dying)

    def work() -> int:
        parent[0] = os.getpid()
        several, alone = walked(top / "app")
        same(several, by_one(top / "app"))
        return alone

    assert in_child(work) > 0


def test_a_snapshot_of_it_comes_back(top: Path) -> None:
    app = top / "app"
    (app / "3/socket").unlink()
    with Protected(app, top / "home") as place:
        first = in_child(place.take).snapshot
        place.reopen()
        subprocess.run(["cp", "-a", app, top / "before"], check=True)
        for n, path in enumerate(sorted(app.rglob("f*"))):
            if path.is_file() and n % 3 == 0:
                path.write_bytes(b"changed %d" % n)
        in_child(place.take)
        place.reopen()
        place._ticks += 5
        place.assert_sound()
        assert place.rollback(first.id).verified
        same_tree(top / "before", app)


def test_the_git_id_of_what_was_staged_is_that_of_its_entry(top: Path) -> None:
    """Who staged a file has compared both of its digests. Where it holds something else now, the id is computed."""
    root, ours = top / "app/flat", bytes(20)
    genuine = {e.path: e for e in by_one(root).inventory.entries if e.type is Type.FILE}
    staged = {path: replace(entry, oid=ours) for path, entry in genuine.items()}
    staged[b"7.log"] = replace(staged[b"7.log"], sha256=bytes(32))
    (root / "8.log").write_bytes(b"written meanwhile")
    with closing(DigestingReaders(str(root), {}, staged)) as readers:
        entries = Scanner(str(root), Digesting(), ScanOptions(), readers=readers).run().inventory.entries
    found = {e.path: e.oid for e in entries if e.type is Type.FILE}
    assert found.pop(b"7.log") == genuine[b"7.log"].oid
    assert found.pop(b"8.log") == digest_blob(b"written meanwhile").oid
    assert found.keys() == staged.keys() - {b"7.log", b"8.log"}
    assert set(found.values()) == {ours}
