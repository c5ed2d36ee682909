"""Reading one file: what changes between the look before and the look after is never passed off as one state."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from gitsnap.installation.stable_read import UnstableError, key, open_file, read_file, read_whole, settled
from tests.support.inprocess import workspace

NS = 10**9


@pytest.fixture
def folder() -> Iterator[Path]:
    with workspace() as where:
        (where / "file").write_bytes(b"before")
        yield where


def read(folder: Path, use: Callable[[int, Iterable[bytes]], bytes], *, twice: bool = False) -> bytes:
    """What `read_whole` makes of the file as it is now."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = os.stat("file", dir_fd=fd, follow_symlinks=False)
        return read_whole(fd, b"file", key(found), found.st_size, use, twice=twice)
    finally:
        os.close(fd)


def whole(_: int, chunks: Iterable[bytes]) -> bytes:
    return b"".join(chunks)


def then(change: Callable[[], object]) -> Callable[[int, Iterable[bytes]], bytes]:
    """Read everything, and have something happen before the look afterwards."""

    def use(_: int, chunks: Iterable[bytes]) -> bytes:
        data = b"".join(chunks)
        change()
        return data

    return use


@pytest.mark.parametrize("twice", [False, True])
def test_a_quiet_file_is_read(folder: Path, twice: bool) -> None:
    assert read(folder, whole, twice=twice) == b"before"


def test_a_change_while_it_is_read_shows(folder: Path) -> None:
    """What was read may be half of one state and half of the next, though its size is the same."""
    file = folder / "file"
    later = os.stat(file).st_mtime_ns + NS

    def change() -> None:
        file.write_bytes(b"after!")
        os.utime(file, ns=(later, later))

    with pytest.raises(UnstableError):
        read(folder, then(change))


def test_other_metadata_while_it_is_read_show(folder: Path) -> None:
    """The entry has the mode of before: a snapshot with the content of after would be of no moment."""
    with pytest.raises(UnstableError):
        read(folder, then(lambda: (folder / "file").chmod(0o600)))


def test_a_change_before_it_is_opened_shows(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = os.stat("file", dir_fd=fd)
        (folder / "new").write_bytes(b"after!")
        (folder / "new").rename(folder / "file")
        used = []
        with pytest.raises(UnstableError):
            read_whole(fd, b"file", key(found), found.st_size, lambda f, c: used.append(f), twice=False)
        assert used == []
    finally:
        os.close(fd)


def test_a_directory_is_no_file(folder: Path) -> None:
    (folder / "file").unlink()
    (folder / "file").mkdir()
    with pytest.raises(UnstableError):
        read(folder, whole)


def test_a_write_that_no_time_tells_shows_in_the_second_reading(folder: Path) -> None:
    """A mapped page that is dirty already takes more writes, and the file's times stay."""
    with open(folder / "file", "r+b") as file, mmap.mmap(file.fileno(), 6) as mapped:
        mapped[0] = ord("B")
        os.utime(folder / "file", ns=(NS, NS))

        def change() -> None:
            mapped[5] = ord("!")

        assert read(folder, then(change), twice=False) == b"Before"
        mapped[5] = ord("e")
        with pytest.raises(UnstableError):
            read(folder, then(change), twice=True)


def test_what_grew_is_not_read_whole(folder: Path) -> None:
    """A byte more than was expected is asked for, so that a longer file is never taken for the shorter one."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = os.stat("file", dir_fd=fd)
        seen = []
        read_whole(fd, b"file", key(found), 3, lambda _, chunks: seen.append(b"".join(chunks)), twice=False)
        assert seen == [b"befo"]
    finally:
        os.close(fd)


def at(mtime_ns: int, ctime_ns: int) -> os.stat_result:
    """A file with these times and nothing else."""
    return os.stat_result(
        (
            0o100644,
            1,
            1,
            1,
            0,
            0,
            1,
            0,
            mtime_ns // NS,
            ctime_ns // NS,
            0.0,
            mtime_ns / NS,
            ctime_ns / NS,
            0,
            mtime_ns,
            ctime_ns,
        )
    )


@pytest.mark.parametrize(
    ("ago_ms", "whole_seconds", "wanted"),
    [(10, False, False), (40, False, False), (60, False, True), (1_900, True, False), (2_100, True, True)],
)
def test_settled_is_what_changed_longer_ago_than_the_clock_is_coarse(
    ago_ms: int, whole_seconds: bool, wanted: bool
) -> None:
    changed = 1_700_000_000 * NS + (0 if whole_seconds else 5)
    now = changed + ago_ms * 1_000_000
    assert settled(at(0, changed), now) is wanted
    # The later of the two counts: a time that a program has set back tells nothing.
    assert settled(at(changed + 5, changed - (0 if whole_seconds else NS)), now) is wanted
    assert settled(at(0, changed), now, within=10**12) is False


def test_a_symlink_or_fifo_is_not_opened(folder: Path) -> None:
    (folder / "link").symlink_to("file")
    os.mkfifo(folder / "fifo")
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match="Too many levels"):
            open_file(fd, "link")
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="no file"):
        read_file(str(folder), b"fifo", 10)
    assert read_file(str(folder), b"file", 3) == b"bef"
