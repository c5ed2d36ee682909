"""Giving an entry its metadata, as a user who is not above permissions."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.core.model import Entry, Type
from gitsnap.installation.directories import Directories
from gitsnap.installation.disk import Disk, set_metadata


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """A directory of an ordinary user's, with this process acting for that user."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    was = os.geteuid()
    user = was or 12345
    os.fchown(fd, user, -1)
    os.seteuid(user)
    yield fd
    os.seteuid(was)
    os.close(fd)


@pytest.mark.parametrize("kind", [Type.FILE, Type.DIR])
def test_a_read_only_entry_gets_and_loses_user_attributes(folder: int, kind: Type) -> None:
    if kind is Type.DIR:
        os.mkdir("entry", dir_fd=folder)
    else:
        os.close(os.open("entry", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    path = f"/proc/self/fd/{folder}/entry"
    try:
        os.setxattr(path, "user.old", b"1")
    except OSError:
        pytest.skip("the file system has no user attributes")
    found = os.stat(path)
    entry = Entry(b"entry", kind, 0o444, found.st_uid, found.st_gid, mtime_ns=5, xattrs=(("user.note", b"hello"),))
    for _ in range(2):
        assert set_metadata(Disk(), folder, b"entry", entry) == []
        after = os.stat(path)
        assert (after.st_mode & 0o7777, after.st_mtime_ns) == (0o444, 5)
        assert os.listxattr(path) == ["user.note"]


def test_an_acl_that_cannot_be_set_gives_the_group_nothing(tmp_path: Path) -> None:
    """With an ACL the group's bits of a mode are its limit: without it they would be the group's rights."""

    class NoLists(Disk):
        def set_xattr(self, parent: int, name: bytes, attribute: str, value: bytes) -> None:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    (tmp_path / "f").touch(mode=0o600)
    found = (tmp_path / "f").stat()
    acl = (("system.posix_acl_access", b"an ACL"),)
    entry = Entry(b"f", Type.FILE, 0o664, found.st_uid, found.st_gid, mtime_ns=5, xattrs=acl)
    with Directories(str(tmp_path)) as dirs:
        assert set_metadata(NoLists(), dirs.root, b"f", entry) == ["extended attribute system.posix_acl_access"]
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o604


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(("before", "after"), [(0o640, 0o600), (0o600, 0o640), (0o644, 0o640), (0o6755, 0o2750)])
def test_another_group_never_meets_the_wrong_mode(before: int, after: int, tmp_path: Path) -> None:
    """When the owner changes, the mode allows no more than it does before and afterwards."""
    seen = []

    class Looking(Disk):
        def set_owner(self, parent: int, name: bytes, uid: int, gid: int) -> None:
            seen.append(os.stat(name, dir_fd=parent).st_mode & 0o7777)
            super().set_owner(parent, name, uid, gid)
            seen.append(os.stat(name, dir_fd=parent).st_mode & 0o7777)

    (tmp_path / "f").touch()
    os.chown(tmp_path / "f", 1001, 2001)
    (tmp_path / "f").chmod(before)
    with Directories(str(tmp_path)) as dirs:
        assert set_metadata(Looking(), dirs.root, b"f", Entry(b"f", Type.FILE, after, 1002, 2002)) == []
    assert seen
    assert all(mode & ~(before & after) == 0 for mode in seen)
    found = (tmp_path / "f").stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (after, 1002, 2002)
