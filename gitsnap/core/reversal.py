"""What undo takes back and what redo brings back again, by the safety snapshots alone.

Every rollback and restore, undo and redo among them, leaves a safety snapshot of what was there before it. Those of an
undo and of a redo name the one that was brought back (`Gitsnap-Undoes`, `Gitsnap-Redoes`). So the two chains are read
from what there is, in its order, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gitsnap.core.model import Kind, Snapshot


@dataclass(slots=True, frozen=True)
class Chains:
    """Safety snapshots, the one that comes next last. `last` is that of the last undo or redo, if that was the last
    thing that was done; otherwise `redo` is empty."""

    undo: tuple[Snapshot, ...] = ()
    redo: tuple[Snapshot, ...] = ()
    last: Snapshot | None = None


def chains(snapshots: Sequence[Snapshot]) -> Chains:
    """Read them from snapshots in order.

    Another rollback or restore ends what could be redone, as in an editor; so does an upgrade that begins, and a
    snapshot of something else than what undo or redo had brought back. The safety snapshot of a rollback that is gone
    shortens the chain of undo, and moves nothing else in it.
    """
    known = {s.id: s for s in snapshots}
    undo: list[Snapshot] = []
    redo: list[Snapshot] = []
    last: Snapshot | None = None
    for snapshot in snapshots:
        if snapshot.kind is Kind.IMPORTED:
            continue
        if snapshot.kind is not Kind.SAFETY:
            if not (last and snapshot.kind is not Kind.PRE and _same(snapshot, known.get(brought_back(last) or ""))):
                redo, last = [], None
        elif snapshot.undoes:
            undo, last = _before(undo, snapshot.undoes), snapshot
            redo.append(snapshot)
        elif snapshot.redoes:
            redo, last = _before(redo, snapshot.redoes), snapshot
            undo.append(snapshot)
        else:
            undo.append(snapshot)
            redo, last = [], None
    return Chains(tuple(undo), tuple(redo), last)


def brought_back(safety: Snapshot) -> str | None:
    """The id of the safety snapshot that the undo or redo has brought back before which this one was taken."""
    return safety.undoes or safety.redoes


def _before(chain: list[Snapshot], name: str) -> list[Snapshot]:
    """What is left of a chain once the one of this name was brought back, and with it what came after it."""
    ids = [s.id for s in chain]
    return chain[: ids.index(name)] if name in ids else chain


def _same(snapshot: Snapshot, other: Snapshot | None) -> bool:
    return other is not None and (snapshot.manifest_sha256, snapshot.metadata_sha256) == (
        other.manifest_sha256,
        other.metadata_sha256,
    )
