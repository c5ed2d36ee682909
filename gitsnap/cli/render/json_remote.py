"""Remotes and what went to them, as JSON documents."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Document, moment, path

# For annotations only: every command would load every operation otherwise, and take twice as long to start.
if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitsnap.core.remote import Remote
    from gitsnap.ops.remote.after_snapshot import Copied
    from gitsnap.ops.remote.push import Pushed
    from gitsnap.ops.remote.remotes import Standing
    from gitsnap.ops.remote.secret_guard import Inspected
    from gitsnap.sidecar.state.allowed_secrets import Allowed


def remote(found: Remote) -> Document:
    """What is configured; the URL as it may be seen."""
    return {
        "name": found.name,
        "url": found.shown,
        "push": found.push,
        "keep": found.keep,
        "refspec": found.refspec,
        "secrets": found.secrets,
        "installation": found.installation,
        "recipients": list(found.recipients),
    }


def standing(found: Standing) -> Document:
    """One row of `remote list`, and of `status`."""
    return remote(found.remote) | {
        "pushed_at": moment(found.when) if found.when else None,
        "snapshots_there": found.there,
        "lacks": list(found.lacks),
        "problem": found.problem or None,
        "allowed_secrets": [path(os.fsencode(each.path)) | {"key": each.key} for each in found.allowed],
    }


def pushed(done: Pushed) -> Document:
    """`push`."""
    return {
        "remote": done.remote,
        "url": done.url,
        "dry_run": done.dry_run,
        "snapshots": done.snapshots,
        "removed": done.removed,
        "held_back": [{"snapshot": name, "problem": why} for name, why in done.held_back.items()],
        "refs": done.refs,
        "objects": done.objects,
        "bytes": done.bytes,
        "snapshots_there": done.there,
        "timeline": done.timeline,
        "audit": done.audit or None,
        "secrets": secrets(done.inspected, done.allowed),
        "not_encrypted": done.plain,
        "by_git": done.by_git or None,
        "lost": done.lost,
        "doubt": done.doubt or None,
        "read_back": None
        if done.read_back is None
        else {
            "snapshots": done.read_back.snapshots,
            "objects": done.read_back.objects,
            "bytes": done.read_back.bytes,
        },
        "duration": round(done.duration, 3),
    }


def secrets(found: Inspected, allowed: Iterable[Allowed]) -> Document:
    """What was looked through for secrets, what was not, and what went since somebody said so."""
    return {
        "looked_through": found.files,
        "binary": found.binary,
        "too_large": found.large,
        "of_packages": found.brought,
        "allowed": [path(os.fsencode(each.path)) | {"key": each.key} for each in allowed],
    }


def copied(found: Iterable[Copied]) -> list[Document]:
    """What went of itself after a snapshot."""
    return [
        {
            "remote": each.remote.name,
            "problem": str(each.problem) if each.problem is not None else None,
            "snapshots": each.pushed.snapshots if each.pushed else [],
            "bytes": each.pushed.bytes if each.pushed else 0,
        }
        for each in found
    ]
