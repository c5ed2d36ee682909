"""A large file is staged as a clone of the one that it replaces, whatever that holds, and whatever cloning comes to."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitsnap.installation.apply import stage_content
from gitsnap.installation.disk import Disk
from gitsnap.ops.restore.rollback import RollbackOptions, rollback
from tests.support.inprocess import Protected, workspace

BLOCK = 4096


class Copies(Disk):
    """Clones by copying, for file systems that cannot; counts what is written to a clone afterwards."""

    def __init__(self, after: OSError | None = None) -> None:
        self.clones, self._after = 0, after

    def clone(self, fd: int, source: int) -> None:
        os.pwrite(fd, os.pread(source, os.fstat(source).st_size, 0), 0)
        if self._after is not None:
            raise self._after
        self.clones += 1


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Protected]:
    monkeypatch.setattr(stage_content, "_WORTH_CLONING", 1)
    with workspace() as top:
        (top / "app").mkdir()
        with Protected(top / "app", top / "home") as protected:
            yield protected


def contents(chance: random.Random) -> tuple[bytes, bytes]:
    """What a file holds, and what it held before: blocks the same, others, more or fewer of them, cut anywhere."""
    now = chance.randbytes(chance.randrange(1, 40 * BLOCK))
    before = bytearray(now)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(before))
        before[at : at + chance.choice((1, BLOCK, 3 * BLOCK))] = chance.randbytes(chance.choice((1, BLOCK, 3 * BLOCK)))
    if chance.random() < 0.5:
        del before[chance.randrange(1, len(before) + 1) :]
    return now, bytes(before)


def back(place: Protected, disk: Disk) -> None:
    assert rollback(
        place.sidecar, place.snapshots()[0].id, place.settings, RollbackOptions(place.now, disk=disk)
    ).verified


@pytest.mark.parametrize("after", [None, OSError(errno.EIO, "half way")])
def test_what_is_staged_over_a_clone_is_exact(place: Protected, after: OSError | None) -> None:
    chance, files = random.Random(3), 40
    pairs = [contents(chance) for _ in range(files)]
    for number, (_, before) in enumerate(pairs):
        (place.root / f"f{number}").write_bytes(before)
    place.take()
    for number, (now, _) in enumerate(pairs):
        (place.root / f"f{number}").write_bytes(now)
    disk = Copies(after)
    back(place, disk)
    assert [(place.root / f"f{number}").read_bytes() for number in range(files)] == [before for _, before in pairs]
    changed = sum(now != before for now, before in pairs)
    assert disk.clones == (changed if after is None else 0)


def test_what_did_not_change_is_not_written(place: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    file, old = place.root / "f", random.Random(4).randbytes(100 * BLOCK + 7)
    file.write_bytes(old)
    place.take()
    file.write_bytes(old[:BLOCK] + b"x" + old[BLOCK + 1 :])
    written: list[int] = []
    write = stage_content._write_all
    monkeypatch.setattr(stage_content, "_write_all", lambda fd, data: written.append(len(data)) or write(fd, data))
    back(place, Copies())
    assert file.read_bytes() == old
    assert written == [BLOCK]


def spread(file: Path) -> None:
    """Give it a hole."""
    with file.open("r+b") as opened:
        opened.truncate(50 * BLOCK)


def symlink(file: Path) -> None:
    file.unlink()
    file.symlink_to("elsewhere")


@pytest.mark.parametrize("make", [spread, symlink, os.unlink])
def test_what_is_no_file_without_holes_is_not_cloned(place: Protected, make: object) -> None:
    file, other = place.root / "f", place.root / "elsewhere"
    file.write_bytes(b"1" * 3 * BLOCK)
    other.write_bytes(b"other")
    place.take()
    file.write_bytes(b"2" * 3 * BLOCK)
    make(file)  # type: ignore[operator]
    disk = Copies()
    back(place, disk)
    assert (file.read_bytes(), other.read_bytes()) == (b"1" * 3 * BLOCK, b"other")
    assert disk.clones == 0
