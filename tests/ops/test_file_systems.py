"""Rollbacks, both ways, on the file systems that people have: ext4, XFS and btrfs."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.installation.directories import names_in
from tests.support.inprocess import Protected, workspace
from tests.support.installation import build_app, copy_tree, differences, run_gitsnap, take_snapshot, upgrade
from tests.torture import power
from tests.torture.power import Disk


@pytest.fixture(params=power.FILE_SYSTEMS)
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    with workspace() as top:
        try:
            made = power.disk(request.param, top)
            mounted = made.__enter__()
        except OSError as error:
            pytest.skip(str(error))
        try:
            yield mounted
        finally:
            made.__exit__(None, None, None)


def test_names_that_came_after_the_directory_was_opened(disk: Disk) -> None:
    fd = os.open(disk.where, os.O_RDONLY | os.O_DIRECTORY)
    try:
        before = names_in(fd)
        (disk.where / "came").touch()
        assert sorted(names_in(fd)) == sorted([*before, b"came"])
        (disk.where / "came").rename(disk.where / "went on")
        assert sorted(names_in(fd)) == sorted([*before, b"went on"])
    finally:
        os.close(fd)


@pytest.mark.parametrize("where", ["app", "."])
def test_there_and_back(where: str, disk: Disk, tmp_path: Path) -> None:
    """A directory on the file system, and the file system's own root."""
    app, home = disk.where / where, tmp_path / "home"
    build_app(app)
    (app / "config").chmod(0o2750)
    os.setxattr(app / "modules", "user.note", b"hello")
    new, old = tmp_path / "new", tmp_path / "old"
    copy_tree(app, new)
    wanted = take_snapshot(app, home=home)
    upgrade(app)
    copy_tree(app, old)
    run_gitsnap("-C", app, "rollback", wanted, "--yes", home=home)
    assert differences(new, app) == ""
    run_gitsnap("-C", app, "undo", "--yes", home=home)
    assert differences(old, app) == ""
    run_gitsnap("-C", app, "restore", wanted, ".", home=home)
    assert differences(new, app) == ""
    run_gitsnap("-C", app, "restore", wanted, "--to", tmp_path / "copy", home=home)
    assert differences(new, tmp_path / "copy") == ""
    failing = f"echo changed > {app}/config/shop.ini; mkdir {app}/made; touch {app}/made/x; rm -r {app}/data; exit 1"
    run_gitsnap("-C", app, "run", "--", "sh", "-c", failing, home=home, check=20)
    assert differences(new, app) == ""
    assert not list(app.glob(".gitsnap-txn*"))


def test_a_subvolume_below(disk: Disk, tmp_path: Path) -> None:
    """A subvolume is a file system of its own to everything but mount(8): it has a stage of its own."""
    app, home = disk.where / "app", tmp_path / "home"
    app.mkdir()
    made = subprocess.run(["btrfs", "subvolume", "create", app / "sub"], capture_output=True)
    if made.returncode:
        pytest.skip("no subvolumes here")
    (app / "f").write_text("1")
    (app / "sub/f").write_text("1")
    (app / "sub/gone").mkdir()
    copy_tree(app, tmp_path / "new")
    wanted = take_snapshot(app, home=home)
    (app / "f").write_text("2")
    (app / "sub/f").write_text("2")
    (app / "sub/gone").rmdir()
    (app / "sub/came").mkdir()
    (app / "sub/came/x").write_text("x")
    run_gitsnap("-C", app, "rollback", wanted, "--yes", home=home)
    assert differences(tmp_path / "new", app) == ""


def first_block(path: Path) -> int:
    """Where on its disk a file begins, in bytes (FS_IOC_FIEMAP of linux/fiemap.h)."""
    request = bytearray(struct.pack("<QQIIII", 0, 1, 1, 0, 1, 0) + bytes(56))
    with path.open("rb") as file:
        fcntl.ioctl(file, 0xC020660B, request)
    return int.from_bytes(request[40:48], "little")


def test_a_large_file_shares_what_did_not_change_with_the_one_it_replaces(disk: Disk, tmp_path: Path) -> None:
    (disk.where / "app").mkdir()
    large = disk.where / "app/large"
    old = os.urandom(17 << 20)
    large.write_bytes(old)
    with Protected(disk.where / "app", tmp_path / "home") as place:
        first = place.take().snapshot
        with large.open("r+b") as file:
            for at in (5000, 9 << 20):
                file.seek(at)
                file.write(b"changed")
            file.seek(0, os.SEEK_END)
            file.write(b"longer")
            os.fsync(file)
        before = first_block(large)
        assert place.rollback(first.id).verified
        assert large.read_bytes() == old
        can = subprocess.run(["cp", "--reflink=always", large, disk.where / "copy"], capture_output=True)
        assert (first_block(large) == before) == (can.returncode == 0)
