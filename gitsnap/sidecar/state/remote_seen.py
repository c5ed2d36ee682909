"""What each remote had when we were last there, one JSON file for each in `remotes/`.

A file and no refs: what refs lead to a gc keeps, and what was removed here would take its space for as long as it is
over there. Nothing depends on it: lost, the next exchange asks for more, and the next `status` knows of no copy.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime

from gitsnap.core.remote import Remote
from gitsnap.sidecar import files
from gitsnap.sidecar.repository import Sidecar

_FOLDER = "remotes"
_OBJECT = re.compile(r"[0-9a-f]{40}")


@dataclass(slots=True)
class Seen:
    """`refs` are all refs that are this installation's over there. `notes` are commit and blob (hex) of every note, by
    the ref's name here, `notes_at` the value that ref had, `trees` its tree. `when` is the last exchange that went
    well, `tried` the last one at all, `problem` why it failed (empty: it did not). `audited` is the last
    line of the audit log then, `local` the digest of what was here when all of it was there (empty: not all was).
    `read` are commits and tags that were read back from there, with all that they lead to, `doubt` what was wrong with
    that the last time (empty: nothing)."""

    url: str = ""
    refs: dict[str, str] = field(default_factory=dict)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)
    notes_at: dict[str, str] = field(default_factory=dict)
    trees: dict[str, str] = field(default_factory=dict)
    when: datetime | None = None
    tried: datetime | None = None
    problem: str = ""
    audited: int = 0
    local: str = ""
    machine: str = ""
    recipients: tuple[str, ...] = ()
    read: list[str] = field(default_factory=list)
    doubt: str = ""


def load(sidecar: Sidecar, remote: Remote) -> Seen:
    """What is known of a remote; nothing of one that had another URL then, or was for other recipients."""
    import json

    try:
        row = json.loads(files.read(_path(sidecar, remote.name)) or b"{}")
        moments = {k: datetime.fromisoformat(row[k]) if row.get(k) else None for k in ("when", "tried")}
        found = Seen(
            str(row.get("url", "")),
            _values(row["refs"]),
            {str(ref): _values(notes) for ref, notes in row["notes"].items()},
            _values(row["notes_at"]),
            _values(row["trees"]),
            moments["when"],
            moments["tried"],
            str(row["problem"]),
            int(row["audited"]),
            str(row["local"]),
            str(row.get("machine", "")),
            tuple(map(str, row.get("recipients", ()))),
            [oid for oid in map(str, row.get("read", ())) if _OBJECT.fullmatch(oid)],
            str(row.get("doubt", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Seen(remote.url)
    return found if (found.url, found.recipients) == (remote.url, remote.recipients) else Seen(remote.url)


def _values(row: dict[str, str]) -> dict[str, str]:
    return {str(k): v for k, v in row.items() if isinstance(v, str) and _OBJECT.fullmatch(v)}


def save(sidecar: Sidecar, remote: Remote, seen: Seen) -> None:
    """Write it down. No reason to fail, ever."""
    import json

    # asdict() would copy every name of every ref.
    row = {f.name: getattr(seen, f.name) for f in fields(seen)} | {"url": remote.url, "recipients": remote.recipients}
    row |= {k: row[k].isoformat() if row[k] else None for k in ("when", "tried")}
    with suppress(OSError):
        os.makedirs(sidecar.own(_FOLDER), mode=0o700, exist_ok=True)
        files.replace(_path(sidecar, remote.name), json.dumps(row).encode(), sidecar.scratch, durable=False)


def forget(sidecar: Sidecar, name: str) -> None:
    """The remote is none any more."""
    with suppress(FileNotFoundError):
        os.unlink(_path(sidecar, name))


def _path(sidecar: Sidecar, name: str) -> str:
    # A name is letters, digits, dash and underscore (core.remote).
    return os.path.join(sidecar.own(_FOLDER), name)
