"""What became of each upgrade: a commit of its own on `refs/gitsnap/upgrades/<id>`, which clones keep.

It has the tree of the snapshot before the upgrade, which is there anyway, and no parent. It is there, saying `unknown`,
before the upgrade's command is started, and goes with that snapshot.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import format_ending, parse_ending
from gitsnap.core.model import Snapshot
from gitsnap.core.outcome import Ending
from gitsnap.sidecar.git import commits, refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import reflog, seal


def attach(
    sidecar: Sidecar, snapshots: Sequence[Snapshot], recorded: Mapping[str, str], lost: set[str]
) -> list[Snapshot]:
    """The snapshots, those of an upgrade with its record. `recorded` are the commits by the upgrades' ids.

    A record that is `lost`, or cannot be read, tells nothing: what became of the upgrade is unknown then.
    """
    if not recorded and not lost:
        return list(snapshots)
    known = {name: _load(sidecar, name, recorded.get(name)) for name in recorded.keys() | lost}
    return [replace(s, ending=known[s.upgrade]) if s.upgrade in known else s for s in snapshots]


def _load(sidecar: Sidecar, upgrade: str, commit: str | None) -> Ending:
    try:
        if commit is not None:
            data = sidecar.objects.read(bytes.fromhex(commit), b"commit")[1]
            ending = parse_ending(commits.parse(data, commit).message)
            if ending.upgrade == upgrade:
                return ending
    except IntegrityError:
        pass
    return Ending(upgrade)


def store(sidecar: Sidecar, pre: Snapshot, ending: Ending, when: datetime) -> None:
    """Record it, durably, for a caller who holds the writer's lock. Raises GitsnapError or OSError.

    Nothing where that snapshot is gone: the record would never go.
    """
    if sidecar.refs.get(refs.SNAPSHOTS + pre.id) is None:
        return
    ref = refs.UPGRADES + ending.upgrade
    old = sidecar.refs.get(ref)
    content = commits.form(bytes.fromhex(pre.tree), format_ending(ending), when)
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
