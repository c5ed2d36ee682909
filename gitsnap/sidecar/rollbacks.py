"""What the directory went back to: a commit of its own on `refs/gitsnap/rollbacks/<id>` for each rollback.

The id is that of the newest snapshot when the rollback was done. The commit has the tree gone back to and no parent;
the timeline goes on with it. It stands as long as a living snapshot has that tree, so that it keeps nothing alive, and
as long as it is the last one between two snapshots that were taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import parse_return
from gitsnap.core.model import Kind, Snapshot
from gitsnap.sidecar.git import commits, refs
from gitsnap.sidecar.git.objects import ObjectStore


class Return(NamedTuple):
    """One rollback that was carried out: to the state of the snapshot `target`, when `after` was the newest one, with
    the number `sequence` (0 where that has none). `commit` is its record's, whose content is `data`."""

    after: str
    sequence: int
    target: str
    tree: str
    created: datetime
    commit: str
    data: bytes


def load(held: refs.Refs, store: ObjectStore) -> list[Return]:
    """All that are recorded and can be read, in no order. One that cannot is missed in the timeline alone."""
    with suppress(IntegrityError):
        return read_all(store, {refs.ROLLBACKS + name: c for name, c in held.below(refs.ROLLBACKS, {}).items()})
    return []


def read_all(store: ObjectStore, recorded: Mapping[str, str]) -> list[Return]:
    """Those among these refs, with their commits, that can be read."""
    found = []
    for ref, commit in recorded.items():
        with suppress(IntegrityError):
            each = read(store.read(bytes.fromhex(commit), b"commit")[1], commit)
            found += [each] if refs.ROLLBACKS + each.after == ref else []
    return found


def read(data: bytes, commit: str) -> Return:
    """The record whose content this is; IntegrityError for what is none."""
    parsed = commits.parse(data, commit)
    target, after, sequence = parse_return(parsed.message)
    return Return(after, sequence, target, parsed.tree, parsed.created, commit, data)


def places(returns: Iterable[Return], snapshots: Sequence[Snapshot]) -> dict[int, Return]:
    """Those that stand, by how many of the snapshots (in order) come before each."""
    if not (held := list(returns)):
        return {}
    trees, out = {s.tree for s in snapshots}, {}
    at = {s.id: number for number, s in enumerate(snapshots)}
    for each in sorted(held, key=lambda r: (r.sequence, r.created, r.commit)):
        begin = at.get(each.after, -1) + 1
        # Up to the next that was taken: an imported copy says nothing of what the directory was.
        place = next(
            (
                n
                for n in range(begin, len(snapshots))
                if snapshots[n].kind is not Kind.IMPORTED and (begin or (snapshots[n].sequence or 0) > each.sequence)
            ),
            len(snapshots),
        )
        if place and each.tree in trees:
            out[place] = each
    return out


_SUBJECT = re.compile(rb"rollback: ")


def is_record(message: bytes) -> bool:
    """Whether a commit's message is that of such a record, and of no snapshot."""
    return _SUBJECT.match(message) is not None
