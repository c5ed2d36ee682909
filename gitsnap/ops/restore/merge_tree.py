"""The merged state of a directory, composed path by path: taken, removed, merged, or left as it is with a conflict."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from gitsnap.core.merge import Conflict, MergedPath, Plan, Way
from gitsnap.core.model import Entry, Image, Inventory, Snapshot, Type
from gitsnap.installation.stable_read import read_file
from gitsnap.ops.compare.structured import LARGEST, Merged, merge_content
from gitsnap.sidecar import contents, publish
from gitsnap.sidecar.repository import Sidecar

SUFFIX = b".gitsnap-conflict"


@dataclass(slots=True, frozen=True)
class Sides:
    """What is applied: the changes from `base` to `theirs`; `metadata` tells whether modes and owners count."""

    base: Snapshot
    theirs: Snapshot
    metadata: bool
    message: str
    names: tuple[str, str]
    undoes: bool = False


class Composition:
    """One merged inventory in the making. New contents go into the draft, what is done with each path into `plan`."""

    def __init__(self, sidecar: Sidecar, sides: Sides, plan: Plan, draft: publish.Draft, now: datetime) -> None:
        self._sidecar, self._sides, self._plan, self._draft, self._now = sidecar, sides, plan, draft, now
        self._images: Collection[bytes] = ()

    def run(self, ours: Inventory, verdicts: list[MergedPath]) -> Inventory:
        """The merged inventory. Raises GitsnapError, OSError."""
        self._images = ours.images.keys()
        entries = ours.by_path()
        changed: set[bytes] = set()
        for verdict in verdicts:
            fresh = self._settle(verdict, entries)
            changed.add(verdict.path)
            if fresh is None:
                entries.pop(verdict.path, None)
            else:
                entries[verdict.path] = fresh
        self._drop_emptied(entries, verdicts)
        self._give_way(entries, verdicts)
        self._add_parents(entries)
        links = [g for group in ours.hardlinks if len(g := tuple(p for p in group if p not in changed)) > 1]
        merged = [entries[p] for p in sorted(entries)]
        return replace(ours, entries=merged, hardlinks=links, images=_images(ours, entries))

    def _settle(self, v: MergedPath, entries: dict[bytes, Entry]) -> Entry | None:
        """What the path will be; None when it will not be there."""
        plan = self._plan
        if v.way is Way.TAKE:
            assert v.theirs is not None
            if v.theirs.type is not Type.DIR:
                plan.taken.append(v.path)
            return v.theirs
        if v.way is Way.REMOVE:
            if v.ours is not None and v.ours.type is not Type.DIR:
                plan.removed.append(v.path)
            # Directories go when nothing is left in them.
            return v.ours if v.ours is not None and v.ours.type is Type.DIR else None
        found = self._merge_file(v) if v.way is Way.MERGE else None
        if found is not None and not found.conflict:
            wanted = self._with_metadata(v)
            if wanted == v.ours and hashlib.sha256(found.data).digest() == v.ours.sha256:
                # It was merged before.
                return v.ours
            plan.merged.append(v.path)
            return self._stored(v.path, wanted, found.data)
        reason = v.reason or (found.conflict if found else "was changed on both sides, and is no text")
        beside = self._beside(v, found.data if found else None, entries)
        plan.conflicts.append(Conflict(v.path, reason, beside))
        return v.ours

    def _merge_file(self, v: MergedPath) -> Merged | None:
        """The merged content; None where there is no merging it."""
        assert v.ours is not None
        assert v.theirs is not None
        if v.path in self._images or max(e.size for e in (v.base, v.ours, v.theirs) if e is not None) > LARGEST:
            return None
        ours = read_file(self._sidecar.installation, v.path, v.ours.size)
        if hashlib.sha256(ours).digest() != v.ours.sha256:
            return Merged(ours, "was changed again just now")
        base = self._stored_bytes(v.base) if v.base is not None else b""
        return merge_content(v.path, base, ours, self._stored_bytes(v.theirs), self._sides.names)

    def _with_metadata(self, v: MergedPath) -> Entry:
        """Ours, with the mode and owner of theirs where only they changed them."""
        assert v.ours is not None
        if not self._sides.metadata or v.base is None or v.theirs is None:
            return v.ours
        mode = v.theirs.mode if v.ours.mode == v.base.mode else v.ours.mode
        owner = v.theirs if (v.ours.uid, v.ours.gid) == (v.base.uid, v.base.gid) else v.ours
        return replace(v.ours, mode=mode, uid=owner.uid, gid=owner.gid, uname=owner.uname, gname=owner.gname)

    def _stored_bytes(self, entry: Entry) -> bytes:
        assert entry.oid is not None
        return b"".join(self._sidecar.objects.blob(entry.oid, entry.size))

    def _stored(self, path: bytes, like: Entry, data: bytes) -> Entry:
        digests = self._draft.pack.add_blob(len(data), [data] if data else [])
        return replace(
            like,
            path=path,
            size=len(data),
            sparse=False,
            mtime_ns=int(self._now.timestamp()) * 10**9,
            oid=digests.oid,
            sha256=digests.sha256,
        )

    def _beside(self, v: MergedPath, marked: bytes | None, entries: dict[bytes, Entry]) -> bytes | None:
        """Put the other version, or both with marks, beside the file; where, or None when there is none to put."""
        model = v.theirs if v.theirs is not None and v.theirs.type is Type.FILE else None
        if model is None:
            return None
        name = v.path + SUFFIX
        number = 2
        while name in entries:
            name, number = v.path + SUFFIX + b"-%d" % number, number + 1
        if marked is not None:
            entries[name] = self._stored(name, v.ours or model, marked)
        else:
            entries[name] = replace(model, path=name)
        return name

    def _drop_emptied(self, entries: dict[bytes, Entry], verdicts: list[MergedPath]) -> None:
        for v in reversed(verdicts):
            gone = v.way is Way.REMOVE and v.ours is not None and v.ours.type is Type.DIR
            if gone and not any(p.startswith(v.path + b"/") for p in entries):
                self._plan.removed.append(v.path)
                del entries[v.path]

    def _give_way(self, entries: dict[bytes, Entry], verdicts: list[MergedPath]) -> None:
        """What was taken goes back where it and what is here cannot both be: a file here, and files below it there."""
        for v in reversed(verdicts):
            if v.way is not Way.TAKE or v.path not in entries:
                continue
            blocked = any(a in entries and entries[a].type is not Type.DIR for a in _above(v.path))
            covers = entries[v.path].type is not Type.DIR and any(p.startswith(v.path + b"/") for p in entries)
            if not blocked and not covers:
                continue
            if v.path in self._plan.taken:
                self._plan.taken.remove(v.path)
            self._plan.conflicts.append(Conflict(v.path, "a file and a directory meet here"))
            if v.ours is not None:
                entries[v.path] = v.ours
            else:
                del entries[v.path]

    def _add_parents(self, entries: dict[bytes, Entry]) -> None:
        """Directories that what came back needs, as the other side has them; none through what is no directory."""
        theirs: Mapping[bytes, Entry] = {}
        for path in list(entries):
            while path := path.rpartition(b"/")[0]:
                if path in entries and entries[path].type is Type.DIR:
                    break
                theirs = theirs or contents.inventory(self._sidecar, self._sides.theirs).by_path()
                entries[path] = theirs[path]


def _images(ours: Inventory, entries: Mapping[bytes, Entry]) -> dict[bytes, Image]:
    """The databases that still are images: those that are there, without a journal that came from elsewhere."""
    return {
        path: image
        for path, image in ours.images.items()
        if path in entries and not any(e.path in entries for e in image.beside)
    }


def _above(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path
