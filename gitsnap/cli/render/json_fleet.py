"""The installations of a server, as a JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Document, moment

if TYPE_CHECKING:
    from datetime import timedelta

    from gitsnap.core.fleet import Row
    from gitsnap.ops.remote.fleet import Fleet


def document(found: Fleet, older_than: timedelta | None) -> Document:
    """`fleet`."""
    return {
        "url": found.url,
        "at": moment(found.now),
        "installations": [_row(row, found, older_than) for row in found.rows],
    }


def _row(row: Row, found: Fleet, older_than: timedelta | None) -> Document:
    newest, upgrade, machine, when = row.newest, row.upgrade, row.machine, row.when
    return {
        "installation": row.name,
        "snapshots": row.snapshots,
        "pinned": row.pinned,
        "newest": row.last,
        "created": moment(when) if when else None,
        "age": round((found.now - when).total_seconds(), 3) if when else None,
        "stale": row.is_stale(found.now, older_than) if older_than is not None else None,
        "commit": newest.commit if newest else None,
        "kind": newest.kind.value if newest else None,
        "files": newest.files if newest else None,
        "bytes": newest.bytes if newest else None,
        "partial": newest.partial if newest else None,
        "manifest_sha256": newest.manifest_sha256 if newest else None,
        "signed": row.signed.value if row.signed else None,
        "signatures": [
            {
                "where": each.where,
                "status": each.status.value,
                "when": moment(each.when),
                "key": each.key or None,
                "principal": each.principal or None,
                "why": each.why or None,
            }
            for each in row.signatures
        ],
        "verified": {"snapshot": machine.verified, "at": moment(machine.at)}
        if machine is not None and machine.at is not None
        else None,
        "machine": {"id": machine.identity, "host": machine.host, "directory": machine.directory} if machine else None,
        "upgrade": {"id": upgrade.upgrade, "outcome": upgrade.outcome.value, "failure": upgrade.failure or None}
        if upgrade
        else None,
        "problems": list(row.problems),
    }
