"""Room held back on the sidecar's disk, so that an upgrade that fills the disk leaves some for undoing it."""

from __future__ import annotations

import os
from contextlib import suppress

from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar

_PREFIX = "reserve-"
_ROOM = "room-"
_LARGEST = 64 << 20
# Of what is free: what is held back must not be what makes the upgrade fail.
_SHARE = 0.1


def hold(sidecar: Sidecar) -> str | None:
    """Take up some room; the path of the file that does, or None where it cannot be had.

    For the one upgrade that is under way: what another one, that was killed, has left is given back.
    """
    try:
        for name in os.listdir(sidecar.scratch):
            if name.startswith(_PREFIX):
                os.unlink(os.path.join(sidecar.scratch, name))
        found = os.statvfs(sidecar.path)
        size = min(_LARGEST, int(found.f_bavail * found.f_frsize * _SHARE))
        path = os.path.join(sidecar.scratch, f"{_PREFIX}{os.getpid()}")
        fd = files.private_create(path)
    except OSError:
        return None
    try:
        os.posix_fallocate(fd, 0, max(size, 1))
    except OSError:
        os.unlink(path)
        return None
    finally:
        os.close(fd)
    return path


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


def release(path: str | None) -> None:
    """Give the room back. A gc may have done so already."""
    if path is not None:
        # Where the disk has failed meanwhile, what needs the room will tell.
        with suppress(OSError):
            os.unlink(path)
