"""A file whose time is set holds afterwards what it held before, or no row says so."""

from __future__ import annotations

import hashlib
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gitsnap.core.statcache import Row, row
from gitsnap.installation.apply.times import Retiming
from gitsnap.installation.disk import Disk
from gitsnap.installation.stable_read import key

WANTED = 1_600_000_000_123_456_789
OLD, NEW = b"as it was\n", b"was as it\n"


def known(path: Path) -> Row:
    content = path.read_bytes()
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).digest()
    return row(key(path.lstat()), content=(oid, hashlib.sha256(content).digest()), sparse=False, xattrs=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f"
    path.write_bytes(OLD)
    time.sleep(0.02)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def retimed(
    file: Path, folder: int, before: Callable[[], object] = int, meanwhile: Callable[[], object] = int
) -> tuple[bool, dict[bytes, Row]]:
    rows = {b"f": known(file)}
    before()
    with closing(Retiming(Disk(), rows, {})) as retiming:
        done = retiming.set(b"f", folder, b"f", WANTED)
        meanwhile()
        retiming.finish()
    return done, retiming.rows


def test_the_row_is_what_a_scan_compares_with(file: Path, folder: int) -> None:
    old = known(file)
    done, rows = retimed(file, folder)
    found = file.lstat()
    assert done
    assert found.st_mtime_ns == WANTED
    assert rows[b"f"].startswith(key(found))
    assert (rows[b"f"].oid, rows[b"f"].sha256) == (old.oid, old.sha256)


def test_many_at_a_time(tmp_path: Path, folder: int) -> None:
    """More than leases are held at once."""
    names = [b"%d" % n for n in range(700)]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    rows = {n: known(tmp_path / os.fsdecode(n)) for n in names}
    with closing(Retiming(Disk(), rows, {})) as retiming:
        assert all(retiming.set(n, folder, n, WANTED) for n in names)
        retiming.finish()
    assert len(retiming.rows) == 700
    for name, found in retiming.rows.items():
        assert found.startswith(key((tmp_path / os.fsdecode(name)).lstat()))


def test_what_was_written_to_since_is_left_to_others(file: Path, folder: int) -> None:
    assert retimed(file, folder, before=lambda: file.write_bytes(NEW)) == (False, {})


def test_what_is_open_for_writing_is_left_to_others(file: Path, folder: int) -> None:
    with file.open("r+b"):
        assert retimed(file, folder) == (False, {})


def test_what_is_mapped_for_writing_is_left_to_others(file: Path, folder: int) -> None:
    with file.open("r+b") as opened:
        mapping = mmap.mmap(opened.fileno(), 0)
    with mapping:
        assert retimed(file, folder) == (False, {})
        mapping[:] = NEW


def test_a_second_name_is_left_to_others(file: Path, folder: int) -> None:
    (file.parent / "g").hardlink_to(file)
    assert retimed(file, folder) == (False, {})


def test_an_attribute_that_comes_meanwhile(file: Path, folder: int) -> None:
    done, rows = retimed(file, folder, meanwhile=lambda: os.setxattr(file, "user.note", b"x"))
    assert (done, rows) == (True, {})


def write_at_once(file: Path) -> int:
    """A process that writes as soon as it may, and sets the time back."""
    if child := os.fork():
        return child
    try:
        while True:
            try:
                fd = os.open(file, os.O_WRONLY | os.O_NONBLOCK)
            except BlockingIOError:
                continue
            os.write(fd, NEW)
            os.utime(fd, ns=(WANTED, WANTED))
            os._exit(0)
    finally:
        os._exit(1)


def test_a_writer_has_to_wait_until_it_shows(file: Path, folder: int) -> None:
    for _ in range(20):
        file.write_bytes(OLD)
        children: list[int] = []
        _, rows = retimed(file, folder, meanwhile=lambda: children.append(write_at_once(file)))  # noqa: B023
        assert [os.waitpid(c, 0)[1] for c in children] == [0]
        assert file.read_bytes() == NEW
        assert file.lstat().st_mtime_ns == WANTED
        assert b"f" not in rows or not rows[b"f"].startswith(key(file.lstat()))
