"""What changed between two snapshots, read from what differs in their texts: for who counts, and shows no contents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gitsnap.core.comparison import Change, counted
from gitsnap.core.counts import Counts, Status
from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Entry, Inventory, Kind, Snapshot, Type
from gitsnap.core.stored_difference import Texts, came_and_went, differing
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
        or differing(*(Texts(*contents.texts(sidecar, s)) for s in (old, new)))
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
    return came_and_went(*(contents.manifest_text(sidecar, s) for s in (old, new))) > most


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
