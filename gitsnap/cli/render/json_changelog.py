"""Changelogs as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitsnap.cli.render.json import Document, path
from gitsnap.cli.render.json_diff import change
from gitsnap.core.changelog import FileChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitsnap.core.changelog import Changelog
    from gitsnap.core.packages.model import PackageChange
    from gitsnap.core.secrets.masker import Masker
    from gitsnap.core.settings import Settings
    from gitsnap.ops.report.history import Episode
from gitsnap.cli.render.json_keys import key_document


def document(
    log: Changelog, episode: Episode | None, settings: Settings, masker: Masker, *, command: Callable[[str], str]
) -> Document:
    """`changelog --format json`; `command` makes what is to be typed of a command's words."""
    from gitsnap.cli.render import json_upgrade

    return {
        "from": log.old,
        "to": log.new,
        "upgrade": json_upgrade.episode(episode, command) if episode else None,
        "summary": log.counts.summary,
        "directories": log.counts.directory_summary,
        "bytes": log.grown,
        "packages": [_package(p) for p in log.packages],
        "edited": [{**path(e.path), "package": e.package, "before": e.before} for e in log.edited],
        "repositories": [
            {**path(r.path), "old": r.old, "new": r.new, "branch": r.branch, "commits": r.commits}
            for r in log.repositories
        ],
        "components": {
            name: [_file_document(f, settings, masker) for f in found] for name, found in log.components().items()
        },
    }


def _package(package: PackageChange) -> Document:
    return {
        "ecosystem": package.ecosystem,
        "name": package.name,
        **path(package.where, "where"),
        "old": package.old,
        "new": package.new,
        "direction": package.direction.value,
        "files": package.files,
        "kind": package.kind.value,
        "holder": package.holder or None,
    }


def _file_document(file: FileChange, settings: Settings, masker: Masker) -> Document:
    out = change(file.change, settings.components)
    out["file_type"] = file.what or None
    out["yours"] = file.yours
    out["likely_yours"] = (
        {"score": file.likely.score, "reason": file.likely.reason.value} if file.likely is not None else None
    )
    out["generated"] = file.generated
    out["lines"] = {"added": file.lines[0], "removed": file.lines[1]} if file.lines else None
    out["keys"] = None if file.keys is None else [key_document(k, masker, file.change.path) for k in file.keys]
    return out
