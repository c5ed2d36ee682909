"""Changelogs as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Document, change
from gitsnap.core.changelog import FileChange

if TYPE_CHECKING:
    from gitsnap.core.changelog import Changelog
    from gitsnap.core.settings import Settings
    from gitsnap.ops.report.history import Episode
from gitsnap.cli.render.json_keys import key_document


def document(log: Changelog, episode: Episode | None, settings: Settings, *, secrets: bool) -> Document:
    """`changelog --format json`."""
    from gitsnap.cli.render import json_upgrade
    from gitsnap.cli.render.json import path

    return {
        "from": log.old,
        "to": log.new,
        "upgrade": json_upgrade.episode(episode) if episode else None,
        "summary": log.summary,
        "bytes": log.grown,
        "packages": [
            {"name": p.name, **path(p.where, "where"), "old": p.old, "new": p.new, "files": p.files}
            for p in log.packages
        ],
        "components": {
            name: [_file_document(f, settings, secrets) for f in found] for name, found in log.components().items()
        },
    }


def _file_document(file: FileChange, settings: Settings, secrets: bool) -> Document:
    out = change(file.change, settings.components)
    out["file_type"] = file.what or None
    out["yours"] = file.yours
    out["lines"] = {"added": file.lines[0], "removed": file.lines[1]} if file.lines else None
    out["keys"] = None if file.keys is None else [key_document(k, secrets) for k in file.keys]
    return out
