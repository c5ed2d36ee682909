"""What a scan would find in a directory that is, to the last stat field, what the stat cache says: told without one."""

from __future__ import annotations

import os
import stat

from gitsnap.core.content import Digesting
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.statcache import CONTENT, SPARSE, XATTRS, Packed, StatCache
from gitsnap.installation.directories import Directories
from gitsnap.installation.owners import group_name, user_name
from gitsnap.installation.recording import Scan

_KIND = 0o170000
# Looked up once, because access to an enumeration's members is slow.
_FILE, _DIR, _LINK = Type.FILE, Type.DIR, Type.LINK
_TYPES = {stat.S_IFREG: _FILE, stat.S_IFDIR: _DIR, stat.S_IFLNK: _LINK}


def remembered(root: str, cache: StatCache, left_out: Inventory, *, databases: bool) -> Scan | None:
    """The scan of a directory of which `installation.still.unchanged` says that the cache knows all of it, and what was
    `left_out` of it. `databases` tells whether those in use are captured as images.

    None where rows do not tell everything: of databases in use, hard links, FIFOs and devices; and where a symlink is
    another one now. Raises OSError where one cannot be read.
    """
    if cache.images or not isinstance(cache.rows, Packed):
        return None
    scan = Scan(inventory=left_out, rows=dict(cache.rows.items()), xattrs=dict(cache.xattrs), databases=databases)
    entries, inodes, links = [], set(), []
    for path, (size, mtime, _, inode, mode, uid, gid, flags, oid, sha256) in cache.rows.unpacked():
        kind = _TYPES.get(mode & _KIND)
        if kind is None or (kind is _FILE and not flags & CONTENT):
            return None
        entry = Entry(path, kind, mode & 0o7777, uid, gid, user_name(uid), group_name(gid), mtime)
        if kind is not _DIR:
            if inode in inodes:
                return None
            inodes.add(inode)
            entry.oid = oid
            if kind is _LINK:
                links.append(entry)
            else:
                entry.size, entry.sha256, entry.sparse = size, sha256, bool(flags & SPARSE)
        if flags & XATTRS:
            entry.xattrs = cache.xattrs.get(path, ())
        entries.append(entry)
    if not _read_links(root, links):
        return None
    entries.sort(key=lambda e: e.path)
    left_out.entries = entries
    return scan


def _read_links(root: str, links: list[Entry]) -> bool:
    """Read the symlinks' targets; whether each has the digest of its row."""
    sink = Digesting()
    with Directories(root) as dirs:
        for entry in links:
            parent, name = dirs.parent(entry.path)
            entry.target = os.readlink(name, dir_fd=parent)
            if sink.add_blob(len(entry.target), [entry.target]).oid != entry.oid:
                return False
    return True
