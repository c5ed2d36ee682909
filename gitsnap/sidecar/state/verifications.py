"""Which snapshots passed a full verification, and when: one line each, `<commit> <RFC 3339 time>`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from gitsnap.core.model import Snapshot
from gitsnap.sidecar import files, locks
from gitsnap.sidecar.repository import Sidecar

_FILE = "verified"


def load(sidecar: Sidecar) -> dict[str, datetime]:
    """The time of the last full verification, by commit. Lines that do not parse count as absent."""
    found = {}
    for line in (files.read(sidecar.own(_FILE)) or b"").decode("ascii", "replace").splitlines():
        commit, _, when = line.partition(" ")
        try:
            found[commit] = datetime.fromisoformat(when)
        except ValueError:
            continue
    return found


def record(
    sidecar: Sidecar, passed: Sequence[Snapshot], failed: Sequence[Snapshot], when: datetime, wait: float
) -> None:
    """Note what passed; forget what failed and what is no more."""
    with locks.hold(sidecar.own("verified.lock"), exclusive=True, wait=wait):
        known = load(sidecar)
        known.update({s.commit: when for s in passed})
        for snapshot in failed:
            known.pop(snapshot.commit, None)
        text = "".join(f"{commit} {at.isoformat()}\n" for commit, at in sorted(known.items()))
        files.replace(sidecar.own(_FILE), text.encode(), sidecar.scratch)


def newest_verified(sidecar: Sidecar, living: Sequence[Snapshot], damaged: Collection[str]) -> str | None:
    """The id of the newest snapshot (they are in order) that passed, and of which no damage is known since.

    `damaged` are ids.
    """
    known = load(sidecar)
    return next((s.id for s in reversed(living) if s.commit in known and s.id not in damaged), None)


def overdue(
    known: Mapping[str, datetime], living: Sequence[Snapshot], every: timedelta | None, now: datetime
) -> timedelta | None:
    """By how much the last verification of any of these snapshots (in order) is older than `every`; None where it is
    not. Where none was verified yet, the oldest snapshot's time counts."""
    if every is None or not living:
        return None
    last = max((known[s.commit] for s in living if s.commit in known), default=living[0].created)
    late = now - last - every
    return late if late > timedelta() else None
