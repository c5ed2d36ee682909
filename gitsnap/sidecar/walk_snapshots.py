"""What all snapshots hold, walked at once: a directory that several of them share is looked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gitsnap.core.errors import IntegrityError
from gitsnap.core.model import Snapshot
from gitsnap.core.paths import decode_component
from gitsnap.sidecar import catalog, contents, limits
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.repository import Sidecar

Numbers = tuple[int, ...]
_NO_END = 1 << 62


class Occurrence(NamedTuple):
    """One content at one path: git's mode, the raw object id, and the numbers of the snapshots that have it there."""

    path: bytes
    mode: int
    oid: bytes
    snapshots: Numbers


def walk(sidecar: Sidecar, snapshots: Sequence[Snapshot], enters: Callable[[bytes], bool]) -> Iterator[Occurrence]:
    """Every content at every path, in the order of names; several of one path follow each other, oldest first.

    `enters` tells which directories to look into. A snapshot with a damaged tree is noted, and the rest walked. Raises
    IntegrityError for one whose tree has more than its metadata say (a tree that repeats itself).
    """
    roots: dict[bytes, list[int]] = {}
    for number, snapshot in enumerate(snapshots):
        roots.setdefault(bytes.fromhex(snapshot.tree), []).append(number)
    left = limits.WALKED
    stack: list[Occurrence | tuple[bytes, dict[bytes, Numbers]]] = [(b"", {oid: tuple(n) for oid, n in roots.items()})]
    while stack:
        item = stack.pop()
        if isinstance(item, Occurrence):
            yield item
            continue
        prefix, groups = item
        names: dict[bytes, dict[tuple[int, bytes], list[int]]] = {}
        for oid, numbers in groups.items():
            for name, mode, child in _entries(sidecar, snapshots, oid, prefix, numbers):
                names.setdefault(name, {}).setdefault((mode, child), []).extend(numbers)
        below: list[Occurrence | tuple[bytes, dict[bytes, Numbers]]] = []
        for name, found in sorted(names.items()):
            left -= len(found)
            if left < 0:
                _require_no_bomb(sidecar, snapshots)
                # They are that large, then.
                left = _NO_END
            versions = sorted((tuple(sorted(numbers)), mode, oid) for (mode, oid), numbers in found.items())
            below += (Occurrence(prefix + name, m, oid, n) for n, m, oid in versions if m != trees.DIRECTORY)
            folders = {oid: n for n, m, oid in versions if m == trees.DIRECTORY}
            if folders and enters(prefix + name):
                below.append((prefix + name + b"/", folders))
        stack += reversed(below)


def _require_no_bomb(sidecar: Sidecar, snapshots: Sequence[Snapshot]) -> None:
    """Compare how much each snapshot's tree comes to with its metadata; each tree is read once, however often it is
    in there."""
    known: dict[bytes, int] = {}
    for snapshot in snapshots:
        total = _total(sidecar, bytes.fromhex(snapshot.tree), known)
        if total <= limits.entries_of(snapshot.files):
            continue
        said = len(contents.metadata(sidecar, snapshot).entries)
        if total > said:
            problem = f"its tree comes to {total} entries, its metadata say {said}"
            raise catalog.lost(snapshot.id, IntegrityError(problem))


def _total(sidecar: Sidecar, root: bytes, known: dict[bytes, int]) -> int:
    """How many entries there are below a tree; what cannot be read has none."""
    stack = [root]
    while stack:
        oid = stack[-1]
        if oid in known:
            stack.pop()
            continue
        try:
            below, blobs = trees.children(sidecar.objects.read(oid, b"tree")[1], oid)
        except IntegrityError:
            known[oid] = 0
            continue
        unknown = [child for child in below if child not in known]
        if unknown:
            stack += unknown
        else:
            known[oid] = len(blobs) + sum(1 + known[child] for child in below)
    return known[root]


def _entries(
    sidecar: Sidecar, snapshots: Sequence[Snapshot], oid: bytes, prefix: bytes, numbers: Numbers
) -> list[tuple[bytes, int, bytes]]:
    try:
        found = trees.parse(sidecar.objects.read(oid, b"tree")[1], oid)
        return [(decode_component(name, link=mode == trees.LINK), mode, child) for name, mode, child in found]
    except IntegrityError as error:
        for number in numbers:
            sidecar.damaged.setdefault(snapshots[number].id, IntegrityError(error.message, path=prefix.rstrip(b"/")))
        return []
