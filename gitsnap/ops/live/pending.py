"""What is known of a rollback that is at work, or was interrupted; and how scans pass over its stages."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from gitsnap.core.errors import IntegrityError
from gitsnap.core.exclusion import Excludes, nothing_excluded
from gitsnap.sidecar.repository import Sidecar

if TYPE_CHECKING:
    from gitsnap.core.journal import Record


TOGETHER = "together"


class Pending(NamedTuple):
    """An interrupted rollback; a damaged journal tells its phase only. `started` is RFC 3339. The phase TOGETHER is
    that of several directories, this one among them, which is none of a journal's: here names may have moved or not."""

    phase: str
    transaction: str | None = None
    target: str | None = None
    safety: str | None = None
    started: str | None = None


def find(sidecar: Sidecar) -> Pending | None:
    """The rollback that waits to be settled; None where there is none, or where it is at work."""
    phase = sidecar.pending
    if phase is None and sidecar.returning and not sidecar.busy:
        return _together(sidecar)
    if phase is None or sidecar.busy:
        return None
    record = _read(sidecar)
    if record is None:
        return Pending(phase)
    return Pending(phase, record.transaction, record.target, record.safety, record.created)


def _together(sidecar: Sidecar) -> Pending:
    # Hardly ever is there one.
    from gitsnap.sidecar.state import set_rollback

    told = set_rollback.load(sidecar)
    where = dict(zip((root for root, _ in told.members), told.targets, strict=True)) if told else {}
    return Pending(TOGETHER, told.name if told else None, where.get(sidecar.installation))


def hidden_stages(sidecar: Sidecar) -> frozenset[bytes]:
    """The stages of a rollback that is at work or was interrupted: no content of the installation's."""
    if sidecar.pending is None:
        return frozenset()
    from gitsnap.installation.apply.stage_dirs import left_behind

    record = _read(sidecar)
    return record.stage_paths() if record else frozenset(left_behind(sidecar.installation))


def _read(sidecar: Sidecar) -> Record | None:
    # Hardly ever is there one.
    from gitsnap.sidecar.state.journal_file import JournalFile

    try:
        found = JournalFile(sidecar).load()
    except (IntegrityError, OSError):
        return None
    return found[1] if found else None


def without(hidden: Collection[bytes], excludes: Excludes) -> Excludes:
    """The same exclusions, and the `hidden` paths with them."""
    if not hidden:
        return excludes
    if excludes is nothing_excluded:
        return lambda path, is_dir: path in hidden
    return lambda path, is_dir: path in hidden or excludes(path, is_dir)
