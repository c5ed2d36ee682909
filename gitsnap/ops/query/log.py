"""One path's life through the snapshots: when it came, changed, was renamed and went, and with what."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gitsnap.core.comparison import Change, Status
from gitsnap.core.entry_comparison import differing_metadata
from gitsnap.core.errors import IntegrityError, NoSuchPathError
from gitsnap.core.model import Entry, Snapshot, Type
from gitsnap.core.secrets.masker import NOTHING, Masker
from gitsnap.ops.compare import masking
from gitsnap.ops.compare.patch import Piece, Style, patch
from gitsnap.ops.query.listing import EVERY, Filter
from gitsnap.sidecar import catalog, contents
from gitsnap.sidecar.git import trees
from gitsnap.sidecar.repository import Sidecar

# How often one file's names are followed back.
_MOST_NAMES = 50


@dataclass(slots=True)
class Life:
    """One state of a file in its history: the snapshot that has it first, and what it is there (None: absent).

    `path` is where it was then; `old_path` where it had been before it was renamed, `new_path` where to it went.
    `previous` is the state before.
    """

    snapshot: Snapshot
    status: str
    path: bytes
    entry: Entry | None = None
    later: list[str] = field(default_factory=list)
    old_path: bytes | None = None
    new_path: bytes | None = None
    previous: Entry | None = None


def log(sidecar: Sidecar, path: bytes, wanted: Filter = EVERY) -> list[Life]:
    """A path's states through the snapshots that are `wanted`, oldest first: each with those that still have it.

    Where a file came as another one of the same content went, it is the same one, and its life before is told as well.
    """
    told = _Reader(sidecar)
    living = wanted.of(catalog.snapshots(sidecar))
    out = _states(told, living, path)
    if not out:
        raise NoSuchPathError(
            f"no {'' if wanted == EVERY else 'such '}snapshot holds '{os.fsdecode(path)}'",
            path=path,
            hint="`gitsnap find GLOB` looks for names",
        )
    names = {path}
    while out[0].old_path is not None and out[0].old_path not in names and len(names) < _MOST_NAMES:
        names.add(out[0].old_path)
        first = next(n for n, s in enumerate(living) if s.id == out[0].snapshot.id)
        earlier = _states(told, living[:first], out[0].old_path)
        out[0].previous = earlier[-1].entry if earlier else None
        out = earlier + out
    return out


def patches(
    sidecar: Sidecar, lives: Sequence[Life], style: Style, masker: Masker = NOTHING
) -> Iterator[tuple[Life, list[Piece]]]:
    """What each state changed, line by line, in the order given; `masker` hides secrets."""

    def read(_: int, entry: Entry) -> Iterator[bytes]:
        if entry.type is Type.LINK:
            return iter([entry.target])
        assert entry.oid is not None
        return sidecar.objects.blob(entry.oid, entry.size)

    for life in lives:
        yield life, list(masking.pieces(patch([_change(life)], read, sidecar, style), read, masker))


def _change(life: Life) -> Change:
    old, new = life.previous, life.entry
    if life.status == "renamed" and new is not None:
        return Change(life.path, Status.RENAMED, old, new, old_path=life.old_path)
    return Change(life.path, Status.REMOVED if new is None else Status(life.status), old, new)


def _states(told: _Reader, living: Sequence[Snapshot], path: bytes) -> list[Life]:
    out: list[Life] = []
    previous: Entry | None = None
    before: Snapshot | None = None
    for snapshot in living:
        try:
            entry = told.entry(snapshot, path, before, previous)
        except IntegrityError as error:
            told.sidecar.damaged[snapshot.id] = error
            continue
        same = (entry is None) == (previous is None) and (entry is None or previous is None or _same(entry, previous))
        if out and same:
            out[-1].later.append(snapshot.id)
        elif entry is not None or out:
            life = Life(snapshot, _word(previous, entry), path, entry, previous=previous)
            if before is not None:
                told.renamed(life, before)
            out.append(life)
        previous, before = entry, snapshot
    return out


class _Reader:
    """Reads single entries, and manifests where something came or went; what two snapshots share is read once."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self._digests: dict[str, Mapping[bytes, bytes]] = {}

    def entry(self, snapshot: Snapshot, path: bytes, before: Snapshot | None, previous: Entry | None) -> Entry | None:
        """What is at `path`; `previous` is what `before` had there."""
        if before is not None and (before.tree, before.metadata_sha256) == (snapshot.tree, snapshot.metadata_sha256):
            return previous
        for entry in contents.metadata(self.sidecar, snapshot).entries:
            if entry.path == path:
                if entry.type is Type.FILE:
                    entry.sha256 = self.digests(snapshot).get(path)
                if entry.type in (Type.FILE, Type.LINK):
                    leaf = trees.lookup(self.sidecar.objects, bytes.fromhex(snapshot.tree), path)
                    entry.oid = leaf.oid if leaf else None
                return entry
        return None

    def digests(self, snapshot: Snapshot) -> Mapping[bytes, bytes]:
        """A snapshot's manifest; the last few are remembered."""
        key = snapshot.manifest_sha256
        if key not in self._digests:
            while len(self._digests) > 2:
                del self._digests[next(iter(self._digests))]
            self._digests[key] = contents.manifest(self.sidecar, snapshot).digests
        return self._digests[key]

    def renamed(self, life: Life, before: Snapshot) -> None:
        """Find out where a file that came had been, or where one that went to is."""
        entry = life.entry if life.status == "added" else life.previous if life.status == "removed" else None
        if entry is None or entry.type is not Type.FILE or not entry.size or entry.sha256 is None:
            return
        try:
            old, new = self.digests(before), self.digests(life.snapshot)
        except IntegrityError:
            return
        here, there = (old, new) if life.status == "added" else (new, old)
        candidates = [p for p, d in here.items() if d == entry.sha256 and p not in there]
        if not candidates:
            return
        name = life.path.rpartition(b"/")[2]
        other = min(candidates, key=lambda p: (p.rpartition(b"/")[2] != name, p))
        if life.status == "added":
            life.status, life.old_path = "renamed", other
            life.previous = replace(entry, path=other)
        else:
            life.new_path = other


def _same(a: Entry, b: Entry) -> bool:
    """Whether nothing but times may differ."""
    if (a.type, a.size, a.target, a.sha256) != (b.type, b.size, b.target, b.sha256):
        return False
    return not {*differing_metadata(a, b)} - {"time"}


def _word(previous: Entry | None, entry: Entry | None) -> str:
    if entry is None:
        return "removed"
    if previous is None:
        return "added"
    if previous.type is not entry.type:
        return "type"
    return "metadata" if (previous.sha256, previous.target) == (entry.sha256, entry.target) else "modified"
