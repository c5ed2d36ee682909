"""A directory that was protected elsewhere before: moved, or copied and the old one gone. Its history is found by what
lies in it, as the stat cache of each sidecar remembers it."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.statcache import StatCache, is_racy, unpack
from gitsnap.sidecar.repository import Sidecar

# How many files are looked at to tell whether a directory is the one that a sidecar knows.
_SAMPLE = 64

_Found = TypeVar("_Found")


@dataclass(slots=True, frozen=True)
class Former:
    """Where a directory was protected before, and its sidecar there.

    `moved` says that it is the very same directory, by its inodes, and not a copy; `replaced` that another directory
    stands in the old place.
    """

    installation: str
    store: str
    moved: bool
    replaced: bool = False

    @property
    def words(self) -> str:
        """What it was, in a sentence's end."""
        if self.replaced:
            return f"it was {self.installation}, where another directory is now"
        return f"it {'was' if self.moved else 'holds what was in'} {self.installation}, which is gone"

    def hint(self, root: str) -> str:
        """What to type for its history."""
        store = shlex.quote(self.store)
        if self.replaced:
            return f"`gitsnap --store {store} list` shows its snapshots"
        return f"`gitsnap -C {shlex.quote(root)} --store {store} init` gives it its snapshots back"


def former(root: str, home: str | None, but: str | None = None) -> Former | None:
    """What the directory at `root` (a real path) was before, by the sidecars below `home`, `but` for one of its own;
    None where none knows it."""
    copies = []
    for found in _of_each(home, lambda sidecar: None if sidecar.path == but else _compare(root, sidecar)):
        if found is not None and found.moved:
            return found
        copies += [found] if found is not None else []
    return copies[0] if copies else None


def protected(home: str | None) -> list[str]:
    """The directories that the sidecars below `home` protect, sorted; those that are there."""
    return sorted(filter(os.path.isdir, set(_of_each(home, lambda sidecar: sidecar.installation))))


def _of_each(home: str | None, look: Callable[[Sidecar], _Found]) -> Iterator[_Found]:
    """What is to be known of each sidecar below `home`, in the order of their names."""
    try:
        names = sorted(os.listdir(home)) if home else []
    except OSError:
        return
    for name in names:
        if not name.endswith(".git") or name.startswith("."):
            continue
        try:
            with Sidecar(os.path.realpath(os.path.join(home or "", name))) as sidecar:
                found = look(sidecar)
        except (GitsnapError, OSError):
            # Somebody else's, or damaged: `doctor` is for that.
            continue
        yield found


def _compare(root: str, sidecar: Sidecar) -> Former | None:
    was = sidecar.installation
    if was == root:
        # Taken over already, but for the name under which it would be found.
        return Former(was, sidecar.path, moved=True)
    if (inode := _interrupted_in(root, sidecar)) is not None:
        # Between two states it need not look like either.
        moved, there_now = os.lstat(root).st_ino == inode, os.path.lexists(was)
        return Former(was, sidecar.path, moved=moved, replaced=there_now) if moved or not there_now else None
    cache = sidecar.load_cache()
    recorded = _inode_of(cache)
    try:
        there = os.lstat(was).st_ino
    except OSError:
        there = 0
    if recorded is None:
        # Files that had just been written when they were read have no rows; the snapshot knows them all the same.
        return None if there or not _as_in_latest(root, sidecar) else Former(was, sidecar.path, moved=False)
    if there == recorded:
        return None
    alike, same = _sampled(root, cache)
    moved = same and os.lstat(root).st_ino == recorded
    if there:
        return Former(was, sidecar.path, moved=True, replaced=True) if moved else None
    return Former(was, sidecar.path, moved=moved) if alike else None


def _interrupted_in(root: str, sidecar: Sidecar) -> int | None:
    """The inode of the directory in which the sidecar's rollback was interrupted, where its stage lies in this one."""
    if sidecar.pending is None:
        return None
    # Imported late, as below.
    from gitsnap.sidecar.state.journal_file import JournalFile

    here, found = os.fsencode(root), None
    with suppress(IntegrityError):
        found = JournalFile(sidecar).load()
    if found is None or not any(os.path.lexists(os.path.join(here, path)) for path in found[1].stage_paths()):
        return None
    return found[1].root_inode


def _as_in_latest(root: str, sidecar: Sidecar) -> bool:
    """Whether most files of the newest snapshot are there with their sizes and times."""
    # Imported late: hardly anybody comes here, and every command imports this module.
    from gitsnap.sidecar import catalog, contents

    living = catalog.snapshots(sidecar)
    files = contents.inventory(sidecar, living[-1]).files() if living else []
    files = files[:: max(1, len(files) // _SAMPLE)]
    alike = 0
    for entry in files:
        with suppress(OSError):
            found = os.lstat(os.path.join(os.fsencode(root), entry.path))
            alike += (found.st_size, found.st_mtime_ns) == (entry.size, entry.mtime_ns)
    return 0 < len(files) <= 2 * alike


def _inode_of(cache: StatCache) -> int | None:
    row = cache.rows.get(b"")
    return None if row is None or is_racy(row) else next(unpack([row]))[3]


def _sampled(root: str, cache: StatCache) -> tuple[bool, bool]:
    """Whether most files that the cache knows are there with their sizes and times, and as the same inodes."""
    paths = [path for path in cache.rows if path]
    paths = paths[:: max(1, len(paths) // _SAMPLE)]
    known = {path: row for path in paths if not is_racy(row := cache.rows[path])}
    rows = list(unpack(known.values()))
    alike = inodes = 0
    for path, (size, mtime, _, inode, mode, *_) in zip(known, rows, strict=True):
        try:
            found = os.lstat(os.path.join(os.fsencode(root), path))
        except OSError:
            found = None
        if found is None or stat.S_IFMT(found.st_mode) != stat.S_IFMT(mode):
            continue
        inodes += found.st_ino == inode
        alike += stat.S_ISREG(mode) and (found.st_size, found.st_mtime_ns) == (size, mtime)
    regular = sum(stat.S_ISREG(row[4]) for row in rows)
    return 0 < regular <= 2 * alike, len(known) <= 2 * inodes
