"""Figures of a fleet for monitoring, each with the installation that it is of ("" for a repository of its own)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from gitsnap.core.fleet import Row
from gitsnap.core.outcome import Outcome
from gitsnap.ops.query.metrics import Sample
from gitsnap.ops.remote.fleet import Fleet

# Its name, what it means, and what it is of a row (None: nothing).
_Figure = tuple[str, str, Callable[[Row], float | None]]


def measure(found: Fleet, older_than: timedelta | None = None) -> list[Sample]:
    """All figures, those of one name together. What there is not has no figure."""
    out = [Sample("fleet_installations", "Installations in the repository.", len(found.rows))]
    figures = [*_FIGURES, _stale(found, older_than)] if older_than is not None else _FIGURES
    for name, text, value in figures:
        told = ((row.name or "", value(row)) for row in found.rows)
        out += [Sample(f"fleet_{name}", text, float(v), {"installation": who}) for who, v in told if v is not None]
    return [*out, *_outcomes(found)]


def _stale(found: Fleet, limit: timedelta) -> _Figure:
    text = "1 where the newest snapshot is older than what was asked for."
    return "stale", text, lambda row: int(row.is_stale(found.now, limit))


def _outcomes(found: Fleet) -> Iterator[Sample]:
    for row in found.rows:
        for outcome in Outcome if row.upgrade is not None else ():
            yield Sample(
                "fleet_last_upgrade_outcome",
                "1 for what has become of the last upgrade, 0 for all else.",
                int(row.upgrade is not None and outcome is row.upgrade.outcome),
                {"installation": row.name or "", "outcome": outcome.value},
            )


_FIGURES: tuple[_Figure, ...] = (
    ("snapshots", "Snapshots in the repository.", lambda r: r.snapshots),
    (
        "newest_snapshot_timestamp_seconds",
        "When the newest snapshot was taken, in seconds since the epoch.",
        lambda r: round(r.when.timestamp(), 3) if r.when else None,
    ),
    (
        "newest_snapshot_bytes",
        "Size of what the newest snapshot holds.",
        lambda r: r.newest.bytes if r.newest else None,
    ),
    ("newest_snapshot_files", "Files in the newest snapshot.", lambda r: r.newest.files if r.newest else None),
    (
        "newest_snapshot_verified",
        "1 where its machine says that it has verified the newest snapshot.",
        lambda r: None if r.verified is None else int(r.verified),
    ),
    (
        "newest_snapshot_signed",
        "1 where the newest snapshot has a signature that was checked and is good.",
        lambda r: int(r.signed == "good"),
    ),
    ("problems", "What cannot be told of it, or not believed.", lambda r: len(r.problems)),
)
