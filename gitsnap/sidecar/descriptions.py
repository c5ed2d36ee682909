"""Messages and tags that snapshots were given afterwards, on `refs/gitsnap/descriptions/<id>`.

The snapshot stays what it is, with its seal and its signature; the record goes with it, for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from gitsnap.core.errors import IntegrityError
from gitsnap.core.message import format_description, parse_description
from gitsnap.core.model import Snapshot, Taken
from gitsnap.sidecar import records
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar


def attach(sidecar: Sidecar, snapshots: Sequence[Snapshot], recorded: Mapping[str, str]) -> list[Snapshot]:
    """The snapshots as described by the commits that are `recorded`, by ids. What cannot be read says nothing."""
    return [_described(sidecar, s, recorded[s.id]) if s.id in recorded else s for s in snapshots]


def _described(sidecar: Sidecar, snapshot: Snapshot, commit: str) -> Snapshot:
    with suppress(IntegrityError):
        record = records.read(sidecar, commit)
        name, message, tags = parse_description(record.message)
        if name == snapshot.id:
            first = Taken(snapshot.message_taken, snapshot.tags_taken, record.created, commit)
            return replace(snapshot, message=message, tags=tags, taken=first)
    return snapshot


def load(sidecar: Sidecar) -> dict[str, str]:
    """The commits of all records, by the ids of the snapshots, whatever the seal says of them."""
    return sidecar.refs.below(refs.DESCRIPTIONS, {})


def store(sidecar: Sidecar, snapshot: Snapshot, message: str, tags: Sequence[str], when: datetime) -> None:
    """Describe it so, durably, for a caller who holds the writer's lock. Raises ValueError for what no message can
    hold, GitsnapError or OSError."""
    said = format_description(snapshot.id, message, tags)
    records.store(sidecar, refs.DESCRIPTIONS + snapshot.id, snapshot, said, when)
