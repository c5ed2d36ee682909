"""The timeline: a branch with one commit for each living snapshot in order of time, for git log, blame and bisect.

After a rollback it goes on with one more, which has the state gone back to and says so: its tip is what is installed.
Derived, and the same byte for byte for the same snapshots and rollbacks: each commit has its snapshot's (or the
record's) tree, author and message, and the one before it as parent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from gitsnap.core.model import Snapshot
from gitsnap.core.order import newest
from gitsnap.sidecar import rollbacks
from gitsnap.sidecar.git import commits
from gitsnap.sidecar.git.objects import ObjectStore
from gitsnap.sidecar.rollbacks import Return

# For annotations, and where something is written: most commands only read.
if TYPE_CHECKING:
    from gitsnap.sidecar.git.pack_write import PackWriter


class Link(NamedTuple):
    """One commit of the timeline: its hex id, its content, and the snapshot whose state it has. `back` is the rollback
    that it tells of; None where it is the snapshot's own."""

    commit: str
    content: bytes
    snapshot: Snapshot
    back: Return | None = None


def chain(
    store: ObjectStore,
    snapshots: Sequence[Snapshot],
    fresh: dict[str, bytes] | None = None,
    returns: Sequence[Return] = (),
) -> list[Link]:
    """The timeline's commits, oldest first, of snapshots in order and the `returns` that are recorded.

    Imported copies of later than all that was taken come before the last of those: they were never installed here.
    `fresh` holds the contents of snapshot commits that are not in the store yet.
    """
    out: list[Link] = []
    parent = None
    snapshots = _installed_last(snapshots)
    back = rollbacks.places(returns, snapshots)
    by_tree = {s.tree: s for s in snapshots} if back else {}
    for number, snapshot in enumerate(snapshots, 1):
        data = (fresh or {}).get(snapshot.commit) or store.read(bytes.fromhex(snapshot.commit), b"commit")[1]
        out.append(_link(data, snapshot.commit, parent, snapshot))
        if (each := back.get(number)) is not None:
            target = next((s for s in snapshots if s.id == each.target), by_tree[each.tree])
            out.append(_link(each.data, each.commit, out[-1].commit, target, each))
        parent = out[-1].commit
    return out


def _installed_last(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    last = newest(snapshots)
    return [s for s in snapshots if s is not last] + ([last] if last else [])


def _link(data: bytes, commit: str, parent: str | None, snapshot: Snapshot, back: Return | None = None) -> Link:
    content = commits.with_parent(data, commit, parent)
    oid = hashlib.sha1(b"commit %d\0%s" % (len(content), content), usedforsecurity=False).hexdigest()
    return Link(oid, content, snapshot, back)


def is_whole(store: ObjectStore, chain_: Sequence[Link], tip: str | None) -> bool:
    """Whether the chain's commits up to `tip` can be read; false when the tip is not on the chain."""
    ids = [link.commit for link in chain_]
    return tip in ids and store.all_readable([bytes.fromhex(oid) for oid in ids[: ids.index(tip) + 1]], b"commit")


def write(pack: PackWriter, chain_: Sequence[Link], tip: str | None) -> str | None:
    """Write what follows the present `tip` (all, when the tip is not on the chain); the new tip."""
    from gitsnap.sidecar.git.pack_write import COMMIT

    ids = [link.commit for link in chain_]
    start = ids.index(tip) + 1 if tip in ids else 0
    for link in chain_[start:]:
        pack.put(COMMIT, link.content)
    return ids[-1] if ids else None
