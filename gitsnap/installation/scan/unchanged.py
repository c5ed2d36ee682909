"""Whether anything at all has changed since the stat cache was written: a walk that only looks."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitsnap.core.model import Inventory
from gitsnap.core.statcache import Packed, StatCache, pack_key
from gitsnap.installation import mounts
from gitsnap.installation.directories import Directories, present
from gitsnap.installation.owners import group_name, user_name
from gitsnap.installation.stable_read import key

# Only annotations name it: where nothing has changed, nothing is scanned, and scanning takes much to load.
if TYPE_CHECKING:
    from gitsnap.core.exclusion import Excludes
    from gitsnap.installation.scan_result import Scan

_KIND = 0o170000
_NOTHING = dict[bytes, int]().get

Walk = Callable[[Directories, list[bytes], Packed, Inventory, "Excludes | None"], int]
_ENCODING, _ENCODING_ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


def seal(scan: Scan) -> bytes:
    """What a scan's snapshot depends on beside its rows, for StatCache.whole; nothing when they are not all of it.

    That is: what was left out and why, and the owners' names. All else of an entry shows in its row: whatever changes
    owner, attributes or links of an inode changes its ctime.
    """
    inventory = scan.inventory
    on_disk = inventory.on_disk().entries
    if inventory.partial or scan.mounts or len(scan.rows) != len(on_disk):
        return b""
    owners = {(e.uid, e.gid, e.uname, e.gname) for e in on_disk}
    return _seal(inventory, sorted(owners), databases=scan.databases)


def _seal(inventory: Inventory, owners: list[tuple[int, int, str, str]], *, databases: bool) -> bytes:
    about = (inventory.rules, inventory.excluded, inventory.skipped, databases)
    aside = hashlib.sha256(repr(about).encode()).hexdigest()
    names = [f"{uid} {gid} {uname} {gname}" for uid, gid, uname, gname in owners]
    return "\n".join([aside, *names]).encode("utf-8", "surrogateescape")


def _owners(whole: bytes) -> list[tuple[int, int, str, str]]:
    """The numbers in a seal, with the names that they have now."""
    pairs = [line.split(b" ")[:2] for line in whole.split(b"\n")[1:]]
    return [(int(uid), int(gid), user_name(int(uid)), group_name(int(gid))) for uid, gid in pairs]


def walk(dirs: Directories, folders: list[bytes], rows: Packed, left_out: Inventory, excludes: Excludes | None) -> int:
    """How many entries in these directories, and below them, are as their rows say; -1 when one is not, or is new.

    What is excluded and what cannot be captured goes into `left_out`. `folders` is used up.
    """
    seen = 0
    while folders:
        count = look(dirs, folders.pop(), rows, left_out, folders, excludes)
        if count < 0:
            return -1
        seen += count
    return seen


def unchanged(
    root: str,
    cache: StatCache,
    rules: list[bytes],
    excludes: Excludes,
    *,
    restricted: bool,
    databases: bool = True,
    walk: Walk = walk,
) -> Inventory | None:
    """What was left out of a directory that is, to the last stat field, what the cache's snapshot holds.

    None wherever that is not certain: then a scan has to look more closely. `restricted` tells whether `excludes`
    excludes anything, `databases` whether those in use are captured as images. `walk` does the walking. The result has
    no entries. Raises OSError when the root cannot be read.
    """
    rows = cache.rows
    if not cache.whole or not isinstance(rows, Packed):
        return None
    left_out = Inventory(rules=rules)
    with Directories(root) as dirs:
        if mounts.below(dirs.root) or not rows.begins(b"", key(os.fstat(dirs.root))):
            return None
        seen = walk(dirs, [b""], rows, left_out, excludes if restricted else None)
    if seen < 0:
        return None
    left_out.excluded.sort()
    left_out.skipped.sort()
    if seen + 1 != len(rows) or _seal(left_out, _owners(cache.whole), databases=databases) != cache.whole:
        return None
    return left_out


def look(
    dirs: Directories,
    folder: bytes,
    rows: Packed,
    left_out: Inventory,
    deeper: list[bytes],
    excludes: Excludes | None,
) -> int:
    """The same for one directory alone; the directories in it are added to `deeper`."""
    block, count = rows.block(folder), 0
    data, place_of = (block.data, block.places.get) if block is not None else (b"", _NOTHING)
    prefix = folder + b"/" if folder else b""
    try:
        with os.scandir(present(dirs.fd(folder))) as names:
            for item in names:
                name = item.name.encode(_ENCODING, _ENCODING_ERRORS)
                path = prefix + name
                found = item.stat(follow_symlinks=False)
                mode = found.st_mode
                if excludes and excludes(path, stat.S_ISDIR(mode)):
                    left_out.excluded.append(path + b"/" if stat.S_ISDIR(mode) else path)
                    continue
                at = place_of(name)
                if at is None:
                    if not stat.S_ISSOCK(mode):
                        return -1
                    left_out.skipped.append(path)
                    continue
                expected = pack_key(
                    found.st_size,
                    found.st_mtime_ns,
                    found.st_ctime_ns,
                    found.st_ino,
                    mode,
                    found.st_uid,
                    found.st_gid,
                )
                if not data.startswith(expected, at):
                    return -1
                count += 1
                if mode & _KIND == stat.S_IFDIR:
                    deeper.append(path)
    except (OSError, struct.error):
        return -1
    return count
