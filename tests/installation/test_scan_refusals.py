"""What must never be opened, followed or waited for, and what cannot be read."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitsnap.core.content import Digesting
from gitsnap.core.model import Problem, Type
from gitsnap.installation.directories import Directories
from gitsnap.installation.scan.scanner import Scanner, ScanOptions
from tests.support.inprocess import Protected, scan, workspace
from tests.support.installation import IS_ROOT, copy_tree, remove_tree, run_gitsnap, same_tree
from tests.support.processes import as_user, gitsnap_as_user, give, in_child


@pytest.fixture
def where() -> Iterator[Path]:
    with workspace() as place:
        (place / "app").mkdir()
        yield place


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def test_fifos_and_sockets_never_block(where: Path) -> None:
    app = where / "app"
    os.mkfifo(app / "fifo", 0o640)
    (app / "run").mkdir()
    bind(app / "run/socket")
    (app / "f").write_bytes(b"x")

    def work() -> tuple[bool, list[bytes], list[Problem]]:
        with Protected(app, where / "home") as place:
            taken = place.take()
            (app / "fifo").unlink()
            (app / "f").unlink()
            back = place.rollback(taken.snapshot.id)
            return back.verified, taken.sockets, back.incomplete

    assert in_child(work, seconds=300) == (True, [b"run/socket"], [])
    found = os.lstat(app / "fifo")
    assert (stat.S_ISFIFO(found.st_mode), stat.S_IMODE(found.st_mode)) == (True, 0o640)
    assert stat.S_ISSOCK(os.lstat(app / "run/socket").st_mode)
    said = run_gitsnap("-C", app, "snapshot", home=where / "home").stderr
    assert "run/socket" in said


def test_a_socket_where_a_file_was_is_left_and_named(where: Path) -> None:
    """The safety snapshot cannot hold a socket, so the rollback may not take it away."""
    app = where / "app"
    for name in ("file", "folder/below/deep", "calm"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_bytes(b"first")
    with Protected(app, where / "home") as place:
        first = place.take().snapshot
        (app / "calm").write_bytes(b"second")
        (app / "file").unlink()
        (app / "folder/below/deep").unlink()
        (app / "folder/below").rmdir()
        bind(app / "file")
        bind(app / "folder/below")
        (app / "came").mkdir()
        bind(app / "came/socket")
        back = place.rollback(first.id)
        assert back.verified
        reasons = {p.path: p.reason for p in back.incomplete}
        assert reasons.keys() == {b"file", b"folder/below", b"folder/below/deep", b"came"}
        assert "socket" in reasons[b"file"]
        assert (app / "calm").read_bytes() == b"first"
        assert stat.S_ISSOCK(os.lstat(app / "file").st_mode)
        assert stat.S_ISSOCK(os.lstat(app / "came/socket").st_mode)


def swapping(app: Path, name: bytes, swap: Callable[[], None]) -> Scanner:
    """A scanner that is overtaken: `swap` happens between the first look at `name` and its opening."""
    done: list[bytes] = []

    def excludes(path: bytes, is_dir: bool) -> bool:
        if path == name and not done:
            done.append(path)
            swap()
        return False

    return Scanner(str(app), Digesting(), ScanOptions(excludes=excludes))


@pytest.mark.parametrize("into", ["outside", "inside"])
def test_a_symlink_swapped_in_for_a_directory_is_not_followed(where: Path, into: str) -> None:
    app, outside = where / "app", where / "outside"
    for folder in (outside, app / "victim", app / "other"):
        folder.mkdir()
        (folder / "f").write_bytes(b"x")

    def swap() -> None:
        (app / "victim").rename(where / "away")
        (app / "victim").symlink_to(outside if into == "outside" else "other")

    found = swapping(app, b"victim", swap).run().inventory
    assert [e.path for e in found.entries] == [b"", b"other", b"other/f", b"victim"]
    assert [p.path for p in found.partial] == [b"victim"]


def test_a_directory_is_opened_below_its_parent_and_never_through_a_link(where: Path) -> None:
    (where / "app/a/b").mkdir(parents=True)
    (where / "app/link").symlink_to("a")
    with Directories(str(where / "app")) as dirs:
        dirs.fd(b"a/b")
        for path in (b"link", b"link/b"):
            with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
                dirs.fd(path)
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        Directories(str(where / "app/link"))


@pytest.mark.parametrize("what", ["link", "fifo", "dir", "file", "nothing"])
def test_a_file_that_turns_into_something_else_is_that_or_named(where: Path, what: str) -> None:
    app, file, secret = where / "app", where / "app/f", where / "secret"
    secret.write_bytes(b"secret")
    file.write_bytes(b"x")

    def swap() -> None:
        file.unlink()
        if what == "link":
            file.symlink_to(secret)
        elif what == "fifo":
            os.mkfifo(file)
        elif what == "dir":
            file.mkdir()
        elif what == "file":
            file.write_bytes(b"other")

    found = in_child(lambda: swapping(app, b"f", swap).run().inventory, seconds=300)
    if what == "nothing":
        assert (len(found.entries), found.partial) == (1, [Problem(b"f", "vanished while it was read")])
    else:
        entry = found.by_path()[b"f"]
        assert (entry.type, found.partial) == (Type(what), [])
        assert entry == scan(app).inventory.by_path()[b"f"]


@pytest.mark.parametrize("what", ["another link", "file"])
def test_a_link_that_turns_into_something_else_is_that(where: Path, what: str) -> None:
    app, link = where / "app", where / "app/link"
    link.symlink_to("before")

    def swap() -> None:
        link.unlink()
        if what == "file":
            link.write_bytes(b"x")
        else:
            link.symlink_to("after")

    found = swapping(app, b"link", swap).run().inventory
    assert found.partial == []
    assert found.by_path()[b"link"] == scan(app).inventory.by_path()[b"link"]


def test_what_an_ordinary_user_may_not_read_is_named_once_and_exits_with_3(where: Path) -> None:
    app, home = where / "app", where / "home"
    home.mkdir()
    for name in ("closed", "open", "closed with attribute", "folder/f", "cannot enter/f"):
        (app / name).parent.mkdir(exist_ok=True)
        (app / name).write_bytes(b"x")
    os.setxattr(app / "closed with attribute", "user.note", b"x")
    os.setxattr(app / "folder", "user.note", b"x")
    give(where, app, home, *app.rglob("*"))
    for name, mode in (("closed", 0), ("closed with attribute", 0o200), ("folder", 0o300), ("cannot enter", 0o400)):
        os.chmod(app / name, mode)

    def work() -> tuple[list[Problem], list[bool]]:
        with Protected(app, home) as place:
            taken = place.take()
            return taken.partial, [v.ok for v in place.verify()]

    code, _, said = gitsnap_as_user("-C", app, "snapshot", home=home)
    partial, sound = as_user(work)
    assert [p.path for p in partial] == [b"cannot enter/f", b"closed", b"closed with attribute", b"folder"]
    assert {p.reason for p in partial} == {"Permission denied"}
    assert code == 3
    assert all(os.fsdecode(p.path) in said for p in partial)
    assert sound == [True, True]


def test_what_could_not_be_read_is_tried_again_by_the_next_snapshot(where: Path) -> None:
    app, home = where / "app", where / "home"
    home.mkdir()
    (app / "f").write_bytes(b"x")
    (app / "d").mkdir()
    os.setxattr(app / "d", "user.note", b"x")
    give(where, app, home, app / "f", app / "d")

    def work() -> tuple[int, int, int, object]:
        with Protected(app, home) as place:
            for path in (app / "f", app / "d"):
                os.chmod(path, 0o300)
            time.sleep(0.07)
            counts = [place.take().snapshot.partial for _ in range(2)]
            for path in (app / "f", app / "d"):
                os.chmod(path, 0o700)
            last = place.take().snapshot
            entry = place.inventory(last).by_path()[b"d"]
            return counts[0], counts[1], last.partial, entry.xattrs

    assert as_user(work) == (2, 2, 0, (("user.note", b"x"),))


def test_a_rollback_stops_before_it_removes_what_the_user_cannot_read(where: Path) -> None:
    app, home = where / "app", where / "home"
    home.mkdir()
    (app / "f").write_bytes(b"first")
    (app / "d").mkdir()
    (app / "d/f").write_bytes(b"first")
    give(where, app, home, *app.rglob("*"))

    def snap() -> str:
        with Protected(app, home) as place:
            return place.take().snapshot.id

    first = as_user(snap)
    for prepare in (lambda: hide(app / "new/secret"), lambda: hide(app / "f"), lambda: os.chmod(app / "d", 0)):
        kept = copy_tree(app, where / "kept")
        prepare()
        os.chmod(app, 0o755)
        before = copy_tree(app, where / "before")
        code, _, said = gitsnap_as_user("-C", app, "rollback", first, "--yes", home=home)
        assert (code, "could not be read" in said) == (1, True), said
        same_tree(before, app)
        for tree in (before, app):
            subprocess.run(["chmod", "-R", "u+rwx", tree], check=True)
            remove_tree(tree)
        copy_tree(kept, app)
        remove_tree(kept)


def hide(path: Path) -> None:
    """A private file, root's where that is possible, in a directory of the user's."""
    if not path.parent.exists():
        path.parent.mkdir()
        give(path.parent)
    path.write_bytes(b"secret")
    os.chmod(path, 0o600 if IS_ROOT else 0)
    if IS_ROOT:
        os.chown(path, 0, 0)
