"""How things stand: what `status` tells, without writing anything anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gitsnap.core.events import SILENT, Observer
from gitsnap.core.model import Snapshot
from gitsnap.core.retention import Decision, HeldBack
from gitsnap.core.settings import Settings
from gitsnap.ops.compare.components import Tally, tally
from gitsnap.ops.compare.diff import NOW, Difference, diff
from gitsnap.ops.live import damage, upgrading
from gitsnap.ops.live.pending import Pending, find
from gitsnap.ops.store import retention
from gitsnap.sidecar import catalog, selectors
from gitsnap.sidecar.repository import Sidecar
from gitsnap.sidecar.state import drills, growth, verifications
from gitsnap.sidecar.state.drills import Drill
from gitsnap.sidecar.state.known_damage import Damage

if TYPE_CHECKING:
    from gitsnap.core.space import Kept
    from gitsnap.core.upgrade import Stored
    from gitsnap.ops.live.in_progress import Waiting


@dataclass(slots=True)
class State:
    """How things stand with an installation and its sidecar (`store`, of `store_bytes` on disk).

    `snapshots` are those that can be read, in order of time. `difference` is from `latest` to now. `verified` has the
    time of each snapshot's last full verification (None: never) and `added` the bytes that it made the sidecar larger
    by when it was taken (None: not known), both by id. `leaving` is what retention removes with the next snapshot,
    `held` what it does not remove before it is told to, `limits` what limits on space will cost, where they are
    exceeded. `damaged` is what is known to be damaged, by id. `at_work` tells that a rollback is going on at this
    moment, `upgrade` which upgrade is; `waiting` is the one of which nothing is decided yet. `drill` is the last one,
    `overdue` by how much a verification is later than the configuration wants it.
    `service_stopped`: by one that was killed, and not started again.
    """

    installation: str
    store: str
    snapshots: Sequence[Snapshot]
    latest: Snapshot | None
    difference: Difference | None
    store_bytes: int
    verified: dict[str, datetime | None]
    pending: Pending | None
    at_work: bool = False
    added: dict[str, int | None] = field(default_factory=dict)
    leaving: list[Decision] = field(default_factory=list)
    components: dict[str, Tally] = field(default_factory=dict)
    upgrade: str | None = None
    damaged: dict[str, Damage] = field(default_factory=dict)
    held: HeldBack | None = None
    waiting: Waiting | None = None
    limits: Kept | None = None
    drill: Drill | None = None
    overdue: timedelta | None = None
    service_stopped: bool = False

    @property
    def last_upgrade(self) -> Stored | None:
        """The newest upgrade, with what became of it."""
        if not any(s.upgrade for s in self.snapshots):
            return None
        from gitsnap.core.upgrade import upgrades

        return next(iter(reversed(upgrades(self.snapshots))), None)

    @property
    def since(self) -> datetime | None:
        """When the oldest snapshot was taken."""
        return self.snapshots[0].created if self.snapshots else None

    @property
    def unverified(self) -> list[str]:
        """The ids of snapshots that never passed a full verification, oldest first."""
        return [name for name, when in self.verified.items() if when is None]


def status(sidecar: Sidecar, settings: Settings, *, now: datetime, observer: Observer = SILENT) -> State:
    """The live directory against the latest snapshot, and the sidecar's state."""
    living = catalog.snapshots(sidecar)
    if living.damaged and not living:
        raise catalog.all_lost(living.damaged)
    # A damaged one may be newer. What can be told is told; who opened the sidecar says what is damaged.
    latest = selectors.resolve([*living], "latest") if living else None
    difference = diff(sidecar, latest, NOW, settings, entries=False, observer=observer)[0] if latest else None
    leaving = retention.foresee(sidecar, living, settings, now=now)
    proved, sizes = verifications.load(sidecar), growth.load(sidecar)
    return State(
        sidecar.installation,
        sidecar.path,
        living,
        latest,
        difference,
        sidecar.disk_bytes(),
        {s.id: proved.get(s.commit) for s in living},
        find(sidecar),
        sidecar.pending is not None and sidecar.busy,
        {s.id: sizes.get(s.commit) for s in living},
        leaving.gone,
        tally(difference.comparison.changes, settings.components) if difference else {},
        upgrading.running(sidecar),
        damage.known(sidecar, living),
        leaving.held,
        _waiting(sidecar),
        _limited(sidecar, settings, now),
        drills.last(sidecar),
        verifications.overdue(proved, living, settings.verify_every, now),
        _left_stopped(sidecar),
    )


def _left_stopped(sidecar: Sidecar) -> bool:
    if not sidecar.service_marked:
        return False
    from gitsnap.ops.live import service

    return service.left_stopped(sidecar)


def _waiting(sidecar: Sidecar) -> Waiting | None:
    # Hardly ever is there one.
    if not sidecar.upgrading:
        return None
    from gitsnap.ops.live import in_progress
    from gitsnap.ops.process import clocks

    return in_progress.waiting(sidecar, clocks.read())


def _limited(sidecar: Sidecar, settings: Settings, now: datetime) -> Kept | None:
    # Most sidecars have no limits.
    if not settings.limits:
        return None
    from gitsnap.ops.store import limits

    return limits.foreseen(sidecar, settings, [], now=now)[1]
