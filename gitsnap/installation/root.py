"""The installation's own directory when an upgrade has taken it away, or has locked its owner out."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from gitsnap.installation.directories import Directories, names_in

_NO_ACCESS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def missing(root: str) -> bool:
    """Whether there is no directory at `root` any more: nothing, or something else."""
    try:
        return not stat.S_ISDIR(os.lstat(root).st_mode)
    except FileNotFoundError:
        return True


def lacking(root: str) -> list[str]:
    """The directories above `root` that are not there, the topmost first."""
    found: list[str] = []
    while not os.path.lexists(root := os.path.dirname(root)):
        found.insert(0, root)
    return found


def withdraw(root: str, above: list[str]) -> None:
    """Remove the directory at `root` again if it is empty, and those of `above` with it."""
    with suppress(OSError):
        for path in (root, *reversed(above)):
            os.rmdir(path)


def recreate(root: str) -> str | None:
    """Make an empty directory at `root`. What stands in its place is moved aside; its new path, or None."""
    aside = None
    if os.path.lexists(root):
        aside = next(p for p in (f"{root}.gitsnap-aside-{n}" for n in range(1, 10_000)) if not os.path.lexists(p))
        os.rename(root, aside)
    os.makedirs(os.path.dirname(root), exist_ok=True)
    os.mkdir(root, 0o700)
    return aside


def unlock(root: str) -> int:
    """Let the owner in where modes keep them out: how many files and directories got other modes.

    Root is kept out by no mode; for anybody else a file with mode 000 can be neither kept safe nor compared.
    """
    if os.geteuid() == 0:
        return 0
    count = int(_allow(os.open(root, _NO_ACCESS), 0o700))
    with Directories(root) as dirs:
        pending = [b""]
        while pending:
            path = pending.pop()
            # What belongs to others stays closed.
            with suppress(PermissionError):
                for name in names_in(dirs.fd(path)):
                    below = path + b"/" + name if path else name
                    mode = os.stat(name, dir_fd=dirs.fd(path), follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                        fd = os.open(name, _NO_ACCESS, dir_fd=dirs.fd(path))
                        count += _allow(fd, 0o700 if stat.S_ISDIR(mode) else 0o400)
                    if stat.S_ISDIR(mode):
                        pending.append(below)
    return count


def _allow(fd: int, bits: int) -> bool:
    """Add permission bits to what an O_PATH descriptor (closed here) stands for, if it is ours and lacks them."""
    try:
        found = os.fstat(fd)
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid != os.geteuid() or mode & bits == bits:
            return False
        # fchmod(2) refuses O_PATH descriptors.
        os.chmod(f"/proc/self/fd/{fd}", mode | bits)
        return True
    finally:
        os.close(fd)
