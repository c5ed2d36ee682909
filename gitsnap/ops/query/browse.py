"""What a browser asks for: the snapshots with their upgrades, one tree, the beginning of one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Entry, Snapshot, Type
from gitsnap.core.upgrade import Stored, upgrades
from gitsnap.installation.listdir import listing
from gitsnap.ops.compare.diff import NOW, read
from gitsnap.ops.live import in_progress
from gitsnap.ops.live.in_progress import CutShort
from gitsnap.ops.live.pending import Pending, find
from gitsnap.sidecar import catalog, contents, selectors
from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True)
class Group:
    """Snapshots that belong together, newest first: those of one upgrade, or a single one."""

    snapshots: list[Snapshot]
    upgrade: Stored | None = None


@dataclass(slots=True)
class Overview:
    """All there is to browse, newest first, and what is not in order: what is damaged, a rollback that waits or is at
    work, an upgrade that was killed."""

    groups: list[Group]
    damaged: Sequence[tuple[str, IntegrityError]]
    pending: Pending | None
    at_work: bool
    cut_short: CutShort | None = None


@dataclass(slots=True)
class Tree:
    """A snapshot's tree, by directories."""

    _children: dict[bytes, list[Entry]] = field(default_factory=dict)

    def below(self, folder: bytes) -> list[Entry]:
        """What lies directly in a directory, directories first, as people look for them."""
        return sorted(self._children.get(folder, ()), key=_directories_first)


class LiveTree:
    """The directory as it is, read a directory at a time when it is asked for."""

    def __init__(self, root: str) -> None:
        self._root = root

    def below(self, folder: bytes) -> list[Entry]:
        """The same; OSError when the directory is gone or cannot be read."""
        return sorted(listing(self._root, folder), key=_directories_first)


def _directories_first(entry: Entry) -> tuple[bool, bytes]:
    return entry.type is not Type.DIR, entry.path


def overview(sidecar: Sidecar) -> Overview:
    """The snapshots, read afresh."""
    sidecar.close()
    living = catalog.snapshots(sidecar)
    known = {u.id: u for u in upgrades(living)}
    groups: dict[str, Group] = {}
    for snapshot in reversed(living):
        upgrade = known.get(snapshot.upgrade or "")
        key = f"upgrade {upgrade.id}" if upgrade else snapshot.id
        groups.setdefault(key, Group([], upgrade)).snapshots.append(snapshot)
    at_work = sidecar.pending is not None and sidecar.busy
    places = {s.id: place for place, s in enumerate(living)}
    newest_first = sorted(groups.values(), key=lambda group: places[_end(group).id], reverse=True)
    return Overview(newest_first, living.damaged, find(sidecar), at_work, in_progress.look(sidecar))


def _end(group: Group) -> Snapshot:
    """Where a group stands: an upgrade where it ended, whenever it was rolled back."""
    return (group.upgrade.post or group.upgrade.pre) if group.upgrade else group.snapshots[0]


def tree(sidecar: Sidecar, side: str) -> Tree | LiveTree:
    """The tree of a snapshot, or of the directory as it is."""
    if side == NOW:
        return LiveTree(sidecar.installation)
    by_folder: dict[bytes, list[Entry]] = {}
    for entry in contents.inventory(sidecar, selectors.choose(sidecar, side)).entries:
        if entry.path:
            by_folder.setdefault(entry.path.rpartition(b"/")[0], []).append(entry)
    return Tree(by_folder)


def beginning(sidecar: Sidecar, side: str, entry: Entry, limit: int) -> bytes:
    """At most the first `limit` bytes of a file, or a symlink's text."""
    out = bytearray()
    pieces = read(sidecar, side, entry)
    for piece in pieces:
        out += piece
        if len(out) >= limit:
            break
    return bytes(out[:limit])
