"""What a sidecar holds, keeps and removes, as JSON documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Document, damage, moment, path, paths, place, problems, signature, snapshot
from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Snapshot

# For annotations only: every command would load every operation otherwise, and take twice as long to start.
if TYPE_CHECKING:
    from gitsnap.core.retention import Decision
    from gitsnap.core.space import Kept
    from gitsnap.ops.check.doctor import Check
    from gitsnap.ops.check.verdict import Verdict
    from gitsnap.ops.store.gc import Collected
    from gitsnap.ops.store.locate import Initialised
    from gitsnap.ops.store.purge import Purged
    from gitsnap.ops.store.sign import Signed
    from gitsnap.sidecar.catalog import Deleted
    from gitsnap.sidecar.state.known_damage import Damage


def listing(
    snapshots: Iterable[Snapshot],
    damaged: Iterable[tuple[str, GitsnapError]],
    known: Mapping[str, Damage],
    tagged: Mapping[str, Mapping[str, str]],
) -> Document:
    """`list`."""
    rows = [
        snapshot(s) | {"damage": damage(known.get(s.id)), "signed_tags": sorted(tagged.get(s.id, ()))}
        for s in snapshots
    ]
    out: Document = {"snapshots": rows}
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


def decisions(found: Iterable[Decision], kept: Kept | None = None, *, dry_run: bool) -> Document:
    """`prune`."""
    rows = list(found)
    return {
        "dry_run": dry_run,
        "kept": [{"snapshot": d.snapshot.id, "reasons": list(d.reasons)} for d in rows if d.keep],
        "removed": [{"snapshot": d.snapshot.id, "reasons": list(d.reasons)} for d in rows if not d.keep],
        "limits": kept.document() if kept else None,
    }


def purged(result: Purged) -> Document:
    """`purge`."""
    return {
        "paths": paths(result.paths),
        "snapshots": result.snapshots,
        "deleted": result.deleted,
        "finished": paths(result.finished),
        "files": result.files,
        "bytes": result.bytes,
        "elsewhere": paths(result.elsewhere),
        "live": paths(result.live),
        "purged": result.applied,
        "freed_bytes": result.freed,
        "unsigned": result.unsigned,
    }


def collected(result: Collected) -> Document:
    """`gc`."""
    return {
        "before_bytes": result.before,
        "after_bytes": result.after,
        "full": result.full,
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
                    path(p.path)
                    | {"problem": p.problem, "expected": p.expected, "actual": p.actual}
                    | ({"kind": p.kind} if p.kind else {})
                    for p in v.problems
                ],
                "unread": problems(v.unread),
                "not_covered": paths(v.beyond),
            }
            | ({} if v.signatures is None else {"signatures": [signature(each) for each in v.signatures]})
            for v in results
        ]
    }


def signed(done: Iterable[Signed]) -> Document:
    """`sign`."""
    return {
        "signed": [{"snapshot": s.snapshot.id, "ref": s.ref, "key": s.key, "already": s.already} for s in done],
    }


def checks(found: Iterable[Check]) -> Document:
    """`doctor`."""
    keys = ("name", "ok", "answer", "advice", "refuses")
    return {"checks": [{key: getattr(c, key) for key in keys} for c in found]}
