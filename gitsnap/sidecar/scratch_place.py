"""A directory outside the sidecar that goes with whoever uses it: what a kill leaves of it, the next one removes.

A mark in the sidecar names it, and is locked as long as its process lives.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gitsnap.sidecar import files

_MARK = "drill-"
_NAME = "gitsnap-drill-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def taken(scratch: str, parent: str) -> Iterator[str]:
    """A new private directory in `parent`, with its mark in `scratch`, the sidecar's. Both are gone afterwards.

    OSError where it cannot be made.
    """
    token = os.urandom(6).hex()
    mark, place = os.path.join(scratch, _MARK + token), os.path.join(parent, _NAME + token)
    fd = files.private_create(mark)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(fd, os.fsencode(place))
        # A power cut must not leave a directory that nobody knows of.
        os.fsync(fd)
        files.sync_directory(scratch)
        os.mkdir(place, 0o700)
        yield place
    finally:
        # What cannot be removed now is removed, or named, by whoever comes next.
        with suppress(OSError):
            _remove(place)
            os.unlink(mark)
        os.close(fd)


def left(scratch: str) -> list[str]:
    """The directories that processes which were killed have left."""
    found = []
    for mark in _marks(scratch):
        with suppress(OSError), _abandoned(mark) as place:
            if place is not None and os.path.isdir(place):
                found.append(place)
    return found


def clear(scratch: str) -> None:
    """Remove them; cheap where there are none."""
    for mark in _marks(scratch):
        with suppress(OSError), _abandoned(mark) as place:
            if place is not None:
                _remove(place)
                os.unlink(mark)


def _marks(scratch: str) -> list[str]:
    with suppress(FileNotFoundError):
        return [os.path.join(scratch, name) for name in os.listdir(scratch) if name.startswith(_MARK)]
    return []


@contextmanager
def _abandoned(mark: str) -> Iterator[str | None]:
    """What a mark names that nobody holds any more; None for one that somebody does, or that names nothing of ours."""
    fd = files.opened(mark)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        place = os.fsdecode(os.read(fd, 1 << 16))
        ours = os.path.isabs(place) and os.path.basename(place) == _NAME + os.path.basename(mark).removeprefix(_MARK)
        # One that was killed before it had written that had made nothing.
        yield place if ours else None
        if not place:
            os.unlink(mark)
    finally:
        os.close(fd)


def _remove(place: str) -> None:
    """Remove a directory with all that is in it, whatever the modes and however deep. OSError where that fails.

    Directories in it are emptied into the top one before they go: no more than two are open at a time.
    """
    try:
        top = os.open(place, _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        found, moved = os.fstat(top), 0
        if found.st_uid != os.geteuid():
            raise PermissionError(f"{place} belongs to somebody else")
        os.fchmod(top, 0o700)
        while names := os.listdir(top):
            for name in names:
                moved = _take_apart(top, name, found.st_dev, moved)
    finally:
        os.close(top)
    os.rmdir(place)


def _take_apart(top: int, name: str, device: int, moved: int) -> int:
    """Remove one name in the top directory; what it holds that are directories come beside it, numbered on."""
    entry = os.lstat(name, dir_fd=top)
    if not stat.S_ISDIR(entry.st_mode):
        os.unlink(name, dir_fd=top)
        return moved
    if entry.st_dev != device:
        raise OSError(f"{name} is another file system")
    os.chmod(name, 0o700, dir_fd=top)
    fd = os.open(name, _DIRECTORY, dir_fd=top)
    try:
        for inner in os.listdir(fd):
            if not stat.S_ISDIR(os.lstat(inner, dir_fd=fd).st_mode):
                os.unlink(inner, dir_fd=fd)
                continue
            # To move a directory, one has to be able to write in it.
            os.chmod(inner, 0o700, dir_fd=fd)
            while True:
                moved += 1
                with suppress(OSError):
                    os.mkdir(f".{moved}", dir_fd=top)
                    break
            os.rename(inner, f".{moved}", src_dir_fd=fd, dst_dir_fd=top)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=top)
    return moved
