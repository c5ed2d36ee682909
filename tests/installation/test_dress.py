"""Giving an entry its metadata, as a user who is not above permissions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.core.model import Entry, Type
from gitsnap.installation.disk import Disk, dress


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
        assert dress(Disk(), folder, b"entry", entry) == []
        after = os.stat(path)
        assert (after.st_mode & 0o7777, after.st_mtime_ns) == (0o444, 5)
        assert os.listxattr(path) == ["user.note"]
