"""The bin: what was deleted comes back, until a gc makes it final."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gitsnap.core.errors import IntegrityError, NoSuchSnapshotError
from gitsnap.core.model import Snapshot
from gitsnap.core.settings import Settings
from gitsnap.sidecar import catalog, contents, signatures, withdraw
from gitsnap.sidecar.catalog import Deleted
from gitsnap.sidecar.git import refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import seal


def undelete(sidecar: Sidecar, selectors: Sequence[str], settings: Settings, *, now: datetime) -> list[Snapshot]:
    """Bring snapshots back from the bin, each by its id or a unique prefix of it.

    Raises NoSuchSnapshotError, or IntegrityError where one is damaged; none is brought back then.
    """
    with sidecar.writing(settings.lock_wait), sidecar.using_objects(settings.lock_wait):
        living = catalog.snapshots(sidecar)
        found, damaged = catalog.deleted(sidecar, living)
        chosen = {s.id: s for s in (_choose(found, damaged, selector) for selector in selectors)}
        for snapshot in chosen.values():
            contents.manifest_text(sidecar, snapshot)
            entries = contents.metadata_text(sidecar, snapshot).count(b"\n")
            tree = contents.leaves(sidecar, snapshot, entries)
            if missing := sidecar.objects.missing({leaf.oid for leaf in tree}):
                raise IntegrityError(f"snapshot {snapshot.id} lacks the content of a file: {min(missing).hex()}")
        withdraw.undelete(sidecar, living, list(chosen.values()), now)
    return list(chosen.values())


def _choose(found: Sequence[Deleted], damaged: dict[str, IntegrityError], selector: str) -> Snapshot:
    names = [d.snapshot.id for d in found] + [*damaged]
    meant = [selector] if selector in names else [n for n in names if selector and n.startswith(selector)]
    if len(meant) != 1:
        what = "begins several snapshots in the bin" if meant else "names no snapshot in the bin"
        raise NoSuchSnapshotError(f"'{selector}' {what}", hint="gitsnap list --deleted")
    if meant[0] in damaged:
        raise catalog.lost(meant[0], damaged[meant[0]])
    return next(d.snapshot for d in found if d.snapshot.id == meant[0])


def due(found: Sequence[Deleted], keep: timedelta | None, now: datetime) -> list[Snapshot]:
    """Those that a gc makes final: all, but for what came there less than `keep` ago."""
    return [d.snapshot for d in found if keep is None or d.when is None or now - d.when >= keep]


def make_final(sidecar: Sidecar, living: catalog.Living, keep: timedelta | None, now: datetime) -> list[str]:
    """Take out of the bin what is due, and what nobody can read any more, for good; the ids. The caller is alone."""
    found, damaged = catalog.deleted(sidecar, living)
    gone = due(found, keep, now)
    there = {s.id for s in living}
    rest = [name for name in sidecar.refs.below(refs.DELETED, {}) if name in there] + [*damaged]
    if rest:
        # What is back already, and was left there by whoever was killed; and what cannot come back.
        leaving = [*(refs.DELETED + name for name in rest), *signatures.of_ids(sidecar, damaged)]
        with seal.changing(sidecar, dict.fromkeys(leaving)):
            for ref in leaving:
                sidecar.refs.discard(ref)
    if gone:
        withdraw.withdraw(sidecar, living, gone, now)
    return sorted({s.id for s in gone} | damaged.keys())
