"""Results as JSON documents (docs/reference/json.md). Schema 1: fields are added, never changed or removed."""

from __future__ import annotations

import base64
import os
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gitsnap.core.calendar import rfc3339
from gitsnap.core.database_servers import read_told
from gitsnap.core.errors import GitsnapError, SecretsError
from gitsnap.core.model import Entry, Problem, Snapshot, Type

# For annotations only: every command would load every operation otherwise, and take twice as long to start.
if TYPE_CHECKING:
    from gitsnap.core.retention import HeldBack
    from gitsnap.core.signature import Checked
    from gitsnap.ops.capture.request import Captured
    from gitsnap.ops.query.inspect import Shown
    from gitsnap.sidecar.state.drills import Drill
    from gitsnap.sidecar.state.known_damage import Damage

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
        "number": s.sequence,
        "commit": s.commit,
        "tree": s.tree,
        "created": moment(s.created),
        "kind": s.kind.value,
        "label": s.label,
        "message": s.message,
        "tags": list(s.tags),
        "taken_with": {"message": s.taken.message, "tags": list(s.taken.tags)} if s.taken else None,
        "described": moment(s.taken.described) if s.taken else None,
        "pinned": s.pinned,
        "upgrade": s.upgrade,
        "outcome": s.ending.outcome.value if s.ending else None,
        "files": s.files,
        "bytes": s.bytes,
        "manifest_sha256": s.manifest_sha256,
        "partial": s.partial > 0,
        "signed_by": s.signed_by,
        "databases_running": [dict(zip(("database", "path"), read_told(told), strict=True)) for told in s.running],
    }


def signature(found: Checked) -> Document:
    """One signature of a snapshot."""
    return {
        "where": found.where,
        "status": found.status.value,
        "principal": found.principal or None,
        "key": found.key or None,
        "key_type": found.key_type or None,
        "time": moment(found.when),
        "why": found.why or None,
    }


def damage(found: Damage | None) -> Document | None:
    """What is known to be damaged of one snapshot."""
    if found is None:
        return None
    return {"found": moment(found.found), "by": found.by, "count": found.count, "problems": problems(found.problems)}


def drill(found: Drill | None) -> Document | None:
    """The last drill of all, or of one snapshot."""
    if found is None:
        return None
    return {
        "snapshot": found.snapshot,
        "time": moment(found.when),
        "outcome": found.outcome,
        "failure": found.problem or None,
        "checks": found.checks,
        "duration": found.duration,
    }


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
        "last_drill": drill(result.drill),
        "signatures": [signature(each) for each in result.signatures],
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
        "limits": [kept.document() for kept in result.kept],
        "unsigned": result.unsigned or None,
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


def failure(error: GitsnapError) -> Document:
    """An error, for stderr."""
    fields: Document = {"path": None}
    if isinstance(error.path, bytes):
        fields = path(error.path)
    elif error.path is not None:
        fields = place(error.path)
    if isinstance(error, SecretsError):
        fields["secrets"] = [path(where) | {"key": key} for where, key in error.found]
    return {
        "schema": 1,
        "error": {"code": error.exit_code, "kind": error.kind, "message": error.message}
        | fields
        | {"hint": error.hint},
    }
