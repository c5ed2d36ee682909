"""Results as JSON documents (docs/reference/json.md). Schema 1: fields are added, never changed or removed."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gitsnap.core.calendar import rfc3339
from gitsnap.core.component import component_of
from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Entry, Problem, Snapshot, Type
from gitsnap.core.running import read_told

# For annotations only: every command would load every operation otherwise, and take twice as long to start.
if TYPE_CHECKING:
    from gitsnap.core.comparison import Change
    from gitsnap.core.keys import KeyChange
    from gitsnap.core.plan import RestorePlan
    from gitsnap.core.retention import Decision, HeldBack
    from gitsnap.core.secrets.masker import Masker
    from gitsnap.ops.capture.request import Captured
    from gitsnap.ops.check.doctor import Check
    from gitsnap.ops.check.verdict import Verdict
    from gitsnap.ops.compare.diff import Difference
    from gitsnap.ops.live.pending import Pending
    from gitsnap.ops.query.inspect import Shown
    from gitsnap.ops.query.status import State
    from gitsnap.ops.restore.result import Recovered, Restored
    from gitsnap.ops.store.collect import Collected
    from gitsnap.ops.store.locate import Initialised
    from gitsnap.sidecar.catalog import Deleted
    from gitsnap.sidecar.state.damage import Damage

Document = dict[str, Any]
Components = Mapping[str, tuple[str, ...]]


def encode(document: Document) -> bytes:
    """The document as one line of UTF-8. What of the command line or a file is not UTF-8 turns into U+FFFD."""
    import json

    from gitsnap.cli.render import formatting

    text = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return formatting.unambiguous(text).encode() + b"\n"


def moment(when: datetime) -> str:
    """RFC 3339 in UTC."""
    return when.astimezone(UTC).isoformat("T", "seconds")[:19] + "Z"


def path(raw: bytes, key: str = "path") -> Document:
    """A path's fields: as text, and in base64 as well where it is not UTF-8."""
    try:
        return {key: raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {key: raw.decode("utf-8", "replace"), f"{key}_b64": base64.b64encode(raw).decode()}


def place(text: str, key: str = "path") -> Document:
    """The fields of a path that the system gave as text."""
    return path(os.fsencode(text), key)


def paths(raw: Iterable[bytes]) -> list[Document]:
    """A list of paths, each an object."""
    return [path(p) for p in raw]


def problems(found: Iterable[Problem]) -> list[Document]:
    """Paths with reasons."""
    return [path(p.path) | {"reason": p.reason} for p in found]


def snapshot(s: Snapshot) -> Document:
    """One snapshot."""
    return {
        "id": s.id,
        "commit": s.commit,
        "tree": s.tree,
        "created": moment(s.created),
        "kind": s.kind.value,
        "label": s.label,
        "message": s.message,
        "tags": list(s.tags),
        "pinned": s.pinned,
        "upgrade": s.upgrade,
        "outcome": s.ending.outcome.value if s.ending else None,
        "files": s.files,
        "bytes": s.bytes,
        "manifest_sha256": s.manifest_sha256,
        "partial": s.partial > 0,
        "databases_running": [dict(zip(("database", "path"), read_told(told), strict=True)) for told in s.running],
    }


def damage(found: Damage | None) -> Document | None:
    """What is known to be damaged of one snapshot."""
    if found is None:
        return None
    return {"found": moment(found.found), "by": found.by, "count": found.count, "problems": problems(found.problems)}


def listing(
    snapshots: Iterable[Snapshot], damaged: Iterable[tuple[str, GitsnapError]], known: Mapping[str, Damage]
) -> Document:
    """`list`."""
    out: Document = {"snapshots": [snapshot(s) | {"damage": damage(known.get(s.id))} for s in snapshots]}
    if broken := [{"id": name, "problem": error.message} for name, error in damaged]:
        out["damaged"] = broken
    return out


def bin_listing(found: Iterable[Deleted], damaged: Iterable[tuple[str, GitsnapError]]) -> Document:
    """`list --deleted`."""
    rows = [snapshot(d.snapshot) | {"deleted_at": moment(d.when) if d.when else None} for d in found]
    out: Document = {"deleted": rows}
    if broken := [{"id": name, "problem": error.message} for name, error in damaged]:
        out["damaged"] = broken
    return out


def shown(result: Shown) -> Document:
    """`show`."""
    return snapshot(result.snapshot) | {
        "components": {n: {"files": f, "bytes": b} for n, (f, b) in result.components.items()},
        "rules": [r.decode("utf-8", "replace") for r in result.rules],
        "excluded": [p.decode("utf-8", "replace") for p in result.excluded],
        "excluded_paths": paths(result.excluded),
        "unrecorded": result.unrecorded,
        "unlisted": paths(result.unlisted),
        "partial_paths": problems(result.partial),
        "skipped": paths(result.sockets),
        "databases": [path(p) | {"beside": paths(e.path for e in i.beside)} for p, i in sorted(result.images.items())],
        "verified": moment(result.verified) if result.verified else None,
        "damage": damage(result.damage),
    }


def held(found: HeldBack | None) -> Document | None:
    """What retention does not remove before it is told to, and by which rules it would and would not."""
    return found.document() if found else None


def taken(result: Captured) -> Document:
    """`snapshot`."""
    return {
        "snapshot": snapshot(result.snapshot),
        "new_files": result.counts.new_files,
        "changed_files": result.counts.changed_files,
        "removed_files": result.counts.removed_files,
        "summary": result.counts.summary,
        "directories": result.counts.directory_summary,
        "unchanged_skipped": result.skipped,
        "partial": problems(result.partial),
        "skipped": paths(result.sockets),
        "mounts": paths(result.mounts),
        "databases": paths(result.databases),
        "databases_running": [r.document() for r in result.running],
        "hooks": [done.document() for done in result.hooks],
        "pruned": [d.snapshot.id for d in result.pruned],
        "retention_held": held(result.held),
        "duration": round(result.duration, 3),
    }


def entry(e: Entry) -> Document:
    """One entry of a tree."""
    out = path(e.path) | {
        "type": e.type.value,
        "mode": f"{e.mode:04o}",
        "owner": e.uname or str(e.uid),
        "group": e.gname or str(e.gid),
        "size": e.size,
        "modified": rfc3339(e.mtime_ns // 10**9),
        "mtime_ns": e.mtime_ns,
    }
    if e.sha256:
        out["sha256"] = e.sha256.hex()
    if e.type is Type.LINK:
        out |= path(e.target, "target")
    if e.xattrs:
        out["xattrs"] = {name: base64.b64encode(value).decode() for name, value in e.xattrs}
    return out | _unrecorded(e)


def _unrecorded(e: Entry) -> Document:
    """Null for what a foreign copy did not record, and which that is."""
    if not e.unrecorded:
        return {}
    fields = {"mode": ("mode",), "owner": ("owner", "group"), "time": ("modified", "mtime_ns"), "xattr": ()}
    out: Document = {field: None for what in e.unrecorded for field in fields[what]}
    return out | {"unrecorded": sorted(e.unrecorded)}


def entries(of: Snapshot, found: Iterable[Entry], images: Collection[bytes]) -> Document:
    """`ls`."""
    listed = [entry(e) | ({"database": "sqlite"} if e.path in images else {}) for e in found]
    return {"snapshot": of.id, "entries": listed}


def _side(e: Entry | None) -> Document | None:
    if e is None:
        return None
    digest = e.sha256.hex() if e.sha256 else None
    owners = {"owner": e.uname or str(e.uid), "group": e.gname or str(e.gid)}
    return {"type": e.type.value, "mode": f"{e.mode:04o}", **owners, "size": e.size, "sha256": digest}


def change(c: Change, components: Components) -> Document:
    """One change."""
    out = path(c.path) | {"status": c.status.value}
    if c.old_path is not None:
        out |= path(c.old_path, "old_path") | {"similarity": c.similarity}
    out["component"] = component_of(c.path, components)
    if c.what:
        out["what"] = list(c.what)
    return out | {"old": _side(c.old), "new": _side(c.new)}


def _with_keys(
    c: Change, components: Components, keys: Callable[[Change], list[KeyChange] | None], masker: Masker
) -> Document:

    from gitsnap.cli.render.json_keys import key_document

    found = keys(c)
    return change(c, components) | {"keys": None if found is None else [key_document(k, masker, c.path) for k in found]}


def difference(
    result: Difference,
    components: Components,
    keys: Callable[[Change], list[KeyChange] | None] | None = None,
    masker: Masker | None = None,
) -> Document:
    """`diff`; with `keys`, which keys of structured files differ."""
    return {
        "from": result.old,
        "to": result.new,
        "changes": [
            _with_keys(c, components, keys, masker) if keys and masker else change(c, components)
            for c in result.comparison.changes
        ],
        "summary": result.comparison.counts.summary,
        "directories": result.comparison.counts.directory_summary,
        "retimed": len(result.retimed),
        "unreadable": problems(result.partial),
        "not_covered": paths(result.beyond),
    }


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
        "last_upgrade": _last_upgrade(result),
        "store_bytes": result.store_bytes,
        "added_bytes": result.added,
        "retention": retention,
        "next_removed": [{"snapshot": d.snapshot.id, "reasons": list(d.reasons)} for d in result.leaving],
        "retention_held": held(result.held),
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


def verdicts(results: Iterable[Verdict]) -> Document:
    """`verify`."""
    return {
        "results": [
            {
                "snapshot": v.snapshot,
                "ok": v.ok,
                "files": v.files,
                "bytes": v.bytes,
                "problems": [
                    path(p.path) | {"problem": p.problem, "expected": p.expected, "actual": p.actual}
                    for p in v.problems
                ],
                "unread": problems(v.unread),
                "not_covered": paths(v.beyond),
            }
            for v in results
        ]
    }


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
        "made": [place(p) for p in result.made],
        "pruned": [d.snapshot.id for d in result.pruned],
        "retention_held": held(result.held),
        "duration": round(result.duration, 3),
    }
    if steps:
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
        "incomplete": problems(result.incomplete),
        "duration": round(result.duration, 3),
    }


def decisions(found: Iterable[Decision], *, dry_run: bool) -> Document:
    """`prune`."""
    rows = list(found)
    return {
        "dry_run": dry_run,
        "kept": [{"snapshot": d.snapshot.id, "reasons": list(d.reasons)} for d in rows if d.keep],
        "removed": [{"snapshot": d.snapshot.id, "reasons": list(d.reasons)} for d in rows if not d.keep],
    }


def collected(result: Collected) -> Document:
    """`gc`."""
    return {
        "before_bytes": result.before,
        "after_bytes": result.after,
        "final": list(result.final),
        "spared": list(result.spared),
    }


def initialised(result: Initialised) -> Document:
    """`init`."""
    return {
        **place(result.place.root, "installation"),
        **place(result.place.store, "store"),
        "created": result.created,
        "files": result.files,
        "bytes": result.size,
        "partial": problems(result.partial),
        "skipped": paths(result.sockets),
        "excluded": [p.decode("utf-8", "replace") for p in result.excluded],
    }


def checks(found: Iterable[Check]) -> Document:
    """`doctor`."""
    return {"checks": [{"name": c.name, "ok": c.ok, "answer": c.answer, "advice": c.advice} for c in found]}


def failure(error: GitsnapError) -> Document:
    """An error, for stderr."""
    fields: Document = {"path": None}
    if isinstance(error.path, bytes):
        fields = path(error.path)
    elif error.path is not None:
        fields = place(error.path)
    return {
        "schema": 1,
        "error": {"code": error.exit_code, "kind": error.kind, "message": error.message}
        | fields
        | {"hint": error.hint},
    }
