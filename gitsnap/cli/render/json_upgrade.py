"""Upgrades as JSON documents (docs/reference/json.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Document, damage, moment

if TYPE_CHECKING:
    from gitsnap.core.upgrade import Stored
    from gitsnap.ops.live.in_progress import CutShort
    from gitsnap.ops.report.history import Episode, History


def episode(e: Episode) -> Document:
    """One thing that happened."""
    out: Document = {
        "type": e.type,
        "id": e.upgrade.id if e.upgrade else e.snapshot.id,
        "timestamp": moment(e.when),
        "label": e.upgrade.label if e.upgrade else e.snapshot.label,
        "description": e.snapshot.message,
        "damaged": {name: damage(found) for name, found in e.damaged.items()},
    }
    if e.upgrade:
        return out | _upgrade(e, e.upgrade)
    out |= {"snapshot": e.snapshot.id, "kind": e.snapshot.kind.value}
    if e.type == "rollback":
        out |= {"target": e.target, "paths": e.paths}
    return out


def _upgrade(e: Episode, of: Stored) -> Document:
    changed = e.changed
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
        "files_changed": {"added": changed.added, "removed": changed.removed, "modified": changed.modified}
        if changed
        else None,
        "components_updated": list(changed.components) if changed else None,
        "duration": of.seconds,
    }


def history(found: History, retention: str) -> Document:
    """`history`."""
    rows = [episode(e) for e in found.episodes]
    kinds = [r["type"] for r in rows]
    return {
        "installation": found.installation,
        "history": rows,
        "retention_policy": retention,
        "totals": {
            "upgrades": kinds.count("upgrade"),
            "rollbacks": kinds.count("rollback") + sum(len(r["rolled_back"]) for r in rows if r["type"] == "upgrade"),
            "snapshots": kinds.count("snapshot"),
            "store_bytes": found.store_bytes,
        },
    }


def upgrade(e: Episode, verified: bool) -> Document:
    """`show UPGRADE`."""
    return episode(e) | {"pre_verified": verified}


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
        }
    }
