"""What a stat tells of a name, as an entry."""

from __future__ import annotations

import os
import stat

from gitsnap.core.model import Entry, Type
from gitsnap.installation.owners import group_name, user_name

TYPES = {
    stat.S_IFREG: Type.FILE,
    stat.S_IFDIR: Type.DIR,
    stat.S_IFLNK: Type.LINK,
    stat.S_IFIFO: Type.FIFO,
    stat.S_IFCHR: Type.CHAR,
    stat.S_IFBLK: Type.BLOCK,
}


def entry_of(path: bytes, found: os.stat_result, kind: Type) -> Entry:
    """An entry without content, link target and attributes."""
    return Entry(
        path,
        kind,
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        user_name(found.st_uid),
        group_name(found.st_gid),
        found.st_mtime_ns,
        found.st_size if kind is Type.FILE else 0,
    )
