"""What processes that were killed leave in the sidecar: temporary files of ours, and locks of the git we ran.

Whoever holds the writer's lock knows that no other gitsnap is writing, so what is ours and unfinished is nobody's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gitsnap.core.errors import LockedError
from gitsnap.sidecar import files, scratch_place
from gitsnap.sidecar.git import locks, stock_git

# Written under the writer's lock alone. Other temporary files may belong to a verify that is at work.
_WRITERS = ("pack-", "ref-", "text-")
# Private copies of databases (installation.sqlite.backup): directories, each locked by whoever uses it.
_IMAGES = "image-"
# Packs that are being received (git.fetch.incoming_pack), each locked by whoever does.
_INCOMING = "incoming-"
# Room that an upgrade holds back (state.disk_reserve), locked by it.
_RESERVES = "reserve-"
_MARK = "git-at-work"
# A lock that a living git holds goes within this time, in seconds; one that stays belonged to the git that was killed.
_PATIENCE = 1.0


def clear(path: str) -> None:
    """Remove what a dead writer left in the sidecar at `path`; cheap when there is nothing."""
    scratch = os.path.join(path, "gitsnap", "tmp")
    with suppress(FileNotFoundError):
        dead = [os.path.join(scratch, name) for name in os.listdir(scratch) if name.startswith(_WRITERS)]
        if dead:
            _unlock(path, {os.lstat(name).st_ino for name in dead})
        for name in dead:
            with suppress(OSError):
                os.unlink(name)
        for name in os.listdir(scratch):
            if name.startswith(_IMAGES):
                _remove_image(os.path.join(scratch, name))
            elif name.startswith(_INCOMING):
                _remove_incoming(os.path.join(scratch, name))
            elif name.startswith(stock_git.ROOM):
                _remove_room(os.path.join(scratch, name))
            elif name.startswith(_RESERVES):
                _remove_unlocked(os.path.join(scratch, name))
    scratch_place.clear(scratch)
    mark = os.path.join(path, "gitsnap", _MARK)
    if os.path.exists(mark):
        _break_locks(path)
        with suppress(OSError):
            os.unlink(mark)


def _remove_incoming(path: str) -> None:
    """Remove a pack that nobody receives any more, or the index or the `.keep` of one that is not there."""
    pack, end = os.path.splitext(path)
    if end in (".idx", ".keep"):
        if not os.path.exists(pack):
            with suppress(OSError):
                os.unlink(path)
        return
    _remove_unlocked(path)


def _remove_unlocked(path: str) -> None:
    """Remove a file whose owner, who holds a lock on it, lives no more."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(fd)


def _remove_image(path: str) -> None:
    """Remove a private copy that nobody uses any more."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in os.listdir(fd):
                os.unlink(name, dir_fd=fd)
            os.rmdir(path)
        finally:
            os.close(fd)


def _remove_room(path: str) -> None:
    """Remove a git directory for the moment in which nobody is at work any more."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(fd)


def _unlock(path: str, twins: set[int]) -> None:
    """Remove the locks on refs that are second names of these files (inode numbers); see refs.Refs."""
    for lock in locks.found(path):
        with suppress(OSError):
            if os.lstat(lock).st_ino in twins:
                os.unlink(lock)


@contextmanager
def git_at_work(path: str) -> Iterator[None]:
    """Leave word that a git of ours runs, whose locks may be broken should it be found dead."""
    mark = os.path.join(path, "gitsnap", _MARK)
    with suppress(FileExistsError):
        os.close(files.private_create(mark))
    try:
        yield
    except LockedError:
        # The lock is of another git, which may be at work.
        raise
    except BaseException:
        # One that failed may leave a lock, too.
        _break_locks(path)
        raise
    else:
        # So may one that says that all went well: of a lock that it cannot remove, pack-refs says nothing.
        _break_locks(path)
    finally:
        with suppress(OSError):
            os.unlink(mark)


def _break_locks(path: str) -> None:
    found = {lock: _identity(lock) for lock in locks.found(path)}
    # Locked by packed-refs.lock, and no git writes another one while it is there (refs/packed-backend.c).
    half_written = os.path.join(path, "packed-refs.new")
    found |= {half_written: identity} if (identity := _identity(half_written)) else {}
    if not found:
        return
    time.sleep(_PATIENCE)
    for lock, identity in found.items():
        if identity is not None and _identity(lock) == identity and locks.holder_of(lock, path) is None:
            with suppress(OSError):
                os.unlink(lock)


def _identity(path: str) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        found = os.lstat(path)
        return found.st_ino, found.st_mtime_ns
    return None
