"""A sidecar that is built beside the place where it will stand, and appears there whole, by one rename.

Killed before that, there is nothing but a hidden directory, which the next one for the same place removes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gitsnap.core.errors import LockedError, UsageError
from gitsnap.installation.disk import exchange
from gitsnap.sidecar import creation
from gitsnap.sidecar.files import sync_directory

_POLL = 0.05
_BEGINS, _ENDS = ".gitsnap-", ".new"


@contextmanager
def building(store: str, installation: str, wait: float) -> Iterator[str]:
    """The path of a new empty sidecar of `installation`, to be put at `store` by appear(); it goes if it was not.

    One at a time for each place: LockedError after `wait` seconds.
    """
    parent = os.path.dirname(store)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    name = hashlib.sha256(os.fsencode(store)).hexdigest()[:16]
    path = os.path.join(parent, f"{_BEGINS}{name}{_ENDS}")
    fd = _alone(path, store, wait)
    try:
        _empty(path)
        creation.lay_out(path, installation)
        yield path
    finally:
        # Whoever waits for it begins with what they find: nothing.
        with suppress(OSError):
            if os.fstat(fd).st_ino == os.lstat(path).st_ino:
                shutil.rmtree(path, ignore_errors=True)
        os.close(fd)


def left(parent: str) -> Iterator[str]:
    """What those that were killed have left in the directory `parent`."""
    with suppress(OSError):
        for name in sorted(os.listdir(parent)):
            if name.startswith(_BEGINS) and name.endswith(_ENDS):
                with suppress(OSError):
                    path = os.path.join(parent, name)
                    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                    try:
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        yield path
                    finally:
                        os.close(fd)


def appear(path: str, store: str) -> str | None:
    """Put the sidecar that was built at `path` in its place, durably; where that went which stood there, if anything
    did but an empty directory."""
    parent = os.path.dirname(store)
    aside = None
    if os.path.lexists(store) and not _is_empty(store):
        aside = _free(f"{store}.before-adopt")
        # Not the other way round: under the name of what is being built, the next one would remove it.
        os.rename(path, aside)
        exchange(aside, store)
    else:
        os.rename(path, store)
    sync_directory(parent)
    return aside


def require_free(store: str, source: str | None) -> None:
    """Raise UsageError where something stands at `store`, unless it is what is received from."""
    if not os.path.lexists(store) or _is_empty(store) or (source is not None and os.path.realpath(source) == store):
        return
    raise UsageError(
        f"{store} exists and is not what is received", path=store, hint="choose another --store, or leave it out"
    )


def _alone(path: str, store: str, wait: float) -> int:
    """A locked descriptor of the directory in which it is built, made now or left by one that died."""
    deadline = time.monotonic() + wait
    while True:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_ino == os.lstat(path).st_ino:
                return fd
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(fd)
        if time.monotonic() > deadline:
            raise LockedError(f"another gitsnap is making the sidecar {store}", path=store)
        time.sleep(_POLL)


def _empty(path: str) -> None:
    with os.scandir(path) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def _is_empty(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path)


def _free(path: str) -> str:
    number, name = 1, path
    while os.path.lexists(name):
        number += 1
        name = f"{path}-{number}"
    return name
