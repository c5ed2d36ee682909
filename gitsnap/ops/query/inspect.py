"""Looking around: what snapshots there are, and what is in them. Nothing here writes."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gitsnap.core.component import component_of, glob
from gitsnap.core.coverage import unrecorded
from gitsnap.core.errors import GitsnapError, IntegrityError, UsageError
from gitsnap.core.model import Entry, Image, Inventory, Problem, Snapshot, Type
from gitsnap.core.signature import NO_POLICY, Checked, Policy
from gitsnap.ops.store import signers
from gitsnap.sidecar import catalog, contents, selectors
from gitsnap.sidecar.catalog import not_held
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import drills, verifications
from gitsnap.sidecar.state import known_damage as damage
from gitsnap.sidecar.state.drills import Drill
from gitsnap.sidecar.state.known_damage import Damage


@dataclass(slots=True)
class Shown:
    """One snapshot with what it left out and how it divides into components: name → (files, bytes).

    `images` are the databases that are in it as consistent images, with the files that these make up for.
    `unrecorded` counts what a foreign copy did not record, `unlisted` are the directories in which it may not cover
    everything. `verified` is when it last passed a full verification, `damage` what is known to be damaged of it since,
    `drill` its last drill. `signatures` are those that it bears.
    """

    snapshot: Snapshot
    components: dict[str, tuple[int, int]]
    rules: list[bytes]
    excluded: list[bytes]
    partial: list[Problem]
    sockets: list[bytes]
    images: dict[bytes, Image]
    unrecorded: dict[str, int]
    unlisted: list[bytes]
    verified: datetime | None = None
    damage: Damage | None = None
    drill: Drill | None = None
    signatures: Sequence[Checked] = ()


@dataclass(slots=True, frozen=True)
class Match:
    """A path that find found, and the ids of the snapshots that hold it, oldest first."""

    path: bytes
    snapshots: tuple[str, ...]


def show(
    sidecar: Sidecar, selector: str, components: Mapping[str, tuple[str, ...]], signing: Policy = NO_POLICY
) -> Shown:
    """One snapshot in detail; `signing` tells by what its signatures are checked."""
    snapshot = selectors.choose(sidecar, selector)
    inventory = contents.inventory(sidecar, snapshot)
    files: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for entry in inventory.files():
        name = component_of(entry.path, components)
        files[name] += 1
        size[name] += entry.size
    return Shown(
        snapshot,
        {name: (files[name], size[name]) for name in sorted(files)},
        inventory.rules,
        inventory.excluded,
        inventory.partial,
        inventory.skipped,
        inventory.images,
        unrecorded(inventory),
        inventory.unlisted,
        verifications.load(sidecar).get(snapshot.commit),
        damage.load(sidecar).get(snapshot.commit),
        drills.load(sidecar).get(snapshot.commit),
        signers.told(sidecar, snapshot, signing),
    )


def ls(
    sidecar: Sidecar, selector: str, path: bytes, *, recursive: bool
) -> tuple[Snapshot, list[Entry], frozenset[bytes]]:
    """The entries directly in a directory of a snapshot (or all below it), or the one entry at a file's path; and which
    of the snapshot's files are images of databases."""
    snapshot = selectors.choose(sidecar, selector)
    inventory = contents.inventory(sidecar, snapshot)
    here, images = _require(inventory, snapshot, path), frozenset(inventory.images)
    if here.type is not Type.DIR:
        return snapshot, [here], images
    prefix = path + b"/" if path else b""
    below = [e for e in inventory.entries if e.path.startswith(prefix) and e.path != path]
    return snapshot, below if recursive else [e for e in below if b"/" not in e.path[len(prefix) :]], images


def _require(inventory: Inventory, snapshot: Snapshot, path: bytes) -> Entry:
    for entry in inventory.entries:
        if entry.path == path:
            return entry
    raise not_held(snapshot, path, inventory)


def cat(sidecar: Sidecar, selector: str, path: bytes) -> Iterator[bytes]:
    """A file's content in pieces, or a symlink's text."""
    snapshot = selectors.choose(sidecar, selector)
    entry = _require(contents.inventory(sidecar, snapshot), snapshot, path)
    if entry.oid is None:
        raise GitsnapError(
            f"'{os.fsdecode(path) or '.'}' is a {entry.type.noun} in {snapshot.id}, not a file",
            kind="not-a-file",
            path=path,
            # The path, as it is to be typed, is for the command line to add.
            hint=f"gitsnap ls {snapshot.id}" if entry.type is Type.DIR else None,
        )
    return sidecar.objects.blob(entry.oid, entry.size if entry.type is Type.FILE else None)


def find(sidecar: Sidecar, pattern: str, *, whole: bool = False) -> list[Match]:
    """Paths that match a glob, in all snapshots. Without a slash it is matched against the last component, unless
    it is for `whole` paths.

    A pattern of 64 hex digits also finds the files with this SHA-256, whatever they are called.
    """
    expression = glob(pattern)
    by_name = not whole and "/" not in pattern
    found = _by_digest(sidecar, bytes.fromhex(pattern)) if is_digest(pattern) else {}
    for snapshot in catalog.snapshots(sidecar):
        for entry in _readable_entries(sidecar, snapshot):
            subject = entry.path.rpartition(b"/")[2] if by_name else entry.path
            if entry.path and expression.fullmatch(subject):
                ids = found.setdefault(entry.path, [])
                ids += [snapshot.id] if snapshot.id not in ids else []
    return [Match(path, tuple(ids)) for path, ids in sorted(found.items())]


def is_digest(text: str) -> bool:
    """Whether it can be a SHA-256 in hex."""
    return re.fullmatch(r"[0-9a-fA-F]{64}", text) is not None


def find_content(sidecar: Sidecar, digest: str) -> list[Match]:
    """Paths at which a file has this SHA-256, in all snapshots. UsageError for what is not 64 hex digits."""
    if not is_digest(digest):
        raise UsageError("a SHA-256 has 64 hex digits", hint="sha256sum FILE prints one")
    return [Match(path, tuple(ids)) for path, ids in sorted(_by_digest(sidecar, bytes.fromhex(digest)).items())]


def _by_digest(sidecar: Sidecar, digest: bytes) -> dict[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    last: tuple[str, list[bytes]] = ("", [])
    for snapshot in catalog.snapshots(sidecar):
        if snapshot.manifest_sha256 != last[0]:
            try:
                digests = contents.manifest(sidecar, snapshot).digests
            except IntegrityError as error:
                sidecar.damaged[snapshot.id] = error
                continue
            last = snapshot.manifest_sha256, [p for p, d in digests.items() if d == digest]
        for path in last[1]:
            found.setdefault(path, []).append(snapshot.id)
    return found


def _readable_entries(sidecar: Sidecar, snapshot: Snapshot) -> list[Entry]:
    """All entries of a snapshot; none of one that is damaged, which is noted."""
    try:
        return contents.metadata(sidecar, snapshot).entries
    except IntegrityError as error:
        sidecar.damaged[snapshot.id] = error
        return []
