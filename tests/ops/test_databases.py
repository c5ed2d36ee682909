"""SQLite databases under writers: what is captured was committed, and nothing is written in the installation."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitsnap.core.errors import GitsnapError, StopRequestedError
from gitsnap.core.model import Image, Snapshot
from gitsnap.core.mtree import parse_metadata
from gitsnap.installation.disk import Disk
from gitsnap.installation.scan import slow_path
from gitsnap.installation.scan.read_content import ContentReader
from gitsnap.installation.sqlite.backup import Databases
from gitsnap.installation.sqlite.locks import ReadLocks
from gitsnap.ops.capture.request import Request
from gitsnap.ops.compare import diff
from gitsnap.ops.restore import recover, result, rollback, undo
from gitsnap.ops.restore.rollback import RollbackOptions
from gitsnap.sidecar import contents
from tests.support.databases import create, locked, state, stock_state, tree_state, writing
from tests.support.inprocess import SETTINGS, Protected, workspace
from tests.support.installation import IS_ROOT, run_gitsnap
from tests.support.processes import gitsnap_as_user, give

needs_sqlite3 = pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the sqlite3 command is not installed")
RAW = replace(SETTINGS, sqlite=False)
# How the writer works: journal mode, pause, seconds that each transaction stays open.
WRITERS = {
    "wal": ("wal", 0.001, 0.0),
    "slow wal": ("wal", 0.05, 0.0),
    "delete": ("delete", 0.001, 0.0),
    "truncate": ("truncate", 0.001, 0.0),
    "persist": ("persist", 0.001, 0.0),
    "long wal": ("wal", 0.02, 0.15),
    "long delete": ("delete", 0.02, 0.15),
}


@pytest.fixture
def where() -> Iterator[Path]:
    with workspace() as place:
        (place / "app/data").mkdir(parents=True)
        (place / "app/readme").write_bytes(b"about")
        yield place


def restored(place: Protected, snapshot: Snapshot, to: Path) -> Path:
    place.copy_out(snapshot.id, to)
    return to / "data/app.db"


@pytest.mark.parametrize("how", WRITERS)
def test_what_is_captured_under_a_writer_was_committed(where: Path, how: str) -> None:
    mode, pause, hold = WRITERS[how]
    with Protected(where / "app", where / "home") as place:
        taken: list[tuple[int, Snapshot]] = []
        with writing(where / "app/data/app.db", where / "acked", mode, pause=pause, hold=hold) as writer:
            # However quick snapshots are, the writer gets somewhere meanwhile.
            while len(taken) < 15 or writer.committed < 5:
                before = writer.committed
                result = place.take()
                assert result.partial == []
                taken.append((before, result.snapshot))
                assert writer.process.poll() is None
        newest = 0
        for number, (before, snapshot) in enumerate(taken):
            found = state(restored(place, snapshot, where / f"out{number}"))
            assert found >= max(before, newest)
            newest = found
        assert newest > 2
        assert [v.problems for v in place.verify() if v.problems] == []


@pytest.mark.parametrize("how", ["slow wal", "long delete"])
def test_what_is_captured_raw_is_torn_or_old_without_its_journals(where: Path, how: str) -> None:
    """The test above can fail."""
    mode, pause, hold = WRITERS[how]
    bad = 0
    with Protected(where / "app", where / "home", RAW) as place:
        with writing(where / "app/data/app.db", where / "acked", mode, pause=pause, hold=hold) as writer:
            taken = [(writer.committed, place.take().snapshot) for _ in range(30)]
        for before, snapshot in taken:
            shutil.rmtree(where / "out", ignore_errors=True)
            place.copy_out(snapshot.id, where / "out")
            database = where / "out/data/app.db"
            if not database.exists():
                # It changed whenever it was read.
                continue
            for suffix in ("-wal", "-shm", "-journal"):
                Path(f"{database}{suffix}").unlink(missing_ok=True)
            try:
                bad += state(database) < before
            except (AssertionError, sqlite3.Error):
                bad += 1
            if bad:
                break
    assert bad > 0


@needs_sqlite3
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_rolled_back_database_has_the_old_state_and_none_of_the_new_journals(where: Path, mode: str) -> None:
    database = where / "app/data/app.db"
    with Protected(where / "app", where / "home") as place:
        with writing(database, where / "acked", mode, hold=0.02) as writer:
            first = place.take().snapshot
            while writer.committed < 20:
                pass
        # Killed: what it was in the middle of lies in its journal.
        assert any(Path(f"{database}{s}").exists() for s in ("-wal", "-journal")) or mode == "delete"
        old = state(restored(place, first, where / "first"))
        back = place.rollback(first.id)
        assert (back.verified, back.incomplete) == (True, [])
        assert back.in_use == ([b"data/app.db"] if mode == "wal" else back.in_use)
        assert sorted(os.listdir(database.parent)) == ["app.db"]
        assert place.verify_live(first.id).ok
        assert stock_state(database) == old
        assert back.safety is not None
        before = state(restored(place, back.safety, where / "before"))
        assert before >= 20
        undone = undo.undo(place.sidecar, place.settings, RollbackOptions(place.now))
        assert undone.verified
        assert undone.in_use == []
        assert stock_state(database) == before


@pytest.mark.parametrize(
    ("mode", "pause"), [("wal", 0.02), ("delete", 0.02), ("memory", 0.02), ("off", 0.02), ("wal", 0.3), ("delete", 0.3)]
)
def test_what_is_captured_of_a_large_one_under_a_writer_was_committed(
    where: Path, mode: str, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read where it lies when nobody is at work on it, and again, as an image, when that has changed meanwhile."""
    monkeypatch.setattr(slow_path, "_LARGE", 3 << 20)
    with Protected(where / "app", where / "home") as place:
        taken: list[tuple[int, Snapshot]] = []
        with writing(
            where / "app/data/app.db", where / "acked", mode, pause=pause, hold=0.02, filling=3 << 20
        ) as writer:
            for _ in range(4):
                before = writer.committed
                result = place.take()
                assert result.partial == []
                taken.append((before, result.snapshot))
        newest = 0
        for number, (before, snapshot) in enumerate(taken):
            found = state(restored(place, snapshot, where / f"out{number}"))
            assert found >= max(before, newest)
            newest = found


def test_a_large_one_that_nobody_is_at_work_on_is_read_where_it_lies(
    where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copying gigabytes takes longer than all else that a rollback does with them."""
    database, copies = where / "app/data/app.db", []
    copy = Databases.copy

    def counted(self: Databases, folder: int, name: bytes) -> object:
        copies.append(name)
        return copy(self, folder, name)

    monkeypatch.setattr(Databases, "copy", counted)
    monkeypatch.setattr(slow_path, "_LARGE", 1 << 20)
    create(database, filling=1 << 20)
    with Protected(where / "app", where / "home") as place:
        first = place.take().snapshot
        assert copies == []
        with closing(sqlite3.connect(database)) as c, c:
            c.execute("update turn set number=1")
            c.execute("update block set number=1")
        back = place.rollback(first.id)
        assert (back.verified, copies) == (True, [])
        assert state(database) == 0
        # With a file of SQLite's beside it, somebody may have it open.
        Path(f"{database}-journal").touch()
        database.touch()
        place.take()
        assert copies == [b"app.db"]


def test_a_large_one_that_somebody_sets_to_work_on_while_it_is_read_is_captured_as_an_image(
    where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own file has not changed by then: what was committed is in the log beside it alone."""
    monkeypatch.setattr(slow_path, "_LARGE", 1 << 20)
    database, users = where / "app/data/app.db", ExitStack()
    create(database, "wal", filling=1 << 20)
    read = ContentReader.file

    def commit_after(self: ContentReader, fd: int, name: bytes, *more: Any) -> object:
        found = read(self, fd, name, *more)
        if name == b"app.db":
            c = users.enter_context(closing(sqlite3.connect(database, isolation_level=None)))
            c.executescript("begin; update turn set number=1; update block set number=1; commit")
        return found

    monkeypatch.setattr(ContentReader, "file", commit_after)
    with Protected(where / "app", where / "home") as place, users:
        before = database.read_bytes()
        taken = place.take().snapshot
        assert database.read_bytes() == before
        assert list(place.inventory(taken).images) == [b"data/app.db"]
        assert state(restored(place, taken, where / "out")) == 1


def test_a_log_that_stayed_would_ruin_the_database(where: Path) -> None:
    """Why they go: nothing ties a log to its database, and SQLite replays one that came from elsewhere."""
    database, bad = where / "app/data/app.db", where / "bad.db"

    def ruins(log: bytes) -> bool:
        for old in where.glob("bad.db*"):
            old.unlink()
        shutil.copy(out, bad)
        (where / "bad.db-wal").write_bytes(log)
        try:
            return state(bad) != good
        except (AssertionError, sqlite3.Error):
            return True

    with (
        Protected(where / "app", where / "home") as place,
        writing(database, where / "acked", "wal") as writer,
    ):
        out = restored(place, place.take().snapshot, where / "out")
        good = state(Path(shutil.copy(out, where / "good.db")))
        # At some moments it has just begun anew, and holds nothing that counts.
        while not ruins(Path(f"{database}-wal").read_bytes()):
            assert writer.committed < 2000


@pytest.mark.parametrize("user", [False, True], ids=["as root", "as a user"])
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_nothing_is_written_in_the_installation(where: Path, mode: str, user: bool) -> None:
    app, home = where / "app", where / "home"
    os.chmod(where, 0o755)
    home.mkdir()
    database = app / "data/app.db"
    with ExitStack() as stack:
        if mode == "wal":
            writer = stack.enter_context(writing(database, where / "acked", mode, hold=0.05))
            stack.enter_context(writer.paused())
        else:
            # Whoever opened this one would roll its journal back.
            create(database)
            hot_journal(database)
        if user:
            give(home)
        before = tree_state(app)
        for command in (["snapshot"], ["status"], ["diff"], ["verify", "--live"], ["rollback", "-n"], ["snapshot"]):
            if user:
                code, out, err = gitsnap_as_user("-C", app, *command, home=home)
            else:
                done = run_gitsnap("-C", app, *command, home=home, check=False)
                code, out, err = done.returncode, done.stdout, done.stderr
            assert code == 0, (command, out, err)
            assert tree_state(app) == before, command
        assert not [n for n in os.listdir(next(home.glob("app-*")) / "gitsnap/tmp") if n.startswith("image-")]


def test_where_there_are_no_locks_or_no_room_what_is_not_in_use_is_any_file(
    where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(ReadLocks, "take_database", refuse)
    for name in ("idle.db", "used.db"):
        create(where / "app/data" / name, "wal")
    with (
        closing(sqlite3.connect(where / "app/data/used.db", isolation_level=None)) as user,
        Protected(where / "app", where / "home") as place,
    ):
        user.execute("update turn set number=1")
        taken = place.take()
        assert {p.path for p in taken.partial} == {b"data/used.db" + s for s in (b"", b"-shm", b"-wal")}
        assert "No locks available" in taken.partial[0].reason
        place.copy_out(taken.snapshot.id, where / "out", [b"data/idle.db"])
        assert state(where / "out/data/idle.db") == 0


@pytest.mark.skipif(not IS_ROOT, reason="only root can make files that others may not read")
def test_a_database_whose_log_may_not_be_read_is_named_and_left_alone(where: Path) -> None:
    app, home = where / "app", where / "home"
    os.chmod(where, 0o755)
    home.mkdir()
    give(home)
    with writing(app / "data/app.db", where / "acked", "wal") as writer, writer.paused():
        os.chmod(app / "data/app.db-wal", 0o600)
        code, out, err = gitsnap_as_user("-C", app, "--json", "snapshot", home=home)
        assert code == 3, err
        named = {p["path"] for p in json.loads(out)["partial"]}
        assert named == {"data/app.db", "data/app.db-shm", "data/app.db-wal"}


def test_an_idle_database_is_unchanged_and_not_read_again(where: Path) -> None:
    database = where / "app/data/app.db"
    with Protected(where / "app", where / "home") as place:
        create(database, "wal")
        with closing(sqlite3.connect(database, isolation_level=None)) as user:
            user.execute("update turn set number=9")
            age(where / "app")
            first = place.take()
            assert first.databases == [b"data/app.db"]
            image = place.inventory(first.snapshot).images
            assert [e.path for e in image[b"data/app.db"].beside] == [b"data/app.db-shm", b"data/app.db-wal"]
            cache = place.sidecar.load_cache()
            assert list(cache.images) == [b"data/app.db"]
            assert cache.whole
            again = place.take(Request(skip_unchanged=True))
            assert (again.skipped, again.databases) == (True, [b"data/app.db"])
            second = place.take().snapshot
            assert (second.tree, second.metadata_sha256) == (first.snapshot.tree, first.snapshot.metadata_sha256)
            # Without the cache, the same bytes come out.
            place.sidecar.save_cache(type(cache)())
            third = place.take().snapshot
            assert (third.tree, third.metadata_sha256) == (second.tree, second.metadata_sha256)
            assert place.verify_live(third.id).ok
            found, _ = diff.diff(place.sidecar, third.id, "now", place.settings)
            assert (found.comparison.changes, found.partial) == ([], [])
            user.execute("update turn set number=1")
            found, _ = diff.diff(place.sidecar, third.id, "now", place.settings)
            assert [c.path for c in found.comparison.changes] == [b"data/app.db"]
            user.execute("update turn set number=9")
        # Closed, its own file has all that the image had, and there is nothing beside it.
        assert os.listdir(database.parent) == ["app.db"]
        fourth = place.take()
        assert fourth.databases == []


def age(root: Path) -> None:
    """So long ago that a change now would show."""
    for folder, _, names in os.walk(root):
        for name in names:
            os.utime(os.path.join(folder, name), ns=(1_700_000_000 * 10**9, 1_700_000_000 * 10**9))
    subprocess.run(["sleep", "0.2"], check=True)


def test_a_database_that_comes_into_use_after_its_directory_was_listed_has_no_journals_of_before(
    where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitsnap.installation.sqlite.detect import Imager

    monkeypatch.setattr(Imager, "in_use", lambda *_: [])
    database = where / "app/data/app.db"
    create(database, "wal")
    with Protected(where / "app", where / "home") as place:
        with closing(sqlite3.connect(database, isolation_level=None)) as user:
            user.execute("update turn set number=5")
            taken = place.take()
        assert (taken.databases, taken.partial) == ([b"data/app.db"], [])
        held = place.inventory(taken.snapshot)
        assert [e.path for e in held.files()] == [b"data/app.db", b"readme"]
        assert [e.path for e in held.images[b"data/app.db"].beside] == [b"data/app.db-shm", b"data/app.db-wal"]
        place.copy_out(taken.snapshot.id, where / "out")
        with closing(sqlite3.connect(where / "out/data/app.db")) as c:
            assert c.execute("select number from turn").fetchone() == (5,)


def test_a_log_that_was_emptied_is_no_change_and_stays_where_the_database_does(where: Path) -> None:
    app = where / "app"
    database = app / "data/app.db"
    with Protected(app, where / "home") as place:
        create(database, "wal")
        with closing(sqlite3.connect(database, isolation_level=None)) as user:
            user.execute("update turn set number=5")
            first = place.take().snapshot
            user.execute("pragma wal_checkpoint(truncate)")
            assert Path(f"{database}-wal").stat().st_size == 0
            found, _ = diff.diff(place.sidecar, first.id, "now", place.settings)
            assert found.comparison.changes == []
            (app / "readme").write_bytes(b"edited")
            assert place.rollback(first.id).verified
            assert sorted(os.listdir(database.parent)) == ["app.db", "app.db-shm", "app.db-wal"]
            # By themselves, they are files, however lately the database has changed.
            for _ in range(2):
                taken = place.take()
                held = place.inventory(taken.snapshot).by_path()
                assert {b"data/app.db-shm", b"data/app.db-wal"} < held.keys()
                assert taken.databases == []
                age(app)


def test_the_file_of_a_closed_database_is_its_image(where: Path) -> None:
    database = where / "app/data/app.db"
    with Protected(where / "app", where / "home") as place:
        create(database, "wal")
        with closing(sqlite3.connect(database, isolation_level=None)) as user:
            user.execute("update turn set number=7")
            image = place.inventory(place.take().snapshot).by_path()[b"data/app.db"]
            assert image.size == os.stat(database).st_size or image.sha256
        raw = place.inventory(place.take().snapshot).by_path()[b"data/app.db"]
        assert (raw.sha256, raw.size) == (image.sha256, image.size)


def test_a_named_database_comes_back_without_the_log_of_now_and_an_excluded_log_goes_too(where: Path) -> None:
    app = where / "app"
    database = app / "data/app.db"
    (app / ".gitsnapignore").write_bytes(b"*-wal\n*-shm\n")
    with Protected(app, where / "home") as place:
        create(database, "wal")
        with closing(sqlite3.connect(database, isolation_level=None)) as user:
            user.execute("update turn set number=5")
            first = place.take().snapshot
            user.execute("update turn set number=6")
            (app / "readme").write_bytes(b"edited")
            back = place.rollback(first.id, [b"data/app.db"])
            assert back.verified
            assert os.listdir(database.parent) == ["app.db"]
            assert (app / "readme").read_bytes() == b"edited"
        with closing(sqlite3.connect(database)) as c:
            assert c.execute("select number from turn").fetchone() == (5,)
        # What its user had open is not what is there now: it has changed nothing in it.
        undone = undo.undo(place.sidecar, place.settings, RollbackOptions(place.now))
        assert undone.verified
        with closing(sqlite3.connect(database)) as c:
            assert c.execute("select number from turn").fetchone() == (6,)


def test_another_file_comes_back_and_the_database_keeps_its_log(where: Path) -> None:
    app = where / "app"
    database = app / "data/app.db"
    with Protected(app, where / "home") as place:
        create(database, "wal")
        with closing(sqlite3.connect(database, isolation_level=None)) as user:
            user.execute("update turn set number=5")
            first = place.take().snapshot
            (app / "readme").write_bytes(b"edited")
            back = place.rollback(first.id)
            assert back.verified
            assert sorted(os.listdir(database.parent)) == ["app.db", "app.db-shm", "app.db-wal"]
            user.execute("update turn set number=6")
        with closing(sqlite3.connect(database)) as c:
            assert c.execute("select number from turn").fetchone() == (6,)


def test_a_snapshot_that_has_the_journals_as_files_comes_back_as_it_is(where: Path) -> None:
    app = where / "app"
    database = app / "data/app.db"
    with Protected(app, where / "home", RAW) as place:
        create(database, "wal")
        with closing(sqlite3.connect(database, isolation_level=None)) as user:
            user.execute("update turn set number=5")
            first = place.take().snapshot
            assert {b"data/app.db-wal", b"data/app.db-shm"} < place.inventory(first).by_path().keys()
            place.settings = SETTINGS
            found, _ = diff.diff(place.sidecar, first.id, "now", place.settings)
            assert found.comparison.changes == []
            user.execute("update turn set number=6")
            back = place.rollback(first.id)
            assert back.verified, back.incomplete
        assert place.verify_live(first.id).ok
        with closing(sqlite3.connect(database)) as c:
            assert c.execute("select number from turn").fetchone() == (5,)
        undone = undo.undo(place.sidecar, place.settings, RollbackOptions(place.now))
        assert undone.verified
        with closing(sqlite3.connect(database)) as c:
            assert c.execute("select number from turn").fetchone() == (6,)


def test_a_database_that_stays_locked_is_captured_as_it_lies_there_and_named(
    where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitsnap.installation.sqlite import backup as capture

    monkeypatch.setattr(capture, "_PATIENCE", 0.3)
    app = where / "app"
    create(app / "data/app.db")
    with Protected(app, where / "home") as place:
        with locked(app / "data/app.db"):
            taken = place.take()
            assert {p.path for p in taken.partial} == {b"data/app.db", b"data/app.db-journal"}
            assert "locked" in taken.partial[0].reason
            assert {b"data/app.db", b"data/app.db-journal"} < place.inventory(taken.snapshot).by_path().keys()
        assert state(app / "data/app.db") == 0
        # A rollback to what is not consistent leaves the database alone.
        back = place.rollback(taken.snapshot.id)
        assert {p.path for p in back.incomplete} >= {b"data/app.db"}
        assert state(app / "data/app.db") == 0


def hot_journal(database: Path) -> None:
    """A writer that died while it was writing to the database itself."""
    program = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("pragma cache_size=4")
c.execute("begin immediate")
c.execute("update turn set number=99")
c.execute("update block set number=99, filling=randomblob(400)")
os.kill(os.getpid(), 9)
"""
    subprocess.run(["python3", "-c", program, str(database)], check=False)


def test_a_transaction_whose_writer_died_is_taken_back_in_the_image_only(where: Path) -> None:
    database = where / "app/data/app.db"
    create(database)
    hot_journal(database)
    before = tree_state(where / "app")
    journal = Path(f"{database}-journal")
    assert journal.stat().st_size > 0
    torn = shutil.copy(database, where / "torn.db")
    with pytest.raises((AssertionError, sqlite3.Error)):
        state(Path(torn))
    with Protected(where / "app", where / "home") as place:
        taken = place.take()
        assert taken.databases == [b"data/app.db"]
        assert tree_state(where / "app") == before
        assert state(restored(place, taken.snapshot, where / "out")) == 0
        assert place.verify_live(taken.snapshot.id).ok


def test_a_journal_that_names_another_file_is_not_shown_to_sqlite(where: Path) -> None:
    """SQLite removes the file that a journal names, once none of the journals named in it is left: any file at all."""
    database = where / "app/data/app.db"
    create(database)
    hot_journal(database)
    victim = where / "victim"
    victim.write_bytes(b"nothing\0")
    name = os.fsencode(victim)
    magic = bytes.fromhex("d9d505f920a163d7")
    trailer = name + len(name).to_bytes(4, "big") + sum(c - 256 * (c > 127) for c in name).to_bytes(4, "big") + magic
    lock_page = (0x40000000 // 4096 + 1).to_bytes(4, "big")
    with open(f"{database}-journal", "ab") as journal:
        journal.write(lock_page + trailer)
    # Proof that it would: the same on a copy that is nobody's. SQLite 3.53 itself leaves the file alone.
    for suffix in ("", "-journal"):
        shutil.copy(f"{database}{suffix}", where / f"copy.db{suffix}")
    with closing(sqlite3.connect(where / "copy.db", isolation_level=None)) as c:
        c.execute("select * from turn").fetchall()
    assert not victim.exists() or sqlite3.sqlite_version_info >= (3, 53)
    victim.write_bytes(b"nothing\0")
    with Protected(where / "app", where / "home") as place:
        taken = place.take()
    assert victim.read_bytes() == b"nothing\0"
    assert {p.path for p in taken.partial} == {b"data/app.db", b"data/app.db-journal"}


@pytest.mark.parametrize("content", [b"SQLite format 3\0", b"SQLite format 3\0" + bytes(5000), b"text"])
@pytest.mark.parametrize("log", [b"x", bytes(4096), b"\x37\x7f\x06\x82" + bytes(4000)])
def test_what_only_looks_like_a_database_is_captured_as_the_files_that_are_there(
    where: Path, content: bytes, log: bytes
) -> None:
    (where / "app/data/fake").write_bytes(content)
    (where / "app/data/fake-wal").write_bytes(log)
    with Protected(where / "app", where / "home") as place:
        taken = place.take()
        assert taken.partial == []
        place.copy_out(taken.snapshot.id, where / "out")
        assert place.verify_live(taken.snapshot.id).ok
        if taken.databases:
            assert content != b"text"
        else:
            assert (where / "out/data/fake").read_bytes() == content
            assert (where / "out/data/fake-wal").read_bytes() == log


def test_a_journal_cannot_make_a_database_out_of_all_proportion(where: Path) -> None:
    """One that says that the database had millions of pages: SQLite gives it that size back."""
    database = where / "app/data/app.db"
    create(database)
    pages = 50_000_000
    numbers = [0, 0, pages, 512, 4096]
    header = bytes.fromhex("d9d505f920a163d7") + b"".join(n.to_bytes(4, "big") for n in numbers)
    shutil.copy(database, where / "app.db")
    for folder in (where, database.parent):
        Path(folder / "app.db-journal").write_bytes(header.ljust(512, b"\0"))
    with closing(sqlite3.connect(where / "app.db", isolation_level=None)) as c:
        c.execute("begin immediate")
        c.execute("rollback")
    assert (where / "app.db").stat().st_size == pages * 4096
    with Protected(where / "app", where / "home") as place:
        taken = place.take()
    assert (taken.databases, taken.partial) == ([], [])
    assert taken.snapshot.bytes < 1_000_000


def test_names_that_lead_elsewhere_are_not_followed(where: Path) -> None:
    data, secret = where / "app/data", where / "secret"
    create(secret, "wal")
    with closing(sqlite3.connect(secret, isolation_level=None)) as user:
        user.execute("update turn set number=3")
        os.symlink(secret, data / "a.db")
        shutil.copy(f"{secret}-wal", data / "a.db-wal")
        shutil.copy(secret, data / "b.db")
        os.symlink(f"{secret}-wal", data / "b.db-wal")
        shutil.copy(secret, data / "c.db")
        shutil.copy(f"{secret}-wal", data / "c.db-wal")
        os.mkfifo(data / "c.db-shm")
        create(data / "d.db")
        os.mkdir(data / "d.db-wal")
        with Protected(where / "app", where / "home") as place:
            taken = place.take()
            assert (taken.databases, taken.partial) == ([], [])
            found = place.inventory(taken.snapshot).by_path()
            assert found[b"data/a.db"].target == os.fsencode(secret)
            assert found[b"data/b.db-wal"].target == os.fsencode(f"{secret}-wal")
            assert place.verify_live(taken.snapshot.id).ok


def test_old_readers_know_every_line_of_the_metadata_and_show_and_ls_tell(where: Path) -> None:
    app, home = where / "app", where / "home"
    create(app / "data/app.db", "wal")
    with closing(sqlite3.connect(app / "data/app.db", isolation_level=None)) as user:
        user.execute("update turn set number=3")
        taken = json.loads(run_gitsnap("-C", app, "--json", "snapshot", home=home).stdout)
        assert taken["databases"] == [{"path": "data/app.db"}]
        shown = json.loads(run_gitsnap("-C", app, "--json", "show", home=home).stdout)
        beside = [{"path": "data/app.db-shm"}, {"path": "data/app.db-wal"}]
        assert (shown["databases"], shown["skipped"]) == ([{"path": "data/app.db", "beside": beside}], [])
        assert "data/app.db (with app.db-shm, app.db-wal)" in run_gitsnap("-C", app, "show", home=home).stdout
        listed = json.loads(run_gitsnap("-C", app, "--json", "ls", "latest", "data", home=home).stdout)
        assert [(e["path"], e.get("database")) for e in listed["entries"]] == [("data/app.db", "sqlite")]
        assert "data/app.db  (SQLite" in run_gitsnap("-C", app, "ls", "latest", "data", home=home).stdout
        with Protected(app, home) as place:
            text = contents.metadata_text(place.sidecar, place.snapshots()[0])
        comments = [line for line in text.decode().splitlines() if line.startswith("#")]
        assert comments == ["# gitsnap metadata 1", "# skipped ./data/app.db-shm", "# skipped ./data/app.db-wal"]
        assert list(parse_metadata(text).images) == [b"data/app.db"]
        assert isinstance(parse_metadata(text).images[b"data/app.db"], Image)
        raw = next(home.glob("app-*")) / "gitsnap.toml"
        raw.write_text('[capture]\nsqlite = "raw"\n')
        as_files = json.loads(run_gitsnap("-C", app, "--json", "snapshot", home=home).stdout)
        assert (as_files["databases"], as_files["snapshot"]["files"]) == ([], 4)
        raw.write_text('[capture]\nsqlite = "no"\n')
        assert "auto" in run_gitsnap("-C", app, "snapshot", home=home, check=2).stderr


def test_a_private_copy_of_a_killed_process_goes_and_one_in_use_stays(where: Path) -> None:
    with Protected(where / "app", where / "home") as place:
        scratch = Path(place.sidecar.scratch)
        for name in ("image-dead", "image-used"):
            (scratch / name).mkdir()
            (scratch / name / "database").write_bytes(b"x")
        used = os.open(scratch / "image-used", os.O_RDONLY)
        fcntl.flock(used, fcntl.LOCK_EX)
        place.take()
        assert os.listdir(scratch) == ["image-used"]
        os.close(used)
        place.take()
        assert os.listdir(scratch) == []


def test_a_database_that_could_not_be_kept_safe_is_not_replaced(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gitsnap.installation.sqlite import backup as capture

    monkeypatch.setattr(capture, "_PATIENCE", 0.2)
    app = where / "app"
    create(app / "data/app.db")
    with Protected(app, where / "home") as place:
        before = place.take().snapshot
        with closing(sqlite3.connect(app / "data/app.db", isolation_level=None)) as user:
            user.execute("update block set number=0, filling=randomblob(400)")
        with locked(app / "data/app.db"):
            lying = tree_state(app)
            with pytest.raises(GitsnapError) as refused:
                place.rollback(before.id)
            assert refused.value.kind == "unreadable"
            assert tree_state(app) == lying


class Refusing(Disk):
    """Refuses to exchange names: when the database's turn comes, its journals have moved out already."""

    def exchange(self, *_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")


def test_a_rollback_that_fails_gives_a_database_its_log_back(where: Path) -> None:
    app = where / "app"
    database = app / "data/app.db"
    with Protected(app, where / "home") as place:
        with writing(database, where / "acked", "wal") as writer:
            first = place.take().snapshot
            while writer.committed < 20:
                pass
        before = [(path, content) for path, *_, content in tree_state(app)]
        with pytest.raises(GitsnapError, match="everything was put back as it was before, and verified"):
            rollback.rollback(place.sidecar, first.id, place.settings, RollbackOptions(place.now, disk=Refusing()))
        assert [(path, content) for path, *_, content in tree_state(app)] == before
        assert state(database) >= 20


def test_an_interrupted_rollback_is_finished_without_the_log_or_taken_back_with_it(where: Path) -> None:
    app = where / "app"
    database = app / "data/app.db"
    with Protected(app, where / "home") as place:
        with writing(database, where / "acked", "wal") as writer:
            first = place.take().snapshot
            while writer.committed < 20:
                pass
        newest = state(Path(shutil.copytree(app / "data", where / "copy"), "app.db"))
        for direction in (result.Direction.REVERT, result.Direction.FINISH):
            stopping = Stopping()
            with pytest.raises(StopRequestedError):
                rollback.rollback(
                    place.sidecar, first.id, place.settings, RollbackOptions(place.now, interrupts=stopping)
                )
            done = recover.recover(place.sidecar, direction, place.settings, RollbackOptions(place.now))
            assert (done.verified, done.incomplete) == (True, [])
            if direction is result.Direction.REVERT:
                assert Path(f"{database}-wal").exists()
        assert os.listdir(database.parent) == ["app.db"]
        assert place.verify_live(first.id).ok
        assert state(database) < newest


class Stopping:
    """Asks to stop once the first name has moved: that of a log."""

    @contextmanager
    def deferred(self) -> Iterator[Callable[[], bool]]:
        asked = iter([False] * 6)
        yield lambda: next(asked, True)
