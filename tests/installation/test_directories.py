"""Descriptors of directories: never through a symlink, with openat2 and without."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.installation import directories
from gitsnap.installation.directories import Directories


@pytest.fixture(params=["openat2", "step by step"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "step by step":
        monkeypatch.setattr(directories, "_lacking", True)
    elif directories._open_beneath(os.open("/", os.O_RDONLY), b"usr/lib") is None:
        pytest.skip("this kernel has no openat2")
    yield request.param


def test_below(how: str, tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    with Directories(str(tmp_path)) as dirs:
        for path in (b"a/b/c", b"a/b", b"a", b"a/b/c", b""):
            assert os.path.samestat(os.fstat(dirs.fd(path)), os.stat(os.fsencode(tmp_path) + b"/" + path))


@pytest.mark.parametrize("link", ["a", "a/b", "a/b/c"])
@pytest.mark.parametrize("target", ["/etc", "../../../..", "."])
def test_a_symlink_anywhere_is_not_followed(how: str, link: str, target: str, tmp_path: Path) -> None:
    place = tmp_path / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    with Directories(str(tmp_path)) as dirs, pytest.raises(OSError) as refused:
        dirs.fd(b"a/b/c/d" if target == "." else b"a/b/c")
    assert refused.value.errno in (errno.ENOTDIR, errno.ELOOP)


def test_a_swap_behind_an_open_ancestor(how: str, tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    with Directories(str(tmp_path)) as dirs:
        dirs.fd(b"a")
        (tmp_path / "a/b").rename(tmp_path / "gone")
        (tmp_path / "a/b").symlink_to("/proc")
        with pytest.raises(OSError) as refused:
            dirs.fd(b"a/b/self")
        assert refused.value.errno in (errno.ENOTDIR, errno.ELOOP)


def test_deeper_than_one_path_may_be(how: str, tmp_path: Path) -> None:
    path = b"/".join([b"d" * 200] * 30)
    fd = os.open(tmp_path, os.O_RDONLY)
    for name in path.split(b"/"):
        os.mkdir(name, dir_fd=fd)
        fd, old = os.open(name, os.O_RDONLY, dir_fd=fd), fd
        os.close(old)
    with Directories(str(tmp_path)) as dirs:
        assert os.path.samestat(os.fstat(dirs.fd(path)), os.fstat(fd))
    os.close(fd)
