"""What `find`, `log`, `blame` and `search` tell, as JSON documents (docs/reference/json.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Document, entry, moment, path
from gitsnap.core.model import Snapshot

if TYPE_CHECKING:
    from gitsnap.ops.query.blame import Blamed
    from gitsnap.ops.query.inspect import Match
    from gitsnap.ops.query.log import Life
    from gitsnap.ops.query.search import Found, Searched


def matches(found: Iterable[Match]) -> Document:
    """`find`."""
    return {"matches": [path(m.path) | {"snapshots": list(m.snapshots)} for m in found]}


def lives(of: bytes, found: Iterable[Life]) -> Document:
    """`log`."""
    history = [
        {"snapshot": life.snapshot.id, "created": moment(life.snapshot.created), "status": life.status}
        | {"upgrade": life.snapshot.upgrade, "command": life.snapshot.command}
        | {"signed_by": life.snapshot.signed_by}
        | (path(life.old_path, "old_path") if life.old_path is not None else {})
        | (path(life.new_path, "new_path") if life.new_path is not None else {})
        | ({"entry": entry(life.entry)} if life.entry else {})
        | {"unchanged_in": life.later}
        for life in found
    ]
    return path(of) | {"history": history}


def blamed(of: Snapshot, of_path: bytes, lines: Iterable[Blamed]) -> Document:
    """`blame`."""
    return {
        "snapshot": of.id,
        **path(of_path),
        "lines": [
            {
                "number": b.number,
                "snapshot": b.snapshot.id,
                "created": moment(b.snapshot.created),
                "upgrade": b.snapshot.upgrade,
                "command": b.snapshot.command,
                "oldest": b.oldest,
                **path(b.path),
                "text": b.text.decode("utf-8", "replace"),
            }
            for b in lines
        ],
    }


def searched(found: Iterable[Found], counts: Searched) -> Document:
    """`search`."""
    matching = [
        path(f.path)
        | {
            "snapshots": f.snapshots,
            "binary": f.binary,
            "lines": [{"number": n.number, "text": n.text.decode("utf-8", "replace")} for n in f.lines],
            "more_lines": f.more,
        }
        for f in found
    ]
    return {
        "matches": matching,
        "searched": {"snapshots": counts.snapshots, "contents": counts.contents, "bytes": counts.size},
    }
