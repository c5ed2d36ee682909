"""Pristine copies: versions as their makers shipped them, imported to tell by them what a person has changed."""

from __future__ import annotations

from gitsnap.core.model import Kind, Snapshot
from gitsnap.ops.capture.import_copies import PRISTINE
from gitsnap.sidecar import catalog, contents
from gitsnap.sidecar.repository import Sidecar


def nearest(sidecar: Sidecar, snapshot: Snapshot) -> Snapshot | None:
    """The pristine copy that shares the most files with a snapshot, the newest of equals; None when there is none."""
    found, _ = catalog.survey(sidecar)
    copies = [s for s in found if s.kind is Kind.IMPORTED and PRISTINE in s.tags]
    if not copies:
        return None
    mine = contents.manifest(sidecar, snapshot).digests.items()

    def shared(copy: Snapshot) -> int:
        return len(mine & contents.manifest(sidecar, copy).digests.items())

    return max(reversed(copies), key=shared)


def digests(sidecar: Sidecar, snapshot: Snapshot) -> dict[bytes, bytes] | None:
    """The digests of the files of the nearest pristine copy, by path; None when there is none."""
    copy = nearest(sidecar, snapshot)
    return None if copy is None else contents.manifest(sidecar, copy).digests
