"""What can still be read of a snapshot that is damaged: its commit from the timeline, its entries from what is whole of
metadata, manifest and tree, and contents whose tree is lost by their SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import parse_message
from gitsnap.core.model import Entry, Inventory, Problem, Snapshot, Type
from gitsnap.core.paths import decode_component
from gitsnap.sidecar import catalog, contents, rollbacks, selectors
from gitsnap.sidecar.git import commits, refs, trees
from gitsnap.sidecar.git.trees import Leaf
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import seal

if TYPE_CHECKING:
    from gitsnap.core.manifest import Manifest

# Nobody knows who may read what comes out without its metadata.
_FILE_MODE, _PROGRAM_MODE, _DIRECTORY_MODE = 0o600, 0o700, 0o700
# A tree without its metadata has no count that would bound it.
_LIMIT = 10_000_000
_LONGEST_TIMELINE = 100_000


@dataclass(slots=True)
class Salvage:
    """`inventory` names all that is known to be in the snapshot; entries of files without an `oid` were not found.

    `lost` are the directories that cannot be read, and texts (by the empty path), with what that means. `proven` tells
    whether each content can be compared with the manifest.
    """

    snapshot: Snapshot
    inventory: Inventory
    lost: list[Problem] = field(default_factory=list)
    proven: bool = True


def choose(sidecar: Sidecar, selector: str) -> Snapshot:
    """What `selector` names, of damaged ones too: the timeline has what its commit says. Raises as selectors.choose."""
    known = catalog.snapshots(sidecar)
    try:
        return selectors.choose(sidecar, selector, known)
    except IntegrityError:
        names = [name for name, _ in known.damaged if selector and name.startswith(selector)]
        found = _on_timeline(sidecar, names[0]) if len(names) == 1 else None
        if found is None:
            raise
        return found


def _on_timeline(sidecar: Sidecar, name: str) -> Snapshot | None:
    """The snapshot as its commit on the timeline tells it, with the id of its own commit."""
    own = None
    with suppress(IntegrityError):
        own = sidecar.refs.get(refs.SNAPSHOTS + name) or sidecar.refs.get(refs.PINS + name)
    with suppress(IntegrityError):
        sealed = seal.load(sidecar)
        own = (sealed.value(refs.SNAPSHOTS + name) if sealed else None) or own
    with suppress(IntegrityError):
        at = sidecar.refs.get(refs.TIMELINE)
        for _ in range(_LONGEST_TIMELINE):
            if at is None:
                break
            commit = commits.parse(sidecar.objects.read(bytes.fromhex(at), b"commit")[1], at)
            if not rollbacks.is_record(commit.message):
                snapshot = parse_message(
                    commit.message, commit=own or at, tree=commit.tree, created=commit.created, pinned=False
                )
                if snapshot.id == name:
                    return snapshot
            at = commit.parent
    return None


def salvage(sidecar: Sidecar, snapshot: Snapshot) -> Salvage:
    """Everything that can be told of the snapshot; IntegrityError where that is nothing at all."""
    found, listed = _metadata(sidecar, snapshot), _manifest(sidecar, snapshot)
    held, lost = _leaves(sidecar, bytes.fromhex(snapshot.tree), len(found.entries) if found else _LIMIT)
    out = Salvage(snapshot, found or Inventory(), lost, proven=listed is not None)
    if listed is None:
        out.lost.append(Problem(b"", "the manifest is damaged: contents are compared with git's ids alone, unverified"))
    if found is None:
        out.lost.append(
            Problem(
                b"",
                "the metadata is damaged: owners, modes, times, links and empty directories are not known; files come "
                "out readable for you alone",
            )
        )
        out.inventory = _without_metadata(snapshot, held, listed)
    if not out.inventory.entries or (found is None and not held and listed is None):
        raise catalog.lost(snapshot.id, IntegrityError("neither its tree nor its texts can be read"))
    _join(sidecar, out, held, listed)
    return out


def _metadata(sidecar: Sidecar, snapshot: Snapshot) -> Inventory | None:
    with suppress(IntegrityError):
        return contents.metadata(sidecar, snapshot)
    return None


def _manifest(sidecar: Sidecar, snapshot: Snapshot) -> Manifest | None:
    with suppress(IntegrityError):
        return contents.manifest(sidecar, snapshot)
    return None


def _leaves(sidecar: Sidecar, root: bytes, limit: int) -> tuple[dict[bytes, Leaf], list[Problem]]:
    """What can be read of a tree, by path, and the directories that cannot."""
    held: dict[bytes, Leaf] = {}
    lost: list[Problem] = []
    stack = [(b"", root)]
    while stack:
        prefix, oid = stack.pop()
        try:
            entries = trees.parse(sidecar.objects.read(oid, b"tree")[1], oid)
            leaves = [Leaf(prefix + decode_component(n, link=m == trees.LINK), m, child) for n, m, child in entries]
        except IntegrityError as error:
            lost.append(Problem(prefix.rstrip(b"/"), f"the directory's tree cannot be read: {error.message}"))
            continue
        if len(held) + len(leaves) > limit:
            raise IntegrityError(f"tree {root.hex()} has more entries than its metadata says ({limit})")
        held |= {leaf.path: leaf for leaf in leaves}
        stack += [(leaf.path + b"/", leaf.oid) for leaf in leaves if leaf.mode == trees.DIRECTORY]
    return held, lost


def _without_metadata(snapshot: Snapshot, held: dict[bytes, Leaf], listed: Manifest | None) -> Inventory:
    """An inventory of tree and manifest alone."""
    when = int(snapshot.created.timestamp()) * 10**9
    entries: dict[bytes, Entry] = {b"": Entry(b"", Type.DIR, _DIRECTORY_MODE, mtime_ns=when)}

    def add(path: bytes, kind: Type, mode: int) -> None:
        parts = path.split(b"/")
        for depth in range(1, len(parts)):
            above = b"/".join(parts[:depth])
            entries.setdefault(above, Entry(above, Type.DIR, _DIRECTORY_MODE, mtime_ns=when))
        entries[path] = Entry(path, kind, mode, mtime_ns=when)

    for path in listed.digests if listed else ():
        add(path, Type.FILE, _FILE_MODE)
    for leaf in held.values():
        if leaf.mode == trees.LINK:
            add(leaf.path, Type.LINK, 0o777)
        elif leaf.mode == trees.DIRECTORY:
            add(leaf.path, Type.DIR, _DIRECTORY_MODE)
        else:
            add(leaf.path, Type.FILE, _PROGRAM_MODE if leaf.mode & 0o100 else _FILE_MODE)
    return Inventory(sorted(entries.values(), key=lambda e: e.path))


def _join(sidecar: Sidecar, out: Salvage, held: dict[bytes, Leaf], listed: Manifest | None) -> None:
    """Give each entry the id of its content, where that is known, and its digest."""
    entries = []
    for entry in out.inventory.entries:
        leaf = held.get(entry.path)
        kind = None if leaf is None else trees.LINK if leaf.mode == trees.LINK else leaf.mode & 0o170000
        expected = trees.LINK if entry.type is Type.LINK else 0o100000
        oid = leaf.oid if leaf is not None and kind == expected else None
        if entry.type is Type.LINK and not entry.target and oid is not None:
            with suppress(IntegrityError):
                entry.target = sidecar.objects.read(oid, b"blob")[1]
        if entry.type is Type.LINK and not entry.target:
            out.lost.append(Problem(entry.path, "the symlink's text cannot be read"))
            continue
        if entry.type in (Type.FILE, Type.LINK):
            entry.oid = oid
        if entry.type is Type.FILE and listed is not None:
            entry.sha256 = listed.digests.get(entry.path)
        entries.append(entry)
    wanted = {e.sha256 for e in entries if e.type is Type.FILE and e.oid is None and e.sha256}
    elsewhere = _by_digest(sidecar, wanted) if wanted else {}
    for entry in entries:
        if entry.type is Type.FILE and entry.oid is None and entry.sha256 in elsewhere:
            entry.oid = elsewhere[entry.sha256]
    out.inventory = replace(out.inventory, entries=entries)


def _by_digest(sidecar: Sidecar, wanted: Collection[bytes]) -> dict[bytes, bytes]:
    """The ids of the contents with these SHA-256, looked for in everything that the sidecar holds."""
    found: dict[bytes, bytes] = {}
    for oid in sidecar.objects.ids():
        if len(found) == len(wanted):
            break
        sha256 = hashlib.sha256()
        try:
            for piece in sidecar.objects.blob(oid):
                sha256.update(piece)
        except IntegrityError:
            # Another type of object, or damaged as well.
            continue
        if sha256.digest() in wanted:
            found[sha256.digest()] = oid
    return found
