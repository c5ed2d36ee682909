"""One directory as it is: names, types and what a stat tells. No file is opened."""

from __future__ import annotations

import os
import stat

from gitsnap.core.model import Entry, Type
from gitsnap.installation.directories import Directories, names_in
from gitsnap.installation.entries import TYPES, entry_of


def listing(root: str, folder: bytes) -> list[Entry]:
    """What lies directly in a directory below `root`, sorted; sockets are left out. Raises OSError."""
    with Directories(root) as dirs:
        fd = dirs.fd(folder)
        names = sorted(names_in(fd))
        return [e for name in names if (e := _entry(fd, folder + b"/" + name if folder else name, name))]


def _entry(fd: int, path: bytes, name: bytes) -> Entry | None:
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        kind = TYPES.get(stat.S_IFMT(found.st_mode))
        target = os.readlink(name, dir_fd=fd) if kind is Type.LINK else b""
    except FileNotFoundError:
        # It went between the two looks.
        return None
    if kind is None:
        return None
    entry = entry_of(path, found, kind)
    entry.target = target
    return entry
