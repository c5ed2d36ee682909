"""What brings a directory back, as JSON documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Document, held, path, paths, place, problems

# For annotations only: every command would load every operation otherwise, and take twice as long to start.
if TYPE_CHECKING:
    from gitsnap.core.plan import RestorePlan
    from gitsnap.ops.live.pending import Pending
    from gitsnap.ops.restore.result import Recovered, Restored


def plan_counts(plan: RestorePlan) -> dict[str, int]:
    """How many paths a plan writes, removes, and only gives other metadata."""
    return {
        "write": len(plan.written),
        "remove": len(plan.removed),
        "metadata": len(plan.metadata_only),
    }


def restored(result: Restored, *, steps: bool) -> Document:
    """`rollback` and `restore`; with `steps` for a dry run."""
    out: Document = {
        "target": result.target.id,
        "safety_snapshot": result.safety.id if result.safety else None,
        "plan": plan_counts(result.plan),
        "verified": result.verified,
        "incomplete": problems(result.incomplete if result.applied else result.plan.kept),
        "salvaged": result.salvaged,
        "in_use": paths(sorted({*result.in_use, *result.left_alone})),
        "databases_running": [r.document() for r in result.running],
        "left_alone": paths(result.left_alone),
        "unrecorded": result.unrecorded,
        "not_covered": paths(result.beyond),
        "service": [r.document() for r in result.service.results],
        "made": [place(p) for p in result.made],
        "pruned": [d.snapshot.id for d in result.pruned],
        "retention_held": held(result.held),
        "further_back": result.further_back.id if result.further_back else None,
        "duration": round(result.duration, 3),
    }
    if steps:
        out["plan_digest"] = result.fingerprint()
        out["foreseen"] = problems(result.plan.foreseen)
        out["steps"] = [{"action": s.action.value} | path(s.path) for s in result.plan.steps]
    return out


def pending(found: Pending) -> Document:
    """A rollback that was interrupted; what a damaged journal cannot tell is null."""
    return {
        "phase": found.phase,
        "transaction": found.transaction,
        "target": found.target,
        "safety_snapshot": found.safety,
        "started": found.started,
    }


def recovered(result: Recovered) -> Document:
    """`recover`."""
    return {
        "direction": result.direction.value if result.direction else None,
        "transaction": result.transaction,
        "target": result.target,
        "safety_snapshot": result.safety,
        "moved": result.moved,
        "cleared": paths(result.cleared),
        "verified": result.verified,
        "unverified": result.unverified,
        "kept": place(result.kept) if result.kept else None,
        "service": [r.document() for r in result.service.results],
        "incomplete": problems(result.incomplete),
        "duration": round(result.duration, 3),
    }
