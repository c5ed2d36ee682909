"""What changed between two inventories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gitsnap.core.counts import Counts
from gitsnap.core.counts import Status as Status
from gitsnap.core.entry_comparison import differing_metadata, same_content, same_metadata
from gitsnap.core.model import Entry, Inventory, Type

_LINKS = "hard links"


class Change(NamedTuple):
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

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, and nothing else before or after."""
        return all(e is None or e.type is Type.DIR for e in (self.old, self.new))


@dataclass(slots=True)
class Comparison:
    """All changes, by path."""

    changes: list[Change] = field(default_factory=list)

    @property
    def counts(self) -> Counts:
        """How many files and directories changed in which way."""
        return counted(self.changes)


def counted(changes: Iterable[Change]) -> Counts:
    """How many files and directories changed in which way: the one place where changes are counted."""
    return Counts.of((c.status, c.is_directory) for c in changes)


def grown(changes: Iterable[Change]) -> int:
    """By how many bytes the files have grown together."""
    return sum((c.new.size if c.new else 0) - (c.old.size if c.old else 0) for c in changes)


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
    changes = _with_links(changes, old, new)
    changes.sort(key=lambda c: c.path)
    return Comparison(with_renames(changes) if renames else changes)


def metadata_differences(a: Entry, b: Entry, *, times: bool, directory_times: bool) -> tuple[str, ...]:
    """Names of the metadata that differ between two entries of the same type and content."""
    if same_metadata(a, b):
        return ()
    counts = directory_times if a.type is Type.DIR else times
    return tuple(what for what in differing_metadata(a, b) if counts or what != "time")


def _with_links(changes: list[Change], old: Inventory, new: Inventory) -> list[Change]:
    """The changes, and with them where the names of one inode are others than before."""
    was, now = ({path: group for group in side.hardlinks for path in group} for side in (old, new))
    relinked = {path for path in was.keys() | now.keys() if was.get(path) != now.get(path)}
    if not relinked:
        return changes
    out = []
    for change in changes:
        if change.path in relinked and change.status is Status.METADATA:
            change = change._replace(what=(*change.what, _LINKS))
        relinked.discard(change.path)
        out.append(change)
    before, after = old.by_path(), new.by_path()
    return out + [
        Change(path, Status.METADATA, before[path], after[path], what=(_LINKS,))
        for path in relinked
        if path in before and path in after
    ]


def with_renames(changes: Sequence[Change]) -> list[Change]:
    """The changes, with files that went and came with the same content as one rename each; their order stays."""
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
