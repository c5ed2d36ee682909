"""The timeline: a branch with one commit for each living snapshot in order of time, for git log, blame and bisect.

Derived, and the same byte for byte for the same snapshots: each commit has its snapshot's tree, author and message,
and the one before it as parent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gitsnap.core.model import Snapshot
from gitsnap.sidecar.git import commits
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.git.pack_write import COMMIT, PackWriter


def chain(
    store: ObjectStore, snapshots: Sequence[Snapshot], fresh: dict[str, bytes] | None = None
) -> list[tuple[str, bytes]]:
    """The timeline's commits, oldest first: (hex id, content).

    `fresh` holds the contents of snapshot commits that are not in the store yet.
    """
    out: list[tuple[str, bytes]] = []
    parent = None
    for snapshot in snapshots:
        data = (fresh or {}).get(snapshot.commit) or store.read(bytes.fromhex(snapshot.commit), b"commit")[1]
        content = commits.with_parent(data, snapshot.commit, parent)
        parent = hashlib.sha1(b"commit %d\0%s" % (len(content), content), usedforsecurity=False).hexdigest()
        out.append((parent, content))
    return out


def is_whole(store: ObjectStore, commits_: Sequence[tuple[str, bytes]], tip: str | None) -> bool:
    """Whether the chain's commits up to `tip` can be read; false when the tip is not on the chain."""
    ids = [oid for oid, _ in commits_]
    return tip in ids and store.all_readable([bytes.fromhex(oid) for oid in ids[: ids.index(tip) + 1]], b"commit")


def write(pack: PackWriter, commits_: Sequence[tuple[str, bytes]], tip: str | None) -> str | None:
    """Write what follows the present `tip` (all, when the tip is not on the chain); the new tip."""
    ids = [oid for oid, _ in commits_]
    start = ids.index(tip) + 1 if tip in ids else 0
    for _, content in commits_[start:]:
        pack.put(COMMIT, content)
    return ids[-1] if ids else None
