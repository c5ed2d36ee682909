"""What snapshots take in the sidecar: the bytes of the objects that nothing else reaches.

An object counts with its entry in the pack, as the index places it, or with its loose file. A delta needs its base: it
counts as reaching that, so that a base is freed only with the last that is built on it. Of copies of one object all but
the largest are free to go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from itertools import chain

from gitsnap.core.model import Snapshot
from gitsnap.core.space import Weighed
from gitsnap.sidecar.git import notes, refs, trees
from gitsnap.sidecar.git.pack_read import Pack
from gitsnap.sidecar.repository import Sidecar

_DELTAS = (6, 7)
_SNAPSHOTS = (refs.SNAPSHOTS, refs.PINS, refs.DELETED)
_OURS = (*_SNAPSHOTS, *refs.RECORDS, refs.SIGNED, "refs/notes/gitsnap/", refs.TIMELINE)
_TREE = b"tree"


class Footprint:
    """The objects of a sidecar at one moment. Raises IntegrityError where something cannot be read."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar, self._store = sidecar, sidecar.objects
        self._sizes: dict[bytes, int] = {}
        self._bases: dict[bytes, bytes] = {}
        self._spare = 0
        # Packs last: what a git packs meanwhile is in one before its own file goes.
        for oid in self._store.loose_ids():
            name = oid.hex()
            with suppress(FileNotFoundError):
                self._add(oid, os.stat(os.path.join(sidecar.path, "objects", name[:2], name[2:])).st_size)
        self._store.refresh()
        for pack in self._store.packs:
            self._measure(pack)
        self._notes = [notes.load(self._store, sidecar.refs.get(ref)) for ref in (refs.MANIFESTS, refs.METADATA)]

    def size(self, oid: bytes) -> int:
        """What an object takes, in bytes."""
        return self._sizes.get(oid, 0)

    def weigh(self, queue: Sequence[Sequence[Snapshot]], staying: Iterable[Snapshot]) -> Weighed:
        """What would be freed if the units of the `queue` went, the first first, and the others stayed."""
        claimed: dict[bytes, int] = {}
        entered: set[bytes] = set()
        for oid in chain(self._roots(entered), self._reach(staying, entered)):
            claimed[oid] = len(queue)
        for number in reversed(range(len(queue))):
            for oid in self._reach(queue[number], entered):
                claimed.setdefault(oid, number)
        alone = [0] * (len(queue) + 1)
        for oid, number in claimed.items():
            alone[number] += self.size(oid)
        garbage = sum(self._sizes.values()) - sum(alone) + self._spare

        def objects(unit: int, first: int) -> Set[bytes]:
            return {oid for oid in self._reach(queue[unit], set()) if claimed[oid] < first}

        return Weighed(garbage, alone[:-1], objects, self.size)

    def _add(self, oid: bytes, size: int) -> None:
        other = self._sizes.get(oid, 0)
        self._sizes[oid] = max(size, other)
        self._spare += min(size, other)

    def _measure(self, pack: Pack) -> None:
        spans = pack.spans()
        at = {start: oid for oid, start, _, _ in spans}
        for oid, start, end, _ in spans:
            self._add(oid, end - start)
            kind, _, _, base = pack.data.header(start)
            if kind in _DELTAS and (needed := at.get(base) if isinstance(base, int) else base):
                self._bases[oid] = needed

    def _reach(self, snapshots: Iterable[Snapshot], entered: set[bytes]) -> Iterator[bytes]:
        """The objects that these need, some more than once; not those below trees that were `entered` already."""
        for snapshot in snapshots:
            found = [note for held, _ in self._notes if (note := held.get(snapshot.commit))]
            for oid in (bytes.fromhex(snapshot.commit), *found):
                yield from self._with_bases(oid)
            yield from self._below(bytes.fromhex(snapshot.tree), entered)

    def _below(self, root: bytes, entered: set[bytes]) -> Iterator[bytes]:
        stack = [root]
        while stack:
            oid = stack.pop()
            if oid in entered:
                continue
            entered.add(oid)
            yield from self._with_bases(oid)
            below, leaves = trees.children(self._store.read(oid, _TREE)[1], oid)
            stack += below
            for leaf in leaves:
                yield from self._with_bases(leaf)

    def _with_bases(self, oid: bytes) -> Iterator[bytes]:
        needed: bytes | None = oid
        while needed is not None:
            yield needed
            needed = self._bases.get(needed)

    def _roots(self, entered: set[bytes]) -> Iterator[bytes]:
        """What is there beside snapshots: the timeline's commits, the notes' trees, records, and others' refs."""
        for _, held in self._notes:
            for oid in held.values():
                yield from self._with_bases(oid)
        seen: set[bytes] = set()
        for name, value in self._sidecar.refs.below("refs/", {}).items():
            ours = f"refs/{name}".startswith(_OURS)
            if ours and f"refs/{name}".startswith(_SNAPSHOTS):
                continue
            stack = [bytes.fromhex(value)]
            while stack:
                oid = stack.pop()
                if oid in seen or oid not in self._store:
                    continue
                seen.add(oid)
                yield from self._with_bases(oid)
                kind, data = self._store.read(oid)
                if kind == b"commit":
                    tree, parents = _links(data)
                    stack += parents
                    if not ours:
                        yield from self._below(tree, entered)


def _links(commit: bytes) -> tuple[bytes, list[bytes]]:
    """The tree and the parents of a commit, whoever wrote it."""
    head = [line.split(b" ") for line in commit.partition(b"\n\n")[0].split(b"\n")]
    named = [(words[0], bytes.fromhex(words[1].decode())) for words in head if words[0] in (b"tree", b"parent")]
    return named[0][1], [oid for what, oid in named if what == b"parent"]
