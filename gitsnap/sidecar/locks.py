"""Two flocks: `writer` (one changing command at a time) and `objects` (shared by users of objects, exclusive for gc).

flock(2) locks belong to the open file and vanish with the process, so there is never a stale lock to break.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gitsnap.core.errors import LockedError

_POLL = 0.05


@contextmanager
def hold(path: str, *, exclusive: bool, wait: float) -> Iterator[int]:
    """Hold a lock file, waiting at most `wait` seconds; raises LockedError.

    Yields its descriptor: a child that inherits it holds the lock, too, for as long as it lives. -1: there is none.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if exclusive or error.errno != errno.EROFS:
            raise
        # Nobody changes anything on a read-only file system: whoever only reads needs no lock there.
        yield -1
        return
    try:
        _acquire(fd, path, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, wait)
        if exclusive:
            _sign(fd)
        yield fd
    finally:
        os.close(fd)


def held(path: str) -> bool:
    """Whether somebody holds the lock file exclusively at this moment."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise
        return True
    finally:
        os.close(fd)
    return False


def _sign(fd: int) -> None:
    """Say who holds the lock, for whoever waits; a full disk is no reason not to hold it."""
    with suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)


def _acquire(fd: int, path: str, how: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                raise
            if time.monotonic() >= deadline:
                holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
                raise LockedError(
                    f"another gitsnap{f' (process {holder})' if holder else ''} is working on this sidecar",
                    path=path,
                    hint="try again when it is done, or wait longer with --lock-wait SECONDS",
                ) from None
            time.sleep(_POLL)
        else:
            return
