"""Whether anything at all has changed since the stat cache was written, or what little has: a walk that only looks."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gitsnap.core.model import Inventory
from gitsnap.core.statcache import ROW_BYTES, Block, Packed, Row, StatCache, fits, mode_of, pack_key, racy_key, row
from gitsnap.installation import mounts
from gitsnap.installation.directories import Directories, present
from gitsnap.installation.entries import mode_with_type
from gitsnap.installation.owners import group_name, user_name
from gitsnap.installation.stable_read import key

# Only annotations name it: where nothing has changed, nothing is scanned, and scanning takes much to load.
if TYPE_CHECKING:
    from gitsnap.core.exclusion import Excludes
    from gitsnap.installation.scan_result import Scan

_KIND = 0o170000
# What is said to have changed, beside a share of what was looked at: where it is more, a scan is as quick.
_FEW, _SHARE = 100, 16
# What was deeper than so many directories is left to a scan, too.
_DEEP = 200
# More bytes than that in what has changed are for a scan, which takes care of room.
_FEW_BYTES = 64 << 20
_NOTHING = dict[bytes, int]().get

_ENCODING, _ENCODING_ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


@dataclass(slots=True)
class Seen:
    """What a walk has seen beside what is as its rows say.

    `excluded` and `skipped` are left out; `changed` are paths that differ from their rows or have none, of `size` bytes
    together, of which `folders` are directories; `gone` are those that are there no more, with all that was below them.
    `known` of the changed ones have rows. Without `tolerant`, the first of either ends the walk.
    """

    tolerant: bool = False
    excluded: list[bytes] = field(default_factory=list)
    skipped: list[bytes] = field(default_factory=list)
    changed: list[bytes] = field(default_factory=list)
    folders: list[bytes] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)
    known: int = 0
    size: int = 0

    def add(self, other: Seen) -> None:
        """Take in what another walk has seen elsewhere."""
        self.excluded += other.excluded
        self.skipped += other.skipped
        self.changed += other.changed
        self.folders += other.folders
        self.gone += other.gone
        self.known += other.known
        self.size += other.size

    def too_much(self, count: int) -> bool:
        """Whether more has changed beside `count` entries that are as they were than it is worth to tell one by one."""
        return self.size > _FEW_BYTES or len(self.changed) + len(self.gone) > _FEW + count // _SHARE


Walk = Callable[[Directories, list[bytes], Packed, Seen, "Excludes | None"], int]


def seal(scan: Scan) -> bytes:
    """What a scan's snapshot depends on beside its rows, for StatCache.whole; nothing when they are not all of it.

    That is: what was left out and why, and the owners' names. All else of an entry shows in its row: whatever changes
    owner, attributes or links of an inode changes its ctime.
    """
    inventory, packed = scan.inventory, scan.packed
    on_disk = inventory.on_disk().entries if packed is None else packed.others
    if inventory.partial or scan.mounts or len(scan.rows) != len(on_disk):
        return b""
    owners = {(e.uid, e.gid, e.uname, e.gname) for e in on_disk}
    if packed is not None:
        owners |= {(uid, gid, user_name(uid), group_name(gid)) for uid, gid in packed.owners()}
    return sealed(inventory, owners, databases=scan.databases)


def all_rows(scan: Scan) -> dict[bytes, Row]:
    """The rows that are not packed, and one for each other entry that tells what was read of it and never holds: so all
    of a tree can be known, though a part of it had just been written. Where databases are images, or something is
    partial, none."""
    inventory, out = scan.inventory, scan.rows
    entries = inventory.entries if scan.packed is None else scan.packed.others
    if inventory.images or inventory.partial or len(out) == len(entries):
        return out
    out = dict(out)
    for entry in entries:
        key = racy_key(entry.size, entry.mtime_ns, mode_with_type(entry), entry.uid, entry.gid)
        if entry.path not in out and fits(key):
            content = (entry.oid, entry.sha256 or bytes(32)) if entry.oid else None
            out[entry.path] = row(key, content=content, sparse=entry.sparse, xattrs=bool(entry.xattrs))
            scan.xattrs.update({entry.path: entry.xattrs} if entry.xattrs else {})
    return out


def sealed(left_out: Inventory, owners: Iterable[tuple[int, int, str, str]], *, databases: bool) -> bytes:
    """The seal of what was left out, and of the owners of the rest."""
    return _seal(left_out.rules, left_out.excluded, left_out.skipped, sorted(owners), databases=databases)


def _seal(
    rules: list[bytes],
    excluded: list[bytes],
    skipped: list[bytes],
    owners: list[tuple[int, int, str, str]],
    *,
    databases: bool,
) -> bytes:
    about = (rules, excluded, skipped, databases)
    aside = hashlib.sha256(repr(about).encode()).hexdigest()
    names = [f"{uid} {gid} {uname} {gname}" for uid, gid, uname, gname in owners]
    return "\n".join([aside, *names]).encode("utf-8", "surrogateescape")


def owners_in(whole: bytes) -> list[tuple[int, int, str, str]]:
    """The numbers in a seal, with the names that they have now."""
    pairs = [line.split(b" ")[:2] for line in whole.split(b"\n")[1:]]
    return [(int(uid), int(gid), user_name(int(uid)), group_name(int(gid))) for uid, gid in pairs]


def walk(dirs: Directories, folders: list[bytes], rows: Packed, seen: Seen, excludes: Excludes | None) -> int:
    """How many entries in these directories, and below them, are as their rows say; -1 when one is not, or is new, and
    `seen` has no room for it. `folders` is used up."""
    same = 0
    while folders:
        count = look(dirs, folders.pop(), rows, seen, folders, excludes)
        if count < 0:
            return -1
        same += count
        if seen.changed and seen.too_much(same):
            return -1
    return same


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
    seen = Seen()
    if not looked(root, cache, excludes if restricted else None, seen, walk):
        return None
    left_out = Inventory(rules=rules, excluded=seen.excluded, skipped=seen.skipped)
    return left_out if sealed(left_out, owners_in(cache.whole), databases=databases) == cache.whole else None


def looked(root: str, cache: StatCache, excludes: Excludes | None, seen: Seen, walk: Walk = walk) -> bool:
    """Look at all of a directory; whether its entries are as the rows of the cache say, but for what `seen` tells.

    False, too, where the rows are not all of a snapshot. Nothing is said of what was left out before, nor of owners'
    names. Raises OSError when the root cannot be read.
    """
    rows = cache.rows
    if not cache.whole or not isinstance(rows, Packed):
        return False
    with Directories(root) as dirs:
        if mounts.below(dirs.root):
            return False
        if not rows.begins(b"", key(os.fstat(dirs.root))):
            if not seen.tolerant or rows.get(b"") is None:
                return False
            seen.changed.append(b"")
            seen.folders.append(b"")
            seen.known += 1
        same = walk(dirs, [b""], rows, seen, excludes)
    if same < 0:
        return False
    for paths in (seen.excluded, seen.skipped, seen.changed, seen.gone):
        paths.sort()
    # The root is in no directory.
    same += b"" not in seen.changed
    return same + seen.known + len(seen.gone) == len(rows)


def look(
    dirs: Directories, folder: bytes, rows: Packed, seen: Seen, deeper: list[bytes], excludes: Excludes | None
) -> int:
    """The same as walk() for one directory alone; the directories in it are added to `deeper`."""
    block, count, others = rows.block(folder), 0, 0
    if block is None and folder in rows.folders:
        return -1
    data, place_of = (block.data, block.places.get) if block is not None else (b"", _NOTHING)
    prefix = folder + b"/" if folder else b""
    there: list[bytes] = []
    before = len(seen.changed)
    try:
        fd = dirs.fd(folder)
        with os.scandir(present(fd)) as names:
            for item in names:
                name = item.name.encode(_ENCODING, _ENCODING_ERRORS)
                path = prefix + name
                found = item.stat(follow_symlinks=False)
                mode = found.st_mode
                if excludes and excludes(path, stat.S_ISDIR(mode)):
                    seen.excluded.append(path + b"/" if stat.S_ISDIR(mode) else path)
                    continue
                at = place_of(name)
                expected = pack_key(
                    found.st_size,
                    found.st_mtime_ns,
                    found.st_ctime_ns,
                    found.st_ino,
                    mode,
                    found.st_uid,
                    found.st_gid,
                )
                there.append(name)
                if at is not None and data.startswith(expected, at):
                    count += 1
                elif at is None and stat.S_ISSOCK(mode):
                    seen.skipped.append(path)
                    continue
                elif not seen.tolerant or stat.S_ISSOCK(mode) or len(seen.changed) - before > _FEW + count // _SHARE:
                    return -1
                elif stat.S_ISDIR(mode) and found.st_dev != os.fstat(fd).st_dev:
                    # A file system of its own, if only a subvolume: a scan says so.
                    return -1
                else:
                    others += _note(seen, path, found, None if at is None else data[at : at + ROW_BYTES])
                    if at is not None and not _gone_below(rows, path, data[at : at + ROW_BYTES], seen, now=mode):
                        return -1
                if mode & _KIND == stat.S_IFDIR:
                    deeper.append(path)
    except (OSError, struct.error):
        return -1
    # In the root's block, the root itself has a row.
    if block is None or count + others == len(block.places) - (b"" in block.places):
        return count
    return count if seen.tolerant and _gone_from(rows, folder, block, there, seen) else -1


def _note(seen: Seen, path: bytes, found: os.stat_result, known: bytes | None) -> int:
    """Take down a path that is new, or not as its row says; whether it has one."""
    seen.changed.append(path)
    if stat.S_ISDIR(found.st_mode):
        seen.folders.append(path)
    seen.size += found.st_size if stat.S_ISREG(found.st_mode) else 0
    seen.known += known is not None
    return known is not None


def _gone_from(rows: Packed, folder: bytes, block: Block, there: list[bytes], seen: Seen) -> bool:
    """Take down what is not there any more of what was in a directory."""
    prefix = folder + b"/" if folder else b""
    for name in block.places.keys() - set(there) - {b""}:
        seen.gone.append(prefix + name)
        if not _gone_below(rows, prefix + name, block.get(name) or b"", seen, now=0):
            return False
    return True


def _gone_below(rows: Packed, path: bytes, was: bytes, seen: Seen, *, now: int) -> bool:
    """Take down all that was in a path, where it was a directory and is none `now`; False where that is not known."""
    if stat.S_ISDIR(now) or not stat.S_ISDIR(mode_of(was)) or path not in rows.folders:
        return True
    block = rows.block(path)
    return block is not None and path.count(b"/") < _DEEP and _gone_from(rows, path, block, [], seen)
