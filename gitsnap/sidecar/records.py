"""What is said of snapshots afterwards: each a commit of its own on a ref of its own (refs.RECORDS), which clones keep.

It has the tree of the snapshot that it is about, which is there anyway, and no parent.
"""

from __future__ import annotations

import os
from datetime import datetime

from gitsnap.core.model import Snapshot
from gitsnap.sidecar.git import commits, refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import reflog, seal


def read(sidecar: Sidecar, commit: str) -> commits.Commit:
    """The record with that hex id; IntegrityError where it cannot be read."""
    return commits.parse(sidecar.objects.read(bytes.fromhex(commit), b"commit")[1], commit)


def store(sidecar: Sidecar, ref: str, about: Snapshot, message: bytes, when: datetime) -> None:
    """Let `ref` be the record that says `message` of a snapshot, durably, for a caller who holds the writer's lock.
    Raises GitsnapError or OSError.

    Nothing where that snapshot is gone: the record would never go.
    """
    if sidecar.refs.get(refs.SNAPSHOTS + about.id) is None:
        return
    old = sidecar.refs.get(ref)
    content = commits.form(bytes.fromhex(about.tree), message, when)
    # Readers have no need of what writes.
    from gitsnap.sidecar.git.pack_write import COMMIT, PackWriter

    pack = PackWriter(os.path.join(sidecar.path, "objects"), sidecar.scratch, lambda _: False)
    try:
        commit = pack.add(COMMIT, content).hex()
        written = pack.finish()
    finally:
        pack.abandon()
    with seal.changing(sidecar, {ref: commit}):
        sidecar.refs.change(ref, old, commit)
    reflog.remember(sidecar, [old if old != commit else None], when)
    if written is not None:
        written.release()
    sidecar.objects.refresh()
