"""What changed between two snapshots, read from what differs in their texts: for who counts, and shows no contents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gitsnap.core.comparison import Change, counted
from gitsnap.core.counts import Counts, Status
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Entry, Inventory, Kind, Snapshot, Type
from gitsnap.core.stored_difference import came_and_went, differing
from gitsnap.installation.owners import localise
from gitsnap.ops.compare.changes import find, with_similar
from gitsnap.sidecar import contents
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.repository import Sidecar


def changes(
    sidecar: Sidecar, old: Snapshot, new: Snapshot, *, similar: bool = True, observer: Observer = SILENT
) -> list[Change]:
    """The same changes that a diff of the two tells. IntegrityError where one of them is damaged.

    Where their texts are the same nothing is read at all, and no contents are without `similar`.
    """
    found = _exact(sidecar, old, new)
    return with_similar(found, _Reader(sidecar, old, new).read, sidecar, observer) if similar else found


def counts(
    sidecar: Sidecar,
    old: Snapshot,
    new: Snapshot,
    *,
    at_most: int | None = None,
    sides: tuple[Inventory, Inventory] | None = None,
    observer: Observer = SILENT,
) -> Counts | None:
    """How many files and directories these are; None where more files than `at_most` came and went, whose contents
    would have to be compared. `sides` are both states, with no more than what differs, where that is known."""
    if at_most is not None and sides is None and _surely_more(sidecar, old, new, at_most):
        return None
    found = _exact(sidecar, old, new, sides)
    if at_most is not None and _halves(found) > at_most:
        return None
    return counted(with_similar(found, _Reader(sidecar, old, new).read, sidecar, observer))


def _exact(
    sidecar: Sidecar, old: Snapshot, new: Snapshot, sides: tuple[Inventory, Inventory] | None = None
) -> list[Change]:
    if (old.manifest_sha256, old.metadata_sha256) == (new.manifest_sha256, new.metadata_sha256):
        return []
    before, after = (
        sides
        or differing_parts(sidecar, old, new)
        or (
            contents.inventory(sidecar, old),
            contents.inventory(sidecar, new),
        )
    )
    localise(before)
    localise(after)
    return find(before, after, _Reader(sidecar, old, new).read, sidecar, similar=False).changes


def _surely_more(sidecar: Sidecar, old: Snapshot, new: Snapshot, most: int) -> bool:
    """Whether the manifests alone tell that more files than this came and went."""
    # What could not be read, or a foreign copy does not cover, is nothing that came or went.
    if old.partial or new.partial or Kind.IMPORTED in (old.kind, new.kind):
        return False
    with contents.opened_manifest(sidecar, old) as before, contents.opened_manifest(sidecar, new) as after:
        return came_and_went(before, after) > most


def differing_parts(
    sidecar: Sidecar, old: Snapshot, new: Snapshot, *, times: bool = False
) -> tuple[Inventory, Inventory] | None:
    """Both snapshots, as stored_difference.differing() has them, without the ids of contents; None where only all of
    either tells. IntegrityError where a text is missing or damaged."""
    with contents.opened(sidecar, old) as before, contents.opened(sidecar, new) as after:
        return differing(before.texts, after.texts, times=times)


def find_contents(sidecar: Sidecar, snapshot: Snapshot, inventory: Inventory) -> None:
    """Give the files of a snapshot the ids of their contents; IntegrityError where its tree does not hold them."""
    found = trees.Lookup(sidecar.objects, bytes.fromhex(snapshot.tree))
    for entry in inventory.entries:
        if entry.type is Type.FILE:
            entry.oid = found.blob(entry.path)


def _halves(found: list[Change]) -> int:
    """How many files came and went; 0 where they only came, or only went."""
    many = Counter(c.status for c in found if Type.DIR not in (e.type for e in (c.old, c.new) if e))
    return many[Status.ADDED] + many[Status.REMOVED] if many[Status.ADDED] and many[Status.REMOVED] else 0


class _Reader:
    """Reads contents of entries whose place in the tree nobody has looked up yet."""

    def __init__(self, sidecar: Sidecar, *sides: Snapshot) -> None:
        self._sidecar = sidecar
        self._trees = [trees.Lookup(sidecar.objects, bytes.fromhex(s.tree)) for s in sides]

    def read(self, side: int, entry: Entry) -> Iterator[bytes]:
        """One side's content of a file or symlink, in pieces."""
        if entry.type is Type.LINK:
            yield entry.target
            return
        oid = entry.oid or self._trees[side].blob(entry.path)
        yield from self._sidecar.objects.blob(oid, entry.size)
