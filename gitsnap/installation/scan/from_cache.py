"""What a scan would find in a directory that is, to the last stat field, what the stat cache says: told without one."""

from __future__ import annotations

import os

from gitsnap.core.content import Digesting
from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.statcache import CONTENT, FLAGS, XATTRS, Packed, StatCache, unpack
from gitsnap.installation.directories import Directories
from gitsnap.installation.entries import entry_from
from gitsnap.installation.scan_result import Scan

# Looked up once, because access to an enumeration's members is slow.
_FILE, _DIR, _LINK = Type.FILE, Type.DIR, Type.LINK
_TOLD = frozenset({_FILE, _DIR, _LINK})


def remembered(root: str, cache: StatCache, left_out: Inventory, *, databases: bool) -> Scan | None:
    """The scan of a directory of which `unchanged` (installation.scan) says that the cache knows it all, and what was
    `left_out` of it. `databases` tells whether those in use are captured as images.

    None where rows do not tell everything: of databases in use, hard links, FIFOs and devices; and where a symlink is
    another one now. Raises OSError where one cannot be read.
    """
    if cache.images or not isinstance(cache.rows, Packed):
        return None
    scan = Scan(inventory=left_out, rows=dict(cache.rows.items()), xattrs=dict(cache.xattrs), databases=databases)
    if len(scan.rows) != len(cache.rows):
        # A part of the cache is damaged.
        return None
    entries, inodes, links = [], set(), []
    for (path, row), fields in zip(scan.rows.items(), unpack(scan.rows.values()), strict=True):
        inode, flags = fields[3], row[FLAGS]
        if flags & XATTRS and path not in cache.xattrs:
            return None
        entry = entry_from(path, fields, cache.xattrs[path] if flags & XATTRS else ())
        kind = entry.type
        if kind not in _TOLD or (kind is _FILE and not flags & CONTENT):
            return None
        if kind is not _DIR:
            if inode in inodes:
                return None
            inodes.add(inode)
            if kind is _LINK:
                links.append(entry)
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
