"""A snapshot's tree, manifest and metadata read side by side, entry by entry: of a million files none is held.

All three are sorted by path. Whatever of one has no counterpart in the others is kept aside, and is nothing in a whole
snapshot, but for what metadata has behind all others (core.mtree).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from gitsnap.core.errors import IntegrityError
from gitsnap.core.manifest import stream_manifest
from gitsnap.core.model import Entry, Inventory, Snapshot, Type
from gitsnap.core.mtree import MetadataStream
from gitsnap.core.stored_difference import Texts
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.git.objects import Reads

_Named = TypeVar("_Named", tuple[bytes, int, bytes], tuple[bytes, bytes])
_FILE, _DIR, _LINK = Type.FILE, Type.DIR, Type.LINK


class ContentsInOrder:
    """All that contents.inventory() checks, without the inventory: read entries() to the end, then end()."""

    def __init__(self, store: Reads, snapshot: Snapshot, texts: Texts) -> None:
        """Raises IntegrityError."""
        self._snapshot = snapshot
        self._metadata = MetadataStream(texts.metadata)
        self._head, digests = stream_manifest(texts.manifest)
        self._digests = _Sorted(digests)
        # The metadata have a line for each entry, and hardly any other.
        self._leaves = _Sorted(trees.in_order(store, bytes.fromhex(snapshot.tree), texts.metadata.count_lines()))
        self.files = self.bytes = 0

    def entries(self) -> Iterator[Entry]:
        """Each entry with its digest and id, without what comments of the metadata say. IntegrityError where the three
        do not say the same."""
        leaf_of, digest_of = self._leaves.take, self._digests.take
        for entry in self._metadata.entries():
            path, kind = entry.path, entry.type
            leaf, holds = leaf_of(path), kind is _FILE or kind is _LINK
            if leaf is not None:
                if leaf[1] != (entry.git_mode if holds else trees.DIRECTORY if kind is _DIR else None):
                    raise IntegrityError("the tree and the metadata disagree", path=path)
                entry.oid = leaf[2] if holds else None
            elif holds:
                raise IntegrityError("the tree does not hold it", path=path)
            if kind is _FILE:
                self.files += 1
                self.bytes += entry.size
                found = digest_of(path)
                if found is None:
                    raise IntegrityError("the manifest does not name it", path=path)
                entry.sha256 = found[1]
            yield entry

    def end(self) -> Inventory:
        """What else the metadata say: an inventory with no more entries than these comments are about.

        Raises IntegrityError where there is more in tree or manifest, or counts disagree."""
        more = self._leaves.left() or self._digests.left()
        if more is not None:
            raise IntegrityError("the metadata does not name it", path=more)
        counted = self.files, self.bytes
        if (self._snapshot.files, self._snapshot.bytes) != counted or (self._head.files, self._head.bytes) != counted:
            raise IntegrityError("counts disagree")
        return self._metadata.end()


class _Sorted(Generic[_Named]):
    """Tuples that begin with paths, by which they are sorted, to be taken in nearly the same order."""

    def __init__(self, found: Iterable[_Named]) -> None:
        self._found: Iterator[_Named] = iter(found)
        self._aside: dict[bytes, _Named] = {}
        self._next: _Named | None = next(self._found, None)

    def take(self, path: bytes) -> _Named | None:
        """That of a path, once; what comes before it is kept for later."""
        found = self._next
        while found is not None and found[0] < path:
            self._aside[found[0]] = found
            found = self._next = next(self._found, None)
        if found is not None and found[0] == path:
            self._next = next(self._found, None)
            return found
        return self._aside.pop(path, None)

    def left(self) -> bytes | None:
        """A path that nobody has taken."""
        return self._next[0] if self._next is not None else next(iter(self._aside), None)
