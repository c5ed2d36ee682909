"""What changed between two inventories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.core.plan import same_content, same_metadata
from gitsnap.core.xattrs import same_xattrs


class Status(StrEnum):
    """How a path changed."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"
    RENAMED = "renamed"
    METADATA = "metadata"
    TYPE = "type"

    @property
    def letter(self) -> str:
        """The letter of git's name-status for it; `m`, which git does not know, for metadata."""
        return _LETTERS[self]


_LETTERS = {
    Status.ADDED: "A",
    Status.REMOVED: "D",
    Status.MODIFIED: "M",
    Status.RENAMED: "R",
    Status.METADATA: "m",
    Status.TYPE: "T",
}


@dataclass(slots=True, frozen=True)
class Change:
    """One changed path. `what` names the metadata that differ, for METADATA.

    `old_path` and `similarity` (how much of the content is the same, in percent) are for renames.
    """

    path: bytes
    status: Status
    old: Entry | None
    new: Entry | None
    old_path: bytes | None = None
    what: tuple[str, ...] = ()
    similarity: int = 100


@dataclass(slots=True)
class Comparison:
    """All changes, by path."""

    changes: list[Change] = field(default_factory=list)

    def summary(self) -> dict[str, int]:
        """How many changes of each status; every status is named."""
        counts = Counter(c.status for c in self.changes)
        return {status.value: counts[status] for status in Status}


def compare(
    old: Inventory, new: Inventory, *, times: bool = True, directory_times: bool = False, renames: bool = True
) -> Comparison:
    """The changes from `old` to `new`.

    A directory whose time alone differs is no change unless `directory_times` (it follows from what happened in it).
    With `times` false the same holds for files: one that was written again with the same content is unchanged.
    Renames are files that went and came with the same content; empty files do not count.
    """
    before, after = old.by_path(), new.by_path()
    changes: list[Change] = []
    for path in sorted(before.keys() | after.keys()):
        a, b = before.get(path), after.get(path)
        if a is None or b is None:
            changes.append(Change(path, Status.ADDED if a is None else Status.REMOVED, a, b))
        elif a.type is not b.type:
            changes.append(Change(path, Status.TYPE, a, b))
        elif not same_content(a, b):
            changes.append(Change(path, Status.MODIFIED, a, b))
        elif what := metadata_differences(a, b, times=times, directory_times=directory_times):
            changes.append(Change(path, Status.METADATA, a, b, what=what))
    changes += _link_changes(old, new, before.keys() & after.keys() - {c.path for c in changes}, before, after)
    return Comparison(sorted(_with_renames(changes) if renames else changes, key=lambda c: c.path))


def metadata_differences(a: Entry, b: Entry, *, times: bool, directory_times: bool) -> tuple[str, ...]:
    """Names of the metadata that differ between two entries of the same type and content."""
    if same_metadata(a, b):
        return ()
    out = []
    if a.mode != b.mode and a.type is not Type.LINK:
        out.append("mode")
    if (a.uid, a.gid) != (b.uid, b.gid):
        out.append("owner")
    if not same_xattrs(a.xattrs, b.xattrs):
        out.append("xattr")
    if a.mtime_ns != b.mtime_ns and (directory_times if a.type is Type.DIR else times):
        out.append("time")
    return tuple(out)


def _link_changes(
    old: Inventory, new: Inventory, unchanged: Iterable[bytes], before: dict[bytes, Entry], after: dict[bytes, Entry]
) -> list[Change]:
    was = {path: group for group in old.hardlinks for path in group}
    now = {path: group for group in new.hardlinks for path in group}
    return [
        Change(path, Status.METADATA, before[path], after[path], what=("hard links",))
        for path in unchanged
        if was.get(path) != now.get(path)
    ]


def _with_renames(changes: list[Change]) -> list[Change]:
    gone: dict[bytes, list[Change]] = {}
    for change in changes:
        if change.status is Status.REMOVED and change.old and change.old.type is Type.FILE and change.old.size:
            gone.setdefault(change.old.sha256 or b"", []).append(change)
    gone.pop(b"", None)
    used: set[bytes] = set()
    out = []
    for change in changes:
        candidates = gone.get(change.new.sha256 or b"", []) if change.status is Status.ADDED and change.new else []
        if candidates:
            # Of several equal files, the one of the same name is the likeliest origin.
            name = change.path.rpartition(b"/")[2]
            source = min(candidates, key=lambda c: (c.path.rpartition(b"/")[2] != name, c.path))
            candidates.remove(source)
            used.add(source.path)
            out.append(Change(change.path, Status.RENAMED, source.old, change.new, old_path=source.path))
        else:
            out.append(change)
    return [c for c in out if not (c.status is Status.REMOVED and c.path in used)]
