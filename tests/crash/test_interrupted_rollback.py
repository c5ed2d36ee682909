"""A rollback that is told to stop, that finds no room, or that runs where names cannot be exchanged."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.cli.interrupts import Signals
from gitsnap.core.errors import GitsnapError, StopRequestedError
from gitsnap.installation import disk as disks
from gitsnap.installation.disk import Disk
from gitsnap.ops.restore import rollback
from gitsnap.ops.restore.recover import recover
from gitsnap.ops.restore.result import Direction
from gitsnap.ops.restore.rollback import RollbackOptions
from tests.support.inprocess import Protected, workspace
from tests.support.installation import IS_ROOT, build_app, build_odd, copy_tree, run_gitsnap, same_tree, upgrade
from tests.support.processes import in_child


@pytest.fixture
def where() -> Iterator[Path]:
    with workspace() as top:
        yield top


class Signalling(Disk):
    """Sends this process a signal when it is about to do the n-th thing of a kind."""

    def __init__(self, kind: str, n: int, number: int) -> None:
        self._kind, self._left, self._number = kind, n, number

    def _count(self, kind: str) -> None:
        if kind == self._kind:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._number)

    def create(self, parent: int, name: bytes) -> int:
        self._count("create")
        return super().create(parent, name)

    def move(self, parent: int, name: bytes, other: int, other_name: bytes) -> None:
        self._count("move")
        super().move(parent, name, other, other_name)

    def set_time(self, parent: int, name: bytes, atime_ns: int, mtime_ns: int) -> None:
        self._count("set_time")
        super().set_time(parent, name, atime_ns, mtime_ns)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(("kind", "n"), [("create", 3), ("move", 1), ("move", 9), ("set_time", 8)])
def test_told_to_stop(where: Path, kind: str, n: int, number: int) -> None:
    """It stops between two steps and says what to type; both ways lead out."""
    app = build_app(where / "app")
    wanted = copy_tree(app, where / "wanted")
    with Protected(app, where / "home") as place:
        first = place.take().snapshot.id
        upgrade(app)
        before = copy_tree(app, where / "before")

        def roll() -> str:
            with pytest.raises(StopRequestedError) as stopped:
                rollback.rollback(
                    place.sidecar,
                    first,
                    place.settings,
                    RollbackOptions(place.now, disk=Signalling(kind, n, number), interrupts=Signals()),
                )
            return str(stopped.value.hint)

        hint = in_child(roll)
        if kind == "create":
            assert "again" in hint
            assert place.sidecar.pending is None
            same_tree(before, app)
            return
        assert "gitsnap recover" in hint
        assert place.sidecar.pending == "forward"
        way = Direction.REVERT if n % 2 else Direction.FINISH
        done = recover(place.sidecar, way, place.settings, RollbackOptions(place.now))
        assert (done.verified, done.incomplete) == (True, [])
        same_tree(before if way is Direction.REVERT else wanted, app)


def test_a_second_signal_is_a_crash_as_any_other(where: Path) -> None:
    app = build_app(where / "app")
    wanted = copy_tree(app, where / "wanted")
    with Protected(app, where / "home") as place:
        first = place.take().snapshot.id
        upgrade(app)

        class Twice(Signalling):
            def _count(self, kind: str) -> None:
                super()._count(kind)
                super()._count(kind)
                if kind == self._kind and self._left == 0:
                    os.kill(os.getpid(), self._number)

        def roll() -> None:
            with pytest.raises(KeyboardInterrupt):
                rollback.rollback(
                    place.sidecar,
                    first,
                    place.settings,
                    RollbackOptions(place.now, disk=Twice("move", 10, signal.SIGINT), interrupts=Signals()),
                )

        in_child(roll)
        assert place.sidecar.pending == "forward"
        assert recover(place.sidecar, None, place.settings, RollbackOptions(place.now)).verified
        same_tree(wanted, app)


class Swapped(Disk):
    """Another process exchanges `d` with what is outside just before each move of it; the move into it fails."""

    def __init__(self, app: Path, outside: Path) -> None:
        self._pair = app / "d", outside

    def move(self, parent: int, name: bytes, other: int, other_name: bytes) -> None:
        if other_name == b"f":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if name == b"d":
            between = self._pair[1].with_name("between")
            for source, to in zip(self._pair, (between, self._pair[0]), strict=True):
                os.rename(source, to)
            os.rename(between, self._pair[1])
        super().move(parent, name, other, other_name)


def test_what_another_puts_in_place_of_ours_just_before_a_move(where: Path) -> None:
    """Neither stays in a slot for good: the one finds its name free again, the other is kept aside and named."""
    app, outside = where / "app", where / "outside"
    (app / "d").mkdir(parents=True)
    (app / "d/f").write_text("of the snapshot")
    with Protected(app, where / "home") as place:
        first = place.take().snapshot.id
        os.rename(app / "d", outside)
        (outside / "f").write_text("nobody has saved this")
        (app / "d").symlink_to("/nowhere")
        with pytest.raises(GitsnapError, match=r"everything was put back.*'d' was written to meanwhile") as told:
            rollback.rollback(
                place.sidecar, first, place.settings, RollbackOptions(place.now, disk=Swapped(app, outside))
            )
        assert place.sidecar.pending is None
        assert os.readlink(app / "d") == "/nowhere"
        assert os.listdir(app) == ["d"]
        (kept,) = (where / "home").glob("gitsnap-conflicts-*/d")
        assert str(kept) in str(told.value)
        assert (kept / "f").read_text() == "nobody has saved this"
        assert place.rollback(first).verified


class Reluctant(Disk):
    """Refuses to set the time of the root when it is to be set for the n-th time."""

    def __init__(self, n: int) -> None:
        self._left = n

    def set_time(self, parent: int, name: bytes, atime_ns: int, mtime_ns: int) -> None:
        self._left -= name == b"."
        if name == b"." and self._left == 0:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        super().set_time(parent, name, atime_ns, mtime_ns)


@pytest.mark.parametrize("n", [1, 3])
def test_a_root_whose_time_cannot_be_set_is_named(where: Path, n: int) -> None:
    """It is set with all others, put back when the stage goes, and set once more at the end."""
    app = where / "app"
    app.mkdir()
    (app / "f").write_text("old")
    with Protected(app, where / "home") as place:
        first = place.take().snapshot.id
        (app / "f").write_text("new")
        (app / "more").write_text("new")
        restored = rollback.rollback(
            place.sidecar, first, place.settings, RollbackOptions(place.now, disk=Reluctant(n))
        )
        assert [p.path for p in restored.incomplete] == [b""]
        assert "time" in restored.incomplete[0].reason
        assert place.rollback(first).incomplete == []
        assert place.verify_live(first).ok


def test_where_names_cannot_be_exchanged(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS, say: renameat2 refuses its flags. A link aside and two renames do as well."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(disks, "_rename", refuse)
    app = build_odd(where / "app")
    wanted = copy_tree(app, where / "wanted")
    with Protected(app, where / "home") as place:
        first = place.take().snapshot.id
        upgrade(app)
        before = copy_tree(app, where / "before")
        done = place.rollback(first)
        assert (done.verified, done.incomplete) == (True, [])
        same_tree(wanted, app)
        assert done.safety is not None
        assert place.rollback(done.safety.id).verified
        same_tree(before, app)


@pytest.mark.parametrize("at", ["linked", "replaced"])
def test_an_exchange_by_links_that_was_cut_off(where: Path, at: str) -> None:
    for name, text in (("slot", "new"), ("name", "old")):
        (where / name).write_text(text)
    fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
    os.link(where / "name", where / "slot.old")
    if at == "replaced":
        os.rename(where / "slot", where / "name")
    Disk().settle(fd, b"slot")
    os.close(fd)
    assert not (where / "slot.old").exists()
    expected = ("new", "old") if at == "linked" else ("old", "new")
    assert ((where / "slot").read_text(), (where / "name").read_text()) == expected


@pytest.fixture
def small_disk(where: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    mounted = where / "small"
    mounted.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", mounted], capture_output=True)
    if not IS_ROOT or done.returncode:
        pytest.skip("mounting needs root, and a kernel that lets it")
    yield mounted
    subprocess.run(["umount", "-l", mounted], check=True)


def test_the_disk_is_full_half_way(small_disk: Path, where: Path) -> None:
    """Blocks are larger than what is in them: the room that was found was not enough. Nothing was changed."""
    app = small_disk / "app"
    app.mkdir()
    for number in range(200):
        (app / f"f{number}").write_text(f"old {number}\n" * 50)
    with Protected(app, where / "home") as place:
        first = place.take().snapshot.id
        for number in range(200):
            (app / f"f{number}").write_text(f"new {number}\n")
        with open(app / "filler", "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(4096))
        os.truncate(app / "filler", os.path.getsize(app / "filler") - 400_000)
        before = copy_tree(app, where / "before")
        with pytest.raises(GitsnapError, match=r"No space left.*nothing was changed") as failed:
            place.rollback(first)
        assert failed.value.kind == "no-space"
        assert place.sidecar.pending is None
        same_tree(before, app)
        (app / "filler").unlink()
        assert place.rollback(first).verified


def test_the_sidecars_disk_is_full(small_disk: Path, where: Path) -> None:
    app = where / "app"
    app.mkdir()
    (app / "data").write_bytes(os.urandom(600_000))
    run_gitsnap("-C", app, "snapshot", home=small_disk / "home")
    wanted = copy_tree(app, where / "wanted")
    (app / "data").write_bytes(os.urandom(1_900_000))
    before = copy_tree(app, where / "before")
    told = run_gitsnap("-C", app, "rollback", "-y", home=small_disk / "home", check=1).stderr
    assert "the directory is untouched" in told
    same_tree(before, app)
    (app / "data").write_bytes(os.urandom(300_000))
    run_gitsnap("-C", app, "rollback", "-y", home=small_disk / "home")
    same_tree(wanted, app)
