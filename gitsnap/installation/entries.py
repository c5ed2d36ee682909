"""What a stat tells of a name, as an entry."""

from __future__ import annotations

import os
import stat
from typing import Any

from gitsnap.core.model import Entry, Type, Xattrs
from gitsnap.core.statcache import SPARSE
from gitsnap.installation.owners import group_name, user_name

TYPES = {
    stat.S_IFREG: Type.FILE,
    stat.S_IFDIR: Type.DIR,
    stat.S_IFLNK: Type.LINK,
    stat.S_IFIFO: Type.FIFO,
    stat.S_IFCHR: Type.CHAR,
    stat.S_IFBLK: Type.BLOCK,
}


_BITS = {kind: bits for bits, kind in TYPES.items()}
_FILE, _DIR = Type.FILE, Type.DIR
# Numbers that all entries share.
_MODES = tuple(range(0o10000))


def entry_from(path: bytes, fields: tuple[Any, ...], xattrs: Xattrs = ()) -> Entry:
    """The entry that a row of the stat cache tells: without a symlink's target and a device's numbers."""
    size, mtime, _, _, mode, uid, gid, flags, oid, sha256 = fields
    kind = TYPES[stat.S_IFMT(mode)]
    entry = Entry(path, kind, _MODES[mode & 0o7777], uid, gid, user_name(uid), group_name(gid), mtime)
    if kind is _FILE:
        entry.size, entry.oid, entry.sha256, entry.sparse = size, oid, sha256, bool(flags & SPARSE)
    elif kind is not _DIR:
        entry.oid = oid
    entry.xattrs = xattrs
    return entry


def mode_with_type(entry: Entry) -> int:
    """An entry's mode as a stat tells it."""
    return _BITS[entry.type] | entry.mode


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
