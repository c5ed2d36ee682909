"""Giving back the space of what nothing reaches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from gitsnap.core.errors import GitsnapError, IntegrityError
from gitsnap.core.model import Snapshot
from gitsnap.core.settings import Settings
from gitsnap.ops.store import deleted
from gitsnap.sidecar import audit_ref, catalog, gc, lost_refs
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import growth


@dataclass(slots=True, frozen=True)
class Collected:
    """What gc freed: the sidecar's size on disk before and after, in bytes; `full`, if all was packed anew. `final` are
    the deleted snapshots that went for good, `spared` those that are still in the bin."""

    before: int
    after: int
    final: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    full: bool = False


def collect(sidecar: Sidecar, settings: Settings, *, now: datetime, full: bool = False) -> Collected:
    """Make deletions final that are old enough, and give back the space of what nothing reaches; `full`, pack the rest
    well, too. Alone with the objects."""
    with sidecar.collecting(settings.lock_wait):
        living = catalog.snapshots(sidecar)
        require_whole(sidecar, living)
        before = sidecar.disk_bytes()
        final = deleted.make_final(sidecar, living, settings.keep_deleted, now)
        spared, _ = catalog.deleted(sidecar, living)
        with suppress(GitsnapError, OSError):
            # For mirrors. What is wrong with the log is told by whoever looks; without room, making some comes first.
            audit_ref.publish(sidecar, max((n for s in living if (n := s.sequence)), default=0), now)
        compact(sidecar, living, full=full)
        after = sidecar.disk_bytes()
        sidecar.noted.counts |= {"bytes_before": before, "bytes_after": after}
        if final:
            sidecar.noted.details["final"] = final
        return Collected(before, after, tuple(final), tuple(d.snapshot.id for d in spared), full)


def require_whole(sidecar: Sidecar, living: catalog.Living) -> None:
    """IntegrityError where a gc could remove what somebody can still mend."""
    for name, error in living.damaged:
        # What they need may be reached by nothing else.
        raise catalog.lost(name, error)
    for ref, commit in lost_refs.lost(sidecar):
        raise IntegrityError(
            f"the ref {ref} is lost, and a gc would remove what it held, commit {commit}",
            path=sidecar.path,
            hint="`gitsnap doctor` says how to bring it back",
        )


def compact(sidecar: Sidecar, living: Sequence[Snapshot], *, full: bool) -> None:
    """Give back the space of what nothing reaches; `full`, pack the rest well, too. For a caller who is alone with the
    objects."""
    _remove_leftovers(sidecar)
    sidecar.close()
    gc.compact(sidecar, full=full)
    growth.forget_others(sidecar, living)


def _remove_leftovers(sidecar: Sidecar) -> None:
    """Temporary files and `.keep`s of processes that died: we are alone, so nobody needs them."""
    for name in os.listdir(sidecar.scratch):
        os.unlink(os.path.join(sidecar.scratch, name))
    packs = os.path.join(sidecar.path, "objects", "pack")
    for name in os.listdir(packs):
        path = os.path.join(packs, name)
        if name.endswith(".keep"):
            with open(path, "rb") as file:
                ours = file.read(64).startswith(b"gitsnap: ")
            if ours:
                os.unlink(path)
        elif name.endswith(".pack") and not os.path.exists(path[:-5] + ".idx"):
            os.unlink(path)
