"""`status` as a JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Document, damage, drill, held, moment, paths, place, problems, snapshot
from gitsnap.cli.render.json_restore import pending

# For annotations only: every command would load every operation otherwise, and take twice as long to start.
if TYPE_CHECKING:
    from gitsnap.ops.live.in_progress import Waiting
    from gitsnap.ops.query.status import State


def state(result: State, retention: str) -> Document:
    """`status`."""
    latest = result.latest
    verified = result.verified.get(latest.id) if latest else None
    return {
        **place(result.installation, "installation"),
        **place(result.store, "store"),
        "snapshots": len(result.snapshots),
        "protected_since": moment(result.since) if result.since else None,
        "latest": snapshot(latest) if latest else None,
        "latest_verified": moment(verified) if verified else None,
        "verified": {name: moment(when) if when else None for name, when in result.verified.items()},
        "changes": result.difference.comparison.counts.summary if result.difference else {},
        "directories": result.difference.comparison.counts.directory_summary if result.difference else {},
        "components": {
            name: of.counts.summary | {"directories": of.counts.directory_summary, "grown_bytes": of.grown}
            for name, of in result.components.items()
        },
        "retimed": len(result.difference.retimed) if result.difference else 0,
        "unreadable": problems(result.difference.partial) if result.difference else [],
        "damaged": {name: damage(found) for name, found in result.damaged.items()},
        "not_covered": paths(result.difference.beyond) if result.difference else [],
        "pending_recovery": pending(result.pending) if result.pending else None,
        "rollback_at_work": result.at_work,
        "upgrade_under_way": result.upgrade,
        "service_stopped": result.service_stopped,
        "waiting": _waiting(result.waiting) if result.waiting else None,
        "last_upgrade": _last_upgrade(result),
        "store_bytes": result.store_bytes,
        "added_bytes": result.added,
        "last_drill": drill(result.drill),
        "verify_overdue": result.overdue.total_seconds() if result.overdue is not None else None,
        "retention": retention,
        "next_removed": [{"snapshot": d.snapshot.id, "reasons": list(d.reasons)} for d in result.leaving],
        "retention_held": held(result.held),
        "limits": result.limits.document() if result.limits else None,
    }


def _waiting(found: Waiting) -> Document:
    """Spans in seconds."""
    wait = found.wait
    return {
        "upgrade": found.upgrade,
        "phase": found.phase.value,
        "soak": wait.soak or None,
        "soak_left": None if found.soak_left is None else round(found.soak_left, 3),
        "every": wait.every if wait.soak else None,
        "rounds": wait.rounds,
        "confirm": wait.confirm or None,
        "confirm_left": None if found.confirm_left is None else round(found.confirm_left, 3),
        "process": found.process,
    }


def _last_upgrade(result: State) -> Document | None:
    last = result.last_upgrade
    if last is None:
        return None
    return {
        "upgrade": last.id,
        "outcome": last.outcome.value if last.outcome else None,
        "failure": last.failure or None,
    }
