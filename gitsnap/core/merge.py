"""Three versions of a tree or of data made into one: what somebody else changed, applied to what is here now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gitsnap.core.entry_comparison import differing_metadata, same_content
from gitsnap.core.keys import ABSENT, KeyPath
from gitsnap.core.model import Entry, Inventory, Problem, Type


class Way(StrEnum):
    """What becomes of a path that the others changed."""

    TAKE = "take"
    REMOVE = "remove"
    MERGE = "merge"
    CONFLICT = "conflict"


@dataclass(slots=True, frozen=True)
class MergedPath:
    """One path that the others changed: `base` is what it was, `theirs` what it became there, `ours` what it is here.

    `reason` says why a conflict is one.
    """

    path: bytes
    way: Way
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None
    reason: str = ""


@dataclass(slots=True, frozen=True)
class Conflict:
    """A path that is left as it is. `beside` is the file that holds the other version, or both with marks."""

    path: bytes
    reason: str
    beside: bytes | None = None


@dataclass(slots=True)
class Plan:
    """What a merge will do, by path. `kept` are those of the paths that cannot be changed, with reasons."""

    taken: list[bytes] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    merged: list[bytes] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    # What could not be read when one of the others was taken: it stays.
    unknown: list[Problem] = field(default_factory=list)
    kept: list[Problem] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be done, and nothing in doubt."""
        return not (self.taken or self.removed or self.merged or self.conflicts)


def judge(base: Inventory, ours: Inventory, theirs: Inventory, *, metadata: bool) -> list[MergedPath]:
    """What is to be done with each path that differs from `base` to `theirs`, sorted by path.

    A path that is here as it was in `base` follows; one that is already as in `theirs` needs nothing; a file that was
    changed on both sides is to be merged. With `metadata`, modes, owners and attributes count as changes, too; times
    never do. What could not be read here is a conflict.
    """
    was, here, there = base.by_path(), ours.by_path(), theirs.by_path()
    unread = {p.path for p in ours.partial}
    out = []
    for path in sorted(was.keys() | there.keys()):
        b, o, t = was.get(path), here.get(path), there.get(path)
        if not path or _same(b, t, metadata):
            continue
        if _same(o, t, metadata):
            continue
        if path in unread:
            out.append(MergedPath(path, Way.CONFLICT, b, o, t, "could not be read here"))
        elif _same(o, b, metadata):
            out.append(MergedPath(path, Way.TAKE if t else Way.REMOVE, b, o, t))
        else:
            out.append(_both_changed(path, b, o, t))
    return out


def _same(a: Entry | None, b: Entry | None, metadata: bool) -> bool:
    if a is None or b is None:
        return a is b
    if a.type is Type.DIR and b.type is Type.DIR and not metadata:
        return True
    if not same_content(a, b):
        return False
    return not metadata or not {*differing_metadata(a, b)} - {"time"}


def _both_changed(path: bytes, b: Entry | None, o: Entry | None, t: Entry | None) -> MergedPath:
    if o is None:
        return MergedPath(path, Way.CONFLICT, b, o, t, "was removed here, and changed there")
    if t is None:
        if o.type is Type.DIR:
            return MergedPath(path, Way.REMOVE, b, o, t)
        return MergedPath(path, Way.CONFLICT, b, o, t, "was changed here, and removed there")
    if o.type is Type.FILE and t.type is Type.FILE and (b is None or b.type is Type.FILE):
        return MergedPath(path, Way.MERGE, b, o, t)
    if o.type is Type.DIR and t.type is Type.DIR:
        return MergedPath(path, Way.TAKE, b, o, t)
    return MergedPath(path, Way.CONFLICT, b, o, t, f"is a {o.type.noun} here, and a {t.type.noun} there")


def merge_data(base: Any, ours: Any, theirs: Any) -> tuple[Any, list[KeyPath]]:
    """Structured data merged key by key: the result, and the keys that both sides changed in different ways.

    Those keep the value of `ours`. Lists are values: two changes of one list are a conflict.
    """
    conflicts: list[KeyPath] = []
    return _merge((), base, ours, theirs, conflicts), conflicts


def _merge(path: KeyPath, base: Any, ours: Any, theirs: Any, conflicts: list[KeyPath]) -> Any:
    if _equal(ours, theirs) or _equal(base, theirs):
        return ours
    if _equal(base, ours):
        return theirs
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        was = base if isinstance(base, Mapping) else {}
        out = {}
        for key in dict.fromkeys([*ours, *theirs]):
            sides = (was.get(key, ABSENT), ours.get(key, ABSENT), theirs.get(key, ABSENT))
            value = _merge((*path, str(key)), *sides, conflicts)
            if value is not ABSENT:
                out[key] = value
        return out
    conflicts.append(path)
    return ours


def _equal(a: Any, b: Any) -> bool:
    """Whether they are the same data; 1, 1.0 and true are not."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return type(a) is type(b) and bool(a == b)
