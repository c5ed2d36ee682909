"""What became of each upgrade: a commit of its own on `refs/gitsnap/upgrades/<id>`, which clones keep.

It is about the snapshot before the upgrade. It is there, saying `unknown`, before the upgrade's command is started, and
goes with that snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import format_ending, parse_ending
from gitsnap.core.model import Snapshot
from gitsnap.core.outcome import Ending
from gitsnap.sidecar import records
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar


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
            ending = parse_ending(records.read(sidecar, commit).message)
            if ending.upgrade == upgrade:
                return ending
    except IntegrityError:
        pass
    return Ending(upgrade)


def store(sidecar: Sidecar, pre: Snapshot, ending: Ending, when: datetime) -> None:
    """Record it, durably, for a caller who holds the writer's lock. Raises GitsnapError or OSError."""
    records.store(sidecar, refs.UPGRADES + ending.upgrade, pre, format_ending(ending), when)
