"""The one comparison: what counts as a change between two states, and which of it is a rename."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gitsnap.core.comparison import Change, Status, compare, with_renames
from gitsnap.core.coverage import Coverage
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.exclusion import Excludes, nothing_excluded
from gitsnap.core.model import Inventory, Type
from gitsnap.sidecar.repository import Sidecar

if TYPE_CHECKING:
    from gitsnap.ops.compare.text_detection import Read

_HALVES = {Status.ADDED, Status.REMOVED}


@dataclass(slots=True)
class Found:
    """The changes, by path, and those of files whose time alone differs, which are none."""

    changes: list[Change] = field(default_factory=list)
    retimed: list[Change] = field(default_factory=list)


def find(
    old: Inventory,
    new: Inventory,
    read: Read,
    sidecar: Sidecar,
    *,
    protected: Excludes = nothing_excluded,
    similar: bool = True,
    about: Callable[[Change], bool] = lambda _: True,
    observer: Observer = SILENT,
) -> Found:
    """What changed from `old` to `new`, owners as this system has them, of what both tell and nothing protects.

    `read` has the contents: with `similar`, files that went and came again changed are renames, too. Of all that, only
    what `about` wants is told; a rename is found out before that, as one of its names alone would be another change.
    """
    everything = [c for c in compare(old, new, renames=False).changes if not protected(c.path, _is_dir(c))]
    told = [Coverage(side) for side in (old, new)]
    if any(told):
        everything = [c for c in everything if all(side.tells(c.path) for side in told)]
    # What is not told, or is left out, is nobody's origin.
    changes = with_renames([c for c in everything if c.what != ("time",)])
    if similar and any(c.status in _HALVES and about(c) for c in changes):
        changes = with_similar(changes, read, sidecar, observer)
    return Found(
        [c for c in changes if about(c)],
        [c for c in everything if c.what == ("time",) and about(c)],
    )


def with_similar(changes: list[Change], read: Read, sidecar: Sidecar, observer: Observer = SILENT) -> list[Change]:
    """The changes, with files that went and came again changed as renames, too."""
    if not {c.status for c in changes} >= _HALVES:
        return changes
    # What many comparisons do without is loaded where it is needed.
    from gitsnap.ops.compare.renames import pair

    return pair(changes, read, sidecar, observer)


def _is_dir(change: Change) -> bool:
    return any(e is not None and e.type is Type.DIR for e in (change.old, change.new))
