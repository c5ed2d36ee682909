"""Which objects the other side lacks: trees are walked only where they differ from ones that are over there.

Commits without parents defeat git's negotiation (measured: pushing one new snapshot sends everything again), so what is
over there is told by what the refs there name.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from gitsnap.core.errors import IntegrityError
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.git.objects import ObjectStore

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}
_PARENT = re.compile(rb"^parent ([0-9a-f]{40})$", re.MULTILINE)
# With more objects than these, it is worth looking whether they are over there at other paths.
_MANY = 100


class NewObjects:
    """Collects them. `there` are commits that are over there and here, and so is all that they lead to."""

    def __init__(self, store: ObjectStore, there: Collection[str]) -> None:
        self._store = store
        self._there = {bytes.fromhex(oid) for oid in there}
        # Known to be over there; not all that is.
        self.known: set[bytes] = set(self._there)
        # What is to be sent of what is stored, and what was made for this.
        self.stored: dict[bytes, int] = {}
        self.made: dict[bytes, tuple[int, bytes]] = {}
        # What an object was before: a delta of that may be small.
        self.before: dict[bytes, bytes] = {}
        # Contents of trees that are over there, and perhaps not stored here.
        self.regenerated: dict[bytes, bytes] = {}
        self._trees: set[bytes] | None = None

    @property
    def directory(self) -> str:
        """The repository that they are stored in."""
        return os.path.dirname(os.path.abspath(self._store.path))

    def __len__(self) -> int:
        return len(self.stored) + len(self.made)

    def __contains__(self, oid: bytes) -> bool:
        return oid in self.known or oid in self.stored or oid in self.made

    def add(self, kind: int, data: bytes) -> bytes:
        """An object that is made for the other side, which may have it; its id."""
        oid = hashlib.sha1(b"%s %d\0%s" % (NAMES[kind], len(data), data), usedforsecurity=False).digest()
        if oid not in self:
            self.made[oid] = (kind, data)
        return oid

    def add_commit(self, commit: str, near: bytes | None = None) -> None:
        """A commit with all that it leads to; `near` is a tree over there that its own may be like.

        Raises IntegrityError, with nothing added, where something of it is missing here or damaged.
        """
        begun = len(self.stored)
        try:
            left = [bytes.fromhex(commit)]
            while left:
                oid = left.pop()
                if oid in self:
                    continue
                data = self._store.read(oid, b"commit")[1]
                self.stored[oid] = COMMIT
                self._tree(bytes.fromhex(data[5:45].decode("ascii", "replace")), near)
                left += [bytes.fromhex(p.decode()) for p in _PARENT.findall(data.partition(b"\n\n")[0])]
            self._require([*self.stored][begun:])
        except (IntegrityError, ValueError):
            self._forget([*self.stored][begun:])
            raise

    def add_tag(self, tag: str) -> None:
        """An annotated tag of a commit that is over there, or goes."""
        oid = bytes.fromhex(tag)
        if oid not in self:
            self._store.read(oid, b"tag")
            self.stored[oid] = TAG

    def add_tree(self, oid: bytes, near: bytes | None = None) -> None:
        """The same of a tree."""
        begun = len(self.stored)
        try:
            self._tree(oid, near)
            self._require([*self.stored][begun:])
        except IntegrityError:
            self._forget([*self.stored][begun:])
            raise

    def add_blob(self, oid: bytes, before: bytes | None = None) -> None:
        """A blob, and what was there before it."""
        if oid in self:
            return
        self._require([oid])
        self.stored[oid] = BLOB
        if before is not None and before in self:
            self.before[oid] = before

    def _require(self, oids: Iterable[bytes]) -> None:
        wanted = set(oids)
        lost = self._store.missing(wanted) | (wanted & self._store.damaged)
        if lost:
            raise IntegrityError(f"object {min(lost).hex()} is missing or damaged")

    def _forget(self, oids: Iterable[bytes]) -> None:
        for oid in oids:
            self.stored.pop(oid, None)
            self.before.pop(oid, None)

    def _tree(self, root: bytes, near: bytes | None) -> None:
        # Whatever is over there by its root is known from here on.
        there = self._roots()
        stack = [(root, near if near is not None and (near in self or near in there) else None)]
        while stack:
            oid, old = stack.pop()
            if oid in self or oid == old:
                continue
            found = trees.parse(self._store.read(oid, b"tree")[1], oid)
            was = self._entries(old)
            if old not in self.stored:
                self.known.update(child for _, child in was.values())
            self.stored[oid] = TREE
            if old is not None:
                self.before[oid] = old
            for name, mode, child in found:
                old_mode, old_child = was.get(name, (0, None))
                if child in self:
                    continue
                if mode == trees.DIRECTORY:
                    stack.append((child, old_child if old_mode == mode else None))
                else:
                    self.stored[child] = BLOB
                    if old_child is not None and old_mode != trees.DIRECTORY:
                        self.before[child] = old_child

    def _entries(self, tree: bytes | None) -> dict[bytes, tuple[int, bytes]]:
        if tree is None:
            return {}
        try:
            data = self._store.read(tree, b"tree")[1]
            return {name: (mode, child) for name, mode, child in trees.parse(data, tree)}
        except IntegrityError:
            # It only tells what need not be sent.
            return {}

    def _roots(self) -> set[bytes]:
        """The trees of the commits that are over there."""
        if self._trees is None:
            self._trees = set()
            self._store.read_ahead(self._there)
            for oid in self._there:
                try:
                    data = self._store.read(oid, b"commit")[1]
                    self._trees.add(bytes.fromhex(data[5:45].decode("ascii", "replace")))
                except (IntegrityError, ValueError):
                    continue
            self.known |= self._trees
        return self._trees

    def is_here(self, oid: str) -> bool:
        """Whether an object (hex) is stored."""
        return bytes.fromhex(oid) in self._store

    def grafts(self, known: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
        """Commits (hex) that go, with the parents that they have and one that is over there and like them, which may be
        `known`: told so, git finds what it need not send (gitrepository-layout(5), info/grafts)."""
        there: dict[bytes, str] = {}
        for oid in self._there:
            with suppress(IntegrityError, ValueError):
                data = self._store.read(oid, b"commit")[1]
                there[bytes.fromhex(data[5:45].decode("ascii", "replace"))] = oid.hex()
        going = [(oid, self._store.read(oid, b"commit")[1]) for oid, kind in self.stored.items() if kind == COMMIT]
        for oid, data in [*going, *((oid, data) for oid, (kind, data) in self.made.items() if kind == COMMIT)]:
            tree = bytes.fromhex(data[5:45].decode("ascii", "replace"))
            like = known.get(oid.hex()) or there.get(tree) or there.get(self.before.get(tree, b""))
            if like is not None:
                own = [parent.decode() for parent in _PARENT.findall(data.partition(b"\n\n")[0])]
                yield oid.hex(), [*own, like]

    def settle(self) -> None:
        """Leave out what is over there at other paths: where much is to be sent, all trees there are looked through."""
        if len(self.stored) <= _MANY or not self._there:
            return
        for oid, below, blobs in trees.walk(self._store, self._roots()):
            if blobs is not None:
                self.known.update((oid, *below, *blobs))
        self._forget([oid for oid in self.stored if oid in self.known])
