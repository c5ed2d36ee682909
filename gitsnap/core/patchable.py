"""What of a list of changes a patch can say so that `git apply` takes all of it, and in which parts.

A patch knows files and symlinks with their contents as text. What it cannot say stays as it is when the patch is
applied, and so may stand in the way of what is to come: that has to stay out of the patch as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gitsnap.core.comparison import Change, Status
from gitsnap.core.model import Entry, Type
from gitsnap.core.paths import git_refuses


@dataclass(slots=True, frozen=True)
class FilePatch:
    """One `diff --git` of a patch: a side is None where there is nothing there, or nothing that git knows.

    `sayable` is false for what must not be applied. `last` marks the part that the change's remarks belong to.
    """

    change: Change
    old: Entry | None
    new: Entry | None
    sayable: bool
    last: bool = True

    @property
    def content_differs(self) -> bool:
        """Whether there are hunks to draw, or contents that are no text."""
        if self.old is None or self.new is None:
            return True
        return (self.old.sha256, self.old.target) != (self.new.sha256, self.new.target)


def git_mode(entry: Entry | None) -> int:
    """The mode that git has for an entry, 0 for what it does not know."""
    return entry.git_mode if entry is not None and entry.type in (Type.FILE, Type.LINK) else 0


def parts(changes: Sequence[Change], is_text: Callable[[int, Entry], bool]) -> Iterator[list[FilePatch]]:
    """The parts of each change; none for one that git has no word for (metadata, FIFOs, directories).

    `is_text` tells of one side's (0 or 1) file whether it can be shown as text.
    """
    split = [_split(change, is_text) for change in changes]
    blocked = _blocked(changes, split)
    for change, found in zip(changes, split, strict=True):
        if change.path in blocked:
            found = [FilePatch(p.change, p.old, p.new, sayable=False, last=p.last) for p in found]
        yield found


def _split(change: Change, is_text: Callable[[int, Entry], bool]) -> list[FilePatch]:
    old = change.old if git_mode(change.old) else None
    new = change.new if git_mode(change.new) else None
    if (old is None and new is None) or (change.status is Status.METADATA and git_mode(old) == git_mode(new)):
        return []
    link = any(e is not None and e.type is Type.LINK for e in (old, new))
    sayable = not any(git_refuses(p, link=link) for p in (change.path, change.old_path) if p)
    whole = FilePatch(change, old, new, sayable)
    if whole.content_differs:
        sides = [(side, e) for side, e in enumerate((old, new)) if e is not None]
        sayable = sayable and all(e.type is Type.LINK or is_text(side, e) for side, e in sides)
    if old is not None and new is not None and old.type is not new.type:
        return [FilePatch(change, old, None, sayable, last=False), FilePatch(change, None, new, sayable)]
    return [FilePatch(change, old, new, sayable)]


def _blocked(changes: Sequence[Change], split: Sequence[Sequence[FilePatch]]) -> set[bytes]:
    """The paths of changes that would meet something that stays."""
    blocked: set[bytes] = set()
    arriving = [c for c in changes if c.status in (Status.ADDED, Status.RENAMED, Status.TYPE)]
    while True:
        staying = _staying(changes, split, blocked)
        occupied = {parent for path in staying for parent in _parents(path)}
        more = {
            c.path
            for c in arriving
            if c.path not in blocked and (c.path in occupied or any(p in staying for p in (c.path, *_parents(c.path))))
        }
        # An empty directory gives way to a file.
        if not more:
            return blocked
        blocked |= more


def _staying(changes: Sequence[Change], split: Sequence[Sequence[FilePatch]], blocked: set[bytes]) -> set[bytes]:
    """The paths of the old side that are still there when the patch has been applied, of those that should go."""
    going = {
        change.old_path or change.path
        for change, found in zip(changes, split, strict=True)
        if found and all(p.sayable for p in found) and found[0].old is not None and change.path not in blocked
    }
    emptied = {parent for path in going for parent in _parents(path)}
    gone = [c for c in changes if c.old is not None and c.status in (Status.REMOVED, Status.RENAMED, Status.TYPE)]
    names = {c.old_path or c.path for c in gone}
    held = {parent for path in names for parent in _parents(path)}
    staying = set()
    for change in gone:
        path = change.old_path or change.path
        if path in going or (change.old and change.old.type is Type.DIR and (path in emptied or path in held)):
            continue
        if change.status is Status.TYPE and change.old and change.old.type is Type.DIR:
            continue
        staying.add(path)
    return staying


def _parents(path: bytes) -> Iterator[bytes]:
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path
