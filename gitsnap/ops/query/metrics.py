"""Figures for monitoring: what `metrics` tells. Nothing is written, and the installation is not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from gitsnap.core.audit import decode
from gitsnap.core.order import newest
from gitsnap.core.outcome import Outcome
from gitsnap.core.settings import Settings
from gitsnap.core.upgrade import upgrades
from gitsnap.ops.live import damage, in_progress, upgrading
from gitsnap.ops.live.pending import find
from gitsnap.ops.process import clocks
from gitsnap.sidecar import catalog
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import audit, drills, verifications

_RUNS = (b'"action":"run"', b'"action":"guard"')


class Sample(NamedTuple):
    """One figure: its name without the prefix, what it means, its value, and labels beside the installation's."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = {}


def measure(sidecar: Sidecar, settings: Settings, now: datetime) -> list[Sample]:
    """All figures of one sidecar, those of one name together. What there is not has no figure."""
    living = catalog.snapshots(sidecar)
    known, proved = damage.known(sidecar, living), verifications.load(sidecar)
    found = [
        Sample("snapshots", "Snapshots that can be read.", len(living)),
        Sample(
            "damaged_snapshots",
            "Snapshots that are known to be damaged, or cannot be read.",
            len(known) + len(living.damaged),
        ),
        Sample("deleted_snapshots", "Snapshots in the bin.", len(catalog.deleted(sidecar, living)[0])),
        Sample("sidecar_bytes", "Size of the sidecar on disk.", sidecar.disk_bytes()),
        Sample(
            "recovery_pending",
            "1 where an interrupted rollback waits for `gitsnap recover`.",
            int(find(sidecar) is not None),
        ),
        Sample("upgrade_running", "1 while an upgrade is under way.", int(upgrading.running(sidecar) is not None)),
        *_waiting(sidecar),
    ]
    late = verifications.overdue(proved, living, settings.verify_every, now)
    found.append(Sample("verify_overdue", "1 where [verify] every is not met.", int(late is not None)))
    latest, best = newest(living), verifications.newest_verified(sidecar, living, known)
    if latest is not None:
        found += _moment("newest_snapshot", "the newest snapshot was taken", latest.created, now)
    whole = next((s for s in living if s.id == best), None)
    if whole is not None:
        found += _moment(
            "newest_verified_snapshot",
            "the newest snapshot was taken that was verified and is not known to be damaged",
            whole.created,
            now,
        )
    if times := [when for s in living if (when := proved.get(s.commit))]:
        found += _moment("last_verification", "a snapshot was verified last", max(times), now)
    found += [*_upgrade(sidecar, living, now), *_drill(sidecar, now)]
    return found


def _waiting(sidecar: Sidecar) -> Iterator[Sample]:
    found = in_progress.waiting(sidecar, clocks.read())
    yield Sample("upgrade_waiting", "1 while an upgrade waits for what becomes of it.", int(found is not None))
    left = 0.0 if found is None else found.confirm_left if found.confirm_left is not None else found.soak_left
    text = (
        "How long until the upgrade that waits goes back (with --confirm) or is kept; 0 where none waits, or it is due."
    )
    yield Sample("upgrade_waiting_seconds", text, round(left or 0.0, 3))


def _moment(name: str, what: str, when: datetime, now: datetime) -> Iterator[Sample]:
    yield Sample(f"{name}_timestamp_seconds", f"When {what}, in seconds since the epoch.", round(when.timestamp(), 3))
    age = round(max((now - when).total_seconds(), 0.0), 3)
    yield Sample(f"{name}_age_seconds", f"How long ago that was when this was written ({what}).", age)


def _upgrade(sidecar: Sidecar, living: catalog.Living, now: datetime) -> Iterator[Sample]:
    """What became of the newest upgrade, one figure for each that could have, and when that was."""
    last = next(iter(reversed(upgrades(living))), None)
    if last is None:
        return
    became = last.outcome or Outcome.UNKNOWN
    for outcome in Outcome:
        text = "1 for what has become of the newest upgrade, 0 for all else."
        yield Sample("last_upgrade_outcome", text, int(outcome is became), {"outcome": outcome.value})
    ended = _ended(sidecar, last.id) or (last.post or last.pre).created
    yield from _moment("last_upgrade", "the newest upgrade ended, as far as that is known", ended, now)


def _ended(sidecar: Sidecar, upgrade: str) -> datetime | None:
    """When an upgrade ended, by the audit log."""
    when = None
    for text in audit.lines(sidecar.path):
        line = decode(text) if any(mark in text for mark in _RUNS) and upgrade.encode() in text else None
        if line is not None and line.get("upgrade") == upgrade and line.get("phase") == "ended":
            try:
                when = datetime.fromisoformat(line["time"])
            except (KeyError, ValueError, TypeError):
                continue
    return when


def _drill(sidecar: Sidecar, now: datetime) -> Iterator[Sample]:
    last = drills.last(sidecar)
    if last is not None:
        yield Sample("last_drill_success", "1 where the last drill passed.", int(last.ok))
        yield from _moment("last_drill", "a snapshot was brought back for a trial", last.when, now)
