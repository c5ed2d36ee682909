"""What `clone`, `adopt` and `pull` have taken in, as JSON documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render import json_restore, json_store
from gitsnap.cli.render.json import Document, place, snapshot

# For annotations only.
if TYPE_CHECKING:
    from gitsnap.ops.remote.adopt import Adopted
    from gitsnap.ops.remote.pull import Pulled


def adopted(result: Adopted) -> Document:
    """`clone` and `adopt`; what a dry run does not know is null."""
    received, told = result.received, result.received.copied
    carried = {"settings": told.settings, "rollback": told.rollback, "upgrade": told.upgrade, "service": told.service}
    return {
        **place(result.place.root, "installation"),
        **place(result.place.store, "store"),
        "source": received.source,
        "source_installation": received.installation or told.installation or None,
        "dry_run": result.dry_run,
        "resumed": result.resumed,
        "there": result.there if result.dry_run else len(received.snapshots) + len(received.left_out),
        "snapshots": None if result.dry_run else [snapshot(s) for s in received.snapshots],
        "damaged": json_store.verdicts(received.damaged)["results"],
        "left_out": [v.snapshot for v in received.left_out],
        "audit_log": {"lines": received.log.last.sequence, "problems": [*received.log.problems]}
        if received.log
        else None,
        "deleted": received.deleted,
        "ignored_refs": sorted(received.ignored),
        "not_carried": [what for what, is_there in carried.items() if is_there],
        "unknown_owners": [owner._asdict() for owner in result.strangers],
        "replaced": result.replaced,
        "restored": json_restore.restored(result.restored, steps=False) if result.restored else None,
        "duration": round(result.duration, 3),
    }


def pulled(done: Pulled) -> Document:
    """`pull`."""
    return {
        "remote": done.remote,
        "url": done.url,
        "dry_run": done.dry_run,
        "coming": done.coming,
        "snapshots": [snapshot(s) for s in done.snapshots],
        "pinned": done.pinned,
        "described": done.described,
        "conflicts": [
            {"snapshot": name, "here": here, "there": there} for name, (here, there) in done.conflicts.items()
        ],
        "removed_here": done.removed,
        "damaged": json_store.verdicts(done.damaged)["results"],
        "short_lived": done.short_lived,
        "there": done.there,
        "duration": round(done.duration, 3),
    }
