"""What a stored tree does not tell: what could not be read then, names that it never listed, values not recorded.

Nothing follows from what is not told: what is there now stays, and is compared with nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gitsnap.core.model import RECORDED, Entry, Inventory, Problem, Type

THEN = "could not be read then"
# The reason of what was taken out of a snapshot afterwards.
PURGED = "was purged"


class Coverage:
    """Of which paths a stored tree tells what was there, or that nothing was."""

    def __init__(self, inventory: Inventory) -> None:
        self._unread = {p.path for p in inventory.partial}
        self._unlisted = frozenset(inventory.unlisted)
        self._held = {e.path for e in inventory.entries} if self._unlisted else set()

    def __bool__(self) -> bool:
        """Whether there is anything of which it does not tell."""
        return bool(self._unread or self._unlisted)

    def unread(self, path: bytes) -> bool:
        """Whether it could not be read then, or lies below what could not."""
        if not self._unread:
            return False
        return path in self._unread or any(above in self._unread for above in _above(path))

    def unlisted(self, path: bytes) -> bool:
        """Whether it is not held, in a directory of which not every name was listed."""
        if not self._unlisted or path in self._held:
            return False
        return next((above for above in _above(path) if above in self._held), b"") in self._unlisted

    def tells(self, path: bytes) -> bool:
        """Whether neither is so."""
        return not self.unread(path) and not self.unlisted(path)


def _above(path: bytes) -> Iterator[bytes]:
    """The directories that hold a path, the nearest first, the root last."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def beyond(stored: Inventory, live: Inventory) -> list[bytes]:
    """The topmost names in `live` that a stored tree does not cover."""
    if not stored.unlisted:
        return []
    coverage = Coverage(stored)
    held = {e.path for e in stored.entries}
    return [e.path for e in live.entries if e.path.rpartition(b"/")[0] in held and coverage.unlisted(e.path)]


def unread(inventory: Inventory) -> list[Problem]:
    """What could not be read when a stored tree was taken, in words for now."""
    return [
        Problem(p.path, p.reason if p.reason.startswith((THEN, PURGED)) else f"{THEN}: {p.reason}")
        for p in inventory.partial
    ]


def why_unread(inventory: Inventory, path: bytes) -> Problem | None:
    """What tells of a path that it could not be read then; None where it could."""
    return next((p for p in unread(inventory) if path == p.path or path.startswith(p.path + b"/")), None)


def unrecorded(inventory: Inventory) -> dict[str, int]:
    """Of how many entries each value (mode, owner, time, xattr) was not recorded; those of none are not named."""
    counts = dict.fromkeys(RECORDED, 0)
    for entry in inventory.entries:
        for what in entry.unrecorded:
            counts[what] += 1
    return {what: count for what, count in counts.items() if count}


def completed(wanted: Inventory, live: Inventory) -> Inventory:
    """`wanted` with what was not recorded as it is in `live`.

    Where nothing of the kind is there, owner and rights follow from the directory that holds it (never wider than
    that), and a directory's time from what is in it. Names of one inode get the same values.
    """
    if not any(e.unrecorded for e in wanted.entries):
        return wanted
    here, newest, done = live.by_path(), _newest(wanted), dict[bytes, Entry]()
    for entry in wanted.entries:
        path = entry.path
        if entry.unrecorded:
            there = here.get(path)
            model = there if there is not None and there.type is entry.type else None
            holder = done[path.rpartition(b"/")[0]] if path else here.get(b"", entry)
            entry = _filled(entry, model, holder, newest.get(path, holder.mtime_ns))
        done[path] = entry
    for group in wanted.hardlinks:
        first = done[group[0]]
        for path in group[1:]:
            done[path] = replace(first, path=path)
    return replace(wanted, entries=[done[e.path] for e in wanted.entries])


def _filled(entry: Entry, model: Entry | None, holder: Entry, time: int) -> Entry:
    lacking = entry.unrecorded
    filled = replace(entry, unrecorded=frozenset())
    if "mode" in lacking:
        filled.mode = model.mode if model else holder.mode & (0o2777 if entry.type is Type.DIR else 0o666)
    if "owner" in lacking:
        of = model or holder
        filled.uid, filled.gid, filled.uname, filled.gname = of.uid, of.gid, of.uname, of.gname
    if "time" in lacking:
        filled.mtime_ns = model.mtime_ns if model else time
    if "xattr" in lacking:
        filled.xattrs = model.xattrs if model else ()
    return filled


def _newest(inventory: Inventory) -> dict[bytes, int]:
    """When the newest of the files in each directory was last changed."""
    found: dict[bytes, int] = {}
    for entry in inventory.entries:
        if "time" not in entry.unrecorded and entry.path:
            for above in _above(entry.path):
                found[above] = max(found.get(above, entry.mtime_ns), entry.mtime_ns)
    return found
