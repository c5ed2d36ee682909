"""Retention: which snapshots go, by rule or by name; pins; and getting the space back."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from gitsnap.core.errors import GitsnapError
from gitsnap.core.model import Kind, Snapshot, snapshot_id
from gitsnap.core.order import following, in_order
from gitsnap.core.retention import Decision, Policy, decide
from gitsnap.core.settings import Settings
from gitsnap.sidecar import catalog, compaction, growth, ledger, publish, refs, register, seal
from gitsnap.sidecar.repository import Sidecar


@dataclass(slots=True, frozen=True)
class Collected:
    """What gc freed: the sidecar's size on disk before and after, in bytes."""

    before: int
    after: int


def prune(sidecar: Sidecar, policy: Policy, settings: Settings, *, now: datetime, dry_run: bool) -> list[Decision]:
    """Apply a policy (or only say what it would do); a decision for every snapshot, newest first."""
    if dry_run:
        return _decide(sidecar, policy, now, settings.zone, ())
    with sidecar.writing(settings.lock_wait):
        decisions = _decide(sidecar, policy, now, settings.zone, ())
        _withdraw(sidecar, decisions, now)
    return decisions


def foresee(sidecar: Sidecar, living: Sequence[Snapshot], settings: Settings, *, now: datetime) -> list[Decision]:
    """What retention will remove when the next snapshot is taken, should that be now; newest first.

    Of snapshots that rollbacks and upgrades take, others may go.
    """
    policy = settings.retention
    if policy.empty or not living:
        return []
    name = snapshot_id(now, "next", [s.id for s in living])
    wanted = Snapshot(name, "", "", now, Kind.MANUAL, "next", "", 0, 0, "", "", sequence=following(living))
    verified = ledger.newest_verified(sidecar, living)
    decisions = decide([*living, wanted], policy, now=now, zone=settings.zone, newest_verified=verified)
    return [d for d in decisions if not d.keep]


def prune_locked(
    sidecar: Sidecar,
    policy: Policy,
    *,
    now: datetime,
    zone: tzinfo,
    protected: Collection[str],
    living: Sequence[Snapshot] | None = None,
) -> list[Decision]:
    """Apply a policy for a caller who holds the lock; the decisions on those that went.

    `living` are all snapshots, in order of time, where the caller has read them under that lock.
    """
    if policy.empty or (living is not None and policy.keeps_all(len(living))):
        return []
    decisions = _decide(sidecar, policy, now, zone, protected, living)
    _withdraw(sidecar, decisions, now)
    return [d for d in decisions if not d.keep]


def _decide(
    sidecar: Sidecar,
    policy: Policy,
    now: datetime,
    zone: tzinfo,
    protected: Collection[str],
    living: Sequence[Snapshot] | None = None,
) -> list[Decision]:
    living = catalog.snapshots(sidecar) if living is None else living
    verified = ledger.newest_verified(sidecar, living)
    return decide(living, policy, now=now, zone=zone, newest_verified=verified, protected=protected)


def _withdraw(sidecar: Sidecar, decisions: Sequence[Decision], now: datetime) -> None:
    gone = [d.snapshot for d in decisions if not d.keep]
    if gone:
        publish.withdraw(sidecar, in_order(d.snapshot for d in decisions), gone, now)


def delete(sidecar: Sidecar, selectors: Sequence[str], settings: Settings, *, now: datetime) -> list[str]:
    """Remove named snapshots, damaged ones as well; the ids. GitsnapError, removing none, when one is pinned.

    A damaged one is named by its id or a unique prefix of it, and goes even when it is pinned.
    """
    with sidecar.writing(settings.lock_wait):
        living = catalog.snapshots(sidecar)
        found = {x: _lost_one(living, x) for x in selectors}
        lost = [name for name in dict.fromkeys(found.values()) if name]
        gone = list({s.id: s for s in (catalog.resolve(living, x) for x in selectors if not found[x])}.values())
        pinned = [s.id for s in gone if s.pinned]
        if pinned:
            raise GitsnapError(
                f"{', '.join(pinned)} {'is' if len(pinned) == 1 else 'are'} pinned; nothing was deleted",
                kind="pinned",
                hint=f"gitsnap unpin {pinned[0]}",
            )
        register.let_go(sidecar, lost)
        given_up = [prefix + name for name in lost for prefix in (refs.SNAPSHOTS, refs.PINS)]
        with seal.changing(sidecar, dict.fromkeys(given_up)):
            for ref in given_up:
                sidecar.refs.discard(ref)
        for name in lost:
            del sidecar.damaged[name]
        publish.withdraw(sidecar, living, gone, now)
    return [*lost, *(s.id for s in gone)]


def _lost_one(living: catalog.Living, selector: str) -> str | None:
    """The damaged snapshot that a selector names, if it names one."""
    names = [name for name, _ in living.damaged]
    if selector in names:
        return selector
    if selector in living.gone:
        return None
    found = [name for name in [*names, *(s.id for s in living)] if selector and catalog.begins(selector, name)]
    return found[0] if len(found) == 1 and found[0] in names else None


def pin(sidecar: Sidecar, selector: str, settings: Settings) -> Snapshot:
    """Keep a snapshot until it is unpinned. Pinning twice is fine."""
    with sidecar.writing(settings.lock_wait):
        return pin_locked(sidecar, catalog.choose(sidecar, selector))


def pin_locked(sidecar: Sidecar, snapshot: Snapshot) -> Snapshot:
    """The same for a caller who holds the lock."""
    if not snapshot.pinned:
        with seal.changing(sidecar, {refs.PINS + snapshot.id: snapshot.commit}):
            sidecar.refs.create(refs.PINS + snapshot.id, snapshot.commit)
    return replace(snapshot, pinned=True)


def unpin(sidecar: Sidecar, selector: str, settings: Settings) -> Snapshot:
    """Let retention have a snapshot again. Unpinning twice is fine."""
    with sidecar.writing(settings.lock_wait):
        snapshot = catalog.choose(sidecar, selector)
        if snapshot.pinned:
            with seal.changing(sidecar, {refs.PINS + snapshot.id: None}):
                sidecar.refs.remove(refs.PINS + snapshot.id, snapshot.commit)
    return replace(snapshot, pinned=False)


def collect(sidecar: Sidecar, settings: Settings) -> Collected:
    """Give back the space of what nothing reaches, by stock git gc; alone with the objects."""
    with sidecar.collecting(settings.lock_wait):
        living = catalog.snapshots(sidecar)
        for name, error in living.damaged:
            # What they need may be reached by nothing else, and be gone then when somebody could still mend them.
            raise catalog.lost(name, error)
        before = sidecar.disk_bytes()
        _remove_leftovers(sidecar)
        sidecar.close()
        compaction.compact(sidecar)
        growth.forget_others(sidecar, living)
        return Collected(before, sidecar.disk_bytes())


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
