"""Upgrades as JSON documents (docs/reference/json.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Document, damage, moment, place
from gitsnap.core.retention import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitsnap.core.retention import Policy
    from gitsnap.core.upgrade import Stored
    from gitsnap.ops.live.in_progress import CutShort
    from gitsnap.ops.report.history import Episode, History


def episode(e: Episode, command: Callable[[str], str] = lambda words: f"gitsnap {words}") -> Document:
    """One thing that happened; `command` makes what is to be typed of a command's words."""
    out: Document = {
        "type": e.type,
        "id": e.upgrade.id if e.upgrade else e.snapshot.id,
        "timestamp": moment(e.when),
        "label": e.upgrade.label if e.upgrade else e.snapshot.label,
        "description": e.snapshot.message,
        "damaged": {name: damage(found) for name, found in e.damaged.items()},
        "gone": {
            name: {"time": moment(r.when), "action": r.action, "user": r.user, "reasons": list(r.reasons)}
            for name, r in e.gone.items()
        },
    }
    if e.upgrade:
        return out | _upgrade(e, e.upgrade, command)
    out |= {"snapshot": e.snapshot.id, "kind": e.snapshot.kind.value}
    if e.type == "rollback":
        out |= {"target": e.target, "paths": e.paths}
    return out


def _upgrade(e: Episode, of: Stored, command: Callable[[str], str]) -> Document:
    changed = e.changed
    back = of.pre.id not in e.gone
    whole = back and of.post is not None and of.post.id not in e.gone
    return {
        "status": e.status,
        "previous": e.previous,
        "command": of.pre.command,
        "exit_code": of.exit_code,
        "failure": of.ending.failure or None if of.ending else None,
        "failed_check": of.ending.check or None if of.ending else None,
        "rollback_error": of.ending.rollback_error or None if of.ending else None,
        "pre": of.pre.id,
        "post": of.post.id if of.post else None,
        "rolled_back": [{"safety_snapshot": s.id, "timestamp": moment(s.created)} for s in of.safety],
        "files_changed": changed.counts.summary if changed else None,
        "directories_changed": changed.counts.directory_summary if changed else None,
        "components_updated": list(changed.components) if changed and changed.components is not None else None,
        "duration": of.seconds,
        "checks": [dict(check) for check in e.told.checks],
        "user": e.told.user or None,
        "host": e.told.host or None,
        "manager_version": e.told.version or None,
        "changelog": command(f"changelog {of.id}") if whole else None,
        "way_back": command(f"rollback {of.id}@pre") if back else None,
    }


def history(found: History, policy: Policy, version: str, command: Callable[[str], str]) -> Document:
    """`history`; `version` is the one of this gitsnap."""
    rows = [episode(e, command) for e in found.episodes]
    kinds = [r["type"] for r in rows]
    return {
        "installation": found.installation,
        "history": rows,
        "retention_policy": describe(policy),
        "retention": _rules(policy),
        "manager_version": version,
        "totals": {
            "upgrades": kinds.count("upgrade"),
            "rollbacks": kinds.count("rollback") + sum(len(r["rolled_back"]) for r in rows if r["type"] == "upgrade"),
            "snapshots": kinds.count("snapshot"),
            "store_bytes": found.store_bytes,
        },
    }


def _rules(policy: Policy) -> Document:
    """The rules as numbers; null where there is no such rule, the age in seconds."""
    within = policy.keep_within
    counts = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")
    return {name: getattr(policy, name) or None for name in counts} | {
        "keep_within": within.total_seconds() if within else None
    }


def upgrade(e: Episode, verified: bool, command: Callable[[str], str]) -> Document:
    """`show UPGRADE`."""
    return episode(e, command) | {"pre_verified": verified}


def pending(found: CutShort | None) -> Document:
    """What `status` says of an upgrade that was cut short."""
    if found is None:
        return {"pending_upgrade": None}
    return {
        "pending_upgrade": {
            "upgrade": found.upgrade,
            "stage": found.stage.value,
            "command": found.command,
            "exit_code": found.exit_code,
            "pre": found.stored.pre.id if found.stored else None,
            "running": found.running,
            "problem": found.problem or None,
            "installations": [place(root)["path"] for root in found.directories],
        }
    }
