"""Keeping what nobody has saved yet: what was written while a rollback ran is copied out of the stages."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Container, Iterator, Mapping

from gitsnap.core.content import CHUNK
from gitsnap.core.journal import Move, Record
from gitsnap.core.model import Problem
from gitsnap.installation.directories import OPEN_DIRECTORY, names_in

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Rescue:
    """Looks at each slot before it is deleted, and copies to `destination` (absolute) what no snapshot holds.

    `forward` tells which way the rollback went, `lost` the paths whose other state no snapshot holds whole. `kept`
    names the paths that were copied.
    """

    def __init__(self, record: Record, destination: str, *, forward: bool, lost: Container[bytes] = ()) -> None:
        self._destination, self._forward, self._lost = destination, forward, lost
        self._moves: Mapping[bytes, Move] = {b"%d" % m.slot: m for m in record.moves}
        self.kept: list[Problem] = []

    def __call__(self, number: int, stage: int, slot: bytes) -> None:
        """One slot of a stage. Raises OSError when the copy cannot be made; nothing is deleted then."""
        move = self._moves.get(slot)
        found = os.stat(slot, dir_fd=stage, follow_symlinks=False)
        if move is not None and move.path in self._lost:
            where = copy_aside(stage, slot, self._destination, move.path)
            self.kept.append(Problem(move.path, f"no snapshot holds its other state whole; it is kept in {where}"))
            return
        if move is not None and not self._unsaved(move, found, stage, slot):
            return
        path = move.path if move is not None else b"unknown/" + slot
        where = copy_aside(stage, slot, self._destination, path)
        self.kept.append(Problem(path, f"was written to meanwhile; that version is kept in {where}"))

    def _unsaved(self, move: Move, found: os.stat_result, stage: int, slot: bytes) -> bool:
        if stat.S_ISDIR(found.st_mode):
            return _holds_something(stage, slot)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISLNK(found.st_mode):
            return False
        if found.st_ino == move.inode:
            return False
        if not self._forward and move.old_inode and found.st_ino != move.old_inode:
            return True
        return (found.st_size, found.st_mtime_ns) != (move.size, move.mtime_ns)


def _holds_something(parent: int, name: bytes) -> bool:
    fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
    try:
        return bool(names_in(fd))
    finally:
        os.close(fd)


def copy_aside(parent: int, name: bytes, destination: str, path: bytes) -> str:
    """Copy a file, a symlink, or a directory with all that is in it to `path` below `destination`, privately.

    Where another version is kept there already, it goes below `also-1`, `also-2`… in turn. The name of the copy.
    """
    os.makedirs(destination, mode=0o700, exist_ok=True)
    to = next(p for p in _places(path) if not _taken(destination, p))
    *folders, last = to.split(b"/")
    at = os.open(destination, OPEN_DIRECTORY)
    try:
        for folder in folders:
            at = _enter(at, folder)
        _copy(parent, name, at, last)
        os.fsync(at)
    finally:
        os.close(at)
    return os.path.join(destination, os.fsdecode(to))


def _places(path: bytes) -> Iterator[bytes]:
    yield path
    for number in itertools.count(1):
        yield b"also-%d/" % number + path


def _taken(destination: str, path: bytes) -> bool:
    """Whether something is kept under this name, or stands where a directory on the way to it would have to be."""
    at = os.fsencode(destination)
    *folders, last = path.split(b"/")
    for folder in folders:
        at = os.path.join(at, folder)
        if not os.path.lexists(at):
            return False
        if not stat.S_ISDIR(os.lstat(at).st_mode):
            return True
    return os.path.lexists(os.path.join(at, last))


def _enter(at: int, folder: bytes) -> int:
    try:
        os.mkdir(folder, 0o700, dir_fd=at)
    except FileExistsError:
        # Another file was kept in it before.
        found = os.stat(folder, dir_fd=at, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            raise
    try:
        return os.open(folder, OPEN_DIRECTORY, dir_fd=at)
    finally:
        os.close(at)


def _copy(parent: int, name: bytes, to: int, new: bytes) -> None:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        source = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
        try:
            target = _enter(os.dup(to), new)
            try:
                for below in names_in(source):
                    _copy(source, below, target, below)
                os.fsync(target)
            finally:
                os.close(target)
        finally:
            os.close(source)
    elif stat.S_ISLNK(found.st_mode):
        try:
            os.symlink(os.readlink(name, dir_fd=parent), new, dir_fd=to)
        except FileExistsError:
            os.unlink(new, dir_fd=to)
            os.symlink(os.readlink(name, dir_fd=parent), new, dir_fd=to)
    elif stat.S_ISREG(found.st_mode):
        _copy_file(parent, name, to, new, found)


def _copy_file(parent: int, name: bytes, to: int, new: bytes, found: os.stat_result) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    try:
        with os.fdopen(os.open(new, _NEW, 0o600, dir_fd=to), "wb") as file:
            while data := os.read(source, CHUNK):
                file.write(data)
            file.flush()
            os.utime(file.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
            os.fsync(file.fileno())
    finally:
        os.close(source)
