"""Room held back on the sidecar's disk, so that an upgrade that fills the disk leaves some for undoing it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar

_PREFIX = "reserve-"
_ROOM = "room-"
LARGEST = 64 << 20
# Of what is free: what is held back must not be what makes the upgrade fail.
_SHARE = 0.1


class Reserve:
    """Room that is held back while this process lives: others know by the lock on its file (sidecar.stale_files)."""

    def __init__(self, path: str, fd: int) -> None:
        self._path, self._fd = path, fd

    def release(self) -> None:
        """Give the room back, unless that was done. A gc may have done so already."""
        if self._fd < 0:
            return
        # Where the disk has failed meanwhile, what needs the room will tell.
        with suppress(OSError):
            os.unlink(self._path)
        os.close(self._fd)
        self._fd = -1


def hold(sidecar: Sidecar) -> Reserve | None:
    """Take up some room; None where it cannot be had.

    For the one upgrade that is under way: what another one, that was killed, has left is given back.
    """
    try:
        for name in os.listdir(sidecar.scratch):
            if name.startswith(_PREFIX):
                os.unlink(os.path.join(sidecar.scratch, name))
        found = os.statvfs(sidecar.path)
        size = min(LARGEST, int(found.f_bavail * found.f_frsize * _SHARE))
        path = os.path.join(sidecar.scratch, f"{_PREFIX}{os.getpid()}")
        fd = files.private_create(path)
    except OSError:
        return None
    held = -1
    try:
        # Held for reading: a file that is open for writing would keep its file system from being made read-only.
        held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(fd, 0, max(size, 1))
    except OSError:
        Reserve(path, os.dup(fd) if held < 0 else held).release()
        return None
    finally:
        os.close(fd)
    return Reserve(path, held)


def need(sidecar: Sidecar, size: int) -> None:
    """See that there is room for `size` bytes; OSError where there is not.

    For what has to be done as a whole, and can otherwise be left for later.
    """
    path = os.path.join(sidecar.scratch, f"{_ROOM}{os.getpid()}")
    fd = files.private_create(path)
    try:
        os.posix_fallocate(fd, 0, size)
    finally:
        os.close(fd)
        os.unlink(path)


def release(held: Reserve | None) -> None:
    """Give the room back, where some is held."""
    if held is not None:
        held.release()
